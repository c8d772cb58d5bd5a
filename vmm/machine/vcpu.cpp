#include "vmm/machine/vcpu.h"

#include <algorithm>
#include <cerrno>
#include <csignal>
#include <cstdio>

#include "vmm/base/clock.h"
#include "vmm/base/confinement.h"
#include "vmm/base/log.h"
#include "vmm/base/trace.h"

namespace wisp {
namespace {

/// The stack of a vCPU thread: its handlers are shallow and recurse nowhere.
constexpr std::size_t kVcpuStackBytes = 128 * 1024;
constexpr std::size_t kMaxThreadNameBytes = 16;

int kick_signal() {
  return SIGRTMIN;
}

/// Records how long its scope took.
class ScopeLatency {
 public:
  explicit ScopeLatency(LatencyAggregate& target) : target_(target) {}
  ~ScopeLatency() { target_.record_us(watch_.elapsed_us()); }
  ScopeLatency(const ScopeLatency&) = delete;
  ScopeLatency& operator=(const ScopeLatency&) = delete;

 private:
  LatencyAggregate& target_;
  Stopwatch watch_;
};

}  // namespace

Vcpu::Vcpu(std::uint32_t index, KvmVcpu kvm, const Bus& ports, const Bus& mmio, VcpuMetrics& metrics,
           VcpuObserver& observer)
    : index_(index), kvm_(std::move(kvm)), ports_(ports), mmio_(mmio), metrics_(metrics), observer_(observer) {}

Vcpu::~Vcpu() {
  stop();
}

void Vcpu::install_kick_handler() {
  struct sigaction action {};
  action.sa_handler = [](int) {};  // only its EINTR matters, so no SA_RESTART
  (void)::sigaction(kick_signal(), &action, nullptr);
}

Status Vcpu::start() {
  pthread_attr_t attributes;
  ::pthread_attr_init(&attributes);
  (void)::pthread_attr_setstacksize(&attributes, kVcpuStackBytes);
  const auto entry = [](void* self) -> void* {
    static_cast<Vcpu*>(self)->thread_main();
    return nullptr;
  };
  const int failure = ::pthread_create(&thread_, &attributes, entry, this);
  ::pthread_attr_destroy(&attributes);
  if (failure != 0) {
    return Error::host(failure, "cannot start the thread of vCPU " + std::to_string(index_),
                       "Raise the limit on processes (RLIMIT_NPROC, pids cgroup)");
  }
  started_ = true;
  return {};
}

void Vcpu::wait_until_confined() const {
  confined_.wait(0, std::memory_order_acquire);
}

void Vcpu::set_wish(Wish wish) {
  const std::uint32_t count = wish_word_.load(std::memory_order_relaxed) & ~kWishMask;
  // In one order with the waiter's count of waiters, which notify_one() reads: a weaker store may pass that read, and
  // the thread would sleep on.
  wish_word_.store((count + kWishStep) | static_cast<std::uint32_t>(wish), std::memory_order_seq_cst);
  wish_word_.notify_one();
}

void Vcpu::resume() {
  set_wish(Wish::Run);
}

void Vcpu::request_pause() {
  set_wish(Wish::Park);
  kick();
}

void Vcpu::stop() {
  if (!started_) {
    return;
  }
  set_wish(Wish::Stop);
  kick();
  ::pthread_join(thread_, nullptr);
  started_ = false;
}

// immediate_exit covers the window in which the signal arrives before KVM_RUN is entered.
void Vcpu::kick() {
  kvm_.set_immediate_exit(1);
  (void)::pthread_kill(thread_, kick_signal());
}

void Vcpu::thread_main() {
  char name[kMaxThreadNameBytes] = {};
  // Firecracker's name: orchestrators find the threads by it, to pin them.
  (void)std::snprintf(name, sizeof(name), "fc_vcpu %u", index_);
  (void)::pthread_setname_np(::pthread_self(), name);
  log::set_thread_name("vcpu");
  confine_this_thread(ThreadKind::Vcpu);
  confined_.store(1, std::memory_order_seq_cst);  // partner: wait_until_confined(); the order as in set_wish()
  confined_.notify_one();
  wish_word_.wait(static_cast<std::uint32_t>(Wish::Park), std::memory_order_acquire);
  while (park() == Wish::Run) {
    trace::guest_entered();
    Next next = Next::Continue;
    while (next == Next::Continue) {
      next = run_once();
    }
    if (next == Next::End) {
      return;
    }
  }
}

/// Acknowledges every pause that is asked for and returns when something else is.
Vcpu::Wish Vcpu::park() {
  for (;;) {
    // Cleared before the word is read: a kick for a later wish must not be wiped out.
    kvm_.set_immediate_exit(0);
    const std::uint32_t word = wish_word_.load(std::memory_order_acquire);
    if (wish_in(word) != Wish::Park) {
      return wish_in(word);
    }
    observer_.on_parked(index_);
    wish_word_.wait(word, std::memory_order_acquire);
  }
}

Vcpu::Next Vcpu::run_once() {
  const int error = kvm_.run();
  if (error == 0) {
    return handle_exit();
  }
  if (error == EINTR || error == EAGAIN) {
    return wish_in(wish_word_.load(std::memory_order_acquire)) == Wish::Run ? Next::Continue : Next::Park;
  }
  WISP_LOG(Error, "Failure during vcpu run: vCPU %u: KVM_RUN failed with errno %d", index_, error);
  return finish(VcpuEnd::Failed);
}

Vcpu::Next Vcpu::finish(VcpuEnd end) {
  if (end == VcpuEnd::Failed) {
    metrics_.failures.add();
  }
  observer_.on_finished(index_, end);
  return Next::End;
}

Vcpu::Next Vcpu::handle_exit() {
  const kvm_run& run = kvm_.shared();
  switch (run.exit_reason) {
    case KVM_EXIT_IO: handle_port_access(); return Next::Continue;
    case KVM_EXIT_MMIO: handle_mmio_access(); return Next::Continue;
    case KVM_EXIT_SHUTDOWN:
      WISP_LOG(Error, "Received KVM_EXIT_SHUTDOWN on vCPU %u: the guest made a triple fault", index_);
      return finish(VcpuEnd::TripleFault);
    case KVM_EXIT_SYSTEM_EVENT:
      WISP_LOG(Info, "Received KVM_EXIT_SYSTEM_EVENT on vCPU %u: type %u", index_, run.system_event.type);
      return finish(run.system_event.type == KVM_SYSTEM_EVENT_SHUTDOWN ||
                            run.system_event.type == KVM_SYSTEM_EVENT_RESET
                        ? VcpuEnd::Reset
                        : VcpuEnd::Failed);
    case KVM_EXIT_FAIL_ENTRY:
      WISP_LOG(Error, "Received KVM_EXIT_FAIL_ENTRY on vCPU %u: hardware reason 0x%llx", index_,
               run.fail_entry.hardware_entry_failure_reason);
      return finish(VcpuEnd::Failed);
    case KVM_EXIT_INTERNAL_ERROR:
      WISP_LOG(Error,
               "Received KVM_EXIT_INTERNAL_ERROR on vCPU %u: suberror %u (KVM cannot emulate the guest's instruction)",
               index_, run.internal.suberror);
      return finish(VcpuEnd::Failed);
    default:
      WISP_LOG(Error, "Unexpected exit reason on vcpu run: vCPU %u, reason %u", index_, run.exit_reason);
      return finish(VcpuEnd::Failed);
  }
}

void Vcpu::handle_port_access() {
  kvm_run& run = kvm_.shared();
  // The kernel, not the guest, filled these fields. `count` is above 1 for string instructions: one access each.
  auto* data = reinterpret_cast<std::byte*>(&run) + run.io.data_offset;
  const bool is_read = run.io.direction == KVM_EXIT_IO_IN;
  const ScopeLatency latency(is_read ? metrics_.exit_io_in_agg : metrics_.exit_io_out_agg);
  (is_read ? metrics_.exit_io_in : metrics_.exit_io_out).add();
  for (std::uint32_t index = 0; index < run.io.count; ++index, data += run.io.size) {
    const bool claimed = is_read ? ports_.read(run.io.port, std::span(data, run.io.size))
                                 : ports_.write(run.io.port, std::span<const std::byte>(data, run.io.size));
    if (!claimed) {
      WISP_LOG_LIMITED(Debug, "vCPU %u: %u-byte %s of port 0x%x that no device has", index_, run.io.size,
                       is_read ? "read" : "write", run.io.port);
    }
  }
}

void Vcpu::handle_mmio_access() {
  kvm_run& run = kvm_.shared();
  const std::size_t size = std::min<std::size_t>(run.mmio.len, sizeof(run.mmio.data));
  auto* data = reinterpret_cast<std::byte*>(run.mmio.data);
  const bool is_read = run.mmio.is_write == 0;
  const ScopeLatency latency(is_read ? metrics_.exit_mmio_read_agg : metrics_.exit_mmio_write_agg);
  (is_read ? metrics_.exit_mmio_read : metrics_.exit_mmio_write).add();
  const bool claimed = is_read ? mmio_.read(run.mmio.phys_addr, std::span(data, size))
                               : mmio_.write(run.mmio.phys_addr, std::span<const std::byte>(data, size));
  if (!claimed) {
    WISP_LOG_LIMITED(Warn, "vCPU %u: %u-byte %s of address 0x%llx that no device has", index_, run.mmio.len,
                     is_read ? "read" : "write", run.mmio.phys_addr);
  }
}

}  // namespace wisp
