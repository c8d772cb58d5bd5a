// Resident pages of the program itself.
#pragma once

namespace wisp {

/// Gives back the program's own code and constants: what configured and built the machine is not needed to run it, and
/// what is needed comes back from the page cache at the next touch. Only mappings that were never written are given
/// back.
void release_code_pages();

}  // namespace wisp
