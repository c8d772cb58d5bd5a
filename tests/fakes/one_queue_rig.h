// A device with one queue and a driver on the other side of it; no transport, one thread, a clock that the test moves.
//
//   struct Rig : OneQueueRig<RngDevice> { Rig() { adopt(RngDevice::create({}, *loop, clock)); } };
//   rig.queue.offer(ChainBuilder(rig.queue, 0).writable(kBuffer, 16).build());
//   rig.kick();
//   CHECK(rig.queue.take_used() == Used{0, 16});
#pragma once

#include <memory>
#include <utility>

#include "tests/fakes/fake_clock.h"
#include "tests/fakes/fake_device.h"
#include "tests/fakes/fake_driver.h"
#include "virtio/core/queue_config.h"
#include "virtio/core/ring_layout.h"
#include "vmm/events/event_loop.h"

namespace wisp::fakes {

template <typename Device>
struct OneQueueRig {
  static constexpr std::uint16_t kQueueSize = 16;
  static constexpr std::uint64_t kFeatures = feature::kVersion1 | feature::kIndirectDescriptors;

  OneQueueRig() : queue(memory, {}, kQueueSize) {}

  void adopt(Result<std::unique_ptr<Device>> created) {
    WISP_ASSERT(created.ok());
    device = std::move(created).value();
    device->attach(signals);
    activate();
  }
  /// The driver sets its empty queue up and sets DRIVER_OK.
  void activate(std::uint64_t features = kFeatures) {
    queue.start_over();
    activate_at(0, features);
  }
  /// The same for a queue that a restored device goes on with.
  void activate_at(std::uint16_t position, std::uint64_t features = kFeatures) {
    QueueConfig config(256);
    config.set_size(kQueueSize);
    config.set_address(QueuePart::DescriptorTable, AddressHalf::Low,
                       static_cast<std::uint32_t>(queue.place().descriptors));
    config.set_address(QueuePart::AvailableRing, AddressHalf::Low, static_cast<std::uint32_t>(queue.place().available));
    config.set_address(QueuePart::UsedRing, AddressHalf::Low, static_cast<std::uint32_t>(queue.place().used));
    WISP_ASSERT(config.make_ready(memory) == QueueConfigDefect::None);
    Activation activation{&memory, interrupt.get(), features, {}};
    activation.queues.push_back(config.activate(memory, features));
    activation.queues.front()->continue_at(position, position);
    WISP_ASSERT(device->activate(std::move(activation)).ok());
  }
  /// The driver kicks; the loop does what it would.
  void kick() {
    while (device->on_queue(0)) {
    }
  }
  /// Waits for the next event of the loop, a timer say.
  void wait_for_event() { loop->run_once(5000); }
  const GuestView& guest() const { return queue.guest(); }

  GuestMemory memory = make_memory();
  std::unique_ptr<EventLoop> loop = std::move(EventLoop::create()).value();
  std::unique_ptr<InterruptLine> interrupt = std::move(InterruptLine::create()).value();
  FakeClock clock;
  FakeSignals signals;
  FakeQueue queue;
  std::unique_ptr<Device> device;
};

}  // namespace wisp::fakes
