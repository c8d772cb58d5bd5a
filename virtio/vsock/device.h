// VsockDevice: a socket between the guest and the host, without a network (virtio 1.2 section 5.10).
//
//   auto listener = WISP_TRY(VsockListener::bind(config.uds_path));
//   auto device = WISP_TRY(VsockDevice::create(config, std::move(listener), loop, clock));
//
//   host to guest   connect to uds_path, write "CONNECT <port>\n", read "OK <port>\n"
//   guest to host   connect to CID 2, port P: the host program that listens on "<uds_path>_<P>" gets the connection
//
// The device serves queues; connections are the mux's (mux.h). Every chain is completed in the turn in which it is
// popped and in the order of the ring, so IN_ORDER is offered. Queues: receive, transmit, event.
//
// Restore: connections are not carried. A device that comes back live owes the driver a TRANSPORT_RESET event (section
// 5.10.6.7), and nothing else reaches the guest until the driver has taken it, which shows when it posts an event
// buffer again. The machine that was captured goes on with its connections.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <vector>

#include "virtio/core/queue_device.h"
#include "virtio/vsock/mux.h"

namespace wisp {

/// Bytes that one batch moves before the loop serves others.
inline constexpr std::uint64_t kMaxVsockBatchBytes = 1U << 20U;

class VsockDevice final : public QueueDevice, private VsockGuest {
 private:
  struct PrivateTag {};

 public:
  static constexpr std::size_t kReceiveQueue = 0;
  static constexpr std::size_t kTransmitQueue = 1;
  static constexpr std::size_t kEventQueue = 2;

  static Result<std::unique_ptr<VsockDevice>> create(const VsockConfig& config, VsockListener listener, EventLoop& loop,
                                                     const Clock& clock);
  VsockDevice(PrivateTag tag, std::uint32_t guest_cid, std::unique_ptr<VsockMetrics> metrics);
  ~VsockDevice() override;

  VirtioDeviceType type() const override { return VirtioDeviceType::Vsock; }
  std::uint64_t offered_features() const override;
  std::size_t queue_count() const override { return 3; }
  void read_config(std::uint64_t offset, std::span<std::byte> data) const override;
  void save(StateWriter& out) const override;
  Status restore(StateReader& in) override;

  const VsockMetrics& metrics() const { return *metrics_; }
  std::size_t connection_count() const { return mux_->connection_count(); }
  /// Readable while the host side has something to do; tests see with it that an idle device is idle.
  FdRef host_events() const { return mux_->events(); }

 protected:
  Backlog serve(std::size_t index) override;
  Status on_activate() override;
  void on_quiesce() override;
  void on_resume() override;
  void on_reset() override;

 private:
  /// Where the event of a restored device stands.
  enum class TransportReset : std::uint8_t { None, Owed, Told };

  void on_work() override;
  Backlog serve_transmit();
  Backlog serve_receive();
  Pump fill(DescriptorChain chain, BatchBudget& budget);
  Backlog serve_event();
  std::optional<QueueFault> tell_transport_reset();
  std::optional<QueueFault> count_event_buffers();
  Backlog finish(Backlog left);

  std::uint32_t guest_cid_;
  std::unique_ptr<VsockMetrics> metrics_;
  std::unique_ptr<VsockMux> mux_;
  bool transmit_stopped_ = false;  // the resets that are owed must go first
  TransportReset transport_reset_ = TransportReset::None;
  std::size_t event_buffer_count_ = 0;
  std::vector<DescriptorChain> event_buffers_;  // only inside count_event_buffers(); room is kept
};

}  // namespace wisp
