// VsockStream: the host's end of one connection, a non-blocking Unix stream socket.
//
//   VsockStream stream = VsockStream::connect("/run/vm.sock", 1234);   // "/run/vm.sock_1234"
//   StreamIo got = stream.read_into(writer, limit_bytes);              // straight into guest memory
//
// One of the few classes that hand guest memory to the kernel (KernelIoKey): payload is not copied on its way unless
// the host's reader is slow. Nothing here blocks, and a peer that is gone is a value, not a SIGPIPE.
#pragma once

#include <sys/uio.h>

#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>

#include "virtio/core/chain_cursor.h"
#include "vmm/base/fd.h"

namespace wisp {

enum class StreamResult : std::uint8_t {
  Moved,       ///< at least one byte
  WouldBlock,  ///< nothing now; the socket's next event says when
  Closed,      ///< reading: the peer has sent its last byte
  Failed,      ///< the peer is gone, or the host refuses
};

struct StreamIo {
  StreamResult result = StreamResult::WouldBlock;
  std::uint32_t moved_bytes = 0;
};

class VsockStream {
 public:
  VsockStream() = default;
  explicit VsockStream(Fd socket) : socket_(std::move(socket)) {}
  /// Connects to `<uds_path>_<port>`; not valid() and errno when nobody listens there, its backlog is full, or the path
  /// is empty.
  static VsockStream connect(std::string_view uds_path, std::uint32_t port);

  bool valid() const { return socket_.valid(); }
  FdRef ref() const { return socket_.ref(); }
  void close() { socket_.reset(); }

  /// At most `limit_bytes` into the front of `target`; what the kernel wrote is marked dirty.
  StreamIo read_into(ChainWriter target, std::uint32_t limit_bytes) const;
  /// At most the first `count_bytes` of `source`.
  StreamIo write_from(ChainReader source, std::uint32_t count_bytes) const;
  /// Host memory, in order.
  StreamIo write_parts(std::span<const iovec> parts) const;

  /// Looks at the first bytes without taking them.
  StreamIo peek(std::span<char> destination) const;
  /// Takes `count_bytes`, seen by peek() before, away.
  void discard(std::size_t count_bytes) const;
  /// The peer reads the end of the stream.
  void shutdown_write() const;
  /// The peer's writes fail from now on.
  void shutdown_read() const;

 private:
  Fd socket_;
};

}  // namespace wisp
