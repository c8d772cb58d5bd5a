#include "vmm/memory/volatile_slice.h"

#include <atomic>
#include <cstring>

#include "vmm/base/assert.h"
#include "vmm/base/checked.h"

#if defined(__SANITIZE_THREAD__)
#define WISP_NO_TSAN __attribute__((no_sanitize_thread))
#else
#define WISP_NO_TSAN
#endif

namespace wisp {
namespace {

// The guest may write while we copy: the copy is then a mix of old and new bytes, which is what hardware gives too. It
// is made exactly once; the barrier keeps the compiler from reading the source again in place of the copy.
__attribute__((noinline)) WISP_NO_TSAN void copy_once(std::byte* destination, const std::byte* source,
                                                      std::size_t count) {
#if defined(__SANITIZE_THREAD__)
  // memcpy is intercepted; a plain volatile loop is not.
  const volatile std::byte* from = source;
  volatile std::byte* to = destination;
  for (std::size_t index = 0; index < count; ++index) {
    to[index] = from[index];
  }
#else
  std::memcpy(destination, source, count);
#endif
  asm volatile("" ::: "memory");
}

template <typename T>
T& aligned_word(std::byte* host, std::size_t size_bytes, std::size_t offset) {
  WISP_ASSERT(range_fits(offset, sizeof(T), size_bytes));
  auto* word = host + offset;
  WISP_ASSERT(reinterpret_cast<std::uintptr_t>(word) % sizeof(T) == 0);
  return *reinterpret_cast<T*>(word);
}

}  // namespace

std::optional<ReadableSlice> ReadableSlice::sub(std::size_t offset, std::size_t length) const {
  if (!range_fits(offset, length, size_bytes_)) {
    return std::nullopt;
  }
  return ReadableSlice(host_ + offset, length);
}

void ReadableSlice::copy_to(std::span<std::byte> destination) const {
  WISP_ASSERT(destination.size() <= size_bytes_);
  if (!destination.empty()) {
    copy_once(destination.data(), host_, destination.size());
  }
}

std::uint16_t ReadableSlice::load_acquire_u16(std::size_t offset) const {
  return std::atomic_ref(aligned_word<std::uint16_t>(host_, size_bytes_, offset)).load(std::memory_order_acquire);
}

iovec ReadableSlice::lend_iovec(KernelIoKey /*key*/) const {
  return {host_, size_bytes_};
}

std::optional<WritableSlice> WritableSlice::sub(std::size_t offset, std::size_t length) const {
  if (!range_fits(offset, length, size_bytes_)) {
    return std::nullopt;
  }
  return WritableSlice(host_ + offset, length, dirty_, region_offset_ + offset);
}

void WritableSlice::copy_from(std::span<const std::byte> source) const {
  WISP_ASSERT(source.size() <= size_bytes_);
  if (source.empty()) {
    return;
  }
  copy_once(host_, source.data(), source.size());
  mark_dirty(0, source.size());
}

WISP_NO_TSAN void WritableSlice::fill(std::byte value) const {
  if (empty()) {
    return;
  }
  std::memset(host_, static_cast<int>(value), size_bytes_);
  mark_dirty(0, size_bytes_);
}

void WritableSlice::store_release_u16(std::size_t offset, std::uint16_t value) const {
  std::atomic_ref(aligned_word<std::uint16_t>(host_, size_bytes_, offset)).store(value, std::memory_order_release);
  mark_dirty(offset, sizeof(value));
}

iovec WritableSlice::lend_iovec(KernelIoKey /*key*/) const {
  return {host_, size_bytes_};
}

void WritableSlice::mark_dirty(std::size_t offset, std::size_t length) const {
  WISP_ASSERT(range_fits(offset, length, size_bytes_));
  dirty_->mark(region_offset_ + offset, length);
}

}  // namespace wisp
