#include <catch2/catch.hpp>

#include "tests/unit/virtio/queue_rig.h"

using namespace wisp;
using namespace wisp::fakes;

namespace {

constexpr std::uint64_t kWithEventIndex = kAllQueueFeatures | feature::kEventIndex;

/// Offers and answers one chain and publishes, `count` times.
void run_ahead(QueueRig& rig, int count) {
  for (int done = 0; done < count; ++done) {
    rig.offer_one(0);
    rig.answer_one();
    (void)rig.queue.publish();
    (void)rig.driver.take_used();
  }
}

}  // namespace

TEST_CASE("an empty queue pops nothing") {
  QueueRig rig;
  CHECK(rig.pop_empty());
  CHECK(rig.queue.in_flight_count() == 0);
}

TEST_CASE("an offered chain is popped once and comes back with its head and length") {
  QueueRig rig;
  rig.offer_one(3);

  DescriptorChain chain = rig.pop_chain();
  CHECK(chain.head() == 3);
  CHECK(rig.queue.in_flight_count() == 1);
  CHECK(rig.pop_empty());

  std::move(chain).complete(7);
  CHECK(rig.driver.take_all_used().empty());  // not before publish
  CHECK(rig.queue.publish() == Interrupt::Needed);
  CHECK(rig.driver.take_all_used() == std::vector<Used>{{3, 7}});
  CHECK(rig.queue.in_flight_count() == 0);
}

TEST_CASE("completions out of order are published together in the order of completion") {
  QueueRig rig;
  rig.offer_one(0);
  rig.offer_one(1);
  rig.offer_one(2);
  DescriptorChain first = rig.pop_chain();
  DescriptorChain second = rig.pop_chain();
  DescriptorChain third = rig.pop_chain();

  std::move(third).complete(3);
  std::move(first).complete(1);
  std::move(second).complete(2);
  (void)rig.queue.publish();

  CHECK(rig.driver.take_all_used() == std::vector<Used>{{2, 3}, {0, 1}, {1, 2}});
}

TEST_CASE("a chain that was put back is popped again") {
  QueueRig rig;
  rig.offer_one(5);
  rig.pop_chain().put_back();
  CHECK(rig.queue.in_flight_count() == 0);
  CHECK(rig.pop_chain().head() == 5);
}

TEST_CASE("a chain that is forgotten comes back with length 0 and is counted") {
  QueueRig rig;
  rig.offer_one(4);
  { const DescriptorChain forgotten = rig.pop_chain(); }
  (void)rig.queue.publish();
  CHECK(rig.driver.take_all_used() == std::vector<Used>{{4, 0}});
  CHECK(rig.queue.dropped_chain_count() == 1);
}

TEST_CASE("a moved chain ends once") {
  QueueRig rig;
  rig.offer_one(1);
  rig.offer_one(2);
  DescriptorChain chain = rig.pop_chain();
  DescriptorChain moved = std::move(chain);
  moved = rig.pop_chain();  // ends the first one
  std::move(moved).complete(9);
  (void)rig.queue.publish();
  CHECK(rig.driver.take_all_used() == std::vector<Used>{{1, 0}, {2, 9}});
}

TEST_CASE("an abandoned chain leaves no trace in the used ring") {
  QueueRig rig;
  rig.offer_one(1);
  rig.pop_chain().abandon();
  CHECK(rig.queue.publish() == Interrupt::NotNeeded);
  CHECK(rig.driver.used_index() == 0);
}

TEST_CASE("indices wrap at 2^16") {
  QueueRig rig(4);
  run_ahead(rig, 65'537);
  CHECK(rig.driver.used_index() == 1);
  rig.offer_one(2);
  rig.answer_one(5);
  (void)rig.queue.publish();
  CHECK(rig.driver.take_all_used() == std::vector<Used>{{2, 5}});
}

TEST_CASE("a full queue of heads is popped and the next one is not there") {
  QueueRig rig(4);
  rig.offer_one(0);
  rig.offer_one(1);
  rig.offer_one(2);
  rig.offer_one(3);
  rig.answer_one();
  rig.answer_one();
  rig.answer_one();
  rig.answer_one();
  CHECK(rig.pop_empty());
}

// Interrupts.

TEST_CASE("without the event index the driver's flag decides on the interrupt") {
  QueueRig rig;
  rig.offer_one(0);
  rig.answer_one();
  rig.driver.set_available_flags(1);
  CHECK(rig.queue.publish() == Interrupt::NotNeeded);

  rig.offer_one(0);
  rig.answer_one();
  rig.driver.set_available_flags(0);
  CHECK(rig.queue.publish() == Interrupt::Needed);
}

TEST_CASE("publishing nothing needs no interrupt") {
  QueueRig rig;
  CHECK(rig.queue.publish() == Interrupt::NotNeeded);
}

TEST_CASE("with the event index an interrupt comes when the used index passes the driver's event") {
  QueueRig rig(8, kWithEventIndex);
  rig.driver.set_available_flags(1);  // means nothing with the event index
  rig.driver.set_used_event(1);

  rig.offer_one(0);
  rig.answer_one();
  CHECK(rig.queue.publish() == Interrupt::NotNeeded);
  rig.offer_one(0);
  rig.answer_one();
  CHECK(rig.queue.publish() == Interrupt::Needed);
  rig.offer_one(0);
  rig.answer_one();
  CHECK(rig.queue.publish() == Interrupt::NotNeeded);
}

TEST_CASE("with the event index a batch that jumps over the event needs an interrupt") {
  QueueRig rig(8, kWithEventIndex);
  rig.driver.set_used_event(1);
  rig.offer_one(0);
  rig.offer_one(1);
  rig.offer_one(2);
  rig.answer_one();
  rig.answer_one();
  rig.answer_one();
  CHECK(rig.queue.publish() == Interrupt::Needed);
}

TEST_CASE("the event index works across the wrap of the used index") {
  QueueRig rig(8, kWithEventIndex);
  run_ahead(rig, 65'535);
  rig.driver.set_used_event(0xffff);
  rig.offer_one(0);
  rig.answer_one();
  CHECK(rig.queue.publish() == Interrupt::Needed);
  CHECK(rig.driver.used_index() == 0);
}

// Kicks.

TEST_CASE("without the event index kicks are switched off and on by the used flags") {
  QueueRig rig;
  rig.queue.disable_notifications();
  CHECK(rig.driver.used_flags() == 1);
  CHECK(rig.queue.enable_notifications() == Backlog::None);
  CHECK(rig.driver.used_flags() == 0);
}

TEST_CASE("with the event index the device asks for a kick at the next chain") {
  QueueRig rig(8, kWithEventIndex);
  rig.offer_one(0);
  rig.answer_one();
  CHECK(rig.queue.enable_notifications() == Backlog::None);
  CHECK(rig.driver.avail_event() == 1);
  CHECK(rig.driver.used_flags() == 0);
}

TEST_CASE("a chain offered while kicks were off is found when they are switched on") {
  const auto features = GENERATE(as<std::uint64_t>{}, kAllQueueFeatures, kWithEventIndex);
  QueueRig rig(8, features);
  rig.queue.disable_notifications();
  CHECK(rig.pop_empty());
  rig.offer_one(0);
  CHECK(rig.queue.enable_notifications() == Backlog::Some);
  CHECK(rig.pop_chain().head() == 0);
}

// Faults of the ring.

TEST_CASE("an available index that is further ahead than the queue is long is a fault") {
  QueueRig rig;
  rig.offer_one(0);
  rig.driver.set_available_index(GENERATE(std::uint16_t{9}, std::uint16_t{0x8000}, std::uint16_t{0xffff}));
  CHECK(rig.pop_fault() == QueueFault::AvailIndexJump);
  CHECK(rig.driver.used_index() == 0);
}

TEST_CASE("an available index that goes back is a fault") {
  QueueRig rig;
  run_ahead(rig, 3);
  rig.driver.set_available_index(2);
  CHECK(rig.pop_fault() == QueueFault::AvailIndexJump);
}

TEST_CASE("more heads waiting than are left beside those in flight are a fault") {
  QueueRig rig(4);
  rig.offer_one(0);
  rig.offer_one(1);
  DescriptorChain first = rig.pop_chain();
  DescriptorChain second = rig.pop_chain();
  rig.offer_one(2);
  rig.offer_one(3);
  rig.offer_one(0);
  CHECK(rig.pop_fault() == QueueFault::AvailIndexJump);
  std::move(first).complete(0);
  std::move(second).complete(0);
}

TEST_CASE("a head that is not below the queue size is a fault") {
  QueueRig rig;
  rig.driver.offer(GENERATE(std::uint16_t{8}, std::uint16_t{0x8000}, std::uint16_t{0xffff}));
  CHECK(rig.pop_fault() == QueueFault::HeadOutOfRange);
}

TEST_CASE("a head that the device works on and that is offered again is a fault") {
  QueueRig rig;
  rig.offer_one(2);
  DescriptorChain chain = rig.pop_chain();
  rig.driver.offer(2);
  CHECK(rig.pop_fault() == QueueFault::HeadInFlight);
  std::move(chain).complete(0);
}

TEST_CASE("a fault stays, and chains in flight can still be answered") {
  QueueRig rig;
  rig.offer_one(1);
  DescriptorChain chain = rig.pop_chain();
  rig.driver.offer(8);
  REQUIRE(rig.pop_fault() == QueueFault::HeadOutOfRange);

  rig.offer_one(2);
  CHECK(rig.pop_fault() == QueueFault::HeadOutOfRange);
  CHECK(rig.queue.fault() == QueueFault::HeadOutOfRange);
  std::move(chain).complete(6);
  (void)rig.queue.publish();
  CHECK(rig.driver.take_all_used() == std::vector<Used>{{1, 6}});
}

TEST_CASE("rings that lie on top of each other do no harm") {
  QueuePlace place;
  place.available = place.descriptors;
  place.used = place.descriptors;
  const GuestMemory memory = make_memory();
  VirtQueue queue = activate(memory, place, 8, kAllQueueFeatures);
  const GuestView guest(memory);
  guest.fill(place.descriptors, 128, 0x01);
  const PopResult popped = queue.pop();  // index 0x0101
  CHECK(std::get<QueueFault>(popped) == QueueFault::AvailIndexJump);
}
