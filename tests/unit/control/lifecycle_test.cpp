#include "vmm/control/lifecycle.h"

#include <catch2/catch.hpp>
#include <vector>

namespace wisp {
namespace {

struct Row {
  const char* name;
  Command command;
  bool before_start;
  bool after_start;
};

const std::vector<Row>& rows() {
  static const std::vector<Row> kRows = {
      {"GetInstanceInfo", GetInstanceInfo{}, true, true},
      {"GetMachineConfig", GetMachineConfig{}, true, true},
      {"GetFullConfig", GetFullConfig{}, true, true},
      {"PutMachineConfig", PutMachineConfig{}, true, false},
      {"PatchMachineConfig", PatchMachineConfig{}, true, false},
      {"PutBootSource", PutBootSource{}, true, false},
      {"PutDrive", PutDrive{}, true, false},
      {"PutLogger", PutLogger{}, true, false},
      {"PutMetrics", PutMetrics{}, true, false},
      {"PutSerial", PutSerial{}, true, false},
      {"InstanceStart", InstanceStart{}, true, false},
      {"FlushMetrics", FlushMetrics{}, false, true},
      {"SendCtrlAltDel", SendCtrlAltDel{}, false, true},
      {"PauseVm", PauseVm{}, false, true},
      {"ResumeVm", ResumeVm{}, false, true},
  };
  return kRows;
}

}  // namespace

TEST_CASE("every command is allowed exactly in the phases that the API documents") {
  const auto row = GENERATE(from_range(rows()));
  CAPTURE(row.name);
  CHECK(check_phase(row.command, Phase::BeforeStart).ok() == row.before_start);
  CHECK(check_phase(row.command, Phase::AfterStart).ok() == row.after_start);
}

TEST_CASE("a refused phase says which side of the start was wrong") {
  CHECK(check_phase(PauseVm{}, Phase::BeforeStart).error().text() ==
        "The requested operation is not supported before starting the microVM.");
  CHECK(check_phase(PutDrive{}, Phase::AfterStart).error().text() ==
        "The requested operation is not supported after starting the microVM.");
}

}  // namespace wisp
