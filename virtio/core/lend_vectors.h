// From a place in a chain to the vectors of readv(2) and writev(2).
//
//   const LentVectors lent = lend_vectors(target, vectors_, [](const auto& slice) { return slice.lend_iovec({}); });
//
// The lambda is the caller's, because only the classes that hold a KernelIoKey may lend guest memory.
#pragma once

#include <sys/uio.h>

#include <algorithm>
#include <cstddef>
#include <limits>
#include <span>

namespace wisp {

struct LentVectors {
  std::size_t count = 0;
  std::size_t bytes = 0;
};

/// Fills `vectors` with the guest bytes that follow `cursor` (a ChainReader or a ChainWriter), at most `limit_bytes`.
/// What finds no room is left out, as a short transfer leaves it out.
template <typename Cursor, typename Lend>
LentVectors lend_vectors(Cursor cursor, std::span<iovec> vectors, Lend lend,
                         std::size_t limit_bytes = std::numeric_limits<std::size_t>::max()) {
  LentVectors lent;
  while (lent.count < vectors.size() && lent.bytes < limit_bytes) {
    const auto slice = cursor.next_slice();
    if (!slice) {
      break;
    }
    iovec vector = lend(*slice);
    vector.iov_len = std::min(vector.iov_len, limit_bytes - lent.bytes);
    vectors[lent.count++] = vector;
    lent.bytes += vector.iov_len;
  }
  return lent;
}

}  // namespace wisp
