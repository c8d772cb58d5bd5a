#include "vmm/machine/live_devices.h"

#include <algorithm>

namespace wisp {
namespace {

Error not_found() {
  return {ErrorCode::NotFound, "Failed perform action on device: Device not found"};
}

constexpr const char* kOtherBackend =
    "Block: Running method expected different backend. Please verify the request arguments.";

Status patch_vhost_drive(VhostUserBlockDevice& device, const DrivePatch& patch) {
  if (patch.path_on_host || patch.limits) {
    return Error(ErrorCode::InvalidArgument, std::string(kOtherBackend) + " (Drive '" + patch.drive_id +
                                                 "' is served by a vhost-user back end: give drive_id only, and its "
                                                 "capacity is read anew.)");
  }
  return device.refresh_config();
}

}  // namespace

Status LiveDevices::patch(const DrivePatch& patch) {
  const auto vhost = std::ranges::find(vhost_drives_, patch.drive_id, &VhostUserBlockDevice::drive_id);
  if (vhost != vhost_drives_.end()) {
    return patch_vhost_drive(**vhost, patch);
  }
  const auto found = std::ranges::find(drives_, patch.drive_id, &BlockDevice::drive_id);
  if (found == drives_.end()) {
    return not_found();
  }
  if (!patch.path_on_host && !patch.limits) {
    return Error(ErrorCode::InvalidArgument,
                 std::string(kOtherBackend) + " (Give path_on_host, rate_limiter or both.)");
  }
  return (*found)->update(patch);
}

Status LiveDevices::patch(const NetPatch& patch) {
  const auto found = std::ranges::find(nets_, patch.iface_id, &NetDevice::iface_id);
  if (found == nets_.end()) {
    return not_found();
  }
  (*found)->update_limits(patch);
  return {};
}

Status LiveDevices::patch(const PmemPatch& patch) {
  const auto found = std::ranges::find(pmems_, patch.id, &PmemDevice::id);
  if (found == pmems_.end()) {
    return not_found();
  }
  (*found)->update_limits(patch.limits);
  return {};
}

Result<BalloonDevice*> LiveDevices::balloon() const {
  if (balloon_ == nullptr) {
    return not_found();
  }
  return balloon_;
}

Result<MemDevice*> LiveDevices::memory() const {
  if (memory_ == nullptr) {
    return not_found();
  }
  return memory_;
}

void LiveDevices::register_in(MetricsRegistry& registry) const {
  for (const BlockDevice* drive : drives_) {
    registry.add_instance("block", drive->drive_id(), block_metric_fields(drive->metrics()));
  }
  for (const VhostUserBlockDevice* drive : vhost_drives_) {
    registry.add_instance("vhost_user_block", drive->drive_id(), vhost_user_block_metric_fields(drive->metrics()));
  }
  for (const NetDevice* net : nets_) {
    registry.add_instance("net", net->iface_id(), net_metric_fields(net->metrics()));
  }
  for (const PmemDevice* pmem : pmems_) {
    registry.add_instance("pmem", pmem->id(), pmem_metric_fields(pmem->metrics()));
  }
  if (vsock_ != nullptr) {
    registry.add_group("vsock", vsock_metric_fields(vsock_->metrics()));
  }
  if (balloon_ != nullptr) {
    registry.add_group("balloon", balloon_metric_fields(balloon_->metrics()));
  }
  if (entropy_ != nullptr) {
    registry.add_group("entropy", entropy_metric_fields(entropy_->metrics()));
  }
  if (memory_ != nullptr) {
    registry.add_group("memory_hotplug", mem_metric_fields(memory_->metrics()));
  }
  if (mmds_ != nullptr) {
    registry.add_group("mmds", mmds_metric_fields(*mmds_));
  }
}

}  // namespace wisp
