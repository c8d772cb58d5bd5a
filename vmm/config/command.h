// Commands and replies: everything that a client can ask of the monitor, as data.
//
// The API and the configuration file turn JSON into a Command; the controller (vmm/control) carries one out at a time
// and answers with a Reply. The API knows the machine only through these types and CommandPort.
#pragma once

#include <optional>
#include <string>
#include <variant>
#include <vector>

#include "vmm/base/result.h"
#include "vmm/config/balloon.h"
#include "vmm/config/boot.h"
#include "vmm/config/capabilities.h"
#include "vmm/config/cpu_template.h"
#include "vmm/config/drive.h"
#include "vmm/config/entropy.h"
#include "vmm/config/machine.h"
#include "vmm/config/memory_hotplug.h"
#include "vmm/config/mmds.h"
#include "vmm/config/net.h"
#include "vmm/config/observe.h"
#include "vmm/config/pmem.h"
#include "vmm/config/snapshot.h"
#include "vmm/config/vsock.h"

namespace wisp {

// Questions.
struct GetInstanceInfo {};
struct GetMachineConfig {};
struct GetFullConfig {};
struct GetBalloon {};
struct GetBalloonStatistics {};
struct GetBalloonHinting {};
struct GetMemoryHotplug {};
struct GetMmds {};

// Configuration.
struct PutMachineConfig {
  MachineConfig config;
};
struct PatchMachineConfig {
  MachineConfigPatch patch;
};
struct PutCpuConfig {
  CustomCpuTemplate config;
};
struct PutBootSource {
  BootSource config;
};
struct PutDrive {
  DriveConfig config;
};
struct PutNetworkInterface {
  NetConfig config;
};
struct PutPmem {
  PmemConfig config;
};
struct PutVsock {
  VsockConfig config;
};
struct PutBalloon {
  BalloonConfig config;
};
struct PutEntropy {
  EntropyConfig config;
};
struct PutMemoryHotplug {
  MemoryHotplugConfig config;
};
struct PutMmdsConfig {
  MmdsConfig config;
};
struct PutLogger {
  LoggerConfig config;
};
struct PutMetrics {
  MetricsConfig config;
};
struct PutSerial {
  SerialConfig config;
};

// The metadata store takes JSON as text: it is the only one that looks inside.
struct PutMmds {
  std::string json;
};
struct PatchMmds {
  std::string json;
};

// Life.
/// The first one before the start looks at the host, later ones tell what that found.
struct GetCapabilities {};
struct InstanceStart {};
struct FlushMetrics {};
struct SendCtrlAltDel {};
struct PauseVm {};
struct ResumeVm {};
struct CreateSnapshot {
  SnapshotCreateConfig config;
};
/// A failure ends the process with exit code 1, once it is answered: the machine may be half made.
struct LoadSnapshot {
  SnapshotLoadConfig config;
  ReceivedDescriptors descriptors = {};  ///< came with the request; absent: none
};

// Changes to a running machine.
struct PatchDrive {
  DrivePatch patch;
};
struct PatchNetworkInterface {
  NetPatch patch;
};
struct PatchPmem {
  PmemPatch patch;
};
struct PatchBalloon {
  std::uint32_t amount_mib = 0;
};
struct PatchBalloonStatistics {
  std::uint16_t stats_polling_interval_s = 0;
};
struct StartBalloonHinting {
  HintingStop on_stop = HintingStop::Acknowledge;
};
struct StopBalloonHinting {};
struct PatchMemoryHotplug {
  std::uint32_t requested_size_mib = 0;
};
/// DELETE; devices come and go on the PCI transport only.
struct UnplugDevice {
  std::string id;
};

using Command =
    std::variant<GetInstanceInfo, GetMachineConfig, GetFullConfig, GetBalloon, GetBalloonStatistics, GetBalloonHinting,
                 GetMemoryHotplug, GetMmds, PutMachineConfig, PatchMachineConfig, PutCpuConfig, PutBootSource, PutDrive,
                 PutNetworkInterface, PutPmem, PutVsock, PutBalloon, PutEntropy, PutMemoryHotplug, PutMmdsConfig,
                 PutLogger, PutMetrics, PutSerial, PutMmds, PatchMmds, InstanceStart, FlushMetrics, SendCtrlAltDel,
                 PauseVm, ResumeVm, CreateSnapshot, LoadSnapshot, PatchDrive, PatchNetworkInterface, PatchPmem,
                 PatchBalloon, PatchBalloonStatistics, StartBalloonHinting, StopBalloonHinting, PatchMemoryHotplug,
                 UnplugDevice, GetCapabilities>;

enum class VmState { NotStarted, Running, Paused };

struct InstanceInfo {
  std::string id;
  VmState state = VmState::NotStarted;
};

/// Everything that was configured, as GET /vm/config shows it.
struct FullConfig {
  MachineConfig machine;
  std::optional<BootSource> boot_source;
  std::vector<DriveConfig> drives;  ///< the root device first, then in PUT order
  std::vector<NetConfig> network_interfaces;
  std::vector<PmemConfig> pmem;
  std::optional<VsockConfig> vsock;
  std::optional<BalloonConfig> balloon;
  std::optional<EntropyConfig> entropy;
  std::optional<MemoryHotplugConfig> memory_hotplug;
  std::optional<MmdsConfig> mmds;
};

/// The metadata store's content, as JSON text.
struct MmdsContents {
  std::string json;
};

/// The answer to a successful command; Unit where there is nothing to say.
using Reply = std::variant<Unit, InstanceInfo, MachineConfig, FullConfig, BalloonConfig, BalloonStatistics,
                           BalloonHintingStatus, MemoryHotplugStatus, MmdsContents, Capabilities>;

/// The way from the API to the controller. execute() may be called from any thread and returns when the command is
/// done; a refusal is an Error whose text goes to the client and has changed nothing.
class CommandPort {
 public:
  virtual ~CommandPort() = default;
  virtual Result<Reply> execute(Command command) = 0;
};

}  // namespace wisp
