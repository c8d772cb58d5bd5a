// Register accesses of arbitrary place, width, value and order, with rings of arbitrary content behind them. The device
// goes through its whole life on a loop thread; the input plays the vCPU. Afterwards a driver that behaves gets its
// device.
#include <cstddef>
#include <cstdint>
#include <memory>
#include <utility>

#include "tests/fakes/fake_device.h"
#include "tests/fakes/fuzz_input.h"
#include "tests/fakes/mmio_driver.h"
#include "virtio/core/mmio_transport.h"

using namespace wisp;
using namespace wisp::fakes;

namespace {

constexpr int kMaxSteps = 200;

struct Rig {
  Rig() {
    transport = loop.call([this] {
      return std::move(MmioTransport::create(std::make_unique<FakeDevice>(), memory, loop.loop())).value();
    });
  }
  ~Rig() {
    loop.call([this] { transport.reset(); });
  }
  Rig(const Rig&) = delete;
  Rig& operator=(const Rig&) = delete;

  GuestMemory memory = make_memory();
  LoopThread loop;
  std::unique_ptr<MmioTransport> transport;
};

void write_memory(const GuestView& guest, FuzzInput& input) {
  guest.put(kLowStart + input.word() % 0x4000U, input.take(8), 8);
}

/// A legal step towards a live device, so that the fuzzer gets there.
void legal_step(const MmioDriver& driver, FuzzInput& input) {
  switch (input.byte() % 4U) {
    case 0: driver.negotiate(kFeatureVersion1 | (std::uint64_t{input.byte()} << 24U)); break;
    case 1: driver.set_up_queue(input.byte() % 2U, {}, 1U << (input.byte() % 10U)); break;
    case 2: driver.go_live(); break;
    default: driver.notify(input.byte() % 3U); break;
  }
}

void step(Rig& rig, const MmioDriver& driver, FuzzInput& input) {
  const GuestView guest(rig.memory);
  const std::uint8_t choice = input.byte();
  const std::uint64_t offset =
      (choice & 0x80U) != 0 ? input.word() % kMmioWindowSizeBytes : (input.byte() & 0x3fU) * 4U;
  std::size_t width = (choice & 0x40U) != 0 ? 1 + input.byte() % 8U : 4;
  width = std::min<std::size_t>(width, kMmioWindowSizeBytes - offset);
  switch (choice % 6U) {
    case 0: (void)driver.read_wide(offset, width); break;
    case 1:
    case 2: driver.write_wide(offset, input.take(width), width); break;
    case 3: write_memory(guest, input); break;
    case 4: legal_step(driver, input); break;
    default: rig.loop.call([&] { (choice & 8U) != 0 ? rig.transport->quiesce() : rig.transport->resume(); }); break;
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  static Rig rig;
  silence_log();
  const MmioDriver driver(*rig.transport);
  driver.reset();
  FuzzInput input(data, size);
  for (int count = 0; count < kMaxSteps && !input.empty(); ++count) {
    step(rig, driver, input);
  }
  rig.loop.call([&] { rig.transport->resume(); });

  driver.reset();
  WISP_ASSERT(driver.status() == 0 && driver.interrupt_status() == 0);
  FakeQueue queue(rig.memory, {}, 8);
  queue.start_over();
  WISP_ASSERT(driver.negotiate(kFeatureVersion1) == 0xb);
  WISP_ASSERT(driver.set_up_queue(0, {}, 8) == 1);
  driver.go_live();
  queue.offer(ChainBuilder(queue, 0).writable(0x20000, 16).build());
  driver.notify(0);
  while (queue.used_index() == 0) {
    rig.loop.settle();
  }
  WISP_ASSERT(driver.status() == 0xf);
  return 0;
}
