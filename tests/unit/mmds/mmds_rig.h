// A guest without a network stack: every segment is written by the test, and every frame that comes back is checked
// down to its checksums before the test looks at it.
#pragma once

#include <algorithm>
#include <catch2/catch.hpp>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "tests/fakes/fake_clock.h"
#include "virtio/mmds/metadata_endpoint.h"

namespace wisp::mmds::test {

inline constexpr MacAddress kGuestMac = {0x02, 0, 0, 0, 0, 0x07};
inline constexpr Ipv4Address kGuestAddress = {169, 254, 1, 7};
inline constexpr std::uint64_t kMs = 1'000'000;
inline constexpr std::uint8_t kFin = tcp_flag::kFin;
inline constexpr std::uint8_t kSyn = tcp_flag::kSyn;
inline constexpr std::uint8_t kRst = tcp_flag::kRst;
inline constexpr std::uint8_t kPsh = tcp_flag::kPsh;
inline constexpr std::uint8_t kAck = tcp_flag::kAck;

using Bytes = std::vector<std::byte>;

/// A segment that the service sent.
struct Seen {
  std::uint16_t port = 0;  ///< the guest's
  std::uint16_t from_port = 0;
  std::uint32_t sequence = 0;
  std::uint32_t acknowledgement = 0;
  std::uint8_t flags = 0;
  std::uint16_t window = 0;
  std::optional<std::uint16_t> mss;
  std::string payload;
};

/// A segment that the test sends; what is not set is as a well-behaved guest would have it.
struct Sent {
  std::uint16_t port = 40000;
  std::uint16_t to_port = 80;
  std::uint32_t sequence = 0;
  std::uint32_t acknowledgement = 0;
  std::uint8_t flags = kAck;
  std::uint16_t window = 65535;
  std::string payload;
  std::string tcp_options;
  std::string ip_options;
  std::uint16_t fragment = kIpDontFragment;
  std::uint8_t protocol = kIpProtocolTcp;
};

/// Written apart from the code under test: the sum of RFC 1071, byte by byte.
inline std::uint16_t plain_sum(const std::byte* bytes, std::size_t length, std::uint32_t sum = 0) {
  for (std::size_t index = 0; index < length; ++index) {
    sum += static_cast<std::uint32_t>(bytes[index]) << (index % 2 == 0 ? 8U : 0U);
    sum = (sum & 0xffffU) + (sum >> 16U);
  }
  return static_cast<std::uint16_t>(sum);
}

inline std::uint32_t pseudo(const Ipv4Address& from, const Ipv4Address& to, std::size_t length) {
  std::uint32_t sum = plain_sum(reinterpret_cast<const std::byte*>(from.data()), 4, 6);
  sum = plain_sum(reinterpret_cast<const std::byte*>(to.data()), 4, sum);
  sum += static_cast<std::uint32_t>(length);
  return (sum & 0xffffU) + (sum >> 16U);
}

template <typename T>
void append(Bytes& bytes, const T& value) {
  const auto* start = reinterpret_cast<const std::byte*>(&value);
  bytes.insert(bytes.end(), start, start + sizeof(T));
}

inline void append_text(Bytes& bytes, const std::string& text) {
  const auto* start = reinterpret_cast<const std::byte*>(text.data());
  bytes.insert(bytes.end(), start, start + text.size());
}

inline Bytes frame_of(const Sent& sent, const Ipv4Address& to = kDefaultMmdsAddress) {
  Bytes tcp;
  TcpHeader header{};
  header.source_port = sent.port;
  header.destination_port = sent.to_port;
  header.sequence = sent.sequence;
  header.acknowledgement = sent.acknowledgement;
  header.offset_words = static_cast<std::uint8_t>((20 + sent.tcp_options.size()) / 4 << 4U);
  header.flags = sent.flags;
  header.window_bytes = sent.window;
  append(tcp, header);
  append_text(tcp, sent.tcp_options);
  append_text(tcp, sent.payload);
  header.checksum =
      static_cast<std::uint16_t>(~plain_sum(tcp.data(), tcp.size(), pseudo(kGuestAddress, to, tcp.size())));
  std::memcpy(tcp.data(), &header, sizeof(header));

  Bytes ip_bytes;
  Ipv4Header ip{};
  const std::size_t ip_header_bytes = 20 + sent.ip_options.size();
  ip.version_and_words = static_cast<std::uint8_t>(0x40U | ip_header_bytes / 4);
  ip.total_length_bytes = static_cast<std::uint16_t>(ip_header_bytes + tcp.size());
  ip.fragment = sent.fragment;
  ip.time_to_live = 64;
  ip.protocol = sent.protocol;
  ip.source = kGuestAddress;
  ip.destination = to;
  append(ip_bytes, ip);
  append_text(ip_bytes, sent.ip_options);
  ip.checksum = static_cast<std::uint16_t>(~plain_sum(ip_bytes.data(), ip_bytes.size()));
  std::memcpy(ip_bytes.data(), &ip, sizeof(ip));

  Bytes frame;
  append(frame, EthernetHeader{kMetadataMac, kGuestMac, kEtherTypeIpv4});
  frame.insert(frame.end(), ip_bytes.begin(), ip_bytes.end());
  frame.insert(frame.end(), tcp.begin(), tcp.end());
  return frame;
}

/// Checks every field of a reply that does not depend on the connection.
inline Seen read_reply(const Bytes& frame) {
  REQUIRE(frame.size() >= 54);
  const auto ethernet = read_wire<EthernetHeader>(frame, 0);
  CHECK(ethernet.destination == kGuestMac);
  CHECK(ethernet.source == kMetadataMac);
  REQUIRE(ethernet.type == kEtherTypeIpv4);
  const auto ip = read_wire<Ipv4Header>(frame, 14);
  CHECK(ip.version_and_words == 0x45);
  CHECK(ip.total_length_bytes == frame.size() - 14);
  CHECK(ip.time_to_live == 1);
  CHECK(ip.fragment == 0x4000);
  CHECK(ip.source == kDefaultMmdsAddress);
  CHECK(ip.destination == kGuestAddress);
  CHECK(plain_sum(frame.data() + 14, 20) == 0xffff);
  const std::size_t tcp_bytes = frame.size() - 34;
  CHECK(plain_sum(frame.data() + 34, tcp_bytes, pseudo(ip.source, ip.destination, tcp_bytes)) == 0xffff);
  const auto tcp = read_wire<TcpHeader>(frame, 34);
  const std::size_t header_bytes = static_cast<std::size_t>(tcp.offset_words >> 4U) * 4;
  Seen seen{
      tcp.destination_port, tcp.source_port, tcp.sequence, tcp.acknowledgement, tcp.flags, tcp.window_bytes, {}, {}};
  if (header_bytes == 24) {
    CHECK(static_cast<int>(frame[54]) == 2);
    CHECK(static_cast<int>(frame[55]) == 4);
    seen.mss = read_wire<Be16>(frame, 56);
  } else {
    CHECK(header_bytes == 20);
  }
  const auto* payload = reinterpret_cast<const char*>(frame.data()) + 34 + header_bytes;
  seen.payload.assign(payload, tcp_bytes - header_bytes);
  return seen;
}

struct Rig {
  explicit Rig(MmdsVersion version = MmdsVersion::V1, bool imds_compat = false, std::size_t limit = 10'000'000)
      : store(limit) {
    const MmdsConfig config{version, {"eth0"}, {}, imds_compat};
    service = std::move(MetadataService::create(config, store, "vm-1", *loop, clock, metrics)).value();
    endpoint = std::move(MetadataEndpoint::create(*service, *loop, clock)).value();
    endpoint->set_wake([this] { ++wakes; });
  }
  void give(const Bytes& frame) {
    REQUIRE(endpoint->takes(std::span(frame).first(std::min(frame.size(), kDetourHeadBytes))));
    endpoint->receive(frame);
  }
  void give(const Sent& sent) { give(frame_of(sent)); }
  std::optional<Bytes> take_frame() {
    Bytes frame(kMaxDetourFrameBytes);
    const std::size_t length = endpoint->next_reply(frame);
    frame.resize(length);
    return length == 0 ? std::nullopt : std::optional(frame);
  }
  std::optional<Seen> take() {
    const auto frame = take_frame();
    return frame ? std::optional(read_reply(*frame)) : std::nullopt;
  }
  std::vector<Seen> take_all() {
    std::vector<Seen> all;
    while (auto seen = take()) {
      all.push_back(*seen);
      REQUIRE(all.size() < 100'000);
    }
    return all;
  }
  /// Time passes, and the timer does what it would do.
  void pass(std::uint64_t ns) {
    clock.now += ns;
    endpoint->on_time();
  }

  fakes::FakeClock clock;
  std::unique_ptr<EventLoop> loop = std::move(EventLoop::create()).value();
  MmdsMetrics metrics;
  MetadataStore store;
  std::unique_ptr<MetadataService> service;
  std::unique_ptr<MetadataEndpoint> endpoint;
  int wakes = 0;
};

/// A well-behaved client; the tests use its parts to misbehave.
class Client {
 public:
  explicit Client(Rig& rig, std::uint16_t port = 40000, std::uint32_t start = 1000)
      : next(start), rig_(rig), port_(port) {}

  Sent segment(std::uint8_t flags, std::string payload = {}) const {
    Sent sent;
    sent.port = port_;
    sent.sequence = next;
    sent.acknowledgement = expected;
    sent.flags = flags;
    sent.window = window;
    sent.payload = std::move(payload);
    return sent;
  }
  void send(const std::string& payload) {
    rig_.give(segment(kAck | kPsh, payload));
    next += static_cast<std::uint32_t>(payload.size());
  }
  void acknowledge() { rig_.give(segment(kAck)); }
  /// SYN, checks SYN-ACK, ACK.
  Seen connect(const std::string& options = std::string("\x02\x04\x05\xb4", 4)) {
    Sent syn = segment(kSyn);
    syn.acknowledgement = 0;
    syn.tcp_options = options;
    rig_.give(syn);
    const auto answer = rig_.take();
    REQUIRE(answer);
    REQUIRE(answer->flags == (kSyn | kAck));
    REQUIRE(answer->acknowledgement == next + 1);
    ++next;
    expected = answer->sequence + 1;
    acknowledge();
    CHECK_FALSE(rig_.take());
    return *answer;
  }
  /// Takes what comes in order and acknowledges it until nothing more comes.
  std::string read() {
    std::string text;
    while (true) {
      const auto seen = rig_.take();
      if (!seen) {
        return text;
      }
      absorb(*seen, text);
      if (!seen->payload.empty() || (seen->flags & kFin) != 0) {
        acknowledge();
      }
    }
  }
  void absorb(const Seen& seen, std::string& text) {
    REQUIRE(seen.port == port_);
    REQUIRE(seen.sequence == expected);
    REQUIRE((seen.flags & kRst) == 0);
    text += seen.payload;
    expected += static_cast<std::uint32_t>(seen.payload.size()) + ((seen.flags & kFin) != 0 ? 1U : 0U);
    finished = finished || (seen.flags & kFin) != 0;
  }
  std::string ask(const std::string& request) {
    send(request);
    return read();
  }

  std::uint32_t next;
  std::uint32_t expected = 0;
  std::uint16_t window = 65535;
  bool finished = false;  ///< the service sent FIN

 private:
  Rig& rig_;
  std::uint16_t port_;
};

inline std::string get(const std::string& path, const std::string& headers = {}) {
  return "GET " + path + " HTTP/1.1\r\n" + headers + "\r\n";
}

inline std::string body_of(const std::string& answer) {
  const std::size_t end = answer.find("\r\n\r\n");
  REQUIRE(end != std::string::npos);
  return answer.substr(end + 4);
}

}  // namespace wisp::mmds::test
