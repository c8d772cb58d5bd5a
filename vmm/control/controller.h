// VmController: the only place where the machine's life changes.
//
// Commands come from the API (any thread, execute()) or from the program itself (loop thread, submit()). They are
// carried out one at a time on the loop's thread, in the order of arrival; a pause takes several turns of the loop, and
// the commands behind it wait. What is allowed when stands in lifecycle.h.
#pragma once

#include <deque>
#include <functional>
#include <memory>
#include <string>

#include "virtio/mmds/metadata_store.h"
#include "vmm/config/command.h"
#include "vmm/control/capabilities.h"
#include "vmm/control/configuration.h"
#include "vmm/control/load_overrides.h"
#include "vmm/control/metrics_sink.h"
#include "vmm/events/event_loop.h"
#include "vmm/events/periodic_timer.h"
#include "vmm/machine/vm.h"

namespace wisp {

/// How long after the start the pages of code that made it are given back.
inline constexpr std::uint64_t kTrimDelayMs = 300;

struct ControllerOptions {
  std::string instance_id = "anonymous-instance";
  BootTimerDevice boot_timer = BootTimerDevice::Absent;
  std::size_t mmds_limit_bytes = kDefaultMetadataLimitBytes;  ///< the store's size as JSON text
  /// JSON text that tells people and tools what a snapshot's machine is.
  std::function<std::string(const FullConfig&)> describe = [](const FullConfig&) { return std::string("{}"); };
  ProcessFacts process = {};
  /// What the process was started with, by name.
  InheritedDescriptors inherited = {};
};

class VmController final : public CommandPort {
 public:
  using Done = std::function<void(Result<Reply>)>;

  /// `on_end` is called on the loop's thread when the machine has ended.
  VmController(EventLoop& loop, MetricsRegistry& registry, MachineMetrics& metrics, ControllerOptions options,
               std::function<void(ExitCode)> on_end);

  /// Begins what every machine will need, on a thread that inherits the caller's confinement. Never needed, never
  /// waits.
  void prefetch() { cpuid_.start(); }

  Result<Reply> execute(Command command) override;
  /// Loop thread: queues the command; `done` is called when it is finished, possibly before submit() returns.
  void submit(Command command, Done done);

  MetricsSink& metrics_sink() { return metrics_sink_; }

 private:
  struct Pending {
    Command command;
    Done done;
  };
  void process_queue();
  void carry_out(Pending pending);
  Result<Reply> carry_out_at_once(Command& command);
  void pause(Done done);

  Result<Reply> on(GetInstanceInfo&);
  Result<Reply> on(GetMachineConfig&);
  Result<Reply> on(GetFullConfig&);
  Result<Reply> on(GetCapabilities&);
  Result<Reply> on(PutMachineConfig&);
  Result<Reply> on(PatchMachineConfig&);
  Result<Reply> on(PutCpuConfig&);
  Result<Reply> on(PutBootSource&);
  Result<Reply> on(PutDrive&);
  Result<Reply> on(PutNetworkInterface&);
  Result<Reply> on(PutPmem&);
  Result<Reply> on(PutVsock&);
  Result<Reply> on(PutBalloon&);
  Result<Reply> on(PutEntropy&);
  Result<Reply> on(PutMemoryHotplug&);
  Result<Reply> on(PutMmdsConfig&);
  Result<Reply> on(PutLogger&);
  Result<Reply> on(PutMetrics&);
  Result<Reply> on(PutSerial&);
  Result<Reply> on(InstanceStart&);
  Result<Reply> on(FlushMetrics&);
  Result<Reply> on(SendCtrlAltDel&);
  Result<Reply> on(PauseVm&);
  Result<Reply> on(ResumeVm&);
  // controller_snapshot.cpp
  Result<Reply> on(CreateSnapshot&);
  Result<Reply> on(LoadSnapshot&);
  Status create_snapshot(const SnapshotCreateConfig& config);
  Status load_snapshot(const SnapshotLoadConfig& load, DescriptorPool& pool);
  Status restore_from(const StateFile& state, const SnapshotLoadConfig& load, DescriptorPool& pool);
  Status open_outputs(const SnapshotLoadConfig& load, DescriptorPool& pool);
  Status restore_configuration(FullConfig config, GivenResources given);
  // controller_devices.cpp
  Result<Reply> on(GetBalloon&);
  Result<Reply> on(GetBalloonStatistics&);
  Result<Reply> on(GetBalloonHinting&);
  Result<Reply> on(GetMemoryHotplug&);
  Result<Reply> on(GetMmds&);
  Result<Reply> on(PutMmds&);
  Result<Reply> on(PatchMmds&);
  Result<Reply> on(PatchDrive&);
  Result<Reply> on(PatchNetworkInterface&);
  Result<Reply> on(PatchPmem&);
  Result<Reply> on(PatchBalloon&);
  Result<Reply> on(PatchBalloonStatistics&);
  Result<Reply> on(StartBalloonHinting&);
  Result<Reply> on(StopBalloonHinting&);
  Result<Reply> on(PatchMemoryHotplug&);
  Result<Reply> on(UnplugDevice&);
  Status check_metadata_reachable() const;
  Status start_machine();
  Result<VmSpec> make_spec();
  Result<VmSpec> make_boot_spec();
  Status prepare_timers();
  void let_run();
  void adopt_machine(std::unique_ptr<Vm> vm);

  EventLoop& loop_;
  MetricsRegistry& registry_;
  MachineMetrics& metrics_;
  ControllerOptions options_;
  std::function<void(ExitCode)> on_end_;
  Configuration configuration_;
  MetricsSink metrics_sink_;
  MetadataStore metadata_;
  std::optional<HostCapabilities> host_;  ///< once somebody has asked
  VmState state_ = VmState::NotStarted;
  std::deque<Pending> queue_;
  bool busy_ = false;
  CpuidPrefetch cpuid_;
  /// Something that only a boot needs was asked for; a snapshot cannot be loaded any more.
  bool boot_configured_ = false;
  bool load_failed_ = false;  ///< the process ends with the next turns of the loop
  std::unique_ptr<PeriodicTimer> metrics_timer_;
  std::unique_ptr<PeriodicTimer> trim_timer_;
  std::unique_ptr<Vm> vm_;
};

}  // namespace wisp
