#include "virtio/mem/device.h"

#include <algorithm>
#include <string>

#include "virtio/core/ring_layout.h"
#include "vmm/base/log.h"

namespace wisp {
namespace {

constexpr std::uint64_t kBytesPerMib = 1024 * 1024;
constexpr std::uint64_t kNsPerUs = 1000;
constexpr std::size_t kBlocksPerByte = 8;

/// Section 5.15.4.
struct MemConfigSpace {
  Le64 block_size;
  Le16 node_id;
  std::array<Le16, 3> padding;
  Le64 address;
  Le64 region_size;
  Le64 usable_region_size;
  Le64 plugged_size;
  Le64 requested_size;
};
static_assert(sizeof(MemConfigSpace) == 56 && offsetof(MemConfigSpace, address) == 16);
static_assert(offsetof(MemConfigSpace, requested_size) == 48);

}  // namespace

Result<std::unique_ptr<MemDevice>> MemDevice::create(const MemoryHotplugConfig& config, GuestAddress region_start,
                                                     HotplugSlots& slots, const GuestMemory& memory) {
  static const MonotonicClock kClock;
  return create(config, region_start, slots, memory, kClock);
}

Result<std::unique_ptr<MemDevice>> MemDevice::create(const MemoryHotplugConfig& config, GuestAddress region_start,
                                                     HotplugSlots& slots, const GuestMemory& memory,
                                                     const Clock& clock) {
  (void)WISP_TRY(check_memory_hotplug(config));
  const GuestRange region{region_start, config.total_size_mib * kBytesPerMib};
  const auto hotplug = memory.hotplug();
  WISP_ASSERT(hotplug && hotplug->range.start == region.start && hotplug->range.size_bytes == region.size_bytes);
  WISP_ASSERT(hotplug->block_size_bytes == config.block_size_mib * kBytesPerMib);
  return std::make_unique<MemDevice>(PrivateTag{}, config, region, slots, memory, clock);
}

MemDevice::MemDevice(PrivateTag /*tag*/, const MemoryHotplugConfig& config, GuestRange region, HotplugSlots& slots,
                     const GuestMemory& memory, const Clock& clock)
    : QueueDevice("memory hotplug", {metrics_.activate_fails, ignored_config_writes_, metrics_.queue_event_fails}),
      config_(config),
      region_(region),
      block_size_bytes_(config.block_size_mib * kBytesPerMib),
      slot_size_bytes_(config.slot_size_mib * kBytesPerMib),
      slots_(slots),
      guest_memory_(memory),
      clock_(clock),
      slot_present_(region.size_bytes / slot_size_bytes_, false) {}

std::uint64_t MemDevice::offered_features() const {
  return feature::kVersion1 | feature::kEventIndex | feature::kIndirectDescriptors |
         mem_feature::kUnpluggedInaccessible;
}

void MemDevice::read_config(std::uint64_t offset, std::span<std::byte> data) const {
  const MemConfigSpace space{.block_size = block_size_bytes_,
                             .node_id = 0,
                             .padding = {},
                             .address = region_.start.value(),
                             .region_size = region_.size_bytes,
                             .usable_region_size = usable_bytes_.load(std::memory_order_acquire),
                             .plugged_size = plugged_bytes_.load(std::memory_order_acquire),
                             .requested_size = requested_bytes_.load(std::memory_order_acquire)};
  read_from(std::as_bytes(std::span(&space, 1)), offset, data);
}

Status MemDevice::on_activate() {
  // A driver that wants to read unplugged memory (section 5.15.6.1) would meet a slot that is not there.
  if (!negotiated(mem_feature::kUnpluggedInaccessible)) {
    return Error(ErrorCode::InvalidArgument,
                 name() + ": the driver has not accepted VIRTIO_MEM_F_UNPLUGGED_INACCESSIBLE");
  }
  return {};
}

// ---------------------------------------------------------------------------------------------------------------------
// The operator.

std::uint64_t MemDevice::in_whole_slots(std::uint64_t size_bytes) const {
  return (size_bytes + slot_size_bytes_ - 1) / slot_size_bytes_ * slot_size_bytes_;
}

Status MemDevice::request(std::uint64_t requested_size_mib) {
  if (!active() && !quiesced()) {
    return Error(ErrorCode::WrongState, "Device is not active");
  }
  const auto size = checked_mul(requested_size_mib, kBytesPerMib);
  if (!size || *size > region_.size_bytes || *size % block_size_bytes_ != 0) {
    return Error(ErrorCode::InvalidArgument,
                 "Size " + (size ? std::to_string(*size) : std::to_string(requested_size_mib) + " MiB") +
                     " is invalid: it must be a multiple of block size and less than the total size");
  }
  requested_bytes_.store(*size, std::memory_order_release);
  // Section 5.15.6.2: the usable region covers what is requested; it may only shrink with UNPLUG_ALL.
  usable_bytes_.store(std::max(usable_bytes_.load(), in_whole_slots(*size)), std::memory_order_release);
  signals().config_changed();
  return {};
}

MemoryHotplugStatus MemDevice::status() const {
  return {config_, plugged_bytes_.load() / kBytesPerMib, requested_bytes_.load() / kBytesPerMib};
}

// ---------------------------------------------------------------------------------------------------------------------
// The driver.

Backlog MemDevice::serve(std::size_t index) {
  metrics_.queue_event_count.add();
  BatchBudget budget{.requests = queue_at(index).size(), .bytes = kSlotChangesPerTurn};
  const PumpResult result =
      pump_queue(queue_at(index), budget, [&](DescriptorChain chain) { return handle(std::move(chain), budget); });
  const Backlog left = conclude(index, result);
  return result.stopped ? Backlog::Some : left;
}

Pump MemDevice::handle(DescriptorChain chain, BatchBudget& budget) {
  const MemRequest request = parse_mem_request(chain, {{region_.start, usable_bytes_.load()}, block_size_bytes_});
  if (request.defect != MemDefect::None) {
    const MemAnswer answer = refuse(request.defect);
    const std::uint32_t written =
        request.answer.empty() ? 0 : write_mem_answer(request.answer, answer, BlockState::Plugged);
    std::move(chain).complete(written);
    return Pump::Next;
  }
  const std::uint64_t started_ns = clock_.now_ns();
  MemAnswer answer = MemAnswer::Ack;
  if (request.op == MemOp::UnplugAll) {
    if (unplug_some_slots(budget, answer) == Progress::Unfinished) {
      std::move(chain).put_back();  // taken up again in the next turn, where it finds fewer slots
      return Pump::Stop;
    }
  } else {
    answer = carry_out(request, budget);
  }
  const bool asked = request.op == MemOp::State && answer == MemAnswer::Ack;
  const BlockState state = asked ? state_of(request.blocks) : BlockState::Plugged;
  std::move(chain).complete(write_mem_answer(request.answer, answer, state));
  count(request.op, answer, started_ns, request.blocks.size_bytes);
  return Pump::Next;
}

MemAnswer MemDevice::refuse(MemDefect defect) {
  metrics_.queue_event_fails.add();
  WISP_LOG_LIMITED(Warn, "%s: a request is refused (%s)", name().c_str(), mem_defect_name(defect));
  return MemAnswer::Error;
}

MemAnswer MemDevice::carry_out(const MemRequest& request, BatchBudget& budget) {
  switch (request.op) {
    case MemOp::Plug: return plug(request.blocks, budget);
    case MemOp::Unplug: return unplug(request.blocks, budget);
    default: return MemAnswer::Ack;
  }
}

MemAnswer MemDevice::plug(GuestRange blocks, BatchBudget& budget) {
  if (!guest_memory_.is_unplugged(blocks)) {
    return refuse(MemDefect::WrongBlockState);
  }
  const std::uint64_t plugged = plugged_bytes_.load();
  const std::uint64_t requested = requested_bytes_.load();
  // Section 5.15.6.3: not more than requested. The sum cannot wrap: both lie inside the region.
  if (plugged + blocks.size_bytes > requested) {
    return MemAnswer::Nack;
  }
  const SlotSpan span = slots_of(blocks);
  if (!add_slots(span, budget) || !guest_memory_.plug_blocks(blocks, BlockContents::Zeroed)) {
    remove_idle_slots(span);
    return MemAnswer::Busy;
  }
  plugged_bytes_.store(plugged + blocks.size_bytes, std::memory_order_release);
  return MemAnswer::Ack;
}

MemAnswer MemDevice::unplug(GuestRange blocks, BatchBudget& budget) {
  if (!guest_memory_.is_plugged(blocks)) {
    return refuse(MemDefect::WrongBlockState);
  }
  if (!remove_emptied_slots(blocks, budget)) {
    return MemAnswer::Busy;
  }
  note_discard(guest_memory_.unplug_blocks(blocks));
  free_idle_slots(slots_of(blocks));
  plugged_bytes_.fetch_sub(blocks.size_bytes, std::memory_order_acq_rel);
  return MemAnswer::Ack;
}

MemDevice::Progress MemDevice::unplug_some_slots(BatchBudget& budget, MemAnswer& answer) {
  for (std::size_t slot = 0; slot < slot_present_.size(); ++slot) {
    if (!slot_present_[slot]) {
      continue;
    }
    if (budget.bytes == 0) {
      return Progress::Unfinished;
    }
    budget.charge_bytes(1);
    if (!remove_slot(slot)) {
      answer = MemAnswer::Busy;
      return Progress::Done;
    }
    const GuestRange range = slot_range(slot);
    const std::uint64_t plugged = guest_memory_.plugged_bytes(range);
    note_discard(guest_memory_.unplug_blocks(range));
    plugged_bytes_.fetch_sub(plugged, std::memory_order_acq_rel);
  }
  const std::uint64_t usable = in_whole_slots(requested_bytes_.load());
  if (usable_bytes_.exchange(usable, std::memory_order_acq_rel) != usable) {
    signals().config_changed();
  }
  return Progress::Done;
}

BlockState MemDevice::state_of(GuestRange blocks) const {
  const std::uint64_t plugged = guest_memory_.plugged_bytes(blocks);
  return plugged == 0 ? BlockState::Unplugged : plugged == blocks.size_bytes ? BlockState::Plugged : BlockState::Mixed;
}

void MemDevice::count(MemOp op, MemAnswer answer, std::uint64_t started_ns, std::uint64_t size_bytes) {
  const std::uint64_t duration_us = (clock_.now_ns() - started_ns) / kNsPerUs;
  const std::uint64_t failed = answer == MemAnswer::Ack ? 0 : 1;
  const std::uint64_t moved_bytes = failed != 0 ? 0 : size_bytes;
  switch (op) {
    case MemOp::Plug:
      metrics_.plug_count.add();
      metrics_.plug_fails.add(failed);
      metrics_.plug_bytes.add(moved_bytes);
      metrics_.plug_agg.record_us(duration_us);
      return;
    case MemOp::Unplug:
      metrics_.unplug_count.add();
      metrics_.unplug_fails.add(failed);
      metrics_.unplug_bytes.add(moved_bytes);
      metrics_.unplug_agg.record_us(duration_us);
      return;
    case MemOp::UnplugAll:
      metrics_.unplug_all_count.add();
      metrics_.unplug_all_fails.add(failed);
      metrics_.unplug_all_agg.record_us(duration_us);
      return;
    case MemOp::State:
      metrics_.state_count.add();
      metrics_.state_fails.add(failed);
      metrics_.state_agg.record_us(duration_us);
      return;
  }
}

// ---------------------------------------------------------------------------------------------------------------------
// Slots.

MemDevice::SlotSpan MemDevice::slots_of(GuestRange blocks) const {
  const std::uint64_t offset = *blocks.start.offset_from(region_.start);
  return {offset / slot_size_bytes_, (offset + blocks.size_bytes - 1) / slot_size_bytes_ + 1};
}

GuestRange MemDevice::slot_range(std::size_t slot) const {
  return {GuestAddress(region_.start.value() + slot * slot_size_bytes_), slot_size_bytes_};
}

bool MemDevice::add_slots(SlotSpan span, BatchBudget& budget) {
  for (std::size_t slot = span.first; slot < span.end; ++slot) {
    if (slot_present_[slot]) {
      continue;
    }
    budget.charge_bytes(1);
    const Status added = slots_.add_slot(slot, slot_range(slot));
    if (!added.ok()) {
      WISP_LOG_LIMITED(Error, "%s: %s", name().c_str(), added.error().text().c_str());
      return false;
    }
    slot_present_[slot] = true;
  }
  return true;
}

bool MemDevice::remove_slot(std::size_t slot) {
  const Status removed = slots_.remove_slot(slot);
  if (!removed.ok()) {
    WISP_LOG_LIMITED(Error, "%s: %s", name().c_str(), removed.error().text().c_str());
    return false;
  }
  slot_present_[slot] = false;
  return true;
}

/// Undoes add_slots() where nothing was plugged after all.
void MemDevice::remove_idle_slots(SlotSpan span) {
  for (std::size_t slot = span.first; slot < span.end; ++slot) {
    if (slot_present_[slot] && guest_memory_.is_unplugged(slot_range(slot))) {
      (void)remove_slot(slot);
    }
  }
}

/// Takes away the slots in which nothing but `blocks` is plugged. All of them, or none and false.
bool MemDevice::remove_emptied_slots(GuestRange blocks, BatchBudget& budget) {
  const SlotSpan span = slots_of(blocks);
  const std::uint64_t start = blocks.start.value();
  for (std::size_t slot = span.first; slot < span.end; ++slot) {
    const std::uint64_t slot_start = slot_range(slot).start.value();
    const std::uint64_t part_start = std::max(start, slot_start);
    const std::uint64_t part_end = std::min(start + blocks.size_bytes, slot_start + slot_size_bytes_);
    if (guest_memory_.plugged_bytes(slot_range(slot)) != part_end - part_start) {
      continue;
    }
    budget.charge_bytes(1);
    if (!remove_slot(slot)) {
      (void)add_slots({span.first, slot}, budget);
      return false;
    }
  }
  return true;
}

/// A slot that is gone holds no memory: what the guest touched in its unplugged blocks goes back, too.
void MemDevice::free_idle_slots(SlotSpan span) {
  for (std::size_t slot = span.first; slot < span.end; ++slot) {
    if (!slot_present_[slot]) {
      note_discard(guest_memory_.unplug_blocks(slot_range(slot)));
    }
  }
}

void MemDevice::note_discard(const Discarded& discarded) {
  if (!discarded.done()) {
    metrics_.unplug_discard_fails.add();
    WISP_LOG_LIMITED(Warn, "%s: the host does not take unplugged memory back", name().c_str());
  }
}

// ---------------------------------------------------------------------------------------------------------------------
// Capture and restore.

void MemDevice::save(StateWriter& out) const {
  out.u64(region_.start.value());
  out.u64(region_.size_bytes);
  out.u64(block_size_bytes_);
  out.u64(slot_size_bytes_);
  out.u64(requested_bytes_.load());
  out.u64(usable_bytes_.load());
  const std::size_t block_count = region_.size_bytes / block_size_bytes_;
  std::vector<std::byte> bitmap((block_count + kBlocksPerByte - 1) / kBlocksPerByte);
  for (std::size_t block = 0; block < block_count; ++block) {
    const GuestAddress address(region_.start.value() + block * block_size_bytes_);
    if (guest_memory_.is_plugged({address, block_size_bytes_})) {
      bitmap[block / kBlocksPerByte] |= std::byte{1} << (block % kBlocksPerByte);
    }
  }
  out.bytes(bitmap);
}

Status MemDevice::check_saved(const Sizes& sizes, std::span<const std::byte> bitmap, StateReader& in) const {
  (void)WISP_TRY(in.check(sizes.requested <= region_.size_bytes && sizes.requested % block_size_bytes_ == 0,
                          "the requested size does not fit the region"));
  (void)WISP_TRY(in.check(
      sizes.usable <= region_.size_bytes && sizes.usable % slot_size_bytes_ == 0 && sizes.usable >= sizes.requested,
      "the usable size does not fit the region"));
  const std::size_t usable_blocks = sizes.usable / block_size_bytes_;
  const std::size_t block_count = region_.size_bytes / block_size_bytes_;
  (void)WISP_TRY(in.check(bitmap.size() == (block_count + kBlocksPerByte - 1) / kBlocksPerByte,
                          "the block map is not of the region's size"));
  for (std::size_t block = usable_blocks; block < bitmap.size() * kBlocksPerByte; ++block) {
    const bool plugged = (bitmap[block / kBlocksPerByte] >> (block % kBlocksPerByte) & std::byte{1}) != std::byte{0};
    (void)WISP_TRY(in.check(!plugged, "a block is plugged outside the usable region"));
  }
  return {};
}

Status MemDevice::plug_saved(std::span<const std::byte> bitmap) {
  BatchBudget unlimited{.requests = 0, .bytes = slot_present_.size()};
  std::uint64_t plugged_bytes = 0;
  for (std::size_t block = 0; block < region_.size_bytes / block_size_bytes_; ++block) {
    if ((bitmap[block / kBlocksPerByte] >> (block % kBlocksPerByte) & std::byte{1}) == std::byte{0}) {
      continue;
    }
    const GuestRange range{GuestAddress(region_.start.value() + block * block_size_bytes_), block_size_bytes_};
    if (!add_slots(slots_of(range), unlimited)) {
      return Error(ErrorCode::HostFault, name() + ": the saved memory cannot be given to the guest");
    }
    if (guest_memory_.is_unplugged(range)) {
      const bool kept = guest_memory_.plug_blocks(range, BlockContents::Kept);
      WISP_ASSERT(kept);
    }
    plugged_bytes += block_size_bytes_;
  }
  plugged_bytes_.store(plugged_bytes, std::memory_order_release);
  return {};
}

Status MemDevice::restore(StateReader& in) {
  const bool same_region = in.u64() == region_.start.value() && in.u64() == region_.size_bytes &&
                           in.u64() == block_size_bytes_ && in.u64() == slot_size_bytes_;
  (void)WISP_TRY(in.check(same_region, "the region has another place or shape now"));
  Sizes sizes{};
  sizes.requested = in.u64();
  sizes.usable = in.u64();
  const auto bitmap = in.bytes(region_.size_bytes / block_size_bytes_);
  (void)WISP_TRY(check_saved(sizes, bitmap, in));
  (void)WISP_TRY(plug_saved(bitmap));
  requested_bytes_.store(sizes.requested, std::memory_order_release);
  usable_bytes_.store(sizes.usable, std::memory_order_release);
  return {};
}

}  // namespace wisp
