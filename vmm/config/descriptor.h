// Descriptors in place of paths: how a request says which open file it means.
//
//   {"id": "rootfs", "descriptor": 0}          the first descriptor that came with this request (SCM_RIGHTS)
//   {"id": "rootfs", "descriptor": "disk"}     the one that the process was started with (--inherit-fd disk=5)
//
// The API takes them off the socket and hands them on unseen; what each must be is checked by the one who uses it.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <variant>
#include <vector>

#include "vmm/base/fd.h"

namespace wisp {

/// One for each device that a machine can have, for both files of a snapshot, for each output, and some to spare.
inline constexpr std::size_t kMaxRequestDescriptors = 32;
inline constexpr std::size_t kMaxInheritedDescriptors = 32;
inline constexpr std::size_t kMaxDescriptorNameBytes = 64;

/// The index among those received with the request, or the name of an inherited one.
using DescriptorRef = std::variant<std::uint32_t, std::string>;

/// A host resource that is given anew: one of the two is there.
struct HostResource {
  std::optional<std::string> path;
  std::optional<DescriptorRef> descriptor;
};

/// Shared, because commands are values that can be copied; the descriptors are closed with the last copy.
using ReceivedDescriptors = std::shared_ptr<std::vector<Fd>>;

/// What the configuration shows, and a snapshot records, in place of a path that nobody has given. It is never opened.
inline constexpr const char* kNoPath = "<descriptor>";

}  // namespace wisp
