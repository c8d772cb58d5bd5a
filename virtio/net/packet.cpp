#include "virtio/net/packet.h"

#include <algorithm>
#include <cstring>

namespace wisp {
namespace {

constexpr std::uint32_t kChecksumBytes = 2;

/// The feature that allows a segmentation type; 0: none does. The ECN bit makes a type unknown: it is not offered.
std::uint64_t feature_for(std::uint8_t gso_type) {
  switch (gso_type) {
    case vnet::kGsoTcp4: return net_feature::kHostTso4;
    case vnet::kGsoTcp6: return net_feature::kHostTso6;
    case vnet::kGsoUdp: return net_feature::kHostUfo;
    case vnet::kGsoUdpL4: return net_feature::kHostUso;
    default: return 0;
  }
}

/// The same for frames to the driver.
std::uint64_t guest_features_for(std::uint8_t gso_type) {
  switch (gso_type) {
    case vnet::kGsoTcp4: return net_feature::kGuestTso4;
    case vnet::kGsoTcp6: return net_feature::kGuestTso6;
    case vnet::kGsoUdp: return net_feature::kGuestUfo;
    case vnet::kGsoUdpL4: return net_feature::kGuestUso4 | net_feature::kGuestUso6;
    default: return 0;
  }
}

FrameDefect check_checksum(const VnetHeader& header, std::uint32_t frame_bytes, std::uint64_t features) {
  if ((header.flags & vnet::kNeedsCsum) == 0) {
    return FrameDefect::None;
  }
  if ((features & net_feature::kCsum) == 0) {
    return FrameDefect::CsumRefused;
  }
  const std::uint32_t end = std::uint32_t{header.csum_start} + header.csum_offset + kChecksumBytes;
  return header.csum_start >= kEthernetHeaderBytes && end <= frame_bytes ? FrameDefect::None : FrameDefect::CsumOutside;
}

FrameDefect check_segmentation(const VnetHeader& header, std::uint32_t frame_bytes, std::uint64_t features) {
  if (header.gso_type == vnet::kGsoNone) {
    return FrameDefect::None;
  }
  if ((features & feature_for(header.gso_type)) == 0) {
    return FrameDefect::GsoRefused;
  }
  if ((header.flags & vnet::kNeedsCsum) == 0) {
    return FrameDefect::GsoWithoutCsum;
  }
  if (header.gso_size == 0) {
    return FrameDefect::GsoSizeZero;
  }
  return header.hdr_len <= frame_bytes ? FrameDefect::None : FrameDefect::HeaderTooLong;
}

/// What goes to the host: only the fields that the header's own flags give a meaning. Section 5.1.6.2.2 wants unknown
/// flags ignored.
VnetHeader cleaned(const VnetHeader& header) {
  VnetHeader clean;
  clean.flags = header.flags & vnet::kNeedsCsum;
  if (clean.flags != 0) {
    clean.csum_start = header.csum_start;
    clean.csum_offset = header.csum_offset;
  }
  clean.gso_type = header.gso_type;
  if (clean.gso_type != vnet::kGsoNone) {
    clean.hdr_len = header.hdr_len;
    clean.gso_size = header.gso_size;
  }
  return clean;
}

}  // namespace

FrameDefect check_tx_header(const VnetHeader& header, std::uint32_t frame_bytes, std::uint64_t negotiated_features) {
  const FrameDefect checksum = check_checksum(header, frame_bytes, negotiated_features);
  return checksum != FrameDefect::None ? checksum : check_segmentation(header, frame_bytes, negotiated_features);
}

bool driver_takes(const VnetHeader& header, std::uint64_t negotiated_features) {
  const bool csum_fits = (header.flags & vnet::kNeedsCsum) == 0 || (negotiated_features & net_feature::kGuestCsum) != 0;
  const bool gso_fits =
      header.gso_type == vnet::kGsoNone || (negotiated_features & guest_features_for(header.gso_type)) != 0;
  return csum_fits && gso_fits;
}

TxPacket parse_tx_packet(const DescriptorChain& chain, std::uint64_t negotiated_features) {
  TxPacket packet;
  if (chain.defect() != ChainDefect::None) {
    packet.defect = FrameDefect::BadChain;
    return packet;
  }
  packet.rest = chain.reader();
  const std::uint32_t total_bytes = packet.rest.size_bytes();
  if (total_bytes < kVnetHeaderBytes + kEthernetHeaderBytes) {
    packet.defect = FrameDefect::TooShort;
    return packet;
  }
  if (total_bytes > kMaxTxBytes) {
    packet.defect = FrameDefect::TooLong;
    return packet;
  }
  packet.frame_bytes = total_bytes - static_cast<std::uint32_t>(kVnetHeaderBytes);
  packet.head_bytes = std::min(total_bytes, static_cast<std::uint32_t>(packet.head_store.size()));
  if (!packet.rest.read_bytes(std::span(packet.head_store).first(packet.head_bytes))) {
    packet.defect = FrameDefect::BadChain;
    return packet;
  }
  VnetHeader header;
  std::memcpy(&header, packet.head_store.data(), sizeof(header));
  packet.defect = check_tx_header(header, packet.frame_bytes, negotiated_features);
  const VnetHeader clean = cleaned(header);
  std::memcpy(packet.head_store.data(), &clean, sizeof(clean));
  return packet;
}

}  // namespace wisp
