// CommandLine: the kernel's command line, from the operator's words and our additions.
//
//   CommandLine line = WISP_TRY(CommandLine::create(boot_args));
//   WISP_TRY(line.append("pci=off"));
//   WISP_TRY(line.write(memory));
//
// The kernel hands everything behind a lone "--" to init, so additions go before it. What the operator wrote is never
// changed or judged, except that it must fit and must not contain NUL, which would cut it.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "vmm/arch/x86_64/layout.h"
#include "vmm/base/result.h"
#include "vmm/memory/guest_memory.h"

namespace wisp::arch {

enum class DiskAccess { ReadOnly, ReadWrite };

/// How the kernel finds its root file system.
struct RootDisk {
  DiskAccess access = DiskAccess::ReadWrite;
  std::optional<std::string> partuuid = std::nullopt;      ///< absent: the whole device
  std::optional<std::uint32_t> pmem_index = std::nullopt;  ///< persistent memory N; absent: the first virtio disk
};

/// "root=/dev/vda rw", "root=PARTUUID=<id> ro"
std::string root_argument(const RootDisk& disk);
/// "virtio_mmio.device=4K@0xc0001000:5"
std::string mmio_device_argument(MmioSlot slot);

class CommandLine {
 public:
  /// Refuses NUL and text that does not fit (kMaxCommandLineBytes with its terminator).
  static Result<CommandLine> create(std::string boot_args);

  /// Adds words at the end, or before the first lone "--". On failure nothing has changed.
  Status append(std::string_view words);

  const std::string& text() const { return text_; }
  Status write(const GuestMemory& memory) const;

 private:
  explicit CommandLine(std::string text) : text_(std::move(text)) {}

  std::string text_;
};

}  // namespace wisp::arch
