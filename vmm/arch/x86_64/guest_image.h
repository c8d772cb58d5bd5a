// GuestImage: moves parts of a file (a kernel, an initrd) straight into guest memory.
//
//   GuestImage image(fd, "kernel image");
//   const std::uint64_t size = WISP_TRY(image.size_bytes());
//   WISP_TRY(image.read_header(0, header));              // small parts, into our memory, to be checked
//   WISP_TRY(image.load(offset, size, memory, address)); // the bulk, never through our memory
//
// The file is somebody else's: it may be cut or rewritten while we read. What was checked is the copy that was read,
// and a read that ends early is an error that says so.
#pragma once

#include <cstdint>
#include <span>
#include <string>

#include "vmm/base/fd.h"
#include "vmm/memory/guest_memory.h"

namespace wisp {

/// Holds the key that lets the kernel write guest memory; see KernelIoKey.
class GuestImage {
 public:
  /// `object` names the file in errors.
  GuestImage(FdRef file, std::string object) : file_(file), object_(std::move(object)) {}

  /// Refuses what is not a regular file: a device has no size to go by.
  Result<std::uint64_t> size_bytes() const;
  /// Fills all of `destination` from `offset`.
  Status read_header(std::uint64_t offset, std::span<std::byte> destination) const;
  /// Puts [offset, offset + length) of the file at `address`; fails when that is not all inside one RAM region.
  Status load(std::uint64_t offset, std::uint64_t length, const GuestMemory& memory, GuestAddress address) const;
  const std::string& object() const { return object_; }

  /// The error for contents that are not what they should be: "the <object> <cause>. <remedy>".
  Error refuse(const std::string& cause, const std::string& remedy) const;

 private:
  Error ended_early(std::uint64_t offset) const;
  Error failed(int sys_errno) const;

  FdRef file_;
  std::string object_;
};

}  // namespace wisp
