#include "vmm/control/controller.h"

#include <semaphore>
#include <utility>

#include "vmm/base/assert.h"
#include "vmm/base/clock.h"
#include "vmm/base/confinement.h"
#include "vmm/base/log.h"
#include "vmm/base/resident.h"
#include "vmm/base/trace.h"
#include "vmm/control/lifecycle.h"
#include "vmm/control/logger_config.h"
#include "vmm/control/reply.h"

namespace wisp {
namespace {

Gauge* latency_of(OperationLatencies& latencies, const Command& command) {
  if (const auto* create = std::get_if<CreateSnapshot>(&command)) {
    return create->config.type == SnapshotType::Full ? &latencies.full_create_snapshot
                                                     : &latencies.diff_create_snapshot;
  }
  return std::holds_alternative<PauseVm>(command)        ? &latencies.pause_vm
         : std::holds_alternative<ResumeVm>(command)     ? &latencies.resume_vm
         : std::holds_alternative<LoadSnapshot>(command) ? &latencies.load_snapshot
                                                         : nullptr;
}

/// Records how long a client waited for a pause, a resume or a snapshot.
class ClientLatency {
 public:
  ClientLatency(OperationLatencies& latencies, const Command& command) : target_(latency_of(latencies, command)) {}
  ~ClientLatency() {
    if (target_ != nullptr) {
      target_->set(watch_.elapsed_us());
    }
  }
  ClientLatency(const ClientLatency&) = delete;
  ClientLatency& operator=(const ClientLatency&) = delete;

 private:
  Gauge* target_;
  Stopwatch watch_;
};

}  // namespace

VmController::VmController(EventLoop& loop, MetricsRegistry& registry, MachineMetrics& metrics,
                           ControllerOptions options, std::function<void(ExitCode)> on_end)
    : loop_(loop),
      registry_(registry),
      metrics_(metrics),
      options_(std::move(options)),
      on_end_(std::move(on_end)),
      metrics_sink_(registry, options_.instance_id),
      metadata_(options_.mmds_limit_bytes) {}

Result<Reply> VmController::execute(Command command) {
  const ClientLatency latency(metrics_.latencies_us, command);
  std::optional<Result<Reply>> result;
  std::binary_semaphore done(0);
  loop_.post([&] {
    submit(std::move(command), [&](Result<Reply> reply) {
      result = std::move(reply);
      done.release();
    });
  });
  done.acquire();
  return std::move(*result);
}

void VmController::submit(Command command, Done done) {
  queue_.push_back(Pending{std::move(command), std::move(done)});
  process_queue();
}

void VmController::process_queue() {
  while (!busy_ && !queue_.empty()) {
    Pending next = std::move(queue_.front());
    queue_.pop_front();
    carry_out(std::move(next));
  }
}

void VmController::carry_out(Pending pending) {
  const Phase phase = state_ == VmState::NotStarted ? Phase::BeforeStart : Phase::AfterStart;
  if (Status allowed = check_phase(pending.command, phase); !allowed.ok()) {
    pending.done(std::move(allowed).error());
    return;
  }
  if (load_failed_ && allowed_phase(pending.command) != Allowed::Always) {
    pending.done(Error(ErrorCode::WrongState, "A snapshot could not be loaded; this process ends. Start another one."));
    return;
  }
  boot_configured_ = boot_configured_ || blocks_load(pending.command);
  if (std::holds_alternative<PauseVm>(pending.command) && state_ == VmState::Running) {
    pause(std::move(pending.done));
    return;
  }
  pending.done(carry_out_at_once(pending.command));
}

Result<Reply> VmController::carry_out_at_once(Command& command) {
  return std::visit([this](auto& each) { return on(each); }, command);
}

void VmController::pause(Done done) {
  busy_ = true;
  vm_->pause([this, watch = Stopwatch(), done = std::move(done)](Status status) {
    busy_ = false;
    metrics_.latencies_us.vmm_pause_vm.set(watch.elapsed_us());
    if (status.ok()) {
      state_ = VmState::Paused;
    }
    done(reply_or_prefix(std::move(status), "Internal VMM error: "));
    // From the mailbox, not from here: this is called inside the machine's own step.
    loop_.post([this] { process_queue(); });
  });
}

Result<Reply> VmController::on(GetInstanceInfo& /*command*/) {
  return Reply(InstanceInfo{options_.instance_id, state_});
}

Result<Reply> VmController::on(GetMachineConfig& /*command*/) {
  return Reply(configuration_.machine());
}

Result<Reply> VmController::on(GetFullConfig& /*command*/) {
  return Reply(configuration_.full());
}

Result<Reply> VmController::on(GetCapabilities& /*command*/) {
  if (!host_ && state_ == VmState::NotStarted) {
    host_ = probe_host(options_.process);
  }
  Capabilities answer = build_capabilities();
  answer.host = host_;
  return Reply(std::move(answer));
}

Result<Reply> VmController::on(PutMachineConfig& command) {
  return reply_or_prefix(configuration_.set_machine(command.config), "Machine config error: ");
}

Result<Reply> VmController::on(PatchMachineConfig& command) {
  return reply_or_prefix(configuration_.patch_machine(command.patch), "Machine config error: ");
}

Result<Reply> VmController::on(PutCpuConfig& command) {
  configuration_.set_cpu_template(std::move(command.config));
  return Reply(Unit{});
}

Result<Reply> VmController::on(PutBootSource& command) {
  return reply_or_prefix(configuration_.set_boot_source(std::move(command.config)), "Boot source error: ");
}

Result<Reply> VmController::on(PutDrive& command) {
  return reply_or_prefix(configuration_.set_drive(std::move(command.config)), "Drive config error: ");
}

Result<Reply> VmController::on(PutNetworkInterface& command) {
  return reply_or_prefix(configuration_.set_network_interface(std::move(command.config)), "Network config error: ");
}

Result<Reply> VmController::on(PutPmem& command) {
  return reply_or_prefix(configuration_.set_pmem(std::move(command.config)), "Pmem config error: ");
}

Result<Reply> VmController::on(PutVsock& command) {
  return reply_or_prefix(configuration_.set_vsock(std::move(command.config)), "Vsock config error: ");
}

Result<Reply> VmController::on(PutBalloon& command) {
  return reply_or_prefix(configuration_.set_balloon(command.config), "Balloon config error: ");
}

Result<Reply> VmController::on(PutEntropy& command) {
  configuration_.set_entropy(command.config);
  return Reply(Unit{});
}

Result<Reply> VmController::on(PutMemoryHotplug& command) {
  return reply_or_prefix(configuration_.set_memory_hotplug(command.config), "Memory hotplug config error: ");
}

Result<Reply> VmController::on(PutMmdsConfig& command) {
  return reply_or_prefix(configuration_.set_mmds(std::move(command.config)), "MMMDS config error: ");
}

Result<Reply> VmController::on(PutLogger& command) {
  return reply_or_prefix(apply_logger_config(command.config), "Logger error: ");
}

Result<Reply> VmController::on(PutMetrics& command) {
  return reply_or_prefix(metrics_sink_.configure(command.config), "Metrics error: ");
}

Result<Reply> VmController::on(PutSerial& command) {
  configuration_.set_serial(std::move(command.config));
  return Reply(Unit{});
}

Result<Reply> VmController::on(FlushMetrics& /*command*/) {
  return reply_or_prefix(metrics_sink_.flush(), "Internal VMM error: ");
}

Result<Reply> VmController::on(SendCtrlAltDel& /*command*/) {
  return reply_or_prefix(vm_->send_ctrl_alt_del(), "Internal VMM error: I8042 error: ");
}

// Only reached when there is nothing to do: a running machine is paused by pause().
Result<Reply> VmController::on(PauseVm& /*command*/) {
  return Reply(Unit{});
}

Result<Reply> VmController::on(ResumeVm& /*command*/) {
  if (state_ == VmState::Paused) {
    const Stopwatch watch;
    vm_->resume();
    metrics_.latencies_us.vmm_resume_vm.set(watch.elapsed_us());
    state_ = VmState::Running;
  }
  return Reply(Unit{});
}

Result<Reply> VmController::on(InstanceStart& /*command*/) {
  Status started = start_machine();
  if (!started.ok()) {
    trace::phase("configuration");
  }
  return reply_or_prefix(std::move(started), "Start microvm error: ");
}

Result<VmSpec> VmController::make_boot_spec() {
  const auto& boot = configuration_.boot();
  if (!boot) {
    return Error(ErrorCode::WrongState,
                 "Cannot start microvm without kernel configuration. Set kernel_image_path with PUT /boot-source");
  }
  VmSpec spec = WISP_TRY(make_spec());
  spec.kernel = boot->kernel.ref();
  if (boot->initrd) {
    spec.initrd = boot->initrd->ref();
  }
  spec.boot_args = boot->source.boot_args.value_or(kDefaultBootArgs);
  return spec;
}

Result<VmSpec> VmController::make_spec() {
  VmSpec spec{.cpuid = cpuid_, .machine = configuration_.machine(), .custom_template = configuration_.cpu_template()};
  // The machine gets descriptors of its own, so that a failed start leaves the configuration whole.
  for (const auto& drive : configuration_.drives()) {
    std::optional<DiskFile> disk;
    if (drive.disk) {
      disk = WISP_TRY(drive.disk->duplicate());
    }
    spec.drives.push_back(DriveInput{drive.config, std::move(disk)});
  }
  for (const auto& interface : configuration_.network_interfaces()) {
    spec.network_interfaces.push_back(NetInput{interface.config, WISP_TRY(interface.tap->duplicate())});
  }
  if (const auto& vsock = configuration_.vsock()) {
    spec.vsock.emplace(VsockInput{vsock->config, WISP_TRY(vsock->listener->duplicate())});
  }
  spec.pmem = configuration_.pmem();
  for (const auto& [id, file] : configuration_.pmem_files()) {
    spec.pmem_files.emplace(id, WISP_TRY(duplicate(file.ref(), "pmem '" + id + "'")));
  }
  spec.balloon = configuration_.balloon();
  spec.entropy = configuration_.entropy();
  spec.memory_hotplug = configuration_.memory_hotplug();
  if (const auto& mmds = configuration_.mmds()) {
    spec.metadata.emplace(MetadataInput{*mmds, metadata_, options_.instance_id});
  }
  spec.serial = configuration_.serial();
  if (configuration_.serial_sink().valid()) {
    spec.serial_sink = WISP_TRY(duplicate(configuration_.serial_sink().ref(), "the serial output"));
  }
  spec.boot_timer = options_.boot_timer;
  spec.start_requested = boot_times_now();
  return spec;
}

/// What can fail about the timers comes before the machine is ours: a refused start leaves no machine running.
Status VmController::prepare_timers() {
  if (metrics_sink_.configured()) {
    metrics_timer_ =
        WISP_TRY(PeriodicTimer::create(loop_, kMetricsPeriodS * 1000ULL, [this] { (void)metrics_sink_.flush(); }));
  }
  // The trim comes later, not now: the guest's first instructions should not wait for it.
  trim_timer_ = WISP_TRY(PeriodicTimer::create(loop_, kTrimDelayMs, [this] {
    trim_timer_.reset();
    release_code_pages();
  }));
  return {};
}

void VmController::adopt_machine(std::unique_ptr<Vm> vm) {
  vm_ = std::move(vm);
  trace::phase("confinement");
  vm_->register_in(registry_);
  configuration_.release_files();
  // The last thing before the guest can run: from here on no VM, vCPU or thread can be made any more.
  confine_this_thread(ThreadKind::Loop);
}

/// The guest runs next. The trace ends with its first instruction and is written when the loop has time again.
void VmController::let_run() {
  trace::phase("guest entry");
  trace::end_at_guest_entry([this] { loop_.post(trace::write); });
  vm_->resume();
  state_ = VmState::Running;
}

Status VmController::start_machine() {
  trace::phase("start checks");
  VmSpec spec = WISP_TRY(make_boot_spec());
  (void)WISP_TRY(prepare_timers());
  auto vm = Vm::build(std::move(spec), loop_, metrics_, on_end_);
  if (!vm.ok()) {
    metrics_timer_.reset();
    trim_timer_.reset();
    return std::move(vm).error();
  }
  adopt_machine(std::move(vm).value());
  let_run();
  vm_->wait_until_confined();
  (void)metrics_sink_.flush();
  return {};
}

}  // namespace wisp
