#include "vmm/memory/host_mapping.h"

#include <fcntl.h>
#include <linux/falloc.h>
#include <linux/mman.h>
#include <sys/mman.h>

#include <cerrno>
#include <string>
#include <utility>

#include "vmm/base/assert.h"
#include "vmm/base/checked.h"
#include "vmm/memory/dirty_log.h"

namespace wisp {
namespace {

constexpr std::uint64_t kBytesPerMib = 1024 * 1024;
constexpr std::uint64_t kHugePageBytes = 2 * kBytesPerMib;
constexpr FdRef kNoFile{-1};

Error refused(int sys_errno, std::uint64_t size_bytes, PageBacking backing) {
  const char* remedy = backing == PageBacking::Huge2M
                           ? "Add 2 MiB pages to the host's pool (/proc/sys/vm/nr_hugepages) or set huge_pages to None"
                           : "Lower mem_size_mib or raise the host's limits (RLIMIT_AS, vm.overcommit_memory)";
  return Error::host(sys_errno,
                     "Invalid Memory Configuration: Cannot create mmap region of " +
                         std::to_string(size_bytes / kBytesPerMib) + " MiB for the guest's memory",
                     remedy);
}

}  // namespace

HostMapping::HostMapping(HostMapping&& other) noexcept
    : host_(std::exchange(other.host_, nullptr)),
      size_bytes_(std::exchange(other.size_bytes_, 0)),
      backing_(other.backing_),
      source_(other.source_),
      file_(std::move(other.file_)),
      file_offset_(other.file_offset_) {}

HostMapping& HostMapping::operator=(HostMapping&& other) noexcept {
  if (this != &other) {
    unmap();
    host_ = std::exchange(other.host_, nullptr);
    size_bytes_ = std::exchange(other.size_bytes_, 0);
    backing_ = other.backing_;
    source_ = other.source_;
    file_ = std::move(other.file_);
    file_offset_ = other.file_offset_;
  }
  return *this;
}

void HostMapping::unmap() {
  if (host_ != nullptr) {
    ::munmap(host_, size_bytes_);
    host_ = nullptr;
  }
}

Status HostMapping::map(int flags, FdRef file, std::uint64_t file_offset) {
  // NORESERVE: guest memory is paid for when the guest touches it, not when the machine is made. Not so for huge pages:
  // one that is missing from the pool must be an error now, not a SIGBUS later.
  flags |= backing_ == PageBacking::Huge2M ? MAP_HUGETLB | static_cast<int>(MAP_HUGE_2MB) : MAP_NORESERVE;
  void* host = ::mmap(nullptr, size_bytes_, PROT_READ | PROT_WRITE, flags, file.raw(), static_cast<off_t>(file_offset));
  if (host == MAP_FAILED) {
    return refused(errno, size_bytes_, backing_);
  }
  host_ = static_cast<std::byte*>(host);
  advise(host_, size_bytes_);
  return {};
}

void HostMapping::advise(std::byte* start, std::uint64_t length) const {
  // Guest memory is the tenant's; it does not belong in a core file. Transparent is a wish that the host may ignore.
  (void)::madvise(start, length, MADV_DONTDUMP);
  if (backing_ == PageBacking::Transparent) {
    (void)::madvise(start, length, MADV_HUGEPAGE);
  }
}

Result<HostMapping> HostMapping::anonymous(std::uint64_t size_bytes, PageBacking backing) {
  HostMapping mapping;
  mapping.size_bytes_ = size_bytes;
  mapping.backing_ = backing;
  (void)WISP_TRY(mapping.map(MAP_PRIVATE | MAP_ANONYMOUS, kNoFile, 0));
  return mapping;
}

Result<HostMapping> HostMapping::of_file(std::uint64_t size_bytes, const RegionFile& file, PageBacking backing) {
  HostMapping mapping;
  mapping.size_bytes_ = size_bytes;
  mapping.backing_ = backing;
  const bool is_private = file.sharing == FileSharing::Private;
  mapping.source_ = is_private ? Source::PrivateFile : Source::SharedFile;
  mapping.file_offset_ = file.offset_bytes;
  mapping.file_ = Fd(::fcntl(file.fd.raw(), F_DUPFD_CLOEXEC, 0));
  if (!mapping.file_.valid()) {
    return Error::host(errno, "cannot keep the descriptor of the guest's memory", "Raise RLIMIT_NOFILE");
  }
  (void)WISP_TRY(mapping.map(is_private ? MAP_PRIVATE : MAP_SHARED, file.fd, file.offset_bytes));
  return mapping;
}

std::optional<RegionFile> HostMapping::file() const {
  if (source_ == Source::Anonymous) {
    return std::nullopt;
  }
  return RegionFile{file_.ref(), file_offset_,
                    source_ == Source::PrivateFile ? FileSharing::Private : FileSharing::Shared};
}

Discarded HostMapping::discard(std::uint64_t offset, std::uint64_t length) const {
  WISP_ASSERT(range_fits(offset, length, size_bytes_));
  const std::uint64_t page = backing_ == PageBacking::Huge2M ? kHugePageBytes : kPageSizeBytes;
  const std::uint64_t first = align_down(offset + page - 1, page);
  const std::uint64_t last = align_down(offset + length, page);
  if (first >= last) {
    return {};
  }
  return give_back(first, last - first) ? Discarded{DiscardOutcome::Done, last - first}
                                        : Discarded{DiscardOutcome::HostRefused, 0};
}

bool HostMapping::give_back(std::uint64_t offset, std::uint64_t length) const {
  std::byte* const start = host_ + offset;
  switch (source_) {
    case Source::Anonymous: return ::madvise(start, length, MADV_DONTNEED) == 0;
    case Source::SharedFile:
      return ::fallocate(file_.raw(), FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE,
                         static_cast<off_t>(file_offset_ + offset), static_cast<off_t>(length)) == 0;
    case Source::PrivateFile: break;
  }
  const int flags = MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_FIXED;
  if (::mmap(start, length, PROT_READ | PROT_WRITE, flags, -1, 0) == MAP_FAILED) {
    return false;
  }
  advise(start, length);
  return true;
}

}  // namespace wisp
