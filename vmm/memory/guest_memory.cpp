#include "vmm/memory/guest_memory.h"

#include <algorithm>
#include <bit>
#include <memory>
#include <utility>

#include "vmm/base/assert.h"

namespace wisp {

// ---------------------------------------------------------------------------------------------------------------------
// Creation.

Result<GuestMemory> GuestMemory::create(std::span<const GuestRange> ranges, PageBacking backing,
                                        std::optional<HotplugRange> hotplug) {
  std::vector<RegionPlan> plans;
  for (const GuestRange& range : ranges) {
    plans.push_back({.range = range});
  }
  if (hotplug) {
    plans.push_back({.range = hotplug->range, .block_size_bytes = hotplug->block_size_bytes});
  }
  return create_from(plans, backing);
}

Result<GuestMemory> GuestMemory::create_from(std::span<const RegionPlan> plans, PageBacking backing) {
  GuestMemory memory;
  std::uint64_t lowest_free = 0;
  for (const RegionPlan& plan : plans) {
    WISP_ASSERT(memory.regions_.empty() || memory.regions_.back().blocks == nullptr);
    WISP_ASSERT(plan.range.start.value() >= lowest_free);
    const auto end = checked_add(plan.range.start.value(), plan.range.size_bytes);
    WISP_ASSERT(end.has_value());
    lowest_free = *end;
    (void)WISP_TRY(memory.add_region(plan, backing));
  }
  return memory;
}

Status GuestMemory::add_region(const RegionPlan& plan, PageBacking backing) {
  const GuestRange& range = plan.range;
  WISP_ASSERT(range.size_bytes > 0 && range.start.is_aligned(kPageSizeBytes) && range.size_bytes % kPageSizeBytes == 0);
  std::unique_ptr<BlockMap> blocks;
  if (plan.block_size_bytes != 0) {
    WISP_ASSERT(std::has_single_bit(plan.block_size_bytes) && range.size_bytes % plan.block_size_bytes == 0);
    blocks = std::make_unique<BlockMap>(range.size_bytes / plan.block_size_bytes);
  }
  HostMapping mapping = plan.file ? WISP_TRY(HostMapping::of_file(range.size_bytes, *plan.file, backing))
                                  : WISP_TRY(HostMapping::anonymous(range.size_bytes, backing));
  dirty_logs_.push_back(std::make_unique<DirtyLog>(range.size_bytes));
  regions_.push_back({range, std::move(mapping), dirty_logs_.back().get(), std::move(blocks), plan.block_size_bytes});
  return {};
}

// ---------------------------------------------------------------------------------------------------------------------
// Access.

const GuestMemory::Region* GuestMemory::region_at(GuestAddress address) const {
  for (const Region& region : regions_) {
    const auto offset = address.offset_from(region.range.start);
    if (offset && *offset < region.range.size_bytes) {
      return &region;
    }
  }
  return nullptr;
}

const GuestMemory::Region* GuestMemory::find(GuestAddress address, std::uint64_t length) const {
  const Region* region = length == 0 ? nullptr : region_at(address);
  if (region == nullptr || !range_fits(*address.offset_from(region->range.start), length, region->range.size_bytes)) {
    return nullptr;
  }
  if (region->blocks != nullptr) {
    const BlockSpan span = blocks_of(*region, {address, length});
    return region->blocks->all_set(span.first, span.count) ? region : nullptr;
  }
  return region;
}

GuestMemory::BlockSpan GuestMemory::blocks_of(const Region& region, GuestRange range) {
  const std::uint64_t offset = *range.start.offset_from(region.range.start);
  const std::uint64_t first = offset / region.block_size_bytes;
  const std::uint64_t last = (offset + range.size_bytes - 1) / region.block_size_bytes;
  return {first, last - first + 1};
}

std::optional<ReadableSlice> GuestMemory::readable(GuestAddress address, std::uint64_t length) const {
  const Region* region = find(address, length);
  if (region == nullptr) {
    return std::nullopt;
  }
  const std::uint64_t offset = *address.offset_from(region->range.start);
  return ReadableSlice(region->mapping.host() + offset, length);
}

std::optional<WritableSlice> GuestMemory::writable(GuestAddress address, std::uint64_t length) const {
  const Region* region = find(address, length);
  if (region == nullptr) {
    return std::nullopt;
  }
  const std::uint64_t offset = *address.offset_from(region->range.start);
  return WritableSlice(region->mapping.host() + offset, length, region->dirty, offset);
}

bool GuestMemory::write_bytes(GuestAddress address, std::span<const std::byte> bytes) const {
  const auto slice = writable(address, bytes.size());
  if (!slice) {
    return false;
  }
  slice->copy_from(bytes);
  return true;
}

std::optional<iovec> GuestMemory::lend_range(GuestRange range, KernelIoKey /*key*/) const {
  const Region* region = region_at(range.start);
  if (region == nullptr) {
    return std::nullopt;
  }
  const std::uint64_t offset = *range.start.offset_from(region->range.start);
  if (range.size_bytes == 0 || !range_fits(offset, range.size_bytes, region->range.size_bytes)) {
    return std::nullopt;
  }
  return iovec{region->mapping.host() + offset, range.size_bytes};
}

// ---------------------------------------------------------------------------------------------------------------------
// Giving back.

/// Calls visit(region, offset, length) for each region's part of the range; false as soon as one is not memory.
template <typename Visit>
bool GuestMemory::visit_pieces(GuestRange range, Visit&& visit) const {
  GuestAddress address = range.start;
  std::uint64_t left = range.size_bytes;
  while (left > 0) {
    const Region* region = region_at(address);
    if (region == nullptr) {
      return false;
    }
    const std::uint64_t offset = *address.offset_from(region->range.start);
    const std::uint64_t length = std::min(left, region->range.size_bytes - offset);
    if (find(address, length) == nullptr || !visit(*region, offset, length)) {
      return false;
    }
    left -= length;
    const auto next = address.checked_add(length);
    if (!next) {
      return left == 0;
    }
    address = *next;
  }
  return true;
}

Discarded GuestMemory::discard(GuestRange range) const {
  const auto look = [](const Region&, std::uint64_t, std::uint64_t) { return true; };
  if (range.size_bytes == 0 || !visit_pieces(range, look)) {
    return {DiscardOutcome::OutsideMemory, 0};
  }
  Discarded total;
  (void)visit_pieces(range, [&total](const Region& region, std::uint64_t offset, std::uint64_t length) {
    const Discarded part = region.mapping.discard(offset, length);
    region.dirty->mark(offset, length);
    total.freed_bytes += part.freed_bytes;
    total.outcome = part.done() ? total.outcome : part.outcome;
    return true;
  });
  return total;
}

// ---------------------------------------------------------------------------------------------------------------------
// Regions.

GuestRange GuestMemory::region_range(std::size_t index) const {
  WISP_ASSERT(index < regions_.size());
  return regions_[index].range;
}

RegionKind GuestMemory::region_kind(std::size_t index) const {
  WISP_ASSERT(index < regions_.size());
  return regions_[index].blocks == nullptr ? RegionKind::Ram : RegionKind::Hotplug;
}

std::optional<RegionFile> GuestMemory::region_file(std::size_t index) const {
  WISP_ASSERT(index < regions_.size());
  return regions_[index].mapping.file();
}

const DirtyLog& GuestMemory::dirty_log(std::size_t index) const {
  WISP_ASSERT(index < regions_.size());
  return *regions_[index].dirty;
}

void GuestMemory::clear_dirty_logs() {
  for (auto& log : dirty_logs_) {
    log->clear();
  }
}

std::uint64_t GuestMemory::total_size_bytes() const {
  std::uint64_t total = 0;
  for (const Region& region : regions_) {
    total += region.range.size_bytes;
  }
  return total;
}

// ---------------------------------------------------------------------------------------------------------------------
// The hot-pluggable region.

std::optional<HotplugRange> GuestMemory::hotplug() const {
  if (regions_.empty() || regions_.back().blocks == nullptr) {
    return std::nullopt;
  }
  return HotplugRange{regions_.back().range, regions_.back().block_size_bytes};
}

const GuestMemory::Region& GuestMemory::hotplug_region() const {
  WISP_ASSERT(hotplug().has_value());
  return regions_.back();
}

bool GuestMemory::is_plugged(GuestRange blocks) const {
  return plugged_bytes(blocks) == blocks.size_bytes;
}

bool GuestMemory::is_unplugged(GuestRange blocks) const {
  return plugged_bytes(blocks) == 0;
}

std::uint64_t GuestMemory::plugged_bytes(GuestRange blocks) const {
  const Region& region = hotplug_region();
  const auto offset = blocks.start.offset_from(region.range.start);
  WISP_ASSERT(offset && *offset % region.block_size_bytes == 0 && blocks.size_bytes % region.block_size_bytes == 0);
  WISP_ASSERT(blocks.size_bytes > 0 && range_fits(*offset, blocks.size_bytes, region.range.size_bytes));
  const BlockSpan span = blocks_of(region, blocks);
  return region.blocks->count_set(span.first, span.count) * region.block_size_bytes;
}

bool GuestMemory::plug_blocks(GuestRange blocks, BlockContents contents) const {
  WISP_ASSERT(is_unplugged(blocks));
  const Region& region = hotplug_region();
  const std::uint64_t offset = *blocks.start.offset_from(region.range.start);
  if (contents == BlockContents::Zeroed) {
    // A stale slice may have written here since the blocks were unplugged.
    if (!region.mapping.discard(offset, blocks.size_bytes).done()) {
      return false;
    }
    region.dirty->mark(offset, blocks.size_bytes);
  }
  const BlockSpan span = blocks_of(region, blocks);
  region.blocks->set(span.first, span.count);
  return true;
}

Discarded GuestMemory::unplug_blocks(GuestRange blocks) const {
  const Region& region = hotplug_region();
  WISP_ASSERT(plugged_bytes(blocks) <= blocks.size_bytes);
  const std::uint64_t offset = *blocks.start.offset_from(region.range.start);
  const BlockSpan span = blocks_of(region, blocks);
  region.blocks->clear(span.first, span.count);
  const Discarded discarded = region.mapping.discard(offset, blocks.size_bytes);
  region.dirty->mark(offset, blocks.size_bytes);
  return discarded;
}

}  // namespace wisp
