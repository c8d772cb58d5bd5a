// The virtio devices of a machine. Their order is the guest's; VmBuilder::boot_devices() tells the firmware tables the
// same one.
#include <algorithm>

#include "virtio/balloon/device.h"
#include "virtio/block/device.h"
#include "virtio/mem/device.h"
#include "virtio/mmds/metadata_endpoint.h"
#include "virtio/net/device.h"
#include "virtio/pmem/device.h"
#include "virtio/rng/device.h"
#include "virtio/vhost/device.h"
#include "virtio/vsock/device.h"
#include "vmm/base/clock.h"
#include "vmm/machine/builder.h"

namespace wisp {

template <typename Device>
Status VmBuilder::attach(const std::string& name, Result<std::unique_ptr<Device>> device) {
  if (!device.ok()) {
    return std::move(device).error().with_prefix("Could not attach device: " + name + ": ");
  }
  Device& attached = *device.value();
  (void)WISP_TRY(vm_->devices_->add_virtio(std::move(device).value()));
  vm_->live_.add(attached);
  return {};
}

Status VmBuilder::add_virtio_devices() {
  (void)WISP_TRY(add_balloon());
  (void)WISP_TRY(add_drives());
  (void)WISP_TRY(add_network_interfaces());
  (void)WISP_TRY(add_pmem());
  (void)WISP_TRY(add_vsock());
  (void)WISP_TRY(add_entropy());
  return add_memory_hotplug();
}

Status VmBuilder::add_balloon() {
  if (!spec_.balloon) {
    return {};
  }
  return attach("balloon", BalloonDevice::create(*spec_.balloon, spec_.machine.memory_mib, loop_, monotonic_clock()));
}

Status VmBuilder::add_vhost_drive(std::size_t index) {
  const DriveConfig& config = spec_.drives[index].config;
  auto device = VhostUserBlockDevice::create(config, std::move(backends_[index].connection), loop_, monotonic_clock());
  if (device.ok()) {
    device.value()->set_init_time_us(backends_[index].connect_time_us);
  }
  return attach("drive '" + config.drive_id + "'", std::move(device));
}

Status VmBuilder::add_drives() {
  for (std::size_t index = 0; index < spec_.drives.size(); ++index) {
    DriveInput& drive = spec_.drives[index];
    if (drive.config.socket) {
      (void)WISP_TRY(add_vhost_drive(index));
      continue;
    }
    (void)WISP_TRY(attach("drive '" + drive.config.drive_id + "'",
                          BlockDevice::create(drive.config, std::move(*drive.disk), loop_)));
  }
  return {};
}

Result<std::unique_ptr<FrameDetour>> VmBuilder::metadata_detour(const std::string& iface_id) {
  if (!spec_.metadata) {
    return std::unique_ptr<FrameDetour>();
  }
  const auto& listed = spec_.metadata->config.network_interfaces;
  if (std::find(listed.begin(), listed.end(), iface_id) == listed.end()) {
    return std::unique_ptr<FrameDetour>();
  }
  return vm_->metadata_->attach();
}

Status VmBuilder::add_network_interfaces() {
  if (spec_.metadata) {
    MetadataInput& metadata = *spec_.metadata;
    vm_->metadata_ = WISP_TRY(MetadataService::create(metadata.config, metadata.store, metadata.instance_id, loop_,
                                                      monotonic_clock(), vm_->metadata_metrics_));
    vm_->live_.add(vm_->metadata_metrics_);
  }
  for (NetInput& net : spec_.network_interfaces) {
    auto detour = WISP_TRY(metadata_detour(net.config.iface_id));
    const std::string name = "network interface '" + net.config.iface_id + "'";
    (void)WISP_TRY(attach(name, NetDevice::create(net.config, std::move(net.tap), std::move(detour), loop_)));
  }
  return {};
}

Status VmBuilder::add_pmem() {
  for (std::size_t index = 0; index < spec_.pmem.size(); ++index) {
    const PmemConfig& config = spec_.pmem[index];
    (void)WISP_TRY(attach(
        "pmem '" + config.id + "'",
        PmemDevice::create(config, std::move(pmem_files_[index]), addresses_.pmem[index], loop_, monotonic_clock())));
  }
  return {};
}

Status VmBuilder::add_vsock() {
  if (!spec_.vsock) {
    return {};
  }
  return attach("vsock",
                VsockDevice::create(spec_.vsock->config, std::move(spec_.vsock->listener), loop_, monotonic_clock()));
}

Status VmBuilder::add_entropy() {
  if (!spec_.entropy) {
    return {};
  }
  return attach("entropy", RngDevice::create(*spec_.entropy, loop_, monotonic_clock()));
}

Status VmBuilder::add_memory_hotplug() {
  if (!spec_.memory_hotplug) {
    return {};
  }
  return attach("memory hot-plug",
                MemDevice::create(*spec_.memory_hotplug, *addresses_.hotplug, *vm_->hotplug_slots_, *vm_->memory_));
}

}  // namespace wisp
