#include "tests/bench/guest_image.h"

#include <elf.h>

#include <array>
#include <cstdint>
#include <cstring>
#include <fstream>
#include <vector>

namespace wisp::bench {
namespace {

constexpr std::uint64_t kLoadAddress = 0x100000;
constexpr std::uint64_t kFileOffset = 0x1000;
// mov dx, 0x3f8; mov al, '!'; out dx, al; jmp self
constexpr std::array<std::uint8_t, 9> kCode = {0x66, 0xba, 0xf8, 0x03, 0xb0, 0x21, 0xee, 0xeb, 0xfe};
/// The jump goes back to the out.
constexpr std::uint8_t kJumpToOut = 0xfd;

}  // namespace

bool write_guest_image(const std::string& path, AfterMark after) {
  std::vector<char> image(kFileOffset + kCode.size());
  Elf64_Ehdr header{};
  std::memcpy(header.e_ident, ELFMAG, SELFMAG);
  header.e_ident[EI_CLASS] = ELFCLASS64;
  header.e_ident[EI_DATA] = ELFDATA2LSB;
  header.e_ident[EI_VERSION] = EV_CURRENT;
  header.e_type = ET_EXEC;
  header.e_machine = EM_X86_64;
  header.e_version = EV_CURRENT;
  header.e_entry = kLoadAddress;
  header.e_phoff = sizeof(header);
  header.e_ehsize = sizeof(header);
  header.e_phentsize = sizeof(Elf64_Phdr);
  header.e_phnum = 1;
  Elf64_Phdr segment{};
  segment.p_type = PT_LOAD;
  segment.p_flags = PF_R | PF_X;
  segment.p_offset = kFileOffset;
  segment.p_vaddr = segment.p_paddr = kLoadAddress;
  segment.p_filesz = segment.p_memsz = kCode.size();
  segment.p_align = kFileOffset;
  std::memcpy(image.data(), &header, sizeof(header));
  std::memcpy(image.data() + sizeof(header), &segment, sizeof(segment));
  std::memcpy(image.data() + kFileOffset, kCode.data(), kCode.size());
  if (after == AfterMark::Repeat) {
    image.back() = static_cast<char>(kJumpToOut);
  }
  std::ofstream file(path, std::ios::binary);
  file.write(image.data(), static_cast<std::streamsize>(image.size()));
  return file.good();
}

}  // namespace wisp::bench
