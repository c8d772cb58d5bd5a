#include <fcntl.h>

#include "tests/unit/arch/kernel_builder.h"
#include "vmm/arch/x86_64/kernel_image.h"

namespace wisp {
namespace {

using namespace test;
using arch::BootProtocol;
using arch::load_kernel;
using Catch::Matchers::Contains;

constexpr std::uint64_t kMemoryBytes = 32 * kTestMib;

/// Loads what must be refused, and returns the error's text; nothing may have been written.
std::string refusal(const std::string& file, std::uint64_t memory_bytes = kMemoryBytes) {
  const GuestMemory memory = make_memory(memory_bytes);
  const Fd fd = make_file(file);
  const auto result = load_kernel(fd.ref(), memory);
  REQUIRE_FALSE(result.ok());
  CHECK(untouched(memory));
  CHECK_THAT(result.error().text(), Contains("kernel image"));
  return result.error().text();
}

TEST_CASE("An ELF kernel without notes is loaded at its physical address for the 64-bit entry") {
  const GuestMemory memory = make_memory(kMemoryBytes);
  const Fd fd = make_file(good_elf().bytes());

  const auto kernel = load_kernel(fd.ref(), memory);

  REQUIRE(kernel.ok());
  CHECK(kernel.value().protocol == BootProtocol::Linux64);
  CHECK(kernel.value().entry == GuestAddress(16 * kTestMib));
  CHECK(kernel.value().end == 16 * kTestMib + 11 + 0x1000);
  CHECK(kernel.value().setup_header.empty());
  CHECK(read_guest(memory, 16 * kTestMib, 12) == std::string("KERNEL-CODE\0", 12));
  CHECK(memory.dirty_log(0).dirty_page_count() == 1);
}

TEST_CASE("A Xen note makes an ELF kernel a PVH kernel with the note's entry") {
  const auto width = GENERATE(std::size_t{4}, std::size_t{8});
  ElfBuilder elf = good_elf();
  elf.notes(note(1, "GNU\0", "id") +
            note(18, std::string("Xen\0", 4), raw(std::uint64_t{16 * kTestMib + 4}).substr(0, width)));
  const GuestMemory memory = make_memory(kMemoryBytes);
  const Fd fd = make_file(elf.bytes());

  const auto kernel = load_kernel(fd.ref(), memory);

  REQUIRE(kernel.ok());
  CHECK(kernel.value().protocol == BootProtocol::Pvh);
  CHECK(kernel.value().entry == GuestAddress(16 * kTestMib + 4));
}

TEST_CASE("Notes of other owners, types and alignments do not make a PVH kernel") {
  ElfBuilder elf = good_elf();
  elf.notes(note(18, std::string("Zen\0", 4), raw(std::uint64_t{1})) +
            note(17, std::string("Xen\0", 4), raw(std::uint64_t{1})) + note(18, "Xe", raw(std::uint64_t{1})));
  const GuestMemory memory = make_memory(kMemoryBytes);
  const Fd fd = make_file(elf.bytes());

  const auto kernel = load_kernel(fd.ref(), memory);

  REQUIRE(kernel.ok());
  CHECK(kernel.value().protocol == BootProtocol::Linux64);
}

TEST_CASE("A note behind one that is padded to 8 bytes is found when the segment says so") {
  ElfBuilder elf = good_elf();
  std::string first = note(5, "GNU\0", "abcd");
  first.resize(24, '\0');
  elf.notes(first + pvh_note(16 * kTestMib)).header.p_align = 8;
  const GuestMemory memory = make_memory(kMemoryBytes);
  const Fd fd = make_file(elf.bytes());

  const auto kernel = load_kernel(fd.ref(), memory);

  REQUIRE(kernel.ok());
  CHECK(kernel.value().protocol == BootProtocol::Pvh);
}

TEST_CASE("Several segments in any order are all loaded, and zero-sized ones are skipped") {
  ElfBuilder elf = good_elf();
  elf.load(2 * kTestMib, "LOW");
  elf.load(kTestMib, "LOWEST");
  elf.load(0, "");
  const GuestMemory memory = make_memory(kMemoryBytes);
  const Fd fd = make_file(elf.bytes());

  const auto kernel = load_kernel(fd.ref(), memory);

  REQUIRE(kernel.ok());
  CHECK(read_guest(memory, 2 * kTestMib, 3) == "LOW");
  CHECK(read_guest(memory, kTestMib, 6) == "LOWEST");
  CHECK(kernel.value().end == 16 * kTestMib + 11 + 0x1000);
}

TEST_CASE("A segment that fills memory to its last byte is loaded; one byte more is refused") {
  ElfBuilder elf = good_elf();
  elf.load(17 * kTestMib, "X", 15 * kTestMib - 1);
  const GuestMemory memory = make_memory(kMemoryBytes);
  const Fd fits = make_file(elf.bytes());
  CHECK(load_kernel(fits.ref(), memory).ok());

  elf.segments.back().header.p_memsz += 1;
  CHECK_THAT(refusal(elf.bytes()), Contains("outside guest memory") && Contains("mem_size_mib"));
}

TEST_CASE("A kernel linked below 1 MiB or above the end of memory is refused") {
  ElfBuilder elf;
  elf.header.e_entry = 0x8000;
  elf.load(0x8000, "CODE");
  CHECK_THAT(refusal(elf.bytes()), Contains("below 1 MiB"));

  elf.segments[0].header.p_paddr = kTestMib - 1;
  CHECK_THAT(refusal(elf.bytes()), Contains("below 1 MiB"));

  elf.segments[0].header.p_paddr = 0x40000000;
  CHECK_THAT(refusal(elf.bytes()), Contains("outside guest memory"));

  CHECK_THAT(refusal(good_elf().bytes(), 8 * kTestMib), Contains("outside guest memory"));
}

TEST_CASE("Files that are no kernel at all are refused with a text that says what they are") {
  CHECK_THAT(refusal(""), Contains("empty"));
  CHECK_THAT(refusal("x"), Contains("neither an ELF file nor a bzImage"));
  CHECK_THAT(refusal("this is not a kernel\n"), Contains("neither an ELF file nor a bzImage"));
  CHECK_THAT(refusal(std::string(8192, '\0')), Contains("neither an ELF file nor a bzImage"));
}

TEST_CASE("An ELF file of the wrong kind is refused by name") {
  ElfBuilder elf = good_elf();
  SECTION("32-bit") {
    elf.header.e_ident[EI_CLASS] = ELFCLASS32;
    CHECK_THAT(refusal(elf.bytes()), Contains("not a 64-bit"));
  }
  SECTION("big-endian") {
    elf.header.e_ident[EI_DATA] = ELFDATA2MSB;
    CHECK_THAT(refusal(elf.bytes()), Contains("big-endian"));
  }
  SECTION("another processor") {
    elf.header.e_machine = EM_AARCH64;
    CHECK_THAT(refusal(elf.bytes()), Contains("another processor"));
  }
  SECTION("an object file") {
    elf.header.e_type = ET_REL;
    CHECK_THAT(refusal(elf.bytes()), Contains("not an executable"));
  }
  SECTION("nothing to load") {
    elf.segments[0].header.p_type = PT_DYNAMIC;
    CHECK_THAT(refusal(elf.bytes()), Contains("nothing to load"));
  }
}

TEST_CASE("An ELF kernel cut at any byte is refused") {
  ElfBuilder elf = good_elf();
  elf.notes(pvh_note(16 * kTestMib));
  const std::string whole = elf.bytes();
  for (std::size_t size = 0; size < whole.size(); ++size) {
    CAPTURE(size);
    refusal(whole.substr(0, size));
  }
}

TEST_CASE("Program headers out of bounds are refused") {
  ElfBuilder elf = good_elf();
  SECTION("none") {
    elf.segments.clear();
    CHECK_THAT(refusal(elf.bytes()), Contains("program headers"));
  }
  SECTION("more than the limit") {
    elf.segments.resize(arch::kMaxProgramHeaders + 1, elf.segments[0]);
    CHECK_THAT(refusal(elf.bytes()), Contains("program headers"));
  }
  SECTION("of another size") {
    elf.header.e_phentsize = 32;
    CHECK_THAT(refusal(elf.bytes()), Contains("program headers"));
  }
  SECTION("beyond the end of the file") {
    elf.header.e_phoff = 1 << 20;
    CHECK_THAT(refusal(elf.bytes()), Contains("program headers"));
  }
  SECTION("at an offset that wraps") {
    elf.header.e_phoff = ~std::uint64_t{0} - 8;
    CHECK_THAT(refusal(elf.bytes()), Contains("program headers"));
  }
}

TEST_CASE("Segments with impossible sizes and places are refused") {
  ElfBuilder elf = good_elf();
  Elf64_Phdr& segment = elf.segments[0].header;
  SECTION("more in the file than in memory") {
    segment.p_memsz = segment.p_filesz - 1;
    CHECK_THAT(refusal(elf.bytes()), Contains("more bytes in the file"));
  }
  SECTION("no memory at all, but bytes in the file") {
    segment.p_memsz = 0;
    CHECK_THAT(refusal(elf.bytes()), Contains("more bytes in the file"));
  }
  SECTION("bytes beyond the file") {
    segment.p_offset = 1 << 20;
    CHECK_THAT(refusal(elf.bytes()), Contains("beyond the end of the file"));
  }
  SECTION("an offset that wraps") {
    segment.p_offset = ~std::uint64_t{0};
    CHECK_THAT(refusal(elf.bytes()), Contains("beyond the end of the file"));
  }
  SECTION("an address that wraps") {
    segment.p_paddr = ~std::uint64_t{0} - 4;
    CHECK_THAT(refusal(elf.bytes()), Contains("outside guest memory"));
  }
  SECTION("a size that wraps") {
    segment.p_memsz = ~std::uint64_t{0};
    CHECK_THAT(refusal(elf.bytes()), Contains("outside guest memory"));
  }
  SECTION("an overlap with another segment, in its zeroed part") {
    elf.load(16 * kTestMib + 11 + 0xfff, "X");
    CHECK_THAT(refusal(elf.bytes()), Contains("overlapping"));
  }
}

TEST_CASE("A segment right behind another one is not an overlap") {
  ElfBuilder elf = good_elf();
  elf.load(16 * kTestMib + 11 + 0x1000, "X");
  const GuestMemory memory = make_memory(kMemoryBytes);
  const Fd fd = make_file(elf.bytes());
  CHECK(load_kernel(fd.ref(), memory).ok());
}

TEST_CASE("An entry outside the bytes that came from the file is refused") {
  ElfBuilder elf = good_elf();
  SECTION("before the segment") {
    elf.header.e_entry = 16 * kTestMib - 1;
  }
  SECTION("in the zeroed part") {
    elf.header.e_entry = 16 * kTestMib + 11;
  }
  SECTION("at the end of the address space") {
    elf.header.e_entry = ~std::uint64_t{0};
  }
  SECTION("of PVH, while the 64-bit entry is good") {
    elf.notes(pvh_note(0x8000));
  }
  CHECK_THAT(refusal(elf.bytes()), Contains("entry point"));
}

TEST_CASE("A 64-bit entry above the boot page tables is refused, a PVH entry there is good") {
  ElfBuilder elf;
  elf.header.e_entry = 1024 * kTestMib;
  elf.load(1024 * kTestMib, "CODE");
  CHECK_THAT(refusal(elf.bytes(), 1056 * kTestMib), Contains("above 1 GiB"));

  elf.notes(pvh_note(1024 * kTestMib));
  const GuestMemory memory = make_memory(1056 * kTestMib);
  const Fd fd = make_file(elf.bytes());
  CHECK(load_kernel(fd.ref(), memory).ok());
}

TEST_CASE("Malformed notes are refused") {
  ElfBuilder elf = good_elf();
  SECTION("a PVH note of an odd size") {
    elf.notes(note(18, std::string("Xen\0", 4), "12345"));
    CHECK_THAT(refusal(elf.bytes()), Contains("PVH entry note"));
  }
  SECTION("a PVH entry beyond 4 GiB") {
    elf.notes(pvh_note(std::uint64_t{1} << 32));
    CHECK_THAT(refusal(elf.bytes()), Contains("beyond 4 GiB"));
  }
  SECTION("a name that is larger than the segment") {
    elf.notes(raw(std::uint32_t{0xffffffff}) + raw(std::uint32_t{0}) + raw(std::uint32_t{18}));
    CHECK_THAT(refusal(elf.bytes()), Contains("larger than its segment"));
  }
  SECTION("contents that are larger than the segment") {
    elf.notes(raw(std::uint32_t{4}) + raw(std::uint32_t{0xfffffffc}) + raw(std::uint32_t{18}) +
              std::string("Xen\0", 4));
    CHECK_THAT(refusal(elf.bytes()), Contains("larger than its segment"));
  }
  SECTION("more than the limit") {
    elf.notes(std::string(arch::kMaxNoteBytes + 1, '\0'));
    CHECK_THAT(refusal(elf.bytes()), Contains("bytes of notes"));
  }
  SECTION("more than the limit in several segments") {
    elf.notes(std::string(arch::kMaxNoteBytes / 2 + 12, '\0'));
    elf.notes(std::string(arch::kMaxNoteBytes / 2 + 12, '\0'));
    CHECK_THAT(refusal(elf.bytes()), Contains("bytes of notes"));
  }
  SECTION("beyond the end of the file") {
    elf.notes("").header.p_filesz = 100;
    CHECK_THAT(refusal(elf.bytes()), Contains("notes beyond"));
  }
}

TEST_CASE("A kernel file that cannot be read is an error with its cause") {
  const GuestMemory memory = make_memory(kMemoryBytes);
  const auto closed = load_kernel(FdRef(-1), memory);
  REQUIRE_FALSE(closed.ok());
  CHECK(closed.error().code() == ErrorCode::HostFault);
}

TEST_CASE("A directory and a device are no kernels") {
  const GuestMemory memory = make_memory(kMemoryBytes);
  const char* path = GENERATE("/", "/dev/null", "/dev/zero");
  const Fd fd(::open(path, O_RDONLY | O_CLOEXEC));
  const auto result = load_kernel(fd.ref(), memory);
  REQUIRE_FALSE(result.ok());
  CHECK_THAT(result.error().text(), Contains("kernel image is a directory or a device"));
  CHECK(untouched(memory));
}

}  // namespace
}  // namespace wisp
