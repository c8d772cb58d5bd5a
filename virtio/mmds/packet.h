// Frames to segments and back.
//
// read_tcp() accepts a frame only as a whole: IPv4 without fragments, header checksum right, stated lengths inside the
// frame, TCP checksum right (or left to the device, see below), and the options of a SYN well formed. Whatever is wrong
// is a PacketDefect, and the frame is dropped.
//
//   TcpSegment segment;
//   if (read_tcp(frame, segment) == PacketDefect::None) { connection.receive(segment, now_ns); }
//   ...
//   std::size_t length = write_tcp(buffer, route, reply);
//
// A guest whose driver negotiated checksum offload (virtio 1.2 section 5.1.6.2) leaves the sum over the pseudo header
// in the checksum field; that is what "unfinished" means, and such a segment is accepted: nobody between guest and
// service could have damaged it.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string_view>

#include "virtio/mmds/wire.h"

namespace wisp::mmds {

/// The service's own hardware address.
inline constexpr MacAddress kMetadataMac = {0x06, 0x01, 0x23, 0x45, 0x67, 0x01};
/// Replies never leave the link.
inline constexpr std::uint8_t kTimeToLive = 1;
/// RFC 9293 section 3.7.1: the segment size of a peer that states none.
inline constexpr std::uint16_t kDefaultMssBytes = 536;
/// What an Ethernet frame of 1500 bytes holds; the service states it and never sends more.
inline constexpr std::uint16_t kMaxMssBytes = 1460;
/// RFC 791: every link carries packets of 68 bytes. A peer that states less wants a flood of tiny segments.
inline constexpr std::uint16_t kMinMssBytes = 28;

enum class PacketDefect : std::uint8_t {
  None,
  Truncated,
  IpHeader,
  IpChecksum,
  Fragment,
  NotTcp,
  TcpHeader,
  TcpChecksum,
  TcpOptions,
};

struct TcpSegment {
  Ipv4Address source{};
  std::uint16_t source_port = 0;
  std::uint16_t destination_port = 0;
  std::uint32_t sequence = 0;
  std::uint32_t acknowledgement = 0;
  std::uint8_t flags = 0;
  std::uint16_t window_bytes = 0;
  std::optional<std::uint16_t> mss_bytes;  ///< of a SYN
  std::span<const std::byte> payload;      ///< inside the frame

  bool has(std::uint8_t flag) const { return (flags & flag) != 0; }
  /// What it takes of the sequence space.
  std::uint32_t length() const {
    return static_cast<std::uint32_t>(payload.size()) + (has(tcp_flag::kSyn) ? 1U : 0U) +
           (has(tcp_flag::kFin) ? 1U : 0U);
  }
};

/// A segment to be sent. The payload may come in two pieces, head and body of an answer.
struct TcpReply {
  std::uint16_t source_port = 0;
  std::uint16_t destination_port = 0;
  std::uint32_t sequence = 0;
  std::uint32_t acknowledgement = 0;
  std::uint8_t flags = 0;
  std::uint16_t window_bytes = 0;
  std::optional<std::uint16_t> mss_bytes;
  std::string_view first;
  std::string_view second;
};

/// From where to where a reply goes.
struct Route {
  MacAddress guest_mac{};
  Ipv4Address service{};
  Ipv4Address guest{};
};

/// Reads a frame with an IPv4 header. `segment` is complete only when the answer is None.
PacketDefect read_tcp(std::span<const std::byte> frame, TcpSegment& segment);
/// Is it an ARP request for `address`? Looks at the first 42 bytes.
bool is_arp_request_for(std::span<const std::byte> frame, const Ipv4Address& address);
/// Is it an IPv4 packet to `address`? Looks at the first 34 bytes.
bool is_ipv4_to(std::span<const std::byte> frame, const Ipv4Address& address);

/// Both return the length of the frame; `frame` holds kMaxDetourFrameBytes at least.
std::size_t write_tcp(std::span<std::byte> frame, const Route& route, const TcpReply& reply);
std::size_t write_arp_reply(std::span<std::byte> frame, const Route& route);

/// RFC 1071: the ones' complement sum, folded, not inverted. `sum` is what came before, of an even number of bytes.
std::uint16_t internet_sum(std::span<const std::byte> bytes, std::uint32_t sum = 0);

}  // namespace wisp::mmds
