#include "vmm/control/lifecycle.h"

#include <array>

namespace wisp {
namespace {

/// Whether a snapshot can still be loaded after the command, successful or not.
enum class Load { Possible, Blocked };

struct Row {
  Allowed phase;
  Load later_load = Load::Possible;
};

// In the order of the alternatives of Command.
constexpr std::array kTable = {
    Row{Allowed::Always},                      // GetInstanceInfo
    Row{Allowed::Always},                      // GetMachineConfig
    Row{Allowed::Always},                      // GetFullConfig
    Row{Allowed::Always},                      // GetBalloon
    Row{Allowed::AfterStart},                  // GetBalloonStatistics
    Row{Allowed::AfterStart},                  // GetBalloonHinting
    Row{Allowed::AfterStart},                  // GetMemoryHotplug
    Row{Allowed::Always},                      // GetMmds
    Row{Allowed::BeforeStart, Load::Blocked},  // PutMachineConfig
    Row{Allowed::BeforeStart, Load::Blocked},  // PatchMachineConfig
    Row{Allowed::BeforeStart},                 // PutCpuConfig
    Row{Allowed::BeforeStart, Load::Blocked},  // PutBootSource
    Row{Allowed::BeforeStart, Load::Blocked},  // PutDrive
    Row{Allowed::BeforeStart, Load::Blocked},  // PutNetworkInterface
    Row{Allowed::BeforeStart, Load::Blocked},  // PutPmem
    Row{Allowed::BeforeStart, Load::Blocked},  // PutVsock
    Row{Allowed::BeforeStart, Load::Blocked},  // PutBalloon
    Row{Allowed::BeforeStart, Load::Blocked},  // PutEntropy
    Row{Allowed::BeforeStart, Load::Blocked},  // PutMemoryHotplug
    Row{Allowed::BeforeStart, Load::Blocked},  // PutMmdsConfig
    Row{Allowed::BeforeStart},                 // PutLogger
    Row{Allowed::BeforeStart},                 // PutMetrics
    Row{Allowed::BeforeStart},                 // PutSerial
    Row{Allowed::Always},                      // PutMmds
    Row{Allowed::Always},                      // PatchMmds
    Row{Allowed::BeforeStart},                 // InstanceStart
    Row{Allowed::AfterStart},                  // FlushMetrics
    Row{Allowed::AfterStart},                  // SendCtrlAltDel
    Row{Allowed::AfterStart},                  // PauseVm
    Row{Allowed::AfterStart},                  // ResumeVm
    Row{Allowed::AfterStart},                  // CreateSnapshot
    Row{Allowed::BeforeStart},                 // LoadSnapshot
    Row{Allowed::AfterStart},                  // PatchDrive
    Row{Allowed::AfterStart},                  // PatchNetworkInterface
    Row{Allowed::AfterStart},                  // PatchPmem
    Row{Allowed::AfterStart},                  // PatchBalloon
    Row{Allowed::AfterStart},                  // PatchBalloonStatistics
    Row{Allowed::AfterStart},                  // StartBalloonHinting
    Row{Allowed::AfterStart},                  // StopBalloonHinting
    Row{Allowed::AfterStart},                  // PatchMemoryHotplug
    Row{Allowed::AfterStart},                  // UnplugDevice
    Row{Allowed::Always},                      // GetCapabilities
};
static_assert(kTable.size() == std::variant_size_v<Command>, "every command has a row");

}  // namespace

Allowed allowed_phase(const Command& command) {
  return kTable.at(command.index()).phase;
}

bool blocks_load(const Command& command) {
  return kTable.at(command.index()).later_load == Load::Blocked;
}

Status check_phase(const Command& command, Phase phase) {
  const Allowed allowed = allowed_phase(command);
  if (allowed == Allowed::BeforeStart && phase == Phase::AfterStart) {
    return Error(ErrorCode::WrongState, "The requested operation is not supported after starting the microVM.");
  }
  if (allowed == Allowed::AfterStart && phase == Phase::BeforeStart) {
    return Error(ErrorCode::WrongState, "The requested operation is not supported before starting the microVM.");
  }
  return {};
}

}  // namespace wisp
