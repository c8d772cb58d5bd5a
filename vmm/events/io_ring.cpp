#include "vmm/events/io_ring.h"

#include <liburing.h>

#include <array>
#include <cerrno>
#include <string>

#include "vmm/base/assert.h"

namespace wisp {
namespace {

constexpr int kOnlyFile = 0;  // index of the one registered file

Error cannot(int negative_errno, const char* what) {
  return Error::host(-negative_errno, std::string("cannot ") + what + " for the Async block engine",
                     "Use io_engine Sync, or a kernel with io_uring restrictions (5.10 or later)");
}

io_uring_restriction allow_operation(std::uint8_t operation) {
  io_uring_restriction restriction{};
  restriction.opcode = IORING_RESTRICTION_SQE_OP;
  restriction.sqe_op = operation;
  return restriction;
}

io_uring_restriction flags_rule(std::uint16_t rule) {
  io_uring_restriction restriction{};
  restriction.opcode = rule;
  restriction.sqe_flags = IOSQE_FIXED_FILE;
  return restriction;
}

}  // namespace

void IoRing::Deleter::operator()(io_uring* ring) const {
  ::io_uring_queue_exit(ring);
  delete ring;
}

Error IoRing::refusal(int sys_errno) {
  const char* what = "cannot set up io_uring, which the Async block engine needs";
  switch (sys_errno) {
    case EPERM:
      return Error::host(sys_errno, what,
                         "Allow it on the host (sysctl kernel.io_uring_disabled=0) or use io_engine Sync");
    case ENOSYS: return Error::host(sys_errno, what, "Use a kernel with io_uring or io_engine Sync");
    case ENOMEM:
      return Error::host(sys_errno, what, "Raise the limit on locked memory (RLIMIT_MEMLOCK) or use io_engine Sync");
    case EMFILE:
    case ENFILE: return Error::host(sys_errno, what, "Raise the limit on open files (RLIMIT_NOFILE)");
    default: return Error::host(sys_errno, what, "Use io_engine Sync");
  }
}

Result<std::unique_ptr<IoRing>> IoRing::create(FdRef file) {
  EventFd completion_event = WISP_TRY(EventFd::create());
  auto raw = std::make_unique<io_uring>();
  io_uring_params params{};
  params.flags = IORING_SETUP_R_DISABLED;  // nothing runs before the restrictions are in place
  if (const int result = ::io_uring_queue_init_params(kMaxInFlight, raw.get(), &params); result != 0) {
    return refusal(-result);
  }
  Handle ring(raw.release());
  (void)WISP_TRY(restrict_and_enable(*ring, file, completion_event.ref()));
  return std::make_unique<IoRing>(PrivateTag{}, std::move(ring), std::move(completion_event));
}

Status IoRing::restrict_and_enable(io_uring& ring, FdRef file, FdRef completion_event) {
  const int descriptor = file.raw();
  if (const int result = ::io_uring_register_files(&ring, &descriptor, 1); result != 0) {
    return cannot(result, "register the drive's file with io_uring");
  }
  if (const int result = ::io_uring_register_eventfd(&ring, completion_event.raw()); result != 0) {
    return cannot(result, "register an eventfd with io_uring");
  }
  std::array<io_uring_restriction, 7> restrictions = {
      allow_operation(IORING_OP_READV),
      allow_operation(IORING_OP_WRITEV),
      allow_operation(IORING_OP_READ),
      allow_operation(IORING_OP_WRITE),
      allow_operation(IORING_OP_FSYNC),
      flags_rule(IORING_RESTRICTION_SQE_FLAGS_ALLOWED),
      flags_rule(IORING_RESTRICTION_SQE_FLAGS_REQUIRED),
  };
  if (const int result = ::io_uring_register_restrictions(&ring, restrictions.data(), restrictions.size());
      result != 0) {
    return cannot(result, "restrict io_uring");
  }
  if (const int result = ::io_uring_enable_rings(&ring); result < 0) {
    return cannot(result, "enable io_uring");
  }
  return {};
}

IoRing::IoRing(PrivateTag /*tag*/, Handle ring, EventFd completion_event)
    : completion_event_(std::move(completion_event)), ring_(std::move(ring)) {}

IoRing::~IoRing() {
  std::array<Completion, kMaxInFlight> dropped;
  while (in_flight_count_ > 0) {
    wait();
    (void)reap(dropped);
  }
}

io_uring_sqe* IoRing::next_entry() {
  // Never more in flight than the completion queue holds, so the kernel never has to keep completions aside.
  return in_flight_count_ < kMaxInFlight ? ::io_uring_get_sqe(ring_.get()) : nullptr;
}

IoRing::Queued IoRing::finish_entry(io_uring_sqe* entry, std::uint64_t tag) {
  ::io_uring_sqe_set_flags(entry, IOSQE_FIXED_FILE);
  ::io_uring_sqe_set_data64(entry, tag);
  ++in_flight_count_;
  return Queued::Yes;
}

IoRing::Queued IoRing::queue_read(std::span<const iovec> vectors, std::uint64_t offset, std::uint64_t tag) {
  io_uring_sqe* entry = next_entry();
  if (entry == nullptr) {
    return Queued::RingFull;
  }
  ::io_uring_prep_readv(entry, kOnlyFile, vectors.data(), static_cast<unsigned>(vectors.size()), offset);
  return finish_entry(entry, tag);
}

IoRing::Queued IoRing::queue_write(std::span<const iovec> vectors, std::uint64_t offset, std::uint64_t tag,
                                   WriteMode mode) {
  io_uring_sqe* entry = next_entry();
  if (entry == nullptr) {
    return Queued::RingFull;
  }
  ::io_uring_prep_writev2(entry, kOnlyFile, vectors.data(), static_cast<unsigned>(vectors.size()), offset,
                          mode == WriteMode::Stable ? RWF_DSYNC : 0);
  return finish_entry(entry, tag);
}

IoRing::Queued IoRing::queue_sync(std::uint64_t tag) {
  io_uring_sqe* entry = next_entry();
  if (entry == nullptr) {
    return Queued::RingFull;
  }
  ::io_uring_prep_fsync(entry, kOnlyFile, IORING_FSYNC_DATASYNC);
  return finish_entry(entry, tag);
}

void IoRing::submit() {
  while (::io_uring_sq_ready(ring_.get()) > 0) {
    const int result = ::io_uring_submit(ring_.get());
    if (result == -EINTR || result > 0) {
      continue;
    }
    completion_event_.signal();
    return;
  }
}

std::size_t IoRing::reap(std::span<Completion> completions) {
  std::size_t count = 0;
  io_uring_cqe* entry = nullptr;
  while (count < completions.size() && ::io_uring_peek_cqe(ring_.get(), &entry) == 0 && entry != nullptr) {
    completions[count++] = {entry->user_data, entry->res};
    ::io_uring_cqe_seen(ring_.get(), entry);
    WISP_ASSERT(in_flight_count_ > 0);
    --in_flight_count_;
  }
  return count;
}

void IoRing::wait() {
  WISP_ASSERT(in_flight_count_ > 0);
  submit();
  io_uring_cqe* entry = nullptr;
  (void)::io_uring_wait_cqe(ring_.get(), &entry);  // an interrupted wait is tried again by the caller's loop
}

}  // namespace wisp
