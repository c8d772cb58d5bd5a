// A transport with a counting device, on a loop thread, as in the monitor: the test is the vCPU.
#pragma once

#include <memory>
#include <utility>

#include "tests/fakes/fake_device.h"
#include "tests/fakes/mmio_driver.h"
#include "virtio/core/mmio_transport.h"

namespace wisp::fakes {

struct TransportRig {
  explicit TransportRig(std::unique_ptr<FakeDevice> made = std::make_unique<FakeDevice>())
      : device(made.get()), transport(make_transport(std::move(made))), driver(*transport), queue(memory, {}, 8) {}
  ~TransportRig() {
    loop.call([this] { transport.reset(); });
  }
  TransportRig(const TransportRig&) = delete;
  TransportRig& operator=(const TransportRig&) = delete;

  /// A driver's whole initialisation with queue 0; returns when the device has been activated.
  void start(std::uint64_t features = kFeatureVersion1) {
    queue.start_over();
    driver.negotiate(features);
    driver.set_up_queue(0, {}, 8);
    driver.go_live();
    loop.settle();
  }
  void offer_and_kick(std::uint16_t head) {
    queue.offer(ChainBuilder(queue, head).writable(0x20000, 16).build());
    driver.notify(0);
    loop.settle();
  }

  GuestMemory memory = make_memory();
  LoopThread loop;
  FakeDevice* device;
  std::unique_ptr<MmioTransport> transport;
  MmioDriver driver;
  FakeQueue queue;

 private:
  std::unique_ptr<MmioTransport> make_transport(std::unique_ptr<FakeDevice> made) {
    auto created = loop.call([&] { return MmioTransport::create(std::move(made), memory, loop.loop()); });
    WISP_ASSERT(created.ok());
    return std::move(created).value();
  }
};

}  // namespace wisp::fakes
