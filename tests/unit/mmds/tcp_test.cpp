#include <set>

#include "tests/unit/mmds/mmds_rig.h"

namespace wisp::mmds::test {
namespace {

const std::string kDocument = R"({"name":"wisp","deep":{"k":"v"}})";

/// A string value of `length` bytes that shows where a byte is missing.
std::string pattern(std::size_t length) {
  std::string text;
  while (text.size() < length) {
    text += std::to_string(text.size()) + ",";
  }
  text.resize(length);
  return text;
}

void fill(Rig& rig, const std::string& text) {
  REQUIRE(rig.store.put(R"({"big":")" + text + R"(","name":"wisp"})").ok());
}

/// What the segments hold, put in order by sequence number from `start` on.
std::string assembled(const std::vector<Seen>& segments, std::uint32_t start) {
  std::string text;
  for (const Seen& seen : segments) {
    const std::size_t offset = seen.sequence - start;
    REQUIRE(offset <= text.size());
    text.resize(std::max(text.size(), offset + seen.payload.size()));
    text.replace(offset, seen.payload.size(), seen.payload);
  }
  return text;
}

}  // namespace

TEST_CASE("a handshake and a request give the value, and the peer's end ends the connection") {
  Rig rig;
  REQUIRE(rig.store.put(kDocument).ok());
  Client client(rig);
  const Seen answer = client.connect();
  CHECK(answer.mss == kMaxMssBytes);
  CHECK(answer.from_port == 80);
  CHECK(body_of(client.ask(get("/name"))) == "wisp");
  CHECK_FALSE(client.finished);
  rig.give(client.segment(kFin | kAck));
  ++client.next;
  const auto bye = rig.take();
  REQUIRE(bye);
  CHECK((bye->flags & kFin) != 0);
  CHECK(bye->acknowledgement == client.next);
  ++client.expected;
  client.acknowledge();
  CHECK(rig.endpoint->connection_count() == 0);
  CHECK(rig.metrics.connections_created.total() == 1);
  CHECK(rig.metrics.connections_destroyed.total() == 1);
  CHECK_FALSE(rig.endpoint->timer_armed());
}

TEST_CASE("one connection carries many requests, also sent together") {
  Rig rig;
  REQUIRE(rig.store.put(kDocument).ok());
  Client client(rig);
  client.connect();
  for (int round = 0; round < 50; ++round) {
    REQUIRE(body_of(client.ask(get("/name"))) == "wisp");
  }
  const std::string both = client.ask(get("/name") + get("/deep/k"));
  CHECK(both.find("wisp") < both.find("\r\n\r\nv"));
  CHECK(both.ends_with("\r\n\r\nv"));
  CHECK(rig.endpoint->connection_count() == 1);
}

TEST_CASE("pipelined requests beyond the buffer are taken up as room comes") {
  Rig rig;
  REQUIRE(rig.store.put(kDocument).ok());
  Client client(rig);
  client.connect();
  std::string requests;
  for (int count = 0; count < 100; ++count) {
    requests += get("/name");
  }
  const std::uint32_t start = client.next;
  std::string answers;
  for (int turn = 0; turn < 2000 && client.next - start < requests.size(); ++turn) {
    rig.give(client.segment(kAck, requests.substr(client.next - start, 1460)));
    while (const auto seen = rig.take()) {
      client.absorb(*seen, answers);
      client.next = seen->acknowledgement;
    }
  }
  client.acknowledge();
  answers += client.read();
  std::size_t count = 0;
  for (std::size_t at = answers.find("HTTP/1.1 200"); at != std::string::npos;
       at = answers.find("HTTP/1.1 200", at + 1)) {
    ++count;
  }
  CHECK(count == 100);
}

TEST_CASE("the stated segment size is kept to, and 536 without one") {
  Rig rig;
  fill(rig, pattern(20'000));
  const auto [options, expected] = GENERATE(table<std::string, std::size_t>({
      {std::string("\x02\x04\x05\xb4", 4), 1460},
      {std::string("\x02\x04\x23\x00", 4), 1460},
      {std::string("\x02\x04\x01\x00", 4), 256},
      {std::string("\x01\x01\x02\x04\x00\x64\x00\x00", 8), 100},
      {std::string("\x04\x02\x01\x01", 4), 536},
      {std::string(), 536},
      {std::string("\x00\x02\x04\x05", 4), 536},  // behind the end of the options
  }));
  Client client(rig);
  client.connect(options);
  client.send(get("/big"));
  const auto segments = rig.take_all();
  std::size_t largest = 0;
  for (const Seen& seen : segments) {
    largest = std::max(largest, seen.payload.size());
  }
  CHECK(largest == expected);
  CHECK(body_of(assembled(segments, client.expected)) == pattern(20'000));
}

TEST_CASE("a SYN with broken options is dropped") {
  Rig rig;
  const std::string options = GENERATE(
      as<std::string>{}, std::string("\x02\x04\x00\x00", 4), std::string("\x02\x04\x00\x1b", 4),
      std::string("\x02\x03\x05\xb4", 4), std::string("\x02\x05\x05\xb4", 4), std::string("\x01\x01\x01\x02", 4),
      std::string("\x08\x00\x00\x00", 4), std::string("\x08\x01\x00\x00", 4), std::string("\x08\xff\x00\x00", 4));
  Sent syn;
  syn.flags = kSyn;
  syn.tcp_options = options;
  rig.give(syn);
  CHECK_FALSE(rig.take());
  CHECK(rig.endpoint->connection_count() == 0);
  CHECK(rig.metrics.rx_accepted_err.total() == 1);
}

TEST_CASE("the peer's window is respected, and a 50 KB document arrives whole through any") {
  Rig rig;
  const std::string document = pattern(50'000);
  fill(rig, document);
  const std::uint16_t window = GENERATE(as<std::uint16_t>{}, 1, 100, 1459, 1460, 5000, 65535);
  Client client(rig);
  client.window = window;
  client.connect();
  client.send(get("/big"));
  std::string text;
  while (true) {
    const auto batch = rig.take_all();
    if (batch.empty()) {
      break;
    }
    std::size_t sum = 0;
    for (const Seen& seen : batch) {
      sum += seen.payload.size();
      client.absorb(seen, text);
    }
    REQUIRE(sum <= window);
    client.acknowledge();
  }
  CHECK(body_of(text) == document);
  CHECK_FALSE(rig.endpoint->timer_armed());
}

TEST_CASE("lost segments are sent again after the time-out, without a second answer") {
  Rig rig;
  const std::string document = pattern(10'000);
  fill(rig, document);
  Client client(rig);
  client.connect();
  client.send(get("/big"));
  const auto first = rig.take_all();
  REQUIRE(first.size() > 3);
  CHECK(rig.endpoint->timer_armed());
  const std::uint32_t start = client.expected;
  SECTION("all lost") {}
  SECTION("only the first arrived") {
    client.expected = first[1].sequence;
    client.acknowledge();
    CHECK_FALSE(rig.take());
  }
  rig.pass(kRetransmitTimeoutNs - 1);
  CHECK_FALSE(rig.take());
  rig.pass(1);
  CHECK(rig.wakes == 1);
  std::string text = assembled(first, start).substr(0, client.expected - start);
  text += client.read();
  CHECK(body_of(text) == document);
  CHECK_FALSE(rig.endpoint->timer_armed());
  rig.pass(100 * kRetransmitTimeoutNs);
  CHECK_FALSE(rig.take());
}

TEST_CASE("three acknowledgements of the same byte bring it back at once") {
  Rig rig;
  const std::string document = pattern(10'000);
  fill(rig, document);
  Client client(rig);
  client.connect();
  client.send(get("/big"));
  (void)rig.take_all();
  client.acknowledge();
  client.acknowledge();
  CHECK_FALSE(rig.take());
  client.acknowledge();
  CHECK(body_of(client.read()) == document);
}

TEST_CASE("a lost SYN-ACK is sent again") {
  Rig rig;
  Client client(rig);
  Sent syn = client.segment(kSyn);
  rig.give(syn);
  const auto first = rig.take();
  SECTION("after the time-out") {
    rig.pass(kRetransmitTimeoutNs);
  }
  SECTION("when the SYN comes again") {
    rig.give(syn);
  }
  const auto second = rig.take();
  REQUIRE(first);
  REQUIRE(second);
  CHECK(second->flags == (kSyn | kAck));
  CHECK(second->sequence == first->sequence);
  CHECK(rig.endpoint->connection_count() == 1);
}

TEST_CASE("a peer that went silent is given up after a bounded number of retransmissions") {
  Rig rig;
  fill(rig, pattern(3000));
  Client client(rig);
  const bool half_open = GENERATE(true, false);
  if (half_open) {
    rig.give(client.segment(kSyn));
  } else {
    client.connect();
    client.send(get("/big"));
  }
  (void)rig.take_all();
  for (unsigned count = 0; count < kMaxRetransmits; ++count) {
    rig.pass(kRetransmitTimeoutNs);
    CHECK_FALSE(rig.take_all().empty());
    CHECK(rig.endpoint->connection_count() == 1);
  }
  rig.pass(kRetransmitTimeoutNs);
  CHECK(rig.endpoint->connection_count() == 0);
  const auto last = rig.take_all();
  REQUIRE(last.size() == 1);
  CHECK((last[0].flags & kRst) != 0);
  CHECK_FALSE(rig.endpoint->timer_armed());
}

TEST_CASE("a shut window is probed with one byte, and opens again without loss") {
  Rig rig;
  const std::string document = pattern(5000);
  fill(rig, document);
  Client client(rig);
  client.connect();
  client.window = 0;
  client.send(get("/big"));
  const auto bare = rig.take_all();
  REQUIRE(bare.size() == 1);
  CHECK(bare[0].payload.empty());
  for (int probes = 0; probes < 40; ++probes) {
    rig.pass(kRetransmitTimeoutNs);
    const auto probe = rig.take_all();
    REQUIRE(probe.size() == 1);
    CHECK(probe[0].payload.size() == 1);
    CHECK(probe[0].sequence == client.expected);
    client.acknowledge();
    CHECK_FALSE(rig.take());
  }
  client.window = 65535;
  client.acknowledge();
  CHECK(body_of(client.read()) == document);
}

TEST_CASE("a window that stays shut does not pin the connection for ever") {
  Rig rig;
  fill(rig, pattern(5000));
  Client client(rig);
  client.connect();
  client.window = 0;
  client.send(get("/big"));
  (void)rig.take_all();
  std::uint64_t passed = 0;
  while (rig.endpoint->connection_count() > 0) {
    REQUIRE(passed <= kMaxStallNs + 2 * kRetransmitTimeoutNs);
    rig.pass(kRetransmitTimeoutNs);
    passed += kRetransmitTimeoutNs;
    (void)rig.take_all();
    if (rig.endpoint->connection_count() > 0) {
      client.acknowledge();
    }
  }
  CHECK(passed > kMaxStallNs / 2);
}

TEST_CASE("a request in pieces, in order, repeated and overlapping, is one request") {
  Rig rig;
  REQUIRE(rig.store.put(kDocument).ok());
  Client client(rig);
  client.connect();
  const std::string request = get("/name");
  SECTION("byte by byte") {
    for (const char byte : request) {
      client.send(std::string(1, byte));
      if (byte != '\n') {
        const auto ack = rig.take_all();
        REQUIRE(ack.size() == 1);
        CHECK(ack[0].acknowledgement == client.next);
      }
    }
  }
  SECTION("each piece twice") {
    for (std::size_t at = 0; at < request.size(); at += 7) {
      const Sent piece = client.segment(kAck, request.substr(at, 7));
      rig.give(piece);
      rig.give(piece);
      client.next += static_cast<std::uint32_t>(piece.payload.size());
    }
  }
  SECTION("pieces overlap") {
    const std::uint32_t start = client.next;
    for (std::size_t at = 0; at < request.size(); at += 3) {
      client.next = start + static_cast<std::uint32_t>(at);
      rig.give(client.segment(kAck, request.substr(at, 10)));
    }
    client.next = start + static_cast<std::uint32_t>(request.size());
  }
  CHECK(body_of(client.read()) == "wisp");
  CHECK_FALSE(rig.take());
}

TEST_CASE("a segment that comes too early is asked for again and does not count") {
  Rig rig;
  REQUIRE(rig.store.put(kDocument).ok());
  Client client(rig);
  client.connect();
  const std::string request = get("/name");
  Sent early = client.segment(kAck, request.substr(10));
  early.sequence += 10;
  rig.give(early);
  const auto ack = rig.take_all();
  REQUIRE(ack.size() == 1);
  CHECK(ack[0].acknowledgement == client.next);
  CHECK(ack[0].payload.empty());
  CHECK(body_of(client.ask(request)) == "wisp");
}

TEST_CASE("sequence numbers wrap in both directions") {
  Rig rig;
  const std::string document = pattern(8000);
  fill(rig, document);
  Client client(rig, 40000, 0xfffffff0U);
  // The initial sequence number follows the clock: one just before the wrap.
  rig.clock.now = (0xffffffffULL - 64000U - 2000U) * 4000U;
  const Seen answer = client.connect();
  REQUIRE(answer.sequence > 0xffff0000U);
  CHECK(body_of(client.ask(get("/big"))) == document);
  CHECK(client.next < 1000);
  CHECK(client.expected < 10'000);
}

TEST_CASE("RST ends a connection only with the exact sequence number") {
  Rig rig;
  Client client(rig);
  client.connect();
  Sent reset = client.segment(kRst);
  SECTION("exact") {
    rig.give(reset);
    CHECK(rig.endpoint->connection_count() == 0);
    CHECK_FALSE(rig.take());
  }
  SECTION("inside the window: a challenge") {
    reset.sequence += 5;
    rig.give(reset);
    CHECK(rig.endpoint->connection_count() == 1);
    const auto challenge = rig.take_all();
    REQUIRE(challenge.size() == 1);
    CHECK(challenge[0].flags == kAck);
    CHECK(challenge[0].acknowledgement == client.next);
  }
  SECTION("outside the window: nothing") {
    reset.sequence -= 100'000;
    rig.give(reset);
    CHECK(rig.endpoint->connection_count() == 1);
    CHECK_FALSE(rig.take());
  }
}

TEST_CASE("a SYN inside a connection is challenged, and the guest that restarted gets a new one") {
  Rig rig;
  Client client(rig);
  client.connect();
  Client again(rig, 40000, 777'777);
  rig.give(again.segment(kSyn));
  const auto challenge = rig.take_all();
  REQUIRE(challenge.size() == 1);
  CHECK(challenge[0].flags == kAck);
  Sent reset;
  reset.sequence = challenge[0].acknowledgement;
  reset.flags = kRst;
  rig.give(reset);
  CHECK(rig.endpoint->connection_count() == 0);
  again.connect();
  CHECK(rig.endpoint->connection_count() == 1);
}

TEST_CASE("a half-closed peer still gets its answer, then the end") {
  Rig rig;
  const std::string document = pattern(5000);
  fill(rig, document);
  Client client(rig);
  client.connect();
  const std::string request = get("/big");
  rig.give(client.segment(kAck | kFin, request));
  client.next += static_cast<std::uint32_t>(request.size()) + 1;
  CHECK(body_of(client.read()) == document);
  CHECK(client.finished);
  CHECK(rig.endpoint->connection_count() == 0);
}

TEST_CASE("Connection: close ends the connection behind the answer, in the same segment") {
  Rig rig;
  REQUIRE(rig.store.put(kDocument).ok());
  Client client(rig);
  client.connect();
  client.send(get("/name", "Connection: close\r\n"));
  const auto answer = rig.take_all();
  REQUIRE(answer.size() == 1);
  CHECK((answer[0].flags & kFin) != 0);
  std::string text;
  client.absorb(answer[0], text);
  CHECK(body_of(text) == "wisp");
  CHECK(text.find("Connection: close\r\n") != std::string::npos);
  rig.give(client.segment(kFin | kAck));
  ++client.next;
  const auto last = rig.take_all();
  REQUIRE(last.size() == 1);
  CHECK(last[0].flags == kAck);
  CHECK(last[0].acknowledgement == client.next);
  CHECK(rig.endpoint->connection_count() == 0);
}

TEST_CASE("a lost FIN is sent again") {
  Rig rig;
  REQUIRE(rig.store.put(kDocument).ok());
  Client client(rig);
  client.connect();
  client.send(get("/name", "Connection: close\r\n"));
  (void)rig.take_all();
  rig.pass(kRetransmitTimeoutNs);
  CHECK(body_of(client.read()) == "wisp");
  CHECK(client.finished);
}

TEST_CASE("an acknowledgement of what was never sent changes nothing") {
  Rig rig;
  const std::string document = pattern(5000);
  fill(rig, document);
  Client client(rig);
  client.connect();
  Sent wrong = client.segment(kAck, get("/big"));
  wrong.acknowledgement += 1;
  rig.give(wrong);
  const auto answer = rig.take_all();
  REQUIRE(answer.size() == 1);
  CHECK(answer[0].payload.empty());
  CHECK(answer[0].acknowledgement == client.next);
  CHECK(body_of(client.ask(get("/big"))) == document);
}

TEST_CASE("a wrong acknowledgement in the handshake is refused with RST") {
  Rig rig;
  Client client(rig);
  rig.give(client.segment(kSyn));
  (void)rig.take_all();
  Sent wrong = client.segment(kAck);
  wrong.sequence += 1;
  wrong.acknowledgement = 12345;
  rig.give(wrong);
  const auto answer = rig.take_all();
  REQUIRE(answer.size() == 1);
  CHECK(answer[0].flags == kRst);
  CHECK(answer[0].sequence == 12345);
  CHECK(rig.endpoint->connection_count() == 0);
}

TEST_CASE("a keep-alive probe is answered") {
  Rig rig;
  Client client(rig);
  client.connect();
  Sent probe = client.segment(kAck);
  probe.sequence -= 1;
  rig.give(probe);
  const auto answer = rig.take_all();
  REQUIRE(answer.size() == 1);
  CHECK(answer[0].acknowledgement == client.next);
}

TEST_CASE("acknowledgements of the service to a peer whose window is shut lie at its edge") {
  Rig rig;
  fill(rig, pattern(5000));
  Client client(rig);
  client.connect();
  client.window = 0;
  client.send(get("/big"));
  (void)rig.take_all();
  rig.pass(kRetransmitTimeoutNs);
  (void)rig.take_all();
  client.send("G");
  const auto answer = rig.take_all();
  REQUIRE(answer.size() == 1);
  CHECK(answer[0].sequence == client.expected);
  CHECK(answer[0].acknowledgement == client.next);
}

}  // namespace wisp::mmds::test
