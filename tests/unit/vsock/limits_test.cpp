// What is bounded: resets, silent programs, descriptors, time, ports; and rings that break.
#include <catch2/catch.hpp>

#include <sys/resource.h>

#include "tests/unit/vsock/vsock_rig.h"

using namespace wisp;
using namespace wisp::fakes;

namespace {

constexpr std::uint64_t kNsPerSecond = 1'000'000'000;

/// While it lives the process cannot open another descriptor.
class NoDescriptorsLeft {
 public:
  NoDescriptorsLeft() {
    WISP_ASSERT(::getrlimit(RLIMIT_NOFILE, &before_) == 0);
    const Fd lowest_free(::dup(0));
    const rlimit tight{static_cast<rlim_t>(lowest_free.raw()), before_.rlim_max};
    WISP_ASSERT(::setrlimit(RLIMIT_NOFILE, &tight) == 0);
  }
  ~NoDescriptorsLeft() { WISP_ASSERT(::setrlimit(RLIMIT_NOFILE, &before_) == 0); }
  NoDescriptorsLeft(const NoDescriptorsLeft&) = delete;
  NoDescriptorsLeft& operator=(const NoDescriptorsLeft&) = delete;

 private:
  rlimit before_{};
};

/// A device whose next host port is the one behind `port`.
void continue_behind(VsockRig& rig, std::uint32_t port) {
  StateWriter out;
  out.u64(3);
  out.boolean(false);
  out.u32(port);
  StateReader in("vsock", out.data());
  rig.device->reset();
  REQUIRE(rig.device->restore(in).ok());
  for (FakeQueue* queue : {&rig.rx, &rig.tx, &rig.event}) {
    queue->start_over();
  }
  rig.activate(*rig.device, VsockRig::kFeatures);
  rig.post_rx(16);
}

}  // namespace

TEST_CASE("V-04 vsock: a storm of packets for nobody waits for receive buffers, then every one is answered in order") {
  VsockRig rig;
  constexpr std::uint32_t kStorm = 140;
  for (std::uint32_t port = 0; port < kStorm; ++port) {
    rig.send({.src_port = port, .dst_port = 9, .op = kOpRw});
  }
  REQUIRE(rig.tx.used_index() == kMaxOrphanResets);
  REQUIRE(rig.host_side_is_quiet());
  // The chains share descriptors, so those that wait show the last packet.
  for (std::uint32_t answered = 0; answered < kStorm; ++answered) {
    rig.post_rx(1);
    const auto answer = rig.take();
    REQUIRE(answer.has_value());
    CHECK(answer->op == kOpRst);
    CHECK(answer->dst_port == (answered < kMaxOrphanResets ? answered : kStorm - 1));
  }
  CHECK(rig.tx.used_index() == kStorm);
  rig.post_rx(1);
  CHECK_FALSE(rig.take().has_value());
}

TEST_CASE("vsock: of clients that say nothing 64 may wait, one more ends the oldest, and all end after a minute") {
  VsockRig rig;
  std::vector<Fd> clients;
  for (std::size_t count = 0; count < kMaxPendingClients; ++count) {
    clients.push_back(connect_client(rig.path()));
    rig.turn();
    rig.clock.now += 1'000'000;
  }
  CHECK(hear(clients[0]) == "");
  clients.push_back(connect_client(rig.path()));
  rig.turn();
  CHECK_FALSE(hear(clients[0]).has_value());
  CHECK(hear(clients[1]) == "");
  rig.clock.now += 61 * kNsPerSecond;
  rig.kick(0);
  for (const Fd& client : clients) {
    CHECK_FALSE(hear(client).has_value());
  }
  CHECK(rig.device->connection_count() == 0);
}

TEST_CASE(
    "vsock: clients that wait do not take the place of connections, nor do they outlive their minute by talking") {
  VsockRig rig;
  const Fd client = connect_client(rig.path());
  say(client, "CONN");
  rig.turn();
  rig.clock.now += 59 * kNsPerSecond;
  say(client, "ECT");
  rig.turn();
  CHECK(hear(client) == "");
  rig.clock.now += 2 * kNsPerSecond;
  rig.kick(0);
  CHECK_FALSE(hear(client).has_value());
}

TEST_CASE(
    "V-09 vsock: without descriptors a client waits, the loop does not spin, and it is taken half a second later") {
  VsockRig rig;
  rig.post_rx(4);
  const Fd client = connect_client(rig.path());
  say(client, "CONNECT 52\n");
  {
    const NoDescriptorsLeft none_left;
    rig.turn();
    CHECK(rig.host_side_is_quiet());
    CHECK(rig.device->metrics().muxer_event_fails.total() == 1);
    // The guest's connection fails alone.
    rig.send({.src_port = 5, .dst_port = 1, .op = kOpRequest});
    CHECK(rig.take()->op == kOpRst);
  }
  rig.turn();
  CHECK_FALSE(rig.take().has_value());
  rig.clock.now += 500'000'000;
  rig.kick(0);
  const auto request = rig.take();
  REQUIRE(request.has_value());
  CHECK(request->op == kOpRequest);
}

TEST_CASE("vsock: a guest that does not answer the end of a stream gets a RST two seconds later") {
  VsockRig rig;
  rig.post_rx(8);
  const Fd listener = listen_at(rig.path(1));
  Fd host = rig.open_from_guest(listener, 5);
  host.reset();
  rig.turn();
  const auto bye = rig.take();
  REQUIRE(bye.has_value());
  CHECK(bye->op == kOpShutdown);
  CHECK(bye->flags == 3);
  rig.clock.now += 2 * kNsPerSecond - 1;
  rig.kick(0);
  CHECK(rig.device->connection_count() == 1);
  CHECK_FALSE(rig.take().has_value());
  rig.clock.now += 1;
  rig.kick(0);
  CHECK(rig.take()->op == kOpRst);
  CHECK(rig.device->connection_count() == 0);
}

TEST_CASE("vsock: a guest that ends a stream whose program stands still gets its RST in two seconds, the program all") {
  VsockRig rig;
  rig.post_rx(16);
  const Fd listener = listen_at(rig.path(1));
  const Fd host = rig.open_from_guest(listener, 5);
  Packet packet{.src_port = 5, .dst_port = 1, .op = kOpRw};
  std::size_t sent = 0;
  std::uint32_t forwarded = 0;
  while (sent + 4096 - forwarded <= 65536) {
    packet.data.assign(4096, static_cast<char>('a' + sent / 4096 % 26));
    rig.send(packet);
    sent += 4096;
    while (const auto got = rig.take()) {
      forwarded = got->fwd_cnt;
      rig.post_rx(1);
    }
    REQUIRE(sent < (8U << 20U));
  }
  rig.send({.src_port = 5, .dst_port = 1, .op = kOpShutdown, .flags = 3});
  rig.clock.now += 2 * kNsPerSecond - 1;
  rig.kick(0);
  CHECK_FALSE(rig.take().has_value());
  rig.clock.now += 1;
  rig.kick(0);
  CHECK(rig.take()->op == kOpRst);
  CHECK_FALSE(rig.take().has_value());
  SECTION("it reads, and the connection is over") {
    std::size_t got = 0;
    while (const auto bytes = hear(host, 10'000)) {
      REQUIRE_FALSE(bytes->empty());
      for (const char byte : *bytes) {
        REQUIRE(byte == static_cast<char>('a' + got++ / 4096 % 26));
      }
      rig.turn();
    }
    CHECK(got == sent);
    CHECK(rig.device->connection_count() == 0);
  }
  SECTION("it does not read for half a minute, and is disconnected") {
    rig.clock.now += 30 * kNsPerSecond;
    rig.kick(0);
    CHECK(rig.device->connection_count() == 0);
  }
}

TEST_CASE("vsock: a broken ring disconnects every program once, and the device works after a reset") {
  const std::size_t broken = GENERATE(0U, 1U);
  VsockRig rig;
  rig.post_rx(2);
  const Fd listener = listen_at(rig.path(1));
  const Fd host = rig.open_from_guest(listener, 5);
  Packet seen;
  const Fd client = rig.request(seen);
  const Fd silent = connect_client(rig.path());
  rig.turn();
  say(host, "x");  // something for the guest, so that its queue is looked at
  FakeQueue& queue = broken == 0 ? rig.rx : rig.tx;
  queue.set_available_index(static_cast<std::uint16_t>(queue.available_index() + 17));
  rig.kick(broken);
  CHECK(rig.needs_reset_count == 1);
  for (const Fd* fd : {&host, &client, &silent}) {
    CHECK_FALSE(hear(*fd).has_value());
  }
  CHECK(rig.device->connection_count() == 0);
  const Fd late = connect_client(rig.path());
  say(late, "CONNECT 52\n");
  rig.kick(0);
  rig.kick(1);
  CHECK(rig.needs_reset_count == 1);
  rig.restart();
  rig.post_rx(4);
  const auto request = rig.take();
  REQUIRE(request.has_value());
  CHECK(request->op == kOpRequest);  // who came meanwhile has waited
}

TEST_CASE("vsock: host ports go round, and one that the guest has chosen is passed over") {
  VsockRig rig;
  continue_behind(rig, kEndHostPort - 2);
  Packet seen;
  const Fd first = rig.request(seen);
  CHECK(seen.src_port == kEndHostPort - 1);
  const Fd listener = listen_at(rig.path(kFirstHostPort));
  const Fd taken = rig.open_from_guest(listener, 5, kFirstHostPort);
  const Fd second = rig.request(seen);
  CHECK(seen.src_port == kFirstHostPort + 1);
}
