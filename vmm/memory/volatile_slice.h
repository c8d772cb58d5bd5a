// Windows on guest memory: ReadableSlice and WritableSlice.
//
// The guest's processors change these bytes at any time. A slice therefore has no data(), no operator[] and no
// iterators; the ways out are
//   - copy to or from host memory (copy once, check the copy, use the copy),
//   - an atomic load or store of 16 or 32 bits at an aligned offset (ring indices),
//   - lend_iovec(), for the classes that hand memory straight to the kernel (see KernelIoKey).
// A slice lies inside one region and was bounds-checked when GuestMemory made it. Sub-slicing can only narrow it. Every
// write through a WritableSlice marks the dirty log; a write that the kernel makes is marked on completion with
// mark_dirty(), by the count that was really transferred.
//
// A slice must not outlive its GuestMemory.
#pragma once

#include <sys/uio.h>

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>

#include "vmm/memory/dirty_log.h"

namespace wisp {

class GuestMemory;

/// Proof that the holder is one of the classes that pass guest memory to the kernel without looking at it. Its
/// constructor is private to them; nobody else can name a key.
class KernelIoKey {
 private:
  KernelIoKey() = default;
  friend class SyncFileIo;       // virtio/block: preadv/pwritev
  friend class IoRing;           // vmm/events: io_uring
  friend class GuestImage;       // vmm/arch: pread of a kernel image into memory
  friend class KvmSlots;         // vmm/kvm: memory slot registration
  friend class MemoryImage;      // snapshot/image: pwritev into a memory file
  friend class Tap;              // virtio/net: readv and writev
  friend class VsockStream;      // virtio/vsock: readv and writev on a Unix socket
  friend class HostRandom;       // virtio/rng: getrandom
  friend class UserfaultMemory;  // snapshot/image: addresses for userfaultfd
  friend struct KernelIoKeyForTests;
};

class ReadableSlice {
 public:
  ReadableSlice() = default;

  std::size_t size_bytes() const { return size_bytes_; }
  bool empty() const { return size_bytes_ == 0; }

  /// The part [offset, offset + length); empty optional when it does not fit.
  [[nodiscard]] std::optional<ReadableSlice> sub(std::size_t offset, std::size_t length) const;
  /// Copies the first destination.size() bytes out, once. The slice must be at least that long.
  void copy_to(std::span<std::byte> destination) const;
  /// Loads with acquire order; offset must be aligned to the width and inside the slice (asserted: callers check layout
  /// once).
  std::uint16_t load_acquire_u16(std::size_t offset) const;
  iovec lend_iovec(KernelIoKey) const;

 protected:
  friend class GuestMemory;
  ReadableSlice(std::byte* host, std::size_t size_bytes) : host_(host), size_bytes_(size_bytes) {}

  std::byte* host_ = nullptr;
  std::size_t size_bytes_ = 0;
};

class WritableSlice {
 public:
  WritableSlice() = default;

  std::size_t size_bytes() const { return size_bytes_; }
  bool empty() const { return size_bytes_ == 0; }

  [[nodiscard]] std::optional<WritableSlice> sub(std::size_t offset, std::size_t length) const;
  /// Copies all of source to the start of the slice, which must be at least that long; marks the pages dirty.
  void copy_from(std::span<const std::byte> source) const;
  void fill(std::byte value) const;
  /// Stores with release order and marks dirty; offset aligned and inside (asserted).
  void store_release_u16(std::size_t offset, std::uint16_t value) const;
  iovec lend_iovec(KernelIoKey) const;
  /// The kernel has written `length` bytes at `offset`.
  void mark_dirty(std::size_t offset, std::size_t length) const;

 private:
  friend class GuestMemory;
  WritableSlice(std::byte* host, std::size_t size_bytes, DirtyLog* dirty, std::uint64_t region_offset)
      : host_(host), size_bytes_(size_bytes), dirty_(dirty), region_offset_(region_offset) {}

  std::byte* host_ = nullptr;
  std::size_t size_bytes_ = 0;
  DirtyLog* dirty_ = nullptr;
  std::uint64_t region_offset_ = 0;
};

}  // namespace wisp
