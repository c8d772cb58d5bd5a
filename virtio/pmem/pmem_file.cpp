#include "virtio/pmem/pmem_file.h"

#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <string>
#include <utility>

#include "vmm/base/log.h"
#include "vmm/base/uninterrupted.h"
#include "vmm/memory/dirty_log.h"

namespace wisp {
namespace {

constexpr std::uint64_t round_up(std::uint64_t value, std::uint64_t unit) {
  return (value + unit - 1) / unit * unit;
}

/// Address space of `size_bytes` at a multiple of kPmemAlignmentBytes, so that the kernel can use large pages; null
/// when the host refuses. Nothing is behind it yet.
std::byte* reserve(std::uint64_t size_bytes) {
  const std::uint64_t loose_bytes = size_bytes + kPmemAlignmentBytes;
  void* loose = ::mmap(nullptr, loose_bytes, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (loose == MAP_FAILED) {
    return nullptr;
  }
  auto* const begin = static_cast<std::byte*>(loose);
  const auto address = reinterpret_cast<std::uintptr_t>(loose);
  const std::uint64_t front_bytes = round_up(address, kPmemAlignmentBytes) - address;
  if (front_bytes > 0) {
    ::munmap(begin, front_bytes);
  }
  if (front_bytes < kPmemAlignmentBytes) {
    ::munmap(begin + front_bytes + size_bytes, kPmemAlignmentBytes - front_bytes);
  }
  return begin + front_bytes;
}

}  // namespace

PmemFile::PmemFile(Fd file, std::uint64_t file_size_bytes, Access access)
    : file_(std::move(file)),
      size_bytes_(round_up(file_size_bytes, kPmemAlignmentBytes)),
      file_size_bytes_(file_size_bytes),
      access_(access) {}

Result<PmemFile> PmemFile::open(const PmemConfig& config) {
  const Access access = config.read_only ? Access::ReadOnly : Access::ReadWrite;
  return adopt(WISP_TRY(open_data_file("pmem file", config.path_on_host, access, FileKind::Regular)), config);
}

Result<PmemFile> PmemFile::adopt_descriptor(Fd file, const PmemConfig& config) {
  const Access access = config.read_only ? Access::ReadOnly : Access::ReadWrite;
  (void)WISP_TRY(check_data_descriptor(file.ref(), "pmem file", config.path_on_host, access, FileKind::Regular));
  return adopt(std::move(file), config);
}

Result<PmemFile> PmemFile::adopt(Fd file, const PmemConfig& config) {
  const Access access = config.read_only ? Access::ReadOnly : Access::ReadWrite;
  struct stat status {};
  if (::fstat(file.raw(), &status) != 0) {
    return Error::host(errno, "cannot inspect the pmem file '" + config.path_on_host + "'");
  }
  if (status.st_size <= 0) {
    return Error(ErrorCode::InvalidArgument, "the pmem file '" + config.path_on_host +
                                                 "' is empty. Give it a size (truncate -s 2M), a multiple of 2 MiB");
  }
  PmemFile result(std::move(file), static_cast<std::uint64_t>(status.st_size), access);
  (void)WISP_TRY(result.map(config));
  if (result.size_bytes_ != result.file_size_bytes_) {
    WISP_LOG(Warn,
             "The size of the pmem file '%s' is not a multiple of 2 MiB; what the guest writes behind its end is lost.",
             config.path_on_host.c_str());
  }
  return result;
}

Status PmemFile::map(const PmemConfig& config) {
  const std::string what = "cannot map the pmem file '" + config.path_on_host + "'";
  host_ = reserve(size_bytes_);
  if (host_ == nullptr) {
    return Error::host(errno, what, "Make the file smaller or raise the host's limits (RLIMIT_AS)");
  }
  const int protection = access_ == Access::ReadWrite ? PROT_READ | PROT_WRITE : PROT_READ;
  const std::uint64_t file_pages_bytes = round_up(file_size_bytes_, kPageSizeBytes);
  const int file_flags = MAP_SHARED | MAP_NORESERVE | MAP_FIXED;
  if (::mmap(host_, file_pages_bytes, protection, file_flags, file_.raw(), 0) == MAP_FAILED) {
    return Error::host(errno, what);
  }
  const std::uint64_t tail_bytes = size_bytes_ - file_pages_bytes;
  const int tail_flags = MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_FIXED;
  if (tail_bytes > 0 && ::mmap(host_ + file_pages_bytes, tail_bytes, protection, tail_flags, -1, 0) == MAP_FAILED) {
    return Error::host(errno, what);
  }
  (void)::madvise(host_, size_bytes_, MADV_DONTDUMP);  // the tenant's data does not belong in a core file
  return {};
}

PmemFile::PmemFile(PmemFile&& other) noexcept
    : file_(std::move(other.file_)),
      host_(std::exchange(other.host_, nullptr)),
      size_bytes_(std::exchange(other.size_bytes_, 0)),
      file_size_bytes_(std::exchange(other.file_size_bytes_, 0)),
      access_(other.access_) {}

PmemFile& PmemFile::operator=(PmemFile&& other) noexcept {
  if (this != &other) {
    unmap();
    file_ = std::move(other.file_);
    host_ = std::exchange(other.host_, nullptr);
    size_bytes_ = std::exchange(other.size_bytes_, 0);
    file_size_bytes_ = std::exchange(other.file_size_bytes_, 0);
    access_ = other.access_;
  }
  return *this;
}

void PmemFile::unmap() {
  if (host_ != nullptr) {
    ::munmap(host_, size_bytes_);
  }
}

int PmemFile::sync() {
  // Of a shared mapping's file, this is what msync(MS_SYNC) of the whole mapping does.
  return uninterrupted([&] { return ::fdatasync(file_.raw()); }) == 0 ? 0 : errno;
}

}  // namespace wisp
