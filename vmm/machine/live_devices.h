// LiveDevices: the devices of a running machine that an operator can change or ask while the guest runs.
//
// The objects belong to their transports (DeviceManager); this is the list of who they are. Everything here runs on the
// loop's thread, also while the machine is paused. A change is made whole or refused with nothing changed.
#pragma once

#include <string>
#include <vector>

#include "virtio/balloon/device.h"
#include "virtio/block/device.h"
#include "virtio/mem/device.h"
#include "virtio/mmds/metadata_service.h"
#include "virtio/net/device.h"
#include "virtio/pmem/device.h"
#include "virtio/rng/device.h"
#include "virtio/vhost/device.h"
#include "virtio/vsock/device.h"
#include "vmm/base/metrics.h"
#include "vmm/config/command.h"

namespace wisp {

class LiveDevices {
 public:
  void add(BlockDevice& device) { drives_.push_back(&device); }
  void add(VhostUserBlockDevice& device) { vhost_drives_.push_back(&device); }
  void add(NetDevice& device) { nets_.push_back(&device); }
  void add(PmemDevice& device) { pmems_.push_back(&device); }
  void add(VsockDevice& device) { vsock_ = &device; }
  void add(BalloonDevice& device) { balloon_ = &device; }
  void add(RngDevice& device) { entropy_ = &device; }
  void add(MemDevice& device) { memory_ = &device; }
  void add(const MmdsMetrics& metrics) { mmds_ = &metrics; }

  /// Another file (the same path: the file is looked at again), other limits, or both. Of a vhost-user drive: nothing
  /// but the id, and its configuration is read anew.
  Status patch(const DrivePatch& patch);
  Status patch(const NetPatch& patch);
  Status patch(const PmemPatch& patch);
  /// Fails when the machine has none.
  Result<BalloonDevice*> balloon() const;
  Result<MemDevice*> memory() const;

  /// Adds the groups of these devices in place of the zeros.
  void register_in(MetricsRegistry& registry) const;

 private:
  std::vector<BlockDevice*> drives_;
  std::vector<VhostUserBlockDevice*> vhost_drives_;
  std::vector<NetDevice*> nets_;
  std::vector<PmemDevice*> pmems_;
  VsockDevice* vsock_ = nullptr;
  BalloonDevice* balloon_ = nullptr;
  RngDevice* entropy_ = nullptr;
  MemDevice* memory_ = nullptr;
  const MmdsMetrics* mmds_ = nullptr;
};

}  // namespace wisp
