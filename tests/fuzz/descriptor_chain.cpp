// Rings, descriptors and indirect tables of arbitrary content. The input is a choice of queue size and features, then
// the guest's memory from the descriptor table on. Whatever it holds: every pop ends in a bounded time as empty, fault
// or chain, cursors stay inside the chain's bytes, and each popped chain comes back exactly once.
#include <array>
#include <cstddef>
#include <cstdint>
#include <utility>
#include <variant>

#include "tests/fakes/fake_driver.h"
#include "tests/fakes/fuzz_input.h"
#include "virtio/core/queue_config.h"
#include "virtio/core/ring_layout.h"

using namespace wisp;
using namespace wisp::fakes;

namespace {

constexpr std::uint64_t kTable = kLowStart;
constexpr std::uint64_t kAvailable = kTable + 0x1000;
constexpr std::uint64_t kUsed = kTable + 0x1400;
constexpr std::size_t kMemoryBytes = 0x4000;
constexpr int kMaxPops = 600;

VirtQueue make_queue(const GuestMemory& memory, std::uint32_t size, std::uint64_t features) {
  QueueConfig config(256);
  config.set_size(size);
  config.set_address(QueuePart::DescriptorTable, AddressHalf::Low, kTable);
  config.set_address(QueuePart::AvailableRing, AddressHalf::Low, kAvailable);
  config.set_address(QueuePart::UsedRing, AddressHalf::Low, kUsed);
  WISP_ASSERT(config.make_ready(memory) == QueueConfigDefect::None);
  return std::move(*config.activate(memory, features));
}

/// Reads and writes all that the chain gives, in odd pieces.
std::uint32_t use(const DescriptorChain& chain) {
  constexpr std::uint32_t kMostBytes = 1U << 16U;
  std::array<std::byte, 37> piece{};
  ChainReader reader = chain.reader();
  std::uint32_t read_bytes = 0;
  const std::uint32_t readable = reader.size_bytes();
  while (read_bytes < kMostBytes && reader.read_bytes(piece)) {
    read_bytes += static_cast<std::uint32_t>(piece.size());
  }
  WISP_ASSERT(readable - reader.size_bytes() == read_bytes);
  ChainWriter writer = chain.writer();
  const std::uint32_t writable = writer.size_bytes();
  ChainWriter tail = writer.split_off(writable / 2);
  WISP_ASSERT(writer.size_bytes() + tail.size_bytes() == writable);
  std::uint32_t written_bytes = 0;
  while (written_bytes < kMostBytes && tail.write_bytes(piece)) {
    written_bytes += static_cast<std::uint32_t>(piece.size());
  }
  writer.mark_written(writer.size_bytes());
  WISP_ASSERT(writer.empty());
  return written_bytes;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  static const GuestMemory memory = make_memory();
  const GuestView guest(memory);
  FuzzInput input(data, size);
  const std::uint32_t queue_size = 1U << (input.byte() % 9U);
  const std::uint8_t choices = input.byte();
  const std::uint64_t features = feature::kVersion1 | ((choices & 1U) != 0 ? feature::kIndirectDescriptors : 0) |
                                 ((choices & 2U) != 0 ? feature::kEventIndex : 0);
  guest.fill(kTable, kMemoryBytes, 0);
  guest.put_bytes(kTable, input.rest(kMemoryBytes));

  VirtQueue queue = make_queue(memory, queue_size, features);
  std::uint16_t ended = 0;
  for (int pops = 0; pops < kMaxPops; ++pops) {
    queue.disable_notifications();
    PopResult popped = queue.pop();
    auto* chain = std::get_if<DescriptorChain>(&popped);
    if (chain == nullptr) {
      WISP_ASSERT(std::holds_alternative<QueueFault>(popped) == queue.fault().has_value());
      break;
    }
    if (pops % 5 == 4) {
      std::move(*chain).put_back();
      continue;
    }
    std::move(*chain).complete(use(*chain));
    ++ended;
    (void)queue.publish();
    (void)queue.enable_notifications();
  }
  WISP_ASSERT(queue.in_flight_count() == 0 && queue.dropped_chain_count() == 0);
  WISP_ASSERT(queue.next_used() == ended);
  return 0;
}
