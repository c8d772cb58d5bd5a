#include "vmm/base/log.h"

#include <unistd.h>

#include <algorithm>
#include <array>
#include <cstdarg>
#include <cstdio>
#include <cstring>
#include <ctime>
#include <mutex>
#include <string_view>

#include "vmm/base/clock.h"

namespace wisp::log {
namespace {

struct Sink {
  std::mutex mutex;  // leaf lock; held for one non-blocking write
  LogSettings settings;
  std::string instance_id = "anonymous-instance";
  Fd fd;
};

Sink& sink() {
  static Sink instance;
  return instance;
}

std::atomic<int> max_level = 3;
thread_local const char* thread_name = "wisp";

const char* name_of(LogSeverity severity) {
  constexpr std::array<const char*, 6> kNames = {"OFF", "ERROR", "WARN", "INFO", "DEBUG", "TRACE"};
  return kNames.at(static_cast<std::size_t>(severity));
}

/// One line under construction; cuts at its end instead of growing.
class Line {
 public:
  [[gnu::format(printf, 2, 3)]] void print(const char* format, ...) {
    va_list arguments;
    va_start(arguments, format);
    print_v(format, arguments);
    va_end(arguments);
  }
  [[gnu::format(printf, 2, 0)]] void print_v(const char* format, va_list arguments) {
    const int written = std::vsnprintf(text_.data() + used_, text_.size() - used_, format, arguments);
    if (written > 0) {
      used_ = std::min(used_ + static_cast<std::size_t>(written), text_.size() - 1);
    }
  }
  void append_escaped(std::string_view message) {
    for (const char character : message) {
      const auto byte = static_cast<unsigned char>(character);
      if (byte >= 0x20 && byte < 0x7f) {
        print("%c", character);
      } else if (character == '\n') {
        print("\\n");
      } else {
        print("\\x%02x", byte);
      }
    }
  }
  void end() {
    used_ = std::min(used_, text_.size() - 2);
    text_[used_++] = '\n';
  }
  std::string_view view() const { return {text_.data(), used_}; }

 private:
  std::array<char, kMaxLogLineBytes> text_{};
  std::size_t used_ = 0;
};

void append_time(Line& line) {
  timespec now{};
  ::clock_gettime(CLOCK_REALTIME, &now);
  tm parts{};
  ::localtime_r(&now.tv_sec, &parts);
  line.print("%04d-%02d-%02dT%02d:%02d:%02d.%09ld", parts.tm_year + 1900, parts.tm_mon + 1, parts.tm_mday,
             parts.tm_hour, parts.tm_min, parts.tm_sec, now.tv_nsec);
}

/// Paths relative to the source tree, so that a line names no machine's folders.
const char* origin(const char* file) {
  for (const char* root : {"vmm/", "virtio/", "api/", "jailer/", "snapshot/"}) {
    if (const char* found = std::strstr(file, root); found != nullptr) {
      return found;
    }
  }
  return file;
}

}  // namespace

void set_instance_id(std::string id) {
  const std::lock_guard lock(sink().mutex);
  sink().instance_id = std::move(id);
}

void configure(const LogSettings& settings) {
  const std::lock_guard lock(sink().mutex);
  sink().settings = settings;
  max_level.store(settings.max_level, std::memory_order_relaxed);
}

LogSettings settings() {
  const std::lock_guard lock(sink().mutex);
  return sink().settings;
}

void set_sink(Fd fd) {
  const std::lock_guard lock(sink().mutex);
  sink().fd = std::move(fd);
}

LogMetrics& metrics() {
  static LogMetrics instance;
  return instance;
}

bool enabled(LogSeverity severity) {
  return static_cast<int>(severity) <= max_level.load(std::memory_order_relaxed);
}

void set_thread_name(const char* name) {
  thread_name = name;
}

void write(LogSeverity severity, const char* file, int line_number, const char* format, ...) {
  std::array<char, kMaxLogLineBytes> message{};
  va_list arguments;
  va_start(arguments, format);
  const int length = std::vsnprintf(message.data(), message.size(), format, arguments);
  va_end(arguments);
  if (length < 0) {
    return;
  }
  const std::lock_guard lock(sink().mutex);
  const LogSettings& settings = sink().settings;
  const char* where = origin(file);
  if (!settings.module_prefix.empty() &&
      std::strncmp(where, settings.module_prefix.c_str(), settings.module_prefix.size()) != 0) {
    return;
  }
  Line line;
  append_time(line);
  line.print(" [%s:%s", sink().instance_id.c_str(), thread_name);
  if (settings.show_level) {
    line.print(":%s", name_of(severity));
  }
  if (settings.show_origin) {
    line.print(":%s:%d", where, line_number);
  }
  line.print("] ");
  line.append_escaped({message.data(), std::min(static_cast<std::size_t>(length), message.size() - 1)});
  line.end();
  const int target = sink().fd.valid() ? sink().fd.raw() : STDOUT_FILENO;
  const auto text = line.view();
  // A line is shorter than PIPE_BUF, so a pipe that is ready takes all of it.
  if (!can_write_now(FdRef(target)) || ::write(target, text.data(), text.size()) != static_cast<ssize_t>(text.size())) {
    metrics().missed_log_count.add();
  }
}

bool CallSite::admit() {
  // Integer token bucket: one token comes back every kLogRefillMs. Racing threads may admit a line too many; the bound
  // holds.
  const std::uint64_t now_ms = monotonic_us() / 1000;
  std::uint64_t start = window_start_ms_.load(std::memory_order_relaxed);
  // Another thread may have moved the start past our reading of the clock.
  const std::uint64_t returned = now_ms > start ? (now_ms - start) / kLogRefillMs : 0;
  if (returned > 0 && window_start_ms_.compare_exchange_strong(start, now_ms, std::memory_order_relaxed)) {
    const std::uint64_t used = tokens_used_.load(std::memory_order_relaxed);
    tokens_used_.store(used > returned ? used - returned : 0, std::memory_order_relaxed);
  }
  if (tokens_used_.load(std::memory_order_relaxed) >= kLogBurst) {
    metrics().rate_limited_log_count.add();
    return false;
  }
  tokens_used_.fetch_add(1, std::memory_order_relaxed);
  return true;
}

}  // namespace wisp::log
