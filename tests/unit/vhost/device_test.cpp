// The vhost-user block device from both sides: a driver's queue here, a back end worked by hand there.
#include <fcntl.h>
#include <sys/mman.h>

#include <array>
#include <catch2/catch.hpp>

#include "tests/fakes/one_queue_rig.h"
#include "tests/fakes/vhost_peer.h"
#include "virtio/vhost/device.h"
#include "vmm/memory/shared_file.h"

using namespace wisp;
using namespace wisp::fakes;

namespace {

constexpr VhostTimeouts kPatient{
    .connect_ms = 60'000, .negotiate_ms = 60'000, .answer_ms = 60'000, .config_ms = 60'000};
constexpr VhostTimeouts kShort{.connect_ms = 1, .negotiate_ms = 60'000, .answer_ms = 1, .config_ms = 1};
constexpr std::uint64_t kAck = kPeerConfig | kPeerReplyAck;
const std::vector<std::uint32_t> kStart = {2, 5, 8, 9, 10, 13, 12, 18};
constexpr std::uint64_t kHotplugStart = 0x40000000;
constexpr std::uint64_t kHotplugBytes = 4U << 20U;

GuestMemory shared_memory() {
  const std::array ranges = {GuestRange{GuestAddress(kLowStart), kLowBytes},
                             GuestRange{GuestAddress(kHighStart), kHighBytes},
                             GuestRange{GuestAddress(kHotplugStart), kHotplugBytes}};
  std::vector<Fd> files;
  std::vector<RegionPlan> plans;
  for (const GuestRange& range : ranges) {
    files.push_back(std::move(create_shared_file(range.size_bytes, PageBacking::Normal)).value());
    plans.push_back({.range = range, .file = RegionFile{files.back().ref(), 0, FileSharing::Shared}});
  }
  plans.back().block_size_bytes = 2U << 20U;
  return std::move(GuestMemory::create_from(plans, PageBacking::Normal)).value();
}

DriveConfig drive(CacheType cache) {
  DriveConfig config;
  config.drive_id = "d";
  config.cache_type = cache;
  config.socket = "/peer";
  return config;
}

struct VhostRig : OneQueueRig<VhostUserBlockDevice> {
  explicit VhostRig(const VhostTimeouts& timeouts = kPatient, std::uint64_t protocol = kAck,
                    CacheType cache = CacheType::Writeback) {
    memory = shared_memory();
    peer.offer(kPeerFeatures | 1U << 12U, protocol, 64);
    auto backend = std::move(VhostBackend::adopt(peer.front_end(), "/peer", timeouts)).value();
    (void)peer.take_all();
    adopt(VhostUserBlockDevice::create(drive(cache), std::move(backend), *loop, clock));
  }
  /// The back end answers everything.
  std::vector<std::uint32_t> settle() {
    auto numbers = peer.acknowledge_all();
    wait_for_event();
    return numbers;
  }
  void quiesce_at(std::uint16_t base) {
    device->quiesce();
    CHECK(device->in_flight_count() == 1);
    CHECK(peer.take()->request == 11);
    peer.answer(11, number(0, 4) + number(base, 4));
    wait_for_event();
    CHECK(device->in_flight_count() == 0);
  }
  std::uint64_t sectors() const {
    std::array<std::byte, 8> bytes{};
    device->read_config(0, bytes);
    return static_cast<std::uint64_t>(bytes[0]);
  }
  bool idle() {
    const auto before = signals.needs_reset_count + signals.drained_count;
    loop->run_once(0);
    return before == signals.needs_reset_count + signals.drained_count;
  }
  VhostPeer peer;
};

}  // namespace

TEST_CASE("vhost device: features of the back end are offered as far as we can pass them on") {
  const VhostRig writeback;
  CHECK(writeback.device->offered_features() == (kPeerFeatures & ~(1ULL << 30)));  // neither MQ nor the protocol's own
  const VhostRig unsafe(kPatient, kAck, CacheType::Unsafe);
  CHECK((unsafe.device->offered_features() & kPeerFlush) == 0);
}

TEST_CASE("vhost device: a start tells the back end features, memory, ring and notifications, in this order") {
  VhostRig rig;
  const auto sent = rig.peer.take_all();
  REQUIRE(sent.size() == kStart.size());
  for (std::size_t index = 0; index < sent.size(); ++index) {
    CHECK(sent[index].request == kStart[index]);
    CHECK(sent[index].flags == 9);
  }
  CHECK(sent[0].at(0, 8) == (VhostRig::kFeatures | 1ULL << 30));
  CHECK(sent[2].at(4, 4) == VhostRig::kQueueSize);
  CHECK(sent[3].at(8, 8) == rig.queue.place().descriptors);
  CHECK(sent[3].at(16, 8) == rig.queue.place().used);
  CHECK(sent[3].at(24, 8) == rig.queue.place().available);
  CHECK(sent[4].at(4, 4) == 0);
  CHECK(sent[5].descriptors.size() == 1);
  CHECK(sent[6].descriptors.size() == 1);
  CHECK(sent[6].at(0, 8) == 0);
  CHECK(sent[7].at(4, 4) == 1);
}

TEST_CASE("vhost device: the memory table names every region, the hot-pluggable one too, and no address of ours") {
  VhostRig rig;
  const auto sent = rig.peer.take_all();
  const PeerMessage& table = sent.at(1);
  REQUIRE(table.at(0, 4) == 3);
  REQUIRE(table.descriptors.size() == 3);
  CHECK(table.payload.size() == 8 + 3 * 32);
  CHECK(table.at(8, 8) == kLowStart);
  CHECK(table.at(16, 8) == kLowBytes);
  CHECK(table.at(24, 8) == kLowStart);
  CHECK(table.at(32, 8) == 0);
  CHECK(table.at(40, 8) == kHighStart);
  CHECK(table.at(72, 8) == kHotplugStart);
  CHECK(table.at(80, 8) == kHotplugBytes);
  rig.guest().put(kHighStart + 8, 0xfeed, 2);
  void* const theirs = ::mmap(nullptr, kHighBytes, PROT_READ, MAP_SHARED, table.descriptors[1].raw(), 0);
  REQUIRE(theirs != MAP_FAILED);
  CHECK(static_cast<const std::uint16_t*>(theirs)[4] == 0xfeed);
  ::munmap(theirs, kHighBytes);
}

TEST_CASE("vhost device: kicks reach the back end, also when it changes the flags of its descriptor and never reads") {
  VhostRig rig;
  const auto sent = rig.peer.take_all();
  const int kick = sent.at(6).descriptors.at(0).raw();
  std::uint64_t value = 0;
  CHECK(::read(kick, &value, sizeof(value)) < 0);
  rig.kick();
  CHECK(::read(kick, &value, sizeof(value)) == sizeof(value));
  CHECK(value == 1);
  REQUIRE(::fcntl(kick, F_SETFL, 0) == 0);
  for (int count = 0; count < 10'000; ++count) {
    rig.kick();
  }
  CHECK(::read(kick, &value, sizeof(value)) == sizeof(value));
}

TEST_CASE("vhost device: calls raise the used-ring interrupt, whatever the back end does to the counter") {
  VhostRig rig;
  const auto sent = rig.peer.take_all();
  const int call = sent.at(5).descriptors.at(0).raw();
  const std::uint64_t one = 1;
  REQUIRE(::fcntl(call, F_SETFL, 0) == 0);  // blocking, for everybody who holds it
  for (int round = 0; round < 3; ++round) {
    rig.interrupt->clear();
    REQUIRE(::write(call, &one, sizeof(one)) == sizeof(one));
    if (round == 2) {
      std::uint64_t taken = 0;
      REQUIRE(::read(call, &taken, sizeof(taken)) == sizeof(taken));  // gone before the loop looks
      REQUIRE(::write(call, &one, sizeof(one)) == sizeof(one));
    }
    rig.wait_for_event();
    CHECK(rig.interrupt->status() == 1);
  }
}

TEST_CASE("vhost device: a flood of calls becomes one interrupt each window, and the last call is not lost") {
  VhostRig rig;
  const auto sent = rig.peer.take_all();
  const int call = sent.at(5).descriptors.at(0).raw();
  const std::uint64_t one = 1;
  const std::uint64_t before = interrupt_metrics().triggers.total();
  for (std::uint64_t count = 0; count < 3 * kMaxCallsPerWindow; ++count) {
    REQUIRE(::write(call, &one, sizeof(one)) == sizeof(one));
    rig.loop->run_once(0);
  }
  const std::uint64_t raised = interrupt_metrics().triggers.total() - before;
  CHECK(raised >= kMaxCallsPerWindow);
  CHECK(raised < 3 * kMaxCallsPerWindow);
  REQUIRE(::write(call, &one, sizeof(one)) == sizeof(one));
  rig.interrupt->clear();
  for (int turn = 0; turn < 3 && rig.interrupt->status() == 0; ++turn) {
    rig.wait_for_event();  // the end of the window, then the call
  }
  CHECK(rig.interrupt->status() == 1);
}

TEST_CASE("vhost device: stopped and started again, the ring goes on where the back end left it") {
  VhostRig rig;
  CHECK(rig.settle() == kStart);
  rig.quiesce_at(7);
  CHECK(rig.signals.drained_count == 1);
  rig.device->resume();
  const auto sent = rig.peer.take_all();
  REQUIRE(sent.size() == kStart.size());
  CHECK(sent[4].at(4, 4) == 7);
}

TEST_CASE("vhost device: stopped before the start was answered, and resumed before the stop was") {
  VhostRig rig;
  rig.device->quiesce();
  CHECK(rig.device->in_flight_count() == 1);
  rig.device->resume();
  CHECK(rig.peer.acknowledge_all().back() == 11);
  rig.peer.answer(11, number(0, 4) + number(3, 4));
  rig.wait_for_event();
  CHECK(rig.device->in_flight_count() == 0);
  CHECK(rig.signals.drained_count == 0);
  CHECK(rig.settle() == kStart);
  CHECK(rig.signals.needs_reset_count == 0);
}

TEST_CASE("vhost device: after a reset it starts at the beginning") {
  VhostRig rig;
  (void)rig.settle();
  rig.quiesce_at(7);
  rig.device->reset();
  rig.activate();
  const auto sent = rig.peer.take_all();
  REQUIRE(sent.size() == kStart.size());
  CHECK(sent[4].at(4, 4) == 0);
}

TEST_CASE("vhost device: without REPLY_ACK nothing but questions is answered") {
  VhostRig rig(kPatient, kPeerConfig);
  for (const PeerMessage& message : rig.peer.take_all()) {
    CHECK(message.flags == 1);
  }
  rig.quiesce_at(2);
  CHECK(rig.signals.needs_reset_count == 0);
}

TEST_CASE("vhost device: a lost back end is told to the driver once, and nothing runs on") {
  const auto how = GENERATE(0, 1, 2, 3, 4);
  VhostRig rig(how == 4 ? kShort : kPatient);
  switch (how) {
    case 0: rig.peer.hang_up(); break;
    case 1: rig.peer.answer(2, number(1, 8)); break;        // refuses the features
    case 2: rig.peer.answer(5, number(0, 8)); break;        // answers out of order
    case 3: rig.peer.answer(2, number(0, 8), 0xff); break;  // another version
    default: break;                                         // does not answer
  }
  rig.wait_for_event();
  CHECK(rig.signals.needs_reset_count == 1);
  CHECK(rig.device->metrics().activate_fails.total() == 1);
  CHECK(rig.idle());
  rig.kick();
  rig.device->quiesce();
  CHECK(rig.device->in_flight_count() == 0);
  rig.device->resume();
  rig.device->reset();
  CHECK(rig.idle());
  CHECK_FALSE(rig.device->activate({&rig.memory, rig.interrupt.get(), VhostRig::kFeatures, {}}).ok());
}

TEST_CASE("vhost device: a back end that is lost while it stops does not hold the machine up") {
  VhostRig rig;
  (void)rig.settle();
  rig.device->quiesce();
  CHECK(rig.device->in_flight_count() == 1);
  rig.peer.hang_up();
  rig.wait_for_event();
  CHECK(rig.device->in_flight_count() == 0);
  CHECK(rig.signals.drained_count == 1);
  CHECK(rig.signals.needs_reset_count == 1);
}

TEST_CASE("vhost device: memory that is not shared cannot be served") {
  VhostPeer peer;
  peer.offer(kPeerFeatures, kAck, 64);
  OneQueueRig<VhostUserBlockDevice> rig;
  auto backend = std::move(VhostBackend::adopt(peer.front_end(), "/peer", kPatient)).value();
  rig.device =
      std::move(VhostUserBlockDevice::create(drive(CacheType::Unsafe), std::move(backend), *rig.loop, rig.clock))
          .value();
  rig.device->attach(rig.signals);
  QueueConfig config(256);
  config.set_size(16);
  config.set_address(QueuePart::DescriptorTable, AddressHalf::Low, kLowStart);
  config.set_address(QueuePart::AvailableRing, AddressHalf::Low, kLowStart + 0x2000);
  config.set_address(QueuePart::UsedRing, AddressHalf::Low, kLowStart + 0x3000);
  REQUIRE(config.make_ready(rig.memory) == QueueConfigDefect::None);
  Activation activation{&rig.memory, rig.interrupt.get(), VhostRig::kFeatures, {}};
  activation.queues.push_back(config.activate(rig.memory, VhostRig::kFeatures));
  const Status refused = rig.device->activate(std::move(activation));
  REQUIRE_FALSE(refused.ok());
  CHECK(refused.error().text().find("guest memory is not shared") != std::string::npos);
}

TEST_CASE("vhost device: the configuration is read anew, and what fails changes nothing") {
  VhostRig rig;
  (void)rig.settle();
  rig.peer.answer(24, VhostPeer::config(65));
  REQUIRE(rig.device->refresh_config().ok());
  CHECK(rig.sectors() == 65);
  CHECK(rig.signals.config_changed_count == 1);
  rig.peer.answer(24, {});
  CHECK_FALSE(rig.device->refresh_config().ok());
  CHECK(rig.sectors() == 65);
  CHECK(rig.signals.config_changed_count == 1);
  CHECK(rig.device->metrics().cfg_fails.total() == 1);
  CHECK(rig.signals.needs_reset_count == 0);
  rig.peer.answer(99, {});
  CHECK_FALSE(rig.device->refresh_config().ok());
  CHECK(rig.sectors() == 65);
  CHECK(rig.signals.needs_reset_count == 1);
  CHECK_FALSE(rig.device->refresh_config().ok());
  CHECK(rig.signals.needs_reset_count == 1);
}

TEST_CASE("vhost device: the configuration space ends where it ends and cannot be written") {
  VhostRig rig;
  std::array<std::byte, 4> bytes{};
  bytes.fill(std::byte{0x11});
  rig.device->read_config(60, bytes);
  CHECK(bytes[0] == std::byte{0x11});
  rig.device->read_config(~0ULL, bytes);
  CHECK(bytes[0] == std::byte{0x11});
  rig.device->read_config(58, bytes);
  CHECK(bytes == std::array{std::byte{0}, std::byte{0}, std::byte{0x11}, std::byte{0x11}});
  rig.device->write_config(32, bytes);
  CHECK(rig.device->metrics().cfg_fails.total() == 1);
}
