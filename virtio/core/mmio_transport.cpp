#include "virtio/core/mmio_transport.h"

#include <utility>

#include "virtio/core/ring_layout.h"
#include "vmm/base/assert.h"
#include "vmm/base/endian.h"
#include "vmm/base/log.h"

namespace wisp {

void MmioTransport::Doorbell::on_event(std::uint32_t /*events*/) {
  action_();
}

MmioTransport::MmioTransport(PrivateTag /*tag*/, std::unique_ptr<VirtioDevice> device, const GuestMemory& memory,
                             EventLoop& loop, std::unique_ptr<InterruptLine> interrupt)
    : device_(std::move(device)),
      memory_(&memory),
      loop_(&loop),
      interrupt_(std::move(interrupt)),
      queues_(device_->queue_count(), QueueConfig(kMaxQueueSize)),
      handed_queues_(queues_) {
  WISP_ASSERT(queues_.size() <= kMaxQueuesPerDevice);
}

Result<std::unique_ptr<MmioTransport>> MmioTransport::create(std::unique_ptr<VirtioDevice> device,
                                                             const GuestMemory& memory, EventLoop& loop) {
  auto interrupt = WISP_TRY(InterruptLine::create());
  auto transport = std::make_unique<MmioTransport>(PrivateTag{}, std::move(device), memory, loop, std::move(interrupt));
  (void)WISP_TRY(transport->add_doorbells());
  transport->device_->attach(*transport);
  return transport;
}

Status MmioTransport::add_doorbells() {
  handover_bell_ = std::make_unique<Doorbell>(WISP_TRY(EventFd::create()), [this] { on_handover(); });
  (void)WISP_TRY(loop_->watch(handover_bell_->ref(), Interest::ReadableEdge, *handover_bell_));
  for (std::size_t index = 0; index < queues_.size(); ++index) {
    auto bell = std::make_unique<Doorbell>(WISP_TRY(EventFd::create()), [this, index] { on_queue_event(index); });
    (void)WISP_TRY(loop_->watch(bell->ref(), Interest::ReadableEdge, *bell));
    queue_bells_.push_back(std::move(bell));
  }
  return {};
}

MmioTransport::~MmioTransport() {
  if (handover_bell_) {
    loop_->unwatch(handover_bell_->ref(), *handover_bell_);
  }
  for (const auto& bell : queue_bells_) {
    loop_->unwatch(bell->ref(), *bell);
  }
  if (life_ != DeviceLife::Inactive) {
    device_->reset();
  }
}

FdRef MmioTransport::queue_event(std::size_t index) const {
  WISP_ASSERT(index < queue_bells_.size());
  return queue_bells_[index]->ref();
}

FdRef MmioTransport::interrupt_event() const {
  return interrupt_->event_fd();
}

std::size_t MmioTransport::queue_count() const {
  return queues_.size();
}

VirtioDevice& MmioTransport::device() {
  return *device_;
}

void MmioTransport::on_handover() {
  switch (handover_.exchange(Handover::None, std::memory_order_acq_rel)) {
    case Handover::Activate: activate_device(); break;
    case Handover::Reset: begin_reset(); break;
    case Handover::None: break;
  }
  if (device_->in_flight_count() > 0) {
    return;
  }
  if (life_ == DeviceLife::Resetting) {
    finish_reset();
  }
  if (pace_ == Pace::Quiesced && drain_listener_) {
    drain_listener_();
  }
}

void MmioTransport::activate_device() {
  Activation activation{memory_, interrupt_.get(), handed_features_, {}};
  activation.queues.reserve(handed_queues_.size());
  for (std::size_t index = 0; index < handed_queues_.size(); ++index) {
    activation.queues.push_back(handed_queues_[index].activate(*memory_, handed_features_));
    live_queues_[index] = activation.queues.back().has_value();
  }
  const Status activated = device_->activate(std::move(activation));
  if (!activated.ok()) {
    metrics_.activate_fails.add();
    WISP_LOG_LIMITED(Warn, "virtio-mmio: the device cannot go live: %s", activated.error().text().c_str());
    needs_reset();
    return;
  }
  life_ = DeviceLife::Active;
  if (pace_ == Pace::Quiesced) {
    device_->quiesce();
  }
  ring_live_queues();  // the driver may have kicked before the device was live
}

void MmioTransport::begin_reset() {
  if (life_ == DeviceLife::Active && pace_ == Pace::Running) {
    device_->quiesce();
  }
  life_ = DeviceLife::Resetting;
}

void MmioTransport::finish_reset() {
  device_->reset();
  live_queues_.fill(false);
  life_ = DeviceLife::Inactive;
  needs_reset_.store(false, std::memory_order_release);
  interrupt_->clear();
  const std::lock_guard lock(rendezvous_mutex_);
  ++resets_done_;
  rendezvous_.notify_all();
}

void MmioTransport::on_queue_event(std::size_t index) {
  if (life_ != DeviceLife::Active || pace_ == Pace::Quiesced || !live_queues_[index]) {
    return;  // activation and resume look at every live queue anyway
  }
  if (device_->on_queue(index)) {
    queue_bells_[index]->ring();  // other handlers get their turn first
  }
}

void MmioTransport::ring_live_queues() {
  for (std::size_t index = 0; index < queue_bells_.size(); ++index) {
    if (live_queues_[index]) {
      queue_bells_[index]->ring();
    }
  }
}

void MmioTransport::quiesce() {
  on_handover();
  if (pace_ == Pace::Quiesced) {
    return;
  }
  pace_ = Pace::Quiesced;
  if (life_ == DeviceLife::Active) {
    device_->quiesce();
  }
}

std::size_t MmioTransport::in_flight_count() const {
  return device_->in_flight_count();
}

void MmioTransport::set_drain_listener(std::function<void()> listener) {
  drain_listener_ = std::move(listener);
}

void MmioTransport::resume() {
  if (pace_ == Pace::Running) {
    return;
  }
  pace_ = Pace::Running;
  if (interrupt_->status() != 0) {
    interrupt_->raise(0);  // an edge that was signalled while the guest stood still is signalled again
  }
  if (life_ == DeviceLife::Active) {
    device_->resume();
    ring_live_queues();
  }
}

void MmioTransport::needs_reset() {
  metrics_.needs_reset_count.add();
  needs_reset_.store(true, std::memory_order_release);
  interrupt_->raise(kInterruptConfiguration);
}

void MmioTransport::config_changed() {
  config_generation_.fetch_add(1, std::memory_order_acq_rel);
  interrupt_->raise(kInterruptConfiguration);
}

void MmioTransport::look_again(std::size_t queue_index) {
  WISP_ASSERT(queue_index < queue_bells_.size());
  queue_bells_[queue_index]->ring();
}

void MmioTransport::drained() {
  handover_bell_->ring();
}

}  // namespace wisp
