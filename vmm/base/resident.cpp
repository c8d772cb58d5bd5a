#include "vmm/base/resident.h"

#include <link.h>
#include <sys/mman.h>

#include <cstddef>
#include <cstdint>

#include "vmm/base/checked.h"

namespace wisp {
namespace {

constexpr std::uint64_t kPageBytes = 4096;

int release_program_segments(dl_phdr_info* info, std::size_t /*size*/, void* /*context*/) {
  for (int index = 0; index < info->dlpi_phnum; ++index) {
    const ElfW(Phdr)& segment = info->dlpi_phdr[index];
    if (segment.p_type != PT_LOAD || (segment.p_flags & PF_W) != 0) {
      continue;  // relocated data is ours alone: dropping it would bring back the file's unrelocated bytes
    }
    const std::uint64_t start = align_down(info->dlpi_addr + segment.p_vaddr, kPageBytes);
    const std::uint64_t end = align_down(info->dlpi_addr + segment.p_vaddr + segment.p_memsz, kPageBytes);
    (void)::madvise(reinterpret_cast<void*>(start), end - start, MADV_DONTNEED);
  }
  return 1;  // the program is the first entry; nothing else is of interest
}

}  // namespace

void release_code_pages() {
  (void)::dl_iterate_phdr(release_program_segments, nullptr);
}

}  // namespace wisp
