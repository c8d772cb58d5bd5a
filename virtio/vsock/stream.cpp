#include "virtio/vsock/stream.h"

#include <sys/socket.h>
#include <sys/un.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <charconv>

#include "virtio/core/chain_walk.h"
#include "virtio/core/lend_vectors.h"
#include "virtio/vsock/connect_line.h"
#include "vmm/base/uninterrupted.h"

namespace wisp {
namespace {

using Vectors = std::array<iovec, kMaxSegments>;

StreamIo failure() {
  const bool later = errno == EAGAIN || errno == EWOULDBLOCK || errno == EINTR;
  return {later ? StreamResult::WouldBlock : StreamResult::Failed};
}

StreamIo sent(ssize_t count) {
  return count < 0 ? failure() : StreamIo{StreamResult::Moved, static_cast<std::uint32_t>(count)};
}

StreamIo received(ssize_t count) {
  return count == 0 ? StreamIo{StreamResult::Closed} : sent(count);
}

}  // namespace

VsockStream VsockStream::connect(std::string_view uds_path, std::uint32_t port) {
  // A listener in the abstract namespace has no path to derive one from; "_<port>" would be a file of the directory
  // that we happen to run in.
  if (uds_path.empty()) {
    errno = ENOENT;
    return {};
  }
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  char* const end = address.sun_path + sizeof(address.sun_path) - 1;  // the last byte stays NUL
  if (uds_path.size() + 1 >= sizeof(address.sun_path)) {
    errno = ENAMETOOLONG;
    return {};
  }
  char* place = std::ranges::copy(uds_path, address.sun_path).out;
  *place++ = '_';
  if (std::to_chars(place, end, port).ec != std::errc{}) {
    errno = ENAMETOOLONG;
    return {};
  }
  VsockStream stream(Fd(::socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0)));
  if (stream.valid() &&
      ::connect(stream.socket_.raw(), reinterpret_cast<const sockaddr*>(&address), sizeof(address)) != 0) {
    const int sys_errno = errno;
    stream.close();
    errno = sys_errno;
  }
  return stream;
}

StreamIo VsockStream::read_into(ChainWriter target, std::uint32_t limit_bytes) const {
  Vectors vectors;
  const LentVectors lent = lend_vectors(
      target, vectors, [](const auto& slice) { return slice.lend_iovec({}); }, limit_bytes);
  // Made again when interrupted: with edge-triggered events nothing else would.
  const StreamIo io =
      received(uninterrupted([&] { return ::readv(socket_.raw(), vectors.data(), static_cast<int>(lent.count)); }));
  target.mark_written(io.moved_bytes);
  return io;
}

StreamIo VsockStream::write_from(ChainReader source, std::uint32_t count_bytes) const {
  Vectors vectors;
  const LentVectors lent = lend_vectors(
      source, vectors, [](const auto& slice) { return slice.lend_iovec({}); }, count_bytes);
  return write_parts(std::span(vectors).first(lent.count));
}

StreamIo VsockStream::write_parts(std::span<const iovec> parts) const {
  msghdr message{};
  message.msg_iov = const_cast<iovec*>(parts.data());  // sendmsg only reads it
  message.msg_iovlen = parts.size();
  return sent(uninterrupted([&] { return ::sendmsg(socket_.raw(), &message, MSG_NOSIGNAL); }));
}

StreamIo VsockStream::peek(std::span<char> destination) const {
  return received(
      uninterrupted([&] { return ::recv(socket_.raw(), destination.data(), destination.size(), MSG_PEEK); }));
}

void VsockStream::discard(std::size_t count_bytes) const {
  std::array<char, kMaxConnectLineBytes> bytes;
  (void)uninterrupted([&] { return ::recv(socket_.raw(), bytes.data(), std::min(count_bytes, bytes.size()), 0); });
}

void VsockStream::shutdown_write() const {
  (void)::shutdown(socket_.raw(), SHUT_WR);
}

void VsockStream::shutdown_read() const {
  (void)::shutdown(socket_.raw(), SHUT_RD);
}

}  // namespace wisp
