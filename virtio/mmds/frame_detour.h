// FrameDetour: a neighbour on the guest's side of the wire, who takes some of its frames before they reach the TAP.
//
//   guest --tx--> NetDevice --takes(head)?--no---> TAP
//                     |   yes: receive(frame)
//   guest <--rx-- NetDevice <--next_reply(frame)-- FrameDetour        (before any frame of the TAP)
//
// The metadata service is one: it answers ARP for its address and speaks TCP with the guest, and no host interface sees
// any of it. NetDevice owns its detour and calls it on the loop's thread only. Every frame that it shows is a copy in
// host memory, starting at the Ethernet header (no virtio-net header); a detour never sees guest memory. Frames are
// whole: no checksum is left to be filled in by anybody for frames that come out, while one that comes in from the
// guest may have its TCP or UDP checksum unfinished, because the guest may leave that to its device.
//
//   if (detour.takes(head)) { copy the whole frame; detour.receive(frame); }
//   while (room in the receive queue && (length = detour.next_reply(buffer)) != 0) { deliver }
#pragma once

#include <cstddef>
#include <functional>
#include <span>

namespace wisp {

/// How much of a frame takes() sees, unless the frame is shorter.
inline constexpr std::size_t kDetourHeadBytes = 128;
/// The longest frame in either direction: 1500 bytes behind an Ethernet header, and a VLAN tag. A longer one that
/// takes() claims is dropped and counted.
inline constexpr std::size_t kMaxDetourFrameBytes = 1514 + 4;

class FrameDetour {
 public:
  virtual ~FrameDetour() = default;

  /// Whether the frame that begins with `head` is for this neighbour. It then goes nowhere else.
  virtual bool takes(std::span<const std::byte> head) const = 0;
  /// One whole frame for which takes() said yes. May make replies ready; the device asks for them after each batch.
  virtual void receive(std::span<const std::byte> frame) = 0;
  /// Writes one frame for the guest into `frame` (kMaxDetourFrameBytes of room); its length, 0: there is none. The
  /// frame is taken with that: the device keeps it until the guest has room.
  virtual std::size_t next_reply(std::span<std::byte> frame) = 0;
  /// `wake` is to be called on the loop's thread when a reply became ready without receive(), from a timer for
  /// instance. Not from inside receive() or next_reply().
  virtual void set_wake(std::function<void()> wake) = 0;
  /// The guest's driver reset the device: connections and replies are forgotten.
  virtual void reset() = 0;
  /// Between these two no timer acts and wake is not called; connections stay.
  virtual void pause() = 0;
  virtual void resume() = 0;
};

}  // namespace wisp
