// Entropy requests of arbitrary shape. The input describes chains: direction, place and length of each buffer. Each
// chain comes back exactly once, with at most 64 KiB and with 0 when it is not a pure place to write; no byte outside
// the offered buffers changes; a turn is bounded.
#include <cstddef>
#include <cstdint>
#include <memory>
#include <utility>

#include "tests/fakes/fuzz_input.h"
#include "tests/fakes/one_queue_rig.h"
#include "virtio/rng/device.h"

using namespace wisp;
using namespace wisp::fakes;

namespace {

constexpr std::uint64_t kBuffers = 0x20000;
constexpr std::uint64_t kForbidden = kHighStart;  // no buffer ever lies here
constexpr std::uint32_t kCap = 64 * 1024;

struct Rig : OneQueueRig<RngDevice> {
  Rig() {
    adopt(RngDevice::create({}, *loop, clock));
    guest().fill(kForbidden, kHighBytes, 0x5a);
  }
};

std::uint64_t place_of(std::uint8_t choice, std::uint16_t offset) {
  switch (choice % 5U) {
    case 0:
    case 1: return kBuffers + offset;
    case 2: return kLowStart + kLowBytes - offset % 600U;  // towards the hole
    case 3: return 0;
    default: return ~std::uint64_t{0} - offset;
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  static Rig rig;
  silence_log();
  rig.device->reset();
  rig.activate();
  FuzzInput input(data, size);
  const std::uint16_t requests = 1 + input.byte() % 4U;
  std::uint32_t readable[4] = {};
  for (std::uint16_t slot = 0; slot < requests; ++slot) {
    ChainBuilder builder(rig.queue, static_cast<std::uint16_t>(slot * 4));
    const std::uint16_t count = 1 + input.byte() % 4U;
    for (std::uint16_t index = 0; index < count; ++index) {
      const std::uint8_t choice = input.byte();
      const std::uint64_t address = place_of(choice, input.word());
      const std::uint32_t length = (choice & 0x40U) != 0 ? input.dword() : input.word() % 8192U;
      const bool writable = (choice & 0x80U) == 0;
      readable[slot] |= writable ? 0 : length;
      builder.add(address, length, writable ? kWrite : std::uint16_t{0});
    }
    rig.queue.offer((input.byte() & 1U) != 0 ? builder.build_indirect(0x1f000 - slot * std::uint64_t{0x100})
                                             : builder.build());
  }
  rig.kick();

  WISP_ASSERT(rig.signals.needs_reset_count == 0);
  const auto answers = rig.queue.take_all_used();
  WISP_ASSERT(answers.size() == requests);
  for (const Used& used : answers) {
    WISP_ASSERT(used.length <= kCap && (used.length == 0 || readable[used.id / 4] == 0));
  }
  WISP_ASSERT(rig.guest().holds(kForbidden, kHighBytes, 0x5a));
  return 0;
}
