// The persistent memory device with a driver, over a backend that counts and fails as the test says.
#pragma once

#include <cstdint>
#include <memory>

#include "tests/fakes/one_queue_rig.h"
#include "virtio/pmem/device.h"

namespace wisp::fakes {

// From the specification (5.19.6).
inline constexpr std::uint32_t kFlush = 0, kRespOk = 0, kRespEio = 1, kUntouched = 0xeeeeeeee;
inline constexpr std::uint64_t kTypes = 0x20000, kResults = 0x21000;
inline constexpr std::uint64_t kPmemStart = std::uint64_t{512} << 30U;

struct ScriptedPmem final : PmemBackend {
  std::uint64_t size_bytes() const override { return 4U << 20U; }
  std::uint64_t file_size_bytes() const override { return 3U << 20U; }
  Access access() const override { return mode; }
  int sync() override {
    ++syncs;
    return failure;
  }
  Access mode = Access::ReadWrite;
  int syncs = 0;
  int failure = 0;
};

struct PmemRig : OneQueueRig<PmemDevice> {
  explicit PmemRig(const RateLimiterConfig& limits = {}) {
    auto made = std::make_unique<ScriptedPmem>();
    file = made.get();
    PmemConfig config;
    config.id = "data";
    config.limits = limits;
    adopt(PmemDevice::create(config, std::move(made), GuestAddress(kPmemStart), *loop, clock));
    guest().fill(kResults, 0x100, 0xee);
  }
  /// A request of `type`, from descriptor `head` on.
  void offer(std::uint16_t head, std::uint32_t type = kFlush) {
    guest().put(kTypes + head * std::uint64_t{4}, type, 4);
    queue.offer(ChainBuilder(queue, head)
                    .readable(kTypes + head * std::uint64_t{4}, 4)
                    .writable(kResults + head * std::uint64_t{4}, 4)
                    .build());
  }
  std::uint32_t result(std::uint16_t head) const {
    return static_cast<std::uint32_t>(guest().get(kResults + head * std::uint64_t{4}, 4));
  }
  ScriptedPmem* file = nullptr;
};

}  // namespace wisp::fakes
