#include "vmm/legacy/boot_timer.h"

#include <sys/mman.h>
#include <unistd.h>

#include <array>
#include <catch2/catch.hpp>
#include <string>

#include "vmm/base/log.h"

namespace wisp {
namespace {

/// Sends the log to an anonymous file for as long as it lives.
class CapturedLog {
 public:
  CapturedLog() {
    Fd sink(::memfd_create("log", MFD_CLOEXEC));
    file_ = Fd(::dup(sink.raw()));
    log::set_sink(std::move(sink));
  }
  ~CapturedLog() { log::set_sink(Fd()); }
  CapturedLog(const CapturedLog&) = delete;
  CapturedLog& operator=(const CapturedLog&) = delete;

  std::string text() const {
    std::string text(8192, '\0');
    const ssize_t count = ::pread(file_.raw(), text.data(), text.size(), 0);
    text.resize(count > 0 ? static_cast<std::size_t>(count) : 0);
    return text;
  }

 private:
  Fd file_;
};

BootTimes later() {
  return {1'012'345, 506'789};
}

void write(BootTimer& timer, std::uint64_t offset, std::initializer_list<int> values) {
  std::vector<std::byte> bytes;
  for (const int value : values) {
    bytes.push_back(static_cast<std::byte>(value));
  }
  timer.write(offset, bytes);
}

TEST_CASE("The mark logs the time since the start in the documented form") {
  const CapturedLog captured;
  BootTimer timer({1'000'000, 500'000}, &later);
  write(timer, 0, {123});
  CHECK_THAT(captured.text(), Catch::Matchers::Contains("Guest-boot-time =  12345 us 12 ms,   6789 CPU us 6 CPU ms\n"));
}

TEST_CASE("Other values, places and widths are ignored, and reads give zeros") {
  const CapturedLog captured;
  BootTimer timer({0, 0}, &later);
  write(timer, 0, {122});
  write(timer, 1, {123});
  write(timer, 0xfff, {123});
  write(timer, 0, {123, 0});
  write(timer, 0, {123, 0, 0, 0});
  write(timer, 0, {});
  CHECK(captured.text().empty());

  std::array<std::byte, 4> data{};
  timer.read(0, data);
  CHECK(data == std::array<std::byte, 4>{});
}

TEST_CASE("A guest that repeats the mark cannot flood the log") {
  const CapturedLog captured;
  BootTimer timer({0, 0}, &later);
  for (int count = 0; count < 1000; ++count) {
    write(timer, 0, {123});
  }
  const std::string text = captured.text();
  CHECK(std::count(text.begin(), text.end(), '\n') <= 20);
}

TEST_CASE("Real times only grow") {
  const BootTimes first = boot_times_now();
  const BootTimes second = boot_times_now();
  CHECK(second.wall_us >= first.wall_us);
  CHECK(second.cpu_us >= first.cpu_us);
}

}  // namespace
}  // namespace wisp
