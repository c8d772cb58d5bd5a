// Seeded simulation of queue and block device.
//
//   block_simulation                 a fixed set of seeds
//   block_simulation 12345 [steps]   one seed, to see a failure again
//
// A driver that is sometimes right and sometimes hostile, a backend that completes out of order, short or not at all,
// and an operator that resets, pauses, resumes and replaces the disk, all drawn from one seed, on one thread: a seed
// fails for ever or never.
//
// After every step:
//   - the bytes of guest memory that no offered buffer and no ring covers are as they were,
//   - every chain that was popped was answered once, is in flight, or was dropped by a reset; none was lost,
//   - the used index is the number of answers, and each answer names a head that was offered and not answered yet,
//   - a good request in a good ring is answered as the driver's own model of the disk says, data included.
#include <algorithm>
#include <array>
#include <cstdio>
#include <cstdlib>
#include <memory>
#include <optional>
#include <random>
#include <set>
#include <utility>
#include <vector>

#include "tests/fakes/fake_clock.h"
#include "tests/fakes/fake_device.h"
#include "tests/fakes/fake_driver.h"
#include "tests/fakes/scripted_backend.h"
#include "virtio/block/device.h"
#include "virtio/core/queue_config.h"
#include "virtio/core/ring_layout.h"
#include "vmm/base/log.h"

namespace wisp::fakes {
namespace {

constexpr std::uint64_t kDefaultSteps = 3000;
constexpr std::uint64_t kSeedCount = 24;
constexpr std::uint64_t kSectors = 128;
constexpr std::uint16_t kQueueSize = 32;
constexpr std::uint16_t kChains = 8;  // four descriptors each
constexpr std::uint16_t kDescriptorsPerChain = 4;
// Each chain has its own page for header, table and status, and its own pages for data.
constexpr std::uint64_t kSmallPages = 0x20000;
constexpr std::uint64_t kDataPages = 0x80000;
constexpr std::uint64_t kDataBytesPerChain = 0x2000;
constexpr std::uint64_t kRingPages = kLowStart;
constexpr std::uint64_t kRingBytes = 0x4000;

/// The device's hold on a backend that the simulation owns, so that a replaced one can still be looked at.
class LentBackend final : public BlockBackend {
 public:
  explicit LentBackend(ScriptedBackend& backend) : backend_(backend) {}
  Submission submit(const BlockIo& io) override { return backend_.submit(io); }
  void kick() override { backend_.kick(); }
  std::size_t reap(std::span<BlockCompletion> completions) override { return backend_.reap(completions); }
  std::size_t in_flight_count() const override { return backend_.in_flight_count(); }
  void drain() override { backend_.drain(); }
  std::optional<FdRef> completion_event() const override { return backend_.completion_event(); }

 private:
  ScriptedBackend& backend_;
};

class Simulation {
 public:
  explicit Simulation(std::uint64_t seed)
      : seed_(seed), random_(seed), driver_(memory_, {}, kQueueSize), guest_(memory_) {
    backend_ = random_disk();
    model_ = backend_->disk;
    auto device = BlockDevice::create(DiskProfile{"sim", {}, {kSectors, Access::ReadWrite}, CacheType::Writeback},
                                      std::make_unique<LentBackend>(*backend_), *loop_, clock_);
    check(device.ok(), "the device can be made");
    device_ = std::move(device).value();
    device_->attach(signals_);
    start_over();
  }

  void run(std::uint64_t steps) {
    for (step_ = 0; step_ < steps; ++step_) {
      one_step();
      look_at_answers();
      check_outside();
    }
    finish();
  }

 private:
  /// A request that the driver believes in.
  struct Expectation {
    std::uint32_t type = 0;
    std::uint64_t sector = 0;
    std::uint32_t length = 0;
    bool failed_on_purpose = false;
  };
  enum class Chain { Free, Good, Bad };

  void check(bool holds, const char* what) const {
    if (!holds) {
      std::fprintf(stderr, "FAILED: %s\nseed %llu, step %llu\n", what, static_cast<unsigned long long>(seed_),
                   static_cast<unsigned long long>(step_));
      std::abort();
    }
  }
  std::uint32_t draw(std::uint32_t limit) { return static_cast<std::uint32_t>(random_() % limit); }

  std::uint64_t header_of(std::uint16_t chain) const { return kSmallPages + chain * std::uint64_t{0x1000}; }
  std::uint64_t table_of(std::uint16_t chain) const { return header_of(chain) + 0x100; }
  std::uint64_t status_of(std::uint16_t chain) const { return header_of(chain) + 0x800; }
  std::uint64_t data_of(std::uint16_t chain) const { return kDataPages + chain * kDataBytesPerChain; }
  std::uint16_t head_of(std::uint16_t chain) const { return static_cast<std::uint16_t>(chain * kDescriptorsPerChain); }

  void one_step() {
    const std::uint32_t pick = draw(100);
    if (pick < 35) {
      offer_good();
    } else if (pick < 50) {
      offer_bad_request();
    } else if (pick < 70) {
      kick();
    } else if (pick < 90) {
      complete_some();
    } else if (pick < 93) {
      pause_or_resume();
    } else if (pick < 95) {
      backend_->capacity = draw(2) == 0 ? kMaxBlockInFlight : 1 + draw(3);
    } else if (pick < 97) {
      reset();
    } else if (pick < 98) {
      replace_disk();
    } else {
      break_ring();
    }
  }

  std::optional<std::uint16_t> free_chain() {
    const auto first = static_cast<std::uint16_t>(draw(kChains));
    for (std::uint16_t offset = 0; offset < kChains; ++offset) {
      const auto chain = static_cast<std::uint16_t>((first + offset) % kChains);
      if (chains_[chain] == Chain::Free) {
        return chain;
      }
    }
    return std::nullopt;
  }

  void put_header(std::uint16_t chain, std::uint32_t type, std::uint64_t sector) {
    guest_.put(header_of(chain), type, 4);
    guest_.put(header_of(chain) + 8, sector, 8);
    guest_.put(status_of(chain), 0xee, 1);
  }

  /// Sectors that no other request in flight touches, so that the order of completion does not matter.
  std::optional<std::uint64_t> quiet_sectors(std::uint32_t count) {
    const std::uint64_t sector = draw(static_cast<std::uint32_t>(kSectors - count));
    for (std::uint16_t chain = 0; chain < kChains; ++chain) {
      const Expectation& other = expected_[chain];
      const bool apart = sector + count <= other.sector || other.sector + other.length / 512 <= sector;
      if (chains_[chain] == Chain::Good && !apart) {
        return std::nullopt;
      }
    }
    return sector;
  }

  void offer_good() {
    const auto chain = free_chain();
    const std::uint32_t sectors = 1 + draw(8);
    const auto sector = quiet_sectors(sectors);
    if (!chain || !sector || broken_) {
      return;
    }
    static constexpr std::array<std::uint32_t, 3> kTypes = {0, 1, 4};
    const std::uint32_t type = kTypes[draw(3)];
    const std::uint32_t length = type == 4 ? 0 : sectors * 512;
    put_header(*chain, type, type == 4 ? 0 : *sector);
    ChainBuilder builder(driver_, head_of(*chain));
    builder.readable(header_of(*chain), 16);
    if (length > 0) {
      const std::uint32_t cut = 1 + draw(length - 1);
      const std::uint16_t flags = type == 0 ? kWrite : std::uint16_t{0};
      builder.add(data_of(*chain), cut, flags).add(data_of(*chain) + cut, length - cut, flags);
    }
    builder.writable(status_of(*chain), 1);
    fill_data(*chain, length);
    expected_[*chain] = {type, type == 4 ? 0 : *sector, length, false};
    chains_[*chain] = Chain::Good;
    offer(draw(2) == 0 ? builder.build() : builder.build_indirect(table_of(*chain)));
  }

  void fill_data(std::uint16_t chain, std::uint32_t length) {
    std::vector<std::byte> bytes(length);
    for (std::byte& value : bytes) {
      value = static_cast<std::byte>(random_());
    }
    guest_.put_bytes(data_of(chain), bytes);
  }

  /// A request that is wrong somewhere; it must come back, never with success.
  void offer_bad_request() {
    const auto chain = free_chain();
    if (!chain || broken_) {
      return;
    }
    std::uint32_t type = draw(2);
    std::uint64_t sector = draw(kSectors);
    std::uint32_t length = 512;
    std::uint32_t header_length = 16;
    std::uint64_t data = data_of(*chain);
    std::uint16_t flags = type == 0 ? kWrite : std::uint16_t{0};
    switch (draw(7)) {
      case 0: sector = kSectors + draw(1000); break;
      case 1: sector = ~std::uint64_t{0} - draw(1000); break;
      case 2: length = 1 + draw(511); break;
      case 3: header_length = draw(16); break;
      case 4: data = bad_address(); break;
      case 5: type = 11 + draw(1000); break;
      default: flags ^= kWrite; break;
    }
    put_header(*chain, type, sector);
    ChainBuilder builder(driver_, head_of(*chain));
    builder.readable(header_of(*chain), header_length).add(data, length, flags);
    builder.writable(status_of(*chain), draw(8) == 0 ? 0 : 1);
    chains_[*chain] = Chain::Bad;
    offer(builder.build());
  }

  std::uint64_t bad_address() {
    switch (draw(5)) {
      case 0: return 0;
      case 1: return kLowStart + kLowBytes - draw(511) - 1;
      case 2: return kHighStart - 1;
      case 3: return kHighStart + kHighBytes - draw(511) - 1;
      default: return ~std::uint64_t{0} - draw(600);
    }
  }

  void offer(std::uint16_t head) {
    check(outstanding_.insert(head).second, "the driver offers a head once");
    driver_.offer(head);
  }

  void kick() {
    if (!paused_) {
      (void)device_->on_queue(0);
    }
  }

  void complete_some() {
    const std::uint32_t wanted = 1 + draw(4);
    for (std::uint32_t count = 0; count < wanted && !backend_->pending.empty(); ++count) {
      const std::size_t index = draw(static_cast<std::uint32_t>(backend_->pending.size()));
      const BlockIo& io = backend_->pending[index];
      const bool fail = draw(10) == 0;
      if (fail) {
        note_failure(io);
      }
      const std::uint32_t limit = fail ? draw(2) * 512 : UINT32_MAX;
      backend_->finish(index, fail ? 5 : 0, limit);
    }
    loop_->run_once(0);
    look_at_answers();
    follow_replacement();
    if (signals_.look_again_count > looked_again_) {
      looked_again_ = signals_.look_again_count;
      kick();
    }
  }

  /// The driver must then see an error; which sectors were written is open.
  void note_failure(const BlockIo& io) {
    for (std::uint16_t chain = 0; chain < kChains; ++chain) {
      Expectation& expected = expected_[chain];
      const bool same = chains_[chain] == Chain::Good && expected.type != 4 && expected.sector * 512 == io.offset_bytes;
      if (io.kind != IoKind::Flush && same) {
        expected.failed_on_purpose = true;
      }
    }
    flush_may_fail_ = flush_may_fail_ || io.kind == IoKind::Flush;
  }

  std::unique_ptr<ScriptedBackend> random_disk() {
    auto made = std::make_unique<ScriptedBackend>(kSectors * 512);
    for (std::byte& value : made->disk) {
      value = static_cast<std::byte>(random_());
    }
    return made;
  }

  void replace_disk() {
    auto made = random_disk();
    const bool idle = device_->in_flight_count() == 0;
    DiskMedium medium{{}, {kSectors, Access::ReadWrite}, std::make_unique<LentBackend>(*made)};
    check(device_->replace_medium(std::move(medium)).ok(), "a disk can be replaced");
    check(device_->replacement_pending() != idle, "a disk is replaced when nothing is in flight, and not before");
    next_ = std::move(made);
    follow_replacement();
    kick();
  }
  /// From here on the new disk answers; all answers of the old one have been looked at.
  void follow_replacement() {
    if (next_ != nullptr && !device_->replacement_pending()) {
      check(backend_->in_flight_count() == 0, "nothing is in flight on a disk that was replaced");
      backend_ = std::move(next_);
      model_ = backend_->disk;
    }
  }

  void pause_or_resume() {
    paused_ ? device_->resume() : device_->quiesce();
    paused_ = !paused_;
    if (!paused_) {
      kick();
    }
  }

  void reset() {
    device_->reset();
    check(device_->in_flight_count() == 0 && backend_->in_flight_count() == 0, "a reset leaves nothing in flight");
    follow_replacement();
    start_over();
  }

  void start_over() {
    // A write that the reset cut off may have happened or not: the model takes what the disk holds.
    model_ = backend_->disk;
    outstanding_.clear();
    chains_.fill(Chain::Free);
    expected_.fill({});
    driver_.start_over();
    broken_ = paused_ = flush_may_fail_ = false;
    answers_ = 0;
    needs_reset_before_ = signals_.needs_reset_count;
    QueueConfig config(256);
    config.set_size(kQueueSize);
    config.set_address(QueuePart::DescriptorTable, AddressHalf::Low,
                       static_cast<std::uint32_t>(driver_.place().descriptors));
    config.set_address(QueuePart::AvailableRing, AddressHalf::Low,
                       static_cast<std::uint32_t>(driver_.place().available));
    config.set_address(QueuePart::UsedRing, AddressHalf::Low, static_cast<std::uint32_t>(driver_.place().used));
    check(config.make_ready(memory_) == QueueConfigDefect::None, "the queue can be set up");
    const std::uint64_t features = feature::kVersion1 | feature::kIndirectDescriptors | block_feature::kFlush |
                                   (draw(2) == 0 ? feature::kEventIndex : 0);
    Activation activation{&memory_, interrupt_.get(), features, {}};
    activation.queues.push_back(config.activate(memory_, features));
    check(device_->activate(std::move(activation)).ok(), "the device can be activated");
    outside_ = outside();
  }

  /// Breaks the ring for good; the device must notice when it looks, and stop.
  void break_ring() {
    if (broken_ || paused_ || next_ != nullptr) {
      return;
    }
    // Everything that waits is popped first, so that what comes back afterwards is known.
    backend_->capacity = kMaxBlockInFlight;
    while (device_->on_queue(0)) {
    }
    look_at_answers();
    switch (draw(outstanding_.empty() ? 4 : 5)) {
      case 4: driver_.offer(*outstanding_.begin()); break;  // in flight: everything was popped
      case 0:
        driver_.set_available_index(
            static_cast<std::uint16_t>(driver_.available_index() + kQueueSize + 1 + draw(1000)));
        break;
      case 1: driver_.offer(static_cast<std::uint16_t>(kQueueSize + draw(1000))); break;
      case 2:
        driver_.put_descriptor(kQueueSize - 1, data_of(0), 1, kNext,
                               static_cast<std::uint16_t>(kQueueSize + draw(100)));
        break_with_last();
        break;
      default:
        driver_.put_descriptor(kQueueSize - 1, data_of(0), 1, kNext, kQueueSize - 1);
        break_with_last();
        break;
    }
    broken_ = true;
    kick();
    check(signals_.needs_reset_count == needs_reset_before_ + 1, "a broken ring asks for a reset, once");
    outside_ = outside();
  }
  /// The last chain's descriptors include the last descriptor of the ring: it must not be in use.
  void break_with_last() { driver_.offer(kQueueSize - 1); }

  void look_at_answers() {
    const std::uint16_t before = answers_;
    while (const auto used = driver_.take_used()) {
      ++answers_;
      check(outstanding_.erase(static_cast<std::uint16_t>(used->id)) == 1,
            "an answer names a head that is outstanding");
      check(used->id % kDescriptorsPerChain == 0, "an answer names a head");
      judge(static_cast<std::uint16_t>(used->id / kDescriptorsPerChain), used->length);
    }
    check(static_cast<std::uint16_t>(answers_ - before) <= kQueueSize, "no more answers than the queue has heads");
    check(driver_.used_index() == answers_, "the used index counts the answers");
    check(device_->in_flight_count() <= outstanding_.size(), "what is in flight is outstanding");
  }

  void judge(std::uint16_t chain, std::uint32_t used_length) {
    const auto status = static_cast<std::uint8_t>(guest_.get(status_of(chain), 1));
    const Expectation expected = expected_[chain];
    const Chain kind = std::exchange(chains_[chain], Chain::Free);
    if (kind == Chain::Bad) {
      check(status != 0, "a bad request is never a success");
      check(used_length <= 1 && (used_length == 1 || status == 0xee), "a bad request writes its status at most");
      return;
    }
    check(kind == Chain::Good, "an answered chain was offered");
    const bool may_fail = expected.failed_on_purpose || (expected.type == 4 && flush_may_fail_);
    check(status == 0 || (status == 1 && may_fail), "a good request succeeds unless the backend failed it");
    if (status != 0) {
      model_ = backend_->disk;
      return;
    }
    check(!expected.failed_on_purpose, "a request that the backend failed is no success");
    check_data(chain, expected, used_length);
  }

  void check_data(std::uint16_t chain, const Expectation& expected, std::uint32_t used_length) {
    const auto data = guest_.bytes(data_of(chain), kDataBytesPerChain);
    const auto first = model_.begin() + static_cast<std::ptrdiff_t>(expected.sector * 512);
    if (expected.type == 0) {
      check(used_length == expected.length + 1, "a read writes its data and a status");
      check(std::equal(first, first + expected.length, data.begin()), "a read brings what the disk holds");
      return;
    }
    check(used_length == 1, "a write and a flush write their status only");
    if (expected.type == 1) {
      std::copy_n(data.begin(), expected.length, first);
      check(std::equal(first, first + expected.length,
                       backend_->disk.begin() + static_cast<std::ptrdiff_t>(expected.sector * 512)),
            "a write puts its data on the disk");
    }
  }

  /// The parts of memory that neither a ring, a header page nor a data buffer covers.
  std::vector<std::byte> outside() const {
    auto all = guest_.bytes(kRingPages + kRingBytes, kSmallPages - kRingPages - kRingBytes);
    const std::uint64_t small_end = kSmallPages + kChains * std::uint64_t{0x1000};
    const auto behind = guest_.bytes(small_end, kLowStart + kLowBytes - small_end);
    const std::uint64_t data_end = kDataPages + kChains * kDataBytesPerChain;
    const auto top = guest_.bytes(data_end, kHighStart + kHighBytes - data_end);
    all.insert(all.end(), behind.begin(), behind.end());
    all.insert(all.end(), top.begin(), top.end());
    return all;
  }
  void check_outside() {
    if (step_ % 16 == 0) {
      check(outside() == outside_, "memory outside rings and buffers is untouched");
    }
  }

  /// Lets everything end: then every chain of a sound ring has come back.
  void finish() {
    if (paused_) {
      pause_or_resume();
    }
    backend_->capacity = kMaxBlockInFlight;
    for (int round = 0; round < 8; ++round) {
      kick();
      backend_->finish_all();
      loop_->run_once(0);
      look_at_answers();
      follow_replacement();
    }
    check(next_ == nullptr, "a replacement takes place in the end");
    check(device_->in_flight_count() == 0, "everything in flight ended");
    check(broken_ || outstanding_.empty(), "every chain of a sound ring came back");
    step_ = 0;
    check_outside();
  }

  static std::unique_ptr<EventLoop> make_loop() {
    auto loop = EventLoop::create();
    WISP_ASSERT(loop.ok());
    return std::move(loop).value();
  }
  static std::unique_ptr<InterruptLine> make_interrupt() {
    auto line = InterruptLine::create();
    WISP_ASSERT(line.ok());
    return std::move(line).value();
  }

  std::uint64_t seed_;
  std::uint64_t step_ = 0;
  std::mt19937_64 random_;
  GuestMemory memory_ = make_memory();
  FakeQueue driver_;
  GuestView guest_;
  fakes::FakeClock clock_;
  FakeSignals signals_;
  std::unique_ptr<EventLoop> loop_ = make_loop();
  std::unique_ptr<InterruptLine> interrupt_ = make_interrupt();
  std::unique_ptr<ScriptedBackend> backend_;
  std::unique_ptr<ScriptedBackend> next_;  // not in use yet
  std::unique_ptr<BlockDevice> device_;

  std::vector<std::byte> model_;
  std::vector<std::byte> outside_;
  std::set<std::uint16_t> outstanding_;
  std::array<Chain, kChains> chains_{};
  std::array<Expectation, kChains> expected_{};
  bool broken_ = false;
  bool paused_ = false;
  bool flush_may_fail_ = false;
  std::uint16_t answers_ = 0;
  int looked_again_ = 0;
  int needs_reset_before_ = 0;
};

}  // namespace
}  // namespace wisp::fakes

int main(int argc, char** argv) {
  wisp::log::configure({0, false, false, {}});
  const std::uint64_t steps = argc > 2 ? std::strtoull(argv[2], nullptr, 10) : wisp::fakes::kDefaultSteps;
  if (argc > 1) {
    wisp::fakes::Simulation(std::strtoull(argv[1], nullptr, 10)).run(steps);
    std::printf("seed %s: %llu steps, all invariants held\n", argv[1], static_cast<unsigned long long>(steps));
    return 0;
  }
  for (std::uint64_t seed = 1; seed <= wisp::fakes::kSeedCount; ++seed) {
    wisp::fakes::Simulation(seed).run(steps);
  }
  std::printf("%llu seeds of %llu steps, all invariants held\n",
              static_cast<unsigned long long>(wisp::fakes::kSeedCount), static_cast<unsigned long long>(steps));
  return 0;
}
