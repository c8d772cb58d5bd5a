// A network card with hostile rings, headers and buffers on both queues, frames of any size from the TAP, and a
// neighbour that echoes. Whatever happens: every chain comes back at most once, none is held, what the host gets is a
// frame whose header was checked, and no byte outside the buffers changes.
#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>

#include "tests/fakes/fuzz_input.h"
#include "tests/unit/net/net_rig.h"

using namespace wisp;
using namespace wisp::fakes;

namespace {

constexpr std::uint64_t kForbidden = kLowStart + kLowBytes - 0x4000;  // no buffer ever lies here
constexpr std::uint64_t kForbiddenBytes = 0x4000;
constexpr std::uint64_t kAllFeatures = kMerge | net_feature::kCsum | net_feature::kGuestCsum | net_feature::kHostTso4 |
                                       net_feature::kHostTso6 | net_feature::kHostUfo | net_feature::kHostUso |
                                       net_feature::kGuestTso4 | net_feature::kGuestTso6;

std::uint64_t place_of(std::uint8_t choice, std::uint16_t offset) {
  switch (choice % 5U) {
    case 0: return 0x20000 + offset;
    case 1: return kHighStart + offset;
    case 2: return kHighStart + kHighBytes - offset % 600U;  // towards the hole
    case 3: return 0;
    default: return ~std::uint64_t{0} - offset;
  }
}

/// One chain of buffers from the input.
std::uint16_t build_chain(FakeQueue& queue, FuzzInput& input, std::uint16_t slot) {
  ChainBuilder builder(queue, static_cast<std::uint16_t>(slot * 4));
  const unsigned count = 1 + input.byte() % 4U;
  for (unsigned index = 0; index < count; ++index) {
    const std::uint8_t choice = input.byte();
    const std::uint32_t length = (choice & 0x40U) != 0 ? input.byte() : input.word() % 0x6000U;
    builder.add(place_of(choice, input.word()), length, (choice & 0x80U) != 0 ? kWrite : std::uint16_t{0});
  }
  return builder.build();
}

void check_sent(const NetRig& rig, std::uint64_t features) {
  for (const Bytes& each : rig.tap->sent) {
    WISP_ASSERT(each.size() >= 26 && each.size() <= kMaxTxBytes);
    VnetHeader header;
    std::memcpy(&header, each.data(), sizeof(header));
    WISP_ASSERT(check_tx_header(header, static_cast<std::uint32_t>(each.size() - 12), features) == FrameDefect::None);
    WISP_ASSERT((header.flags & ~1U) == 0 && header.num_buffers == 0);
  }
  for (const Bytes& each : rig.detour->received) {
    WISP_ASSERT(each.size() >= kEthernetHeaderBytes && each.size() <= kMaxDetourFrameBytes);
  }
}

void step(NetRig& rig, FuzzInput& input) {
  const std::uint8_t what = input.byte();
  const std::uint16_t slot = what / 16U;
  switch (what % 8U) {
    case 0:
    case 1: rig.rx.offer(build_chain(rig.rx, input, slot)); break;
    case 2: rig.tx.offer(build_chain(rig.tx, input, slot)); break;
    case 3: {  // a header that may be right, then a frame
      const std::uint64_t where = 0x20000 + slot * std::uint64_t{0x800};
      rig.guest.put(where, input.take(8), 8);
      rig.guest.put(where + 8, input.dword(), 4);
      rig.guest.put(where + 24, (input.byte() & 1U) != 0 ? 0x0608U : 0x0008U, 2);
      rig.tx.offer(ChainBuilder(rig.tx, slot).readable(where, 12U + input.word() % 1700U).build());
      break;
    }
    case 4: {
      VnetHeader header;
      header.flags = static_cast<std::uint8_t>(input.byte() % 4U);
      header.gso_type = (input.byte() & 1U) != 0 ? vnet::kGsoTcp4 : vnet::kGsoNone;
      rig.tap->put(make_frame(input.word() % 65550U, static_cast<std::uint8_t>(slot)), header);
      break;
    }
    case 5: rig.tap->write_errno = (what & 0x80U) != 0 ? EAGAIN : 0; break;
    case 6:
      rig.tap->signal();
      rig.loop->run_once(0);
      break;
    default:
      WISP_ASSERT(rig.kick(slot & 1U) < 1000);
      if ((what & 0x40U) != 0) {
        rig.device->quiesce();
        WISP_ASSERT(rig.device->in_flight_count() == 0);
        rig.device->resume();
      }
      break;
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  silence_log();
  FuzzInput input(data, size);
  const std::uint64_t features = (input.byte() & 1U) != 0 ? kAllFeatures : kNetBase;
  NetConfig config;
  if ((input.byte() & 1U) != 0) {
    config.tx_limits.ops = TokenBucketConfig{3, 1000, std::nullopt};
    config.rx_limits.bandwidth = TokenBucketConfig{4000, 1000, std::nullopt};
  }
  NetRig rig(features, config, 64);
  rig.detour->echo = true;
  rig.guest.fill(kForbidden, kForbiddenBytes, 0x5a);
  for (int count = 0; count < 100 && !input.empty(); ++count) {
    step(rig, input);
    rig.clock.now += 10'000'000;
    for (std::size_t index = 0; index < 2; ++index) {
      const VirtQueue* queue = rig.device->queue(index);
      WISP_ASSERT(queue != nullptr && queue->in_flight_count() == 0 && queue->dropped_chain_count() == 0);
    }
  }
  check_sent(rig, features);
  WISP_ASSERT(rig.rx.used_index() <= rig.rx.available_index() && rig.tx.used_index() <= rig.tx.available_index());
  WISP_ASSERT(rig.guest.holds(kForbidden, kForbiddenBytes, 0x5a));
  return 0;
}
