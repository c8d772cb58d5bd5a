// Snapshots: the machine's sections, the configuration's section and the memory become two files, and a machine again.
#include "snapshot/image/atomic_file.h"
#include "snapshot/image/state_file.h"
#include "vmm/base/clock.h"
#include "vmm/base/log.h"
#include "vmm/base/trace.h"
#include "vmm/control/config_state.h"
#include "vmm/control/controller.h"
#include "vmm/control/load_overrides.h"
#include "vmm/control/reply.h"

namespace wisp {
namespace {

constexpr const char* kConfigSection = "config";
constexpr const char* kRestoreFailed = "Failed to restore from snapshot: ";

/// Their state is in another process.
Status check_drives_can_be_saved(const FullConfig& config) {
  std::string names;
  for (const DriveConfig& drive : config.drives) {
    if (drive.socket) {
      names += (names.empty() ? "" : ", ") + ("vhost-user-block(id: " + drive.drive_id + ")");
    }
  }
  if (names.empty()) {
    return {};
  }
  return Error(
      ErrorCode::Unsupported,
      "Cannot save the microVM state: Operation not allowed: Devices without snapshot support are present: " + names);
}

}  // namespace

Result<Reply> VmController::on(CreateSnapshot& command) {
  const Stopwatch watch;
  Status created = create_snapshot(command.config);
  const bool full = command.config.type == SnapshotType::Full;
  auto& latencies = metrics_.latencies_us;
  (full ? latencies.vmm_full_create_snapshot : latencies.vmm_diff_create_snapshot).set(watch.elapsed_us());
  return reply_or_prefix(std::move(created), "Create snapshot error: ");
}

Status VmController::create_snapshot(const SnapshotCreateConfig& config) {
  if (state_ != VmState::Paused) {
    return Error(ErrorCode::WrongState,
                 "Cannot save the microVM state: Operation not allowed: save/restore unavailable while running");
  }
  if (config.snapshot_path == config.mem_file_path) {
    return Error(ErrorCode::InvalidArgument,
                 "snapshot_path and mem_file_path are the same file. Give two different ones");
  }
  const FullConfig captured = configuration_.full();
  (void)WISP_TRY(check_drives_can_be_saved(captured));
  StateFileWriter state;
  StateWriter bytes;
  save_config(captured, bytes);
  state.add_section(kConfigSection, std::move(bytes).take());
  (void)WISP_TRY(vm_->capture(state));
  // Both files are complete and on the medium before either takes its name.
  AtomicFile state_file = WISP_TRY(AtomicFile::create(kStateFile, config.snapshot_path));
  AtomicFile memory_file = WISP_TRY(vm_->write_memory(config.type, config.mem_file_path));
  (void)WISP_TRY(state.write(options_.describe(captured), state_file));
  (void)WISP_TRY(AtomicFile::publish_together(memory_file, state_file));
  vm_->start_new_dirty_period();
  return {};
}

Result<Reply> VmController::on(LoadSnapshot& command) {
  if (boot_configured_) {
    return Error(ErrorCode::WrongState,
                 "Load snapshot error: Loading a microVM snapshot not allowed after configuring boot-specific "
                 "resources.");
  }
  const Stopwatch watch;
  DescriptorPool pool(std::move(command.descriptors), options_.inherited);
  Status loaded = load_snapshot(command.config, pool);
  metrics_.latencies_us.vmm_load_snapshot.set(watch.elapsed_us());
  if (!loaded.ok()) {
    // Half of a machine is none: the process ends once the client has its answer. What is queued meanwhile must not
    // start it.
    load_failed_ = true;
    loop_.post([this] { on_end_(ExitCode::GenericError); });
  }
  return reply_or_prefix(std::move(loaded), "Load snapshot error: ");
}

namespace {

Result<StateFile> open_state_file(const HostResource& file, DescriptorPool& pool) {
  if (!file.descriptor) {
    return StateFile::open(file.path.value_or(""));
  }
  const std::string name = name_of(*file.descriptor);
  const Fd fd = WISP_TRY(pool.take(*file.descriptor, "the snapshot file"));
  (void)WISP_TRY(check_data_descriptor(fd.ref(), "snapshot file", name, Access::ReadOnly, FileKind::Regular));
  return StateFile::read(fd.ref(), name);
}

Result<RestoreInput> make_input(const StateFile& state, const SnapshotLoadConfig& load, DescriptorPool& pool) {
  RestoreInput input{.state = state,
                     .backend = load.memory_backend,
                     .memory_path = load.memory.path.value_or(""),
                     .clock = load.clock_realtime ? ClockOnRestore::AdvanceToNow : ClockOnRestore::Continue};
  if (load.memory.descriptor) {
    input.memory_path = name_of(*load.memory.descriptor);
    input.memory_descriptor = WISP_TRY(pool.take(*load.memory.descriptor, "the memory file"));
  }
  return input;
}

}  // namespace

Status VmController::load_snapshot(const SnapshotLoadConfig& load, DescriptorPool& pool) {
  trace::phase("state read");
  auto state = open_state_file(load.state, pool);
  if (!state.ok()) {
    return std::move(state).error().with_prefix(std::string(kRestoreFailed) +
                                                "Failed to get snapshot state from file: ");
  }
  Status restored = restore_from(state.value(), load, pool);
  if (!restored.ok()) {
    return std::move(restored).error().with_prefix(kRestoreFailed);
  }
  state_ = VmState::Paused;
  if (load.resume_vm) {
    let_run();
  } else {
    loop_.post(trace::write);
  }
  vm_->wait_until_confined();
  (void)metrics_sink_.flush();
  return {};
}

Status VmController::restore_from(const StateFile& state, const SnapshotLoadConfig& load, DescriptorPool& pool) {
  trace::phase("checks");
  StateReader in(kConfigSection, WISP_TRY(required_section(state, kConfigSection)));
  FullConfig config = WISP_TRY(restore_config(in));
  GivenResources given = WISP_TRY(apply_overrides(config, load, pool));
  RestoreInput input = WISP_TRY(make_input(state, load, pool));
  (void)WISP_TRY(open_outputs(load, pool));
  (void)WISP_TRY(restore_configuration(std::move(config), std::move(given)));
  (void)WISP_TRY(prepare_timers());
  VmSpec spec = WISP_TRY(make_spec());
  adopt_machine(WISP_TRY(Vm::restore(std::move(spec), std::move(input), loop_, metrics_, on_end_)));
  return {};
}

/// Outputs and the metadata belong to the process, not to the snapshot; they are there before the guest runs.
Status VmController::open_outputs(const SnapshotLoadConfig& load, DescriptorPool& pool) {
  if (load.logger_override) {
    log::set_sink(WISP_TRY(open_output(*load.logger_override, "log file", pool)));
  }
  if (load.metrics_override) {
    Fd sink = WISP_TRY(open_output(*load.metrics_override, "metrics file", pool));
    (void)WISP_TRY(metrics_sink_.configure(MetricsConfig{}, std::move(sink)));
  }
  if (load.serial_override) {
    configuration_.give_serial_sink(WISP_TRY(open_output(*load.serial_override, "serial output file", pool)));
  }
  if (load.metadata_override) {
    const std::string json =
        WISP_TRY(read_text(*load.metadata_override, "metadata file", options_.mmds_limit_bytes, pool));
    (void)WISP_TRY(metadata_.put(json));
  }
  return {};
}

/// Sends the captured configuration through the same checks as a client's requests.
Status VmController::restore_configuration(FullConfig config, GivenResources given) {
  (void)WISP_TRY(configuration_.set_machine(config.machine));
  if (config.boot_source) {
    configuration_.note_boot_source(std::move(*config.boot_source));
  }
  for (DriveConfig& drive : config.drives) {
    auto disk = take_given(given.drives, drive.drive_id);
    (void)WISP_TRY(configuration_.set_drive(std::move(drive), std::move(disk)));
  }
  for (NetConfig& net : config.network_interfaces) {
    auto tap = take_given(given.taps, net.iface_id);
    (void)WISP_TRY(configuration_.set_network_interface(std::move(net), std::move(tap)));
  }
  for (PmemConfig& pmem : config.pmem) {
    auto file = take_given(given.pmem_files, pmem.id);
    (void)WISP_TRY(configuration_.set_pmem(std::move(pmem), std::move(file)));
  }
  if (config.vsock) {
    (void)WISP_TRY(configuration_.set_vsock(std::move(*config.vsock), std::move(given.vsock)));
  }
  if (config.balloon) {
    (void)WISP_TRY(configuration_.set_balloon(*config.balloon));
  }
  if (config.entropy) {
    configuration_.set_entropy(*config.entropy);
  }
  if (config.memory_hotplug) {
    (void)WISP_TRY(configuration_.set_memory_hotplug(*config.memory_hotplug));
  }
  return config.mmds ? configuration_.set_mmds(std::move(*config.mmds)) : Status();
}

}  // namespace wisp
