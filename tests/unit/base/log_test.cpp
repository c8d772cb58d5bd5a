#include "vmm/base/log.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include <catch2/catch.hpp>
#include <regex>
#include <sstream>
#include <string>
#include <thread>
#include <vector>

namespace wisp {
namespace {

/// The log's sink is an anonymous file, and its settings are the default, for as long as this lives.
class CapturedLog {
 public:
  CapturedLog() {
    Fd sink(::memfd_create("log", MFD_CLOEXEC));
    file_ = Fd(::dup(sink.raw()));
    log::set_sink(std::move(sink));
    log::configure({});
    log::set_instance_id("anonymous-instance");
  }
  ~CapturedLog() {
    log::set_sink(Fd());
    log::configure({});
  }
  CapturedLog(const CapturedLog&) = delete;
  CapturedLog& operator=(const CapturedLog&) = delete;

  std::string text() const {
    std::string text(1 << 20, '\0');
    const ssize_t count = ::pread(file_.raw(), text.data(), text.size(), 0);
    text.resize(count > 0 ? static_cast<std::size_t>(count) : 0);
    return text;
  }
  std::size_t line_count() const {
    const std::string all = text();
    return static_cast<std::size_t>(std::count(all.begin(), all.end(), '\n'));
  }

 private:
  Fd file_;
};

const std::string kTime = R"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{9} )";

bool matches(const std::string& text, const std::string& pattern) {
  return std::regex_match(text, std::regex(pattern));
}

TEST_CASE("A line has a time, the instance, the thread and the message") {
  const CapturedLog captured;
  WISP_LOG(Info, "started %d", 7);
  CHECK(matches(captured.text(), kTime + R"(\[anonymous-instance:wisp\] started 7\n)"));
}

TEST_CASE("Level and origin appear when asked for") {
  const CapturedLog captured;
  log::set_instance_id("vm-1");
  SECTION("level") {
    log::configure({.max_level = 3, .show_level = true, .show_origin = false, .module_prefix = {}});
    WISP_LOG(Warn, "x");
    CHECK(matches(captured.text(), kTime + R"(\[vm-1:wisp:WARN\] x\n)"));
  }
  SECTION("origin") {
    log::configure({.max_level = 3, .show_level = false, .show_origin = true, .module_prefix = {}});
    log::write(LogSeverity::Error, "/somewhere/vmm/base/thing.cpp", 12, "x");
    CHECK(matches(captured.text(), kTime + R"(\[vm-1:wisp:vmm/base/thing.cpp:12\] x\n)"));
  }
  SECTION("both") {
    log::configure({.max_level = 3, .show_level = true, .show_origin = true, .module_prefix = {}});
    log::write(LogSeverity::Info, "vmm/a.cpp", 1, "x");
    CHECK(matches(captured.text(), kTime + R"(\[vm-1:wisp:INFO:vmm/a.cpp:1\] x\n)"));
  }
}

TEST_CASE("Messages above the level are not written, not even formatted") {
  const CapturedLog captured;
  int evaluated = 0;
  WISP_LOG(Debug, "%d", ++evaluated);
  CHECK(captured.text().empty());
  CHECK(evaluated == 0);
  log::configure({.max_level = 0, .show_level = false, .show_origin = false, .module_prefix = {}});
  WISP_LOG(Error, "x");
  CHECK(captured.text().empty());
  log::configure({.max_level = 5, .show_level = false, .show_origin = false, .module_prefix = {}});
  WISP_LOG(Trace, "x");
  CHECK(captured.line_count() == 1);
}

TEST_CASE("A module prefix keeps other files' lines out") {
  const CapturedLog captured;
  log::configure({.max_level = 3, .show_level = false, .show_origin = false, .module_prefix = "api/"});
  log::write(LogSeverity::Info, "x/vmm/a.cpp", 1, "vmm");
  log::write(LogSeverity::Info, "x/api/a.cpp", 1, "api");
  CHECK(matches(captured.text(), kTime + R"(\[.*\] api\n)"));
}

TEST_CASE("Text from a guest cannot forge a line or drive a terminal") {
  const CapturedLog captured;
  WISP_LOG(Info, "%s", "a\n2026-01-01 b\r\x1b[2J\x7f\xc3\xa9%n");
  CHECK(captured.line_count() == 1);
  CHECK_THAT(captured.text(), Catch::Matchers::Contains(R"(a\n2026-01-01 b\x0d\x1b[2J\x7f\xc3\xa9%n)"));
}

TEST_CASE("A long message is cut at the limit and still ends its line, escapes included") {
  const CapturedLog captured;
  const char filler = GENERATE('x', '\x01');
  const std::string message(10'000, filler);
  WISP_LOG(Info, "%s", message.c_str());
  const std::string text = captured.text();
  CHECK(text.size() <= kMaxLogLineBytes);
  CHECK(text.size() > kMaxLogLineBytes - 8);
  CHECK(text.back() == '\n');
  CHECK(captured.line_count() == 1);
}

TEST_CASE("A very long instance id cannot overrun the line") {
  const CapturedLog captured;
  log::set_instance_id(std::string(5000, 'i'));
  WISP_LOG(Info, "message");
  CHECK(captured.text().size() <= kMaxLogLineBytes);
  CHECK(captured.line_count() == 1);
}

TEST_CASE("Lines for a sink that is full are lost and counted, and nothing blocks") {
  const CapturedLog captured;
  int ends[2] = {-1, -1};
  REQUIRE(::pipe2(ends, O_CLOEXEC | O_NONBLOCK) == 0);
  const Fd reader(ends[0]);
  log::set_sink(Fd(ends[1]));
  const std::uint64_t missed_before = log::metrics().missed_log_count.total();
  const std::string message(1000, 'x');
  for (int count = 0; count < 100; ++count) {
    WISP_LOG(Info, "%s", message.c_str());
  }
  CHECK(log::metrics().missed_log_count.total() > missed_before);
  // What did arrive is whole lines.
  std::string text(1 << 17, '\0');
  const ssize_t count = ::read(reader.raw(), text.data(), text.size());
  REQUIRE(count > 0);
  CHECK(text[static_cast<std::size_t>(count) - 1] == '\n');
}

TEST_CASE("A limited call site lets a burst through and counts what it holds back") {
  const CapturedLog captured;
  const std::uint64_t before = log::metrics().rate_limited_log_count.total();
  for (int count = 0; count < 1000; ++count) {
    WISP_LOG_LIMITED(Info, "from the guest");
  }
  // The loop may outlast a refill or two on a slow machine; it cannot come near a thousand.
  CHECK(captured.line_count() >= kLogBurst);
  CHECK(captured.line_count() < 100);
  CHECK(log::metrics().rate_limited_log_count.total() - before == 1000 - captured.line_count());
}

TEST_CASE("Each limited call site has a budget of its own") {
  const CapturedLog captured;
  log::CallSite first;
  log::CallSite second;
  std::uint64_t admitted = 0;
  for (std::uint64_t count = 0; count < kLogBurst; ++count) {
    admitted += first.admit() ? 1U : 0U;
  }
  CHECK(admitted == kLogBurst);
  CHECK(second.admit());
}

TEST_CASE("Threads name themselves, and their lines do not mix") {
  const CapturedLog captured;
  std::vector<std::thread> threads;
  for (int index = 0; index < 4; ++index) {
    threads.emplace_back([] {
      log::set_thread_name("worker");
      for (int count = 0; count < 50; ++count) {
        WISP_LOG(Info, "line from a thread");
      }
    });
  }
  for (std::thread& thread : threads) {
    thread.join();
  }
  // Line by line: one expression over all of them recurses too deeply for the sanitizers' stacks.
  std::istringstream lines(captured.text());
  std::size_t good_count = 0;
  for (std::string line; std::getline(lines, line);) {
    good_count += matches(line, kTime + R"(\[anonymous-instance:worker\] line from a thread)") ? 1U : 0U;
  }
  CHECK(good_count == 200);
}

}  // namespace
}  // namespace wisp
