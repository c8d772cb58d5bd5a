// The answers of a vhost-user back end, byte by byte.
#include <catch2/catch.hpp>
#include <cstring>

#include "tests/fakes/vhost_peer.h"
#include "virtio/vhost/message.h"

using namespace wisp;
using namespace wisp::fakes;

namespace {

Bytes wire(std::uint32_t request, std::uint32_t flags, const Bytes& payload) {
  return number(request, 4) + number(flags, 4) + number(payload.size(), 4) + payload;
}

/// Feeds `bytes` in pieces of `step`, as long as the reader wants any.
ReplyReader read(VhostRequest expected, const Bytes& bytes, std::size_t step) {
  ReplyReader reader;
  reader.expect(expected);
  std::size_t at = 0;
  while (at < bytes.size() && reader.state() == ReplyState::Incomplete) {
    const auto room = reader.room();
    const std::size_t count = std::min({step, room.size(), bytes.size() - at});
    std::memcpy(room.data(), bytes.data() + at, count);
    reader.advance(count);
    at += count;
  }
  return reader;
}

constexpr std::uint32_t kReply = 5;  // version 1, reply

}  // namespace

TEST_CASE("vhost answer: whole ones give their value, in pieces of any size") {
  const auto step = GENERATE(std::size_t{1}, std::size_t{5}, std::size_t{100});
  const ReplyReader features = read(VhostRequest::GetFeatures, wire(1, kReply, number(0x1234567890, 8)), step);
  CHECK(features.state() == ReplyState::Complete);
  CHECK(features.value() == 0x1234567890);
  const ReplyReader base = read(VhostRequest::GetVringBase, wire(11, kReply, number(0, 4) + number(0xffff, 4)), step);
  CHECK(base.state() == ReplyState::Complete);
  CHECK(base.base() == 0xffff);
  const ReplyReader config = read(VhostRequest::GetConfig, wire(24, kReply, VhostPeer::config(77)), step);
  CHECK(config.state() == ReplyState::Complete);
  CHECK(config.config()[0] == std::byte{77});
  CHECK(read(VhostRequest::SetMemTable, wire(5, kReply, number(0, 8)), step).state() == ReplyState::Complete);
}

TEST_CASE("vhost answer: a shorter configuration space is filled up with zeros") {
  const Bytes payload = number(0, 4) + number(8, 4) + number(0, 4) + number(~0ULL, 8);
  const ReplyReader config = read(VhostRequest::GetConfig, wire(24, kReply, payload), 100);
  REQUIRE(config.state() == ReplyState::Complete);
  CHECK(config.config()[7] == std::byte{0xff});
  CHECK(config.config()[8] == std::byte{0});
}

TEST_CASE("vhost answer: each thing that can be wrong has its name") {
  struct Case {
    VhostRequest expected;
    Bytes bytes;
    ReplyState state;
  };
  const Bytes value = number(0, 8);
  const Bytes other_config = number(1, 4) + number(60, 4) + number(0, 4) + Bytes(60);
  const Bytes lying_config = number(0, 4) + number(61, 4) + number(0, 4) + Bytes(60);
  const auto each = GENERATE_REF(values<Case>({
      {VhostRequest::GetFeatures, wire(1, 6, value), ReplyState::WrongVersion},
      {VhostRequest::GetFeatures, wire(1, 4, value), ReplyState::WrongVersion},
      {VhostRequest::GetFeatures, wire(1, 1, value), ReplyState::NotAReply},
      {VhostRequest::GetFeatures, wire(15, kReply, value), ReplyState::WrongRequest},
      {VhostRequest::GetFeatures, wire(1, kReply, Bytes(7)), ReplyState::WrongSize},
      {VhostRequest::GetFeatures, wire(1, kReply, Bytes(9)), ReplyState::WrongSize},
      {VhostRequest::GetFeatures, wire(1, kReply, {}), ReplyState::WrongSize},
      {VhostRequest::GetFeatures, number(1, 4) + number(kReply, 4) + number(0xffff'ffff, 4), ReplyState::WrongSize},
      {VhostRequest::GetVringBase, wire(11, kReply, number(1, 4) + number(0, 4)), ReplyState::WrongFields},
      {VhostRequest::GetVringBase, wire(11, kReply, number(0, 4) + number(0x10000, 4)), ReplyState::WrongFields},
      {VhostRequest::GetConfig, wire(24, kReply, {}), ReplyState::Refused},
      {VhostRequest::GetConfig, wire(24, kReply, number(0, 4) + number(0, 4) + number(0, 4)), ReplyState::Refused},
      {VhostRequest::GetConfig, wire(24, kReply, Bytes(11)), ReplyState::WrongSize},
      {VhostRequest::GetConfig, wire(24, kReply, Bytes(73)), ReplyState::WrongSize},
      {VhostRequest::GetConfig, wire(24, kReply, other_config), ReplyState::WrongFields},
      {VhostRequest::GetConfig, wire(24, kReply, lying_config), ReplyState::WrongFields},
      {VhostRequest::SetVringKick, wire(12, kReply, number(1, 8)), ReplyState::Refused},
      {VhostRequest::SetVringKick, wire(12, kReply, Bytes(4)), ReplyState::WrongSize},
  }));
  CHECK(read(each.expected, each.bytes, 1).state() == each.state);
  CHECK(read(each.expected, each.bytes, 1000).state() == each.state);
  CHECK(std::string(reply_state_name(each.state)) != "");
}

TEST_CASE("vhost answer: nothing is left of the one before") {
  ReplyReader reader;
  reader.expect(VhostRequest::GetFeatures);
  const Bytes part = number(99, 4);
  std::memcpy(reader.room().data(), part.data(), part.size());
  reader.advance(part.size());
  reader.expect(VhostRequest::GetConfig);
  CHECK(reader.room().size() == 12);
  CHECK(reader.state() == ReplyState::Incomplete);
}

TEST_CASE("vhost message: header, payload and the wish for an answer stand where the protocol has them") {
  VhostMessage message = vhost_message(VhostRequest::SetVringNum, VringState{0, 256});
  message.need_reply();
  const Bytes expected = number(8, 4) + number(9, 4) + number(8, 4) + number(0, 4) + number(256, 4);
  REQUIRE(message.wire().size() == expected.size());
  CHECK(std::memcmp(message.wire().data(), expected.data(), expected.size()) == 0);
  CHECK(std::string(vhost_request_name(VhostRequest::SetVringNum)) == "SET_VRING_NUM");
}
