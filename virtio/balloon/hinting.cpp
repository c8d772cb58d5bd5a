#include "virtio/balloon/hinting.h"

#include <limits>

namespace wisp {

void HintingSession::start(HintingStop on_stop) {
  last_id_ = last_id_ == std::numeric_limits<std::uint32_t>::max() ? kFirstHintingId : last_id_ + 1;
  on_stop_ = on_stop;
  set_host_command(last_id_);
}

HintingSession::Reaction HintingSession::on_guest_command(std::uint32_t command) {
  const bool ends_run = command == kHintingStop && collecting();
  guest_command_ = command;
  if (!ends_run || on_stop_ != HintingStop::Acknowledge) {
    return Reaction::None;
  }
  set_host_command(kHintingDone);
  return Reaction::CommandChanged;
}

void HintingSession::forget_driver() {
  set_host_command(kHintingStop);
  guest_command_.reset();
}

void HintingSession::save(StateWriter& out) const {
  out.u32(host_command());
  out.u32(last_id_);
  out.boolean(guest_command_.has_value());
  out.u32(guest_command_.value_or(0));
}

Status HintingSession::restore(StateReader& in) {
  const std::uint32_t host_command = in.u32();
  const std::uint32_t last_id = in.u32();
  const bool has_guest_command = in.boolean();
  const std::uint32_t guest_command = in.u32();
  (void)WISP_TRY(in.check(last_id >= kHintingDone && (host_command <= kHintingDone || host_command == last_id),
                          "a hinting command that was never given"));
  set_host_command(host_command >= kFirstHintingId ? kHintingDone : host_command);
  last_id_ = last_id;
  guest_command_ = has_guest_command ? std::optional(guest_command) : std::nullopt;
  return {};
}

}  // namespace wisp
