// A network card with a driver on one side, and a TAP and a neighbour that the test plays on the other.
#pragma once

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <deque>
#include <memory>
#include <utility>
#include <vector>

#include "tests/fakes/fake_clock.h"
#include "tests/fakes/fake_device.h"
#include "tests/fakes/fake_driver.h"
#include "virtio/core/queue_config.h"
#include "virtio/core/ring_layout.h"
#include "virtio/net/device.h"

namespace wisp::fakes {

using Bytes = std::vector<std::byte>;

inline constexpr std::uint64_t kNetBase = feature::kVersion1 | feature::kIndirectDescriptors;
inline constexpr std::uint64_t kMerge = kNetBase | net_feature::kMergeBuffers;
inline constexpr std::uint32_t kAllOffloads =
    offload::kCsum | offload::kTso4 | offload::kTso6 | offload::kUfo | offload::kUso;
inline constexpr QueuePlace kRxPlace{kLowStart, kLowStart + 0x2000, kLowStart + 0x3000};
inline constexpr QueuePlace kTxPlace{kLowStart + 0x4000, kLowStart + 0x6000, kLowStart + 0x7000};
inline constexpr std::uint64_t kRxBuffers = kHighStart;  // 128 KiB
inline constexpr std::uint64_t kTxBuffers = 0x20000;     // 192 KiB
inline constexpr std::uint8_t kUntouched = 0xee;
inline constexpr std::uint16_t kNetQueueSize = 16;

/// A frame of `size` bytes: addresses and type, then a pattern that begins with `seed`.
inline Bytes make_frame(std::size_t size, std::uint8_t seed) {
  Bytes frame(size);
  for (std::size_t index = 0; index < size; ++index) {
    frame[index] = static_cast<std::byte>(seed + index * 7 + index / 256);
  }
  return frame;
}

/// The host's end. Frames in `incoming` (header included) can be read; what is sent is in `sent`.
class FakeTap final : public NetBackend {
 public:
  FakeTap() : event_(std::move(EventFd::create()).value()) {}

  FdRef event_fd() const override { return event_.ref(); }
  std::uint32_t known_offloads() const override { return known; }
  Status set_offloads(std::uint32_t value) override {
    offloads = value;
    if (refuse_offloads && value != 0) {
      return Error(ErrorCode::HostFault, "refused by the test");
    }
    return {};
  }
  TapRead read_frame(std::span<std::byte> header, std::span<const ChainWriter> targets,
                     std::span<std::byte> rest) override {
    ++reads;
    if (read_errno != 0 || next_ == incoming.size()) {
      return {0, 0, read_errno != 0 ? read_errno : EAGAIN};
    }
    const std::span<const std::byte> frame(incoming[next_++]);
    std::copy_n(frame.begin(), std::min(header.size(), frame.size()), header.begin());
    std::span<const std::byte> body = frame.subspan(std::min(header.size(), frame.size()));
    std::size_t direct = 0;
    for (ChainWriter target : targets) {
      const std::size_t part = std::min<std::size_t>(target.size_bytes(), body.size() - direct);
      WISP_ASSERT(target.write_bytes(body.subspan(direct, part)));
      direct += part;
    }
    std::copy(body.begin() + static_cast<std::ptrdiff_t>(direct), body.end(),
              rest.begin() + static_cast<std::ptrdiff_t>(direct));
    return {frame.size(), direct, 0};
  }
  TapWrite write_frame(std::span<const std::byte> head, ChainReader tail) override {
    ++writes;
    if (before_write) {
      before_write();
    }
    if (write_errno != 0) {
      return {0, write_errno};
    }
    const std::size_t total = head.size() + tail.size_bytes();
    if (record) {
      Bytes frame(total);
      std::ranges::copy(head, frame.begin());
      WISP_ASSERT(tail.read_bytes(std::span(frame).subspan(head.size())));
      sent.push_back(std::move(frame));
    }
    return {total - lose_bytes, 0};
  }

  /// A frame arrives; without signal() nobody is told.
  void put(const Bytes& frame, VnetHeader header = {}) {
    Bytes whole(sizeof(header) + frame.size());
    std::memcpy(whole.data(), &header, sizeof(header));
    std::ranges::copy(frame, whole.begin() + sizeof(header));
    incoming.push_back(std::move(whole));
  }
  /// An edge: the TAP became readable, or writable.
  void signal() { event_.signal(); }
  std::size_t waiting() const { return incoming.size() - next_; }

  std::vector<Bytes> incoming;
  std::vector<Bytes> sent;
  std::uint32_t known = kAllOffloads;
  std::uint32_t offloads = ~0U;
  bool refuse_offloads = false;
  bool record = true;
  int read_errno = 0, write_errno = 0;
  int reads = 0, writes = 0;
  std::size_t lose_bytes = 0;
  std::function<void()> before_write;

 private:
  EventFd event_;
  std::size_t next_ = 0;
};

/// Takes frames whose type field is 0x0806 (ARP).
class FakeDetour final : public FrameDetour {
 public:
  bool takes(std::span<const std::byte> head) const override {
    longest_head = std::max(longest_head, head.size());
    return head.size() >= 14 && head[12] == std::byte{0x08} && head[13] == std::byte{0x06};
  }
  void receive(std::span<const std::byte> frame) override {
    received.emplace_back(frame.begin(), frame.end());
    if (echo) {
      replies.emplace_back(frame.begin(), frame.end());
    }
  }
  std::size_t next_reply(std::span<std::byte> frame) override {
    if (replies.empty()) {
      return 0;
    }
    const Bytes reply = std::move(replies.front());
    replies.pop_front();
    std::ranges::copy(reply, frame.begin());
    return reply.size();
  }
  void set_wake(std::function<void()> function) override { wake = std::move(function); }
  void reset() override { ++resets; }
  void pause() override { ++pauses; }
  void resume() override { ++resumes; }

  mutable std::size_t longest_head = 0;
  std::vector<Bytes> received;
  std::deque<Bytes> replies;
  std::function<void()> wake;
  bool echo = false;
  int resets = 0, pauses = 0, resumes = 0;
};

inline std::optional<VirtQueue> live_queue(const GuestMemory& memory, const FakeQueue& queue, std::uint64_t features) {
  QueueConfig config(256);
  config.set_size(queue.size());
  config.set_address(QueuePart::DescriptorTable, AddressHalf::Low,
                     static_cast<std::uint32_t>(queue.place().descriptors));
  config.set_address(QueuePart::AvailableRing, AddressHalf::Low, static_cast<std::uint32_t>(queue.place().available));
  config.set_address(QueuePart::UsedRing, AddressHalf::Low, static_cast<std::uint32_t>(queue.place().used));
  WISP_ASSERT(config.make_ready(memory) == QueueConfigDefect::None);
  return config.activate(memory, features);
}

struct NetRig {
  explicit NetRig(std::uint64_t features_to_negotiate = kMerge, NetConfig net_config = {},
                  std::uint16_t queue_size = kNetQueueSize)
      : rx(memory, kRxPlace, queue_size), tx(memory, kTxPlace, queue_size), guest(memory) {
    net_config.iface_id = "eth0";
    auto made_tap = std::make_unique<FakeTap>();
    auto made_detour = std::make_unique<FakeDetour>();
    tap = made_tap.get();
    detour = made_detour.get();
    auto created = NetDevice::create(net_config, std::move(made_tap), std::move(made_detour), *loop, clock);
    WISP_ASSERT(created.ok());
    device = std::move(created).value();
    device->attach(signals);
    guest.fill(kRxBuffers, kHighBytes, kUntouched);
    activate(features_to_negotiate);
  }
  void activate(std::uint64_t features) {
    Activation activation{&memory, interrupt.get(), features, {}};
    activation.queues.push_back(live_queue(memory, rx, features));
    activation.queues.push_back(live_queue(memory, tx, features));
    WISP_ASSERT(device->activate(std::move(activation)).ok());
  }
  /// The driver kicks; the loop does what it would, in so many batches at most.
  int kick(std::size_t queue) {
    int batches = 1;
    while (device->on_queue(queue) && batches < 1000) {
      ++batches;
    }
    return batches;
  }
  /// Everything that the loop has to do right now.
  void turn() {
    for (int batch = 0; batch < 3; ++batch) {
      loop->run_once(0);
    }
  }
  /// The TAP tells of frames.
  void arrive() {
    tap->signal();
    turn();
  }
  /// Posts a receive buffer at `slot` x `spacing`.
  void post(std::uint16_t slot, std::uint32_t length, std::uint32_t spacing = 0x1000) {
    rx.offer(ChainBuilder(rx, slot).writable(kRxBuffers + slot * std::uint64_t{spacing}, length).build());
  }
  Bytes received(std::uint16_t slot, std::size_t count, std::uint32_t spacing = 0x1000) const {
    return guest.bytes(kRxBuffers + slot * std::uint64_t{spacing}, count);
  }
  /// Offers a frame behind a header, in one buffer.
  void offer(std::uint16_t slot, const Bytes& frame, VnetHeader header = {}, std::uint32_t spacing = 0x1000) {
    const std::uint64_t where = kTxBuffers + slot * std::uint64_t{spacing};
    guest.put_bytes(where, std::as_bytes(std::span(&header, 1)));
    guest.put_bytes(where + 12, frame);
    tx.offer(ChainBuilder(tx, slot).readable(where, static_cast<std::uint32_t>(12 + frame.size())).build());
  }
  const NetMetrics& metrics() const { return device->metrics(); }

  GuestMemory memory = make_memory();
  std::unique_ptr<EventLoop> loop = std::move(EventLoop::create()).value();
  std::unique_ptr<InterruptLine> interrupt = std::move(InterruptLine::create()).value();
  fakes::FakeClock clock;
  FakeSignals signals;
  FakeQueue rx;
  FakeQueue tx;
  GuestView guest;
  FakeTap* tap = nullptr;
  FakeDetour* detour = nullptr;
  std::unique_ptr<NetDevice> device;
};

/// The frame of a message that was sent or is in guest memory, without its virtio-net header.
inline Bytes without_header(const Bytes& bytes) {
  return {bytes.begin() + 12, bytes.end()};
}

}  // namespace wisp::fakes
