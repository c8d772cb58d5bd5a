// Vm: one built machine: memory, KVM objects, devices and vCPU threads.
//
//   auto vm = WISP_TRY(Vm::build(spec, loop, metrics, on_end));   // complete or not at all
//   vm->resume();                                          // vCPUs run
//   vm->pause([](Status status) { ... });                  // answered from the loop when everything stands still
//
// Pause is a state machine on the loop (the loop never waits for a vCPU, which may itself be waiting for the loop in a
// device reset): ask every vCPU, collect the acknowledgements, quiesce the devices, wait for requests in flight,
// answer. Resume goes the other way: devices first (they look at their queues again), then vCPUs. Members are in the
// order in which they must be destroyed last to first: vCPU threads end before what they use.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "snapshot/image/atomic_file.h"
#include "snapshot/image/dirty_bitmap.h"
#include "snapshot/image/handler_guard.h"
#include "snapshot/image/state_file_writer.h"
#include "vmm/base/exit_code.h"
#include "vmm/config/boot_timer.h"
#include "vmm/config/command.h"
#include "vmm/config/cpu_template.h"
#include "vmm/events/event_loop.h"
#include "vmm/events/periodic_timer.h"
#include "vmm/kvm/system.h"
#include "vmm/machine/cpuid_prefetch.h"
#include "vmm/machine/device_manager.h"
#include "vmm/machine/hotplug_slots.h"
#include "vmm/machine/live_devices.h"
#include "vmm/machine/snapshot.h"
#include "vmm/machine/vcpu.h"

namespace wisp {

/// Longest time that a pause may take; a step that is stuck is named in the error.
inline constexpr std::uint64_t kPauseDeadlineMs = 5000;
/// How often a pause compares the time with its deadline.
inline constexpr std::uint64_t kPauseCheckPeriodMs = 100;

struct DriveInput {
  DriveConfig config;
  std::optional<DiskFile> disk;  ///< absent for a vhost-user back end, which is connected to when the machine is built
};
struct NetInput {
  NetConfig config;
  Tap tap;
};
struct VsockInput {
  VsockConfig config;
  VsockListener listener;
};
struct MetadataInput {
  MmdsConfig config;
  MetadataStore& store;  ///< outlives the machine
  std::string instance_id;
};

/// Everything that a machine is built from; descriptors are borrowed for the length of the build.
struct VmSpec {
  CpuidPrefetch& cpuid;
  MachineConfig machine;
  std::optional<CustomCpuTemplate> custom_template = {};  ///< goes before machine.cpu_template
  std::optional<FdRef> kernel = {};                       ///< absent only when a machine is restored
  std::optional<FdRef> initrd = {};
  std::string boot_args = {};
  std::vector<DriveInput> drives = {};  ///< root device first
  std::vector<NetInput> network_interfaces = {};
  std::vector<PmemConfig> pmem = {};
  std::map<std::string, Fd> pmem_files = {};  ///< by id; the others are opened under their paths
  std::optional<VsockInput> vsock = {};
  std::optional<BalloonConfig> balloon = {};
  std::optional<EntropyConfig> entropy = {};
  std::optional<MemoryHotplugConfig> memory_hotplug = {};
  std::optional<MetadataInput> metadata = {};
  SerialConfig serial = {};
  Fd serial_sink = {};  ///< goes before serial.serial_out_path
  BootTimerDevice boot_timer = BootTimerDevice::Absent;
  BootTimes start_requested = {};  ///< time zero of the boot timer
};

class Vm final : public VcpuObserver {
 public:
  using OnEnd = std::function<void(ExitCode)>;
  using PauseDone = std::function<void(Status)>;

  /// `on_end` is called on the loop's thread, once, when the guest or KVM has ended the machine.
  static Result<std::unique_ptr<Vm>> build(VmSpec spec, EventLoop& loop, MachineMetrics& metrics, OnEnd on_end);
  /// The machine of a snapshot, paused: `spec` is the captured configuration with the host resources of today.
  static Result<std::unique_ptr<Vm>> restore(VmSpec spec, RestoreInput input, EventLoop& loop, MachineMetrics& metrics,
                                             OnEnd on_end);
  ~Vm() override;

  // Only while paused.
  /// Adds the sections of this machine.
  Status capture(StateFileWriter& out);
  /// Writes the memory file, which is still to be published.
  Result<AtomicFile> write_memory(SnapshotType type, const std::string& path);
  /// A snapshot was published: the next diff counts from here.
  void start_new_dirty_period();
  /// A machine without its userfault handler is a machine with missing pages: it ends, and says why.
  Status watch_handler();

  void resume();
  /// Returns when each vCPU's thread has confined itself, which it does before it can run the guest: who is told that
  /// the machine is there finds every thread confined.
  void wait_until_confined() const;
  /// Only while running and not pausing already.
  void pause(PauseDone done);
  Status send_ctrl_alt_del();
  /// For changes and questions while the guest runs.
  LiveDevices& live_devices() { return live_; }
  /// Adds the groups of this machine's devices.
  void register_in(MetricsRegistry& registry) const;

  /// The machine is to end with `code`; callable from any thread, carried out on the loop.
  void request_end(ExitCode code);

  // vCPU threads
  void on_parked(std::uint32_t index) override;
  void on_finished(std::uint32_t index, VcpuEnd end) override;

 private:
  friend class VmBuilder;
  Vm(EventLoop& loop, MachineMetrics& metrics, OnEnd on_end)
      : loop_(loop), metrics_(metrics), on_end_(std::move(on_end)) {}

  Result<PairId> pair_id();
  Status collect_dirty_pages();
  Status collect_hotplugged_pages();
  void continue_pause();
  void check_pause_deadline();
  void finish_pause(Status status);
  void end(ExitCode code);

  enum class PauseStep { None, WaitForVcpus, DrainDevices };
  static const char* name_of(PauseStep step);

  EventLoop& loop_;
  MachineMetrics& metrics_;
  OnEnd on_end_;
  bool ended_ = false;
  std::optional<UserfaultMemory> userfault_;  // ends after the memory that it serves
  std::unique_ptr<HandlerWatch> handler_watch_;
  std::unique_ptr<HandlerGuard> handler_guard_;  // ends after the vCPUs: one that waits for a page cannot be joined
  std::optional<GuestMemory> memory_;
  DirtyLogging logging_ = DirtyLogging::Off;
  std::optional<DirtyBitmap> dirty_;  // collected since the last snapshot
  std::optional<PairId> pair_id_;     // of the snapshots taken in this pause
  std::vector<std::uint32_t> saved_msrs_;
  /// What each vCPU was told about itself. Not every KVM gives back what it was given.
  std::vector<std::vector<kvm_cpuid_entry2>> cpuids_;
  std::optional<KvmVm> kvm_;
  std::optional<KvmHotplugSlots> hotplug_slots_;
  std::unique_ptr<MetadataService> metadata_;  // ends after the network devices that reach it
  MmdsMetrics metadata_metrics_;
  std::unique_ptr<DeviceManager> devices_;
  LiveDevices live_;  // points into devices_
  PauseStep pause_step_ = PauseStep::None;
  std::uint64_t pause_started_us_ = 0;
  std::size_t parked_count_ = 0;
  PauseDone pause_done_;
  std::unique_ptr<PeriodicTimer> pause_timer_;
  std::vector<std::unique_ptr<Vcpu>> vcpus_;
};

}  // namespace wisp
