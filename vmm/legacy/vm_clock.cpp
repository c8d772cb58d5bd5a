#include "vmm/legacy/vm_clock.h"

#include <array>
#include <atomic>

namespace wisp {
namespace {

constexpr std::uint32_t kMagic = 0x4b4c4356;  // "VCLK"
constexpr std::uint16_t kVersion = 1;
constexpr std::uint8_t kCounterInvalid = 0xff;
constexpr std::uint8_t kStatusUnknown = 0;
constexpr std::uint64_t kGenerationCounterPresent = 1U << 8;
constexpr std::uint64_t kNotificationPresent = 1U << 9;

struct Page {
  Le32 magic;
  Le32 size_bytes;
  Le16 version;
  std::uint8_t counter_id;
  std::uint8_t time_type;
  Le32 seq_count;
  Le64 disruption_marker;
  Le64 flags;
  std::array<std::uint8_t, 2> padding;
  std::uint8_t clock_status;
  std::array<std::uint8_t, 104 - 35> time_fields;  // leap seconds, counter, period, time: never valid here
  Le64 vm_generation_counter;
};
static_assert(sizeof(Page) == 112 && sizeof(Page) <= VmClock::kPlace.size_bytes);
static_assert(offsetof(Page, seq_count) == 12 && offsetof(Page, disruption_marker) == 16);
static_assert(offsetof(Page, flags) == 24 && offsetof(Page, clock_status) == 34);
static_assert(offsetof(Page, vm_generation_counter) == 104);

constexpr GuestAddress place_of(std::size_t offset) {
  return GuestAddress(VmClock::kPlace.start.value() + offset);
}
constexpr GuestAddress kSeqCount = place_of(offsetof(Page, seq_count));
constexpr GuestAddress kDisruptionMarker = place_of(offsetof(Page, disruption_marker));
constexpr GuestAddress kGenerationCounter = place_of(offsetof(Page, vm_generation_counter));

Error no_room() {
  return Error(ErrorCode::InvalidArgument,
               "guest memory has no room for the VM clock page at 0xde000. Raise mem_size_mib");
}

}  // namespace
}  // namespace wisp

template <>
inline constexpr bool wisp::kIsGuestPod<wisp::Page> = true;

namespace wisp {

Result<VmClock> VmClock::create(const GuestMemory& memory, GenerationPage page) {
  VmClock device(memory, WISP_TRY(EventFd::create()));
  if (!memory.readable(kPlace.start, kPlace.size_bytes)) {
    return no_room();
  }
  if (page == GenerationPage::Fresh) {
    Page first{};
    first.magic = kMagic;
    first.size_bytes = static_cast<std::uint32_t>(kPlace.size_bytes);
    first.version = kVersion;
    first.counter_id = kCounterInvalid;
    first.flags = kGenerationCounterPresent | kNotificationPresent;
    first.clock_status = kStatusUnknown;
    WISP_ASSERT(memory.write(kPlace.start, first));
  }
  return device;
}

// The reader's side: it takes an even seq_count (acquire), reads, and starts again when seq_count has changed since.
Status VmClock::disrupt() const {
  const auto seq_count = memory_->read<Le32>(kSeqCount);
  const auto marker = memory_->read<Le64>(kDisruptionMarker);
  const auto generation = memory_->read<Le64>(kGenerationCounter);
  if (!seq_count || !marker || !generation) {
    return no_room();
  }
  // A count that the guest has made odd itself gives an odd one too, and an even one after that.
  const std::uint32_t odd = seq_count->get() | 1U;
  bool written = memory_->write(kSeqCount, Le32(odd));
  std::atomic_thread_fence(std::memory_order_release);
  written = written && memory_->write(kDisruptionMarker, Le64(marker->get() + 1));
  written = written && memory_->write(kGenerationCounter, Le64(generation->get() + 1));
  std::atomic_thread_fence(std::memory_order_release);
  written = written && memory_->write(kSeqCount, Le32(odd + 1));
  WISP_ASSERT(written);
  event_.signal();
  return {};
}

}  // namespace wisp
