#include "snapshot/state/state_writer.h"

#include <limits>

#include "vmm/base/assert.h"

namespace wisp {

void StateWriter::put(std::uint64_t value, std::size_t width) {
  for (std::size_t index = 0; index < width; ++index) {
    data_.push_back(static_cast<std::byte>(value & 0xffU));
    value >>= 8U;
  }
}

void StateWriter::bytes(std::span<const std::byte> data) {
  WISP_ASSERT(data.size() <= std::numeric_limits<std::uint32_t>::max());
  u32(static_cast<std::uint32_t>(data.size()));
  raw(data);
}

}  // namespace wisp
