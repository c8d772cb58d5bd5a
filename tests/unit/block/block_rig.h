// A disk with a driver on the other side of its queue; no transport, one thread.
#pragma once

#include <cstdlib>
#include <filesystem>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include <fcntl.h>
#include <unistd.h>

#include "tests/fakes/fake_clock.h"
#include "tests/fakes/fake_device.h"
#include "tests/fakes/fake_driver.h"
#include "tests/fakes/scripted_backend.h"
#include "virtio/block/device.h"
#include "virtio/core/queue_config.h"
#include "virtio/core/ring_layout.h"

namespace wisp::fakes {

// Request types and answers, from the specification (5.2.6).
inline constexpr std::uint32_t kIn = 0, kOut = 1, kFlushType = 4, kGetIdType = 8, kDiscard = 11, kWriteZeroes = 13;
inline constexpr std::uint8_t kOk = 0, kIoErr = 1, kUnsupp = 2, kUntouched = 0xee;

// Where the test's driver keeps things.
inline constexpr std::uint64_t kHeader = 0x20000, kData = 0x21000, kStatus = 0x2f000;
inline constexpr std::uint64_t kDiskSectors = 64;

inline constexpr std::uint64_t kBlockFeatures = feature::kVersion1 | feature::kIndirectDescriptors;

/// A clock that the test moves.
/// A temporary file, removed at the end.
class TempFile {
 public:
  explicit TempFile(std::size_t size_bytes) {
    char name[] = "/tmp/wisp-block-XXXXXX";
    fd_ = Fd(::mkostemp(name, O_CLOEXEC));
    WISP_ASSERT(fd_.valid() && ::ftruncate(fd_.raw(), static_cast<off_t>(size_bytes)) == 0);
    path_ = name;
  }
  ~TempFile() { std::filesystem::remove(path_); }
  TempFile(const TempFile&) = delete;
  TempFile& operator=(const TempFile&) = delete;

  const std::string& path() const { return path_; }
  void put(std::uint64_t offset, std::size_t count, std::uint8_t value) const {
    const std::vector<std::byte> bytes(count, static_cast<std::byte>(value));
    WISP_ASSERT(::pwrite(fd_.raw(), bytes.data(), count, static_cast<off_t>(offset)) == static_cast<ssize_t>(count));
  }
  bool holds(std::uint64_t offset, std::size_t count, std::uint8_t value) const {
    std::vector<std::byte> bytes(count);
    const ssize_t got = ::pread(fd_.raw(), bytes.data(), count, static_cast<off_t>(offset));
    return got == static_cast<ssize_t>(count) && bytes == std::vector<std::byte>(count, static_cast<std::byte>(value));
  }
  void shrink_to(std::size_t size_bytes) const {
    WISP_ASSERT(::ftruncate(fd_.raw(), static_cast<off_t>(size_bytes)) == 0);
  }
  std::uint64_t size_bytes() const { return std::filesystem::file_size(path_); }

 private:
  Fd fd_;
  std::string path_;
};

inline std::unique_ptr<EventLoop> make_loop() {
  auto loop = EventLoop::create();
  WISP_ASSERT(loop.ok());
  return std::move(loop).value();
}

inline std::unique_ptr<InterruptLine> make_interrupt() {
  auto line = InterruptLine::create();
  WISP_ASSERT(line.ok());
  return std::move(line).value();
}

/// The driver's half of every block test: headers, requests, answers.
class BlockDriver {
 public:
  explicit BlockDriver(const GuestMemory& memory, std::uint16_t queue_size = 16) : queue(memory, {}, queue_size) {
    queue.guest().fill(kStatus, 0x100, kUntouched);
  }

  void put_header(std::uint64_t address, std::uint32_t type, std::uint64_t sector) const {
    queue.guest().put(address, type, 4);
    queue.guest().put(address + 4, 0, 4);
    queue.guest().put(address + 8, sector, 8);
  }
  /// header + one data buffer + status, from descriptor `first` on. Each head has a header and a status of its own.
  std::uint16_t build(std::uint16_t first, std::uint32_t type, std::uint64_t sector, std::uint64_t data,
                      std::uint32_t length) {
    put_header(kHeader + first * std::uint64_t{16}, type, sector);
    ChainBuilder builder(queue, first);
    builder.readable(kHeader + first * std::uint64_t{16}, 16);
    if (length > 0) {
      builder.add(data, length, type == kOut ? std::uint16_t{0} : kWrite);
    }
    return builder.writable(kStatus + first, 1).build();
  }
  void offer(std::uint16_t first, std::uint32_t type, std::uint64_t sector, std::uint64_t data, std::uint32_t length) {
    queue.offer(build(first, type, sector, data, length));
  }
  std::uint8_t status(std::uint16_t first = 0) const {
    return static_cast<std::uint8_t>(queue.guest().get(kStatus + first, 1));
  }

  FakeQueue queue;
};

/// Makes the driver's queue live and hands it to the device.
inline Activation activation_for(const GuestMemory& memory, const FakeQueue& queue, InterruptLine& interrupt,
                                 std::uint64_t features) {
  QueueConfig config(256);
  config.set_size(queue.size());
  config.set_address(QueuePart::DescriptorTable, AddressHalf::Low,
                     static_cast<std::uint32_t>(queue.place().descriptors));
  config.set_address(QueuePart::AvailableRing, AddressHalf::Low, static_cast<std::uint32_t>(queue.place().available));
  config.set_address(QueuePart::UsedRing, AddressHalf::Low, static_cast<std::uint32_t>(queue.place().used));
  WISP_ASSERT(config.make_ready(memory) == QueueConfigDefect::None);
  Activation activation{&memory, &interrupt, features, {}};
  activation.queues.push_back(config.activate(memory, features));
  return activation;
}

/// A disk over a scripted backend: nothing completes before the test says so.
struct ScriptedRig {
  explicit ScriptedRig(DiskShape shape = {kDiskSectors, Access::ReadWrite}, CacheType cache = CacheType::Writeback,
                       std::uint64_t features = kBlockFeatures | block_feature::kFlush)
      : driver(memory) {
    auto made = std::make_unique<ScriptedBackend>(kDiskSectors * 512);
    backend = made.get();
    DeviceId id{};
    id.fill(std::byte{'d'});
    auto created = BlockDevice::create(DiskProfile{"disk", id, shape, cache}, std::move(made), *loop, clock);
    WISP_ASSERT(created.ok());
    device = std::move(created).value();
    device->attach(signals);
    activate(features);
  }
  void activate(std::uint64_t features) {
    WISP_ASSERT(device->activate(activation_for(memory, driver.queue, *interrupt, features)).ok());
  }
  /// The driver kicks; the loop does what it would.
  void kick() {
    while (device->on_queue(0)) {
    }
  }
  /// Everything the loop has to do right now.
  void turn() {
    for (int batch = 0; batch < 3; ++batch) {
      loop->run_once(0);
    }
  }
  /// Offers one request, carries it out, and gives the used length; the status is driver.status().
  std::uint32_t run(std::uint16_t head) {
    driver.queue.offer(head);
    kick();
    backend->finish_all();
    turn();
    const auto used = driver.queue.take_used();
    WISP_ASSERT(used.has_value() && used->id == head);
    return used->length;
  }

  GuestMemory memory = make_memory();
  std::unique_ptr<EventLoop> loop = make_loop();
  std::unique_ptr<InterruptLine> interrupt = make_interrupt();
  fakes::FakeClock clock;
  FakeSignals signals;
  BlockDriver driver;
  ScriptedBackend* backend = nullptr;
  std::unique_ptr<BlockDevice> device;
};

}  // namespace wisp::fakes
