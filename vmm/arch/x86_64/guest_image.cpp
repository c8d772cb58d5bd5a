#include "vmm/arch/x86_64/guest_image.h"

#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

#include <cerrno>

#include "vmm/arch/x86_64/guest_writer.h"

namespace wisp {

Error GuestImage::refuse(const std::string& cause, const std::string& remedy) const {
  return Error(ErrorCode::Corrupt, "the " + object_ + " " + cause + ". " + remedy);
}

Error GuestImage::failed(int sys_errno) const {
  return Error::host(sys_errno, "cannot read the " + object_, "Check the file and the disk it is on");
}

Error GuestImage::ended_early(std::uint64_t offset) const {
  return refuse("ends at byte " + std::to_string(offset) + ", before the parts that it describes",
                "It is truncated, or was changed while being read; copy it again");
}

Result<std::uint64_t> GuestImage::size_bytes() const {
  struct stat status {};
  if (::fstat(file_.raw(), &status) != 0) {
    return failed(errno);
  }
  if (!S_ISREG(status.st_mode)) {
    return refuse("is a directory or a device", "Give a regular file");
  }
  return static_cast<std::uint64_t>(status.st_size);
}

Status GuestImage::read_header(std::uint64_t offset, std::span<std::byte> destination) const {
  while (!destination.empty()) {
    const ssize_t count = ::pread(file_.raw(), destination.data(), destination.size(), static_cast<off_t>(offset));
    if (count < 0 && errno != EINTR) {
      return failed(errno);
    }
    if (count == 0) {
      return ended_early(offset);
    }
    if (count > 0) {
      destination = destination.subspan(static_cast<std::size_t>(count));
      offset += static_cast<std::uint64_t>(count);
    }
  }
  return {};
}

Status GuestImage::load(std::uint64_t offset, std::uint64_t length, const GuestMemory& memory,
                        GuestAddress address) const {
  auto rest = memory.writable(address, length);
  if (!rest) {
    return refuse(
        "does not fit into guest memory: " + std::to_string(length) + " bytes at " + arch::hex(address.value()),
        "Raise mem_size_mib");
  }
  while (!rest->empty()) {
    const iovec window = rest->lend_iovec(KernelIoKey{});
    const ssize_t count = ::preadv(file_.raw(), &window, 1, static_cast<off_t>(offset));
    if (count < 0 && errno != EINTR) {
      return failed(errno);
    }
    if (count == 0) {
      return ended_early(offset);
    }
    if (count > 0) {
      const auto moved = static_cast<std::size_t>(count);
      rest->mark_dirty(0, moved);
      offset += moved;
      rest = rest->sub(moved, rest->size_bytes() - moved);
    }
  }
  return {};
}

}  // namespace wisp
