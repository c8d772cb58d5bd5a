// A virtio device that does nothing but count, for tests of the transport and of devices without one.
#pragma once

#include <algorithm>
#include <atomic>
#include <cstdint>
#include <vector>

#include "virtio/core/device.h"

namespace wisp::fakes {

/// What the device told its transport.
struct FakeSignals final : TransportSignals {
  void needs_reset() override { ++needs_reset_count; }
  void config_changed() override { ++config_changed_count; }
  void look_again(std::size_t /*queue_index*/) override { ++look_again_count; }
  void drained() override { ++drained_count; }
  int needs_reset_count = 0;
  int config_changed_count = 0;
  int look_again_count = 0;
  int drained_count = 0;
};

/// Pops chains on every kick and completes them with length 0. Counters are atomic: the test reads them from its
/// thread.
class FakeDevice final : public VirtioDevice {
 public:
  static constexpr std::size_t kQueueCount = 2;
  static constexpr std::size_t kConfigBytes = 13;  // odd, so that every width straddles the end somewhere

  /// VERSION_1, EVENT_IDX and INDIRECT_DESC.
  static constexpr std::uint64_t kFeatures = (std::uint64_t{1} << 32U) | (std::uint64_t{0x3} << 28U);

  VirtioDeviceType type() const override { return VirtioDeviceType::Entropy; }
  std::uint64_t offered_features() const override { return kFeatures; }
  std::size_t queue_count() const override { return kQueueCount; }
  void read_config(std::uint64_t offset, std::span<std::byte> data) const override {
    for (std::size_t index = 0; index < data.size() && offset < kConfigBytes && offset + index < kConfigBytes;
         ++index) {
      data[index] = static_cast<std::byte>(0xc0 + offset + index);
    }
  }
  void write_config(std::uint64_t /*offset*/, std::span<const std::byte> data) override {
    config_bytes_written += data.size();
  }

  void attach(TransportSignals& transport) override { signals = &transport; }
  Status activate(Activation activation) override {
    if (refuse_activation) {
      return Error(ErrorCode::Internal, "refused by the test");
    }
    ++activations;
    negotiated = activation.negotiated_features;
    interrupt_ = activation.interrupt;
    queues = std::move(activation.queues);
    return {};
  }
  bool on_queue(std::size_t index) override {
    ++kicks;
    if (left_behind > 0) {
      --left_behind;
      return true;
    }
    serve(*queues[index]);
    return false;
  }
  void quiesce() override { ++quiesces; }
  std::size_t in_flight_count() const override { return in_flight; }
  void resume() override { ++resumes; }
  void reset() override {
    ++resets;
    queues.clear();
  }
  const VirtQueue* queue(std::size_t index) const override {
    return index < queues.size() && queues[index] ? &*queues[index] : nullptr;
  }
  void save(StateWriter& out) const override { out.u32(saved_value); }
  Status restore(StateReader& in) override {
    saved_value = in.u32();
    return {};
  }

  std::atomic<int> activations = 0, kicks = 0, quiesces = 0, resumes = 0, resets = 0, left_behind = 0;
  std::atomic<std::size_t> in_flight = 0, config_bytes_written = 0;
  std::atomic<std::uint64_t> negotiated = 0;
  std::atomic<bool> refuse_activation = false;
  TransportSignals* signals = nullptr;
  std::uint32_t saved_value = 0;
  std::vector<std::optional<VirtQueue>> queues;

 private:
  void serve(VirtQueue& queue) {
    do {
      queue.disable_notifications();
      for (std::uint16_t count = 0; count < queue.size(); ++count) {
        PopResult popped = queue.pop();
        if (std::holds_alternative<QueueFault>(popped)) {
          signals->needs_reset();
          return;
        }
        auto* chain = std::get_if<DescriptorChain>(&popped);
        if (chain == nullptr) {
          break;
        }
        std::move(*chain).complete(0);
      }
    } while (queue.enable_notifications() == Backlog::Some);
    if (queue.publish() == Interrupt::Needed) {
      interrupt_->raise(1);
    }
  }

  InterruptLine* interrupt_ = nullptr;
};

}  // namespace wisp::fakes
