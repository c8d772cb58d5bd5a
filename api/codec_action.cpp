#include "api/codec_action.h"

#include <nlohmann/json.hpp>

#include "api/fields.h"

namespace wisp::api {
namespace {

enum class Action { FlushMetrics, InstanceStart, SendCtrlAltDel };
constexpr EnumName<Action> kActions[] = {
    {"FlushMetrics", Action::FlushMetrics},
    {"InstanceStart", Action::InstanceStart},
    {"SendCtrlAltDel", Action::SendCtrlAltDel},
};

enum class WantedState { Paused, Resumed };
constexpr EnumName<WantedState> kWantedStates[] = {{"Paused", WantedState::Paused}, {"Resumed", WantedState::Resumed}};

}  // namespace

Result<Command> decode_action(const Json& json) {
  Action action = Action::FlushMetrics;
  FieldReader fields(json);
  fields.required("action_type", kActions, action);
  WISP_TRY(fields.finish(UnknownFields::Refused));
  switch (action) {
    case Action::InstanceStart: return Command(InstanceStart{});
    case Action::SendCtrlAltDel: return Command(SendCtrlAltDel{});
    case Action::FlushMetrics: break;
  }
  return Command(FlushMetrics{});
}

Result<Command> decode_vm_state(const Json& json) {
  WantedState state = WantedState::Paused;
  FieldReader fields(json);
  fields.required("state", kWantedStates, state);
  WISP_TRY(fields.finish(UnknownFields::Refused));
  if (state == WantedState::Resumed) {
    return Command(ResumeVm{});
  }
  return Command(PauseVm{});
}

}  // namespace wisp::api
