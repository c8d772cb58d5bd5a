// HintingSession: the conversation about free page hints (virtio 1.2 section 5.5.6.5).
//
//   device, in the configuration space    driver, in its queue
//   command id n (2 or more): report      id n: what follows belongs to run n
//                                         free ranges ...
//                                         STOP: that was all
//   DONE: take the pages back, or
//   STOP, or another id: a run is over
//
// A range counts only between the driver's id n and its STOP while n is still the device's command: the ranges of a run
// that was called off may be in use again.
#pragma once

#include <atomic>
#include <cstdint>
#include <optional>

#include "snapshot/state/state_reader.h"
#include "snapshot/state/state_writer.h"
#include "vmm/config/balloon.h"

namespace wisp {

inline constexpr std::uint32_t kHintingStop = 0;
inline constexpr std::uint32_t kHintingDone = 1;
inline constexpr std::uint32_t kFirstHintingId = 2;

class HintingSession {
 public:
  /// The operator begins a run; a new id.
  void start(HintingStop on_stop);
  /// The operator ends the run: the guest may take its pages back.
  void stop() { set_host_command(kHintingDone); }
  enum class Reaction { None, CommandChanged };
  /// The driver has sent a command id.
  Reaction on_guest_command(std::uint32_t command);
  /// Ranges that come now belong to the present run.
  bool collecting() const {
    return guest_command_ && *guest_command_ >= kFirstHintingId && *guest_command_ == host_command();
  }

  /// What the configuration space shows; any thread.
  std::uint32_t host_command() const { return host_command_.load(std::memory_order_acquire); }
  BalloonHintingStatus status() const { return {host_command(), guest_command_}; }

  /// The driver was reset: no run goes on. Ids are not used again.
  void forget_driver();
  void save(StateWriter& out) const;
  /// A run that was going on is done: in the restored machine nobody waits for its end.
  Status restore(StateReader& in);

 private:
  void set_host_command(std::uint32_t command) { host_command_.store(command, std::memory_order_release); }

  std::atomic<std::uint32_t> host_command_ = kHintingStop;
  std::uint32_t last_id_ = kHintingDone;
  std::optional<std::uint32_t> guest_command_;
  HintingStop on_stop_ = HintingStop::Acknowledge;
};

}  // namespace wisp
