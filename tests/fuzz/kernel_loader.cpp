// A kernel file made of anything. Whatever it holds, loading it must end in an error or in a kernel that lies where
// kernels may lie: above 1 MiB, inside guest memory, entered inside memory. The seeds are small files of both formats
// (make_kernel_seeds.py); a second pass puts the accepted ones through the whole boot preparation, as an initrd too.
#include <sys/mman.h>
#include <unistd.h>

#include <cstddef>
#include <cstdint>

#include "vmm/arch/x86_64/boot.h"
#include "vmm/base/assert.h"

namespace {

using namespace wisp;

constexpr std::uint64_t kMemoryBytes = 16 * arch::kMib;

GuestMemory make_memory() {
  const GuestRange range{GuestAddress(0), kMemoryBytes};
  return GuestMemory::create(std::span(&range, 1), PageBacking::Normal).value();
}

Fd make_file(const std::uint8_t* data, std::size_t size) {
  Fd fd(::memfd_create("kernel", MFD_CLOEXEC));
  WISP_ASSERT(fd.valid() && ::write(fd.raw(), data, size) == static_cast<ssize_t>(size));
  return fd;
}

bool wrote_below_first_mib(const GuestMemory& memory) {
  for (std::uint64_t page = 0; page < arch::kKernelMinimum / kPageSizeBytes; ++page) {
    if (memory.dirty_log(0).is_dirty(page)) {
      return true;
    }
  }
  return false;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const Fd file = make_file(data, size);
  const GuestMemory memory = make_memory();
  const auto kernel = arch::load_kernel(file.ref(), memory);
  WISP_ASSERT(!wrote_below_first_mib(memory));
  if (!kernel.ok()) {
    WISP_ASSERT(!kernel.error().text().empty());
    return 0;
  }
  const std::uint64_t entry = kernel.value().entry.value();
  WISP_ASSERT(entry >= arch::kKernelMinimum && entry < kernel.value().end && kernel.value().end <= kMemoryBytes);

  const GuestMemory fresh = make_memory();
  const auto boot = arch::prepare_boot(fresh, {file.ref(), file.ref(), "console=ttyS0", 2, {}});
  WISP_ASSERT(!boot.ok() || boot.value().entry.value() == entry);
  return 0;
}
