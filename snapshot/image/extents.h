// The parts of a sparse file that hold data, and how they get into another file.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "snapshot/image/file_calls.h"
#include "vmm/base/fd.h"

namespace wisp {

struct Extent {
  std::uint64_t offset = 0;
  std::uint64_t length_bytes = 0;
};

/// What of [offset, offset + length) holds data, in order (SEEK_DATA, SEEK_HOLE). A file system that knows no holes
/// says that everything does.
Result<std::vector<Extent>> data_extents(FdRef fd, const std::string& name, std::uint64_t offset,
                                         std::uint64_t length_bytes);

/// Copies the bytes of the extent to the same offset of the other file, in the kernel where it can. Returns 0, or the
/// errno of what failed; ENODATA: the source has become shorter.
int copy_extent(FileCalls& calls, FdRef from, FdRef to, Extent extent);

}  // namespace wisp
