// Configuration: what the operator has asked for before the start, checked piece by piece.
//
// Every setter either takes the whole request or refuses it with nothing changed. Files are opened here, once, when
// they are named: the machine is later built from these descriptors, so what was checked is what is used.
#pragma once

#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "virtio/block/disk_file.h"
#include "virtio/net/tap.h"
#include "virtio/vsock/listener.h"
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
    std::optional<DiskFile> disk;  ///< until the machine has it; never for a vhost-user back end
  };
  struct NetworkInterface {
    NetConfig config;
    std::optional<Tap> tap;  ///< until the machine has it
  };
  struct Vsock {
    VsockConfig config;
    std::optional<VsockListener> listener;  ///< until the machine has it
  };

  // Before the start.
  Status set_machine(const MachineConfig& config);
  Status patch_machine(const MachineConfigPatch& patch);
  /// Of a custom and a static template (machine-config's cpu_template) the last one that was set counts.
  void set_cpu_template(CustomCpuTemplate custom);
  Status set_boot_source(BootSource source);
  /// Adds a drive or replaces the one with the same id in place; the root device is always the first.
  /// A disk, TAP, file or socket that is `given` is open and checked; without one it is opened under its path.
  Status set_drive(DriveConfig config, std::optional<DiskFile> given = {});
  /// Adds an interface; one with the same id goes away first, and the new one is the last: the order is the guest's.
  Status set_network_interface(NetConfig config, std::optional<Tap> given = {});
  /// The file is opened at the start, not here.
  Status set_pmem(PmemConfig config, std::optional<Fd> given = {});
  Status set_vsock(VsockConfig config, std::optional<VsockListener> given = {});
  Status set_balloon(const BalloonConfig& config);
  void set_entropy(const EntropyConfig& config) { entropy_ = config; }
  Status set_memory_hotplug(const MemoryHotplugConfig& config);
  Status set_mmds(MmdsConfig config);
  void set_serial(SerialConfig config) { serial_ = std::move(config); }
  /// The open output is used in place of the path.
  void give_serial_sink(Fd sink) { serial_sink_ = std::move(sink); }

  // After the start: what the machine has taken over is shown, too.
  /// The machine holds its own descriptors now; ours are closed, so that a file that is replaced later is really let
  /// go.
  void release_files();
  void note(const DrivePatch& patch);
  void note(const NetPatch& patch);
  /// A restored machine boots nothing: the files are shown, not opened.
  void note_boot_source(BootSource source) { boot_ = Boot{std::move(source), Fd(), std::nullopt}; }
  void note_balloon(const BalloonConfig& config) { balloon_ = config; }

  const MachineConfig& machine() const { return machine_; }
  const std::optional<CustomCpuTemplate>& cpu_template() const { return cpu_template_; }
  const std::optional<Boot>& boot() const { return boot_; }
  const std::vector<Drive>& drives() const { return drives_; }
  const std::vector<NetworkInterface>& network_interfaces() const { return network_interfaces_; }
  const std::vector<PmemConfig>& pmem() const { return pmem_; }
  const std::map<std::string, Fd>& pmem_files() const { return pmem_files_; }
  const std::optional<Vsock>& vsock() const { return vsock_; }
  const std::optional<BalloonConfig>& balloon() const { return balloon_; }
  const std::optional<EntropyConfig>& entropy() const { return entropy_; }
  const std::optional<MemoryHotplugConfig>& memory_hotplug() const { return memory_hotplug_; }
  const std::optional<MmdsConfig>& mmds() const { return mmds_; }
  const SerialConfig& serial() const { return serial_; }
  const Fd& serial_sink() const { return serial_sink_; }
  FullConfig full() const;

 private:
  MachineConfig machine_;
  std::optional<CustomCpuTemplate> cpu_template_;
  std::optional<Boot> boot_;
  std::vector<Drive> drives_;
  std::vector<NetworkInterface> network_interfaces_;
  std::vector<PmemConfig> pmem_;
  std::map<std::string, Fd> pmem_files_;  ///< those that were given as descriptors, until the machine has them
  std::optional<Vsock> vsock_;
  std::optional<BalloonConfig> balloon_;
  std::optional<EntropyConfig> entropy_;
  std::optional<MemoryHotplugConfig> memory_hotplug_;
  std::optional<MmdsConfig> mmds_;
  SerialConfig serial_;
  Fd serial_sink_;
};

}  // namespace wisp
