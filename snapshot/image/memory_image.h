// MemoryImage: guest memory on its way into a memory file.
//
//   MemoryImage image(memory, AbsentPages::ReadAsZeros);
//   (void)WISP_TRY(image.write_full(file));
//
// The file is raw: region after region in address order, the hot-pluggable one with its whole size, page N of a region
// at N times 4096 bytes behind the region's start. Pages go from guest memory to the file in the kernel, in long runs,
// and are not looked at. Pages that the host does not hold become holes, which costs a look at the page tables and no
// read of memory.
//
// The machine is paused while an image is written.
#pragma once

#include <cstddef>
#include <cstdint>

#include "snapshot/image/atomic_file.h"
#include "snapshot/image/dirty_bitmap.h"
#include "vmm/memory/guest_memory.h"

namespace wisp {

/// What a page of anonymous memory that the host does not hold contains.
enum class AbsentPages {
  ReadAsZeros,    ///< nothing was ever there, or it was given back
  ComeWhenAsked,  ///< a userfaultfd handler has it; writing the image asks for it
};

class MemoryImage {
 public:
  MemoryImage(const GuestMemory& memory, AbsentPages absent) : memory_(memory), absent_(absent) {}

  /// The length of the memory file: all regions.
  std::uint64_t size_bytes() const { return memory_.total_size_bytes(); }

  /// All contents. What the file held before is gone. Refused for a descriptor of the very file that the memory is
  /// mapped from: it would be emptied before it is read.
  Status write_full(AtomicFile& out) const;

  /// The dirty pages alone. A file of the right size keeps its other pages, one of any other size starts empty. In a
  /// file that started empty exactly the dirty pages are data, for merge_diff(); a file system that cannot say so page
  /// by page is refused.
  Status write_diff(const DirtyBitmap& dirty, AtomicFile& out) const;

  /// Pages that may hold anything but zeros.
  Result<DirtyBitmap> content_pages() const;
  /// Pages that may differ from the file or the zeros that the memory started with, for a diff without dirty-page
  /// tracking; more than necessary, never less. Pages given back are not among them: they are in the DirtyLog.
  DirtyBitmap touched_pages() const;

 private:
  Status write_pages(const DirtyBitmap& pages, AtomicFile& out) const;
  Status check_target(const AtomicFile& out) const;
  Status add_file_data(std::size_t region, DirtyBitmap& pages) const;
  void add_resident(std::size_t region, DirtyBitmap& pages) const;
  iovec host_range(std::size_t region, PageRun run) const;

  const GuestMemory& memory_;
  AbsentPages absent_;
};

}  // namespace wisp
