// Bench of the network card: frames through a TAP in a network namespace of the bench's own, against writev and readv
// on the same TAP. Frames from the host are queued in the TAP beforehand, by a packet socket.
#include <arpa/inet.h>
#include <linux/if_packet.h>
#include <net/if.h>
#include <sched.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/uio.h>

#include <array>
#include <cerrno>
#include <cstring>
#include <fstream>

#include "tests/bench/device_rig.h"
#include "virtio/net/device.h"

namespace wisp::bench {
namespace {

constexpr const char* kTapName = "wispbench0";
constexpr std::size_t kSegmentBytes = 1448;
constexpr std::size_t kPieceBytes = 4096;                     // a page of a large frame; a receive buffer
constexpr std::size_t kLargeFrame = 54 + 45 * kSegmentBytes;  // what a TCP stack sends at most: below 64 KiB
constexpr std::size_t kFrameStride = 0x12000;                 // one frame with its header, in host and in guest memory
constexpr std::uint16_t kTxBatch = 32;
constexpr std::uint64_t kSliceBatches = 32;
constexpr std::uint64_t kOffloads = net_feature::kCsum | net_feature::kGuestCsum | net_feature::kHostTso4 |
                                    net_feature::kGuestTso4 | net_feature::kMergeBuffers;

struct Shape {
  const char* name;
  std::size_t bytes;
  std::uint16_t rx_frames;  // queued at a time: the ring has 256 buffers of a page
};

constexpr std::array<Shape, 3> kShapes = {{
    {"60-byte frames", 60, 128},
    {"1500-byte frames", 1500, 128},
    {"64 KiB frames (GSO)", kLargeFrame, 12},
}};

void put16(std::vector<std::byte>& bytes, std::size_t at, std::size_t value) {  // network order
  bytes[at] = static_cast<std::byte>(value >> 8U);
  bytes[at + 1] = static_cast<std::byte>(value);
}

/// virtio-net header and an IPv4 TCP frame for a station that is not this host, so that its stack drops it at once.
std::vector<std::byte> make_frame(std::size_t frame_bytes) {
  std::vector<std::byte> bytes(kVnetHeaderBytes + frame_bytes, std::byte{0});
  VnetHeader header;
  if (frame_bytes > 2000) {
    header.flags = vnet::kNeedsCsum;
    header.gso_type = vnet::kGsoTcp4;
    header.hdr_len = 54;
    header.gso_size = kSegmentBytes;
    header.csum_start = 34;
    header.csum_offset = 16;
  }
  std::memcpy(bytes.data(), &header, sizeof(header));
  const std::size_t frame = kVnetHeaderBytes;
  bytes[frame] = bytes[frame + 6] = std::byte{0x02};
  bytes[frame + 5] = std::byte{0x99};
  put16(bytes, frame + 12, 0x0800);
  bytes[frame + 14] = std::byte{0x45};
  put16(bytes, frame + 16, frame_bytes - kEthernetHeaderBytes);
  bytes[frame + 22] = std::byte{64};
  bytes[frame + 23] = std::byte{6};     // TCP
  bytes[frame + 46] = std::byte{0x50};  // its header has 20 bytes
  return bytes;
}

/// The pieces that a driver makes of a frame: small ones whole, large ones header first, then pages.
std::vector<std::size_t> pieces_of(std::size_t total_bytes) {
  std::vector<std::size_t> pieces;
  const std::size_t head = total_bytes <= kPieceBytes ? total_bytes : kVnetHeaderBytes + 54;
  pieces.push_back(head);
  for (std::size_t at = head; at < total_bytes; at += kPieceBytes) {
    pieces.push_back(std::min(kPieceBytes, total_bytes - at));
  }
  return pieces;
}

ifreq request_for_tap() {
  ifreq request{};
  std::memcpy(request.ifr_name, kTapName, std::strlen(kTapName));
  return request;
}

bool bring_up() {
  const Fd control(::socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0));
  ifreq request = request_for_tap();
  request.ifr_flags = IFF_UP;
  return ::ioctl(control.raw(), SIOCSIFFLAGS, &request) == 0;
}

/// The host's stack asks for IPv6 routers by itself on every interface; its frames would be counted with ours.
void silence_ipv6() {
  for (const char* which : {"all", "default"}) {
    std::ofstream("/proc/sys/net/ipv6/conf/" + std::string(which) + "/disable_ipv6") << '1';
  }
}

/// Puts frames into the TAP's queue, from the host's side.
class Neighbour {
 public:
  Neighbour() : socket_(::socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC, 0)) {
    const int on = 1;
    const int room_bytes = 64 << 20;
    address_.sll_family = AF_PACKET;
    address_.sll_ifindex = static_cast<int>(::if_nametoindex(kTapName));
    WISP_ASSERT(::bind(socket_.raw(), reinterpret_cast<const sockaddr*>(&address_), sizeof(address_)) == 0);
    WISP_ASSERT(::setsockopt(socket_.raw(), SOL_PACKET, PACKET_VNET_HDR, &on, sizeof(on)) == 0);
    WISP_ASSERT(::setsockopt(socket_.raw(), SOL_SOCKET, SO_SNDBUFFORCE, &room_bytes, sizeof(room_bytes)) == 0);
  }
  void send(const std::vector<std::byte>& frame, std::uint16_t count) const {
    constexpr std::size_t kNoCount = 2;  // a packet socket's header has no number of buffers
    const std::array<iovec, 2> parts = {
        iovec{const_cast<std::byte*>(frame.data()), kVnetHeaderBytes - kNoCount},
        iovec{const_cast<std::byte*>(frame.data()) + kVnetHeaderBytes, frame.size() - kVnetHeaderBytes}};
    for (std::uint16_t sent = 0; sent < count; ++sent) {
      WISP_ASSERT(::writev(socket_.raw(), parts.data(), 2) == static_cast<ssize_t>(frame.size() - kNoCount));
    }
  }

 private:
  Fd socket_;
  sockaddr_ll address_{};
};

class Card {
 public:
  explicit Card(Tap tap) {
    NetConfig config;
    config.iface_id = "bench";
    auto created = NetDevice::create(config, std::move(tap), nullptr, *loop_);
    WISP_ASSERT(created.ok());
    device_ = created.value().get();
    rig_ = std::make_unique<DeviceRig>(std::move(created).value(), kOffloads, memory_, *loop_);
    WISP_ASSERT(bring_up());
    post_buffers();
  }

  void transmit(const std::vector<std::byte>& frame, Meter& meter) {
    const auto pieces = pieces_of(frame.size());
    for (std::uint16_t slot = 0; slot < kTxBatch; ++slot) {
      rig_->guest().put_bytes(kBuffers + slot * kFrameStride, frame);
    }
    const std::uint64_t before = device_->metrics().tx_packets_count.total();
    for (std::uint64_t batch = 0; batch < kSliceBatches; ++batch) {
      for (std::uint16_t slot = 0; slot < kTxBatch; ++slot) {
        offer(slot, pieces);
      }
      rig_->kick(kNetTxQueue);
      meter.start();
      rig_->run_until_used(kNetTxQueue);
      meter.stop(kTxBatch);
    }
    WISP_ASSERT(device_->metrics().tx_packets_count.total() == before + kSliceBatches * kTxBatch);
  }

  void receive(const Neighbour& neighbour, const std::vector<std::byte>& frame, std::uint16_t count, Meter& meter) {
    const std::size_t buffers = (frame.size() + kPieceBytes - 1) / kPieceBytes;
    for (std::uint64_t batch = 0; batch < kSliceBatches; ++batch) {
      rig_->settle();  // the last edge of the bare reader's frames
      const auto used = rig_->queue(kNetRxQueue).used_index();
      neighbour.send(frame, count);
      meter.start();
      rig_->run_until_used(kNetRxQueue, static_cast<std::uint16_t>(used + count * buffers));
      meter.stop(count);
      post_buffers();
    }
  }

 private:
  void offer(std::uint16_t slot, const std::vector<std::size_t>& pieces) {
    auto& ring = rig_->queue(kNetTxQueue);
    fakes::ChainBuilder builder(ring, slot);
    std::uint64_t at = kBuffers + slot * kFrameStride;
    for (const std::size_t piece : pieces) {
      builder.readable(at, static_cast<std::uint32_t>(piece));
      at += piece;
    }
    ring.offer(pieces.size() == 1 ? builder.build() : builder.build_indirect(DeviceRig::table(kNetTxQueue, slot, 20)));
  }
  /// All 256 buffers of the receive queue, one page each.
  void post_buffers() {
    auto& ring = rig_->queue(kNetRxQueue);
    const auto posted = static_cast<std::uint16_t>(ring.available_index() - ring.used_index());
    for (std::uint16_t have = posted; have < kQueueEntries; ++have) {
      const std::uint16_t head = ring.available_index() % kQueueEntries;
      ring.put_descriptor(head, kBuffers + 0x1000000 + head * std::uint64_t{kPieceBytes}, kPieceBytes, fakes::kWrite,
                          0);
      ring.offer(head);
    }
    rig_->kick(kNetRxQueue);
    rig_->settle();
  }

  GuestMemory memory_ = make_touched_memory();
  std::unique_ptr<EventLoop> loop_ = std::move(EventLoop::create()).value();
  NetDevice* device_ = nullptr;
  std::unique_ptr<DeviceRig> rig_;
};

/// The TAP by itself.
class BareTap {
 public:
  explicit BareTap(const Tap& tap) : fd_(std::move(duplicate(tap.event_fd(), "TAP")).value()) {}

  /// From memory of as many frames as the driver has.
  void transmit(const std::vector<std::byte>& frame, Meter& meter) {
    std::vector<std::vector<iovec>> frames;
    for (std::uint16_t slot = 0; slot < kTxBatch; ++slot) {
      std::byte* const start = buffer_.data() + slot * kFrameStride;
      std::ranges::copy(frame, start);
      frames.push_back(vectors_for(start, pieces_of(frame.size())));
    }
    for (std::uint64_t batch = 0; batch < kSliceBatches; ++batch) {
      meter.start();
      for (const std::vector<iovec>& vectors : frames) {
        WISP_ASSERT(::writev(fd_.raw(), vectors.data(), static_cast<int>(vectors.size())) ==
                    static_cast<ssize_t>(frame.size()));
      }
      meter.stop(kTxBatch);
    }
  }
  /// To as many pages as the driver has posted, one after the other.
  void receive(const Neighbour& neighbour, const std::vector<std::byte>& frame, std::uint16_t count, Meter& meter) {
    const std::size_t pages = (frame.size() + kPieceBytes - 1) / kPieceBytes;
    const std::vector<std::size_t> pieces(pages, kPieceBytes);
    std::vector<std::vector<iovec>> frames;
    for (std::size_t page = 0; page + pages <= kQueueEntries; page += pages) {
      frames.push_back(vectors_for(buffer_.data() + page * kPieceBytes, pieces));
    }
    std::size_t next = 0;
    for (std::uint64_t batch = 0; batch < kSliceBatches; ++batch) {
      neighbour.send(frame, count);
      meter.start();
      std::uint16_t got = 0;
      while (::readv(fd_.raw(), frames[next].data(), static_cast<int>(pages)) > 0) {
        next = (next + 1) % frames.size();
        ++got;
      }
      meter.stop(count);
      WISP_ASSERT(got == count && errno == EAGAIN);
    }
  }

 private:
  static std::vector<iovec> vectors_for(std::byte* start, const std::vector<std::size_t>& pieces) {
    std::vector<iovec> vectors;
    for (const std::size_t piece : pieces) {
      vectors.push_back({start, piece});
      start += piece;
    }
    return vectors;
  }

  Fd fd_;
  std::vector<std::byte> buffer_ = std::vector<std::byte>(kTxBatch * kFrameStride, std::byte{1});
};

}  // namespace

std::string bench_net(const Measure& measure) {
  if (::unshare(CLONE_NEWNET) != 0) {
    return std::string("net: no network namespace of its own (") + std::strerror(errno) + "); run as root";
  }
  silence_ipv6();
  auto tap = Tap::open(kTapName);
  if (!tap.ok()) {
    return "net: " + tap.error().text();
  }
  BareTap bare(tap.value());
  Card card(std::move(tap).value());
  const Neighbour neighbour;
  for (const Shape& shape : kShapes) {
    const std::vector<std::byte> frame = make_frame(shape.bytes);
    measure({std::string("net to the host, ") + shape.name, shape.bytes,
             [&](Meter& meter) { card.transmit(frame, meter); }, [&](Meter& meter) { bare.transmit(frame, meter); }});
    measure({std::string("net to the guest, ") + shape.name, shape.bytes,
             [&](Meter& meter) { card.receive(neighbour, frame, shape.rx_frames, meter); },
             [&](Meter& meter) { bare.receive(neighbour, frame, shape.rx_frames, meter); }});
  }
  return "";
}

}  // namespace wisp::bench
