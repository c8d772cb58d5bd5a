#include "virtio/vsock/tx_buffer.h"

#include <sys/mman.h>

#include <algorithm>
#include <bit>
#include <cerrno>

#include "vmm/base/assert.h"

namespace wisp {

Result<std::unique_ptr<TxBufferPool>> TxBufferPool::create() {
  void* base = ::mmap(nullptr, kPoolBytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (base == MAP_FAILED) {
    return Error::host(errno, "cannot reserve memory for the vsock device's buffers",
                       "Raise the limit on address space (RLIMIT_AS)");
  }
  return std::make_unique<TxBufferPool>(static_cast<std::byte*>(base));
}

TxBufferPool::TxBufferPool(std::byte* base) : base_(base) {
  for (std::size_t index = 0; index < kVsockSlots; ++index) {
    free_[index / kWordBits] |= std::uint64_t{1} << (index % kWordBits);
  }
}

TxBufferPool::~TxBufferPool() {
  (void)::munmap(base_, kPoolBytes);
}

std::uint16_t TxBufferPool::lend() {
  const auto word = std::ranges::find_if(free_, [](std::uint64_t bits) { return bits != 0; });
  WISP_ASSERT(word != free_.end());
  const auto bit = static_cast<std::size_t>(std::countr_zero(*word));
  *word &= *word - 1;
  const std::size_t index = static_cast<std::size_t>(word - free_.begin()) * kWordBits + bit;
  ++lent_count_;
  touched_count_ = std::max(touched_count_, index + 1);
  return static_cast<std::uint16_t>(index);
}

void TxBufferPool::give_back(std::uint16_t index) {
  free_[index / kWordBits] |= std::uint64_t{1} << (index % kWordBits);
  --lent_count_;
  if (lent_count_ == 0 && touched_count_ > kKeptTxBuffers) {
    const std::size_t kept_bytes = kKeptTxBuffers * kVsockBufferBytes;
    (void)::madvise(base_ + kept_bytes, touched_count_ * kVsockBufferBytes - kept_bytes, MADV_DONTNEED);
    touched_count_ = kKeptTxBuffers;
  }
}

void TxBuffer::append(TxBufferPool& pool, ChainReader& source, std::uint32_t count_bytes) {
  WISP_ASSERT(count_bytes <= room_bytes() && count_bytes <= source.size_bytes());
  if (count_bytes == 0) {
    return;
  }
  if (size_ == 0) {
    index_ = pool.lend();
    head_ = 0;
  }
  const std::span<std::byte> ring(pool.at(index_), kVsockBufferBytes);
  const std::uint32_t tail = (head_ + size_) % kVsockBufferBytes;
  const std::uint32_t first = std::min(count_bytes, kVsockBufferBytes - tail);
  // The segments were checked when the chain was popped; memory that was unplugged since reads as nothing.
  (void)source.read_bytes(ring.subspan(tail, first));
  (void)source.read_bytes(ring.first(count_bytes - first));
  size_ += count_bytes;
}

std::span<const iovec> TxBuffer::parts(const TxBufferPool& pool, std::array<iovec, 2>& place) const {
  const std::uint32_t first = std::min(size_, kVsockBufferBytes - head_);
  place[0] = {pool.at(index_) + head_, first};
  place[1] = {pool.at(index_), size_ - first};
  return std::span(place).first(size_ > first ? 2 : 1);
}

void TxBuffer::consume(TxBufferPool& pool, std::uint32_t count_bytes) {
  if (size_ == 0) {
    return;
  }
  head_ = (head_ + count_bytes) % kVsockBufferBytes;
  size_ -= count_bytes;
  if (size_ == 0) {
    pool.give_back(index_);
  }
}

}  // namespace wisp
