// Requests of arbitrary shape to the persistent memory device. Each chain comes back exactly once, with 4 written bytes
// or none; only a whole flush is answered with success; there is at most one sync for each turn; no byte outside the
// offered buffers changes.
#include <cerrno>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <utility>

#include "tests/fakes/fuzz_input.h"
#include "tests/fakes/one_queue_rig.h"
#include "virtio/pmem/device.h"

using namespace wisp;
using namespace wisp::fakes;

namespace {

constexpr std::uint64_t kTypes = 0x20000;
constexpr std::uint64_t kResults = 0x30000;
constexpr std::uint64_t kForbidden = kHighStart;  // no buffer ever lies here

struct CountingPmem final : PmemBackend {
  std::uint64_t size_bytes() const override { return kPmemAlignmentBytes; }
  std::uint64_t file_size_bytes() const override { return kPmemAlignmentBytes; }
  Access access() const override { return mode; }
  int sync() override {
    ++syncs;
    return failure;
  }
  Access mode = Access::ReadWrite;
  int failure = 0;
  int syncs = 0;
};

struct Rig : OneQueueRig<PmemDevice> {
  Rig() {
    auto made = std::make_unique<CountingPmem>();
    file = made.get();
    adopt(PmemDevice::create({}, std::move(made), GuestAddress(kPmemAlignmentBytes), *loop, clock));
    guest().fill(kForbidden, kHighBytes, 0x5a);
  }
  CountingPmem* file = nullptr;
};

std::uint64_t place_of(std::uint8_t choice, std::uint64_t good) {
  switch (choice % 8U) {
    case 0: return kLowStart + kLowBytes - choice / 8U % 8U;  // towards the hole
    case 1: return ~std::uint64_t{0} - choice / 8U;
    default: return good;
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  static Rig rig;
  silence_log();
  rig.device->reset();
  rig.activate();
  rig.guest().fill(kResults, 0x100, 0xee);
  FuzzInput input(data, size);
  const std::uint8_t mode = input.byte();
  rig.file->syncs = 0;
  rig.file->failure = (mode & 1U) != 0 ? EIO : 0;
  rig.file->mode = (mode & 2U) != 0 ? Access::ReadOnly : Access::ReadWrite;
  const std::uint16_t requests = 1 + input.byte() % 4U;
  bool type_known[4] = {true, true, true, true};  // no part of the type was taken from another place
  for (std::uint16_t slot = 0; slot < requests; ++slot) {
    const std::uint64_t type = kTypes + slot * std::uint64_t{64};
    const std::uint64_t result = kResults + slot * std::uint64_t{64};
    rig.guest().put(type, (input.byte() & 3U) == 3 ? input.dword() : 0, 4);
    ChainBuilder builder(rig.queue, static_cast<std::uint16_t>(slot * 4));
    const std::uint16_t count = 1 + input.byte() % 4U;
    for (std::uint16_t index = 0; index < count; ++index) {
      const std::uint8_t choice = input.byte();
      const bool writable = (choice & 0x80U) != 0;
      const std::uint32_t length = (choice & 0x40U) != 0 ? input.word() % 64U : 4;
      const std::uint64_t address = place_of(input.byte(), writable ? result : type);
      type_known[slot] = type_known[slot] && (writable || (length == 4 && address == type));
      builder.add(address, length, writable ? kWrite : std::uint16_t{0});
    }
    rig.queue.offer((input.byte() & 1U) != 0 ? builder.build_indirect(0x1f000 - slot * std::uint64_t{0x100})
                                             : builder.build());
  }
  (void)rig.device->on_queue(0);
  WISP_ASSERT(rig.file->syncs <= (rig.file->mode == Access::ReadOnly ? 0 : 1));
  rig.kick();

  WISP_ASSERT(rig.signals.needs_reset_count == 0);
  const auto answers = rig.queue.take_all_used();
  WISP_ASSERT(answers.size() == requests);
  for (const Used& used : answers) {
    WISP_ASSERT(used.length == 0 || used.length == 4);
    const std::uint64_t slot = used.id / 4;
    const bool flush = !type_known[slot] || rig.guest().get(kTypes + slot * 64, 4) == 0;
    const bool success = used.length == 4 && rig.guest().get(kResults + slot * 64, 4) == 0;
    WISP_ASSERT(!success || (flush && (rig.file->failure == 0 || rig.file->mode == Access::ReadOnly)));
  }
  WISP_ASSERT(rig.guest().holds(kForbidden, kHighBytes, 0x5a));
  return 0;
}
