// virtio-mem requests of arbitrary shape against a small region. Each chain comes back once; the device, the memory and
// the slots always agree on what is plugged; nothing is ever plugged beyond the request or the usable region.
#include <cstddef>
#include <cstdint>
#include <memory>
#include <set>

#include "tests/fakes/fake_device.h"
#include "tests/fakes/fake_driver.h"
#include "tests/fakes/fuzz_input.h"
#include "virtio/core/queue_config.h"
#include "virtio/core/ring_layout.h"
#include "virtio/mem/device.h"

using namespace wisp;
using namespace wisp::fakes;

namespace {

constexpr std::uint64_t kMib = 1024 * 1024, kBlock = 2 * kMib, kSlot = 128 * kMib;
constexpr std::uint32_t kTotalMib = 1024;
constexpr std::uint64_t kHot = std::uint64_t{512} << 30U;
constexpr std::uint64_t kRequest = 0x20000, kAnswer = 0x21000;
const GuestRange kRegion{GuestAddress(kHot), kTotalMib* kMib};

struct Slots final : HotplugSlots {
  Status add_slot(std::size_t index, GuestRange /*range*/) override {
    if (refuse) {
      return Error(ErrorCode::HostFault, "no");
    }
    WISP_ASSERT(present.insert(index).second);
    return {};
  }
  Status remove_slot(std::size_t index) override {
    WISP_ASSERT(present.erase(index) == 1);
    return {};
  }
  std::set<std::size_t> present;
  bool refuse = false;
};

struct Rig {
  Rig() {
    device->attach(signals);
    QueueConfig config(256);
    config.set_size(driver.size());
    config.set_address(QueuePart::DescriptorTable, AddressHalf::Low,
                       static_cast<std::uint32_t>(driver.place().descriptors));
    config.set_address(QueuePart::AvailableRing, AddressHalf::Low,
                       static_cast<std::uint32_t>(driver.place().available));
    config.set_address(QueuePart::UsedRing, AddressHalf::Low, static_cast<std::uint32_t>(driver.place().used));
    WISP_ASSERT(config.make_ready(memory) == QueueConfigDefect::None);
    const std::uint64_t features = feature::kVersion1 | mem_feature::kUnpluggedInaccessible;
    Activation activation{&memory, interrupt.get(), features, {}};
    activation.queues.push_back(config.activate(memory, features));
    WISP_ASSERT(device->activate(std::move(activation)).ok());
  }
  void serve() {
    while (device->on_queue(0)) {
    }
  }

  const GuestRange low{GuestAddress(kLowStart), kLowBytes};
  GuestMemory memory =
      GuestMemory::create(std::span(&low, 1), PageBacking::Normal, HotplugRange{kRegion, kBlock}).value();
  FakeQueue driver{memory, {}, 16};
  std::unique_ptr<InterruptLine> interrupt = InterruptLine::create().value();
  FakeSignals signals;
  Slots slots;
  std::unique_ptr<MemDevice> device = MemDevice::create({kTotalMib, 2, 128}, GuestAddress(kHot), slots, memory).value();
};

void check(const Rig& rig) {
  const std::uint64_t plugged = rig.memory.plugged_bytes(kRegion);
  WISP_ASSERT(rig.device->status().plugged_size_mib * kMib == plugged);
  std::array<std::byte, 8> usable{};
  rig.device->read_config(32, usable);
  for (std::size_t slot = 0; slot < kRegion.size_bytes / kSlot; ++slot) {
    const bool used = !rig.memory.is_unplugged({GuestAddress(kHot + slot * kSlot), kSlot});
    WISP_ASSERT(used == rig.slots.present.contains(slot));
    WISP_ASSERT(!used || (slot + 1) * kSlot <= std::bit_cast<Le64>(usable));
  }
}

void offer_request(Rig& rig, FuzzInput& input) {
  const GuestView guest(rig.memory);
  guest.put(kRequest, (input.byte() & 0xf0U) == 0xf0U ? input.word() : input.byte() % 4U, 8);
  const std::uint8_t choice = input.byte();
  guest.put(kRequest + 8, (choice & 0x80U) != 0 ? input.take(8) : kHot + input.word() % 520U * kBlock, 8);
  guest.put(kRequest + 16, (choice & 0x40U) != 0 ? input.word() : input.byte() % 80U, 8);
  ChainBuilder builder(rig.driver, 0);
  if ((choice & 0x20U) == 0) {
    builder.readable(kRequest, 24).writable((choice & 0x10U) != 0 ? kHot + choice * kBlock : kAnswer, 10);
  } else {
    const std::uint32_t split = input.byte() % 32U;
    builder.readable(kRequest, split).readable(kRequest + split, input.byte() % 32U);
    builder.add(kAnswer, input.byte() % 16U, (input.byte() & 1U) != 0 ? std::uint16_t{kWrite} : std::uint16_t{0});
  }
  rig.driver.offer(builder.build());
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  static Rig rig;
  silence_log();
  FuzzInput input(data, size);
  while (!input.empty()) {
    const std::uint8_t step = input.byte();
    if ((step & 3U) == 3U) {
      (void)rig.device->request(input.word() % 1100U);
    }
    rig.slots.refuse = (step & 0x1cU) == 0x1cU;
    const std::uint64_t plugged_before = rig.memory.plugged_bytes(kRegion);
    offer_request(rig, input);
    rig.serve();
    rig.slots.refuse = false;
    WISP_ASSERT(rig.driver.take_all_used().size() == 1);
    const std::uint64_t plugged = rig.memory.plugged_bytes(kRegion);
    WISP_ASSERT(plugged <= plugged_before || plugged <= rig.device->status().requested_size_mib * kMib);
    check(rig);
  }
  WISP_ASSERT(rig.signals.needs_reset_count == 0);
  return 0;
}
