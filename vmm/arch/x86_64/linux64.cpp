#include "vmm/arch/x86_64/linux64.h"

#include <array>
#include <cstring>
#include <span>

#include "vmm/arch/x86_64/guest_writer.h"
#include "vmm/arch/x86_64/layout.h"
#include "vmm/arch/x86_64/memory_map.h"

namespace wisp::arch {
namespace {

constexpr std::size_t kMaxE820Entries = 128;
constexpr std::uint8_t kLoaderUndefined = 0xff;
constexpr std::uint16_t kBootFlag = 0xaa55;
constexpr std::uint32_t kElfKernelAlignment = 0x1000000;

struct E820Entry {
  Le64 address;
  Le64 size_bytes;
  Le32 kind;
};
static_assert(sizeof(E820Entry) == 20);

/// struct boot_params, as far as we fill it in. Offsets are from the page's start.
struct ZeroPage {
  std::array<std::uint8_t, 0x070> screen_info;
  Le64 acpi_rsdp_address;
  std::array<std::uint8_t, 0x0c0 - 0x078> reserved1;
  Le32 ramdisk_image_high;
  Le32 ramdisk_size_high;
  Le32 command_line_high;
  std::array<std::uint8_t, 0x1e8 - 0x0cc> reserved2;
  std::uint8_t e820_entry_count;
  std::array<std::uint8_t, 0x1f1 - 0x1e9> reserved3;
  // the setup header, 0x1f1 to 0x290
  std::array<std::uint8_t, 0x1fe - 0x1f1> setup_fields;
  Le16 boot_flag;
  std::array<std::uint8_t, 2> jump;
  std::array<std::uint8_t, 4> magic;
  std::array<std::uint8_t, 0x210 - 0x206> version_fields;
  std::uint8_t type_of_loader;
  std::array<std::uint8_t, 0x218 - 0x211> loader_fields;
  Le32 ramdisk_image;
  Le32 ramdisk_size;
  std::array<std::uint8_t, 0x228 - 0x220> heap_fields;
  Le32 command_line_address;
  Le32 initrd_address_max;
  Le32 kernel_alignment;
  std::array<std::uint8_t, 0x238 - 0x234> relocation_fields;
  Le32 command_line_size;
  std::array<std::uint8_t, 0x2d0 - 0x23c> reserved4;
  std::array<E820Entry, kMaxE820Entries> e820;
};
static_assert(offsetof(ZeroPage, acpi_rsdp_address) == 0x70 && offsetof(ZeroPage, ramdisk_image_high) == 0xc0);
static_assert(offsetof(ZeroPage, e820_entry_count) == 0x1e8 && offsetof(ZeroPage, boot_flag) == 0x1fe);
static_assert(offsetof(ZeroPage, magic) == 0x202 && offsetof(ZeroPage, type_of_loader) == 0x210);
static_assert(offsetof(ZeroPage, ramdisk_image) == 0x218 && offsetof(ZeroPage, command_line_address) == 0x228);
static_assert(offsetof(ZeroPage, kernel_alignment) == 0x230 && offsetof(ZeroPage, command_line_size) == 0x238);
static_assert(offsetof(ZeroPage, e820) == 0x2d0 && sizeof(ZeroPage) <= kZeroPage.size_bytes);

void fill_setup_header(ZeroPage& page, const LoadedKernel& kernel) {
  static_assert(offsetof(ZeroPage, setup_fields) == kSetupHeaderOffset);
  if (kernel.setup_header.empty()) {
    page.boot_flag = kBootFlag;
    page.magic = {'H', 'd', 'r', 'S'};
    page.kernel_alignment = kElfKernelAlignment;
    return;
  }
  const std::span<std::byte> whole = std::as_writable_bytes(std::span(&page, 1));
  const auto room = whole.subspan(kSetupHeaderOffset, kSetupHeaderLimit - kSetupHeaderOffset);
  WISP_ASSERT(kernel.setup_header.size() <= room.size());
  std::memcpy(room.data(), kernel.setup_header.data(), kernel.setup_header.size());
}

void fill_memory_map(ZeroPage& page, const GuestMemory& memory) {
  for (const MemoryMapEntry& entry : memory_map(memory)) {
    page.e820.at(page.e820_entry_count) = {entry.range.start.value(), entry.range.size_bytes,
                                           static_cast<std::uint32_t>(entry.kind)};
    ++page.e820_entry_count;
  }
}

}  // namespace
}  // namespace wisp::arch

template <>
inline constexpr bool wisp::kIsGuestPod<wisp::arch::ZeroPage> = true;

namespace wisp::arch {

Status write_zero_page(const GuestMemory& memory, const LoadedKernel& kernel, const BootFacts& facts) {
  ZeroPage page{};
  fill_setup_header(page, kernel);
  fill_memory_map(page, memory);
  page.acpi_rsdp_address = kRsdp.start.value();
  page.type_of_loader = kLoaderUndefined;
  page.command_line_address = static_cast<std::uint32_t>(kCommandLine.start.value());
  page.command_line_size = static_cast<std::uint32_t>(facts.command_line_size_bytes);
  if (facts.initrd) {
    // Both lie below 3 GiB.
    page.ramdisk_image = static_cast<std::uint32_t>(facts.initrd->start.value());
    page.ramdisk_size = static_cast<std::uint32_t>(facts.initrd->size_bytes);
  }
  return put(memory, kZeroPage.start, page, "the zero page");
}

}  // namespace wisp::arch
