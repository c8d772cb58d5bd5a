#include "virtio/vhost/device.h"

#include <utility>

#include "virtio/core/ring_layout.h"
#include "vmm/base/assert.h"
#include "vmm/base/log.h"

namespace wisp {
namespace {

constexpr std::uint64_t kNsPerMs = 1'000'000;

/// Feature bits of section 5.2.3. Multiple queues and a writable cache mode would need more than one ring and
/// SET_CONFIG.
constexpr std::uint64_t kReadOnly = 1U << 5U;
constexpr std::uint64_t kFlush = 1U << 9U;
constexpr std::uint64_t kPassedOn = 1U << 1U |   // SIZE_MAX
                                    1U << 2U |   // SEG_MAX
                                    kReadOnly |  //
                                    1U << 6U |   // BLK_SIZE
                                    1U << 10U |  // TOPOLOGY
                                    1U << 13U |  // DISCARD
                                    1U << 14U |  // WRITE_ZEROES
                                    feature::kVersion1 | feature::kEventIndex | feature::kIndirectDescriptors;

std::uint64_t features_for_guest(const VhostBackend& backend, CacheType cache_type) {
  return backend.features() & (kPassedOn | (cache_type == CacheType::Writeback ? kFlush : 0));
}

VringState ring_value(std::uint32_t value) {
  return {0, value};
}

/// Payload of messages whose descriptor matters: the ring's index, with "no descriptor" (bit 8) unset.
VhostMessage with_descriptor(VhostRequest request, FdRef descriptor) {
  const Le64 ring_index = 0;
  VhostMessage message = vhost_message(request, ring_index);
  message.attach(descriptor.raw());
  return message;
}

}  // namespace

bool is_read_only(const VhostBackend& backend) {
  return (backend.features() & kReadOnly) != 0;
}

// ---------------------------------------------------------------------------------------------------------------------
// The life of the object.

Result<std::unique_ptr<VhostUserBlockDevice>> VhostUserBlockDevice::create(const DriveConfig& config,
                                                                           std::unique_ptr<VhostBackend> backend,
                                                                           EventLoop& loop, const Clock& clock) {
  KickChannel kicks = WISP_TRY(KickChannel::create());
  auto device =
      std::make_unique<VhostUserBlockDevice>(PrivateTag{}, config, std::move(backend), std::move(kicks), loop, clock);
  (void)WISP_TRY(device->watch());
  return device;
}

VhostUserBlockDevice::VhostUserBlockDevice(PrivateTag /*tag*/, const DriveConfig& config,
                                           std::unique_ptr<VhostBackend> backend, KickChannel kicks, EventLoop& loop,
                                           const Clock& clock)
    : QueueDevice("drive '" + config.drive_id + "'", {metrics_.activate_fails, metrics_.cfg_fails, broken_rings_}),
      drive_id_(config.drive_id),
      backend_(std::move(backend)),
      offered_features_(features_for_guest(*backend_, config.cache_type)),
      kicks_(std::move(kicks)),
      loop_(&loop),
      clock_(&clock),
      config_(backend_->config()) {}

Status VhostUserBlockDevice::watch() {
  call_bell_ = WISP_TRY(CallBell::create(*loop_, *clock_, [this] { on_call(); }));
  overdue_ = WISP_TRY(OneShotTimer::create(*loop_, [this] { on_overdue(); }));
  return loop_->watch(backend_->ref(), Interest::Readable, *this);
}

VhostUserBlockDevice::~VhostUserBlockDevice() {
  reset();
  disconnect();
}

void VhostUserBlockDevice::disconnect() {
  loop_->unwatch(backend_->ref(), *this);
  backend_->close();
}

void VhostUserBlockDevice::save(StateWriter& /*out*/) const {}

Status VhostUserBlockDevice::restore(StateReader& /*in*/) {
  return Error(ErrorCode::Unsupported, name() + " is served by a vhost-user back end, which no snapshot can hold");
}

// ---------------------------------------------------------------------------------------------------------------------
// Configuration space.

void VhostUserBlockDevice::read_config(std::uint64_t offset, std::span<std::byte> data) const {
  const std::lock_guard lock(config_mutex_);
  read_from(config_, offset, data);
}

Status VhostUserBlockDevice::refresh_config() {
  const Stopwatch stopwatch(*clock_);
  const bool was_connected = backend_->connected();
  auto config = backend_->read_config();
  if (!config.ok()) {
    metrics_.cfg_fails.add();
    if (was_connected && !backend_->connected()) {
      lose(config.error());
    }
    return std::move(config).error();
  }
  {
    const std::lock_guard lock(config_mutex_);
    config_ = config.value();
  }
  metrics_.config_change_time_us.set(stopwatch.elapsed_us());
  signals().config_changed();
  look_at_answers();
  return {};
}

// ---------------------------------------------------------------------------------------------------------------------
// The ring.

Backlog VhostUserBlockDevice::serve(std::size_t /*index*/) {
  kicks_.kick();
  return Backlog::None;
}

Status VhostUserBlockDevice::on_activate() {
  base_ = queue_at(0).next_available();
  live_ = true;
  Status started = start();
  if (!started.ok()) {
    disconnect();
  }
  return started;
}

void VhostUserBlockDevice::on_resume() {
  start_again_ = state_ == RingState::Stopping;
  if (state_ == RingState::Stopped && live_ && backend_->connected()) {
    const Status started = start();
    if (!started.ok()) {
      lose(started.error());
    }
  }
}

Status VhostUserBlockDevice::start() {
  state_ = RingState::Starting;
  start_again_ = false;
  started_.emplace(*clock_);
  const Le64 features = negotiated_features() | vhost::kProtocolFeatures;
  Status sent = backend_->send(vhost_message(VhostRequest::SetFeatures, features));
  sent = sent.ok() ? send_memory() : std::move(sent);
  sent = sent.ok() ? send_ring() : std::move(sent);
  if (!sent.ok()) {
    state_ = RingState::Stopped;
    return sent;
  }
  overdue_->arm(backend_->timeouts().answer_ms * kNsPerMs);
  look_at_answers();
  return {};
}

/// Where we have mapped memory is nobody's business: guest addresses stand for our own, which the protocol only uses to
/// name places.
Status VhostUserBlockDevice::send_memory() {
  const GuestMemory& guest = memory();
  WISP_ASSERT(guest.region_count() <= vhost::kMaxRegions);
  MemTable table{};
  table.count = static_cast<std::uint32_t>(guest.region_count());
  VhostMessage descriptors;
  for (std::size_t index = 0; index < guest.region_count(); ++index) {
    const auto file = guest.region_file(index);
    if (!file || file->sharing != FileSharing::Shared) {
      return Error(ErrorCode::Internal, name() + ": guest memory is not shared, so that no back end can reach it");
    }
    const GuestRange range = guest.region_range(index);
    table.regions[index] = {range.start.value(), range.size_bytes, range.start.value(), file->offset_bytes};
    descriptors.attach(file->fd.raw());
  }
  const std::size_t size_bytes = offsetof(MemTable, regions) + guest.region_count() * sizeof(VhostRegion);
  VhostMessage message =
      vhost_message(VhostRequest::SetMemTable, std::as_bytes(std::span(&table, 1)).first(size_bytes));
  message.descriptors = descriptors.descriptors;
  message.descriptor_count = descriptors.descriptor_count;
  return backend_->send(message);
}

Status VhostUserBlockDevice::send_ring() {
  const VirtQueue& queue = queue_at(0);
  const RingAddresses& at = queue.addresses();
  const VringAddresses addresses{0, 0, at.descriptors.value(), at.used.value(), at.available.value(), 0};
  const VhostMessage script[] = {
      vhost_message(VhostRequest::SetVringNum, ring_value(queue.size())),
      vhost_message(VhostRequest::SetVringAddr, addresses),
      vhost_message(VhostRequest::SetVringBase, ring_value(base_)),
      with_descriptor(VhostRequest::SetVringCall, call_bell_->ref()),
      with_descriptor(VhostRequest::SetVringKick, kicks_.backend_end()),
      vhost_message(VhostRequest::SetVringEnable, ring_value(1)),
  };
  for (const VhostMessage& message : script) {
    (void)WISP_TRY(backend_->send(message));
  }
  return {};
}

void VhostUserBlockDevice::on_quiesce() {
  start_again_ = false;
  if (state_ != RingState::Starting && state_ != RingState::Running) {
    return;
  }
  const Status sent = backend_->send(vhost_message(VhostRequest::GetVringBase, ring_value(0)));
  if (!sent.ok()) {
    lose(sent.error());
    return;
  }
  state_ = RingState::Stopping;
  overdue_->arm(backend_->timeouts().answer_ms * kNsPerMs);
}

/// A transport resets when the ring is Stopped; otherwise the machine ends, and the connection with it.
void VhostUserBlockDevice::on_reset() {
  if (state_ != RingState::Stopped) {
    disconnect();
    state_ = RingState::Stopped;
  }
  live_ = false;
  start_again_ = false;
  base_ = 0;
}

// ---------------------------------------------------------------------------------------------------------------------
// What the back end does.

void VhostUserBlockDevice::on_call() {
  if (live_ && backend_->connected()) {
    interrupt().raise(kInterruptUsedRing);
  }
}

void VhostUserBlockDevice::on_event(std::uint32_t /*events*/) {
  const Status received = backend_->receive();
  if (!received.ok()) {
    lose(received.error());
    return;
  }
  look_at_answers();
}

void VhostUserBlockDevice::look_at_answers() {
  if (backend_->owed_count() > 0) {
    return;
  }
  overdue_->disarm();
  note_progress();
}

void VhostUserBlockDevice::note_progress() {
  switch (state_) {
    case RingState::Starting:
      state_ = RingState::Running;
      metrics_.activate_time_us.set(started_->elapsed_us());
      return;
    case RingState::Stopping:
      state_ = RingState::Stopped;
      base_ = backend_->vring_base();
      if (start_again_) {
        on_resume();
      } else {
        signals().drained();
      }
      return;
    case RingState::Stopped:
    case RingState::Running: return;
  }
}

void VhostUserBlockDevice::on_overdue() {
  if (backend_->owed_count() > 0) {
    const std::string what = backend_->next_owed_name();
    lose(Error(ErrorCode::HostFault, "the vhost-user back end at '" + backend_->path() + "' did not answer " + what +
                                         " within " + std::to_string(backend_->timeouts().answer_ms) + " ms"));
  }
}

void VhostUserBlockDevice::lose(const Error& cause) {
  disconnect();
  overdue_->disarm();
  metrics_.activate_fails.add();
  WISP_LOG(Error, "%s is out of service until the microVM is started anew: %s", name().c_str(), cause.text().c_str());
  const bool was_stopping = state_ == RingState::Stopping;
  state_ = RingState::Stopped;
  if (live_) {
    signals().needs_reset();
  }
  if (was_stopping) {
    signals().drained();
  }
}

}  // namespace wisp
