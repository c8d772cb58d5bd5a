#include "vmm/memory/guest_memory.h"

#include <linux/mman.h>
#include <sys/mman.h>

#include <cerrno>
#include <memory>
#include <utility>

#include "vmm/base/assert.h"

namespace wisp {
namespace {

constexpr std::uint64_t kBytesPerMib = 1024 * 1024;

Error refused(int sys_errno, GuestRange range, PageBacking backing) {
  const char* remedy = backing == PageBacking::Huge2M
                           ? "Add 2 MiB pages to the host's pool (/proc/sys/vm/nr_hugepages) or set huge_pages to None"
                           : "Lower mem_size_mib or raise the host's limits (RLIMIT_AS, vm.overcommit_memory)";
  return Error::host(sys_errno,
                     "Invalid Memory Configuration: Cannot create mmap region of " +
                         std::to_string(range.size_bytes / kBytesPerMib) + " MiB for the guest's memory",
                     remedy);
}

}  // namespace

GuestMemory::Mapping::Mapping(Mapping&& other) noexcept
    : host_(std::exchange(other.host_, nullptr)), size_bytes_(std::exchange(other.size_bytes_, 0)) {}

GuestMemory::Mapping& GuestMemory::Mapping::operator=(Mapping&& other) noexcept {
  if (this != &other) {
    unmap();
    host_ = std::exchange(other.host_, nullptr);
    size_bytes_ = std::exchange(other.size_bytes_, 0);
  }
  return *this;
}

GuestMemory::Mapping::~Mapping() {
  unmap();
}

void GuestMemory::Mapping::unmap() {
  if (host_ != nullptr) {
    ::munmap(host_, size_bytes_);
  }
}

Result<GuestMemory::Region> GuestMemory::map_region(GuestRange range, PageBacking backing) {
  WISP_ASSERT(range.size_bytes > 0 && range.start.is_aligned(kPageSizeBytes) && range.size_bytes % kPageSizeBytes == 0);
  // NORESERVE: guest memory is paid for when the guest touches it, not when the machine is made.
  int flags = MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE;
  if (backing == PageBacking::Huge2M) {
    flags |= MAP_HUGETLB | static_cast<int>(MAP_HUGE_2MB);
    flags &= ~MAP_NORESERVE;  // a page missing from the pool must be an error now, not a SIGBUS later
  }
  void* host = ::mmap(nullptr, range.size_bytes, PROT_READ | PROT_WRITE, flags, -1, 0);
  if (host == MAP_FAILED) {
    return refused(errno, range, backing);
  }
  // Guest memory is the tenant's; it does not belong in a core file. Transparent is a wish that the host may ignore.
  (void)::madvise(host, range.size_bytes, MADV_DONTDUMP);
  if (backing == PageBacking::Transparent) {
    (void)::madvise(host, range.size_bytes, MADV_HUGEPAGE);
  }
  return Region{range, Mapping(static_cast<std::byte*>(host), range.size_bytes), nullptr};
}

Result<GuestMemory> GuestMemory::create(std::span<const GuestRange> ranges, PageBacking backing) {
  GuestMemory memory;
  std::uint64_t lowest_free = 0;
  for (const GuestRange& range : ranges) {
    WISP_ASSERT(range.start.value() >= lowest_free);
    const auto end = checked_add(range.start.value(), range.size_bytes);
    WISP_ASSERT(end.has_value());
    lowest_free = *end;
    Region region = WISP_TRY(map_region(range, backing));
    memory.dirty_logs_.push_back(std::make_unique<DirtyLog>(range.size_bytes));
    region.dirty = memory.dirty_logs_.back().get();
    memory.regions_.push_back(std::move(region));
  }
  return memory;
}

const GuestMemory::Region* GuestMemory::find(GuestAddress address, std::uint64_t length) const {
  if (length == 0) {
    return nullptr;
  }
  for (const Region& region : regions_) {
    const auto offset = address.offset_from(region.range.start);
    if (offset && range_fits(*offset, length, region.range.size_bytes)) {
      return &region;
    }
  }
  return nullptr;
}

std::optional<ReadableSlice> GuestMemory::readable(GuestAddress address, std::uint64_t length) const {
  const Region* region = find(address, length);
  if (region == nullptr) {
    return std::nullopt;
  }
  const std::uint64_t offset = *address.offset_from(region->range.start);
  return ReadableSlice(region->mapping.host() + offset, length);
}

std::optional<WritableSlice> GuestMemory::writable(GuestAddress address, std::uint64_t length) const {
  const Region* region = find(address, length);
  if (region == nullptr) {
    return std::nullopt;
  }
  const std::uint64_t offset = *address.offset_from(region->range.start);
  return WritableSlice(region->mapping.host() + offset, length, region->dirty, offset);
}

bool GuestMemory::write_bytes(GuestAddress address, std::span<const std::byte> bytes) const {
  const auto slice = writable(address, bytes.size());
  if (!slice) {
    return false;
  }
  slice->copy_from(bytes);
  return true;
}

GuestRange GuestMemory::region_range(std::size_t index) const {
  WISP_ASSERT(index < regions_.size());
  return regions_[index].range;
}

const DirtyLog& GuestMemory::dirty_log(std::size_t index) const {
  WISP_ASSERT(index < regions_.size());
  return *regions_[index].dirty;
}

void GuestMemory::clear_dirty_logs() {
  for (auto& log : dirty_logs_) {
    log->clear();
  }
}

std::uint64_t GuestMemory::total_size_bytes() const {
  std::uint64_t total = 0;
  for (const Region& region : regions_) {
    total += region.range.size_bytes;
  }
  return total;
}

}  // namespace wisp
