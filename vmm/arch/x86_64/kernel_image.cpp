#include "vmm/arch/x86_64/kernel_image.h"

#include <array>
#include <cstring>

#include "vmm/arch/x86_64/bz_image.h"
#include "vmm/arch/x86_64/elf_image.h"

namespace wisp::arch {
namespace {

/// Room for the ELF magic and for the magic of a bzImage at 0x202, whichever comes.
constexpr std::uint64_t kBzMagicOffset = 0x202;
constexpr std::array<char, 4> kBzMagic = {'H', 'd', 'r', 'S'};
constexpr std::array<char, 4> kElfMagic = {'\x7f', 'E', 'L', 'F'};

Result<bool> has_magic(const GuestImage& image, std::uint64_t file_size, std::uint64_t offset,
                       std::array<char, 4> magic) {
  if (!range_fits(offset, magic.size(), file_size)) {
    return false;
  }
  std::array<std::byte, 4> found{};
  (void)WISP_TRY(image.read_header(offset, found));
  return std::memcmp(found.data(), magic.data(), magic.size()) == 0;
}

}  // namespace

Result<LoadedKernel> load_kernel(FdRef file, const GuestMemory& memory) {
  const GuestImage image(file, "kernel image");
  const std::uint64_t file_size = WISP_TRY(image.size_bytes());
  if (file_size == 0) {
    return image.refuse("is empty", "Give an uncompressed ELF kernel (vmlinux) or a bzImage");
  }
  if (WISP_TRY(has_magic(image, file_size, 0, kElfMagic))) {
    return load_elf(image, file_size, memory);
  }
  if (WISP_TRY(has_magic(image, file_size, kBzMagicOffset, kBzMagic))) {
    return load_bz_image(image, file_size, memory);
  }
  return image.refuse("is neither an ELF file nor a bzImage",
                      "Give an uncompressed ELF kernel (vmlinux) or a bzImage, both for x86-64");
}

}  // namespace wisp::arch
