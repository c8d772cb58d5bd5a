// A filter file (--seccomp-filter) made of anything. What is accepted must be something that the kernel takes, and must
// be read back the same from our own writing. The seeds were made by the reference's encoder.
#include <cstddef>
#include <cstdint>
#include <cstring>

#include "jailer/seccomp/filter_file.h"
#include "vmm/base/assert.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace wisp::seccomp;
  const auto filters = decode_filters({data, size});
  if (!filters.ok()) {
    WISP_ASSERT(!filters.error().text().empty());
    return 0;
  }
  const auto again = decode_filters(encode_filters(filters.value()));
  if (!again.ok()) {  // ours is not packed, so it may be above the file's limit
    WISP_ASSERT(again.error().code() == wisp::ErrorCode::LimitExceeded);
    return 0;
  }
  for (const auto& [name, program] : filters.value()) {
    const auto& other = again.value().at(name);
    WISP_ASSERT(check_program(program).ok() && other.size() == program.size());
    WISP_ASSERT(program.empty() ||
                std::memcmp(other.data(), program.data(), program.size() * sizeof(sock_filter)) == 0);
  }
  return 0;
}
