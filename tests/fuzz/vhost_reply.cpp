// A vhost-user back end that sends arbitrary bytes at arbitrary moments. Guest memory is never touched by our side, a
// lost back end is told to the driver once, nothing waits for it any more, and no descriptor is left over.
//
// Input: one byte with its lowest bit set: the negotiation is part of the input. Then steps of one byte each, some with
// arguments (Step).
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <utility>

#include "tests/fakes/fuzz_input.h"
#include "tests/fakes/one_queue_rig.h"
#include "tests/fakes/vhost_peer.h"
#include "virtio/vhost/device.h"
#include "vmm/memory/shared_file.h"

using namespace wisp;
using namespace wisp::fakes;

namespace {

constexpr VhostTimeouts kShort{.connect_ms = 1, .negotiate_ms = 1, .answer_ms = 60'000, .config_ms = 1};
constexpr std::size_t kMaxSteps = 64;

enum class Step : std::uint8_t { Send, Answer, Acknowledge, Loop, Stop, Resume, Reset, Config, Kick, HangUp };
constexpr std::uint8_t kStepCount = 10;

GuestMemory shared_memory() {
  const Fd file = std::move(create_shared_file(kLowBytes, PageBacking::Normal)).value();
  const RegionPlan plan{.range = {GuestAddress(kLowStart), kLowBytes},
                        .file = RegionFile{file.ref(), 0, FileSharing::Shared}};
  return std::move(GuestMemory::create_from(std::span(&plan, 1), PageBacking::Normal)).value();
}

struct Rig : OneQueueRig<VhostUserBlockDevice> {
  Rig() { memory = shared_memory(); }

  bool connect(FuzzInput& input) {
    peer.emplace();
    if ((input.byte() & 1U) != 0) {
      send(input);
    } else {
      peer->offer(kPeerFeatures, kPeerConfig | (input.byte() % 2U == 0 ? kPeerReplyAck : 0), 64);
    }
    auto backend = VhostBackend::adopt(peer->front_end(), "/peer", kShort);
    if (!backend.ok()) {
      return false;
    }
    DriveConfig config;
    config.drive_id = "d";
    adopt(VhostUserBlockDevice::create(config, std::move(backend).value(), *loop, clock));
    return true;
  }
  void send(FuzzInput& input) {
    Bytes bytes(input.byte());
    for (std::uint8_t& each : bytes) {
      each = input.byte();
    }
    send_if_connected(bytes);
  }
  void send_if_connected(const Bytes& bytes) const {
    if (peer->connected() && !bytes.empty()) {
      peer->send_bytes(bytes);
    }
  }
  void step(FuzzInput& input) {
    switch (static_cast<Step>(input.byte() % kStepCount)) {
      case Step::Send: send(input); return;
      case Step::Answer: {
        const std::uint8_t request = input.byte();
        send_if_connected(number(request, 4) + number(5, 4) + number(8, 4) + number(input.take(8), 8));
        return;
      }
      case Step::Acknowledge: acknowledge(); return;
      case Step::Loop: loop->run_once(0); return;
      case Step::Stop: device->quiesce(); return;
      case Step::Resume: device->resume(); return;
      case Step::Reset: reset(); return;
      case Step::Config: (void)device->refresh_config(); return;
      case Step::Kick: kick(); return;
      case Step::HangUp: peer->hang_up(); return;
    }
  }
  void acknowledge() {
    if (peer->connected()) {
      (void)peer->acknowledge_all();
    }
  }
  /// As a transport does it: only when nothing is in flight any more.
  void reset() {
    device->quiesce();
    if (device->in_flight_count() == 0) {
      device->reset();
    }
  }

  std::optional<VhostPeer> peer;
};

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  silence_log();
  FuzzInput input(data, size);
  Rig rig;
  if (!rig.connect(input)) {
    return 0;
  }
  const auto before = rig.guest().image();
  for (std::size_t count = 0; count < kMaxSteps && !input.empty(); ++count) {
    rig.step(input);
    WISP_ASSERT(rig.signals.needs_reset_count <= 1);
    WISP_ASSERT(rig.signals.needs_reset_count == 0 || rig.device->in_flight_count() == 0);
  }
  WISP_ASSERT(rig.guest().image() == before);
  return 0;
}
