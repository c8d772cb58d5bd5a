// What travels through a network queue: a virtio-net header of 12 bytes, then an Ethernet frame (virtio 1.2 section
// 5.1.6).
//
//   TxPacket packet = parse_tx_packet(chain, negotiated_features);
//   if (packet.defect != FrameDefect::None) { count, complete(0) }
//   tap.write_frame(packet.head(), packet.rest);      // exactly the bytes that were checked, then the guest's
//
// The header and the first bytes of the frame are copied once; whatever is decided (offloads, the detour, the source
// address) is decided on that copy, and the copy is what is sent. A driver that rewrites its buffers meanwhile changes
// only bytes that nobody looked at.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>

#include "virtio/core/descriptor_chain.h"
#include "virtio/mmds/frame_detour.h"
#include "vmm/base/endian.h"
#include "vmm/memory/guest_pod.h"

namespace wisp {

/// Section 5.1.6, with num_buffers, which is there for every VERSION_1 device.
struct VnetHeader {
  std::uint8_t flags = 0;
  std::uint8_t gso_type = 0;
  Le16 hdr_len;
  Le16 gso_size;
  Le16 csum_start;
  Le16 csum_offset;
  Le16 num_buffers;
};
static_assert(sizeof(VnetHeader) == 12 && offsetof(VnetHeader, csum_start) == 6);
static_assert(offsetof(VnetHeader, num_buffers) == 10);
template <>
inline constexpr bool kIsGuestPod<VnetHeader> = true;

/// Feature bits of section 5.1.3 that may be offered; segmentation of UDP came with virtio 1.3.
namespace net_feature {
inline constexpr std::uint64_t kCsum = 1U << 0U;
inline constexpr std::uint64_t kGuestCsum = 1U << 1U;
inline constexpr std::uint64_t kMtu = 1U << 3U;
inline constexpr std::uint64_t kMac = 1U << 5U;
inline constexpr std::uint64_t kGuestTso4 = 1U << 7U;
inline constexpr std::uint64_t kGuestTso6 = 1U << 8U;
inline constexpr std::uint64_t kGuestUfo = 1U << 10U;
inline constexpr std::uint64_t kHostTso4 = 1U << 11U;
inline constexpr std::uint64_t kHostTso6 = 1U << 12U;
inline constexpr std::uint64_t kHostUfo = 1U << 14U;
inline constexpr std::uint64_t kMergeBuffers = 1U << 15U;
inline constexpr std::uint64_t kGuestUso4 = std::uint64_t{1} << 54U;
inline constexpr std::uint64_t kGuestUso6 = std::uint64_t{1} << 55U;
inline constexpr std::uint64_t kHostUso = std::uint64_t{1} << 56U;
}  // namespace net_feature

/// Values of the header's fields.
namespace vnet {
inline constexpr std::uint8_t kNeedsCsum = 1;
inline constexpr std::uint8_t kDataValid = 2;
inline constexpr std::uint8_t kGsoNone = 0;
inline constexpr std::uint8_t kGsoTcp4 = 1;
inline constexpr std::uint8_t kGsoUdp = 3;
inline constexpr std::uint8_t kGsoTcp6 = 4;
inline constexpr std::uint8_t kGsoUdpL4 = 5;
}  // namespace vnet

inline constexpr std::size_t kVnetHeaderBytes = sizeof(VnetHeader);
inline constexpr std::size_t kEthernetHeaderBytes = 14;
inline constexpr std::size_t kVlanTagBytes = 4;
inline constexpr std::size_t kMacBytes = 6;
/// The largest thing that a driver may send: a 64 KiB packet with its Ethernet and virtio-net headers.
inline constexpr std::size_t kMaxTxBytes = kVnetHeaderBytes + kEthernetHeaderBytes + 64 * 1024;

enum class FrameDefect : std::uint8_t {
  None,
  BadChain,        ///< see ChainDefect
  TooShort,        ///< less than a virtio-net and an Ethernet header
  TooLong,         ///< more than kMaxTxBytes
  CsumRefused,     ///< a checksum to be filled in, without CSUM negotiated
  CsumOutside,     ///< the checksum's place is in the Ethernet header or beyond the frame's end
  GsoRefused,      ///< a segmentation type that was not negotiated or is unknown
  GsoWithoutCsum,  ///< segmentation without a checksum to be filled in (section 5.1.6.2.1)
  GsoSizeZero,     ///< segmentation into nothing
  HeaderTooLong,   ///< hdr_len beyond the frame's end
};
inline constexpr std::size_t kFrameDefectCount = 10;

constexpr const char* frame_defect_name(FrameDefect defect) {
  constexpr std::array<const char*, kFrameDefectCount> kNames = {
      "none",
      "bad descriptor chain",
      "frame too short",
      "frame too long",
      "checksum offload not negotiated",
      "checksum outside the frame",
      "segmentation not negotiated",
      "segmentation without checksum",
      "segment size of zero",
      "header length beyond the frame",
  };
  return kNames[static_cast<std::size_t>(defect)];
}

struct TxPacket {
  FrameDefect defect = FrameDefect::None;
  std::uint32_t frame_bytes = 0;  ///< without the virtio-net header
  std::uint32_t head_bytes = 0;   ///< of head_store: the virtio-net header and the first bytes of the frame
  std::array<std::byte, kVnetHeaderBytes + kDetourHeadBytes> head_store{};
  ChainReader rest;  ///< the frame's bytes behind the head

  std::span<const std::byte> head() const { return std::span(head_store).first(head_bytes); }
  std::span<const std::byte> frame_head() const { return head().subspan(kVnetHeaderBytes); }
  std::span<const std::byte> source_mac() const { return frame_head().subspan(kMacBytes, kMacBytes); }
};

/// `rest` points into the chain, which must live as long as the packet.
TxPacket parse_tx_packet(const DescriptorChain& chain, std::uint64_t negotiated_features);

/// Checks a header against a frame of `frame_bytes` that it stands before. Pure.
FrameDefect check_tx_header(const VnetHeader& header, std::uint32_t frame_bytes, std::uint64_t negotiated_features);

/// Whether a driver with these features may get a frame behind this header (section 5.1.6.4.1). One that may not was
/// queued in the TAP for a driver that was there before.
bool driver_takes(const VnetHeader& header, std::uint64_t negotiated_features);

}  // namespace wisp
