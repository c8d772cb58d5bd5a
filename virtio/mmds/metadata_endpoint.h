// MetadataEndpoint: the metadata service as the neighbour of one network interface.
//
//   takes()       ARP requests for the service's address, IPv4 packets to it
//   receive()     frame -> segment -> connection -> request -> answer
//   next_reply()  ARP reply, resets, then the connections in turn; the frame is made when the device asks for it
//
// Everything has its place at creation: kMaxConnections connections, kMaxPendingResets resets, one ARP reply. The
// source addresses of the guest's last frame are where replies go, so whatever address the guest gave itself works. A
// flood finds the tables full: a SYN beyond them is refused, unless a connection has been idle for kEvictAfterNs; a
// reset beyond them is not sent. One timer, armed only while an answer waits for an acknowledgement.
#pragma once

#include <array>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <span>

#include "virtio/mmds/frame_detour.h"
#include "virtio/mmds/metadata_service.h"
#include "virtio/mmds/packet.h"
#include "virtio/mmds/tcp_connection.h"
#include "vmm/base/clock.h"
#include "vmm/events/one_shot_timer.h"

namespace wisp {

class MetadataEndpoint final : public FrameDetour {
 public:
  static constexpr std::size_t kMaxConnections = 30;
  static constexpr std::size_t kMaxPendingResets = 100;
  static constexpr std::uint16_t kPort = 80;
  static constexpr std::uint64_t kEvictAfterNs = 13 * mmds::kNsPerSecond;

  static Result<std::unique_ptr<MetadataEndpoint>> create(MetadataService& service, EventLoop& loop,
                                                          const Clock& clock);

  bool takes(std::span<const std::byte> head) const override;
  void receive(std::span<const std::byte> frame) override;
  std::size_t next_reply(std::span<std::byte> frame) override;
  void set_wake(std::function<void()> wake) override { wake_ = std::move(wake); }
  void reset() override;
  void pause() override;
  void resume() override;

  /// Does the timer's work: what has waited too long is sent again or given up.
  void on_time();
  bool timer_armed() const { return timer_->armed(); }
  std::size_t connection_count() const;

 private:
  using Connection = mmds::TcpConnection;
  struct PendingReset {
    Ipv4Address guest{};
    mmds::TcpReply reply;
  };

  MetadataEndpoint(MetadataService& service, const Clock& clock) : service_(service), clock_(clock) {}
  void receive_arp(std::span<const std::byte> frame);
  void receive_segment(const mmds::TcpSegment& segment);
  void take_up(const mmds::TcpSegment& syn);
  Connection* find(const mmds::TcpSegment& segment);
  Connection* free_slot();
  void serve(Connection& connection);
  void end(Connection& connection);
  void refuse(const mmds::TcpSegment& segment);
  void queue_reset(const Ipv4Address& guest, const mmds::TcpReply& reply);
  std::size_t send(std::span<std::byte> frame, const Ipv4Address& guest, const mmds::TcpReply& reply);
  std::size_t count_sent(std::size_t length_bytes);
  bool has_reply() const;
  void arm_timer();

  MetadataService& service_;
  const Clock& clock_;
  std::unique_ptr<OneShotTimer> timer_;
  std::function<void()> wake_;
  bool paused_ = false;
  MacAddress guest_mac_{};
  std::optional<mmds::Route> arp_reply_;
  std::array<Connection, kMaxConnections> connections_;
  std::size_t turn_ = 0;  // the connection that is asked first for a segment
  std::array<PendingReset, kMaxPendingResets> resets_;
  std::size_t first_reset_ = 0;
  std::size_t reset_count_ = 0;
  std::uint32_t opened_ = 0;
  std::uint64_t armed_for_ns_ = 0;
};

}  // namespace wisp
