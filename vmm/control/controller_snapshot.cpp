// Snapshots: the machine's sections, the configuration's section and the memory become two files, and a machine again.
#include "snapshot/image/atomic_file.h"
#include "snapshot/image/state_file.h"
#include "vmm/base/clock.h"
#include "vmm/base/log.h"
#include "vmm/base/trace.h"
#include "vmm/control/config_state.h"
#include "vmm/control/controller.h"
#include "vmm/control/reply.h"

namespace wisp {
namespace {

constexpr const char* kConfigSection = "config";
constexpr const char* kRestoreFailed = "Failed to restore from snapshot: ";

template <typename Entry, typename Override>
Status apply(std::vector<Entry>& entries, std::string Entry::*id, std::string Entry::*path,
             const std::vector<Override>& overrides, std::string Override::*override_id,
             std::string Override::*override_path, const char* unknown) {
  for (const Override& wanted : overrides) {
    const auto found =
        std::ranges::find_if(entries, [&](const Entry& entry) { return entry.*id == wanted.*override_id; });
    if (found == entries.end()) {
      return Error(ErrorCode::NotFound, std::string(unknown) + " (id '" + wanted.*override_id + "')");
    }
    (*found).*path = wanted.*override_path;
  }
  return {};
}

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

/// Puts the host resources of today in the place of those that the machine was captured with.
Status apply_overrides(FullConfig& config, const SnapshotLoadConfig& load) {
  (void)WISP_TRY(apply(config.network_interfaces, &NetConfig::iface_id, &NetConfig::host_dev_name,
                       load.network_overrides, &NetworkOverride::iface_id, &NetworkOverride::host_dev_name,
                       "Unknown Network Device."));
  (void)WISP_TRY(apply(config.drives, &DriveConfig::drive_id, &DriveConfig::path_on_host, load.drive_overrides,
                       &FileOverride::id, &FileOverride::path_on_host, "Unknown Drive."));
  (void)WISP_TRY(apply(config.pmem, &PmemConfig::id, &PmemConfig::path_on_host, load.pmem_overrides, &FileOverride::id,
                       &FileOverride::path_on_host, "Unknown Pmem Device."));
  if (load.vsock_uds_path) {
    if (!config.vsock) {
      return Error(ErrorCode::NotFound, "Unknown Vsock Device.");
    }
    config.vsock->uds_path = *load.vsock_uds_path;
  }
  config.machine.track_dirty_pages = load.track_dirty_pages;
  config.machine.huge_pages = load.huge_pages.value_or(config.machine.huge_pages);
  return {};
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
  Status loaded = load_snapshot(command.config);
  metrics_.latencies_us.vmm_load_snapshot.set(watch.elapsed_us());
  if (!loaded.ok()) {
    // Half of a machine is none: the process ends once the client has its answer.
    loop_.post([this] { on_end_(ExitCode::GenericError); });
  }
  return reply_or_prefix(std::move(loaded), "Load snapshot error: ");
}

Status VmController::load_snapshot(const SnapshotLoadConfig& load) {
  trace::phase("state read");
  auto state = StateFile::open(load.snapshot_path);
  if (!state.ok()) {
    return std::move(state).error().with_prefix(std::string(kRestoreFailed) +
                                                "Failed to get snapshot state from file: ");
  }
  const auto section = state.value().section(kConfigSection);
  if (!section) {
    return Error(ErrorCode::Corrupt, std::string(kRestoreFailed) + "the snapshot has no section 'config'");
  }
  StateReader in(kConfigSection, *section);
  trace::phase("checks");
  auto config = restore_config(in);
  Status prepared =
      config.ok() ? restore_configuration(std::move(config).value(), load) : Status(std::move(config).error());
  if (prepared.ok()) {
    prepared = prepare_timers();
  }
  if (!prepared.ok()) {
    return std::move(prepared).error().with_prefix(kRestoreFailed);
  }
  auto spec = make_spec();
  if (!spec.ok()) {
    return std::move(spec).error().with_prefix(kRestoreFailed);
  }
  const RestoreInput input{state.value(), load.memory_backend, load.memory_path,
                           load.clock_realtime ? ClockOnRestore::AdvanceToNow : ClockOnRestore::Continue};
  auto vm = Vm::restore(std::move(spec).value(), input, loop_, metrics_, on_end_);
  if (!vm.ok()) {
    return std::move(vm).error().with_prefix(kRestoreFailed);
  }
  adopt_machine(std::move(vm).value());
  state_ = VmState::Paused;
  if (load.resume_vm) {
    let_run();
  } else {
    loop_.post(trace::write);
  }
  (void)metrics_sink_.flush();
  return {};
}

/// Sends the captured configuration through the same checks as a client's requests.
Status VmController::restore_configuration(FullConfig config, const SnapshotLoadConfig& load) {
  (void)WISP_TRY(apply_overrides(config, load));
  (void)WISP_TRY(configuration_.set_machine(config.machine));
  if (config.boot_source) {
    configuration_.note_boot_source(std::move(*config.boot_source));
  }
  for (DriveConfig& drive : config.drives) {
    (void)WISP_TRY(configuration_.set_drive(std::move(drive)));
  }
  for (NetConfig& net : config.network_interfaces) {
    (void)WISP_TRY(configuration_.set_network_interface(std::move(net)));
  }
  for (PmemConfig& pmem : config.pmem) {
    (void)WISP_TRY(configuration_.set_pmem(std::move(pmem)));
  }
  if (config.vsock) {
    (void)WISP_TRY(configuration_.set_vsock(std::move(*config.vsock)));
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
