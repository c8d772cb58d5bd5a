#include "virtio/mmds/packet.h"

#include <algorithm>

namespace wisp::mmds {
namespace {

constexpr std::size_t kIpOffset = sizeof(EthernetHeader);
constexpr std::size_t kTcpReplyOffset = kIpOffset + sizeof(Ipv4Header);
constexpr std::uint8_t kVersion4 = 4;
constexpr std::uint8_t kPlainIpHeader = 0x45;
constexpr std::size_t kWordBytes = 4;
constexpr std::uint16_t kAllOnes = 0xffff;

// RFC 9293 section 3.1: kinds of options.
constexpr std::uint8_t kOptionEnd = 0;
constexpr std::uint8_t kOptionNothing = 1;
constexpr std::uint8_t kOptionMss = 2;
constexpr std::uint8_t kMssOptionBytes = 4;

/// The sum over the pseudo header of RFC 9293 section 3.1.
std::uint16_t pseudo_sum(const Ipv4Address& source, const Ipv4Address& destination, std::size_t tcp_bytes) {
  const std::uint16_t addresses =
      internet_sum(std::as_bytes(std::span(source)), internet_sum(std::as_bytes(std::span(destination))));
  const Be16 words[] = {kIpProtocolTcp, static_cast<std::uint16_t>(tcp_bytes)};
  return internet_sum(std::as_bytes(std::span(words)), addresses);
}

struct IpBounds {
  std::size_t tcp_offset = 0;
  std::size_t tcp_bytes = 0;
};

PacketDefect read_ip(std::span<const std::byte> frame, Ipv4Header& header, IpBounds& bounds) {
  if (frame.size() < kIpOffset + sizeof(Ipv4Header)) {
    return PacketDefect::Truncated;
  }
  header = read_wire<Ipv4Header>(frame, kIpOffset);
  const std::size_t header_bytes = (header.version_and_words & 0x0fU) * kWordBytes;
  const std::size_t total_bytes = header.total_length_bytes;
  if (header.version_and_words >> 4U != kVersion4 || header_bytes < sizeof(Ipv4Header) || total_bytes < header_bytes) {
    return PacketDefect::IpHeader;
  }
  // Shorter is fine: Ethernet pads short frames.
  if (total_bytes > frame.size() - kIpOffset) {
    return PacketDefect::Truncated;
  }
  if (internet_sum(frame.subspan(kIpOffset, header_bytes)) != kAllOnes) {
    return PacketDefect::IpChecksum;
  }
  if ((header.fragment & kIpFragmentMask) != 0) {
    return PacketDefect::Fragment;
  }
  if (header.protocol != kIpProtocolTcp) {
    return PacketDefect::NotTcp;
  }
  bounds = {kIpOffset + header_bytes, total_bytes - header_bytes};
  return PacketDefect::None;
}

PacketDefect read_options(std::span<const std::byte> options, TcpSegment& segment) {
  while (!options.empty()) {
    const auto kind = static_cast<std::uint8_t>(options[0]);
    if (kind == kOptionEnd) {
      return PacketDefect::None;
    }
    if (kind == kOptionNothing) {
      options = options.subspan(1);
      continue;
    }
    const std::size_t length = options.size() < 2 ? 0 : static_cast<std::size_t>(options[1]);
    if (length < 2 || length > options.size()) {
      return PacketDefect::TcpOptions;
    }
    if (kind == kOptionMss) {
      if (length != kMssOptionBytes) {
        return PacketDefect::TcpOptions;
      }
      segment.mss_bytes = read_wire<Be16>(options, 2);
    }
    options = options.subspan(length);
  }
  return PacketDefect::None;
}

bool checksum_holds(std::span<const std::byte> tcp, const Ipv4Header& ip, std::uint16_t stated) {
  const std::uint16_t pseudo = pseudo_sum(ip.source, ip.destination, tcp.size());
  return stated == pseudo || internet_sum(tcp, pseudo) == kAllOnes;
}

/// Ethernet and IPv4 headers of a reply with `tcp_bytes` of TCP, which is already in place.
void write_headers(std::span<std::byte> frame, const Route& route, std::size_t tcp_bytes) {
  write_wire(frame, 0, EthernetHeader{route.guest_mac, kMetadataMac, kEtherTypeIpv4});
  Ipv4Header ip{};
  ip.version_and_words = kPlainIpHeader;
  ip.total_length_bytes = static_cast<std::uint16_t>(sizeof(Ipv4Header) + tcp_bytes);
  ip.fragment = kIpDontFragment;
  ip.time_to_live = kTimeToLive;
  ip.protocol = kIpProtocolTcp;
  ip.source = route.service;
  ip.destination = route.guest;
  ip.checksum = static_cast<std::uint16_t>(~internet_sum(std::as_bytes(std::span(&ip, 1))));
  write_wire(frame, kIpOffset, ip);
}

}  // namespace

std::uint16_t internet_sum(std::span<const std::byte> bytes, std::uint32_t sum) {
  std::uint64_t total = sum;
  std::size_t index = 0;
  for (; index + 1 < bytes.size(); index += 2) {
    total += static_cast<std::uint64_t>(bytes[index]) << 8U | static_cast<std::uint64_t>(bytes[index + 1]);
  }
  if (index < bytes.size()) {
    total += static_cast<std::uint64_t>(bytes[index]) << 8U;
  }
  while (total > kAllOnes) {
    total = (total & kAllOnes) + (total >> 16U);
  }
  return static_cast<std::uint16_t>(total);
}

PacketDefect read_tcp(std::span<const std::byte> frame, TcpSegment& segment) {
  Ipv4Header ip;
  IpBounds bounds;
  if (const PacketDefect defect = read_ip(frame, ip, bounds); defect != PacketDefect::None) {
    return defect;
  }
  const auto bytes = frame.subspan(bounds.tcp_offset, bounds.tcp_bytes);
  if (bytes.size() < sizeof(TcpHeader)) {
    return PacketDefect::Truncated;
  }
  const auto header = read_wire<TcpHeader>(bytes, 0);
  const std::size_t header_bytes = (header.offset_words >> 4U) * kWordBytes;
  if (header_bytes < sizeof(TcpHeader) || header_bytes > bytes.size()) {
    return PacketDefect::TcpHeader;
  }
  if (!checksum_holds(bytes, ip, header.checksum)) {
    return PacketDefect::TcpChecksum;
  }
  segment = {ip.source,
             header.source_port,
             header.destination_port,
             header.sequence,
             header.acknowledgement,
             header.flags,
             header.window_bytes,
             {},
             bytes.subspan(header_bytes)};
  if (!segment.has(tcp_flag::kSyn)) {
    return PacketDefect::None;
  }
  const auto options = bytes.subspan(sizeof(TcpHeader), header_bytes - sizeof(TcpHeader));
  if (const PacketDefect defect = read_options(options, segment); defect != PacketDefect::None) {
    return defect;
  }
  return segment.mss_bytes.value_or(kDefaultMssBytes) < kMinMssBytes ? PacketDefect::TcpOptions : PacketDefect::None;
}

bool is_arp_request_for(std::span<const std::byte> frame, const Ipv4Address& address) {
  if (frame.size() < sizeof(EthernetHeader) + sizeof(ArpPacket) ||
      read_wire<EthernetHeader>(frame, 0).type != kEtherTypeArp) {
    return false;
  }
  const auto arp = read_wire<ArpPacket>(frame, sizeof(EthernetHeader));
  return arp.hardware_type == kArpHardwareEthernet && arp.protocol_type == kEtherTypeIpv4 &&
         arp.hardware_length == sizeof(MacAddress) && arp.protocol_length == sizeof(Ipv4Address) &&
         arp.operation == kArpRequest && arp.target_address == address;
}

bool is_ipv4_to(std::span<const std::byte> frame, const Ipv4Address& address) {
  return frame.size() >= kIpOffset + sizeof(Ipv4Header) && read_wire<EthernetHeader>(frame, 0).type == kEtherTypeIpv4 &&
         read_wire<Ipv4Header>(frame, kIpOffset).destination == address;
}

std::size_t write_tcp(std::span<std::byte> frame, const Route& route, const TcpReply& reply) {
  const std::size_t option_bytes = reply.mss_bytes ? kMssOptionBytes : 0;
  const std::size_t header_bytes = sizeof(TcpHeader) + option_bytes;
  const std::size_t tcp_bytes = header_bytes + reply.first.size() + reply.second.size();
  WISP_ASSERT(range_fits(kTcpReplyOffset, tcp_bytes, frame.size()));
  const auto tcp = frame.subspan(kTcpReplyOffset, tcp_bytes);
  TcpHeader header{};
  header.source_port = reply.source_port;
  header.destination_port = reply.destination_port;
  header.sequence = reply.sequence;
  header.acknowledgement = reply.acknowledgement;
  header.offset_words = static_cast<std::uint8_t>(header_bytes / kWordBytes << 4U);
  header.flags = reply.flags;
  header.window_bytes = reply.window_bytes;
  if (reply.mss_bytes) {
    write_wire(tcp, sizeof(TcpHeader), std::array<std::uint8_t, 2>{kOptionMss, kMssOptionBytes});
    write_wire(tcp, sizeof(TcpHeader) + 2, Be16(*reply.mss_bytes));
  }
  const auto payload = tcp.subspan(header_bytes);
  std::copy_n(std::as_bytes(std::span(reply.first)).begin(), reply.first.size(), payload.begin());
  std::copy_n(std::as_bytes(std::span(reply.second)).begin(), reply.second.size(),
              payload.subspan(reply.first.size()).begin());
  write_wire(tcp, 0, header);
  const std::uint16_t sum = internet_sum(tcp, pseudo_sum(route.service, route.guest, tcp_bytes));
  header.checksum = static_cast<std::uint16_t>(~sum);
  write_wire(tcp, 0, header);
  write_headers(frame, route, tcp_bytes);
  return kTcpReplyOffset + tcp_bytes;
}

std::size_t write_arp_reply(std::span<std::byte> frame, const Route& route) {
  write_wire(frame, 0, EthernetHeader{route.guest_mac, kMetadataMac, kEtherTypeArp});
  const ArpPacket arp{kArpHardwareEthernet, kEtherTypeIpv4, sizeof(MacAddress), sizeof(Ipv4Address), kArpReply,
                      kMetadataMac,         route.service,  route.guest_mac,    route.guest};
  write_wire(frame, sizeof(EthernetHeader), arp);
  return sizeof(EthernetHeader) + sizeof(ArpPacket);
}

}  // namespace wisp::mmds
