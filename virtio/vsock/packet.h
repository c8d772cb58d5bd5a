// VsockPacket: one packet as it stands in a chain of the transmit queue (virtio 1.2 section 5.10.6).
//
//   readable bytes   a header of 44 bytes, then `len` bytes of payload; buffers may be cut anywhere (section 2.7.4)
//
//   const VsockPacket packet = parse_tx_packet(chain);
//   if (packet.defect == PacketDefect::None) { ... packet.header, packet.payload ... }
//
// The header is copied once and only the copy is looked at; `len` is checked against the chain before anybody uses it.
// Whether a packet makes sense for a connection is not asked here (mux.h).
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>

#include "virtio/core/descriptor_chain.h"
#include "vmm/base/endian.h"

namespace wisp {

struct VsockHeader {
  Le64 src_cid;
  Le64 dst_cid;
  Le32 src_port;
  Le32 dst_port;
  Le32 length;
  Le16 type;
  Le16 op;
  Le32 flags;
  Le32 buf_alloc;
  Le32 fwd_cnt;
};
static_assert(sizeof(VsockHeader) == 44 && offsetof(VsockHeader, type) == 28 && offsetof(VsockHeader, flags) == 32);
static_assert(offsetof(VsockHeader, buf_alloc) == 36 && offsetof(VsockHeader, fwd_cnt) == 40);
template <>
inline constexpr bool kIsGuestPod<VsockHeader> = true;

inline constexpr std::uint32_t kVsockHeaderBytes = sizeof(VsockHeader);
/// The largest payload of one packet, in both directions.
inline constexpr std::uint32_t kMaxVsockPayloadBytes = 64U << 10U;
/// The host's address (section 5.10.4).
inline constexpr std::uint64_t kHostCid = 2;
/// VIRTIO_VSOCK_TYPE_STREAM, the only type that is served.
inline constexpr std::uint16_t kVsockTypeStream = 1;

/// Section 5.10.6, enum virtio_vsock_op.
enum class VsockOp : std::uint16_t {
  Request = 1,
  Response = 2,
  Reset = 3,
  Shutdown = 4,
  Data = 5,
  CreditUpdate = 6,
  CreditRequest = 7,
};

/// Flags of a shutdown (section 5.10.6.5): what the sender of the packet will not do any more.
namespace vsock_shutdown {
inline constexpr std::uint8_t kReceive = 1;
inline constexpr std::uint8_t kSend = 2;
inline constexpr std::uint8_t kBoth = kReceive | kSend;
}  // namespace vsock_shutdown

enum class PacketDefect : std::uint8_t {
  None,
  BadChain,           ///< see ChainDefect
  HeaderTooShort,     ///< fewer than 44 readable bytes
  PayloadTooLong,     ///< more than kMaxVsockPayloadBytes announced
  LengthBeyondChain,  ///< more announced than the chain holds
};
inline constexpr std::size_t kPacketDefectCount = 5;

constexpr const char* packet_defect_name(PacketDefect defect) {
  constexpr std::array<const char*, kPacketDefectCount> kNames = {
      "none", "bad descriptor chain", "header too short", "payload too long", "length beyond the chain",
  };
  return kNames[static_cast<std::size_t>(defect)];
}

struct VsockPacket {
  VsockHeader header;   ///< all zero for BadChain and HeaderTooShort
  ChainReader payload;  ///< at least header.length bytes when there is no defect; what is beyond means nothing
  PacketDefect defect = PacketDefect::None;

  VsockOp op() const { return static_cast<VsockOp>(header.op.get()); }
};

/// The payload points into the chain, which must live as long as the packet.
VsockPacket parse_tx_packet(const DescriptorChain& chain);

}  // namespace wisp
