// Random numbers from the kernel (getrandom(2)), for keys and identifiers.
#pragma once

#include <cstddef>
#include <span>

#include "vmm/base/result.h"

namespace wisp {

/// The kernel gives as many in one piece (getrandom(2)).
inline constexpr std::size_t kMaxRandomBytes = 256;

/// Fills all of `bytes`, at most kMaxRandomBytes. `use` is for the error's text: "cannot get random bytes for <use>".
Status fill_random(std::span<std::byte> bytes, const char* use);

}  // namespace wisp
