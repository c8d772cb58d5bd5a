#include "virtio/balloon/device.h"

#include <algorithm>
#include <limits>
#include <string>
#include <utility>

#include "virtio/core/ring_layout.h"
#include "vmm/base/log.h"

namespace wisp {
namespace {

constexpr std::uint64_t kPagesPerMib = 256;
constexpr std::uint64_t kNsPerSecond = 1'000'000'000;

/// Section 5.5.4, up to the last field whose feature can be offered.
struct BalloonConfigSpace {
  Le32 num_pages;
  Le32 actual;
  Le32 free_page_hint_cmd_id;
};
static_assert(sizeof(BalloonConfigSpace) == 12);
constexpr std::uint64_t kActualOffset = offsetof(BalloonConfigSpace, actual);
constexpr unsigned kBitsPerByte = 8;

struct OptionalQueue {
  BalloonQueue kind;
  std::uint64_t feature;
};
/// In the order of their numbers, behind inflate and deflate.
constexpr OptionalQueue kOptionalQueues[] = {{BalloonQueue::Statistics, balloon_feature::kStatsQueue},
                                             {BalloonQueue::Hinting, balloon_feature::kFreePageHint},
                                             {BalloonQueue::Reporting, balloon_feature::kPageReporting}};

Error hinting_not_enabled() {
  return {ErrorCode::InvalidArgument, "Balloon: Attempting to use hinting when not enabled"};
}

}  // namespace

Result<std::unique_ptr<BalloonDevice>> BalloonDevice::create(const BalloonConfig& config, std::uint64_t memory_mib,
                                                             EventLoop& loop, const Clock& clock) {
  if (config.amount_mib > memory_mib || config.amount_mib * kPagesPerMib > std::numeric_limits<std::uint32_t>::max()) {
    return Error(ErrorCode::InvalidArgument, "Amount of pages requested is too large.");
  }
  auto device = std::make_unique<BalloonDevice>(PrivateTag{}, config, memory_mib, clock);
  if (config.stats_polling_interval_s != 0) {
    BalloonDevice* const self = device.get();
    device->timer_ = WISP_TRY(OneShotTimer::create(loop, [self] { self->on_statistics_due(); }));
  }
  return device;
}

BalloonDevice::BalloonDevice(PrivateTag /*tag*/, const BalloonConfig& config, std::uint64_t memory_mib,
                             const Clock& clock)
    : QueueDevice("balloon", {metrics_.activate_fails, ignored_config_writes_, metrics_.event_fails}),
      config_(config),
      memory_mib_(memory_mib),
      clock_(clock),
      target_pages_(static_cast<std::uint32_t>(config.amount_mib * kPagesPerMib)) {}

std::uint64_t BalloonDevice::offered_features() const {
  return feature::kVersion1 | feature::kEventIndex | feature::kIndirectDescriptors |
         (config_.deflate_on_oom ? balloon_feature::kDeflateOnOom : 0) |
         (config_.stats_polling_interval_s != 0 ? balloon_feature::kStatsQueue : 0) |
         (config_.free_page_hinting ? balloon_feature::kFreePageHint : 0) |
         (config_.free_page_reporting ? balloon_feature::kPageReporting : 0);
}

std::size_t BalloonDevice::queue_count() const {
  const std::uint64_t features = offered_features();
  return kFixedQueues + static_cast<std::size_t>(std::ranges::count_if(
                            kOptionalQueues, [&](const OptionalQueue& each) { return features & each.feature; }));
}

void BalloonDevice::read_config(std::uint64_t offset, std::span<std::byte> data) const {
  const BalloonConfigSpace space{target_pages_.load(std::memory_order_acquire),
                                 actual_pages_.load(std::memory_order_acquire), hinting_.host_command()};
  read_from(std::as_bytes(std::span(&space, 1)), offset, data);
}

void BalloonDevice::write_config(std::uint64_t offset, std::span<const std::byte> data) {
  // One vCPU at a time: the transport holds its lock. The loop's thread writes only while the driver waits for a reset.
  std::uint32_t actual = actual_pages_.load(std::memory_order_acquire);
  bool ignored = false;
  for (std::size_t index = 0; index < data.size(); ++index) {
    const auto at = checked_add<std::uint64_t>(offset, index);
    if (!at || *at < kActualOffset || *at >= kActualOffset + sizeof(actual)) {
      ignored = true;
      continue;
    }
    const auto shift = static_cast<unsigned>(*at - kActualOffset) * kBitsPerByte;
    actual = (actual & ~(std::uint32_t{0xff} << shift)) | (std::to_integer<std::uint32_t>(data[index]) << shift);
  }
  actual_pages_.store(actual, std::memory_order_release);
  ignored_config_writes_.add(ignored ? 1 : 0);
}

// ---------------------------------------------------------------------------------------------------------------------
// The operator.

Status BalloonDevice::check_live() const {
  if (!active() && !quiesced()) {
    return Error(ErrorCode::WrongState, "Balloon: Device not activated yet.");
  }
  return {};
}

Status BalloonDevice::resize(std::uint32_t amount_mib) {
  (void)WISP_TRY(check_live());
  const std::uint64_t pages = amount_mib * kPagesPerMib;
  if (amount_mib > memory_mib_ || pages > std::numeric_limits<std::uint32_t>::max()) {
    return Error(ErrorCode::InvalidArgument,
                 "Balloon: Requested memory should be less than " + std::to_string(memory_mib_) + "MiB");
  }
  target_pages_.store(static_cast<std::uint32_t>(pages), std::memory_order_release);
  signals().config_changed();
  return {};
}

Result<BalloonStatistics> BalloonDevice::statistics() const {
  if (config_.stats_polling_interval_s == 0) {
    return Error(ErrorCode::WrongState, "Balloon: Received stats query when stats are disabled.");
  }
  BalloonStatistics statistics;
  statistics.target_pages = target_pages_.load();
  statistics.actual_pages = actual_pages_.load();
  statistics.target_mib = statistics.target_pages / kPagesPerMib;
  statistics.actual_mib = statistics.actual_pages / kPagesPerMib;
  statistics.guest = statistics_;
  return statistics;
}

Status BalloonDevice::set_polling_interval(std::uint16_t interval_s) {
  if ((interval_s == 0) != (config_.stats_polling_interval_s == 0)) {
    return Error(ErrorCode::WrongState, "Balloon: Statistics cannot be enabled/disabled after activation.");
  }
  config_.stats_polling_interval_s = interval_s;
  if (held_statistics_) {
    arm_statistics_timer();
  }
  return {};
}

Status BalloonDevice::start_hinting(HintingStop on_stop) {
  if (!config_.free_page_hinting) {
    return hinting_not_enabled();
  }
  (void)WISP_TRY(check_live());
  hinting_.start(on_stop);
  signals().config_changed();
  return {};
}

Status BalloonDevice::stop_hinting() {
  if (!config_.free_page_hinting) {
    return hinting_not_enabled();
  }
  (void)WISP_TRY(check_live());
  hinting_.stop();
  signals().config_changed();
  return {};
}

Result<BalloonHintingStatus> BalloonDevice::hinting_status() const {
  if (!config_.free_page_hinting) {
    return hinting_not_enabled();
  }
  return hinting_.status();
}

BalloonConfig BalloonDevice::config() const {
  BalloonConfig config = config_;
  config.amount_mib = static_cast<std::uint32_t>(target_pages_.load() / kPagesPerMib);
  return config;
}

// ---------------------------------------------------------------------------------------------------------------------
// Life.

Status BalloonDevice::on_activate() {
  // Drivers count only the queues of the features that they accepted.
  kinds_ = {BalloonQueue::Inflate, BalloonQueue::Deflate};
  std::size_t index = kFixedQueues;
  for (const OptionalQueue& each : kOptionalQueues) {
    if (negotiated(each.feature)) {
      statistics_index_ = each.kind == BalloonQueue::Statistics ? index : statistics_index_;
      kinds_[index++] = each.kind;
    }
  }
  if (std::exchange(announce_on_activation_, false)) {
    signals().config_changed();
  }
  return {};
}

void BalloonDevice::on_quiesce() {
  for (std::optional<Work>& work : works_) {
    if (work) {
      std::move(work->chain).put_back();
      work.reset();
    }
  }
  if (held_statistics_) {
    std::move(*held_statistics_).put_back();
    held_statistics_.reset();
    statistics_put_back_ = true;
    timer_->disarm();
  }
}

void BalloonDevice::on_reset() {
  for (std::optional<Work>& work : works_) {
    if (work) {
      std::move(work->chain).abandon();
      work.reset();
    }
  }
  if (held_statistics_) {
    std::move(*held_statistics_).abandon();
    held_statistics_.reset();
    timer_->disarm();
  }
  statistics_put_back_ = false;
  statistics_ = {};
  kinds_ = {};
  hinting_.forget_driver();
  actual_pages_.store(0, std::memory_order_release);
}

// ---------------------------------------------------------------------------------------------------------------------
// Page frames and ranges.

Backlog BalloonDevice::serve(std::size_t index) {
  if (index >= kinds_.size() || !kinds_[index]) {
    return Backlog::None;  // a queue of a feature that the driver did not accept
  }
  switch (*kinds_[index]) {
    case BalloonQueue::Deflate: return serve_deflate(index);
    case BalloonQueue::Statistics: return serve_statistics(index);
    default: return serve_work(index, *kinds_[index]);
  }
}

Backlog BalloonDevice::serve_work(std::size_t index, BalloonQueue kind) {
  const std::uint64_t bytes = kind == BalloonQueue::Inflate ? kFramesPerTurn * kPageSizeBytes : kRangeBytesPerTurn;
  BatchBudget budget{.requests = queue_at(index).size(), .bytes = bytes};
  if (auto& held = work_of(kind)) {
    Work work = std::move(*held);
    held.reset();
    if (go_on(kind, std::move(work), budget) == Progress::Unfinished) {
      return Backlog::Some;
    }
  }
  const PumpResult result = pump_queue(queue_at(index), budget, [&](DescriptorChain chain) {
    return start(kind, std::move(chain), budget) == Progress::Done ? Pump::Next : Pump::Stop;
  });
  const Backlog left = conclude(index, result);
  return result.stopped ? Backlog::Some : left;
}

bool BalloonDevice::well_formed(BalloonQueue kind, const DescriptorChain& chain) const {
  if (chain.defect() != ChainDefect::None) {
    return false;
  }
  const std::uint32_t readable_bytes = chain.reader().size_bytes();
  const bool has_ranges = !chain.writer().empty();
  switch (kind) {
    case BalloonQueue::Inflate:
    case BalloonQueue::Deflate: return readable_bytes > 0 && readable_bytes % kFrameNumberBytes == 0;
    case BalloonQueue::Hinting: return readable_bytes == sizeof(Le32) || (readable_bytes == 0 && has_ranges);
    case BalloonQueue::Reporting: return has_ranges;
    case BalloonQueue::Statistics: return readable_bytes > 0;
  }
  return false;
}

void BalloonDevice::count_malformed(BalloonQueue kind) {
  switch (kind) {
    case BalloonQueue::Hinting: metrics_.free_page_hint_fails.add(); break;
    case BalloonQueue::Reporting: metrics_.free_page_report_fails.add(); break;
    case BalloonQueue::Statistics: metrics_.stats_update_fails.add(); break;
    default: metrics_.event_fails.add(); break;
  }
  WISP_LOG_LIMITED(Warn, "%s: a malformed buffer in a queue of kind %u", name().c_str(), static_cast<unsigned>(kind));
}

BalloonDevice::Progress BalloonDevice::start(BalloonQueue kind, DescriptorChain chain, BatchBudget& budget) {
  if (!well_formed(kind, chain) || (kind == BalloonQueue::Hinting && !take_hinting_command(chain))) {
    count_malformed(kind);
    std::move(chain).complete(0);
    return Progress::Done;
  }
  const ChainReader list = kind == BalloonQueue::Inflate ? chain.reader() : ChainReader();
  const RangeCursor ranges = kind == BalloonQueue::Inflate ? RangeCursor() : RangeCursor(chain.writer());
  return go_on(kind, {std::move(chain), list, ranges}, budget);
}

bool BalloonDevice::take_hinting_command(const DescriptorChain& chain) {
  ChainReader reader = chain.reader();
  if (reader.empty()) {
    return true;
  }
  const auto command = reader.read<Le32>();
  if (!command) {
    return false;
  }
  if (hinting_.on_guest_command(*command) == HintingSession::Reaction::CommandChanged) {
    signals().config_changed();
  }
  return true;
}

BalloonDevice::Progress BalloonDevice::go_on(BalloonQueue kind, Work work, BatchBudget& budget) {
  if (kind == BalloonQueue::Inflate) {
    release_frames(work.list, budget);
  } else {
    release_ranges(kind, work.ranges, budget);
  }
  if (!work.list.empty() || !work.ranges.at_end()) {
    work_of(kind) = std::move(work);
    return Progress::Unfinished;
  }
  metrics_.inflate_count.add(kind == BalloonQueue::Inflate ? 1 : 0);
  std::move(work.chain).complete(0);
  return Progress::Done;
}

void BalloonDevice::release_frames(ChainReader& list, BatchBudget& budget) {
  ReleaseTotals totals;
  while (budget.bytes > 0 && !list.empty()) {
    const auto frames = frames_.next(list);
    if (frames.empty()) {
      metrics_.event_fails.add();  // the list itself has been unplugged
      list.skip(list.size_bytes());
      break;
    }
    budget.charge_bytes(frames.size() * kPageSizeBytes);
    for (const std::uint32_t frame : frames) {
      if (releaser_.full()) {
        releaser_.release(memory(), totals);
      }
      releaser_.add(frame);
    }
  }
  releaser_.release(memory(), totals);
  if (totals.outside_count + totals.refused_count > 0) {
    metrics_.event_fails.add(totals.outside_count + totals.refused_count);
    WISP_LOG_LIMITED(Warn, "%s: %llu pages outside memory, %llu ranges that the host did not take", name().c_str(),
                     static_cast<unsigned long long>(totals.outside_count),
                     static_cast<unsigned long long>(totals.refused_count));
  }
}

void BalloonDevice::release_ranges(BalloonQueue kind, RangeCursor& ranges, BatchBudget& budget) {
  const bool hinting = kind == BalloonQueue::Hinting;
  ReleaseTotals totals;
  std::uint64_t count = 0;
  while (budget.bytes > 0 && !ranges.at_end()) {
    const GuestRange range = ranges.next(kRangeBytesPerCall);
    if (hinting && !hinting_.collecting()) {
      continue;  // of a run that is over; at most kMaxSegments buffers in pieces of kRangeBytesPerCall
    }
    ++count;
    release_range(memory(), range, totals);
    budget.charge_bytes(range.size_bytes);
  }
  (hinting ? metrics_.free_page_hint_count : metrics_.free_page_report_count).add(count);
  (hinting ? metrics_.free_page_hint_freed : metrics_.free_page_report_freed).add(totals.freed_bytes);
  (hinting ? metrics_.free_page_hint_fails : metrics_.free_page_report_fails)
      .add(totals.outside_count + totals.refused_count);
}

Backlog BalloonDevice::serve_deflate(std::size_t index) {
  // Nothing to do: a page that was given back comes back zeroed when the guest touches it. So its list is not read.
  BatchBudget budget{.requests = queue_at(index).size(), .bytes = kRangeBytesPerTurn};
  return conclude(index, pump_queue(queue_at(index), budget, [&](DescriptorChain chain) {
                    if (well_formed(BalloonQueue::Deflate, chain)) {
                      metrics_.deflate_count.add();
                    } else {
                      count_malformed(BalloonQueue::Deflate);
                    }
                    std::move(chain).complete(0);
                    return Pump::Next;
                  }));
}

// ---------------------------------------------------------------------------------------------------------------------
// Statistics.

Backlog BalloonDevice::serve_statistics(std::size_t index) {
  BatchBudget budget{.requests = queue_at(index).size(), .bytes = kRangeBytesPerTurn};
  return conclude(index, pump_queue(queue_at(index), budget, [&](DescriptorChain chain) {
                    take_statistics(std::move(chain));
                    return Pump::Next;
                  }));
}

void BalloonDevice::take_statistics(DescriptorChain chain) {
  // A driver has one buffer here. One that offers more gets the older back, so that the one held is the last popped.
  return_statistics();
  const bool seen_before = std::exchange(statistics_put_back_, false);
  if (!well_formed(BalloonQueue::Statistics, chain)) {
    count_malformed(BalloonQueue::Statistics);
    std::move(chain).complete(0);
    return;
  }
  if (!seen_before) {
    metrics_.stats_updates_count.add();
    if (read_statistics(chain.reader(), statistics_) != StatisticsDefect::None) {
      metrics_.stats_update_fails.add();
    }
    statistics_came_ns_ = clock_.now_ns();
  }
  held_statistics_ = std::move(chain);
  arm_statistics_timer();
}

void BalloonDevice::return_statistics() {
  if (held_statistics_) {
    std::move(*held_statistics_).complete(0);
    held_statistics_.reset();
    timer_->disarm();
  }
}

void BalloonDevice::arm_statistics_timer() {
  const std::uint64_t due_ns = statistics_came_ns_ + config_.stats_polling_interval_s * kNsPerSecond;
  const std::uint64_t now_ns = clock_.now_ns();
  timer_->arm(due_ns > now_ns ? due_ns - now_ns : 0);
}

void BalloonDevice::on_statistics_due() {
  if (held_statistics_ && active()) {
    return_statistics();
    publish(statistics_index_);
  }
}

// ---------------------------------------------------------------------------------------------------------------------
// Capture and restore.

void BalloonDevice::save(StateWriter& out) const {
  out.u64(offered_features());
  out.u32(target_pages_.load());
  out.u32(actual_pages_.load());
  out.u16(config_.stats_polling_interval_s);
  for (const std::optional<std::uint64_t>& value : statistics_) {
    out.boolean(value.has_value());
    out.u64(value.value_or(0));
  }
  hinting_.save(out);
}

Status BalloonDevice::restore(StateReader& in) {
  const std::uint64_t features = in.u64();
  const std::uint32_t target_pages = in.u32();
  const std::uint32_t actual_pages = in.u32();
  const std::uint16_t interval_s = in.u16();
  GuestStatistics statistics;
  for (std::optional<std::uint64_t>& value : statistics) {
    const bool present = in.boolean();
    const std::uint64_t number = in.u64();
    value = present ? std::optional(number) : std::nullopt;
  }
  (void)WISP_TRY(in.check(features == offered_features(), "the balloon is configured otherwise now"));
  (void)WISP_TRY(in.check(target_pages <= memory_mib_ * kPagesPerMib, "a target larger than the memory"));
  (void)WISP_TRY(in.check((interval_s == 0) == (config_.stats_polling_interval_s == 0), "statistics were switched"));
  (void)WISP_TRY(hinting_.restore(in));
  target_pages_.store(target_pages, std::memory_order_release);
  actual_pages_.store(actual_pages, std::memory_order_release);
  config_.stats_polling_interval_s = interval_s;
  statistics_ = statistics;
  announce_on_activation_ = config_.free_page_hinting;
  return {};
}

}  // namespace wisp
