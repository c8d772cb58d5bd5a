// Segment descriptors: one description becomes both an entry of the table in guest memory and a processor register.
#pragma once

#include <linux/kvm.h>

#include <cstdint>

namespace wisp::arch {

/// A flat segment (base 0). `flags` holds the access byte in bits 7:0 and G, D/B, L, AVL in bits 15:12, as they stand
/// in the descriptor. `limit` counts bytes, or 4 KiB units when G is set.
struct Segment {
  std::uint16_t flags = 0;
  std::uint32_t limit = 0;
};

inline constexpr std::uint16_t kSegmentGranularity = 0x8000;

constexpr std::uint64_t gdt_entry(Segment segment) {
  return (std::uint64_t{segment.limit & 0xf0000U} << 32) | (std::uint64_t{segment.flags & 0xf0ffU} << 40) |
         (segment.limit & 0xffffU);
}

/// The register that a load of selector `index * 8` from that table would give.
constexpr kvm_segment segment_register(Segment segment, std::uint16_t index) {
  const auto bit = [&](unsigned shift) { return static_cast<__u8>((unsigned{segment.flags} >> shift) & 1U); };
  kvm_segment out{};
  out.limit = (segment.flags & kSegmentGranularity) != 0 ? (segment.limit << 12) | 0xfffU : segment.limit;
  out.selector = static_cast<__u16>(index * 8);
  out.type = static_cast<__u8>(segment.flags & 0xfU);
  out.s = bit(4);
  out.dpl = static_cast<__u8>((segment.flags >> 5) & 3U);
  out.present = bit(7);
  out.avl = bit(12);
  out.l = bit(13);
  out.db = bit(14);
  out.g = bit(15);
  out.unusable = static_cast<__u8>(out.present == 0 ? 1 : 0);
  return out;
}

}  // namespace wisp::arch
