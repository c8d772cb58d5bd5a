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

}  // namespace

Result<std::unique_ptr<BlockDevice>> BlockDevice::create(const DriveConfig& config, EventLoop& loop) {
  return create(config, WISP_TRY(DiskFile::open(config)), loop);
}

Result<std::unique_ptr<BlockDevice>> BlockDevice::create(const DriveConfig& config, DiskFile file, EventLoop& loop) {
  static const MonotonicClock kClock;
  DiskProfile profile{config.drive_id, file.device_id(), {file.sector_count(), file.access()}, config.cache_type};
  auto backend = WISP_TRY(make_backend(config.io_engine, std::move(file)));
  return create(std::move(profile), std::move(backend), loop, kClock);
}

Result<std::unique_ptr<BlockDevice>> BlockDevice::create(DiskProfile profile, std::unique_ptr<BlockBackend> backend,
                                                         EventLoop& loop, const Clock& clock) {
  const auto event = backend->completion_event();
  auto device = std::make_unique<BlockDevice>(PrivateTag{}, std::move(profile), std::move(backend), loop, clock);
  if (event) {
    (void)WISP_TRY(loop.watch(*event, Interest::Readable, *device));
  }
  return device;
}

BlockDevice::BlockDevice(PrivateTag /*tag*/, DiskProfile profile, std::unique_ptr<BlockBackend> backend,
                         EventLoop& loop, const Clock& clock)
    : profile_(std::move(profile)),
      offered_features_(features_of(profile_)),
      backend_(std::move(backend)),
      loop_(&loop),
      clock_(&clock) {}

BlockDevice::~BlockDevice() {
  reset();
  if (const auto event = backend_->completion_event()) {
    loop_->unwatch(*event, *this);
  }
}

void BlockDevice::read_config(std::uint64_t offset, std::span<std::byte> data) const {
  const BlockConfigSpace space{profile_.shape.sector_count, kMaxSegmentBytes, kMaxDataSegments};
  const auto bytes = std::as_bytes(std::span(&space, 1));
  if (offset >= bytes.size()) {
    return;
  }
  const auto rest = bytes.subspan(offset);
  std::ranges::copy(rest.first(std::min(rest.size(), data.size())), data.begin());
}

void BlockDevice::write_config(std::uint64_t /*offset*/, std::span<const std::byte> /*data*/) {
  metrics_.cfg_fails.add();
}

// ---------------------------------------------------------------------------------------------------------------------
// Life.

Status BlockDevice::activate(Activation activation) {
  if (activation.queues.empty() || !activation.queues.front()) {
    metrics_.activate_fails.add();
    return Error(ErrorCode::InvalidArgument,
                 "block device '" + profile_.drive_id + "': the driver has not made its queue ready");
  }
  queue_ = std::move(activation.queues.front());
  interrupt_ = activation.interrupt;
  negotiated_features_ = activation.negotiated_features;
  life_ = Life::Active;
  return {};
}

bool BlockDevice::on_queue(std::size_t /*index*/) {
  if (life_ != Life::Active) {
    return false;
  }
  metrics_.queue_event_count.add();
  throttled_ = false;
  const Backlog left = serve_queue();
  return left == Backlog::Some && life_ == Life::Active;
}

void BlockDevice::quiesce() {
  if (life_ != Life::Inactive) {
    life_ = Life::Quiesced;
  }
}

void BlockDevice::resume() {
  if (life_ == Life::Quiesced) {
    life_ = queue_->fault() ? Life::Broken : Life::Active;
  }
}

void BlockDevice::reset() {
  backend_->drain();
  in_flight_.clear([](InFlight entry) { std::move(entry.chain).abandon(); });
  queue_.reset();
  interrupt_ = nullptr;
  negotiated_features_ = 0;
  throttled_ = false;
  flush_failed_ = false;
  life_ = Life::Inactive;
}

void BlockDevice::save(StateWriter& out) const {
  out.u64(profile_.shape.sector_count);
  out.boolean(flush_failed_);
}

Status BlockDevice::restore(StateReader& in) {
  const std::uint64_t sector_count = in.u64();
  const bool flush_failed = in.boolean();
  (void)WISP_TRY(in.check(sector_count == profile_.shape.sector_count, "the disk has another size now"));
  flush_failed_ = flush_failed;
  return {};
}

// ---------------------------------------------------------------------------------------------------------------------
// Requests.

Backlog BlockDevice::serve_queue() {
  const Backlog left = pop_batch();
  metrics_.remaining_reqs_count.add(queue_->backlog_count());
  backend_->kick();
  reap();
  publish();
  return left;
}

Backlog BlockDevice::pop_batch() {
  BatchBudget budget{queue_->size(), kMaxBatchBytes};
  while (life_ == Life::Active && !throttled_) {
    queue_->disable_notifications();
    if (pop_available(budget) == Backlog::Some) {
      return Backlog::Some;
    }
    if (life_ != Life::Active || throttled_ || queue_->enable_notifications() == Backlog::None) {
      return Backlog::None;
    }
    if (budget.spent()) {
      return Backlog::Some;
    }
    budget.charge(0);  // a driver that moves its index back and forth uses the budget up, too
  }
  return Backlog::None;
}

Backlog BlockDevice::pop_available(BatchBudget& budget) {
  bool found = false;
  while (!budget.spent()) {
    PopResult popped = queue_->pop();
    if (const auto* fault = std::get_if<QueueFault>(&popped)) {
      break_queue(*fault);
      return Backlog::None;
    }
    auto* chain = std::get_if<DescriptorChain>(&popped);
    if (chain == nullptr) {
      metrics_.no_avail_buffer.add(found ? 0 : 1);
      return Backlog::None;
    }
    found = true;
    if (start(std::move(*chain), budget) == Start::Throttled) {
      throttled_ = true;
      metrics_.io_engine_throttled_events.add();
      return Backlog::None;
    }
  }
  return Backlog::Some;
}

BlockDevice::Start BlockDevice::start(DescriptorChain chain, BatchBudget& budget) {
  BlockRequest request = parse_block_request(chain, profile_.shape);
  const bool refused_flush = request.op == BlockOp::Flush && flush_failed_;
  if (request.defect != RequestDefect::None || request.op == BlockOp::GetId || refused_flush) {
    budget.charge(0);
    answer_at_once(std::move(chain), request);
    return Start::Taken;
  }
  const std::uint64_t data_bytes = request.op == BlockOp::Read    ? request.target.size_bytes()
                                   : request.op == BlockOp::Write ? request.source.size_bytes()
                                                                  : 0;
  if (start_transfer(std::move(chain), request) == Start::Throttled) {
    return Start::Throttled;
  }
  budget.charge(data_bytes);
  return Start::Taken;
}

bool BlockDevice::stable_writes() const {
  // Section 5.2.6.2: flush offered but not negotiated means that a completed write is stable.
  return (offered_features_ & block_feature::kFlush) != 0 && (negotiated_features_ & block_feature::kFlush) == 0;
}

IoKind BlockDevice::io_kind(BlockOp op) const {
  switch (op) {
    case BlockOp::Read: return IoKind::Read;
    case BlockOp::Write: return stable_writes() ? IoKind::StableWrite : IoKind::Write;
    default: return IoKind::Flush;
  }
}

BlockDevice::Start BlockDevice::start_transfer(DescriptorChain chain, const BlockRequest& request) {
  if (in_flight_.full()) {
    std::move(chain).put_back();
    return Start::Throttled;
  }
  const std::uint16_t slot = in_flight_.put({std::move(chain), request, clock_->now_ns()});
  const BlockIo io{slot, io_kind(request.op), request.offset_bytes, request.source, request.target};
  if (backend_->submit(io) == Submission::Busy) {
    std::move(in_flight_.take(slot).chain).put_back();
    return Start::Throttled;
  }
  return Start::Taken;
}

void BlockDevice::answer_at_once(DescriptorChain chain, BlockRequest& request) {
  std::uint32_t written_bytes = 0;
  BlockStatus answer = status_of(request.defect);
  if (request.defect != RequestDefect::None) {
    const bool unsupported = request.defect == RequestDefect::UnsupportedType;
    (unsupported ? metrics_.invalid_reqs_count : metrics_.execute_fails).add();
    WISP_LOG_LIMITED(Warn, "drive %s: refused a request: %s (%s)", profile_.drive_id.c_str(),
                     request_defect_name(request.defect), chain_defect_name(chain.defect()));
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
    WISP_LOG_LIMITED(Error, "drive %s: a request failed on the host: errno %d after %u bytes",
                     profile_.drive_id.c_str(), outcome.sys_errno, outcome.moved_bytes);
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

void BlockDevice::publish() {
  if (queue_->publish() == Interrupt::Needed) {
    interrupt_->raise(kInterruptUsedRing);
  }
}

void BlockDevice::break_queue(QueueFault fault) {
  life_ = Life::Broken;
  metrics_.event_fails.add();
  WISP_LOG_LIMITED(Error, "drive %s: the driver broke the queue (%s); it must reset the device",
                   profile_.drive_id.c_str(), queue_fault_name(fault));
  signals_->needs_reset();
}

void BlockDevice::on_event(std::uint32_t /*events*/) {
  backend_->acknowledge_event();
  if (!queue_) {
    return;
  }
  const bool had_requests = in_flight_.count() > 0;
  backend_->kick();  // what the host had no room for before
  reap();
  publish();
  if (throttled_ && life_ == Life::Active) {
    throttled_ = false;
    signals_->look_again(0);
  }
  if (life_ == Life::Quiesced && had_requests && in_flight_.count() == 0) {
    signals_->drained();
  }
}

}  // namespace wisp
