// The back end's end of a vhost-user connection, worked by hand: written from the protocol's page, apart from the
// device's code.
//
//   VhostPeer peer;                                    // a pair of sockets
//   peer.offer(kPeerFeatures, kPeerProtocol, 64);      // the answers of the negotiation, sent before they are asked
//   for auto backend = VhostBackend::adopt(peer.front_end(), "peer", timeouts); auto message = peer.take(); // what the
//   front end has sent
#pragma once

#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <cstdint>
#include <cstring>
#include <optional>
#include <utility>
#include <vector>

#include "vmm/base/assert.h"
#include "vmm/base/fd.h"

namespace wisp::fakes {

inline constexpr std::uint64_t kPeerFlush = 1ULL << 9;
/// VERSION_1, PROTOCOL_FEATURES, FLUSH, EVENT_IDX, INDIRECT_DESC.
inline constexpr std::uint64_t kPeerFeatures = 1ULL << 32 | 1ULL << 30 | kPeerFlush | 3ULL << 28;
inline constexpr std::uint64_t kPeerReplyAck = 1ULL << 3;
inline constexpr std::uint64_t kPeerConfig = 1ULL << 9;

using Bytes = std::vector<std::uint8_t>;

inline Bytes number(std::uint64_t value, std::size_t width) {
  Bytes bytes(width);
  for (std::size_t index = 0; index < width; ++index) {
    bytes[index] = static_cast<std::uint8_t>(value >> (8 * index));
  }
  return bytes;
}
inline Bytes operator+(Bytes left, const Bytes& right) {
  left.insert(left.end(), right.begin(), right.end());
  return left;
}

struct PeerMessage {
  std::uint32_t request = 0;
  std::uint32_t flags = 0;
  Bytes payload;
  std::vector<Fd> descriptors;
  std::uint64_t at(std::size_t offset, std::size_t width) const {
    std::uint64_t value = 0;
    for (std::size_t index = width; index-- > 0;) {
      value = value << 8U | payload.at(offset + index);
    }
    return value;
  }
};

class VhostPeer {
 public:
  VhostPeer() {
    std::array<int, 2> ends{};
    WISP_ASSERT(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends.data()) == 0);
    ours_ = Fd(ends[0]);
    theirs_ = Fd(ends[1]);
  }
  Fd front_end() { return std::move(theirs_); }
  void hang_up() { ours_.reset(); }
  /// Neither side has closed the connection.
  bool connected() const {
    pollfd query{ours_.raw(), 0, 0};
    return ours_.valid() && ::poll(&query, 1, 0) == 0;
  }

  void send_bytes(const Bytes& bytes) const {
    WISP_ASSERT(::send(ours_.raw(), bytes.data(), bytes.size(), MSG_NOSIGNAL) == static_cast<ssize_t>(bytes.size()));
  }
  void answer(std::uint32_t request, const Bytes& payload, std::uint32_t flags = 5) const {
    send_bytes(number(request, 4) + number(flags, 4) + number(payload.size(), 4) + payload);
  }
  void answer_with_descriptor(std::uint32_t request, const Bytes& payload, int descriptor) const {
    Bytes wire = number(request, 4) + number(5, 4) + number(payload.size(), 4) + payload;
    iovec body{wire.data(), wire.size()};
    alignas(cmsghdr) std::array<char, CMSG_SPACE(sizeof(int))> control{};
    msghdr message{};
    message.msg_iov = &body;
    message.msg_iovlen = 1;
    message.msg_control = control.data();
    message.msg_controllen = control.size();
    cmsghdr* const header = CMSG_FIRSTHDR(&message);
    header->cmsg_level = SOL_SOCKET;
    header->cmsg_type = SCM_RIGHTS;
    header->cmsg_len = CMSG_LEN(sizeof(int));
    std::memcpy(CMSG_DATA(header), &descriptor, sizeof(descriptor));
    WISP_ASSERT(::sendmsg(ours_.raw(), &message, 0) > 0);
  }
  static Bytes config(std::uint64_t sectors) {
    return number(0, 4) + number(60, 4) + number(0, 4) + number(sectors, 8) + Bytes(52);
  }
  void offer(std::uint64_t features, std::uint64_t protocol, std::uint64_t sectors) const {
    answer(1, number(features, 8));
    answer(15, number(protocol, 8));
    answer(24, config(sectors));
  }

  /// The next message, if there is one.
  std::optional<PeerMessage> take() const {
    PeerMessage message;
    Bytes header(12);
    if (!receive(header, message.descriptors)) {
      return std::nullopt;
    }
    message.payload = header;
    const auto size = message.at(8, 4);
    message.request = static_cast<std::uint32_t>(message.at(0, 4));
    message.flags = static_cast<std::uint32_t>(message.at(4, 4));
    message.payload.assign(size, 0);
    WISP_ASSERT(size == 0 || receive(message.payload, message.descriptors));
    return message;
  }
  std::vector<PeerMessage> take_all() const {
    std::vector<PeerMessage> all;
    while (auto message = take()) {
      all.push_back(std::move(*message));
    }
    return all;
  }
  /// Takes all messages and acknowledges those that ask for it; returns their numbers.
  std::vector<std::uint32_t> acknowledge_all() const {
    std::vector<std::uint32_t> numbers;
    for (const PeerMessage& message : take_all()) {
      numbers.push_back(message.request);
      if ((message.flags & 8U) != 0) {
        answer(message.request, number(0, 8));
      }
    }
    return numbers;
  }

 private:
  bool receive(Bytes& bytes, std::vector<Fd>& descriptors) const {
    iovec body{bytes.data(), bytes.size()};
    alignas(cmsghdr) std::array<char, CMSG_SPACE(sizeof(int) * 8)> control{};
    msghdr message{};
    message.msg_iov = &body;
    message.msg_iovlen = 1;
    message.msg_control = control.data();
    message.msg_controllen = control.size();
    if (::recvmsg(ours_.raw(), &message, MSG_DONTWAIT | MSG_CMSG_CLOEXEC) != static_cast<ssize_t>(bytes.size())) {
      return false;
    }
    for (cmsghdr* each = CMSG_FIRSTHDR(&message); each != nullptr; each = CMSG_NXTHDR(&message, each)) {
      for (std::size_t at = 0; at + sizeof(int) <= each->cmsg_len - CMSG_LEN(0); at += sizeof(int)) {
        int raw = -1;
        std::memcpy(&raw, CMSG_DATA(each) + at, sizeof(raw));
        descriptors.emplace_back(raw);
      }
    }
    return true;
  }

  Fd ours_;
  Fd theirs_;
};

}  // namespace wisp::fakes
