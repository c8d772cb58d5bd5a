// A driver at the registers of a virtio-MMIO device, and the loop thread that serves it.
#pragma once

#include <poll.h>

#include <atomic>
#include <cstdint>
#include <future>
#include <memory>
#include <thread>

#include "tests/fakes/fake_driver.h"
#include "vmm/bus/bus.h"
#include "vmm/events/event_loop.h"

namespace wisp::fakes {

/// An event loop on its own thread, as in the monitor. call() runs something there and waits for it.
class LoopThread {
 public:
  LoopThread() {
    auto created = EventLoop::create();
    WISP_ASSERT(created.ok());
    loop_ = std::move(created).value();
    thread_ = std::thread([this] { loop_->run(); });
  }
  ~LoopThread() {
    loop_->stop();
    thread_.join();
  }
  LoopThread(const LoopThread&) = delete;
  LoopThread& operator=(const LoopThread&) = delete;

  EventLoop& loop() { return *loop_; }
  template <typename Work>
  auto call(Work work) -> decltype(work()) {
    std::packaged_task<decltype(work())()> task(std::move(work));
    auto result = task.get_future();
    loop_->post([&task] { task(); });
    return result.get();
  }
  /// Returns when every event that was signalled before has been handled, and those that their handlers signalled.
  void settle() {
    // An event that is ready before a post is fetched with it or earlier; the next post is a batch later.
    for (int batch = 0; batch < 4; ++batch) {
      call([] {});
    }
  }

 private:
  std::unique_ptr<EventLoop> loop_;
  std::thread thread_;
};

inline constexpr std::uint64_t kFeatureVersion1 = std::uint64_t{1} << 32U;
inline constexpr std::uint64_t kFeatureEventIndex = std::uint64_t{1} << 29U;
inline constexpr std::uint64_t kFeatureIndirect = std::uint64_t{1} << 28U;

class MmioDriver {
 public:
  explicit MmioDriver(BusDevice& device) : device_(device) {}

  std::uint32_t read(std::uint64_t offset) const { return static_cast<std::uint32_t>(read_wide(offset, 4)); }
  std::uint64_t read_wide(std::uint64_t offset, std::size_t width) const {
    std::byte bytes[16] = {};
    device_.read(offset, {bytes, width});
    std::uint64_t value = 0;
    for (std::size_t index = width < 8 ? width : 8; index-- > 0;) {
      value = (value << 8U) | static_cast<std::uint64_t>(bytes[index]);
    }
    return value;
  }
  void write(std::uint64_t offset, std::uint32_t value) const { write_wide(offset, value, 4); }
  void write_wide(std::uint64_t offset, std::uint64_t value, std::size_t width) const {
    std::byte bytes[8] = {};
    for (std::size_t index = 0; index < width && index < 8; ++index) {
      bytes[index] = static_cast<std::byte>(value >> (8 * index));
    }
    device_.write(offset, {bytes, width});
  }

  std::uint32_t status() const { return read(0x70); }
  void set_status(std::uint32_t value) const { write(0x70, value); }
  void reset() const { set_status(0); }
  std::uint64_t device_features() const {
    write(0x14, 0);
    const std::uint64_t low = read(0x10);
    write(0x14, 1);
    return low | (std::uint64_t{read(0x10)} << 32U);
  }
  void accept_features(std::uint64_t features) const {
    write(0x24, 0);
    write(0x20, static_cast<std::uint32_t>(features));
    write(0x24, 1);
    write(0x20, static_cast<std::uint32_t>(features >> 32U));
  }
  /// Up to FEATURES_OK; the status as the device shows it then.
  std::uint32_t negotiate(std::uint64_t features) const {
    reset();
    set_status(1);
    set_status(3);
    accept_features(features);
    set_status(0xb);
    return status();
  }
  /// Programs one queue and makes it ready; what QueueReady reads then.
  std::uint32_t set_up_queue(std::uint32_t index, const QueuePlace& place, std::uint32_t size) const {
    write(0x30, index);
    write(0x38, size);
    write_address(0x80, place.descriptors);
    write_address(0x90, place.available);
    write_address(0xa0, place.used);
    write(0x44, 1);
    return read(0x44);
  }
  void write_address(std::uint64_t low_register, std::uint64_t address) const {
    write(low_register, static_cast<std::uint32_t>(address));
    write(low_register + 4, static_cast<std::uint32_t>(address >> 32U));
  }
  void go_live() const { set_status(0xf); }
  void notify(std::uint32_t queue) const { write(0x50, queue); }
  std::uint32_t interrupt_status() const { return read(0x60); }
  void acknowledge(std::uint32_t bits) const { write(0x64, bits); }

 private:
  BusDevice& device_;
};

/// Blocks until `event` is signalled.
inline void wait_for(FdRef event) {
  pollfd entry{event.raw(), POLLIN, 0};
  while (::poll(&entry, 1, -1) != 1) {
  }
}

inline bool is_signalled(FdRef event) {
  pollfd entry{event.raw(), POLLIN, 0};
  return ::poll(&entry, 1, 0) == 1;
}

}  // namespace wisp::fakes
