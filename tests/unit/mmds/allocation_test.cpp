// What the metadata service allocates, and for whom. Frames are data path: a guest sends them at any rate, so none of
// them allocates. A whole HTTP request is not: it makes its answer's head, and finds its value, in strings; at most
// kMaxPerRequest, all of them gone when the answer has been acknowledged.
#include "tests/fakes/counted_new.h"
#include "tests/unit/mmds/mmds_rig.h"

namespace wisp::mmds::test {
namespace {

constexpr std::uint64_t kMaxPerRequest = 32;

/// Allocations of the service alone: the test's frames are made before, its replies looked at after.
class Counted {
 public:
  explicit Counted(Rig& rig) : rig_(rig) {}
  std::uint64_t give(const Bytes& frame) {
    const std::uint64_t before = fakes::allocation_count;
    rig_.endpoint->receive(frame);
    return fakes::allocation_count - before;
  }
  std::uint64_t take() {
    const std::uint64_t before = fakes::allocation_count;
    while (rig_.endpoint->next_reply(place_) > 0) {
    }
    return fakes::allocation_count - before;
  }

 private:
  Rig& rig_;
  Bytes place_ = Bytes(kMaxDetourFrameBytes);
};

}  // namespace

TEST_CASE("mmds: no allocation for handshakes, floods, scans, broken frames, acknowledgements and time") {
  Rig rig;
  REQUIRE(rig.store.put(R"({"name":"wisp"})").ok());
  Counted counted(rig);
  std::uint64_t allocated = 0;
  for (std::uint16_t port = 1000; port < 1200; ++port) {
    Sent syn;
    syn.port = port;
    syn.sequence = 5;
    syn.flags = kSyn;
    allocated += counted.give(frame_of(syn));
    syn.to_port = 81;  // a scan
    allocated += counted.give(frame_of(syn));
    Bytes broken = frame_of(syn);
    broken.resize(broken.size() - 7);
    allocated += counted.give(broken);
    if (port % 16 == 0) {
      allocated += counted.take();
    }
    rig.clock.now += 700 * kMs;
    const std::uint64_t before = fakes::allocation_count;
    rig.endpoint->on_time();
    allocated += fakes::allocation_count - before;
  }
  CHECK(allocated == 0);
  CHECK(rig.metrics.connections_created.total() > 30);
  CHECK(fakes::allocation_count > 0);  // the counter counts
}

TEST_CASE("mmds: a request costs a bounded number of allocations, a part of one or a repeated one costs none") {
  Rig rig;
  REQUIRE(rig.store.put(R"({"name":"wisp"})").ok());
  Client client(rig);
  client.connect();
  Counted counted(rig);
  const std::string request = get("/name", "Accept: application/json\r\n");
  CHECK(counted.give(frame_of(client.segment(kAck | kPsh, request.substr(0, 10)))) == 0);
  client.next += 10;
  const Bytes rest = frame_of(client.segment(kAck | kPsh, request.substr(10)));
  const std::uint64_t whole = counted.give(rest);
  CHECK(whole > 0);
  CHECK(whole <= kMaxPerRequest);
  CHECK(counted.give(rest) == 0);
  CHECK(counted.take() == 0);
}

}  // namespace wisp::mmds::test
