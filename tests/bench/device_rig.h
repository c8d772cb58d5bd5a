// What the bench of devices shares: a device behind its transport on a real EventLoop, a driver, and a meter.
//
//   DeviceRig rig(std::move(device), {256}, features, memory, loop);
//   rig.queue(0).offer(head);
//   rig.kick(0);                                  // as KVM does: the queue's eventfd
//   meter.start(); rig.run_until_used(0); meter.stop(requests);
//
// Only what lies between start() and stop() counts: turns of the loop, with the wake-up, the kick's eventfd, the device
// and the interrupt's eventfd in it. The driver's and the peer's work is done outside. The bare system calls are
// metered with the same meter, in slices that take turns with those of the device, so noise hits both alike.
#pragma once

#include <unistd.h>

#include <algorithm>
#include <cstdint>
#include <ctime>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "tests/fakes/fake_driver.h"
#include "tests/fakes/mmio_driver.h"
#include "virtio/core/mmio_transport.h"
#include "virtio/core/ring_layout.h"
#include "vmm/events/event_loop.h"

namespace wisp::bench {

inline constexpr std::uint64_t kMemoryBytes = 64U << 20U;
inline constexpr std::uint64_t kQueueSpace = 0x10000;  // of each queue, from there on: rings, then indirect tables
inline constexpr std::uint64_t kTablesAt = 0x8000;
inline constexpr std::uint64_t kSmallBuffers = 0x100000;  // headers and the like
inline constexpr std::uint64_t kBuffers = 0x800000;
inline constexpr std::uint16_t kQueueEntries = 256;

/// Time of this thread, and time on the wall, of the slices between start() and stop().
class Meter {
 public:
  void start() {
    wall_start_ns_ = now_ns(CLOCK_MONOTONIC);
    cpu_start_ns_ = now_ns(CLOCK_THREAD_CPUTIME_ID);
  }
  void stop(std::uint64_t requests) {
    cpu_ns_ += now_ns(CLOCK_THREAD_CPUTIME_ID) - cpu_start_ns_ - clock_cost_ns();
    wall_ns_ += now_ns(CLOCK_MONOTONIC) - wall_start_ns_ - 2 * clock_cost_ns();
    requests_ += requests;
  }
  double cpu_ns() const { return cpu_ns_ / static_cast<double>(requests_); }
  double wall_ns() const { return wall_ns_ / static_cast<double>(requests_); }

 private:
  static double now_ns(clockid_t id) {
    timespec time{};
    ::clock_gettime(id, &time);
    return static_cast<double>(time.tv_sec) * 1e9 + static_cast<double>(time.tv_nsec);
  }
  /// What reading the thread's clock adds to what it measures.
  static double clock_cost_ns() {
    static const double cost = [] {
      std::vector<double> costs(1001);
      for (double& each : costs) {
        const double before = now_ns(CLOCK_THREAD_CPUTIME_ID);
        each = now_ns(CLOCK_THREAD_CPUTIME_ID) - before;
      }
      std::ranges::sort(costs);
      return costs[costs.size() / 2];
    }();
    return cost;
  }

  double cpu_start_ns_ = 0, wall_start_ns_ = 0, cpu_ns_ = 0, wall_ns_ = 0;
  std::uint64_t requests_ = 0;
};

/// One line of the table: the same requests made by the device and by bare system calls.
struct Line {
  std::string name;
  std::uint64_t request_bytes = 0;
  std::function<void(Meter&)> device;
  std::function<void(Meter&)> bare;
};

/// Called by main for each line as soon as it can be measured.
using Measure = std::function<void(const Line&)>;

// Each returns why it could not measure anything, or nothing.
std::string bench_block(const Measure& measure);
std::string bench_net(const Measure& measure);
std::string bench_vsock(const Measure& measure);

/// Guest memory whose pages are all there: a fault is no part of what is measured.
inline GuestMemory make_touched_memory() {
  const GuestRange range{GuestAddress(0), kMemoryBytes};
  auto memory = GuestMemory::create(std::span(&range, 1), PageBacking::Normal);
  WISP_ASSERT(memory.ok());
  const auto all = memory.value().writable(GuestAddress(0), kMemoryBytes);
  WISP_ASSERT(all.has_value());
  all->fill(std::byte{1});
  all->fill(std::byte{0});
  return std::move(memory).value();
}

/// A live device, and the driver's end of its queues, which have 256 entries each.
class DeviceRig {
 public:
  DeviceRig(std::unique_ptr<VirtioDevice> device, std::uint64_t features, const GuestMemory& memory, EventLoop& loop)
      : memory_(memory), loop_(loop) {
    const std::size_t queue_count = device->queue_count();
    transport_ = std::move(MmioTransport::create(std::move(device), memory, loop)).value();
    const fakes::MmioDriver driver(*transport_);
    WISP_ASSERT(
        driver.negotiate(features | feature::kVersion1 | feature::kEventIndex | feature::kIndirectDescriptors) == 0xb);
    for (std::uint32_t index = 0; index < queue_count; ++index) {
      const std::uint64_t base = (index + 1) * kQueueSpace;
      queues_.emplace_back(memory, fakes::QueuePlace{base, base + 0x2000, base + 0x4000}, kQueueEntries);
      queues_.back().start_over();
      WISP_ASSERT(driver.set_up_queue(index, queues_.back().place(), kQueueEntries) == 1);
    }
    driver.go_live();
    settle();
  }

  fakes::FakeQueue& queue(std::size_t index) { return queues_[index]; }
  fakes::GuestView guest() const { return fakes::GuestView(memory_); }
  /// The indirect table of descriptor `slot`, with room for `entries`.
  static std::uint64_t table(std::size_t queue, std::uint16_t slot, std::uint64_t entries) {
    return (queue + 1) * kQueueSpace + kTablesAt + slot * entries * 16;
  }
  /// Wants one interrupt, for the last of what was offered, and notifies the device.
  void kick(std::size_t index) {
    queues_[index].set_used_event(static_cast<std::uint16_t>(queues_[index].available_index() - 1));
    const std::uint64_t one = 1;
    WISP_ASSERT(::write(transport_->queue_event(index).raw(), &one, sizeof(one)) == sizeof(one));
  }
  /// Turns of the loop until everything that was offered on the queue has been used.
  void run_until_used(std::size_t index) { run_until_used(index, queues_[index].available_index()); }
  void run_until_used(std::size_t index, std::uint16_t used_index) {
    while (queues_[index].used_index() != used_index) {
      loop_.run_once(-1);
    }
  }
  void turn() { loop_.run_once(0); }
  void settle() {
    for (int round = 0; round < 4; ++round) {
      loop_.run_once(0);
    }
  }

 private:
  const GuestMemory& memory_;
  EventLoop& loop_;
  std::unique_ptr<MmioTransport> transport_;
  std::vector<fakes::FakeQueue> queues_;
};

}  // namespace wisp::bench
