#include "api/descriptor_inbox.h"

#include <sys/socket.h>

#include <array>
#include <cstring>

namespace wisp::api {

ssize_t DescriptorInbox::receive(FdRef socket, std::span<char> bytes) {
  // Exactly this many fit: CMSG_SPACE leaves no room for one more behind them.
  constexpr std::size_t kPayloadBytes = kMaxRequestDescriptors * sizeof(int);
  static_assert(CMSG_SPACE(kPayloadBytes) == CMSG_LEN(kPayloadBytes));
  alignas(cmsghdr) std::array<std::byte, CMSG_SPACE(kPayloadBytes)> control;  // NOLINT: filled by recvmsg
  iovec body{bytes.data(), bytes.size()};
  msghdr message{};
  message.msg_iov = &body;
  message.msg_iovlen = 1;
  message.msg_control = control.data();
  message.msg_controllen = control.size();
  const ssize_t length = ::recvmsg(socket.raw(), &message, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
  if (length < 0) {
    return length;
  }
  for (cmsghdr* header = CMSG_FIRSTHDR(&message); header != nullptr; header = CMSG_NXTHDR(&message, header)) {
    if (header->cmsg_level != SOL_SOCKET || header->cmsg_type != SCM_RIGHTS) {
      continue;
    }
    for (std::size_t at = 0; CMSG_LEN(at + sizeof(int)) <= header->cmsg_len; at += sizeof(int)) {
      int raw = -1;
      std::memcpy(&raw, CMSG_DATA(header) + at, sizeof(raw));
      held_.emplace_back(raw);
    }
  }
  over_limit_ = over_limit_ || (message.msg_flags & MSG_CTRUNC) != 0 || held_.size() > kMaxRequestDescriptors;
  return length;
}

}  // namespace wisp::api
