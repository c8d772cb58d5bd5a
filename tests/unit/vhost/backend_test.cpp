// The connection to a vhost-user back end: the negotiation, and back ends that do not keep to the protocol.
#include <catch2/catch.hpp>
#include <filesystem>

#include "tests/fakes/vhost_peer.h"
#include "virtio/vhost/backend.h"

using namespace wisp;
using namespace wisp::fakes;

namespace {

constexpr VhostTimeouts kShort{.connect_ms = 1, .negotiate_ms = 1, .answer_ms = 1, .config_ms = 1};
constexpr VhostTimeouts kLong{.connect_ms = 60'000, .negotiate_ms = 60'000, .answer_ms = 60'000, .config_ms = 60'000};

std::string refusal(VhostPeer& peer, const VhostTimeouts& timeouts = kLong) {
  const auto backend = VhostBackend::adopt(peer.front_end(), "/peer", timeouts);
  return backend.ok() ? "accepted" : backend.error().text();
}

std::size_t descriptor_count() {
  const std::filesystem::directory_iterator begin("/proc/self/fd");
  return static_cast<std::size_t>(std::distance(begin, std::filesystem::directory_iterator()));
}

bool contains(const std::string& text, const std::string& part) {
  INFO(text);
  return text.find(part) != std::string::npos;
}

struct Connected {
  explicit Connected(const VhostTimeouts& timeouts = kLong, std::uint64_t protocol = kPeerConfig | kPeerReplyAck) {
    peer.offer(kPeerFeatures, protocol, 64);
    backend = std::move(VhostBackend::adopt(peer.front_end(), "/peer", timeouts)).value();
    (void)peer.take_all();
  }
  VhostPeer peer;
  std::unique_ptr<VhostBackend> backend;
};

}  // namespace

TEST_CASE("vhost negotiation: owner, features, the protocol features that we know, the configuration") {
  VhostPeer peer;
  peer.offer(kPeerFeatures, ~0ULL, 64);
  const auto backend = VhostBackend::adopt(peer.front_end(), "/peer", kLong);
  REQUIRE(backend.ok());
  CHECK(backend.value()->features() == kPeerFeatures);
  CHECK(backend.value()->config()[0] == std::byte{64});
  const auto sent = peer.take_all();
  REQUIRE(sent.size() == 5);
  CHECK(sent[0].request == 3);
  CHECK(sent[1].request == 1);
  CHECK(sent[2].request == 15);
  CHECK(sent[3].request == 16);
  CHECK(sent[3].at(0, 8) == (kPeerConfig | kPeerReplyAck));
  CHECK(sent[4].request == 24);
  CHECK(sent[4].payload == number(0, 4) + number(60, 4) + number(0, 4) + Bytes(60));
  CHECK(backend.value()->owed_count() == 0);
}

TEST_CASE("vhost negotiation: what a back end must offer is named when it does not") {
  {
    VhostPeer peer;
    peer.offer(kPeerFeatures & ~(1ULL << 32), kPeerConfig, 64);
    CHECK(contains(refusal(peer), "does not offer VIRTIO_F_VERSION_1"));
  }
  {
    VhostPeer peer;
    peer.offer(kPeerFeatures & ~(1ULL << 30), kPeerConfig, 64);
    CHECK(contains(refusal(peer), "VHOST_USER_F_PROTOCOL_FEATURES"));
  }
  {
    VhostPeer peer;
    peer.offer(kPeerFeatures, kPeerReplyAck, 64);
    CHECK(contains(refusal(peer), "protocol feature CONFIG"));
  }
}

TEST_CASE("vhost negotiation: silence, half an answer and a closed connection end in time") {
  VhostPeer silent;
  CHECK(contains(refusal(silent, kShort), "at '/peer' did not answer GET_FEATURES in time"));
  VhostPeer half;
  half.send_bytes(number(1, 4) + number(5, 4));
  CHECK(contains(refusal(half, kShort), "did not answer GET_FEATURES in time"));
  VhostPeer closed;
  closed.hang_up();
  CHECK(contains(refusal(closed), "has closed the connection"));
}

TEST_CASE("vhost negotiation: an answer with a descriptor is refused and the descriptor does not stay") {
  VhostPeer peer;
  const std::size_t before = descriptor_count();
  peer.answer_with_descriptor(1, number(kPeerFeatures, 8), 0);
  CHECK(contains(refusal(peer), "sent descriptors where none belong"));
  CHECK(descriptor_count() == before - 1);  // the front end's socket
}

TEST_CASE("vhost connection: a path that leads nowhere, and one that is too long or empty") {
  CHECK(contains(VhostBackend::connect("/nowhere/s").error().text(), "cannot connect to the vhost-user back end at"));
  CHECK(contains(VhostBackend::connect("/nowhere/s").error().text(), "Start the back end"));
  CHECK(contains(VhostBackend::connect(std::string(108, 'x')).error().text(), "at most 107"));
  CHECK(contains(VhostBackend::connect("").error().text(), "the path is empty"));
  CHECK(contains(VhostBackend::connect(std::string(107, 'x')).error().text(), "Start the back end"));
}

TEST_CASE("vhost messages: answers are owed in order, and only with REPLY_ACK for all") {
  Connected each;
  REQUIRE(each.backend->send(vhost_message(VhostRequest::SetVringNum, VringState{0, 16})).ok());
  REQUIRE(each.backend->send(vhost_message(VhostRequest::GetVringBase, VringState{0, 0})).ok());
  CHECK(each.backend->owed_count() == 2);
  CHECK(std::string(each.backend->next_owed_name()) == "SET_VRING_NUM");
  each.peer.answer(8, number(0, 8));
  REQUIRE(each.backend->receive().ok());
  CHECK(each.backend->owed_count() == 1);
  each.peer.answer(11, number(0, 4) + number(9, 4));
  REQUIRE(each.backend->receive().ok());
  CHECK(each.backend->owed_count() == 0);
  CHECK(each.backend->vring_base() == 9);
  Connected silent(kLong, kPeerConfig);
  REQUIRE(silent.backend->send(vhost_message(VhostRequest::SetVringNum, VringState{0, 16})).ok());
  CHECK(silent.backend->owed_count() == 0);
  CHECK(silent.peer.take()->flags == 1);
}

TEST_CASE("vhost messages: one too many that is not answered ends the connection, whatever the back end reads") {
  Connected each;
  std::size_t count = 0;
  while (each.backend->send(vhost_message(VhostRequest::SetVringNum, VringState{0, 16})).ok()) {
    ++count;
  }
  CHECK(count == kMaxOwedAnswers);
  CHECK_FALSE(each.backend->connected());
  CHECK_FALSE(each.backend->send(vhost_message(VhostRequest::SetOwner)).ok());
}

TEST_CASE("vhost messages: a back end that does not read is not waited for") {
  Connected each(kLong, kPeerConfig);
  std::size_t count = 0;
  while (each.backend->send(vhost_message(VhostRequest::SetVringNum, VringState{0, 16})).ok() && count < 1'000'000) {
    ++count;
  }
  CHECK(count < 1'000'000);
  CHECK_FALSE(each.backend->connected());
}

TEST_CASE("vhost messages: what nobody asked for ends the connection") {
  Connected each;
  each.peer.answer(1, number(0, 8));
  CHECK(contains(each.backend->receive().error().text(), "sent a message that nobody asked for"));
  CHECK_FALSE(each.backend->connected());
  CHECK(each.backend->ref().raw() >= 0);  // its watcher lets go of it first
}

TEST_CASE("vhost configuration: read anew, refused, and not answered") {
  Connected each;
  each.peer.answer(24, VhostPeer::config(65));
  CHECK(each.backend->read_config().value()[0] == std::byte{65});
  each.peer.answer(24, {});
  CHECK(contains(each.backend->read_config().error().text(), "refused to give its configuration"));
  CHECK(each.backend->connected());
  CHECK(each.backend->config()[0] == std::byte{65});
  each.peer.answer(24, VhostPeer::config(66));
  CHECK(each.backend->read_config().value()[0] == std::byte{66});
  Connected mute({.connect_ms = 1, .negotiate_ms = 60'000, .answer_ms = 1, .config_ms = 1});
  CHECK(contains(mute.backend->read_config().error().text(), "did not answer GET_CONFIG in time"));
  CHECK_FALSE(mute.backend->connected());
}
