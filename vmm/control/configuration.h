// Configuration: what the operator has asked for before the start, checked piece by piece.
//
// Every setter either takes the whole request or refuses it with nothing changed. Files are opened here, once, when
// they are named: the machine is later built from these descriptors, so what was checked is what is used.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "virtio/block/disk_file.h"
#include "vmm/base/fd.h"
#include "vmm/config/command.h"

namespace wisp {

class Configuration {
 public:
  struct Boot {
    BootSource source;
    Fd kernel;
    std::optional<Fd> initrd;
  };
  struct Drive {
    DriveConfig config;
    DiskFile disk;
  };

  Status set_machine(const MachineConfig& config);
  Status patch_machine(const MachineConfigPatch& patch);
  Status set_boot_source(BootSource source);
  /// Adds a drive or replaces the one with the same id in place; the root device is always the first.
  Status set_drive(DriveConfig config);
  void set_serial(SerialConfig config) { serial_ = std::move(config); }

  const MachineConfig& machine() const { return machine_; }
  const std::optional<Boot>& boot() const { return boot_; }
  const std::vector<Drive>& drives() const { return drives_; }
  const SerialConfig& serial() const { return serial_; }
  FullConfig full() const;

 private:
  MachineConfig machine_;
  std::optional<Boot> boot_;
  std::vector<Drive> drives_;
  SerialConfig serial_;
};

}  // namespace wisp
