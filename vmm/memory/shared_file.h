// Memory that another process can map: a file without a name (memfd) for a region of guest memory.
//
//   Fd file = WISP_TRY(create_shared_file(size, PageBacking::Normal));
//   RegionPlan plan{.range = range, .file = RegionFile{file.ref(), 0, FileSharing::Shared}};
//
// Its size is sealed: whoever gets the descriptor can read and write the guest's memory, but cannot cut the file, which
// would be a SIGBUS for everybody else who maps it.
#pragma once

#include <cstdint>

#include "vmm/base/fd.h"
#include "vmm/memory/host_mapping.h"

namespace wisp {

/// A zeroed file of `size_bytes`, whose pages are paid for when they are touched.
Result<Fd> create_shared_file(std::uint64_t size_bytes, PageBacking backing);

}  // namespace wisp
