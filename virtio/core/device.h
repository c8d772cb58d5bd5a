// VirtioDevice: the contract between a device model and the transport (virtio 1.2 section 2).
//
// A device knows requests and a backend. It knows no registers, no bus and no KVM; a transport
// (virtio/core/mmio_transport.h) stands between it and the guest:
//
//              vCPU threads                     |                 loop thread
//   register access -> transport (small lock) --+-- DRIVER_OK --> activate(queues, memory, interrupt)
//                                               |   ioeventfd --> on_queue(index)
//                        status 0 (waits) ------+-> reset()       returns when guest memory is no longer touched
//
// Life:  inactive --activate--> active --quiesce--> quiesced --resume--> active
//           ^                      |                    |
//           +-------- reset -------+-------- reset -----+
//
// Every method but the first four runs on the loop's thread, so a device needs no lock. All are pure virtual: a device
// that forgets one does not compile.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include "snapshot/state/state_reader.h"
#include "snapshot/state/state_writer.h"
#include "virtio/core/virt_queue.h"
#include "vmm/bus/interrupt_line.h"
#include "vmm/events/event_fd.h"
#include "vmm/memory/guest_memory.h"

namespace wisp {

/// Device ids of virtio 1.2 section 5.
enum class VirtioDeviceType : std::uint32_t {
  Net = 1,
  Block = 2,
  Entropy = 4,
  Balloon = 5,
  Vsock = 19,
  Mem = 24,
  Pmem = 27
};

/// The most queues that any of our devices has, and the largest queue that a driver may choose.
inline constexpr std::size_t kMaxQueuesPerDevice = 8;
inline constexpr std::uint16_t kMaxQueueSize = 256;

/// All that a device gets when the driver has set DRIVER_OK.
struct Activation {
  const GuestMemory* memory = nullptr;
  InterruptLine* interrupt = nullptr;
  std::uint64_t negotiated_features = 0;
  /// One live queue per queue that the driver made ready; an absent one has no value.
  std::vector<std::optional<VirtQueue>> queues;
};

/// Something in the device that the transport must show to the driver: the ring is broken.
class TransportSignals {
 public:
  virtual ~TransportSignals() = default;
  /// Sets DEVICE_NEEDS_RESET and raises a configuration interrupt (virtio 1.2 section 2.1.2). Lock-free; loop thread.
  virtual void needs_reset() = 0;
  /// The configuration space has changed: generation + 1 and a configuration interrupt. Lock-free; loop thread.
  virtual void config_changed() = 0;
  /// Calls the device's on_queue(index) again, from the loop, after the other handlers had their turn. Lock-free.
  virtual void look_again(std::size_t queue_index) = 0;
  /// The device is quiesced and the last request in flight has ended. Lock-free; may be called from inside the device's
  /// own handlers, because the transport acts on it later, from the loop.
  virtual void drained() = 0;
};

class VirtioDevice {
 public:
  virtual ~VirtioDevice() = default;

  // Constant or thread-safe: called on vCPU threads.
  virtual VirtioDeviceType type() const = 0;
  /// Every feature bit that may be negotiated, VERSION_1 included.
  virtual std::uint64_t offered_features() const = 0;
  virtual std::size_t queue_count() const = 0;
  /// Fills `data` from the configuration space; bytes beyond its end stay zero. Any offset, any length.
  virtual void read_config(std::uint64_t offset, std::span<std::byte> data) const = 0;
  /// Takes a driver's write to the configuration space; what is not writable is ignored.
  virtual void write_config(std::uint64_t offset, std::span<const std::byte> data) = 0;

  // Loop thread only.
  virtual void attach(TransportSignals& signals) = 0;
  /// Starts work on the queues. A failure leaves the device inactive; the transport then asks the driver for a reset.
  virtual Status activate(Activation activation) = 0;
  /// The driver notified queue `index`, or the machine asks the device to look at it again. Handles at most one queue's
  /// worth of requests and returns true when it left some behind (it is then called again after the other handlers).
  [[nodiscard]] virtual bool on_queue(std::size_t index) = 0;
  /// Stops popping and waits for nothing: requests in flight go on and are published as they complete. The device calls
  /// TransportSignals::drained() when the last one has ended (not if there was none).
  virtual void quiesce() = 0;
  /// Requests that the backend still works on; quiesced is reached when this is 0.
  virtual std::size_t in_flight_count() const = 0;
  /// Takes up work again. The transport then calls on_queue() for every queue: the driver may have kicked meanwhile.
  virtual void resume() = 0;
  /// Drops the queues. When it returns, neither the device nor its backend touches guest memory any more.
  virtual void reset() = 0;

  // Capture and restore, loop thread. The transport keeps what the driver negotiated and where each ring stands; the
  // device adds what only it knows (docs/snapshot-format.md has every device's section).
  /// The live queue `index`, or nullptr.
  virtual const VirtQueue* queue(std::size_t index) const = 0;
  /// Only when quiesced with nothing in flight, or inactive.
  virtual void save(StateWriter& out) const = 0;
  /// Takes back what save() wrote, into a device that was just made; activate() follows if the device was active. Every
  /// value is untrusted. An error leaves a device that is only fit to be destroyed.
  virtual Status restore(StateReader& in) = 0;
};

}  // namespace wisp
