// A vsock device with a driver on three queues and host programs on real Unix sockets in a temporary folder.
#pragma once

#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "tests/fakes/fake_clock.h"
#include "tests/fakes/fake_device.h"
#include "tests/fakes/fake_driver.h"
#include "virtio/core/queue_config.h"
#include "virtio/vsock/device.h"

namespace wisp::fakes {

/// A packet as the specification lays it out; no code of the device's.
struct Packet {
  std::uint64_t src_cid = 3, dst_cid = 2;
  std::uint32_t src_port = 0, dst_port = 0, length = 0;
  std::uint16_t type = 1, op = 0;
  std::uint32_t flags = 0, buf_alloc = 0x40000, fwd_cnt = 0;
  std::string data = {};
};
inline constexpr std::uint16_t kOpRequest = 1, kOpResponse = 2, kOpRst = 3, kOpShutdown = 4, kOpRw = 5, kOpCredit = 6,
                               kOpCreditRequest = 7;

class TempFolder {
 public:
  TempFolder() {
    char name[] = "/tmp/wisp-vsock-XXXXXX";
    WISP_ASSERT(::mkdtemp(name) != nullptr);
    path_ = name;
  }
  ~TempFolder() { std::filesystem::remove_all(path_); }
  std::string file(const std::string& name) const { return path_ + "/" + name; }

 private:
  std::string path_;
};

inline sockaddr_un unix_address(const std::string& path) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  WISP_ASSERT(path.size() < sizeof(address.sun_path));
  path.copy(address.sun_path, path.size());
  return address;
}
inline Fd connect_client(const std::string& path) {
  Fd fd(::socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
  const sockaddr_un address = unix_address(path);
  WISP_ASSERT(::connect(fd.raw(), reinterpret_cast<const sockaddr*>(&address), sizeof(address)) == 0);
  return fd;
}
inline Fd listen_at(const std::string& path) {
  Fd fd(::socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
  const sockaddr_un address = unix_address(path);
  WISP_ASSERT(::bind(fd.raw(), reinterpret_cast<const sockaddr*>(&address), sizeof(address)) == 0);
  WISP_ASSERT(::listen(fd.raw(), 2048) == 0);
  return fd;
}
inline std::size_t say(const Fd& fd, const std::string& text) {
  const ssize_t count = ::send(fd.raw(), text.data(), text.size(), MSG_NOSIGNAL | MSG_DONTWAIT);
  return count < 0 ? 0 : static_cast<std::size_t>(count);
}
/// What has arrived; nothing when the stream has ended.
inline std::optional<std::string> hear(const Fd& fd, std::size_t limit = 1 << 20U) {
  std::string text(limit, '\0');
  const ssize_t count = ::recv(fd.raw(), text.data(), text.size(), MSG_DONTWAIT);
  if (count == 0 || (count < 0 && errno != EAGAIN)) {
    return std::nullopt;
  }
  text.resize(count < 0 ? 0 : static_cast<std::size_t>(count));
  return text;
}

struct VsockRig : TransportSignals {
  static constexpr std::uint16_t kQueueSize = 16;
  static constexpr std::uint32_t kBufferBytes = 0x1000;
  static constexpr std::uint64_t kRxBuffers = 0x80000, kTxBuffer = 0x20000;
  static constexpr std::uint64_t kFeatures = std::uint64_t{1} << 32U;

  explicit VsockRig(std::uint64_t features = kFeatures)
      : loop(std::move(EventLoop::create()).value()),
        interrupt(std::move(InterruptLine::create()).value()),
        rx(memory, {0x10000, 0x11000, 0x12000}, kQueueSize),
        tx(memory, {0x13000, 0x14000, 0x15000}, kQueueSize),
        event(memory, {0x16000, 0x17000, 0x18000}, kQueueSize) {
    device = make(path());
    activate(*device, features);
  }
  std::string path() const { return folder.file("v.sock"); }
  std::string path(std::uint32_t port) const { return path() + "_" + std::to_string(port); }
  std::unique_ptr<VsockDevice> make(const std::string& where) {
    auto listener = VsockListener::bind(where);
    WISP_ASSERT(listener.ok());
    auto made = VsockDevice::create({3, where, {}}, std::move(listener).value(), *loop, clock);
    WISP_ASSERT(made.ok());
    made.value()->attach(*this);
    return std::move(made).value();
  }
  void activate(VsockDevice& to, std::uint64_t features) {
    Activation activation{&memory, interrupt.get(), features, {}};
    for (const FakeQueue* queue : {&rx, &tx, &event}) {
      QueueConfig config(256);
      config.set_size(kQueueSize);
      config.set_address(QueuePart::DescriptorTable, AddressHalf::Low,
                         static_cast<std::uint32_t>(queue->place().descriptors));
      config.set_address(QueuePart::AvailableRing, AddressHalf::Low,
                         static_cast<std::uint32_t>(queue->place().available));
      config.set_address(QueuePart::UsedRing, AddressHalf::Low, static_cast<std::uint32_t>(queue->place().used));
      WISP_ASSERT(config.make_ready(memory) == QueueConfigDefect::None);
      activation.queues.push_back(config.activate(memory, features));
    }
    WISP_ASSERT(to.activate(std::move(activation)).ok());
  }

  void needs_reset() override { ++needs_reset_count; }
  void config_changed() override {}
  void look_again(std::size_t queue) override { again[queue] = true; }
  void drained() override {}

  /// The loop turns until nothing is left to do.
  void turn() {
    for (int round = 0; round < 12; ++round) {
      loop->run_once(0);
      for (std::size_t queue = 0; queue < 3; ++queue) {
        if (std::exchange(again[queue], false) && device->on_queue(queue)) {
          again[queue] = true;
        }
      }
    }
  }
  void kick(std::size_t queue) {
    again[queue] = true;
    turn();
  }
  void post_rx(std::size_t count, std::uint32_t size = kBufferBytes) {
    for (std::size_t index = 0; index < count; ++index) {
      const std::uint16_t head = next_rx++ % kQueueSize;
      rx.put_descriptor(head, kRxBuffers + head * std::uint64_t{kBufferBytes}, size, kWrite, 0);
      rx.offer(head);
    }
    kick(0);
  }
  std::optional<Packet> take() {
    const auto used = rx.take_used();
    if (!used) {
      return std::nullopt;
    }
    const GuestView guest(memory);
    const std::uint64_t at = kRxBuffers + used->id * std::uint64_t{kBufferBytes};
    Packet packet;
    WISP_ASSERT(used->length >= 44);
    packet.src_cid = guest.get(at, 8);
    packet.dst_cid = guest.get(at + 8, 8);
    packet.src_port = static_cast<std::uint32_t>(guest.get(at + 16, 4));
    packet.dst_port = static_cast<std::uint32_t>(guest.get(at + 20, 4));
    packet.length = static_cast<std::uint32_t>(guest.get(at + 24, 4));
    packet.type = static_cast<std::uint16_t>(guest.get(at + 28, 2));
    packet.op = static_cast<std::uint16_t>(guest.get(at + 30, 2));
    packet.flags = static_cast<std::uint32_t>(guest.get(at + 32, 4));
    packet.buf_alloc = static_cast<std::uint32_t>(guest.get(at + 36, 4));
    packet.fwd_cnt = static_cast<std::uint32_t>(guest.get(at + 40, 4));
    WISP_ASSERT(used->length == 44 + packet.length);
    const auto bytes = packet.length == 0 ? std::vector<std::byte>{} : guest.bytes(at + 44, packet.length);
    packet.data.assign(reinterpret_cast<const char*>(bytes.data()), bytes.size());
    return packet;
  }
  void write_header(std::uint64_t where, const Packet& packet, std::uint32_t length) const {
    const GuestView guest(memory);
    guest.put(where, packet.src_cid, 8);
    guest.put(where + 8, packet.dst_cid, 8);
    guest.put(where + 16, packet.src_port, 4);
    guest.put(where + 20, packet.dst_port, 4);
    guest.put(where + 24, length, 4);
    guest.put(where + 28, packet.type, 2);
    guest.put(where + 30, packet.op, 2);
    guest.put(where + 32, packet.flags, 4);
    guest.put(where + 36, packet.buf_alloc, 4);
    guest.put(where + 40, packet.fwd_cnt, 4);
  }
  /// Offers a packet in one chain of a header and, when there is data, a second buffer.
  void offer(const Packet& packet, std::optional<std::uint32_t> claimed = std::nullopt,
             std::uint32_t header_bytes = 44) {
    write_header(kTxBuffer, packet, claimed.value_or(static_cast<std::uint32_t>(packet.data.size())));
    GuestView(memory).put_bytes(kTxBuffer + 64, std::as_bytes(std::span(packet.data)));
    ChainBuilder builder(tx, 0);
    builder.readable(kTxBuffer, header_bytes);
    if (!packet.data.empty()) {
      builder.readable(kTxBuffer + 64, static_cast<std::uint32_t>(packet.data.size()));
    }
    tx.offer(builder.build());
  }
  void send(const Packet& packet, std::optional<std::uint32_t> claimed = std::nullopt,
            std::uint32_t header_bytes = 44) {
    offer(packet, claimed, header_bytes);
    kick(1);
  }
  /// A client that has said CONNECT to guest port 52, and the request that the guest got.
  Fd request(Packet& seen, const std::string& line = "CONNECT 52\n") {
    Fd client = connect_client(path());
    say(client, line);
    turn();
    const auto packet = take();
    WISP_ASSERT(packet && packet->op == kOpRequest);
    seen = *packet;
    return client;
  }
  Packet answer_to(const Packet& seen, std::uint16_t op) const {
    Packet packet;
    packet.src_port = seen.dst_port;
    packet.dst_port = seen.src_port;
    packet.op = op;
    return packet;
  }

  /// A connection from guest port `port` to the program that listens on `listener`, with the guest's buffers posted.
  Fd open_from_guest(const Fd& listener, std::uint32_t port, std::uint32_t host_port = 1) {
    send({.src_port = port, .dst_port = host_port, .op = kOpRequest});
    const auto answer = take();
    WISP_ASSERT(answer && answer->op == kOpResponse);
    return Fd(::accept4(listener.raw(), nullptr, nullptr, SOCK_CLOEXEC | SOCK_NONBLOCK));
  }
  /// Whether the host side has an event that nobody has handled: a device that is idle has none.
  bool host_side_is_quiet() const {
    epoll_event ready{};
    return ::epoll_wait(device->host_events().raw(), &ready, 1, 0) == 0;
  }
  /// The driver resets the device and starts it anew.
  void restart(std::uint64_t features = kFeatures) {
    device->reset();
    for (FakeQueue* queue : {&rx, &tx, &event}) {
      queue->start_over();
    }
    next_rx = 0;
    activate(*device, features);
  }

  TempFolder folder;
  GuestMemory memory = make_memory();
  std::unique_ptr<EventLoop> loop;
  std::unique_ptr<InterruptLine> interrupt;
  fakes::FakeClock clock;
  FakeQueue rx, tx, event;
  std::unique_ptr<VsockDevice> device;
  std::array<bool, 3> again{};
  int needs_reset_count = 0;
  std::uint16_t next_rx = 0;
};

}  // namespace wisp::fakes
