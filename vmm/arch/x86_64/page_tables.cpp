#include "vmm/arch/x86_64/page_tables.h"

#include <array>

#include "vmm/arch/x86_64/guest_writer.h"
#include "vmm/arch/x86_64/layout.h"

namespace wisp::arch {
namespace {

constexpr std::uint64_t kPresent = 0x1;
constexpr std::uint64_t kWritable = 0x2;
constexpr std::uint64_t kLargePage = 0x80;
constexpr std::uint64_t kLargePageSizeBytes = 2 * kMib;
constexpr std::size_t kEntriesPerTable = 512;

}  // namespace

Status write_page_tables(const GuestMemory& memory) {
  constexpr const char* kObject = "the boot page tables";
  // Memory comes zeroed, so only the entries in use are written.
  (void)WISP_TRY(put(memory, kPml4.start, Le64(kPdpt.start.value() | kPresent | kWritable), kObject));
  (void)WISP_TRY(put(memory, kPdpt.start, Le64(kPageDirectory.start.value() | kPresent | kWritable), kObject));
  std::array<Le64, kEntriesPerTable> directory;
  for (std::size_t index = 0; index < directory.size(); ++index) {
    directory[index] = index * kLargePageSizeBytes | kPresent | kWritable | kLargePage;
  }
  return put_bytes(memory, kPageDirectory.start, std::as_bytes(std::span(directory)), kObject);
}

}  // namespace wisp::arch
