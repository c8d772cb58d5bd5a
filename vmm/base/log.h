// The log: one line per message, to one sink, never blocking.
//
//   WISP_LOG(Info, "Listening on API socket (\"%s\").", path.c_str());
//   WISP_LOG_LIMITED(Warn, "block %s: request out of range", id);     // for everything that a guest can cause
//
// Line: 2026-08-21T10:11:12.123456789 [<id>:<thread>:<LEVEL>:<file>:<line>] message
// (level and origin only when asked for). Bytes that are not printable ASCII are escaped, so that guest or client text
// cannot forge lines. A message is cut at kMaxLogLineBytes. When the sink is full the line is lost and counted.
// A limited call site logs a burst of kLogBurst lines, then one every kLogRefillMs; what it suppressed is counted.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <string>

#include "vmm/base/fd.h"
#include "vmm/base/metrics.h"

namespace wisp {

inline constexpr std::size_t kMaxLogLineBytes = 2048;
inline constexpr std::uint64_t kLogBurst = 10;
inline constexpr std::uint64_t kLogRefillMs = 500;

enum class LogSeverity : int { Error = 1, Warn = 2, Info = 3, Debug = 4, Trace = 5 };

/// What to log and how; replaced as a whole.
struct LogSettings {
  int max_level = 3;  ///< 0: nothing
  bool show_level = false;
  bool show_origin = false;
  std::string module_prefix;  ///< only source files whose path begins with it; empty: all
};

struct LogMetrics {
  Counter missed_log_count;
  Counter rate_limited_log_count;
};

namespace log {

/// The id printed in every line (the instance id).
void set_instance_id(std::string id);
void configure(const LogSettings& settings);
LogSettings settings();
/// Lines go to `sink` from now on; without one they go to standard output.
void set_sink(Fd sink);
LogMetrics& metrics();
bool enabled(LogSeverity severity);
/// Names the calling thread in its log lines; a literal.
void set_thread_name(const char* name);

[[gnu::format(printf, 4, 5)]] void write(LogSeverity severity, const char* file, int line, const char* format, ...);

/// The token bucket of one limited call site.
class CallSite {
 public:
  bool admit();

 private:
  std::atomic<std::uint64_t> tokens_used_ = 0;
  std::atomic<std::uint64_t> window_start_ms_ = 0;
};

}  // namespace log
}  // namespace wisp

#define WISP_LOG(severity, ...)                                                           \
  do {                                                                                    \
    if (::wisp::log::enabled(::wisp::LogSeverity::severity)) {                            \
      ::wisp::log::write(::wisp::LogSeverity::severity, __FILE__, __LINE__, __VA_ARGS__); \
    }                                                                                     \
  } while (false)

#define WISP_LOG_LIMITED(severity, ...)                                                   \
  do {                                                                                    \
    static ::wisp::log::CallSite wisp_call_site;                                          \
    if (::wisp::log::enabled(::wisp::LogSeverity::severity) && wisp_call_site.admit()) {  \
      ::wisp::log::write(::wisp::LogSeverity::severity, __FILE__, __LINE__, __VA_ARGS__); \
    }                                                                                     \
  } while (false)
