#include "virtio/rng/backend.h"

#include <sys/random.h>

#include <cerrno>

#include "vmm/base/uninterrupted.h"

namespace wisp {

std::uint32_t HostRandom::fill(ChainWriter target) {
  std::uint32_t written_bytes = 0;
  while (!target.empty()) {
    ChainWriter place = target;  // a short call goes on where it stopped
    const auto slice = place.next_slice();
    if (!slice) {
      break;
    }
    const iovec window = slice->lend_iovec(KernelIoKey());
    const ssize_t count = uninterrupted([&] { return ::getrandom(window.iov_base, window.iov_len, 0); });
    if (count <= 0) {
      break;
    }
    target.mark_written(static_cast<std::uint32_t>(count));
    written_bytes += static_cast<std::uint32_t>(count);
  }
  return written_bytes;
}

}  // namespace wisp
