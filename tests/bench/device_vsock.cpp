// Bench of vsock: one stream in each direction through the device and a Unix socket, against a Unix socket alone. The
// program at the other end of the socket takes and brings its bytes between the metered slices.
#include <sys/socket.h>
#include <sys/uio.h>
#include <sys/un.h>

#include <array>
#include <cstdlib>
#include <filesystem>

#include "tests/bench/device_rig.h"
#include "virtio/vsock/device.h"

namespace wisp::bench {
namespace {

constexpr std::size_t kRx = VsockDevice::kReceiveQueue, kTx = VsockDevice::kTransmitQueue;
constexpr std::uint32_t kGuestPort = 1000, kHostPort = 1;
constexpr std::uint16_t kRequestOp = 1, kDataOp = 5, kCreditOp = 6;
constexpr std::uint64_t kHeaderBytes = 44;
constexpr std::uint64_t kBatchBytes = 64U << 10U;    // what is under way at a time: a connection's credit
constexpr std::uint64_t kSliceBatches = 128;         // 8 MiB
constexpr std::uint64_t kBufferBytes = 1U << 20U;    // payload that device and bare calls walk through, in turn
constexpr std::uint64_t kReceiveStride = 0x11000;    // a receive buffer with its header
constexpr std::uint64_t kTxHeaders = kSmallBuffers;  // 64 bytes for each slot

class Folder {
 public:
  Folder() {
    char name[] = "/tmp/wisp-bench-XXXXXX";
    WISP_ASSERT(::mkdtemp(name) != nullptr);
    path_ = name;
  }
  ~Folder() { std::filesystem::remove_all(path_); }
  Folder(const Folder&) = delete;
  Folder& operator=(const Folder&) = delete;
  std::string socket() const { return path_ + "/v.sock"; }

 private:
  std::string path_;
};

/// One end of a stream, as the host program has it.
class Peer {
 public:
  explicit Peer(Fd fd) : fd_(std::move(fd)) {}
  int raw() const { return fd_.raw(); }
  void take(std::uint64_t count) {
    while (count > 0) {
      const ssize_t got = ::recv(fd_.raw(), place_.data(), std::min<std::uint64_t>(count, place_.size()), 0);
      WISP_ASSERT(got > 0);
      count -= static_cast<std::uint64_t>(got);
    }
  }
  void bring(std::uint64_t chunk_bytes) {
    for (std::uint64_t count = 0; count < kBatchBytes; count += chunk_bytes) {
      WISP_ASSERT(::send(fd_.raw(), place_.data(), chunk_bytes, MSG_NOSIGNAL) == static_cast<ssize_t>(chunk_bytes));
    }
  }

 private:
  Fd fd_;
  std::vector<std::byte> place_ = std::vector<std::byte>(kBatchBytes, std::byte{5});
};

/// A device with one open connection, and the driver's packets.
class Vsock {
 public:
  explicit Vsock(std::uint32_t packet_bytes)
      : packet_bytes_(packet_bytes), rig_(make_device(), 0, memory_, *loop_), listener_(listen()) {
    post_receive(16);
    send(kRequestOp, 0);
    rig_.kick(kTx);
    rig_.run_until_used(kTx);
    peer_ = std::make_unique<Peer>(Fd(::accept4(listener_.raw(), nullptr, nullptr, SOCK_CLOEXEC)));
    WISP_ASSERT(peer_->raw() >= 0);
  }

  void to_host(Meter& meter) {
    for (std::uint64_t batch = 0; batch < kSliceBatches; ++batch) {
      for (std::uint64_t count = 0; count < kBatchBytes; count += packet_bytes_) {
        send(kDataOp, packet_bytes_);
      }
      rig_.kick(kTx);
      meter.start();
      rig_.run_until_used(kTx);
      meter.stop(kBatchBytes / packet_bytes_);
      peer_->take(kBatchBytes);
      post_receive(16);  // the device tells of the credit that came back
    }
  }

  void to_guest(Meter& meter) {
    const std::uint64_t packets = kBatchBytes / packet_bytes_;
    for (std::uint64_t batch = 0; batch < kSliceBatches; ++batch) {
      post_receive(packets);
      const auto before = rig_.queue(kRx).used_index();
      peer_->bring(packet_bytes_);
      meter.start();
      rig_.run_until_used(kRx, static_cast<std::uint16_t>(before + packets));
      meter.stop(packets);
      received_ += static_cast<std::uint32_t>(kBatchBytes);
      send(kCreditOp, 0);
      rig_.kick(kTx);
      rig_.run_until_used(kTx);
    }
  }

 private:
  std::unique_ptr<VirtioDevice> make_device() {
    auto listener = VsockListener::bind(folder_.socket());
    WISP_ASSERT(listener.ok());
    return std::move(VsockDevice::create({3, folder_.socket(), {}}, std::move(listener).value(), *loop_, clock_))
        .value();
  }
  Fd listen() const {
    Fd fd(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    (folder_.socket() + "_" + std::to_string(kHostPort)).copy(address.sun_path, sizeof(address.sun_path) - 1);
    WISP_ASSERT(::bind(fd.raw(), reinterpret_cast<const sockaddr*>(&address), sizeof(address)) == 0);
    WISP_ASSERT(::listen(fd.raw(), 1) == 0);
    return fd;
  }
  /// Header and payload in an indirect table.
  void send(std::uint16_t op, std::uint32_t length) {
    const std::uint16_t slot = next_tx_++ % 64;
    const std::uint64_t header = kTxHeaders + slot * std::uint64_t{64};
    const fakes::GuestView guest = rig_.guest();
    guest.put(header, 3, 8);
    guest.put(header + 8, 2, 8);
    guest.put(header + 16, kGuestPort, 4);
    guest.put(header + 20, kHostPort, 4);
    guest.put(header + 24, length, 4);
    guest.put(header + 28, kVsockTypeStream, 2);
    guest.put(header + 30, op, 2);
    guest.put(header + 36, 1U << 20U, 4);
    guest.put(header + 40, received_, 4);
    fakes::ChainBuilder builder(rig_.queue(kTx), slot);
    builder.readable(header, kHeaderBytes);
    if (length > 0) {
      builder.readable(kBuffers + payload_at_, length);
      payload_at_ = (payload_at_ + length) % kBufferBytes;
    }
    rig_.queue(kTx).offer(builder.build_indirect(DeviceRig::table(kTx, slot, 2)));
  }
  std::uint64_t buffer_of(std::uint16_t head) const {
    const std::uint64_t stride = packet_bytes_ == kBatchBytes ? kReceiveStride : 0x2000;
    return kBuffers + 0x1000000 + head % (kBufferBytes / packet_bytes_) * stride;
  }
  /// Makes the receive queue hold at least `count` buffers, each for one packet.
  void post_receive(std::uint64_t count) {
    auto& ring = rig_.queue(kRx);
    const auto posted = static_cast<std::uint16_t>(ring.available_index() - ring.used_index());
    for (std::uint64_t have = posted; have < count; ++have) {
      const std::uint16_t head = next_rx_++ % kQueueEntries;
      ring.put_descriptor(head, buffer_of(head), static_cast<std::uint32_t>(packet_bytes_ + kHeaderBytes),
                          fakes::kWrite, 0);
      ring.offer(head);
    }
    rig_.kick(kRx);
    rig_.settle();
  }

  std::uint32_t packet_bytes_;
  Folder folder_;
  MonotonicClock clock_;
  GuestMemory memory_ = make_touched_memory();
  std::unique_ptr<EventLoop> loop_ = std::move(EventLoop::create()).value();
  DeviceRig rig_;
  Fd listener_;
  std::unique_ptr<Peer> peer_;
  std::uint16_t next_tx_ = 0, next_rx_ = 0;
  std::uint32_t received_ = 0;
  std::uint64_t payload_at_ = 0;
};

/// Both ends of a Unix socket.
class BarePair {
 public:
  BarePair() {
    int ends[2];
    WISP_ASSERT(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) == 0);
    near_ = Fd(ends[0]);
    far_ = std::make_unique<Peer>(Fd(ends[1]));
  }
  void send(std::uint32_t chunk_bytes, Meter& meter) {
    for (std::uint64_t batch = 0; batch < kSliceBatches; ++batch) {
      meter.start();
      for (std::uint64_t count = 0; count < kBatchBytes; count += chunk_bytes) {
        iovec vector{next_place(chunk_bytes), chunk_bytes};
        msghdr message{};
        message.msg_iov = &vector;
        message.msg_iovlen = 1;
        WISP_ASSERT(::sendmsg(near_.raw(), &message, MSG_NOSIGNAL) == static_cast<ssize_t>(chunk_bytes));
      }
      meter.stop(kBatchBytes / chunk_bytes);
      far_->take(kBatchBytes);
    }
  }
  void receive(std::uint32_t chunk_bytes, Meter& meter) {
    for (std::uint64_t batch = 0; batch < kSliceBatches; ++batch) {
      far_->bring(chunk_bytes);
      meter.start();
      for (std::uint64_t count = 0; count < kBatchBytes; count += chunk_bytes) {
        const iovec vector{next_place(chunk_bytes), chunk_bytes};
        WISP_ASSERT(::readv(near_.raw(), &vector, 1) == static_cast<ssize_t>(chunk_bytes));
      }
      meter.stop(kBatchBytes / chunk_bytes);
    }
  }

 private:
  std::byte* next_place(std::uint32_t chunk_bytes) {
    std::byte* const place = buffer_.data() + at_;
    at_ = (at_ + chunk_bytes) % kBufferBytes;
    return place;
  }

  Fd near_;
  std::unique_ptr<Peer> far_;
  std::vector<std::byte> buffer_ = std::vector<std::byte>(kBufferBytes, std::byte{1});
  std::uint64_t at_ = 0;
};

}  // namespace

std::string bench_vsock(const Measure& measure) {
  BarePair pair;
  for (const std::uint32_t bytes : {4096U, 65536U}) {
    Vsock vsock(bytes);
    const std::string packets = bytes == 4096 ? "4 KiB packets" : "64 KiB packets";
    measure({"vsock to the guest, " + packets, bytes, [&](Meter& meter) { vsock.to_guest(meter); },
             [&](Meter& meter) { pair.receive(bytes, meter); }});
    measure({"vsock to the host, " + packets, bytes, [&](Meter& meter) { vsock.to_host(meter); },
             [&](Meter& meter) { pair.send(bytes, meter); }});
  }
  return "";
}

}  // namespace wisp::bench
