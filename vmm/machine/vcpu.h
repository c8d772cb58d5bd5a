// Vcpu: one KVM vCPU on a thread of its own.
//
//   created --start()--> Parked --resume()--> Running --request_pause()--> ... --> Parked   (on_parked is called)
//                                                |
//                                                +-- guest ends or KVM fails --> Finished   (on_finished is called)
//
// A pause is looked at only right after KVM_RUN returned EINTR: KVM finishes a pending port or MMIO access first and
// checks immediate_exit second, so that is the one point where the guest's state is consistent (kernel
// Documentation/virt/kvm/api.rst, kvm_run.immediate_exit). start(), resume() and request_pause() belong to the loop
// thread.
#pragma once

#include <pthread.h>

#include <atomic>
#include <cstdint>

#include "vmm/bus/bus.h"
#include "vmm/kvm/vcpu.h"
#include "vmm/machine/metrics.h"

namespace wisp {

/// Why a vCPU will not run again.
enum class VcpuEnd {
  TripleFault,  ///< KVM_EXIT_SHUTDOWN
  Reset,        ///< KVM_EXIT_SYSTEM_EVENT: reset or power-off
  Failed,       ///< KVM cannot go on
};

/// Told by vCPU threads; implementations post to the loop and return.
class VcpuObserver {
 public:
  virtual ~VcpuObserver() = default;
  virtual void on_parked(std::uint32_t index) = 0;
  virtual void on_finished(std::uint32_t index, VcpuEnd end) = 0;
};

class Vcpu {
 public:
  Vcpu(std::uint32_t index, KvmVcpu kvm, const Bus& ports, const Bus& mmio, VcpuMetrics& metrics,
       VcpuObserver& observer);
  ~Vcpu();
  Vcpu(const Vcpu&) = delete;
  Vcpu& operator=(const Vcpu&) = delete;

  /// Installs the kick signal's handler for the process; once, before any vCPU starts.
  static void install_kick_handler();

  Status start();
  /// Waits until the thread runs under its filters.
  void wait_until_confined() const;
  void resume();
  void request_pause();
  /// Ends the thread and joins it; used by the destructor too.
  void stop();

  KvmVcpu& kvm() { return kvm_; }

 private:
  /// What the loop wants of the thread. The word also counts the wishes: a thread that has not yet woken from one pause
  /// must see that it is asked for another, although both say Park.
  enum class Wish : std::uint32_t { Park, Run, Stop };
  static constexpr std::uint32_t kWishMask = 3;
  static constexpr std::uint32_t kWishStep = 4;
  static Wish wish_in(std::uint32_t word) { return static_cast<Wish>(word & kWishMask); }
  enum class Next { Continue, Park, End };

  void thread_main();
  void set_wish(Wish wish);
  Wish park();
  Next run_once();
  Next handle_exit();
  Next finish(VcpuEnd end);
  void handle_port_access();
  void handle_mmio_access();
  void kick();

  std::uint32_t index_;
  KvmVcpu kvm_;
  const Bus& ports_;
  const Bus& mmio_;
  VcpuMetrics& metrics_;
  VcpuObserver& observer_;
  std::atomic<std::uint32_t> confined_ = 0;  ///< 1 once the thread is; a word, because threads wait for it
  std::atomic<std::uint32_t> wish_word_ = static_cast<std::uint32_t>(Wish::Park);
  pthread_t thread_{};
  bool started_ = false;
};

}  // namespace wisp
