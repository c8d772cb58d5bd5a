#include <cstring>

#include "tests/unit/mmds/mmds_rig.h"

namespace wisp::mmds::test {
namespace {

Bytes arp_frame(const ArpPacket& arp) {
  Bytes frame;
  append(frame, EthernetHeader{{0xff, 0xff, 0xff, 0xff, 0xff, 0xff}, kGuestMac, kEtherTypeArp});
  append(frame, arp);
  return frame;
}

ArpPacket request_for(const Ipv4Address& address) {
  return {1, kEtherTypeIpv4, 6, 4, kArpRequest, kGuestMac, kGuestAddress, {}, address};
}

Sent syn_of(std::uint16_t port, std::uint16_t to_port = 80) {
  Sent syn;
  syn.port = port;
  syn.to_port = to_port;
  syn.sequence = 5000;
  syn.flags = kSyn;
  return syn;
}

/// Changes one byte of the IPv4 header and makes its checksum right again.
Bytes with_ip_byte(Bytes frame, std::size_t offset, std::uint8_t value) {
  frame[14 + offset] = std::byte{value};
  const std::size_t header_bytes = std::min<std::size_t>((static_cast<std::size_t>(frame[14]) & 0x0fU) * 4, 20);
  frame[24] = frame[25] = std::byte{0};
  const Be16 sum(static_cast<std::uint16_t>(~plain_sum(frame.data() + 14, header_bytes)));
  std::memcpy(frame.data() + 24, &sum, 2);
  return frame;
}

}  // namespace

TEST_CASE("an ARP request for the service's address is answered once, with its hardware address") {
  Rig rig;
  rig.give(arp_frame(request_for(kDefaultMmdsAddress)));
  const auto frame = rig.take_frame();
  REQUIRE(frame);
  REQUIRE(frame->size() == 42);
  const auto ethernet = read_wire<EthernetHeader>(*frame, 0);
  CHECK(ethernet.destination == kGuestMac);
  CHECK(ethernet.source == kMetadataMac);
  const auto arp = read_wire<ArpPacket>(*frame, 14);
  CHECK(arp.operation == kArpReply);
  CHECK(arp.sender_mac == kMetadataMac);
  CHECK(arp.sender_address == kDefaultMmdsAddress);
  CHECK(arp.target_mac == kGuestMac);
  CHECK(arp.target_address == kGuestAddress);
  CHECK_FALSE(rig.take_frame());
}

TEST_CASE("a flood of ARP requests leaves one reply") {
  Rig rig;
  for (int count = 0; count < 10'000; ++count) {
    rig.give(arp_frame(request_for(kDefaultMmdsAddress)));
  }
  CHECK(rig.take_frame());
  CHECK_FALSE(rig.take_frame());
}

TEST_CASE("only what is for the service is taken from the wire") {
  Rig rig;
  CHECK(rig.endpoint->takes(arp_frame(request_for(kDefaultMmdsAddress))));
  ArpPacket arp = request_for(kDefaultMmdsAddress);
  switch (GENERATE(range(0, 6))) {
    case 0: arp.target_address = {169, 254, 169, 253}; break;
    case 1: arp.operation = kArpReply; break;
    case 2: arp.hardware_type = 6; break;
    case 3: arp.protocol_type = 0x86dd; break;
    case 4: arp.hardware_length = 8; break;
    default: arp.protocol_length = 16; break;
  }
  CHECK_FALSE(rig.endpoint->takes(arp_frame(arp)));
  CHECK_FALSE(rig.endpoint->takes(frame_of(syn_of(1), {10, 0, 0, 1})));
  Bytes ipv6 = frame_of(syn_of(1));
  ipv6[12] = std::byte{0x86};
  CHECK_FALSE(rig.endpoint->takes(ipv6));
}

TEST_CASE("frames too short for their headers are left alone") {
  Rig rig;
  const Bytes syn = frame_of(syn_of(1));
  const Bytes arp = arp_frame(request_for(kDefaultMmdsAddress));
  for (std::size_t length = 0; length < 34; ++length) {
    CHECK_FALSE(rig.endpoint->takes(std::span(syn).first(length)));
  }
  for (std::size_t length = 0; length < 42; ++length) {
    CHECK_FALSE(rig.endpoint->takes(std::span(arp).first(length)));
  }
  CHECK(rig.metrics.rx_bad_eth.total() == 28);
}

TEST_CASE("a damaged SYN is dropped without an answer") {
  Rig rig;
  Bytes frame = frame_of(syn_of(1));
  SECTION("IP version 6") {
    frame = with_ip_byte(frame, 0, 0x65);
  }
  SECTION("IP header of 16 bytes") {
    frame = with_ip_byte(frame, 0, 0x44);
  }
  SECTION("IP header longer than the packet") {
    frame = with_ip_byte(frame, 0, 0x4f);
  }
  SECTION("total length shorter than the header") {
    frame = with_ip_byte(frame, 3, 19);
  }
  SECTION("total length without room for TCP") {
    frame = with_ip_byte(frame, 3, 39);
  }
  SECTION("total length beyond the frame") {
    frame = with_ip_byte(frame, 3, 41);
  }
  SECTION("total length of 64 KiB") {
    frame = with_ip_byte(with_ip_byte(frame, 2, 0xff), 3, 0xff);
  }
  SECTION("IP checksum") {
    frame[24] ^= std::byte{1};
  }
  SECTION("first fragment") {
    frame = with_ip_byte(frame, 6, 0x20);
  }
  SECTION("later fragment") {
    frame = with_ip_byte(frame, 7, 1);
  }
  SECTION("TCP checksum") {
    frame[50] ^= std::byte{1};
  }
  SECTION("TCP header of 16 bytes") {
    frame[46] = std::byte{0x40};
  }
  SECTION("TCP header longer than the packet") {
    frame[46] = std::byte{0x60};
  }
  SECTION("cut behind the IP header") {
    frame.resize(34);
  }
  SECTION("cut in the TCP header") {
    frame.resize(53);
  }
  rig.give(frame);
  CHECK_FALSE(rig.take_frame());
  CHECK(rig.endpoint->connection_count() == 0);
  CHECK(rig.metrics.rx_accepted_err.total() == 1);
  CHECK_FALSE(rig.endpoint->timer_armed());
}

TEST_CASE("UDP and ICMP to the service vanish") {
  Rig rig;
  Sent sent = syn_of(1);
  sent.protocol = GENERATE(as<std::uint8_t>{}, 1, 17, 0, 255);
  rig.give(sent);
  CHECK_FALSE(rig.take_frame());
  CHECK(rig.metrics.rx_accepted_unusual.total() == 1);
}

TEST_CASE("IP options, padding behind the packet and an unfinished checksum do no harm") {
  Rig rig;
  Sent syn = syn_of(1);
  SECTION("IP options") {
    syn.ip_options = std::string(40, '\x01');
    rig.give(syn);
  }
  SECTION("padding") {
    Bytes frame = frame_of(syn);
    frame.resize(60, std::byte{0xaa});
    rig.give(frame);
  }
  SECTION("the sum over the pseudo header alone, as with checksum offload") {
    Bytes frame = frame_of(syn);
    const Be16 sum(static_cast<std::uint16_t>(pseudo(kGuestAddress, kDefaultMmdsAddress, 20)));
    std::memcpy(frame.data() + 50, &sum, 2);
    rig.give(frame);
  }
  const auto answer = rig.take();
  REQUIRE(answer);
  CHECK(answer->flags == (kSyn | kAck));
}

TEST_CASE("a port scan gets resets, no connections and no memory") {
  Rig rig;
  for (std::uint32_t port = 1; port < 65536; ++port) {
    if (port == 80) {
      continue;
    }
    rig.give(syn_of(7777, static_cast<std::uint16_t>(port)));
    const auto answer = rig.take();
    REQUIRE(answer);
    REQUIRE(answer->flags == (kRst | kAck));
    REQUIRE(answer->from_port == port);
    REQUIRE(answer->acknowledgement == 5001);
  }
  CHECK(rig.endpoint->connection_count() == 0);
}

TEST_CASE("at most 100 resets wait; the rest is not sent") {
  Rig rig;
  for (std::uint16_t port = 1000; port < 6000; ++port) {
    rig.give(syn_of(port, 81));
  }
  CHECK(rig.take_all().size() == 100);
  CHECK(rig.metrics.tx_errors.total() == 4900);
}

TEST_CASE("segments of no connection are reset, except resets") {
  Rig rig;
  Sent stray = syn_of(1);
  stray.acknowledgement = 99;
  stray.flags =
      GENERATE(as<std::uint8_t>{}, 0, kAck, kFin, kFin | kAck, kSyn | kAck, kSyn | kFin, 0xff, kRst, kRst | kAck);
  rig.give(stray);
  const auto answers = rig.take_all();
  CHECK(answers.size() == ((stray.flags & kRst) != 0 ? 0 : 1));
  if (!answers.empty() && (stray.flags & kAck) != 0) {
    CHECK(answers[0].flags == kRst);
    CHECK(answers[0].sequence == 99);
  }
  CHECK(rig.endpoint->connection_count() == 0);
}

TEST_CASE("the 31st connection is refused while the others are alive") {
  Rig rig;
  REQUIRE(rig.store.put(R"({"a":"b"})").ok());
  std::vector<Client> clients;
  for (std::uint16_t count = 0; count < 30; ++count) {
    clients.emplace_back(rig, static_cast<std::uint16_t>(2000 + count)).connect();
  }
  rig.give(syn_of(9000));
  const auto refusal = rig.take_all();
  REQUIRE(refusal.size() == 1);
  CHECK((refusal[0].flags & kRst) != 0);
  CHECK(rig.endpoint->connection_count() == 30);
  for (Client& client : clients) {
    CHECK(body_of(client.ask(get("/a"))) == "b");
  }
}

TEST_CASE("when all places are taken the connection that was idle longest gives way") {
  Rig rig;
  std::vector<Client> clients;
  for (std::uint16_t count = 0; count < 30; ++count) {
    clients.emplace_back(rig, static_cast<std::uint16_t>(2000 + count)).connect();
    rig.clock.now += kMs;
  }
  clients[0].send("G");  // the oldest but not the longest idle
  (void)rig.take_all();
  rig.clock.now += MetadataEndpoint::kEvictAfterNs;
  Client late(rig, 9000);
  rig.give(late.segment(kSyn));
  const auto answers = rig.take_all();
  REQUIRE(answers.size() == 2);
  CHECK((answers[0].flags & kRst) != 0);
  CHECK(answers[0].port == 2001);
  CHECK(answers[1].flags == (kSyn | kAck));
  CHECK(rig.endpoint->connection_count() == 30);
}

TEST_CASE("a SYN flood ends by itself, and then the service answers again") {
  Rig rig;
  REQUIRE(rig.store.put(R"({"a":"b"})").ok());
  for (std::uint16_t port = 1024; port < 40'000; ++port) {
    rig.give(syn_of(port));
  }
  CHECK(rig.endpoint->connection_count() == 30);
  (void)rig.take_all();
  for (unsigned count = 0; count <= kMaxRetransmits; ++count) {
    rig.pass(kRetransmitTimeoutNs);
    CHECK(rig.take_all().size() <= 30);
  }
  CHECK(rig.endpoint->connection_count() == 0);
  CHECK_FALSE(rig.endpoint->timer_armed());
  Client client(rig);
  client.connect();
  CHECK(body_of(client.ask(get("/a"))) == "b");
}

TEST_CASE("reset forgets everything") {
  Rig rig;
  Client client(rig);
  client.connect();
  rig.give(syn_of(1, 81));
  rig.give(arp_frame(request_for(kDefaultMmdsAddress)));
  rig.give(syn_of(1));
  rig.endpoint->reset();
  CHECK_FALSE(rig.take_frame());
  CHECK(rig.endpoint->connection_count() == 0);
  CHECK(rig.metrics.connections_created.total() == rig.metrics.connections_destroyed.total());
  CHECK_FALSE(rig.endpoint->timer_armed());
}

TEST_CASE("time that passes in a pause does not count") {
  Rig rig;
  REQUIRE(rig.store.put(R"({"a":"b"})").ok());
  Client client(rig);
  client.connect();
  client.send(get("/a"));
  (void)rig.take_all();
  CHECK(rig.endpoint->timer_armed());
  rig.endpoint->pause();
  CHECK_FALSE(rig.endpoint->timer_armed());
  rig.pass(3600 * kNsPerSecond);
  CHECK(rig.wakes == 0);
  rig.endpoint->resume();
  CHECK(rig.endpoint->timer_armed());
  CHECK(rig.endpoint->connection_count() == 1);
  rig.pass(kRetransmitTimeoutNs);
  CHECK(rig.wakes == 1);
  CHECK(body_of(client.read()) == "b");
}

TEST_CASE("frames and bytes are counted") {
  Rig rig;
  REQUIRE(rig.store.put(R"({"a":"b"})").ok());
  Client client(rig);
  client.connect();
  client.ask(get("/a"));
  CHECK(rig.metrics.rx_count.total() == 4);
  CHECK(rig.metrics.rx_accepted.total() == 4);
  CHECK(rig.metrics.tx_frames.total() == 2);
  CHECK(rig.metrics.tx_count.total() == 2);
  CHECK(rig.metrics.tx_bytes.total() > 150);
  CHECK(rig.metrics.rx_no_token.total() == 1);
}

}  // namespace wisp::mmds::test
