// The entropy device with a driver and a source that the test can read and break.
#pragma once

#include <algorithm>
#include <array>
#include <cstdint>
#include <memory>

#include "tests/fakes/one_queue_rig.h"
#include "virtio/rng/device.h"

namespace wisp::fakes {

inline constexpr std::uint64_t kBuffer = 0x20000;

/// Writes 0xa5, and stops for good after `limit` bytes.
class ScriptedSource final : public EntropySource {
 public:
  std::uint32_t fill(ChainWriter target) override {
    ++calls;
    std::uint32_t written = 0;
    const std::array<std::byte, 1> value = {std::byte{0xa5}};
    while (limit > 0 && target.write_bytes(value)) {
      ++written;
      --limit;
    }
    return written;
  }
  std::uint64_t limit = UINT64_MAX;
  int calls = 0;
};

struct RngRig : OneQueueRig<RngDevice> {
  explicit RngRig(const RateLimiterConfig& limits = {}) {
    auto made = std::make_unique<ScriptedSource>();
    source = made.get();
    adopt(RngDevice::create({limits}, std::move(made), *loop, clock));
  }
  /// A request for `length` bytes at `address`, from descriptor `head` on.
  void offer(std::uint16_t head, std::uint32_t length, std::uint64_t address = kBuffer) {
    queue.offer(ChainBuilder(queue, head).writable(address, length).build());
  }
  ScriptedSource* source = nullptr;
};

}  // namespace wisp::fakes
