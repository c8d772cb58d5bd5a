// GuestMemory: the guest's physical memory, as one or more mapped regions with holes between them.
//
//   auto memory = WISP_TRY(GuestMemory::create(regions, options));
//   auto slice = memory.readable(GuestAddress(0x1000), 512);   // empty: outside a region or across a hole
//   auto head = memory.read<Descriptor>(address);              // one copy, then only the copy is used
//
// An (address, length) pair is checked once, here, with arithmetic that cannot wrap; nothing else turns a guest address
// into a host pointer. The map does not change after creation, so it needs no lock.
#pragma once

#include <array>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <vector>

#include "vmm/base/result.h"
#include "vmm/memory/dirty_log.h"
#include "vmm/memory/guest_address.h"
#include "vmm/memory/guest_pod.h"
#include "vmm/memory/volatile_slice.h"

namespace wisp {

enum class PageBacking {
  Normal,       ///< 4 KiB pages
  Transparent,  ///< 4 KiB pages that the host may merge to 2 MiB
  Huge2M,       ///< from the host's pool of 2 MiB pages
};

struct GuestRange {
  GuestAddress start;
  std::uint64_t size_bytes = 0;
};

class GuestMemory {
 public:
  /// Maps zeroed private memory for each range. Ranges are non-empty, page-aligned, ascending and disjoint (asserted:
  /// the machine's layout makes them). Fails when the host refuses the mapping.
  static Result<GuestMemory> create(std::span<const GuestRange> ranges, PageBacking backing);

  GuestMemory(GuestMemory&&) noexcept = default;
  GuestMemory& operator=(GuestMemory&&) noexcept = default;

  /// A window of exactly `length` bytes, or nothing when any of them lies outside a region. A zero length gives
  /// nothing.
  [[nodiscard]] std::optional<ReadableSlice> readable(GuestAddress address, std::uint64_t length) const;
  [[nodiscard]] std::optional<WritableSlice> writable(GuestAddress address, std::uint64_t length) const;

  template <GuestPod T>
  [[nodiscard]] std::optional<T> read(GuestAddress address) const {
    const auto slice = readable(address, sizeof(T));
    if (!slice) {
      return std::nullopt;
    }
    std::array<std::byte, sizeof(T)> bytes;
    slice->copy_to(bytes);
    return std::bit_cast<T>(bytes);
  }
  template <GuestPod T>
  [[nodiscard]] bool write(GuestAddress address, const T& value) const {
    return write_bytes(address, std::as_bytes(std::span(&value, 1)));
  }
  /// Copies all bytes to `address`; false, with nothing written, when they do not fit in one region.
  [[nodiscard]] bool write_bytes(GuestAddress address, std::span<const std::byte> bytes) const;

  std::size_t region_count() const { return regions_.size(); }
  GuestRange region_range(std::size_t index) const;
  const DirtyLog& dirty_log(std::size_t index) const;
  void clear_dirty_logs();
  std::uint64_t total_size_bytes() const;

 private:
  class Mapping {  // owns one mmap
   public:
    Mapping(std::byte* host, std::uint64_t size_bytes) : host_(host), size_bytes_(size_bytes) {}
    Mapping(Mapping&& other) noexcept;
    Mapping& operator=(Mapping&& other) noexcept;
    Mapping(const Mapping&) = delete;
    Mapping& operator=(const Mapping&) = delete;
    ~Mapping();
    std::byte* host() const { return host_; }

   private:
    void unmap();
    std::byte* host_;
    std::uint64_t size_bytes_;
  };
  struct Region {
    GuestRange range;
    Mapping mapping;
    DirtyLog* dirty;  // owned by dirty_logs_, whose elements do not move
  };
  GuestMemory() = default;
  static Result<Region> map_region(GuestRange range, PageBacking backing);
  const Region* find(GuestAddress address, std::uint64_t length) const;

  std::vector<std::unique_ptr<DirtyLog>> dirty_logs_;  // outlives regions_
  std::vector<Region> regions_;
};

}  // namespace wisp
