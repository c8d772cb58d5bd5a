#include "vmm/base/trace.h"

#include <unistd.h>

#include <array>
#include <catch2/catch.hpp>
#include <cstdlib>
#include <fstream>
#include <iterator>
#include <string>
#include <vector>

#include "vmm/base/clock.h"

using namespace wisp;

namespace {

struct TraceFile {
  TraceFile() {
    std::array<char, 32> name{"/tmp/wisp-trace-XXXXXX"};
    ::close(::mkstemp(name.data()));
    path = name.data();
    trace::reset();
  }
  ~TraceFile() {
    trace::reset();
    ::unlink(path.c_str());
  }
  TraceFile(const TraceFile&) = delete;
  TraceFile& operator=(const TraceFile&) = delete;

  std::string text() const {
    std::ifstream file(path);
    return {std::istreambuf_iterator<char>(file), {}};
  }
  /// The number behind each `"<key>":` in nanoseconds, in order.
  std::vector<std::uint64_t> numbers(const std::string& key) const {
    const std::string all = text();
    const std::string wanted = "\"" + key + "\":";
    std::vector<std::uint64_t> found;
    for (std::size_t at = all.find(wanted); at != std::string::npos; at = all.find(wanted, at + 1)) {
      const char* digits = all.c_str() + at + wanted.size();
      char* point = nullptr;
      const std::uint64_t us = std::strtoull(digits, &point, 10);
      found.push_back(us * 1000 + std::strtoull(point + 1, nullptr, 10));
    }
    return found;
  }
  std::string path;
};

}  // namespace

TEST_CASE("the phases of a trace add up to the whole, each begins where the one before ended") {
  const TraceFile file;
  const std::uint64_t now_ns = monotonic_clock().now_ns();
  REQUIRE(trace::open(file.path, {.main_ns = now_ns - 5'000'001, .jailer_ns = now_ns - 9'000'002}).ok());
  trace::phase("memory");
  trace::phase("vcpus");
  trace::write();
  const auto durations = file.numbers("dur");
  const auto begins = file.numbers("ts");
  REQUIRE(durations.size() == 5);  // the whole, jailer, options, memory, vcpus
  CHECK(durations[0] == durations[1] + durations[2] + durations[3] + durations[4]);
  CHECK(begins[0] == begins[1]);
  CHECK(durations[1] == 4'000'001);
  for (std::size_t index = 1; index + 1 < begins.size(); ++index) {
    CHECK(begins[index] + durations[index] == begins[index + 1]);
  }
}

TEST_CASE("the guest's first entry ends the trace, later phases and entries change nothing") {
  const TraceFile file;
  REQUIRE(trace::open(file.path, {.main_ns = monotonic_clock().now_ns()}).ok());
  trace::phase("memory");
  trace::guest_entered();
  int calls = 0;
  trace::end_at_guest_entry([&] { ++calls; });
  CHECK(calls == 0);
  trace::guest_entered();
  trace::guest_entered();
  trace::phase("too late");
  CHECK(calls == 1);
  trace::write();
  const std::string once = file.text();
  CHECK(once.find("too late") == std::string::npos);
  trace::write();
  CHECK(file.text() == once);
}

TEST_CASE("without a file nothing is recorded; a path that cannot be opened is refused") {
  const TraceFile file;
  trace::phase("memory");
  bool called = false;
  trace::end_at_guest_entry([&] { called = true; });
  trace::guest_entered();
  trace::write();
  CHECK_FALSE(called);
  CHECK(file.text().empty());
  CHECK_FALSE(trace::open("/missing/folder/trace", {}).ok());
}

TEST_CASE("phases beyond the limit belong to the last one that fits, so the sum stays right") {
  const TraceFile file;
  REQUIRE(trace::open(file.path, {.main_ns = monotonic_clock().now_ns()}).ok());
  for (std::size_t count = 0; count < trace::kMaxPhases + 10; ++count) {
    trace::phase("again");
  }
  trace::write();
  const auto durations = file.numbers("dur");
  REQUIRE(durations.size() == trace::kMaxPhases + 1);
  std::uint64_t sum_ns = 0;
  for (std::size_t index = 1; index < durations.size(); ++index) {
    sum_ns += durations[index];
  }
  CHECK(sum_ns == durations[0]);
}

TEST_CASE("an older and longer trace is replaced whole") {
  const TraceFile file;
  std::ofstream(file.path) << std::string(100'000, 'x');
  REQUIRE(trace::open(file.path, {.main_ns = monotonic_clock().now_ns()}).ok());
  trace::write();
  CHECK(file.text().starts_with("{"));
  CHECK(file.text().ends_with("]}\n"));
  CHECK(file.text().find("xx") == std::string::npos);
}
