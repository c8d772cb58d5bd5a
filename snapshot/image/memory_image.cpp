#include "snapshot/image/memory_image.h"

#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/sysinfo.h>

#include <algorithm>
#include <optional>
#include <vector>

#include "snapshot/image/extents.h"
#include "vmm/base/assert.h"
#include "vmm/base/checked.h"

namespace wisp {
namespace {

constexpr std::uint64_t kPagesPerLook = 64 * 1024;

/// mincore(2) tells what is in memory. A page in swap is not, and must not be taken for one that was never touched.
bool absent_means_untouched() {
  struct sysinfo host {};
  return ::sysinfo(&host) == 0 && host.totalswap == 0;
}

bool is_same_file(FdRef left, FdRef right) {
  struct stat one {};
  struct stat other {};
  return ::fstat(left.raw(), &one) == 0 && ::fstat(right.raw(), &other) == 0 && one.st_dev == other.st_dev &&
         one.st_ino == other.st_ino;
}

}  // namespace

iovec MemoryImage::host_range(std::size_t region, PageRun run) const {
  const GuestAddress start = *memory_.region_range(region).start.checked_add(run.first * kPageSizeBytes);
  const auto range = memory_.lend_range({start, run.count * kPageSizeBytes}, KernelIoKey());
  WISP_ASSERT(range.has_value());
  return *range;
}

// ---------------------------------------------------------------------------------------------------------------------
// Which pages.

void MemoryImage::add_resident(std::size_t region, DirtyBitmap& pages) const {
  const std::uint64_t page_count = pages.page_count(region);
  if (!absent_means_untouched()) {
    pages.mark_all(region);
    return;
  }
  std::vector<unsigned char> present(std::min(kPagesPerLook, page_count));
  for (std::uint64_t first = 0; first < page_count; first += present.size()) {
    const PageRun run{first, std::min<std::uint64_t>(present.size(), page_count - first)};
    const iovec host = host_range(region, run);
    if (::mincore(host.iov_base, host.iov_len, present.data()) != 0) {
      pages.mark(region, run);
      continue;
    }
    const auto is_present = [](unsigned char page) { return (page & 1U) != 0; };
    const auto end = present.begin() + static_cast<std::ptrdiff_t>(run.count);
    for (auto from = std::find_if(present.begin(), end, is_present); from != end;) {
      const auto to = std::find_if_not(from, end, is_present);
      pages.mark(region,
                 {first + static_cast<std::uint64_t>(from - present.begin()), static_cast<std::uint64_t>(to - from)});
      from = std::find_if(to, end, is_present);
    }
  }
}

Status MemoryImage::add_file_data(std::size_t region, DirtyBitmap& pages) const {
  const auto file = memory_.region_file(region);
  WISP_ASSERT(file.has_value());
  const std::uint64_t size_bytes = memory_.region_range(region).size_bytes;
  const auto extents = WISP_TRY(data_extents(file->fd, "behind the guest's memory", file->offset_bytes, size_bytes));
  for (const Extent& extent : extents) {
    const std::uint64_t start = extent.offset - file->offset_bytes;
    const std::uint64_t first = start / kPageSizeBytes;
    const std::uint64_t end = (start + extent.length_bytes + kPageSizeBytes - 1) / kPageSizeBytes;
    pages.mark(region, {first, end - first});
  }
  return {};
}

Result<DirtyBitmap> MemoryImage::content_pages() const {
  DirtyBitmap pages(memory_);
  for (std::size_t region = 0; region < memory_.region_count(); ++region) {
    const auto file = memory_.region_file(region);
    if (file) {
      (void)WISP_TRY(add_file_data(region, pages));
    }
    if (!file && absent_ == AbsentPages::ComeWhenAsked) {
      pages.mark_all(region);
    } else if (!file || file->sharing == FileSharing::Private) {
      add_resident(region, pages);
    }
  }
  return pages;
}

DirtyBitmap MemoryImage::touched_pages() const {
  DirtyBitmap pages(memory_);
  for (std::size_t region = 0; region < memory_.region_count(); ++region) {
    const auto file = memory_.region_file(region);
    if (file && file->sharing == FileSharing::Shared) {
      pages.mark_all(region);  // what another process holds does not show in our page tables
    } else {
      add_resident(region, pages);
    }
  }
  return pages;
}

// ---------------------------------------------------------------------------------------------------------------------
// Writing.

Status MemoryImage::check_target(const AtomicFile& out) const {
  for (std::size_t region = 0; region < memory_.region_count(); ++region) {
    const auto file = memory_.region_file(region);
    if (file && is_same_file(file->fd, out.fd())) {
      return Error(ErrorCode::InvalidArgument, "The memory backing file (" + out.name() +
                                                   ") is the one that this machine's memory comes from. Give another "
                                                   "file, or a path, under which a new file replaces it");
    }
  }
  return {};
}

Status MemoryImage::write_pages(const DirtyBitmap& pages, AtomicFile& out) const {
  std::uint64_t region_start = 0;
  for (std::size_t region = 0; region < memory_.region_count(); ++region) {
    for (auto run = pages.next_run(region, 0); run; run = pages.next_run(region, run->first + run->count)) {
      (void)WISP_TRY(out.write_at(region_start + run->first * kPageSizeBytes, host_range(region, *run)));
    }
    region_start += memory_.region_range(region).size_bytes;
  }
  return {};
}

Status MemoryImage::write_full(AtomicFile& out) const {
  (void)WISP_TRY(check_target(out));
  const DirtyBitmap pages = WISP_TRY(content_pages());
  (void)WISP_TRY(out.set_size(0));
  (void)WISP_TRY(out.set_size(size_bytes()));
  return write_pages(pages, out);
}

Status MemoryImage::write_diff(const DirtyBitmap& dirty, AtomicFile& out) const {
  (void)WISP_TRY(check_target(out));
  const bool merges = out.size_bytes() == size_bytes();
  if (!merges) {
    (void)WISP_TRY(out.set_size(0));
    (void)WISP_TRY(out.set_size(size_bytes()));
  }
  (void)WISP_TRY(write_pages(dirty, out));
  if (merges) {
    return {};
  }
  std::uint64_t data_bytes = 0;
  const auto extents = WISP_TRY(data_extents(out.fd(), out.name(), 0, size_bytes()));
  for (const Extent& extent : extents) {
    data_bytes += extent.length_bytes;
  }
  if (data_bytes == dirty.dirty_page_count() * kPageSizeBytes) {
    return {};
  }
  return Error(ErrorCode::Unsupported, "The file system of the memory backing file '" + out.name() +
                                           "' does not keep single pages apart from holes, so a diff could not be "
                                           "merged. Make a full snapshot or name another place");
}

}  // namespace wisp
