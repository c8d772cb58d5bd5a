#include "vmm/machine/vm.h"

#include "vmm/base/assert.h"
#include "vmm/base/clock.h"
#include "vmm/base/log.h"

namespace wisp {

Vm::~Vm() {
  vcpus_.clear();
}

void Vm::resume() {
  pair_id_.reset();
  devices_->resume();
  for (auto& vcpu : vcpus_) {
    vcpu->resume();
  }
}

void Vm::wait_until_confined() const {
  for (const auto& vcpu : vcpus_) {
    vcpu->wait_until_confined();
  }
}

void Vm::pause(PauseDone done) {
  WISP_ASSERT(pause_step_ == PauseStep::None);
  pause_step_ = PauseStep::WaitForVcpus;
  pause_done_ = std::move(done);
  pause_started_us_ = monotonic_us();
  parked_count_ = 0;
  auto timer = PeriodicTimer::create(loop_, kPauseCheckPeriodMs, [this] { check_pause_deadline(); });
  if (!timer.ok()) {
    finish_pause(std::move(timer).error());
    return;
  }
  pause_timer_ = std::move(timer).value();
  for (auto& vcpu : vcpus_) {
    vcpu->request_pause();
  }
}

void Vm::on_parked(std::uint32_t /*index*/) {
  loop_.post([this] {
    ++parked_count_;
    continue_pause();
  });
}

void Vm::continue_pause() {
  if (pause_step_ == PauseStep::WaitForVcpus && parked_count_ == vcpus_.size()) {
    pause_step_ = PauseStep::DrainDevices;
    devices_->set_drain_listener([this] { continue_pause(); });
    devices_->quiesce();
  }
  if (pause_step_ == PauseStep::DrainDevices && devices_->in_flight_count() == 0) {
    for (auto& vcpu : vcpus_) {
      if (!vcpu->kvm().note_paused()) {
        metrics_.vcpu.kvmclock_ctrl_fails.add();
      }
    }
    finish_pause({});
  }
}

void Vm::check_pause_deadline() {
  continue_pause();
  if (pause_step_ != PauseStep::None && monotonic_us() - pause_started_us_ > kPauseDeadlineMs * 1000) {
    Error error(ErrorCode::HostFault, std::string("The microVM could not be paused: ") + name_of(pause_step_) +
                                          " did not finish within " + std::to_string(kPauseDeadlineMs) +
                                          " ms. It goes on running; try again when its storage answers");
    finish_pause(std::move(error));
    resume();
  }
}

void Vm::finish_pause(Status status) {
  pause_step_ = PauseStep::None;
  pause_timer_.reset();
  // Moved out first: the callback may start the next pause.
  const PauseDone done = std::move(pause_done_);
  pause_done_ = nullptr;
  done(std::move(status));
}

const char* Vm::name_of(PauseStep step) {
  switch (step) {
    case PauseStep::None: return "nothing";
    case PauseStep::WaitForVcpus: return "stopping the vCPUs";
    case PauseStep::DrainDevices: return "finishing the devices' requests in flight";
  }
  return "an unknown step";
}

Status Vm::send_ctrl_alt_del() {
  return devices_->i8042().send_ctrl_alt_del();
}

void Vm::register_in(MetricsRegistry& registry) const {
  devices_->register_in(registry);
  live_.register_in(registry);
}

void Vm::on_finished(std::uint32_t /*index*/, VcpuEnd end_reason) {
  const ExitCode code = end_reason == VcpuEnd::Reset ? ExitCode::Ok : ExitCode::GenericError;
  request_end(code);
}

void Vm::request_end(ExitCode code) {
  loop_.post([this, code] { end(code); });
}

void Vm::end(ExitCode code) {
  if (!ended_) {
    ended_ = true;
    on_end_(code);
  }
}

}  // namespace wisp
