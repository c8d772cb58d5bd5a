#include "virtio/pmem/device.h"

#include <array>
#include <limits>
#include <utility>

#include "virtio/core/ring_layout.h"
#include "vmm/base/assert.h"
#include "vmm/base/log.h"

namespace wisp {
namespace {

/// Section 5.19.4.
struct PmemConfigSpace {
  Le64 start;
  Le64 size;
};
static_assert(sizeof(PmemConfigSpace) == 16 && offsetof(PmemConfigSpace, size) == 8);

constexpr std::uint64_t kNoByteBudget = std::numeric_limits<std::uint64_t>::max();  // a flush moves none

}  // namespace

Result<std::unique_ptr<PmemDevice>> PmemDevice::create(const PmemConfig& config, PmemFile file, GuestAddress start,
                                                       EventLoop& loop, const Clock& clock) {
  return create(config, std::make_unique<PmemFile>(std::move(file)), start, loop, clock);
}

Result<std::unique_ptr<PmemDevice>> PmemDevice::create(const PmemConfig& config, std::unique_ptr<PmemBackend> backend,
                                                       GuestAddress start, EventLoop& loop, const Clock& clock) {
  WISP_ASSERT(start.is_aligned(kPmemAlignmentBytes));  // the machine's layout makes it
  auto device = std::make_unique<PmemDevice>(PrivateTag{}, config, std::move(backend), start);
  PmemDevice* const raw = device.get();
  device->limiter_ = WISP_TRY(RateLimiter::create(config.limits, loop, clock, [raw] { raw->on_limiter_ready(); }));
  return device;
}

PmemDevice::PmemDevice(PrivateTag /*tag*/, const PmemConfig& config, std::unique_ptr<PmemBackend> backend,
                       GuestAddress start)
    : QueueDevice("pmem '" + config.id + "'", {metrics_.activate_fails, metrics_.cfg_fails, metrics_.event_fails}),
      id_(config.id),
      backend_(std::move(backend)),
      start_(start) {
  waiting_.reserve(kMaxQueueSize);
}

std::uint64_t PmemDevice::offered_features() const {
  return feature::kVersion1 | feature::kEventIndex | feature::kIndirectDescriptors;
}

void PmemDevice::read_config(std::uint64_t offset, std::span<std::byte> data) const {
  const PmemConfigSpace space{start_.value(), backend_->size_bytes()};
  read_from(std::as_bytes(std::span(&space, 1)), offset, data);
}

void PmemDevice::on_reset() {
  if (limiter_) {
    limiter_->cancel_wait();
  }
  limited_ = false;
  flush_failed_ = false;
}

void PmemDevice::save(StateWriter& out) const {
  out.u64(start_.value());
  out.u64(backend_->size_bytes());
  out.boolean(flush_failed_);
  limiter_->save(out);
}

Status PmemDevice::restore(StateReader& in) {
  const std::uint64_t start = in.u64();
  const std::uint64_t size_bytes = in.u64();
  const bool flush_failed = in.boolean();
  (void)WISP_TRY(in.check(start == start_.value(), "the persistent memory lies elsewhere now"));
  (void)WISP_TRY(in.check(size_bytes == backend_->size_bytes(), "the pmem file has another size now"));
  flush_failed_ = flush_failed;
  return limiter_->restore(in);
}

void PmemDevice::on_limiter_ready() {
  metrics_.rate_limiter_event_count.add();
  limited_ = false;
  if (active()) {
    signals().look_again(0);
  }
}

Backlog PmemDevice::serve(std::size_t index) {
  metrics_.queue_event_count.add();
  if (limited_) {
    return Backlog::None;  // on_limiter_ready takes up the queue again
  }
  VirtQueue& queue = queue_at(index);
  BatchBudget budget{queue.size(), kNoByteBudget};
  const PumpResult end = pump_queue(queue, budget, [&](DescriptorChain chain) { return take(std::move(chain)); });
  flush_waiting();
  return conclude(index, end);
}

Pump PmemDevice::take(DescriptorChain chain) {
  switch (parse_pmem_request(chain)) {
    case PmemOp::Flush: return take_flush(std::move(chain));
    case PmemOp::Unsupported:
      metrics_.event_fails.add();
      WISP_LOG_LIMITED(Warn, "%s: refused a request of unknown type", name().c_str());
      answer(std::move(chain), PmemAnswer::IoError);
      return Pump::Next;
    case PmemOp::Malformed: break;
  }
  metrics_.event_fails.add();
  WISP_LOG_LIMITED(Warn, "%s: refused a request that is not 4 readable and 4 writable bytes (%s)", name().c_str(),
                   chain_defect_name(chain.defect()));
  std::move(chain).complete(0);
  return Pump::Next;
}

Pump PmemDevice::take_flush(DescriptorChain chain) {
  if (backend_->access() == Access::ReadOnly) {
    answer(std::move(chain), PmemAnswer::Ok);
    return Pump::Next;
  }
  if (flush_failed_) {
    metrics_.event_fails.add();
    answer(std::move(chain), PmemAnswer::IoError);
    return Pump::Next;
  }
  // The first one pays for the sync that it shares with the others of its batch.
  if (waiting_.empty() && !limiter_->take({1, backend_->file_size_bytes()})) {
    metrics_.rate_limiter_throttled_events.add();
    limited_ = true;
    std::move(chain).put_back();
    return Pump::Stop;
  }
  WISP_ASSERT(waiting_.size() < waiting_.capacity());  // a batch is no larger than the largest queue
  waiting_.push_back(std::move(chain));
  return Pump::Next;
}

void PmemDevice::flush_waiting() {
  if (waiting_.empty()) {
    return;
  }
  const int sys_errno = backend_->sync();
  if (sys_errno != 0) {
    flush_failed_ = true;
    metrics_.event_fails.add();
    WISP_LOG_LIMITED(Error, "%s: a flush failed on the host: errno %d; flushes fail until the driver resets the device",
                     name().c_str(), sys_errno);
  }
  for (DescriptorChain& chain : waiting_) {
    answer(std::move(chain), sys_errno == 0 ? PmemAnswer::Ok : PmemAnswer::IoError);
  }
  waiting_.clear();
}

void PmemDevice::answer(DescriptorChain chain, PmemAnswer answer) {
  const Le32 result(static_cast<std::uint32_t>(answer));
  const bool written = chain.writer().write_bytes(std::as_bytes(std::span(&result, 1)));
  std::move(chain).complete(written ? kPmemFieldBytes : 0);
}

}  // namespace wisp
