// The name of a microVM, the same word for the monitor and for its jail.
#pragma once

#include <cstddef>
#include <string>

#include "vmm/base/result.h"

namespace wisp {

inline constexpr std::size_t kMaxInstanceIdBytes = 64;

/// 1 to kMaxInstanceIdBytes ASCII letters, digits and dashes: a word that is safe as a file's name.
Status check_instance_id(const std::string& id);

}  // namespace wisp
