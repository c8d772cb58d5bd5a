// The smallest guest: writes one byte, '!', to the first serial port and loops; or writes it again and again, so that
// it is the first thing that a restored machine does. An ELF file with the 64-bit Linux entry.
#pragma once

#include <string>

namespace wisp::bench {

enum class AfterMark { Loop, Repeat };

/// Writes the image to `path`; false when the file cannot be written.
bool write_guest_image(const std::string& path, AfterMark after = AfterMark::Loop);

}  // namespace wisp::bench
