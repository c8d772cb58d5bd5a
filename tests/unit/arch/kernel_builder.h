// Kernels made to order: small ELF and bzImage files, good ones by default, damaged by the test.
#pragma once

#include <elf.h>
#include <sys/mman.h>
#include <unistd.h>

#include <catch2/catch.hpp>
#include <cstring>
#include <string>
#include <vector>

#include "vmm/base/fd.h"
#include "vmm/memory/guest_memory.h"

namespace wisp::test {

inline constexpr std::uint64_t kTestMib = 1024 * 1024;

inline GuestMemory make_memory(std::uint64_t size_bytes) {
  const GuestRange range{GuestAddress(0), size_bytes};
  return GuestMemory::create(std::span(&range, 1), PageBacking::Normal).value();
}

/// An anonymous file with these contents.
inline Fd make_file(const std::string& contents) {
  Fd fd(::memfd_create("kernel", MFD_CLOEXEC));
  REQUIRE(fd.valid());
  REQUIRE(::write(fd.raw(), contents.data(), contents.size()) == static_cast<ssize_t>(contents.size()));
  return fd;
}

inline std::string read_guest(const GuestMemory& memory, std::uint64_t address, std::size_t size) {
  std::string bytes(size, '\0');
  const auto slice = memory.readable(GuestAddress(address), size);
  REQUIRE(slice);
  slice->copy_to(std::as_writable_bytes(std::span(bytes)));
  return bytes;
}

template <typename T>
T read_guest_value(const GuestMemory& memory, std::uint64_t address) {
  T value{};
  std::memcpy(&value, read_guest(memory, address, sizeof(T)).data(), sizeof(T));
  return value;
}

/// No byte was written by the monitor: what a refusal that came in time looks like.
inline bool untouched(const GuestMemory& memory) {
  return memory.dirty_log(0).dirty_page_count() == 0;
}

struct ElfSegment {
  Elf64_Phdr header{};
  std::string contents;
};

/// An ELF file: header, program headers, then the contents of each segment in turn.
class ElfBuilder {
 public:
  ElfBuilder() {
    std::memcpy(header.e_ident, ELFMAG, SELFMAG);
    header.e_ident[EI_CLASS] = ELFCLASS64;
    header.e_ident[EI_DATA] = ELFDATA2LSB;
    header.e_ident[EI_VERSION] = EV_CURRENT;
    header.e_type = ET_EXEC;
    header.e_machine = EM_X86_64;
    header.e_version = EV_CURRENT;
    header.e_phoff = sizeof(Elf64_Ehdr);
    header.e_ehsize = sizeof(Elf64_Ehdr);
    header.e_phentsize = sizeof(Elf64_Phdr);
  }

  ElfSegment& load(std::uint64_t address, std::string contents, std::uint64_t extra_memory = 0) {
    ElfSegment segment;
    segment.header.p_type = PT_LOAD;
    segment.header.p_paddr = address;
    segment.header.p_vaddr = address;
    segment.header.p_filesz = contents.size();
    segment.header.p_memsz = contents.size() + extra_memory;
    segment.contents = std::move(contents);
    segments.push_back(segment);
    return segments.back();
  }
  ElfSegment& notes(std::string contents) {
    ElfSegment& segment = load(0, std::move(contents));
    segment.header.p_type = PT_NOTE;
    segment.header.p_align = 4;
    return segment;
  }

  /// Offsets and counts are filled in here unless `header` or a segment says otherwise afterwards.
  std::string bytes() {
    header.e_phnum = static_cast<Elf64_Half>(segments.size());
    std::uint64_t offset = sizeof(header) + segments.size() * sizeof(Elf64_Phdr);
    std::string out(reinterpret_cast<const char*>(&header), sizeof(header));
    std::string contents;
    for (ElfSegment& segment : segments) {
      if (segment.header.p_offset == 0) {
        segment.header.p_offset = offset + contents.size();
      }
      out.append(reinterpret_cast<const char*>(&segment.header), sizeof(Elf64_Phdr));
      contents += segment.contents;
    }
    return out + contents;
  }

  Elf64_Ehdr header{};
  std::vector<ElfSegment> segments;
};

inline std::string note(std::uint32_t type, std::string owner, std::string contents) {
  const std::uint32_t words[3] = {static_cast<std::uint32_t>(owner.size()), static_cast<std::uint32_t>(contents.size()),
                                  type};
  owner.resize((owner.size() + 3) / 4 * 4, '\0');
  contents.resize((contents.size() + 3) / 4 * 4, '\0');
  return std::string(reinterpret_cast<const char*>(words), sizeof(words)) + owner + contents;
}

template <typename T>
std::string raw(T value) {
  return std::string(reinterpret_cast<const char*>(&value), sizeof(value));
}

inline std::string pvh_note(std::uint64_t entry) {
  return note(18, std::string("Xen\0", 4), raw(entry));
}

/// One segment at 16 MiB whose first byte is the entry.
inline ElfBuilder good_elf() {
  ElfBuilder elf;
  elf.header.e_entry = 16 * kTestMib;
  elf.load(16 * kTestMib, "KERNEL-CODE", 0x1000);
  return elf;
}

/// A bzImage with a boot sector, one setup sector, and a payload that names itself.
class BzImageBuilder {
 public:
  BzImageBuilder() {
    set<std::uint8_t>(0x1f1, 1);
    set<std::uint16_t>(0x1fe, 0xaa55);
    set<std::uint8_t>(0x200, 0xeb);
    set<std::uint8_t>(0x201, 0x6a);
    bytes.replace(0x202, 4, "HdrS");
    set<std::uint16_t>(0x206, 0x020f);
    set<std::uint8_t>(0x211, 1);
    set<std::uint32_t>(0x214, 0x100000);
    set<std::uint16_t>(0x236, 1);
    set<std::uint64_t>(0x258, 0x1000000);
    set<std::uint32_t>(0x260, 0x400000);
    bytes.replace(1024, 7, "PAYLOAD");
  }

  template <typename T>
  void set(std::size_t offset, T value) {
    std::memcpy(&bytes[offset], &value, sizeof(value));
  }

  std::string bytes = std::string(1024 + 0x400, '\0');
};

}  // namespace wisp::test
