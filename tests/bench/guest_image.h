// The smallest guest: writes one byte to the first serial port and loops. An ELF file with the 64-bit Linux entry.
#pragma once

#include <string>

namespace wisp::bench {

/// Writes the image to `path`; false when the file cannot be written.
bool write_guest_image(const std::string& path);

}  // namespace wisp::bench
