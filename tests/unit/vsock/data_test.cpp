// Bytes: all of them, in order, over odd buffers, in turn, and without an allocation.
#include <catch2/catch.hpp>

#include <map>

#include "tests/fakes/counted_new.h"
#include "tests/fakes/fuzz_input.h"
#include "tests/unit/vsock/vsock_rig.h"

using namespace wisp;
using namespace wisp::fakes;

namespace {

constexpr std::size_t kStreamBytes = 2U << 20U;
constexpr std::uint64_t kIndirectFeature = std::uint64_t{1} << 28U;

/// Bytes that no loss, repetition or exchange leaves alike.
std::string noise(std::size_t count) {
  std::string bytes(count, '\0');
  std::uint32_t state = 0x12345678;
  for (char& byte : bytes) {
    state = state * 1664525U + 1013904223U;
    byte = static_cast<char>(state >> 24U);
  }
  return bytes;
}

std::uint64_t digest(std::string_view bytes) {
  std::uint64_t hash = 0xcbf29ce484222325;  // FNV-1a
  for (const char byte : bytes) {
    hash = (hash ^ static_cast<unsigned char>(byte)) * 0x100000001b3;
  }
  return hash;
}

}  // namespace

TEST_CASE("vsock: 2 MB from the guest in odd packets reach a host program that reads in small pieces") {
  VsockRig rig;
  rig.post_rx(16);
  const Fd listener = listen_at(rig.path(1));
  const Fd host = rig.open_from_guest(listener, 5);
  const std::string all = noise(kStreamBytes);
  std::string got;
  std::size_t sent = 0;
  std::uint32_t forwarded = 0;
  for (int round = 0; round < 100'000 && got.size() < all.size(); ++round) {
    const std::size_t room = 65536 - (sent - forwarded);
    const std::size_t length = std::min({room, all.size() - sent, std::size_t{1} + sent % 3001});
    if (length > 0) {
      rig.send({.src_port = 5, .dst_port = 1, .op = kOpRw, .data = all.substr(sent, length)});
      sent += length;
    }
    got += hear(host, 1021).value();
    rig.turn();
    while (const auto packet = rig.take()) {
      REQUIRE(packet->op == kOpCredit);
      forwarded = packet->fwd_cnt;
      rig.post_rx(1);
    }
  }
  CHECK(got.size() == all.size());
  CHECK(digest(got) == digest(all));
}

TEST_CASE("vsock: 2 MB from a host program reach a guest with small buffers and little credit") {
  VsockRig rig;
  rig.post_rx(16, 333);
  const Fd listener = listen_at(rig.path(1));
  const Fd host = rig.open_from_guest(listener, 5);
  const std::string all = noise(kStreamBytes);
  Packet credit{.src_port = 5, .dst_port = 1, .op = kOpCredit, .buf_alloc = 2500};
  rig.send(credit);
  std::string got;
  std::size_t said = 0;
  for (int round = 0; round < 100'000 && got.size() < all.size(); ++round) {
    said += say(host, all.substr(said, 7001));
    rig.turn();
    std::size_t taken = 0;
    while (const auto packet = rig.take()) {
      REQUIRE((packet->op == kOpRw || packet->op == kOpCreditRequest));
      REQUIRE(packet->data.size() <= 333 - 44);
      got += packet->data;
      ++taken;
    }
    REQUIRE(got.size() - credit.fwd_cnt <= 2500);  // never more than the guest has room for
    credit.fwd_cnt = static_cast<std::uint32_t>(got.size());
    rig.post_rx(taken, 333);
    rig.send(credit);
  }
  CHECK(got.size() == all.size());
  CHECK(digest(got) == digest(all));
}

TEST_CASE("vsock: a packet may be cut anywhere, in the ring or in an indirect table") {
  const bool indirect = GENERATE(false, true);
  const std::uint32_t cut = GENERATE(1U, 43U, 44U, 45U, 60U);
  VsockRig rig(VsockRig::kFeatures | kIndirectFeature);
  rig.post_rx(4);
  const Fd listener = listen_at(rig.path(1));
  const Fd host = rig.open_from_guest(listener, 5);
  const std::string data = noise(300);
  rig.write_header(VsockRig::kTxBuffer, {.src_port = 5, .dst_port = 1, .op = kOpRw}, 300);
  GuestView(rig.memory).put_bytes(VsockRig::kTxBuffer + 44, std::as_bytes(std::span(data)));
  ChainBuilder builder(rig.tx, 0);
  builder.readable(VsockRig::kTxBuffer, cut)
      .readable(VsockRig::kTxBuffer + cut, 1)
      .readable(VsockRig::kTxBuffer + cut + 1, 100)
      .readable(VsockRig::kTxBuffer + cut + 101, 344 - cut - 101);
  rig.tx.offer(indirect ? builder.build_indirect(0x28000) : builder.build());
  rig.kick(1);
  CHECK(hear(host) == data);
  CHECK(rig.tx.used_index() == rig.tx.available_index());
}

TEST_CASE("vsock: receive buffers that are cut into pieces hold one packet each") {
  VsockRig rig;
  const Fd listener = listen_at(rig.path(1));
  rig.post_rx(1);
  const Fd host = rig.open_from_guest(listener, 5);
  say(host, "abcdefghij");
  ChainBuilder builder(rig.rx, 4);
  builder.writable(0x80000, 10).writable(0x80100, 30).writable(0x80200, 7).writable(0x80300, 5);
  rig.rx.offer(builder.build());
  rig.kick(0);
  CHECK(rig.rx.take_used() == Used{4, 52});
  const GuestView guest(rig.memory);
  CHECK(guest.get(0x80204, 2) == 0x6261);        // "ab" behind the last four bytes of the header
  CHECK(guest.get(0x80300, 5) == 0x6867666564);  // "defgh"
}

TEST_CASE("vsock: connections with bytes for the guest take turns, one packet each") {
  VsockRig rig;
  rig.post_rx(3);
  const Fd listener = listen_at(rig.path(1));
  std::vector<Fd> hosts;
  for (std::uint32_t port = 1; port <= 3; ++port) {
    hosts.push_back(rig.open_from_guest(listener, port));
  }
  say(hosts[0], std::string(100'000, 'a'));  // one that always has more
  rig.turn();
  say(hosts[1], std::string(20'000, 'b'));
  say(hosts[2], std::string(20'000, 'c'));
  rig.turn();
  std::map<std::uint32_t, int> packets;
  rig.post_rx(12);
  while (const auto packet = rig.take()) {
    CHECK(packet->op == kOpRw);
    ++packets[packet->dst_port];
  }
  CHECK(packets == std::map<std::uint32_t, int>{{1, 4}, {2, 4}, {3, 4}});
}

TEST_CASE("vsock: no allocation for any packet, connection, timeout or refusal once the device is active") {
  silence_log();
  VsockRig rig;
  rig.post_rx(16);
  const Fd listener = listen_at(rig.path(1));
  const Fd host = rig.open_from_guest(listener, 5);
  std::uint64_t allocated = 0;
  const auto counted = [&](auto&& act) {
    const std::uint64_t before = allocation_count;
    act();
    allocated += allocation_count - before;
    std::size_t taken = 0;
    while (rig.take()) {
      ++taken;
    }
    rig.post_rx(taken);
  };
  const auto packet = [&](const Packet& each) {
    rig.offer(each);
    counted([&] { rig.kick(1); });
  };
  Packet data{.src_port = 5, .dst_port = 1, .op = kOpRw, .data = std::string(4096, 'x')};
  const auto out_bytes = [&] { return rig.device->metrics().tx_bytes_count.total(); };
  for (int count = 0; count < 300; ++count) {  // through, then into the buffer, then beyond it
    packet(data);
  }
  CHECK(out_bytes() > 65536);
  CHECK(rig.device->connection_count() == 0);  // it went beyond its credit
  const Fd reader = rig.open_from_guest(listener, 6);
  data.src_port = 6;
  packet(data);
  std::string place(1 << 20U, '\0');
  CHECK(::recv(reader.raw(), place.data(), place.size(), MSG_DONTWAIT) == 4096);
  say(reader, std::string(10'000, 'y'));
  counted([&] { rig.turn(); });
  packet({.src_port = 6, .dst_port = 1, .op = kOpCreditRequest});
  packet({.src_port = 6, .dst_port = 1, .op = kOpShutdown, .flags = 3});
  packet({.src_port = 9, .dst_port = 1, .op = kOpRequest});
  packet({.src_port = 9, .dst_port = 2, .op = kOpRequest});
  packet({.src_cid = 77, .op = kOpRw});
  const Fd client = connect_client(rig.path());
  say(client, "CONNECT 52\n");
  counted([&] { rig.turn(); });
  rig.clock.now += 3'000'000'000;
  counted([&] { rig.kick(0); });
  CHECK_FALSE(hear(client).has_value());
  CHECK(allocated == 0);
  CHECK(allocation_count > 0);
}
