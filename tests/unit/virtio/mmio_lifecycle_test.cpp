// Activation, kicks, broken rings, reset and pause, across the two threads.
#include <catch2/catch.hpp>

#include <unistd.h>

#include <atomic>
#include <thread>

#include "tests/unit/virtio/transport_rig.h"

using namespace wisp;
using namespace wisp::fakes;

TEST_CASE("a driver that goes live gets its device activated with the ready queues only") {
  TransportRig rig;
  rig.start();
  CHECK(rig.device->activations == 1);
  CHECK(rig.device->queues.size() == 2);
  CHECK(rig.device->queues[0].has_value());
  CHECK_FALSE(rig.device->queues[1].has_value());
}

TEST_CASE("a chain that is offered and kicked comes back with an interrupt") {
  TransportRig rig;
  rig.start();
  rig.offer_and_kick(3);
  CHECK(rig.queue.take_all_used() == std::vector<Used>{{3, 0}});
  CHECK(rig.driver.interrupt_status() == 1);
  CHECK(is_signalled(rig.transport->interrupt_event()));
}

TEST_CASE("a kick before DRIVER_OK is not lost") {
  TransportRig rig;
  rig.driver.negotiate(kFeatureVersion1);
  rig.driver.set_up_queue(0, {}, 8);
  rig.offer_and_kick(2);
  CHECK(rig.queue.take_all_used().empty());
  rig.driver.go_live();
  rig.loop.settle();
  CHECK(rig.queue.take_all_used() == std::vector<Used>{{2, 0}});
}

TEST_CASE("work without any kick is found when the device goes live") {
  TransportRig rig;
  rig.driver.negotiate(kFeatureVersion1);
  rig.driver.set_up_queue(0, {}, 8);
  rig.queue.offer(ChainBuilder(rig.queue, 0).writable(0x20000, 1).build());
  rig.driver.go_live();
  rig.loop.settle();
  CHECK(rig.queue.take_all_used().size() == 1);
}

TEST_CASE("a kick of a queue that was not made ready reaches nobody") {
  TransportRig rig;
  rig.start();
  const int kicks = rig.device->kicks;
  rig.driver.notify(1);
  rig.loop.settle();
  CHECK(rig.device->kicks == kicks);
}

TEST_CASE("a device that leaves work behind is called again") {
  TransportRig rig;
  rig.start();
  const int kicks = rig.device->kicks;
  rig.device->left_behind = 5;
  rig.driver.notify(0);
  rig.loop.settle();
  rig.loop.settle();
  CHECK(rig.device->kicks == kicks + 6);
}

TEST_CASE("a device that cannot go live asks for a reset, and works after one") {
  TransportRig rig;
  rig.device->refuse_activation = true;
  rig.start();
  CHECK(rig.driver.status() == 0x4f);
  CHECK(rig.driver.interrupt_status() == 2);
  rig.device->refuse_activation = false;
  rig.start();
  CHECK(rig.driver.status() == 0xf);
  rig.offer_and_kick(0);
  CHECK(rig.queue.take_all_used().size() == 1);
}

namespace {

struct RingBreak {
  const char* name;
  void (*apply)(FakeQueue&);
};

const RingBreak kRingBreaks[] = {
    {"index jumps", [](FakeQueue& queue) { queue.set_available_index(100); }},
    {"index goes back", [](FakeQueue& queue) { queue.set_available_index(0xffff); }},
    {"head out of range", [](FakeQueue& queue) { queue.offer(8); }},
    {"next out of range",
     [](FakeQueue& queue) {
       queue.put_descriptor(0, 0x20000, 16, kNext, 8);
       queue.offer(0);
     }},
    {"loop",
     [](FakeQueue& queue) {
       queue.put_descriptor(0, 0x20000, 16, kNext, 0);
       queue.offer(0);
     }},
    {"indirect not negotiated",
     [](FakeQueue& queue) {
       queue.put_descriptor(0, 0x20000, 16, kIndirect, 0);
       queue.offer(0);
     }},
};

const RingBreak kIndirectBreaks[] = {
    {"nested indirect",
     [](FakeQueue& queue) {
       queue.put_descriptor_at(0x20000, 0x20100, 16, kIndirect, 0);
       queue.put_descriptor(0, 0x20000, 16, kIndirect, 0);
       queue.offer(0);
     }},
    {"indirect with next",
     [](FakeQueue& queue) {
       queue.put_descriptor(0, 0x20000, 16, kIndirect | kNext, 1);
       queue.offer(0);
     }},
    {"indirect table length",
     [](FakeQueue& queue) {
       queue.put_descriptor(0, 0x20000, 24, kIndirect, 0);
       queue.offer(0);
     }},
};

void check_break_and_recovery(const RingBreak& ring_break, std::uint64_t features) {
  INFO(ring_break.name);
  TransportRig rig;
  rig.start(features);
  ring_break.apply(rig.queue);
  rig.driver.notify(0);
  rig.loop.settle();

  CHECK(rig.driver.status() == 0x4f);
  CHECK(rig.driver.interrupt_status() == 2);
  CHECK(rig.queue.used_index() == 0);

  rig.driver.reset();
  CHECK(rig.driver.status() == 0);
  CHECK(rig.driver.interrupt_status() == 0);
  rig.start(features);
  rig.offer_and_kick(1);
  CHECK(rig.driver.status() == 0xf);
  CHECK(rig.queue.take_all_used() == std::vector<Used>{{1, 0}});
}

}  // namespace

TEST_CASE("a broken ring asks for a reset, and works after one") {
  const auto index = GENERATE(range(std::size_t{0}, std::size(kRingBreaks)));
  check_break_and_recovery(kRingBreaks[index], kFeatureVersion1);
}

TEST_CASE("a broken indirect table asks for a reset, and works after one") {
  const auto index = GENERATE(range(std::size_t{0}, std::size(kIndirectBreaks)));
  check_break_and_recovery(kIndirectBreaks[index], kFeatureVersion1 | kFeatureIndirect);
}

TEST_CASE("a broken queue leaves the other queue of the device alone") {
  TransportRig rig;
  QueuePlace second;
  second.descriptors = 0x80000;
  second.available = 0x82000;
  second.used = 0x83000;
  FakeQueue other(rig.memory, second, 8);
  rig.driver.negotiate(kFeatureVersion1);
  rig.driver.set_up_queue(0, {}, 8);
  rig.driver.set_up_queue(1, second, 8);
  rig.driver.go_live();
  rig.queue.offer(9);
  rig.driver.notify(0);
  rig.loop.settle();
  REQUIRE(rig.driver.status() == 0x4f);

  other.offer(ChainBuilder(other, 0).writable(0x20000, 1).build());
  rig.driver.notify(1);
  rig.loop.settle();
  CHECK(other.take_all_used().size() == 1);
}

// Reset.

TEST_CASE("a reset of a device that never went live does not bother it") {
  TransportRig rig;
  rig.driver.negotiate(kFeatureVersion1);
  rig.driver.reset();
  CHECK(rig.driver.status() == 0);
  CHECK(rig.device->resets == 0);
}

TEST_CASE("a reset forgets the queues, the interrupt and the device's life") {
  TransportRig rig;
  rig.start();
  rig.offer_and_kick(0);
  rig.driver.reset();
  CHECK(rig.driver.status() == 0);
  CHECK(rig.driver.interrupt_status() == 0);
  CHECK(rig.driver.read(0x44) == 0);
  CHECK(rig.device->resets == 1);
  CHECK(rig.device->queues.empty());
}

TEST_CASE("a reset returns only when nothing is in flight any more, and the loop goes on meanwhile") {
  TransportRig rig;
  rig.start();
  rig.device->in_flight = 1;
  std::atomic<bool> returned = false;
  std::thread vcpu([&] {
    rig.driver.reset();
    returned = true;
  });
  rig.loop.call([&] {});
  while (rig.device->quiesces == 0) {
    rig.loop.settle();  // the loop is free while the vCPU waits
  }
  CHECK_FALSE(returned);
  CHECK(rig.device->resets == 0);

  rig.loop.call([&] {
    rig.device->in_flight = 0;
    rig.device->signals->drained();
  });
  vcpu.join();
  CHECK(returned);
  CHECK(rig.device->resets == 1);
}

TEST_CASE("interrupt registers answer while another vCPU waits for a reset") {
  TransportRig rig;
  rig.start();
  rig.device->in_flight = 1;
  std::thread vcpu([&] { rig.driver.reset(); });
  while (rig.device->quiesces == 0) {
    rig.loop.settle();
  }
  CHECK(rig.driver.interrupt_status() == 0);
  rig.driver.acknowledge(3);
  rig.loop.call([&] {
    rig.device->in_flight = 0;
    rig.device->signals->drained();
  });
  vcpu.join();
  CHECK(rig.device->resets == 1);
}

TEST_CASE("a reset right behind DRIVER_OK leaves the device inactive") {
  TransportRig rig;
  rig.driver.negotiate(kFeatureVersion1);
  rig.driver.set_up_queue(0, {}, 8);
  rig.driver.go_live();
  rig.driver.reset();
  rig.loop.settle();
  CHECK(rig.device->queues.empty());
  CHECK(rig.device->activations <= 1);
  CHECK(rig.device->resets == 1);
}

TEST_CASE("a hundred resets and re-initialisations work") {
  TransportRig rig;
  int answered = 0;
  for (int round = 0; round < 100; ++round) {
    rig.start();
    rig.offer_and_kick(static_cast<std::uint16_t>(round % 8));
    answered += static_cast<int>(rig.queue.take_all_used().size());
  }
  CHECK(answered == 100);
  CHECK(rig.driver.status() == 0xf);
}

// Pause.

TEST_CASE("a quiesced device is not kicked, and finds the work when it resumes") {
  TransportRig rig;
  rig.start();
  rig.loop.call([&] { rig.transport->quiesce(); });
  CHECK(rig.device->quiesces == 1);
  rig.offer_and_kick(4);
  CHECK(rig.queue.take_all_used().empty());

  rig.loop.call([&] { rig.transport->resume(); });
  rig.loop.settle();
  CHECK(rig.device->resumes == 1);
  CHECK(rig.queue.take_all_used() == std::vector<Used>{{4, 0}});
}

TEST_CASE("quiescing delivers an activation that was still on its way") {
  TransportRig rig;
  rig.driver.negotiate(kFeatureVersion1);
  rig.driver.set_up_queue(0, {}, 8);
  rig.loop.call([&] {
    rig.driver.go_live();  // on the loop's thread: its event cannot have been handled
    rig.transport->quiesce();
  });
  CHECK(rig.device->activations == 1);
  CHECK(rig.device->quiesces == 1);
}

TEST_CASE("quiescing and resuming twice is like once") {
  TransportRig rig;
  rig.start();
  rig.loop.call([&] {
    rig.transport->quiesce();
    rig.transport->quiesce();
    rig.transport->resume();
    rig.transport->resume();
  });
  CHECK(rig.device->quiesces == 1);
  CHECK(rig.device->resumes == 1);
}

TEST_CASE("a device that is not live is paused without being touched") {
  TransportRig rig;
  rig.loop.call([&] {
    rig.transport->quiesce();
    rig.transport->resume();
  });
  CHECK(rig.device->quiesces == 0);
  CHECK(rig.device->resumes == 0);
}

TEST_CASE("the drain listener hears when the last request has ended") {
  TransportRig rig;
  rig.start();
  rig.device->in_flight = 2;
  int heard = 0;
  rig.loop.call([&] {
    rig.transport->set_drain_listener([&] { ++heard; });
    rig.transport->quiesce();
  });
  CHECK(heard == 0);
  CHECK(rig.loop.call([&] { return rig.transport->in_flight_count(); }) == 2);
  rig.loop.call([&] {
    rig.device->in_flight = 0;
    rig.device->signals->drained();
  });
  rig.loop.settle();
  CHECK(heard == 1);
}

TEST_CASE("an interrupt that the guest has not seen is signalled again on resume") {
  TransportRig rig;
  rig.start();
  rig.offer_and_kick(0);
  rig.loop.call([&] { rig.transport->quiesce(); });
  std::uint64_t taken = 0;
  REQUIRE(::read(rig.transport->interrupt_event().raw(), &taken, sizeof(taken)) == sizeof(taken));
  rig.loop.call([&] { rig.transport->resume(); });
  CHECK(is_signalled(rig.transport->interrupt_event()));
}
