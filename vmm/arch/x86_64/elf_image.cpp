#include "vmm/arch/x86_64/elf_image.h"

#include <elf.h>

#include <algorithm>
#include <cstring>
#include <optional>
#include <string>

#include "vmm/arch/x86_64/guest_writer.h"
#include "vmm/arch/x86_64/layout.h"
#include "vmm/arch/x86_64/page_tables.h"
#include "vmm/base/checked.h"

namespace wisp::arch {
namespace {

constexpr const char* kRemedyFormat = "Give an uncompressed x86-64 kernel (vmlinux), not a compressed or foreign one";
constexpr const char* kRemedyDamaged = "The file is damaged; copy or build it again";
constexpr const char* kRemedyLinked =
    "Link the kernel for addresses from 1 MiB to the end of guest memory, or raise mem_size_mib";

/// XEN_ELFNOTE_PHYS32_ENTRY: the 32-bit physical address of the PVH entry point.
constexpr Elf64_Word kNotePhys32Entry = 18;
constexpr std::array<char, 4> kNoteOwner = {'X', 'e', 'n', '\0'};

template <typename T>
Result<T> read_struct(const GuestImage& image, std::uint64_t offset) {
  T value{};
  (void)WISP_TRY(image.read_header(offset, std::as_writable_bytes(std::span(&value, 1))));
  return value;
}

Status check_header(const GuestImage& image, const Elf64_Ehdr& header) {
  if (header.e_ident[EI_CLASS] != ELFCLASS64) {
    return image.refuse("is not a 64-bit ELF file", kRemedyFormat);
  }
  if (header.e_ident[EI_DATA] != ELFDATA2LSB) {
    return image.refuse("is a big-endian ELF file", kRemedyFormat);
  }
  if (header.e_machine != EM_X86_64) {
    return image.refuse("is an ELF file for another processor (machine " + std::to_string(header.e_machine) + ")",
                        kRemedyFormat);
  }
  if (header.e_type != ET_EXEC && header.e_type != ET_DYN) {
    return image.refuse("is an ELF file but not an executable (type " + std::to_string(header.e_type) + ")",
                        kRemedyFormat);
  }
  if (header.e_phnum == 0 || header.e_phnum > kMaxProgramHeaders || header.e_phentsize != sizeof(Elf64_Phdr)) {
    return image.refuse("has " + std::to_string(header.e_phnum) + " program headers of " +
                            std::to_string(header.e_phentsize) + " bytes; 1 to " + std::to_string(kMaxProgramHeaders) +
                            " of " + std::to_string(sizeof(Elf64_Phdr)) + " are supported",
                        kRemedyDamaged);
  }
  return {};
}

Result<std::vector<Elf64_Phdr>> read_program_headers(const GuestImage& image, const Elf64_Ehdr& header,
                                                     std::uint64_t file_size) {
  std::vector<Elf64_Phdr> headers(header.e_phnum);
  if (!range_fits(header.e_phoff, headers.size() * sizeof(Elf64_Phdr), file_size)) {
    return image.refuse("is cut before its program headers", kRemedyDamaged);
  }
  (void)WISP_TRY(image.read_header(header.e_phoff, std::as_writable_bytes(std::span(headers))));
  return headers;
}

/// The loadable segments in the order of their addresses, each one checked by itself and against its neighbour.
Result<std::vector<Elf64_Phdr>> loadable_segments(const GuestImage& image, const std::vector<Elf64_Phdr>& headers,
                                                  std::uint64_t file_size, const GuestMemory& memory) {
  std::vector<Elf64_Phdr> segments;
  for (const Elf64_Phdr& segment : headers) {
    if (segment.p_type != PT_LOAD || (segment.p_memsz == 0 && segment.p_filesz == 0)) {
      continue;
    }
    const std::string name = "has a segment at " + hex(segment.p_paddr);
    if (segment.p_filesz > segment.p_memsz) {
      return image.refuse(name + " with more bytes in the file than in memory", kRemedyDamaged);
    }
    if (!range_fits(segment.p_offset, segment.p_filesz, file_size)) {
      return image.refuse(name + " whose bytes lie beyond the end of the file", kRemedyDamaged);
    }
    if (segment.p_paddr < kKernelMinimum) {
      return image.refuse(name + ", below 1 MiB, where the boot structures are", kRemedyLinked);
    }
    if (!memory.readable(GuestAddress(segment.p_paddr), segment.p_memsz)) {
      return image.refuse(name + " of " + std::to_string(segment.p_memsz) + " bytes, outside guest memory",
                          kRemedyLinked);
    }
    segments.push_back(segment);
  }
  std::sort(segments.begin(), segments.end(),
            [](const Elf64_Phdr& left, const Elf64_Phdr& right) { return left.p_paddr < right.p_paddr; });
  for (std::size_t index = 1; index < segments.size(); ++index) {
    // Each lies in RAM, so these sums cannot wrap.
    if (segments[index].p_paddr < segments[index - 1].p_paddr + segments[index - 1].p_memsz) {
      return image.refuse("has overlapping segments at " + hex(segments[index].p_paddr), kRemedyDamaged);
    }
  }
  if (segments.empty()) {
    return image.refuse("has nothing to load", kRemedyFormat);
  }
  return segments;
}

/// Walks the notes of one segment. A note: three words, the owner's name, the contents, both padded to `alignment`.
class NoteReader {
 public:
  NoteReader(std::span<const std::byte> bytes, std::uint64_t alignment) : rest_(bytes), alignment_(alignment) {}

  struct Note {
    Elf64_Word type = 0;
    std::span<const std::byte> owner;
    std::span<const std::byte> contents;
  };

  bool at_end() const { return rest_.size() < sizeof(Elf64_Nhdr); }
  /// Nothing when the sizes of the note do not fit the segment.
  std::optional<Note> next() {
    Elf64_Nhdr header{};
    std::memcpy(&header, rest_.data(), sizeof(header));
    std::uint64_t position = sizeof(header);
    // The sizes have 32 bits, so sums of them cannot wrap 64.
    const std::uint64_t contents_at = align(position + header.n_namesz);
    if (!range_fits(position, header.n_namesz, rest_.size()) ||
        !range_fits(contents_at, header.n_descsz, rest_.size())) {
      return std::nullopt;
    }
    const Note note{header.n_type, rest_.subspan(position, header.n_namesz),
                    rest_.subspan(contents_at, header.n_descsz)};
    // The last note may come without its padding.
    rest_ = rest_.subspan(std::min<std::uint64_t>(align(contents_at + header.n_descsz), rest_.size()));
    return note;
  }

 private:
  std::uint64_t align(std::uint64_t value) const { return align_down(value + alignment_ - 1, alignment_); }

  std::span<const std::byte> rest_;
  std::uint64_t alignment_;
};

bool is_pvh_entry(const NoteReader::Note& note) {
  return note.type == kNotePhys32Entry && note.owner.size() == kNoteOwner.size() &&
         std::memcmp(note.owner.data(), kNoteOwner.data(), kNoteOwner.size()) == 0;
}

/// The contents are one word of 4 or 8 bytes; the entry is entered in 32-bit mode.
Result<GuestAddress> pvh_address(const GuestImage& image, std::span<const std::byte> contents) {
  std::uint64_t address = 0;
  if (contents.size() != sizeof(std::uint32_t) && contents.size() != sizeof(std::uint64_t)) {
    return image.refuse("has a PVH entry note of " + std::to_string(contents.size()) + " bytes", kRemedyDamaged);
  }
  std::memcpy(&address, contents.data(), contents.size());
  if (address > UINT32_MAX) {
    return image.refuse("has a PVH entry point beyond 4 GiB", kRemedyDamaged);
  }
  return GuestAddress(address);
}

Result<std::optional<GuestAddress>> find_pvh_entry(const GuestImage& image, const std::vector<Elf64_Phdr>& headers,
                                                   std::uint64_t file_size) {
  std::uint64_t budget = kMaxNoteBytes;
  for (const Elf64_Phdr& segment : headers) {
    if (segment.p_type != PT_NOTE || segment.p_filesz == 0) {
      continue;
    }
    if (!range_fits(segment.p_offset, segment.p_filesz, file_size)) {
      return image.refuse("has notes beyond the end of the file", kRemedyDamaged);
    }
    if (segment.p_filesz > budget) {
      return image.refuse("has more than " + std::to_string(kMaxNoteBytes) + " bytes of notes", kRemedyDamaged);
    }
    budget -= segment.p_filesz;
    std::vector<std::byte> bytes(segment.p_filesz);
    (void)WISP_TRY(image.read_header(segment.p_offset, bytes));
    NoteReader reader(bytes, segment.p_align == 8 ? 8 : 4);
    while (!reader.at_end()) {
      const auto note = reader.next();
      if (!note) {
        return image.refuse("has a note that is larger than its segment", kRemedyDamaged);
      }
      if (is_pvh_entry(*note)) {
        return std::optional(WISP_TRY(pvh_address(image, note->contents)));
      }
    }
  }
  return std::optional<GuestAddress>();
}

Status check_entry(const GuestImage& image, const LoadedKernel& kernel, const std::vector<Elf64_Phdr>& segments) {
  const std::uint64_t entry = kernel.entry.value();
  const bool inside = std::any_of(segments.begin(), segments.end(), [&](const Elf64_Phdr& segment) {
    return entry >= segment.p_paddr && entry - segment.p_paddr < segment.p_filesz;
  });
  if (!inside) {
    return image.refuse("has its entry point at " + hex(entry) + ", outside its loaded segments", kRemedyDamaged);
  }
  if (kernel.protocol == BootProtocol::Linux64 && entry >= kIdentityMapEnd) {
    return image.refuse("has its 64-bit entry point at " + hex(entry) + ", above 1 GiB",
                        "Link the kernel below 1 GiB or give it a PVH entry note");
  }
  return {};
}

}  // namespace

Result<LoadedKernel> load_elf(const GuestImage& image, std::uint64_t file_size, const GuestMemory& memory) {
  if (file_size < sizeof(Elf64_Ehdr)) {
    return image.refuse("is cut inside its ELF header", kRemedyDamaged);
  }
  const auto header = WISP_TRY(read_struct<Elf64_Ehdr>(image, 0));
  (void)WISP_TRY(check_header(image, header));
  const auto headers = WISP_TRY(read_program_headers(image, header, file_size));
  const auto segments = WISP_TRY(loadable_segments(image, headers, file_size, memory));
  const auto pvh_entry = WISP_TRY(find_pvh_entry(image, headers, file_size));

  LoadedKernel kernel;
  kernel.protocol = pvh_entry ? BootProtocol::Pvh : BootProtocol::Linux64;
  kernel.entry = pvh_entry.value_or(GuestAddress(header.e_entry));
  kernel.end = segments.back().p_paddr + segments.back().p_memsz;
  (void)WISP_TRY(check_entry(image, kernel, segments));
  for (const Elf64_Phdr& segment : segments) {
    // What a segment has beyond its file bytes must read as zeros, which fresh guest memory does already.
    if (segment.p_filesz > 0) {
      (void)WISP_TRY(image.load(segment.p_offset, segment.p_filesz, memory, GuestAddress(segment.p_paddr)));
    }
  }
  return kernel;
}

}  // namespace wisp::arch
