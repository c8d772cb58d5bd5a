// The trace of a start: how long each phase took from the process' first instruction to the guest's first one.
//
//   trace::open("/tmp/boot.json", {.main_ns = t0});   // --trace FILE; without it every call below does nothing
//   trace::phase("memory");                           // ends the phase before, begins this one
//   trace::end_at_guest_entry([&] { loop.post(trace::write); });
//   trace::guest_entered();                           // by vCPU threads, each time they begin to run a guest
//
// Phases stand end to end, so they add up to the whole to the nanosecond. The file is in Chrome's trace event format
// (https://ui.perfetto.dev, about:tracing), written once: when the guest runs, or at the process' end.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <optional>
#include <string>

#include "vmm/base/result.h"

namespace wisp::trace {

/// Later phases are part of the last one: only starts that are refused again and again come that far.
inline constexpr std::size_t kMaxPhases = 64;

struct Beginning {
  std::uint64_t main_ns = 0;                    ///< CLOCK_MONOTONIC when main() was entered
  std::optional<std::uint64_t> jailer_ns = {};  ///< and when the jailer was, if there is one
  std::string instance_id = {};
};

Status open(const std::string& path, const Beginning& beginning);

/// The loop's thread only. `name` is a literal.
void phase(const char* name);
/// The machine will run next; `written` is called on a vCPU's thread and has write() called on the loop's.
void end_at_guest_entry(std::function<void()> written);
/// Writes the file unless it is written; the last phase ends now or where the guest began to run.
void write();

namespace detail {
extern std::atomic<bool> waits_for_guest;
void end_at_entry();
}  // namespace detail

/// Any thread; one relaxed load while nobody waits for it.
inline void guest_entered() {
  if (detail::waits_for_guest.load(std::memory_order_relaxed)) [[unlikely]] {
    detail::end_at_entry();
  }
}

/// For tests: forgets everything.
void reset();

}  // namespace wisp::trace
