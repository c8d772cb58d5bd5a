#include "vmm/arch/x86_64/bz_image.h"

#include <algorithm>
#include <cstring>
#include <string>

#include "vmm/arch/x86_64/guest_writer.h"
#include "vmm/arch/x86_64/layout.h"
#include "vmm/arch/x86_64/page_tables.h"
#include "vmm/base/checked.h"
#include "vmm/base/endian.h"

namespace wisp::arch {
namespace {

constexpr const char* kRemedyVersion = "Give a 64-bit kernel of Linux 3.8 or newer, or an uncompressed vmlinux";
constexpr const char* kRemedyDamaged = "The file is damaged; copy or build it again";
constexpr const char* kRemedyMemory = "Raise mem_size_mib";

constexpr std::uint16_t kProtocol212 = 0x020c;
constexpr std::uint16_t kXlfKernel64 = 1;
constexpr std::uint64_t kEntry64Offset = 0x200;
constexpr std::uint64_t kSectorSizeBytes = 512;
/// setup_sects counts this many when it is 0, for historical reasons.
constexpr std::uint64_t kDefaultSetupSectors = 4;

/// The setup header up to init_size, as it stands in the file from kSetupHeaderOffset on.
struct Header {
  std::uint8_t setup_sects;
  std::array<std::uint8_t, 0x201 - 0x1f2> boot_flag_and_jump;
  std::uint8_t jump_distance;  // the header ends this far behind 0x202
  std::array<std::uint8_t, 4> magic;
  Le16 version;
  std::array<std::uint8_t, 0x214 - 0x208> loader_fields;
  Le32 code32_start;
  std::array<std::uint8_t, 0x236 - 0x218> memory_fields;
  Le16 xloadflags;
  std::array<std::uint8_t, 0x258 - 0x238> payload_fields;
  Le64 pref_address;
  Le32 init_size;
};
static_assert(sizeof(Header) == 0x264 - kSetupHeaderOffset);
static_assert(offsetof(Header, jump_distance) == 0x201 - kSetupHeaderOffset);
static_assert(offsetof(Header, version) == 0x206 - kSetupHeaderOffset);
static_assert(offsetof(Header, code32_start) == 0x214 - kSetupHeaderOffset);
static_assert(offsetof(Header, xloadflags) == 0x236 - kSetupHeaderOffset);
static_assert(offsetof(Header, pref_address) == 0x258 - kSetupHeaderOffset);

Status check_header(const GuestImage& image, const Header& header) {
  if (header.version < kProtocol212) {
    return image.refuse("is a bzImage of boot protocol " + std::to_string(header.version >> 8) + "." +
                            std::to_string(header.version & 0xff) + "; 2.12 is the oldest supported",
                        kRemedyVersion);
  }
  if ((header.xloadflags & kXlfKernel64) == 0) {
    return image.refuse("is a bzImage that does not provide a 64-bit entry point", kRemedyVersion);
  }
  if (header.code32_start < kKernelMinimum) {
    return image.refuse("is a bzImage to be loaded at " + hex(header.code32_start) + ", below 1 MiB", kRemedyDamaged);
  }
  return {};
}

/// The bytes that the zero page may take over: one copy, from which the header is read too.
Result<SetupHeader> read_setup_header(const GuestImage& image, std::uint64_t file_size) {
  if (!range_fits(kSetupHeaderOffset, sizeof(Header), file_size)) {
    return image.refuse("is cut inside its setup header", kRemedyDamaged);
  }
  SetupHeader bytes(std::min(file_size, kSetupHeaderLimit) - kSetupHeaderOffset);
  (void)WISP_TRY(image.read_header(kSetupHeaderOffset, bytes));
  return bytes;
}

/// How much of it is header is what the file says, within what there is.
Status trim_setup_header(const GuestImage& image, const Header& header, SetupHeader& bytes) {
  const std::uint64_t size =
      std::min<std::uint64_t>(0x202U + header.jump_distance, kSetupHeaderLimit) - kSetupHeaderOffset;
  if (size < sizeof(Header) || size > bytes.size()) {
    return image.refuse("is a bzImage whose setup header is " + std::to_string(size) + " bytes long", kRemedyDamaged);
  }
  bytes.resize(size);
  return {};
}

/// The image unpacks itself to pref_address and needs init_size bytes there, or behind itself when it was loaded
/// higher.
Result<std::uint64_t> end_of_unpacking(const GuestImage& image, const Header& header, const GuestMemory& memory) {
  const std::uint64_t start = std::max<std::uint64_t>(header.pref_address, header.code32_start);
  if (!memory.readable(GuestAddress(start), header.init_size)) {
    return image.refuse("is a bzImage that needs " + std::to_string(header.init_size) + " bytes of memory at " +
                            hex(start) + " to unpack itself",
                        kRemedyMemory);
  }
  return start + header.init_size;
}

}  // namespace

Result<LoadedKernel> load_bz_image(const GuestImage& image, std::uint64_t file_size, const GuestMemory& memory) {
  SetupHeader setup_header = WISP_TRY(read_setup_header(image, file_size));
  Header header{};
  std::memcpy(&header, setup_header.data(), sizeof(header));
  (void)WISP_TRY(check_header(image, header));
  (void)WISP_TRY(trim_setup_header(image, header, setup_header));

  const std::uint64_t sectors = header.setup_sects == 0 ? kDefaultSetupSectors : header.setup_sects;
  const std::uint64_t payload_at = (sectors + 1) * kSectorSizeBytes;
  if (file_size <= payload_at + kEntry64Offset) {
    return image.refuse("is a bzImage that is cut before its 64-bit entry point", kRemedyDamaged);
  }
  const std::uint64_t payload_size = file_size - payload_at;

  LoadedKernel kernel;
  kernel.protocol = BootProtocol::Linux64;
  kernel.entry = GuestAddress(header.code32_start + kEntry64Offset);
  if (kernel.entry.value() >= kIdentityMapEnd) {
    return image.refuse("is a bzImage to be loaded at " + hex(header.code32_start) + ", above 1 GiB", kRemedyDamaged);
  }
  kernel.setup_header = std::move(setup_header);
  (void)WISP_TRY(image.load(payload_at, payload_size, memory, GuestAddress(header.code32_start)));
  kernel.end = std::max(header.code32_start + payload_size, WISP_TRY(end_of_unpacking(image, header, memory)));
  return kernel;
}

}  // namespace wisp::arch
