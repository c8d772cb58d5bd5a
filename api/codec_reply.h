// Replies to JSON: the bodies of the 200 answers.
#pragma once

#include <string>

#include "vmm/config/command.h"

namespace wisp::api {

/// GET /version.
std::string version_body();
/// The body for a reply; empty for Unit, which is answered with 204.
std::string reply_body(const Reply& reply);

}  // namespace wisp::api
