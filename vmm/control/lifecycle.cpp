#include "vmm/control/lifecycle.h"

#include <array>

namespace wisp {
namespace {

// In the order of the alternatives of Command.
constexpr std::array kTable = {
    Allowed::Always,       // GetInstanceInfo
    Allowed::Always,       // GetMachineConfig
    Allowed::Always,       // GetFullConfig
    Allowed::Always,       // GetBalloon
    Allowed::AfterStart,   // GetBalloonStatistics
    Allowed::AfterStart,   // GetBalloonHinting
    Allowed::AfterStart,   // GetMemoryHotplug
    Allowed::Always,       // GetMmds
    Allowed::BeforeStart,  // PutMachineConfig
    Allowed::BeforeStart,  // PatchMachineConfig
    Allowed::BeforeStart,  // PutCpuConfig
    Allowed::BeforeStart,  // PutBootSource
    Allowed::BeforeStart,  // PutDrive
    Allowed::BeforeStart,  // PutNetworkInterface
    Allowed::BeforeStart,  // PutPmem
    Allowed::BeforeStart,  // PutVsock
    Allowed::BeforeStart,  // PutBalloon
    Allowed::BeforeStart,  // PutEntropy
    Allowed::BeforeStart,  // PutMemoryHotplug
    Allowed::BeforeStart,  // PutMmdsConfig
    Allowed::BeforeStart,  // PutLogger
    Allowed::BeforeStart,  // PutMetrics
    Allowed::BeforeStart,  // PutSerial
    Allowed::Always,       // PutMmds
    Allowed::Always,       // PatchMmds
    Allowed::BeforeStart,  // InstanceStart
    Allowed::AfterStart,   // FlushMetrics
    Allowed::AfterStart,   // SendCtrlAltDel
    Allowed::AfterStart,   // PauseVm
    Allowed::AfterStart,   // ResumeVm
    Allowed::AfterStart,   // CreateSnapshot
    Allowed::BeforeStart,  // LoadSnapshot
    Allowed::AfterStart,   // PatchDrive
    Allowed::AfterStart,   // PatchNetworkInterface
    Allowed::AfterStart,   // PatchPmem
    Allowed::AfterStart,   // PatchBalloon
    Allowed::AfterStart,   // PatchBalloonStatistics
    Allowed::AfterStart,   // StartBalloonHinting
    Allowed::AfterStart,   // StopBalloonHinting
    Allowed::AfterStart,   // PatchMemoryHotplug
    Allowed::AfterStart,   // UnplugDevice
};
static_assert(kTable.size() == std::variant_size_v<Command>, "every command has a row");

}  // namespace

Allowed allowed_phase(const Command& command) {
  return kTable.at(command.index());
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
