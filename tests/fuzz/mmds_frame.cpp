// Frames of a hostile guest at the metadata service. The input is a series of steps: a frame written by a client that
// knows the sequence numbers (and then damaged or not), raw bytes, time that passes, replies that are taken or left,
// a reset, a pause. Whatever comes: bounded connections, replies that are well formed and go to the guest, connections
// counted in and out, and no timer when nothing is outstanding.
#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <utility>
#include <vector>

#include "tests/fakes/fake_clock.h"
#include "tests/fakes/fuzz_input.h"
#include "virtio/mmds/metadata_endpoint.h"

using namespace wisp;
using namespace wisp::mmds;
using wisp::fakes::FuzzInput;

namespace {

constexpr MacAddress kGuestMac = {2, 0, 0, 0, 0, 7};
constexpr Ipv4Address kGuestAddress = {169, 254, 1, 7};
constexpr std::size_t kMaxSteps = 300;
constexpr std::size_t kPorts = 40;

/// What the client of one port knows.
struct Peer {
  std::uint32_t next = 0xfffffff0U;
  std::uint32_t expected = 0;
};

/// Filled once: a guest only reads it.
MetadataStore& shared_store() {
  static MetadataStore store(51200);
  static const bool filled = store.put(R"({"a":{"b":"c","l":[1,2]},"big":")" + std::string(20'000, 'x') + "\"}").ok();
  WISP_ASSERT(filled);
  return store;
}

struct Rig {
  explicit Rig(MmdsVersion version) {
    service =
        std::move(MetadataService::create({version, {"e"}, {}, false}, shared_store(), "vm", *loop, clock, metrics))
            .value();
    endpoint = std::move(MetadataEndpoint::create(*service, *loop, clock)).value();
  }
  std::unique_ptr<EventLoop> loop = std::move(EventLoop::create()).value();
  fakes::FakeClock clock;
  MmdsMetrics metrics;
  std::unique_ptr<MetadataService> service;
  std::unique_ptr<MetadataEndpoint> endpoint;
  std::array<Peer, kPorts> peers;
};

/// The frame writer of the service, turned around.
std::vector<std::byte> frame_from_guest(const TcpReply& segment) {
  std::vector<std::byte> frame(kMaxDetourFrameBytes);
  frame.resize(write_tcp(frame, {kMetadataMac, kGuestAddress, kDefaultMmdsAddress}, segment));
  write_wire(frame, 0, EthernetHeader{kMetadataMac, kGuestMac, kEtherTypeIpv4});
  return frame;
}

void give(Rig& rig, std::span<const std::byte> frame) {
  if (rig.endpoint->takes(frame.first(std::min(frame.size(), kDetourHeadBytes)))) {
    rig.endpoint->receive(frame);
  }
}

std::string_view payload_of(FuzzInput& input, std::string& store) {
  static constexpr std::string_view kRequests[] = {
      "GET /big HTTP/1.1\r\n\r\n", "GET /a HTTP/1.1\r\nAccept: application/json\r\n\r\n",
      "GET / HTTP/1.0\r\n\r\n",    "PUT /latest/api/token HTTP/1.1\r\nX-metadata-token-ttl-seconds: 5\r\n\r\n",
      "GET /a/l/0 HTTP/1.1\r\n",   "\r\nContent-Length: 9\r\n\r\n"};
  const std::uint8_t choice = input.byte();
  if (choice < 128) {
    return kRequests[choice % std::size(kRequests)];
  }
  const auto raw = input.rest(choice - 128U);
  store.assign(reinterpret_cast<const char*>(raw.data()), raw.size());
  input.take(8);
  return store;
}

void send_segment(Rig& rig, FuzzInput& input) {
  const std::size_t port = input.byte() % kPorts;
  Peer& peer = rig.peers[port];
  const std::uint8_t flags = input.byte();
  const std::uint8_t damage = input.byte();
  std::string text;
  TcpReply segment;
  segment.source_port = static_cast<std::uint16_t>(1000 + port);
  segment.destination_port = (damage & 0x40U) != 0 ? 81 : 80;
  segment.sequence = peer.next + ((damage & 1U) != 0 ? input.byte() - 128U : 0U);
  segment.acknowledgement = peer.expected + ((damage & 2U) != 0 ? input.word() - 32768U : 0U);
  segment.flags = flags;
  segment.window_bytes = (damage & 4U) != 0 ? input.word() : std::uint16_t{65535};
  if ((flags & tcp_flag::kSyn) != 0) {
    segment.mss_bytes = (damage & 8U) != 0 ? input.word() : std::uint16_t{1460};
  } else if ((flags & tcp_flag::kPsh) != 0) {
    segment.first = payload_of(input, text);
  }
  auto frame = frame_from_guest(segment);
  if ((damage & 0x10U) != 0) {
    frame[input.word() % frame.size()] ^= std::byte{input.byte()};
  }
  if ((damage & 0x20U) != 0) {
    frame.resize(input.word() % (frame.size() + 1));
  }
  peer.next += static_cast<std::uint32_t>(segment.first.size()) + ((flags & tcp_flag::kSyn) != 0 ? 1U : 0U);
  give(rig, frame);
}

void take_replies(Rig& rig, std::size_t limit) {
  std::array<std::byte, kMaxDetourFrameBytes> buffer;
  for (std::size_t count = 0; count < limit; ++count) {
    const std::size_t length = rig.endpoint->next_reply(buffer);
    WISP_ASSERT(length <= buffer.size());
    if (length == 0) {
      return;
    }
    const auto frame = std::span<const std::byte>(buffer).first(length);
    if (read_wire<EthernetHeader>(frame, 0).type == kEtherTypeArp) {
      continue;
    }
    TcpSegment seen;
    WISP_ASSERT(read_tcp(frame, seen) == PacketDefect::None);
    const std::size_t port = seen.destination_port - 1000U;
    if (port < kPorts) {
      rig.peers[port].expected = seen.sequence + seen.length();
      rig.peers[port].next = seen.has(tcp_flag::kAck) ? seen.acknowledgement : rig.peers[port].next;
    }
  }
}

void step(Rig& rig, FuzzInput& input) {
  switch (const std::uint8_t choice = input.byte(); choice % 16U) {
    case 0: {
      const auto raw = input.rest(input.byte() * 6U);
      give(rig, raw);
      rig.endpoint->receive(raw);  // whatever takes() said
      input.take(8);
      break;
    }
    case 1:
      rig.clock.now += input.dword() * std::uint64_t{8};
      rig.endpoint->on_time();
      break;
    case 2:
    case 3:
    case 4: take_replies(rig, choice / 16U); break;
    case 5: input.byte() == 0 ? rig.endpoint->reset() : take_replies(rig, 2000); break;
    case 6: input.byte() < 128 ? rig.endpoint->pause() : rig.endpoint->resume(); break;
    default: send_segment(rig, input); break;
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  fakes::silence_log();
  FuzzInput input(data, size);
  Rig rig((input.byte() & 1U) != 0 ? MmdsVersion::V2 : MmdsVersion::V1);
  for (std::size_t count = 0; count < kMaxSteps && !input.empty(); ++count) {
    step(rig, input);
    WISP_ASSERT(rig.endpoint->connection_count() <= MetadataEndpoint::kMaxConnections);
    WISP_ASSERT(rig.metrics.connections_created.total() - rig.metrics.connections_destroyed.total() ==
                rig.endpoint->connection_count());
  }
  // A peer that has gone: everything in flight is given up, and nothing wakes the process any more.
  rig.endpoint->resume();
  for (unsigned count = 0; count < 4 * kMaxRetransmits && rig.endpoint->timer_armed(); ++count) {
    rig.clock.now += kRetransmitTimeoutNs;
    rig.endpoint->on_time();
    take_replies(rig, 5000);
  }
  WISP_ASSERT(!rig.endpoint->timer_armed());
  return 0;
}
