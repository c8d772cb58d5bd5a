// CRC-64/XZ: polynomial 0x42F0E1EBA9EA3693 (ECMA-182), reflected, all ones before and after. Finds damage; it is no
// signature, and whoever can write the file can make it fit.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

namespace wisp {

std::uint64_t crc64(std::span<const std::byte> data);

}  // namespace wisp
