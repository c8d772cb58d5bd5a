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
#include "vmm/config/boot.h"
#include "vmm/config/drive.h"
#include "vmm/config/machine.h"
#include "vmm/config/observe.h"

namespace wisp {

struct GetInstanceInfo {};
struct GetMachineConfig {};
struct GetFullConfig {};
struct PutMachineConfig {
  MachineConfig config;
};
struct PatchMachineConfig {
  MachineConfigPatch patch;
};
struct PutBootSource {
  BootSource config;
};
struct PutDrive {
  DriveConfig config;
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
struct InstanceStart {};
struct FlushMetrics {};
struct SendCtrlAltDel {};
struct PauseVm {};
struct ResumeVm {};

using Command = std::variant<GetInstanceInfo, GetMachineConfig, GetFullConfig, PutMachineConfig, PatchMachineConfig,
                             PutBootSource, PutDrive, PutLogger, PutMetrics, PutSerial, InstanceStart, FlushMetrics,
                             SendCtrlAltDel, PauseVm, ResumeVm>;

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
};

/// The answer to a successful command; Unit where there is nothing to say.
using Reply = std::variant<Unit, InstanceInfo, MachineConfig, FullConfig>;

/// The way from the API to the controller. execute() may be called from any thread and returns when the command is
/// done; a refusal is an Error whose text goes to the client and has changed nothing.
class CommandPort {
 public:
  virtual ~CommandPort() = default;
  virtual Result<Reply> execute(Command command) = 0;
};

}  // namespace wisp
