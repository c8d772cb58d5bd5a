// Tap: a TAP interface of the host, one queue, with virtio-net headers of 12 bytes.
//
//   Tap tap = WISP_TRY(Tap::open("tap0"));            // made when it is not there; a persistent one is used
//   Tap tap = WISP_TRY(Tap::adopt(std::move(fd)));    // opened by somebody else, a jailer for instance
//
// Opening one takes CAP_NET_ADMIN, or a persistent TAP that belongs to the user: `ip tuntap add tap0 mode tap user U`.
// What the host's kernel can leave unfinished (offloads) is found out here by trying, and switched off again; the
// device switches on what its driver accepted.
#pragma once

#include <sys/uio.h>

#include <memory>
#include <string>

#include "virtio/net/backend.h"

namespace wisp {

class Tap final : public NetBackend {
 public:
  static Result<Tap> open(const std::string& name);
  /// `fd` must be attached to a single-queue TAP with IFF_NO_PI and IFF_VNET_HDR.
  static Result<Tap> adopt(Fd fd);

  /// Another descriptor of the same interface.
  Result<Tap> duplicate() const;

  Tap(Tap&&) noexcept = default;
  Tap& operator=(Tap&&) noexcept = default;

  const std::string& name() const { return name_; }
  FdRef event_fd() const override { return fd_.ref(); }
  std::uint32_t known_offloads() const override { return known_offloads_; }
  Status set_offloads(std::uint32_t offloads) override;
  TapRead read_frame(std::span<std::byte> header, std::span<const ChainWriter> targets,
                     std::span<std::byte> rest) override;
  TapWrite write_frame(std::span<const std::byte> head, ChainReader tail) override;

 private:
  static constexpr std::size_t kMaxVectors = 1024;  // IOV_MAX

  Tap(Fd fd, std::string name);
  /// Sets the header's size and finds the offloads.
  static Result<Tap> prepare(Fd fd, std::string name);
  template <typename Cursor>
  std::size_t lend(Cursor cursor, std::size_t& count, std::size_t limit);

  Fd fd_;
  std::string name_;
  std::uint32_t known_offloads_ = 0;
  std::unique_ptr<iovec[]> vectors_;
};

}  // namespace wisp
