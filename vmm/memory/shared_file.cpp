#include "vmm/memory/shared_file.h"

#include <fcntl.h>
#include <linux/memfd.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cerrno>
#include <string>

namespace wisp {
namespace {

constexpr std::uint64_t kBytesPerMib = 1024 * 1024;

}  // namespace

Result<Fd> create_shared_file(std::uint64_t size_bytes, PageBacking backing) {
  const std::string what = "cannot create " + std::to_string(size_bytes / kBytesPerMib) + " MiB of shared guest memory";
  const unsigned huge = backing == PageBacking::Huge2M ? MFD_HUGETLB | MFD_HUGE_2MB : 0U;
  Fd file(::memfd_create("guest-memory", MFD_CLOEXEC | MFD_ALLOW_SEALING | huge));
  if (!file.valid()) {
    return Error::host(errno, what, huge != 0 ? "Set huge_pages to None" : "Raise the limit on open files");
  }
  if (::ftruncate(file.raw(), static_cast<off_t>(size_bytes)) != 0) {
    return Error::host(errno, what, "Lower mem_size_mib or raise the limit on file sizes (RLIMIT_FSIZE)");
  }
  if (::fcntl(file.raw(), F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL) != 0) {
    return Error::host(errno, "cannot seal the size of shared guest memory", "Use a kernel from 4.16 on");
  }
  return file;
}

}  // namespace wisp
