// What to boot: plain data.
#pragma once

#include <optional>
#include <string>

namespace wisp {

/// Room for the kernel command line in guest memory, its NUL included.
inline constexpr std::size_t kMaxCommandLineBytes = 2048;
inline constexpr const char* kDefaultBootArgs =
    "reboot=k panic=1 nomodule 8250.nr_uarts=0 i8042.noaux i8042.nomux i8042.dumbkbd swiotlb=noforce";

struct BootSource {
  std::string kernel_image_path;
  std::optional<std::string> initrd_path;
  /// Absent: kDefaultBootArgs. Empty: none.
  std::optional<std::string> boot_args;
};

}  // namespace wisp
