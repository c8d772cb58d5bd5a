// The headers that the metadata service reads and writes, as they lie on the wire: Ethernet II, ARP (RFC 826),
// IPv4 (RFC 791) and TCP (RFC 9293), all big-endian and without padding.
//
// A header is copied out of the frame with read_wire(), then checked, then used; nothing points into a frame but the
// payload of a segment that passed all checks.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>
#include <type_traits>

#include "vmm/base/assert.h"
#include "vmm/base/checked.h"
#include "vmm/config/mmds.h"
#include "vmm/config/net.h"

namespace wisp::mmds {

/// A big-endian integer; the twin of Le in vmm/base/endian.h.
template <typename T>
class Be {
 public:
  constexpr Be() = default;
  constexpr Be(T value) {
    for (std::size_t index = sizeof(T); index-- > 0;) {
      bytes_[index] = static_cast<std::uint8_t>(value & 0xffU);
      value = static_cast<T>(value >> 8U);
    }
  }
  constexpr operator T() const {
    T value = 0;
    for (const std::uint8_t byte : bytes_) {
      value = static_cast<T>(static_cast<T>(value << 8U) | byte);
    }
    return value;
  }

 private:
  std::array<std::uint8_t, sizeof(T)> bytes_{};
};
using Be16 = Be<std::uint16_t>;
using Be32 = Be<std::uint32_t>;

struct EthernetHeader {
  MacAddress destination;
  MacAddress source;
  Be16 type;
};
static_assert(sizeof(EthernetHeader) == 14 && alignof(EthernetHeader) == 1);

inline constexpr std::uint16_t kEtherTypeIpv4 = 0x0800;
inline constexpr std::uint16_t kEtherTypeArp = 0x0806;

struct ArpPacket {
  Be16 hardware_type;
  Be16 protocol_type;
  std::uint8_t hardware_length;
  std::uint8_t protocol_length;
  Be16 operation;
  MacAddress sender_mac;
  Ipv4Address sender_address;
  MacAddress target_mac;
  Ipv4Address target_address;
};
static_assert(sizeof(ArpPacket) == 28 && offsetof(ArpPacket, target_address) == 24);

inline constexpr std::uint16_t kArpHardwareEthernet = 1;
inline constexpr std::uint16_t kArpRequest = 1;
inline constexpr std::uint16_t kArpReply = 2;

struct Ipv4Header {
  std::uint8_t version_and_words;  ///< version in the high half, length of the header in 4-byte words in the low one
  std::uint8_t service;
  Be16 total_length_bytes;
  Be16 identification;
  Be16 fragment;
  std::uint8_t time_to_live;
  std::uint8_t protocol;
  Be16 checksum;
  Ipv4Address source;
  Ipv4Address destination;
};
static_assert(sizeof(Ipv4Header) == 20 && offsetof(Ipv4Header, destination) == 16);

inline constexpr std::uint8_t kIpProtocolTcp = 6;
inline constexpr std::uint16_t kIpDontFragment = 0x4000;
/// "More fragments" or an offset: any of these bits makes it a fragment.
inline constexpr std::uint16_t kIpFragmentMask = 0x3fff;

struct TcpHeader {
  Be16 source_port;
  Be16 destination_port;
  Be32 sequence;
  Be32 acknowledgement;
  std::uint8_t offset_words;  ///< length of the header in 4-byte words in the high half
  std::uint8_t flags;
  Be16 window_bytes;
  Be16 checksum;
  Be16 urgent;
};
static_assert(sizeof(TcpHeader) == 20 && offsetof(TcpHeader, checksum) == 16);

namespace tcp_flag {
inline constexpr std::uint8_t kFin = 0x01;
inline constexpr std::uint8_t kSyn = 0x02;
inline constexpr std::uint8_t kRst = 0x04;
inline constexpr std::uint8_t kPsh = 0x08;
inline constexpr std::uint8_t kAck = 0x10;
}  // namespace tcp_flag

/// A copy of the header at `offset`; the caller has checked that it lies inside.
template <typename T>
T read_wire(std::span<const std::byte> bytes, std::size_t offset) {
  static_assert(std::is_trivially_copyable_v<T> && alignof(T) == 1);
  WISP_ASSERT(range_fits(offset, sizeof(T), bytes.size()));
  T value;
  std::memcpy(&value, bytes.data() + offset, sizeof(T));
  return value;
}

template <typename T>
void write_wire(std::span<std::byte> bytes, std::size_t offset, const T& value) {
  static_assert(std::is_trivially_copyable_v<T> && alignof(T) == 1);
  WISP_ASSERT(range_fits(offset, sizeof(T), bytes.size()));
  std::memcpy(bytes.data() + offset, &value, sizeof(T));
}

}  // namespace wisp::mmds
