#include "snapshot/image/userfault.h"

#include <fcntl.h>
#include <linux/userfaultfd.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/un.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <utility>
#include <vector>

#include "snapshot/image/memory_file.h"
#include "vmm/base/assert.h"
#include "vmm/base/unix_address.h"

namespace wisp {
namespace {

constexpr std::uint64_t kHugePageBytes = 2 * 1024 * 1024;
constexpr const char* kDevice = "/dev/userfaultfd";
constexpr const char* kConnectFailed = "Failed to connect to UDS Unix stream";

std::uint64_t page_bytes(PageBacking backing) {
  return backing == PageBacking::Huge2M ? kHugePageBytes : kPageSizeBytes;
}

// ---------------------------------------------------------------------------------------------------------------------
// The userfaultfd.

/// Neither way limits it to faults from user mode: KVM and system calls touch guest memory in kernel mode.
Result<Fd> open_userfault() {
  constexpr int kFlags = O_CLOEXEC | O_NONBLOCK;
  const Fd device(::open(kDevice, O_RDWR | O_CLOEXEC));
  const int device_errno = device.valid() ? 0 : errno;
  if (device.valid()) {
    Fd userfault(::ioctl(device.raw(), USERFAULTFD_IOC_NEW, kFlags));
    if (userfault.valid()) {
      return userfault;
    }
  }
  Fd userfault(static_cast<int>(::syscall(SYS_userfaultfd, kFlags)));
  if (userfault.valid()) {
    return userfault;
  }
  const int sys_errno = errno;
  const std::string tried = std::string("cannot create a userfaultfd for the guest's memory (") + kDevice + ": " +
                            (device_errno == 0 ? "refused" : std::strerror(device_errno)) + "; userfaultfd(2))";
  return Error::host(sys_errno, tried,
                     "Give the monitor read and write access to /dev/userfaultfd (the jailer makes it in the jail when "
                     "the host has it), or CAP_SYS_PTRACE, or set vm.unprivileged_userfaultfd=1");
}

Status agree_on_features(FdRef userfault, PageBacking backing) {
  uffdio_api api{};
  api.api = UFFD_API;
  api.features = UFFD_FEATURE_EVENT_REMOVE;
  api.features |= backing == PageBacking::Huge2M ? UFFD_FEATURE_MISSING_HUGETLBFS : 0;
  if (::ioctl(userfault.raw(), UFFDIO_API, &api) != 0) {
    return Error::host(errno, "the host's userfaultfd does not have what restoring memory needs",
                       "Use a kernel from 4.14 on that reports removed pages");
  }
  return {};
}

Status check_page_size(std::span<const RegionPlan> regions, PageBacking backing) {
  const std::uint64_t page = page_bytes(backing);
  for (const RegionPlan& region : regions) {
    if (region.range.size_bytes % page != 0 || !region.range.start.is_aligned(page)) {
      return Error(ErrorCode::InvalidArgument,
                   "the snapshot's memory regions are not made of whole 2 MiB pages. Load it with huge_pages None");
    }
  }
  return {};
}

// ---------------------------------------------------------------------------------------------------------------------
// The handler.

Status limit_sending(FdRef socket) {
  const timeval limit{.tv_sec = UserfaultMemory::kHandOffLimitMs / 1000, .tv_usec = 0};
  if (::setsockopt(socket.raw(), SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof(limit)) != 0) {
    return Error::host(errno, kConnectFailed);
  }
  return {};
}

/// Whether it is connected is found out when the message is sent.
Result<Fd> check_handler_socket(Fd socket) {
  const auto is_set = [&](int option, int wanted) {
    int value = 0;
    socklen_t value_bytes = sizeof(value);
    return ::getsockopt(socket.raw(), SOL_SOCKET, option, &value, &value_bytes) == 0 && value == wanted;
  };
  if (!is_set(SO_DOMAIN, AF_UNIX) || !is_set(SO_TYPE, SOCK_STREAM) || !is_set(SO_ACCEPTCONN, 0)) {
    return Error(ErrorCode::InvalidArgument,
                 "the descriptor given for the page fault handler is not a connected Unix stream socket");
  }
  (void)WISP_TRY(limit_sending(socket.ref()));
  return socket;
}

/// Waits at most kHandOffLimitMs, for a place in the handler's queue too.
Result<Fd> connect_to_handler(const std::string& path) {
  Result<sockaddr_un> address = unix_address(path);
  if (!address.ok()) {
    return std::move(address).error().with_prefix(std::string(kConnectFailed) + ": ");
  }
  Fd socket(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
  if (!socket.valid()) {
    return Error::host(errno, kConnectFailed, "Raise the limit on open files (RLIMIT_NOFILE)");
  }
  (void)WISP_TRY(limit_sending(socket.ref()));
  while (::connect(socket.raw(), reinterpret_cast<const sockaddr*>(&address.value()), sizeof(sockaddr_un)) != 0) {
    if (errno == EINTR) {
      continue;  // it was waiting for a place; nothing has begun
    }
    return Error::host(errno, kConnectFailed, "Start the page fault handler that listens on '" + path + "' first");
  }
  return socket;
}

/// One message with one descriptor, or an error. A stream may take less than all of it, and a handler that reads once
/// would then see half an array.
Status hand_over(FdRef socket, FdRef userfault, std::string text) {
  iovec body{text.data(), text.size()};
  alignas(cmsghdr) std::array<char, CMSG_SPACE(sizeof(int))> control{};
  msghdr message{};
  message.msg_iov = &body;
  message.msg_iovlen = 1;
  message.msg_control = control.data();
  message.msg_controllen = control.size();
  cmsghdr* const header = CMSG_FIRSTHDR(&message);
  header->cmsg_level = SOL_SOCKET;
  header->cmsg_type = SCM_RIGHTS;
  header->cmsg_len = CMSG_LEN(sizeof(int));
  const int raw = userfault.raw();
  std::memcpy(CMSG_DATA(header), &raw, sizeof(raw));
  const ssize_t sent = ::sendmsg(socket.raw(), &message, MSG_NOSIGNAL);
  if (sent != static_cast<ssize_t>(text.size())) {
    return Error::host(sent < 0 ? errno : EMSGSIZE, "cannot send the userfaultfd to the page fault handler",
                       "Look why the handler does not take it");
  }
  return {};
}

std::string describe(const iovec& host, std::uint64_t offset, std::uint64_t page) {
  // page_size_kib is in bytes as well: handlers in use expect the old field to say the same as the new one.
  return "{\"base_host_virt_addr\":" + std::to_string(reinterpret_cast<std::uintptr_t>(host.iov_base)) +
         ",\"size\":" + std::to_string(host.iov_len) + ",\"offset\":" + std::to_string(offset) +
         ",\"page_size\":" + std::to_string(page) + ",\"page_size_kib\":" + std::to_string(page) + "}";
}

}  // namespace

Status try_userfault() {
  const Fd userfault = WISP_TRY(open_userfault());
  return agree_on_features(userfault.ref(), PageBacking::Normal);
}

// ---------------------------------------------------------------------------------------------------------------------
// UserfaultMemory.

/// Answers with the text that tells the handler of them.
Result<std::string> UserfaultMemory::register_regions(const GuestMemory& memory, FdRef userfault, PageBacking backing) {
  std::string text = "[";
  std::uint64_t offset = 0;
  for (std::size_t index = 0; index < memory.region_count(); ++index) {
    const iovec host = *memory.lend_range(memory.region_range(index), KernelIoKey());
    uffdio_register request{};
    request.range.start = reinterpret_cast<std::uintptr_t>(host.iov_base);
    request.range.len = host.iov_len;
    request.mode = UFFDIO_REGISTER_MODE_MISSING;
    if (::ioctl(userfault.raw(), UFFDIO_REGISTER, &request) != 0) {
      return Error::host(errno, "cannot register the guest's memory with the userfaultfd");
    }
    text += (index == 0 ? "" : ",") + describe(host, offset, page_bytes(backing));
    offset += host.iov_len;
  }
  return text + "]";
}

Result<UserfaultMemory> UserfaultMemory::create(std::span<const RegionPlan> regions, PageBacking backing,
                                                const std::string& handler_socket_path) {
  return create_with(regions, backing, [&] { return connect_to_handler(handler_socket_path); });
}

Result<UserfaultMemory> UserfaultMemory::create(std::span<const RegionPlan> regions, PageBacking backing,
                                                Fd handler_socket) {
  return create_with(regions, backing, [&] { return check_handler_socket(std::move(handler_socket)); });
}

Result<UserfaultMemory> UserfaultMemory::create_with(std::span<const RegionPlan> regions, PageBacking backing,
                                                     const std::function<Result<Fd>()>& connect) {
  (void)WISP_TRY(check_layout(regions));
  (void)WISP_TRY(check_page_size(regions, backing));
  std::vector<RegionPlan> plans(regions.begin(), regions.end());
  for (RegionPlan& plan : plans) {
    plan.file.reset();
  }
  GuestMemory memory = WISP_TRY(GuestMemory::create_from(plans, backing));
  Fd userfault = WISP_TRY(open_userfault());
  (void)WISP_TRY(agree_on_features(userfault.ref(), backing));
  std::string text = WISP_TRY(register_regions(memory, userfault.ref(), backing));
  Fd socket = WISP_TRY(connect());
  (void)WISP_TRY(hand_over(socket.ref(), userfault.ref(), std::move(text)));
  return UserfaultMemory(std::move(memory), std::move(userfault), std::move(socket));
}

GuestMemory UserfaultMemory::take_memory() {
  WISP_ASSERT(memory_.has_value());
  GuestMemory memory = std::move(*memory_);
  memory_.reset();
  return memory;
}

// ---------------------------------------------------------------------------------------------------------------------
// Seeing it go.

Result<std::unique_ptr<HandlerWatch>> HandlerWatch::create(EventLoop& loop, FdRef handler_socket,
                                                           std::function<void()> gone) {
  auto watch = std::make_unique<HandlerWatch>(loop, handler_socket, std::move(gone));
  (void)WISP_TRY(loop.watch(handler_socket, Interest::PeerGone, *watch));
  return watch;
}

void HandlerWatch::on_event(std::uint32_t /*events*/) {
  // A hang-up stays: watched further, it would be told again and again.
  loop_.unwatch(socket_, *this);
  // Moved out: the callback may destroy this watch.
  const auto gone = std::move(gone_);
  gone();
}

}  // namespace wisp
