// VhostUserBlockDevice: a virtio disk (virtio 1.2 section 5.2) whose requests another process serves. One queue.
//
//   auto backend = WISP_TRY(VhostBackend::connect(*config.socket));
//   auto device = WISP_TRY(VhostUserBlockDevice::create(config, std::move(backend), loop, monotonic_clock()));
//   auto transport = WISP_TRY(MmioTransport::create(std::move(device), memory, loop));   // memory of shared files
//
// The back end walks the ring in guest memory, which it maps; we set it up and carry notifications: the driver's kicks
// to it, its calls to the driver as interrupts (virtio/vhost/notifier.h). Nothing here looks at a request.
//
//   Stopped --DRIVER_OK, resume--> Starting --every message answered--> Running
//      ^                              |                                    |
//      +-- GET_VRING_BASE answered -- Stopping <---- quiesce (pause, reset)+
//
// Each start sends everything anew: features, memory, the ring's size, place and position, its notifications. A stop
// asks where the ring stands; after the answer the back end does not touch guest memory on its behalf (the protocol's
// promise; a hostile back end has the memory for good). No step waits: answers arrive as events.
//
// A back end that breaks the protocol, closes the connection or owes an answer for too long is lost, which is final:
// one log line, DEVICE_NEEDS_RESET for the driver, and activations fail from then on. Everything else goes on.
#pragma once

#include <cstdint>
#include <memory>
#include <mutex>
#include <optional>
#include <span>
#include <string>

#include "virtio/core/queue_device.h"
#include "virtio/vhost/backend.h"
#include "virtio/vhost/metrics.h"
#include "virtio/vhost/notifier.h"
#include "vmm/config/drive.h"

namespace wisp {

/// The back end says that its disk cannot be written.
bool is_read_only(const VhostBackend& backend);

class VhostUserBlockDevice final : public QueueDevice, private EventHandler {
 public:
  static Result<std::unique_ptr<VhostUserBlockDevice>> create(const DriveConfig& config,
                                                              std::unique_ptr<VhostBackend> backend, EventLoop& loop,
                                                              const Clock& clock);
  ~VhostUserBlockDevice() override;

  VirtioDeviceType type() const override { return VirtioDeviceType::Block; }
  std::uint64_t offered_features() const override { return offered_features_; }
  std::size_t queue_count() const override { return 1; }
  void read_config(std::uint64_t offset, std::span<std::byte> data) const override;
  /// 1 while the back end has been asked to stop and has not answered.
  std::size_t in_flight_count() const override { return state_ == RingState::Stopping ? 1 : 0; }

  /// A PATCH, on the loop's thread: asks the back end for its configuration space and tells the driver. Waits for the
  /// answer (VhostTimeouts::config_ms).
  Status refresh_config();
  void set_init_time_us(std::uint64_t duration_us) { metrics_.init_time_us.set(duration_us); }

  /// A machine with such a device has no snapshots.
  void save(StateWriter& out) const override;
  Status restore(StateReader& in) override;
  const VhostUserBlockMetrics& metrics() const { return metrics_; }
  const std::string& drive_id() const { return drive_id_; }

 private:
  struct PrivateTag {};
  enum class RingState : std::uint8_t { Stopped, Starting, Running, Stopping };

 public:
  VhostUserBlockDevice(PrivateTag tag, const DriveConfig& config, std::unique_ptr<VhostBackend> backend,
                       KickChannel kicks, EventLoop& loop, const Clock& clock);

 private:
  Backlog serve(std::size_t index) override;
  Status on_activate() override;
  void on_quiesce() override;
  void on_resume() override;
  void on_reset() override;
  void on_event(std::uint32_t events) override;
  void on_call();
  void on_overdue();

  Status watch();
  Status start();
  Status send_memory();
  Status send_ring();
  /// Moves on when all is answered.
  void look_at_answers();
  void note_progress();
  void lose(const Error& cause);
  void disconnect();

  std::string drive_id_;
  VhostUserBlockMetrics metrics_;
  Counter broken_rings_;  // rings are the back end's: never counted
  std::unique_ptr<VhostBackend> backend_;
  std::uint64_t offered_features_;
  KickChannel kicks_;
  EventLoop* loop_;
  const Clock* clock_;
  std::unique_ptr<CallBell> call_bell_;
  std::unique_ptr<OneShotTimer> overdue_;

  mutable std::mutex config_mutex_;  // leaf lock: vCPU threads read
  VhostConfigSpace config_;

  RingState state_ = RingState::Stopped;
  bool live_ = false;                 // the driver has set DRIVER_OK and not reset since
  bool start_again_ = false;          // resumed before the stop was answered
  std::uint16_t base_ = 0;            // where the ring stands while Stopped
  std::optional<Stopwatch> started_;  // of the last start
};

}  // namespace wisp
