#include "vmm/base/trace.h"

#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstdio>
#include <vector>

#include "vmm/base/clock.h"
#include "vmm/base/fd.h"
#include "vmm/base/log.h"

namespace wisp::trace {
namespace detail {
std::atomic<bool> waits_for_guest = false;
}  // namespace detail

namespace {

constexpr std::uint64_t kNsPerUs = 1000;

struct Phase {
  const char* name;
  std::uint64_t begin_ns;
};

struct State {
  Fd file;
  std::string instance_id;
  std::vector<Phase> phases;
  std::function<void()> written;
  std::atomic<std::uint64_t> end_ns = 0;  ///< 0: not yet
};

State& state() {
  static State the_state;
  return the_state;
}

std::string us_text(std::uint64_t ns) {
  std::array<char, 40> text{};
  (void)std::snprintf(text.data(), text.size(), "%llu.%03llu", static_cast<unsigned long long>(ns / kNsPerUs),
                      static_cast<unsigned long long>(ns % kNsPerUs));
  return text.data();
}

/// A complete event ("X"); names are ours and need no escaping. Track 1 has the whole, track 2 its phases.
std::string event(const char* name, int track, std::uint64_t begin_ns, std::uint64_t end_ns) {
  return std::string(R"({"name":")") + name + R"(","cat":"wisp","ph":"X","pid":1,"tid":)" + std::to_string(track) +
         R"(,"ts":)" + us_text(begin_ns) + R"(,"dur":)" + us_text(end_ns - begin_ns) + "}";
}

std::string document(const State& from, std::uint64_t end_ns) {
  std::string text = R"({"displayTimeUnit":"ms","traceEvents":[)"
                     R"({"name":"process_name","ph":"M","pid":1,"args":{"name":"wisp )" +
                     from.instance_id + "\"}},\n" + event("start", 1, from.phases.front().begin_ns, end_ns);
  for (std::size_t index = 0; index < from.phases.size(); ++index) {
    const bool is_last = index + 1 == from.phases.size();
    text += ",\n" + event(from.phases[index].name, 2, from.phases[index].begin_ns,
                          is_last ? end_ns : from.phases[index + 1].begin_ns);
  }
  return text + "]}\n";
}

}  // namespace

Status open(const std::string& path, const Beginning& beginning) {
  State& now = state();
  Fd file = WISP_TRY(open_line_sink("trace file", path));
  // An older and longer trace would stay behind the new one. A FIFO has nothing to cut and says EINVAL.
  if (::ftruncate(file.raw(), 0) != 0 && errno != EINVAL) {
    return Error::host(errno, "cannot empty the trace file '" + path + "'");
  }
  now.file = std::move(file);
  now.instance_id = beginning.instance_id;
  now.phases.reserve(kMaxPhases);
  if (beginning.jailer_ns && *beginning.jailer_ns <= beginning.main_ns) {
    now.phases.push_back({"jailer", *beginning.jailer_ns});
  }
  now.phases.push_back({"options", beginning.main_ns});
  return {};
}

void phase(const char* name) {
  State& now = state();
  if (now.file.valid() && now.end_ns.load(std::memory_order_acquire) == 0 && now.phases.size() < kMaxPhases) {
    now.phases.push_back({name, monotonic_clock().now_ns()});
  }
}

void end_at_guest_entry(std::function<void()> written) {
  State& now = state();
  if (now.file.valid()) {
    now.written = std::move(written);
    detail::waits_for_guest.store(true, std::memory_order_release);
  }
}

void detail::end_at_entry() {
  // The first of several vCPUs is the one that counts.
  if (waits_for_guest.exchange(false, std::memory_order_acq_rel)) {
    state().end_ns.store(monotonic_clock().now_ns(), std::memory_order_release);
    state().written();
  }
}

void write() {
  State& now = state();
  if (!now.file.valid()) {
    return;
  }
  const std::uint64_t entry_ns = now.end_ns.load(std::memory_order_acquire);
  const std::string text = document(now, entry_ns != 0 ? entry_ns : monotonic_clock().now_ns());
  if (::write(now.file.raw(), text.data(), text.size()) != static_cast<ssize_t>(text.size())) {
    WISP_LOG(Warn, "The trace could not be written in full: make room on its file system, or read the FIFO.");
  }
  now.file.reset();
}

void reset() {
  State& now = state();
  now.file.reset();
  now.phases.clear();
  now.written = nullptr;
  now.end_ns = 0;
  detail::waits_for_guest = false;
}

}  // namespace wisp::trace
