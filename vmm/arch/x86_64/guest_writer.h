// Writing a boot structure to its place, with one text for the one way this can fail.
#pragma once

#include <cstdio>
#include <span>
#include <string>

#include "vmm/base/result.h"
#include "vmm/memory/guest_memory.h"

namespace wisp::arch {

inline std::string hex(std::uint64_t value) {
  char text[24];
  std::snprintf(text, sizeof(text), "0x%llx", static_cast<unsigned long long>(value));
  return text;
}

/// Puts `bytes` at `address`; `object` names them in the error ("the kernel command line").
inline Status put_bytes(const GuestMemory& memory, GuestAddress address, std::span<const std::byte> bytes,
                        const char* object) {
  if (!memory.write_bytes(address, bytes)) {
    return Error(ErrorCode::InvalidArgument, std::string("guest memory has no room for ") + object + " at " +
                                                 hex(address.value()) + ". Raise mem_size_mib");
  }
  return {};
}

template <GuestPod T>
Status put(const GuestMemory& memory, GuestAddress address, const T& value, const char* object) {
  return put_bytes(memory, address, std::as_bytes(std::span(&value, 1)), object);
}

}  // namespace wisp::arch
