#include "vmm/events/event_loop.h"

#include <sys/mman.h>
#include <unistd.h>

#include <atomic>
#include <catch2/catch.hpp>
#include <thread>
#include <vector>

namespace wisp {
namespace {

/// An eventfd that counts how often it was handled; handling drains it unless told otherwise.
class Source final : public EventHandler {
 public:
  void on_event(std::uint32_t /*events*/) override {
    ++handled;
    if (drains) {
      event.drain();
    }
    if (reaction) {
      reaction();
    }
  }

  EventFd event = EventFd::create().value();
  int handled = 0;
  bool drains = true;
  std::function<void()> reaction;
};

TEST_CASE("An event fd counts signals until it is drained") {
  const EventFd event = EventFd::create().value();
  CHECK(event.drain() == 0);
  event.signal();
  event.signal();
  CHECK(event.drain() == 2);
  CHECK(event.drain() == 0);
}

TEST_CASE("An event fd that is full stays signalled and does not block") {
  const EventFd event = EventFd::create().value();
  const std::uint64_t nearly_full = ~std::uint64_t{0} - 1;
  REQUIRE(::write(event.ref().raw(), &nearly_full, sizeof(nearly_full)) == sizeof(nearly_full));
  event.signal();
  CHECK(event.drain() == nearly_full);
}

TEST_CASE("A handler runs for its descriptor, and not without an event") {
  const auto loop = EventLoop::create().value();
  Source first;
  Source second;
  REQUIRE(loop->watch(first.event.ref(), Interest::Readable, first).ok());
  REQUIRE(loop->watch(second.event.ref(), Interest::Readable, second).ok());
  first.event.signal();
  loop->run_once(0);
  loop->run_once(0);
  CHECK(first.handled == 1);
  CHECK(second.handled == 0);
}

TEST_CASE("A level-triggered handler that leaves work behind is called again, an edge-triggered one is not") {
  const auto loop = EventLoop::create().value();
  Source level;
  Source edge;
  level.drains = false;
  edge.drains = false;
  REQUIRE(loop->watch(level.event.ref(), Interest::Readable, level).ok());
  REQUIRE(loop->watch(edge.event.ref(), Interest::ReadableEdge, edge).ok());
  level.event.signal();
  edge.event.signal();
  loop->run_once(0);
  loop->run_once(0);
  CHECK(level.handled == 2);
  CHECK(edge.handled == 1);
  edge.event.signal();
  loop->run_once(0);
  CHECK(edge.handled == 2);
}

TEST_CASE("A handler removed by another handler of the same batch is not called") {
  const auto loop = EventLoop::create().value();
  auto first = std::make_unique<Source>();
  auto second = std::make_unique<Source>();
  int handled = 0;
  const auto remove = [&](std::unique_ptr<Source>& other) {
    ++handled;
    if (other) {
      loop->unwatch(other->event.ref(), *other);
      other.reset();  // a call would now be a use after free
    }
  };
  first->reaction = [&] { remove(second); };
  second->reaction = [&] { remove(first); };
  REQUIRE(loop->watch(first->event.ref(), Interest::Readable, *first).ok());
  REQUIRE(loop->watch(second->event.ref(), Interest::Readable, *second).ok());
  first->event.signal();
  second->event.signal();
  loop->run_once(0);
  loop->run_once(0);
  CHECK(handled == 1);
}

TEST_CASE("A handler may remove itself, and be watched again") {
  const auto loop = EventLoop::create().value();
  Source source;
  source.drains = false;
  source.reaction = [&] { loop->unwatch(source.event.ref(), source); };
  REQUIRE(loop->watch(source.event.ref(), Interest::Readable, source).ok());
  source.event.signal();
  loop->run_once(0);
  loop->run_once(0);
  CHECK(source.handled == 1);
  REQUIRE(loop->watch(source.event.ref(), Interest::Readable, source).ok());
  loop->run_once(0);
  CHECK(source.handled == 2);
}

TEST_CASE("Removing what is not watched is harmless") {
  const auto loop = EventLoop::create().value();
  Source source;
  loop->unwatch(source.event.ref(), source);
  loop->unwatch(FdRef(-1), source);
  source.event.signal();
  loop->run_once(0);
  CHECK(source.handled == 0);
}

TEST_CASE("More ready descriptors than one wait can take are all handled in turn") {
  const auto loop = EventLoop::create().value();
  std::vector<std::unique_ptr<Source>> sources;
  for (int count = 0; count < 100; ++count) {
    sources.push_back(std::make_unique<Source>());
    REQUIRE(loop->watch(sources.back()->event.ref(), Interest::Readable, *sources.back()).ok());
    sources.back()->event.signal();
  }
  for (int batch = 0; batch < 4; ++batch) {
    loop->run_once(0);
  }
  for (const auto& source : sources) {
    CHECK(source->handled == 1);
  }
}

TEST_CASE("Watching a regular file or the same descriptor twice is an error") {
  const auto loop = EventLoop::create().value();
  Source source;
  const Fd file(::memfd_create("file", MFD_CLOEXEC));
  CHECK_FALSE(loop->watch(file.ref(), Interest::Readable, source).ok());
  REQUIRE(loop->watch(source.event.ref(), Interest::Readable, source).ok());
  CHECK_FALSE(loop->watch(source.event.ref(), Interest::Readable, source).ok());
}

TEST_CASE("Posted tasks run in the order of posting, on the loop's turn") {
  const auto loop = EventLoop::create().value();
  std::vector<int> order;
  for (int number = 0; number < 5; ++number) {
    loop->post([&order, number] { order.push_back(number); });
  }
  CHECK(order.empty());
  loop->run_once(0);
  CHECK(order == std::vector<int>{0, 1, 2, 3, 4});
}

TEST_CASE("A task posted by a task runs later, after those that were there before") {
  const auto loop = EventLoop::create().value();
  std::vector<int> order;
  loop->post([&] {
    order.push_back(1);
    loop->post([&] { order.push_back(3); });
  });
  loop->post([&] { order.push_back(2); });
  loop->run_once(0);
  CHECK(order == std::vector<int>{1, 2});
  loop->run_once(0);
  CHECK(order == std::vector<int>{1, 2, 3});
}

TEST_CASE("Tasks from several threads all run, each thread's in its order") {
  const auto loop = EventLoop::create().value();
  constexpr int kThreads = 4;
  constexpr int kTasks = 500;
  std::vector<std::vector<int>> seen(kThreads);
  std::vector<std::thread> threads;
  for (int index = 0; index < kThreads; ++index) {
    threads.emplace_back([&, index] {
      for (int number = 0; number < kTasks; ++number) {
        loop->post([&seen, index, number] { seen[static_cast<std::size_t>(index)].push_back(number); });
      }
    });
  }
  std::size_t total = 0;
  while (total < kThreads * kTasks) {
    loop->run_once(-1);
    total = 0;
    for (const auto& numbers : seen) {
      total += numbers.size();
    }
  }
  for (std::thread& thread : threads) {
    thread.join();
  }
  for (const auto& numbers : seen) {
    CHECK(std::is_sorted(numbers.begin(), numbers.end()));
    CHECK(numbers.size() == kTasks);
  }
}

TEST_CASE("stop from another thread ends run, after the tasks posted before it") {
  const auto loop = EventLoop::create().value();
  bool ran = false;
  std::thread other([&] {
    loop->post([&] { ran = true; });
    loop->stop();
  });
  loop->run();
  other.join();
  CHECK(ran);
}

TEST_CASE("run returns at once after stop") {
  const auto loop = EventLoop::create().value();
  loop->stop();
  loop->run();
  CHECK(true);
}

}  // namespace
}  // namespace wisp
