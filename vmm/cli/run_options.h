// `wisp run`: a machine described in a few words, for people.
//
//   wisp run --kernel vmlinux --rootfs root.ext4 --memory 1G --tap tap0
//
// The words become the same configuration that a file gives (FullConfig); main() hands it to the reader of
// configuration files, so there is one way to make a machine and one set of checks. What differs is the surroundings:
// no API socket and no log unless asked for, and a console with keys of its own (console_keys.h).
#pragma once

#include <cstdint>
#include <span>
#include <string>

#include "vmm/base/manual.h"
#include "vmm/cli/options.h"

namespace wisp {

inline constexpr const char* kRunBootArgs = "console=ttyS0 reboot=k panic=1";
inline constexpr std::uint64_t kRunMemoryMib = 512;

extern const ManualPage kRunPage;

/// `words` are those behind "run".
OptionsResult parse_run_options(std::span<char* const> words);

/// "512M", "2G", or a number of MiB.
Result<std::uint64_t> parse_memory_mib(const std::string& text);
/// "PATH", "PATH:ro" or "PATH:rw".
Result<DriveConfig> parse_drive(const std::string& text);
/// "DEVICE" or "DEVICE:MAC".
Result<NetConfig> parse_tap(const std::string& text);
/// "CID:PATH".
Result<VsockConfig> parse_vsock(const std::string& text);

}  // namespace wisp
