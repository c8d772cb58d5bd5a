// Completion for shells, made of the manual pages: which words may stand first, which flags there are, what their
// values look like (a file, one of a few words, or anything).
//
//   eval "$(wisp completion bash)"
#pragma once

#include <optional>
#include <span>
#include <string>
#include <string_view>

#include "vmm/base/manual.h"

namespace wisp {

using Pages = std::span<const ManualPage* const>;

std::string bash_completion(Pages pages);
std::string zsh_completion(Pages pages);
std::string fish_completion(Pages pages);

}  // namespace wisp
