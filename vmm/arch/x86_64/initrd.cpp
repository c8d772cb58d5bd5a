#include "vmm/arch/x86_64/initrd.h"

#include <algorithm>

#include "vmm/arch/x86_64/guest_image.h"
#include "vmm/arch/x86_64/layout.h"
#include "vmm/base/checked.h"

namespace wisp::arch {

Result<GuestRange> load_initrd(FdRef file, const GuestMemory& memory, std::uint64_t lowest_free) {
  const GuestImage image(file, "initrd");
  const std::uint64_t size = WISP_TRY(image.size_bytes());
  if (size == 0) {
    return image.refuse("is empty", "Give an archive with contents, or leave initrd_path out");
  }
  const std::uint64_t end = end_of(memory.region_range(0));
  const std::uint64_t floor = std::max(lowest_free, kKernelMinimum);
  if (size > end || align_down(end - size, kPageSizeBytes) < floor) {
    return image.refuse("of " + std::to_string(size) + " bytes does not fit into guest memory above the kernel",
                        "Raise mem_size_mib or make the archive smaller");
  }
  const GuestAddress start(align_down(end - size, kPageSizeBytes));
  (void)WISP_TRY(image.load(0, size, memory, start));
  return GuestRange{start, size};
}

}  // namespace wisp::arch
