// Commands to the devices of a running machine, and to the metadata store.
#include "vmm/control/controller.h"
#include "vmm/control/reply.h"

namespace wisp {
namespace {

constexpr const char* kInternal = "Internal VMM error: ";
constexpr const char* kBalloonUpdate = "Balloon update error: ";

/// Carries out `work` on the machine's balloon.
template <typename Work>
auto with_balloon(Vm& vm, Work&& work) -> decltype(work(std::declval<BalloonDevice&>())) {
  return work(*WISP_TRY(vm.live_devices().balloon()));
}

}  // namespace

Result<Reply> VmController::on(GetBalloon& /*command*/) {
  if (!configuration_.balloon()) {
    return state_ == VmState::NotStarted
               ? Error(ErrorCode::NotFound, "Balloon config error: No balloon device found.")
               : Error(ErrorCode::NotFound, "Internal VMM error: Failed perform action on device: Device not found");
  }
  return Reply(*configuration_.balloon());
}

Result<Reply> VmController::on(GetBalloonStatistics& /*command*/) {
  return answer_or_prefix(with_balloon(*vm_, [](const BalloonDevice& balloon) { return balloon.statistics(); }),
                          kInternal);
}

Result<Reply> VmController::on(GetBalloonHinting& /*command*/) {
  return answer_or_prefix(with_balloon(*vm_, [](const BalloonDevice& balloon) { return balloon.hinting_status(); }),
                          kInternal);
}

Result<Reply> VmController::on(PatchBalloon& command) {
  Status changed =
      with_balloon(*vm_, [&](BalloonDevice& balloon) -> Status { return balloon.resize(command.amount_mib); });
  if (changed.ok()) {
    BalloonConfig config = *configuration_.balloon();
    config.amount_mib = command.amount_mib;
    configuration_.note_balloon(config);
  }
  return reply_or_prefix(std::move(changed), kBalloonUpdate);
}

Result<Reply> VmController::on(PatchBalloonStatistics& command) {
  const std::uint16_t interval_s = command.stats_polling_interval_s;
  Status changed =
      with_balloon(*vm_, [&](BalloonDevice& balloon) -> Status { return balloon.set_polling_interval(interval_s); });
  if (changed.ok()) {
    BalloonConfig config = *configuration_.balloon();
    config.stats_polling_interval_s = interval_s;
    configuration_.note_balloon(config);
  }
  return reply_or_prefix(std::move(changed), kBalloonUpdate);
}

Result<Reply> VmController::on(StartBalloonHinting& command) {
  return reply_or_prefix(
      with_balloon(*vm_, [&](BalloonDevice& balloon) -> Status { return balloon.start_hinting(command.on_stop); }),
      kBalloonUpdate);
}

Result<Reply> VmController::on(StopBalloonHinting& /*command*/) {
  return reply_or_prefix(with_balloon(*vm_, [](BalloonDevice& balloon) -> Status { return balloon.stop_hinting(); }),
                         kBalloonUpdate);
}

Result<Reply> VmController::on(GetMemoryHotplug& /*command*/) {
  auto device = vm_->live_devices().memory();
  if (!device.ok()) {
    return std::move(device).error().with_prefix(kInternal);
  }
  return Reply(device.value()->status());
}

Result<Reply> VmController::on(PatchMemoryHotplug& command) {
  constexpr const char* kPrefix = "Memory hotplug update error: ";
  auto device = vm_->live_devices().memory();
  if (!device.ok()) {
    return std::move(device).error().with_prefix(kPrefix);
  }
  return reply_or_prefix(device.value()->request(command.requested_size_mib), kPrefix);
}

Result<Reply> VmController::on(PatchDrive& command) {
  Status changed = vm_->live_devices().patch(command.patch);
  if (changed.ok()) {
    configuration_.note(command.patch);
  }
  return reply_or_prefix(std::move(changed), "Drive config error: Unable to patch the block device: ");
}

Result<Reply> VmController::on(PatchNetworkInterface& command) {
  Status changed = vm_->live_devices().patch(command.patch);
  if (changed.ok()) {
    configuration_.note(command.patch);
  }
  return reply_or_prefix(std::move(changed), "Network config error: Unable to update the net device: ");
}

Result<Reply> VmController::on(PatchPmem& command) {
  // The configuration goes on showing the limiter of the PUT, as the API has it.
  return reply_or_prefix(vm_->live_devices().patch(command.patch),
                         "Pmem config error: Unable to update the pmem device: ");
}

Result<Reply> VmController::on(UnplugDevice& command) {
  return Error(ErrorCode::Unsupported, "PCI is not enabled: device '" + command.id +
                                           "' cannot be removed, because devices come and go on the PCI transport "
                                           "only, which this version of wisp does not have");
}

// ---------------------------------------------------------------------------------------------------------------------
// Metadata.

/// Before the start everybody may fill the store; afterwards only a machine that can read it has one.
Status VmController::check_metadata_reachable() const {
  if (state_ != VmState::NotStarted && !configuration_.mmds()) {
    return Error(
        ErrorCode::WrongState,
        "MMDS error: The MMDS data store is not initialized. (No network interface of this microVM reaches the "
        "metadata service; PUT /mmds/config comes before the start.)");
  }
  return {};
}

namespace {

Result<Reply> metadata_reply(Status stored) {
  if (stored.ok()) {
    return Reply(Unit{});
  }
  if (stored.error().code() == ErrorCode::LimitExceeded) {
    return Error(ErrorCode::ContentTooLarge, "MMDS limit exceeded error: " + stored.error().text());
  }
  return std::move(stored).error().with_prefix("MMDS error: ");
}

}  // namespace

Result<Reply> VmController::on(GetMmds& /*command*/) {
  (void)WISP_TRY(check_metadata_reachable());
  return Reply(MmdsContents{metadata_.json()});
}

Result<Reply> VmController::on(PutMmds& command) {
  (void)WISP_TRY(check_metadata_reachable());
  return metadata_reply(metadata_.put(command.json));
}

Result<Reply> VmController::on(PatchMmds& command) {
  (void)WISP_TRY(check_metadata_reachable());
  return metadata_reply(metadata_.merge(command.json));
}

}  // namespace wisp
