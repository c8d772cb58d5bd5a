#include "virtio/block/device.h"

#include <algorithm>
#include <array>
#include <utility>

#include "virtio/block/backend_async.h"
#include "virtio/block/backend_sync.h"
#include "virtio/core/ring_layout.h"
#include "vmm/base/checked.h"
#include "vmm/base/log.h"

namespace wisp {
namespace {

constexpr std::size_t kReapBatch = 64;
constexpr std::uint64_t kNsPerUs = 1000;

/// Section 5.2.4, up to the last field whose feature is offered.
struct BlockConfigSpace {
  Le64 capacity;
  Le32 size_max;
  Le32 seg_max;
};
static_assert(sizeof(BlockConfigSpace) == 16 && offsetof(BlockConfigSpace, seg_max) == 12);

std::uint64_t features_of(const DiskProfile& profile) {
  std::uint64_t features = feature::kVersion1 | feature::kEventIndex | feature::kIndirectDescriptors |
                           block_feature::kSizeMax | block_feature::kSegMax;
  if (profile.cache_type == CacheType::Writeback) {
    features |= block_feature::kFlush;
  }
  if (profile.shape.access == Access::ReadOnly) {
    features |= block_feature::kReadOnly;
  }
  return features;
}

Result<std::unique_ptr<BlockBackend>> make_backend(IoEngine engine, DiskFile file) {
  if (engine == IoEngine::Async) {
    return std::unique_ptr<BlockBackend>(WISP_TRY(AsyncBackend::create(std::move(file))));
  }
  return std::unique_ptr<BlockBackend>(std::make_unique<SyncBackend>(std::move(file)));
}

std::uint64_t data_bytes_of(const BlockRequest& request) {
  if (request.defect != RequestDefect::None) {
    return 0;
  }
  switch (request.op) {
    case BlockOp::Read: return request.target.size_bytes();
    case BlockOp::Write: return request.source.size_bytes();
    default: return 0;
  }
}

}  // namespace

Result<std::unique_ptr<BlockDevice>> BlockDevice::create(const DriveConfig& config, EventLoop& loop) {
  return create(config, WISP_TRY(DiskFile::open(config)), loop);
}

Result<std::unique_ptr<BlockDevice>> BlockDevice::create(const DriveConfig& config, DiskFile file, EventLoop& loop) {
  static const MonotonicClock kClock;
  DiskProfile profile{config.drive_id,   file.device_id(), {file.sector_count(), file.access()},
                      config.cache_type, config.io_engine, config.limits};
  auto backend = WISP_TRY(make_backend(config.io_engine, std::move(file)));
  return create(std::move(profile), std::move(backend), loop, kClock);
}

Result<std::unique_ptr<BlockDevice>> BlockDevice::create(DiskProfile profile, std::unique_ptr<BlockBackend> backend,
                                                         EventLoop& loop, const Clock& clock) {
  const auto event = backend->completion_event();
  const RateLimiterConfig limits = profile.limits;
  auto device = std::make_unique<BlockDevice>(PrivateTag{}, std::move(profile), std::move(backend), loop, clock);
  BlockDevice* const raw = device.get();
  device->limiter_ = WISP_TRY(RateLimiter::create(limits, loop, clock, [raw] { raw->on_limiter_ready(); }));
  if (event) {
    (void)WISP_TRY(loop.watch(*event, Interest::ReadableEdge, *device));
  }
  return device;
}

BlockDevice::BlockDevice(PrivateTag /*tag*/, DiskProfile profile, std::unique_ptr<BlockBackend> backend,
                         EventLoop& loop, const Clock& clock)
    : QueueDevice("drive '" + profile.drive_id + "'",
                  {metrics_.activate_fails, metrics_.cfg_fails, metrics_.event_fails}),
      profile_(std::move(profile)),
      offered_features_(features_of(profile_)),
      capacity_(profile_.shape.sector_count),
      backend_(std::move(backend)),
      loop_(&loop),
      clock_(&clock) {}

BlockDevice::~BlockDevice() {
  if (next_) {  // first: nobody is told of a switch any more
    unwatch(*next_->backend);
    next_.reset();
  }
  reset();
  unwatch(*backend_);
}

void BlockDevice::unwatch(const BlockBackend& backend) {
  if (const auto event = backend.completion_event()) {
    loop_->unwatch(*event, *this);
  }
}

void BlockDevice::read_config(std::uint64_t offset, std::span<std::byte> data) const {
  const BlockConfigSpace space{capacity_.load(std::memory_order_acquire), kMaxSegmentBytes, kMaxDataSegments};
  read_from(std::as_bytes(std::span(&space, 1)), offset, data);
}

// ---------------------------------------------------------------------------------------------------------------------
// Life.

void BlockDevice::on_reset() {
  backend_->drain();
  in_flight_.clear([](InFlight entry) { std::move(entry.chain).abandon(); });
  if (limiter_) {
    limiter_->cancel_wait();
  }
  wait_ = Wait::None;
  flush_failed_ = false;
  switch_medium_if_idle();
}

void BlockDevice::save(StateWriter& out) const {
  out.u64(profile_.shape.sector_count);
  out.boolean(flush_failed_);
  limiter_->save(out);
}

Status BlockDevice::restore(StateReader& in) {
  const std::uint64_t sector_count = in.u64();
  const bool flush_failed = in.boolean();
  (void)WISP_TRY(in.check(sector_count == profile_.shape.sector_count, "the disk has another size now"));
  flush_failed_ = flush_failed;
  return limiter_->restore(in);
}

// ---------------------------------------------------------------------------------------------------------------------
// Live updates.

Status BlockDevice::update(const DrivePatch& patch) {
  if (patch.path_on_host) {
    DriveConfig config;
    config.path_on_host = *patch.path_on_host;
    config.is_read_only = profile_.shape.access == Access::ReadOnly;
    Result<DiskFile> file = DiskFile::open(config);
    if (!file.ok()) {
      metrics_.update_fails.add();
      return std::move(file).error();
    }
    (void)WISP_TRY(replace_disk(std::move(file).value()));
  }
  if (patch.limits) {
    update_limits(*patch.limits);
  }
  return {};
}

Status BlockDevice::replace_disk(DiskFile file) {
  DiskMedium medium{file.device_id(), {file.sector_count(), file.access()}, nullptr};
  // A new ring for the Async engine: the old one allows no registration of another file.
  Result<std::unique_ptr<BlockBackend>> backend = make_backend(profile_.io_engine, std::move(file));
  if (!backend.ok()) {
    metrics_.update_fails.add();
    return std::move(backend).error().with_prefix(name() + ": ");
  }
  medium.backend = std::move(backend).value();
  return replace_medium(std::move(medium));
}

Status BlockDevice::check_replacement(const DiskShape& shape) const {
  if (shape.access != profile_.shape.access) {
    return Error(ErrorCode::InvalidArgument,
                 name() + ": a replacement must be opened as the present file is, read-only or not");
  }
  return {};
}

Status BlockDevice::replace_medium(DiskMedium medium) {
  Status possible = check_replacement(medium.shape);
  if (const auto event = medium.backend->completion_event(); event && possible.ok()) {
    possible = loop_->watch(*event, Interest::ReadableEdge, *this);
  }
  if (!possible.ok()) {
    metrics_.update_fails.add();
    return possible;
  }
  if (next_) {
    unwatch(*next_->backend);
  }
  next_ = std::move(medium);
  metrics_.update_count.add();
  switch_medium_if_idle();
  return {};
}

void BlockDevice::switch_medium_if_idle() {
  if (!next_ || in_flight_.count() > 0) {
    return;
  }
  unwatch(*backend_);
  backend_ = std::move(next_->backend);
  // What a failed flush has lost is lost: only another file starts afresh, the same one opened again does not.
  flush_failed_ = flush_failed_ && profile_.device_id == next_->device_id;
  profile_.device_id = next_->device_id;
  profile_.shape = next_->shape;
  next_.reset();
  wait_ = wait_ == Wait::Engine ? Wait::None : wait_;
  capacity_.store(profile_.shape.sector_count, std::memory_order_release);
  signals().config_changed();
  if (active()) {
    signals().look_again(0);
  }
}

// ---------------------------------------------------------------------------------------------------------------------
// Requests.

Backlog BlockDevice::serve(std::size_t index) {
  metrics_.queue_event_count.add();
  if (next_ || wait_ == Wait::Limiter) {
    return Backlog::None;  // switch_medium_if_idle or the limiter takes up the queue again
  }
  wait_ = Wait::None;
  VirtQueue& queue = queue_at(index);
  BatchBudget budget{queue.size(), kMaxBatchBytes};
  const PumpResult end =
      pump_queue(queue, budget, [&](DescriptorChain chain) { return start(std::move(chain), budget); });
  metrics_.no_avail_buffer.add(end.found || end.fault ? 0 : 1);
  metrics_.remaining_reqs_count.add(queue.backlog_count());
  backend_->kick();
  reap();
  return conclude(index, end);
}

Pump BlockDevice::start(DescriptorChain chain, BatchBudget& budget) {
  BlockRequest request = parse_block_request(chain, profile_.shape);
  const Demand demand{1, data_bytes_of(request)};
  if (!limiter_->admits(demand)) {
    metrics_.rate_limiter_throttled_events.add();
    return put_off(std::move(chain), Wait::Limiter);
  }
  const bool refused_flush = request.op == BlockOp::Flush && flush_failed_;
  if (request.defect != RequestDefect::None || request.op == BlockOp::GetId || refused_flush) {
    answer_at_once(std::move(chain), request);
  } else if (start_transfer(chain, request) == Submission::Busy) {
    metrics_.io_engine_throttled_events.add();
    return put_off(std::move(chain), Wait::Engine);
  }
  limiter_->charge(demand);
  budget.charge_bytes(demand.bytes);
  return Pump::Next;
}

Pump BlockDevice::put_off(DescriptorChain chain, Wait reason) {
  std::move(chain).put_back();
  wait_ = reason;
  return Pump::Stop;
}

bool BlockDevice::stable_writes() const {
  // Section 5.2.6.2: flush offered but not negotiated means that a completed write is stable.
  return (offered_features_ & block_feature::kFlush) != 0 && !negotiated(block_feature::kFlush);
}

IoKind BlockDevice::io_kind(BlockOp op) const {
  switch (op) {
    case BlockOp::Read: return IoKind::Read;
    case BlockOp::Write: return stable_writes() ? IoKind::StableWrite : IoKind::Write;
    default: return IoKind::Flush;
  }
}

/// Takes the chain, unless the engine is busy.
Submission BlockDevice::start_transfer(DescriptorChain& chain, const BlockRequest& request) {
  if (in_flight_.full()) {
    return Submission::Busy;
  }
  const std::uint16_t slot = in_flight_.put({std::move(chain), request, clock_->now_ns()});
  const BlockIo io{slot, io_kind(request.op), request.offset_bytes, request.source, request.target};
  const Submission submission = backend_->submit(io);
  if (submission == Submission::Busy) {
    chain = std::move(in_flight_.take(slot).chain);
  }
  return submission;
}

void BlockDevice::answer_at_once(DescriptorChain chain, BlockRequest& request) {
  std::uint32_t written_bytes = 0;
  BlockStatus answer = status_of(request.defect);
  if (request.defect != RequestDefect::None) {
    const bool unsupported = request.defect == RequestDefect::UnsupportedType;
    (unsupported ? metrics_.invalid_reqs_count : metrics_.execute_fails).add();
    WISP_LOG_LIMITED(Warn, "%s: refused a request: %s (%s)", name().c_str(), request_defect_name(request.defect),
                     chain_defect_name(chain.defect()));
  } else if (request.op == BlockOp::Flush) {
    metrics_.invalid_reqs_count.add();
    answer = BlockStatus::IoError;  // an earlier flush has failed
  } else if (request.target.write_bytes(profile_.device_id)) {
    written_bytes = kDeviceIdBytes;
  } else {
    answer = BlockStatus::IoError;
  }
  const std::array<std::byte, 1> status = {static_cast<std::byte>(answer)};
  if (request.status.write_bytes(status)) {
    ++written_bytes;
  }
  std::move(chain).complete(written_bytes);
}

void BlockDevice::finish(const BlockCompletion& completion) {
  InFlight entry = in_flight_.take(completion.slot);
  const IoOutcome& outcome = completion.outcome;
  count_transfer(entry, outcome);
  std::uint32_t written_bytes = entry.request.op == BlockOp::Read ? outcome.moved_bytes : 0;
  const BlockStatus answer = outcome.sys_errno == 0 ? BlockStatus::Ok : BlockStatus::IoError;
  const std::array<std::byte, 1> status = {static_cast<std::byte>(answer)};
  if (entry.request.status.write_bytes(status)) {
    ++written_bytes;
  }
  std::move(entry.chain).complete(written_bytes);
}

void BlockDevice::count_transfer(const InFlight& entry, const IoOutcome& outcome) {
  if (outcome.sys_errno != 0) {
    metrics_.invalid_reqs_count.add();
    flush_failed_ = flush_failed_ || entry.request.op == BlockOp::Flush;
    WISP_LOG_LIMITED(Error, "%s: a request failed on the host: errno %d after %u bytes", name().c_str(),
                     outcome.sys_errno, outcome.moved_bytes);
    return;
  }
  const std::uint64_t duration_us = (clock_->now_ns() - entry.started_ns) / kNsPerUs;
  switch (entry.request.op) {
    case BlockOp::Read:
      metrics_.read_count.add();
      metrics_.read_bytes.add(outcome.moved_bytes);
      metrics_.read_agg.record_us(duration_us);
      break;
    case BlockOp::Write:
      metrics_.write_count.add();
      metrics_.write_bytes.add(outcome.moved_bytes);
      metrics_.write_agg.record_us(duration_us);
      break;
    default: metrics_.flush_count.add(); break;
  }
}

void BlockDevice::reap() {
  std::array<BlockCompletion, kReapBatch> completions;
  std::size_t count = 0;
  do {
    count = backend_->reap(completions);
    for (const BlockCompletion& completion : std::span(completions).first(count)) {
      finish(completion);
    }
  } while (count == completions.size());
}

void BlockDevice::on_event(std::uint32_t /*events*/) {
  if (!has_queue(0)) {
    return;
  }
  const bool had_requests = in_flight_.count() > 0;
  backend_->kick();  // what the host had no room for before
  reap();
  publish(0);
  if (wait_ == Wait::Engine && active()) {
    wait_ = Wait::None;
    signals().look_again(0);
  }
  switch_medium_if_idle();
  if (quiesced() && had_requests && in_flight_.count() == 0) {
    signals().drained();
  }
}

void BlockDevice::on_limiter_ready() {
  metrics_.rate_limiter_event_count.add();
  wait_ = wait_ == Wait::Limiter ? Wait::None : wait_;
  if (active()) {
    signals().look_again(0);
  }
}

}  // namespace wisp
