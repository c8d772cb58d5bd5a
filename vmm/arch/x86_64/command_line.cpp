#include "vmm/arch/x86_64/command_line.h"

#include "vmm/arch/x86_64/guest_writer.h"
#include "vmm/config/boot.h"

namespace wisp::arch {
namespace {

static_assert(kCommandLine.size_bytes == kMaxCommandLineBytes);

Status check(std::string_view text, std::string_view addition) {
  if (text.find('\0') != std::string_view::npos || addition.find('\0') != std::string_view::npos) {
    return Error(
        ErrorCode::InvalidArgument,
        "The kernel command line is invalid: it contains a NUL byte, which would end it. Remove it from boot_args");
  }
  const std::size_t needed = text.size() + (addition.empty() ? 0 : addition.size() + 1) + 1;
  if (needed > kMaxCommandLineBytes) {
    const std::string cause = addition.empty() ? "" : " with '" + std::string(addition) + "' added";
    return Error(ErrorCode::LimitExceeded, "The kernel command line is invalid: it needs " + std::to_string(needed) +
                                               " bytes" + cause + ", the limit is " +
                                               std::to_string(kMaxCommandLineBytes) +
                                               ", terminator included. Shorten boot_args");
  }
  return {};
}

bool is_blank(char character) {
  return character == ' ' || (character >= '\t' && character <= '\r');
}

/// Where a word that is exactly "--" begins; the kernel's parser does not split inside double quotes.
std::optional<std::size_t> find_separator(std::string_view text) {
  bool quoted = false;
  for (std::size_t at = 0; at < text.size(); ++at) {
    quoted = quoted != (text[at] == '"');
    const bool starts_word = at == 0 || is_blank(text[at - 1]);
    const bool ends_word = at + 2 >= text.size() || is_blank(text[at + 2]);
    if (!quoted && starts_word && ends_word && text.substr(at, 2) == "--") {
      return at;
    }
  }
  return std::nullopt;
}

}  // namespace

std::string root_argument(const RootDisk& disk) {
  const std::string device = disk.pmem_index ? "/dev/pmem" + std::to_string(*disk.pmem_index)
                             : disk.partuuid ? "PARTUUID=" + *disk.partuuid
                                             : "/dev/vda";
  return "root=" + device + (disk.access == DiskAccess::ReadOnly ? " ro" : " rw");
}

std::string mmio_device_argument(MmioSlot slot) {
  return "virtio_mmio.device=4K@" + hex(slot.address.value()) + ":" + std::to_string(slot.gsi);
}

Result<CommandLine> CommandLine::create(std::string boot_args) {
  (void)WISP_TRY(check(boot_args, {}));
  return CommandLine(std::move(boot_args));
}

Status CommandLine::append(std::string_view words) {
  (void)WISP_TRY(check(text_, words));
  if (const auto separator = find_separator(text_)) {
    text_.insert(*separator, std::string(words) + " ");
    return {};
  }
  if (!text_.empty()) {
    text_ += ' ';
  }
  text_ += words;
  return {};
}

Status CommandLine::write(const GuestMemory& memory) const {
  const std::span<const char> with_terminator(text_.c_str(), text_.size() + 1);
  return put_bytes(memory, kCommandLine.start, std::as_bytes(with_terminator), "the kernel command line");
}

}  // namespace wisp::arch
