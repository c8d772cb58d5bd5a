#include "vmm/base/random.h"

#include <sys/random.h>

#include <string>

#include "vmm/base/assert.h"
#include "vmm/base/uninterrupted.h"

namespace wisp {

Status fill_random(std::span<std::byte> bytes, const char* use) {
  WISP_ASSERT(bytes.size() <= kMaxRandomBytes);
  const ssize_t count = uninterrupted([&] { return ::getrandom(bytes.data(), bytes.size(), 0); });
  if (count != static_cast<ssize_t>(bytes.size())) {
    return Error::host(errno, std::string("cannot get random bytes for ") + use);
  }
  return {};
}

}  // namespace wisp
