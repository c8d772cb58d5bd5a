#include <catch2/catch.hpp>

#include <sys/resource.h>

#include <algorithm>

#include "tests/unit/vsock/vsock_rig.h"

using namespace wisp;
using namespace wisp::fakes;

TEST_CASE("vsock: a host program connects, is told OK, and bytes go both ways; early bytes are not lost") {
  VsockRig rig;
  rig.post_rx(8);
  Packet seen;
  const Fd client = rig.request(seen, "cOnNeCt 52\nearly");
  CHECK(seen.dst_port == 52);
  CHECK(seen.src_port >= (1U << 30U));
  rig.send(rig.answer_to(seen, kOpResponse));
  CHECK(hear(client) == "OK " + std::to_string(seen.src_port) + "\n");
  const auto early = rig.take();
  REQUIRE(early.has_value());
  CHECK(early->data == "early");
  Packet data = rig.answer_to(seen, kOpRw);
  data.data = "hello";
  rig.send(data);
  CHECK(hear(client) == "hello");
}

TEST_CASE("vsock: a CONNECT line that arrives byte by byte works, malformed ones close the socket") {
  VsockRig rig;
  rig.post_rx(8);
  const Fd client = connect_client(rig.path());
  for (const char byte : std::string("CONNECT 7\n")) {
    CHECK_FALSE(rig.take().has_value());
    say(client, std::string(1, byte));
    rig.turn();
  }
  const auto request = rig.take();
  REQUIRE(request.has_value());
  CHECK(request->dst_port == 7);
  for (const char* line : {"CONNECT\n", "CONNECT x\n", "CONNECT 4294967296\n", "HELLO 5\n", "CONNECT 1 2\n", "\n",
                           "CONNECT 00000000000000000000000000000001"}) {
    const Fd bad = connect_client(rig.path());
    say(bad, line);
    rig.turn();
    CHECK_FALSE(hear(bad).has_value());
    CHECK_FALSE(rig.take().has_value());
  }
}

TEST_CASE("vsock: a guest that never answers a request loses the client after two seconds and gets a RST") {
  VsockRig rig;
  rig.post_rx(8);
  Packet seen;
  const Fd client = rig.request(seen);
  rig.clock.now += 1'999'000'000;
  rig.kick(1);
  CHECK(hear(client) == "");
  rig.clock.now += 2'000'000;
  rig.kick(1);
  CHECK_FALSE(hear(client).has_value());
  CHECK(rig.take()->op == kOpRst);
  CHECK(rig.device->connection_count() == 0);
}

TEST_CASE("vsock: the guest reaches a host listener, and a port without one is answered with RST") {
  VsockRig rig;
  rig.post_rx(8);
  const Fd listener = listen_at(rig.path(1234));
  Packet request{.src_port = 99, .dst_port = 1234, .op = kOpRequest};
  rig.send(request);
  CHECK(rig.take()->op == kOpResponse);
  const Fd host(::accept4(listener.raw(), nullptr, nullptr, SOCK_CLOEXEC));
  say(host, "from host");
  rig.turn();
  CHECK(rig.take()->data == "from host");
  request.dst_port = 1235;
  rig.send(request);
  CHECK(rig.take()->op == kOpRst);
}

TEST_CASE("V-03 V-04 V-08 vsock: hostile packets come back, are refused and leave the device alive") {
  VsockRig rig;
  rig.post_rx(16);
  const Fd listener = listen_at(rig.path(1));
  const Packet good{.src_port = 5, .dst_port = 1, .op = kOpRequest};
  const auto refused = [&](const Packet& packet) {
    rig.send(packet);
    const auto answer = rig.take();
    REQUIRE(answer.has_value());
    CHECK(answer->op == kOpRst);
    CHECK(rig.device->connection_count() == 0);
  };
  Packet packet = good;
  SECTION("foreign source CID") {
    packet.src_cid = 4;
    refused(packet);
  }
  SECTION("other destination CID") {
    packet.dst_cid = 5;
    refused(packet);
  }
  SECTION("CID with upper bits set") {
    packet.src_cid |= std::uint64_t{1} << 32U;
    refused(packet);
  }
  SECTION("unknown type") {
    packet.type = 9;
    refused(packet);
  }
  SECTION("unknown operation") {
    packet.op = 77;
    refused(packet);
  }
  SECTION("data for nobody") {
    packet.op = kOpRw;
    packet.data = "x";
    refused(packet);
  }
  SECTION("a RST is never answered") {
    packet.op = kOpRst;
    rig.send(packet);
    CHECK_FALSE(rig.take().has_value());
  }
  SECTION("short header") {
    rig.send(packet, 0, 43);
    CHECK_FALSE(rig.take().has_value());
  }
  SECTION("second request on a live connection") {
    rig.send(packet);
    CHECK(rig.take()->op == kOpResponse);
    refused(packet);
  }
  SECTION("length beyond the chain, and beyond 64 KiB, end the connection") {
    for (const std::uint32_t claimed : {2U, 0x10001U, 0xffffffffU}) {
      rig.send(good);
      CHECK(rig.take()->op == kOpResponse);
      packet.op = kOpRw;
      packet.data = "x";
      rig.send(packet, claimed);
      CHECK(rig.take()->op == kOpRst);
    }
  }
  CHECK(rig.needs_reset_count == 0);
  CHECK(rig.tx.used_index() == rig.tx.available_index());
}

namespace {

/// Raises the limit of open files as far as the hard limit lets it.
bool can_open_files(rlim_t count) {
  rlimit limit{};
  WISP_ASSERT(::getrlimit(RLIMIT_NOFILE, &limit) == 0);
  if (limit.rlim_cur < count) {
    limit.rlim_cur = std::min(count, limit.rlim_max);
    WISP_ASSERT(::setrlimit(RLIMIT_NOFILE, &limit) == 0);
  }
  return limit.rlim_cur >= count;
}

}  // namespace

TEST_CASE("V-05 vsock: 1023 connections live, the 1024th is refused, a freed place is used again") {
  constexpr rlim_t kFilesNeeded = 1023 + 100;
  if (!can_open_files(kFilesNeeded)) {
    WARN("SKIP: the hard limit on open files (RLIMIT_NOFILE) is below " << kFilesNeeded);
    return;
  }
  VsockRig rig;
  const Fd listener = listen_at(rig.path(1));
  Packet packet{.dst_port = 1, .op = kOpRequest};
  for (std::uint32_t port = 1; port <= 1023; ++port) {
    rig.post_rx(1);
    packet.src_port = port;
    rig.send(packet);
    REQUIRE(rig.take()->op == kOpResponse);
  }
  rig.post_rx(2);
  packet.src_port = 1024;
  rig.send(packet);
  CHECK(rig.take()->op == kOpRst);
  CHECK(rig.device->connection_count() == 1023);
  packet.src_port = 7;
  packet.op = kOpRst;
  rig.send(packet);
  packet.op = kOpRequest;
  rig.send(packet);
  CHECK(rig.take()->op == kOpResponse);
}

TEST_CASE("vsock: a slow host reader gets every byte, credit returns only as it reads, overrunning is a RST") {
  VsockRig rig;
  rig.post_rx(16);
  const Fd listener = listen_at(rig.path(1));
  Packet packet{.src_port = 5, .dst_port = 1, .op = kOpRequest};
  rig.send(packet);
  CHECK(rig.take()->buf_alloc == 65536);
  const Fd host(::accept4(listener.raw(), nullptr, nullptr, SOCK_CLOEXEC));
  packet.op = kOpRw;
  std::string all;
  std::uint32_t forwarded = 0;
  const auto drain_rx = [&] {
    while (const auto got = rig.take()) {
      CHECK(got->op == kOpCredit);
      forwarded = got->fwd_cnt;
      rig.post_rx(1);
    }
  };
  while (all.size() + 4096 - forwarded <= 65536) {
    packet.data.assign(4096, static_cast<char>('a' + all.size() / 4096 % 26));
    all += packet.data;
    rig.send(packet);
    drain_rx();
    REQUIRE(all.size() < (8U << 20U));
  }
  CHECK(all.size() - forwarded == 65536);  // the host's socket is full and so is our buffer
  SECTION("it reads") {
    std::string got;
    while (got.size() < all.size()) {
      got += hear(host, 8192).value();
      rig.turn();
      drain_rx();
    }
    CHECK(got == all);
    CHECK(all.size() - forwarded < 65536);
  }
  SECTION("the guest goes on without credit") {
    packet.data = "x";
    rig.send(packet);
    CHECK(rig.take()->op == kOpRst);
    CHECK(rig.device->connection_count() == 0);
  }
}

TEST_CASE("vsock: the host's bytes stop at the guest's credit, one CREDIT_REQUEST is sent, nothing is lost") {
  VsockRig rig;
  rig.post_rx(8);
  Packet seen;
  const Fd client = rig.request(seen);
  Packet answer = rig.answer_to(seen, kOpResponse);
  answer.buf_alloc = 4;
  rig.send(answer);
  say(client, "abcdefgh");
  rig.turn();
  CHECK(rig.take()->data == "abcd");
  CHECK(rig.take()->op == kOpCreditRequest);
  CHECK_FALSE(rig.take().has_value());
  answer.op = kOpCredit;
  answer.fwd_cnt = 3;
  rig.send(answer);
  CHECK(rig.take()->data == "efg");
}

TEST_CASE("V-09 vsock: after the peer has closed, with and without credit, the host side is quiet") {
  VsockRig rig;
  rig.post_rx(8);
  Packet seen;
  Fd client = rig.request(seen);
  Packet answer = rig.answer_to(seen, kOpResponse);
  answer.buf_alloc = 2;
  rig.send(answer);
  say(client, "last words");
  client.reset();
  rig.turn();
  epoll_event event{};
  CHECK(::epoll_wait(rig.device->host_events().raw(), &event, 1, 0) == 0);
  CHECK(rig.take()->data == "la");
  answer.op = kOpCredit;
  answer.buf_alloc = 1000;
  answer.fwd_cnt = 2;
  rig.send(answer);
  std::string rest;
  bool both = false;
  while (const auto packet = rig.take()) {
    rest += packet->data;
    both = both || (packet->op == kOpShutdown && packet->flags == 3 && rest == "st words");
  }
  CHECK(rest == "st words");
  CHECK(both);
  rig.send(rig.answer_to(seen, kOpRst));
  CHECK(rig.device->connection_count() == 0);
}

TEST_CASE("vsock: each half is closed on its own, and a shutdown of both is answered with RST") {
  VsockRig rig;
  rig.post_rx(8);
  Packet seen;
  const Fd client = rig.request(seen);
  rig.send(rig.answer_to(seen, kOpResponse));
  (void)hear(client);
  Packet bye = rig.answer_to(seen, kOpShutdown);
  bye.flags = 2;
  rig.send(bye);
  CHECK_FALSE(hear(client).has_value());
  say(client, "still");
  rig.turn();
  CHECK(rig.take()->data == "still");
  bye.flags = 3;
  rig.send(bye);
  CHECK(rig.take()->op == kOpRst);
  CHECK(rig.device->connection_count() == 0);
}

TEST_CASE("V-05 X-27 vsock: a restored device tells TRANSPORT_RESET and holds everything until it was taken") {
  const std::uint64_t features = GENERATE(std::uint64_t{0}, std::uint64_t{1} << 29U) | VsockRig::kFeatures;
  VsockRig rig(features);
  rig.device->quiesce();
  StateWriter out;
  rig.device->save(out);
  rig.device->reset();
  for (FakeQueue* queue : {&rig.rx, &rig.tx, &rig.event}) {
    queue->start_over();
  }
  auto clone = rig.make(rig.folder.file("clone"));
  StateReader in("vsock", out.data());
  REQUIRE(clone->restore(in).ok());
  rig.device = std::move(clone);
  for (std::uint16_t head = 0; head < 8; ++head) {
    rig.event.put_descriptor(head, 0x30000 + head * 8U, 8, kWrite, 0);
    rig.event.offer(head);
  }
  rig.activate(*rig.device, features);
  rig.kick(2);
  rig.post_rx(8);
  CHECK(rig.event.take_used() == Used{0, 4});
  const Fd client = connect_client(rig.folder.file("clone"));
  say(client, "CONNECT 52\n");
  rig.turn();
  rig.kick(2);
  CHECK_FALSE(rig.take().has_value());
  if (features != VsockRig::kFeatures) {
    CHECK(rig.event.avail_event() == 8);  // #5958: the driver's next buffer must cause a kick
  }
  rig.event.offer(0);
  rig.kick(2);
  CHECK(rig.take()->op == kOpRequest);
}

TEST_CASE("vsock: a forged state is refused") {
  VsockRig rig;
  StateWriter out;
  out.u64(99);
  out.boolean(true);
  out.u32(1U << 30U);
  StateReader in("vsock", out.data());
  CHECK_FALSE(rig.device->restore(in).ok());
}

TEST_CASE("vsock: a paused device takes nothing and its timers hold") {
  VsockRig rig;
  rig.post_rx(8);
  Packet seen;
  const Fd client = rig.request(seen);
  rig.device->quiesce();
  rig.clock.now += 60'000'000'000;
  rig.turn();
  rig.device->resume();
  rig.kick(1);
  rig.send(rig.answer_to(seen, kOpResponse));
  CHECK(hear(client) == "OK " + std::to_string(seen.src_port) + "\n");
}

TEST_CASE("vsock listener: a path in use, too long or replaced is handled") {
  const TempFolder folder;
  const auto first = VsockListener::bind(folder.file("s"));
  REQUIRE(first.ok());
  CHECK(VsockListener::bind(folder.file("s")).error().text() ==
        "Error binding to the host-side Unix socket: Address already in use (os error 98)");
  CHECK_FALSE(VsockListener::bind(folder.file(std::string(120, 'x'))).ok());
  std::filesystem::rename(folder.file("s"), folder.file("t"));
  const auto second = VsockListener::bind(folder.file("s"));
  first.value().unlink_socket();
  CHECK(std::filesystem::exists(folder.file("s")));
  second.value().unlink_socket();
  CHECK_FALSE(std::filesystem::exists(folder.file("s")));
}
