// NetBackend: the host's end of a network interface, one frame a call, never blocking.
//
//   TapRead got = backend.read_frame(header, targets, rest);   // EAGAIN: nothing there, wait for the event
//   TapWrite put = backend.write_frame(head, tail);            // EAGAIN: no room, wait for the event
//
// A frame has the virtio-net header of 12 bytes before it in both directions. Its bytes go straight between the host
// and guest memory; the header, and what does not fit into `targets`, go through host memory. A backend knows no queue
// and no feature bit; the only one in the monitor is Tap.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include "virtio/core/chain_cursor.h"
#include "vmm/base/fd.h"
#include "vmm/base/result.h"

namespace wisp {

/// What the guest can take from the host unfinished; the numbers are the kernel's (TUN_F_*).
namespace offload {
inline constexpr std::uint32_t kCsum = 0x01;
inline constexpr std::uint32_t kTso4 = 0x02;
inline constexpr std::uint32_t kTso6 = 0x04;
inline constexpr std::uint32_t kUfo = 0x10;
inline constexpr std::uint32_t kUso4 = 0x20;
inline constexpr std::uint32_t kUso6 = 0x40;
inline constexpr std::uint32_t kUso = kUso4 | kUso6;  ///< the kernel takes both or none
}  // namespace offload

struct TapRead {
  std::size_t bytes = 0;         ///< header and frame
  std::size_t direct_bytes = 0;  ///< of the frame: in `targets`; what follows is in `rest`, from that offset on
  int sys_errno = 0;             ///< not 0: nothing was read
};

struct TapWrite {
  std::size_t bytes = 0;  ///< header and frame
  int sys_errno = 0;      ///< not 0: nothing was sent
};

class NetBackend {
 public:
  virtual ~NetBackend() = default;
  /// Readable when a frame waits, writable when one can be sent.
  virtual FdRef event_fd() const = 0;
  /// Every offload that set_offloads() accepts.
  virtual std::uint32_t known_offloads() const = 0;
  virtual Status set_offloads(std::uint32_t offloads) = 0;
  /// Takes one frame: its header to `header`, the frame to `targets` one after the other, and the part behind them to
  /// `rest`, at its own offset in the frame (so that `rest` can hold all of it).
  virtual TapRead read_frame(std::span<std::byte> header, std::span<const ChainWriter> targets,
                             std::span<std::byte> rest) = 0;
  /// Sends one frame: `head` (with the header), then `tail`.
  virtual TapWrite write_frame(std::span<const std::byte> head, ChainReader tail) = 0;
};

}  // namespace wisp
