// sketch: settled interface, the implementation fills it
#pragma once

#include <functional>
#include <memory>
#include <mutex>

#include "vmm/bus/bus.h"
#include "vmm/bus/interrupt_line.h"
#include "vmm/events/event_loop.h"
#include "virtio/core/device.h"

namespace wisp {

inline constexpr std::uint64_t kMmioWindowSizeBytes = 0x1000;
inline constexpr std::uint64_t kMmioQueueNotifyOffset = 0x50;

class MmioTransport final : public BusDevice, public TransportSignals {
 public:
  static Result<std::unique_ptr<MmioTransport>> create(std::unique_ptr<VirtioDevice> device, const GuestMemory& memory,
                                                       EventLoop& loop);

  // vCPU threads
  void read(std::uint64_t offset, std::span<std::byte> data) override;
  void write(std::uint64_t offset, std::span<const std::byte> data) override;

  // machine set-up: descriptors to bind to KVM (ioeventfd at window + 0x50 with datamatch = queue index; irqfd)
  FdRef queue_event(std::size_t index) const;
  FdRef interrupt_event() const;
  std::size_t queue_count() const;

  // loop thread, for pause and resume
  void quiesce();
  std::size_t in_flight_count() const;
  void resume();
  VirtioDevice& device();

  // TransportSignals
  void needs_reset() override;
  void config_changed() override;
};

}  // namespace wisp
