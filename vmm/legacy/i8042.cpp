#include "vmm/legacy/i8042.h"

#include <utility>

namespace wisp {
namespace {

constexpr std::uint64_t kDataPort = 0;
constexpr std::uint64_t kCommandPort = 4;

enum Command : std::uint8_t {
  kReadControl = 0x20,
  kWriteControl = 0x60,
  kSelfTest = 0xaa,
  kKeyboardTest = 0xab,
  kKeyboardOff = 0xad,
  kKeyboardOn = 0xae,
  kReadOutputPort = 0xd0,
  kWriteOutputPort = 0xd1,
  kWriteOutputBuffer = 0xd2,
  kWriteMouseBuffer = 0xd3,
  kWriteMouse = 0xd4,
  kResetMachine = 0xfe,
};

constexpr std::uint8_t kSelfTestPassed = 0x55;
constexpr std::uint8_t kKeyboardTestPassed = 0x00;

constexpr std::uint8_t kStatusOutputFull = 1U << 0;
constexpr std::uint8_t kStatusSystem = 1U << 2;
constexpr std::uint8_t kStatusCommandLast = 1U << 3;
constexpr std::uint8_t kStatusUnlocked = 1U << 4;

constexpr std::uint8_t kControlInterrupt = 1U << 0;
constexpr std::uint8_t kControlSystem = 1U << 2;
constexpr std::uint8_t kControlKeyboardOff = 1U << 4;

constexpr std::uint8_t kOutputNotReset = 1U << 0;
constexpr std::uint8_t kOutputA20 = 1U << 1;

constexpr std::uint8_t kKeyboardReset = 0xff;
constexpr std::uint8_t kKeyboardIdentify = 0xf2;
constexpr std::uint8_t kKeyboardEcho = 0xee;
constexpr std::uint8_t kAcknowledge = 0xfa;

/// Ctrl, Alt, and the two bytes of Del on an extended keyboard; presses only, in scan code set 2.
constexpr std::array<std::uint8_t, 4> kCtrlAltDel = {0x14, 0x11, 0xe0, 0x71};

}  // namespace

std::vector<MetricField> I8042Metrics::fields() const {
  return {{"error_count", &error_count},
          {"missed_read_count", &missed_read_count},
          {"missed_write_count", &missed_write_count},
          {"read_count", &read_count},
          {"reset_count", &reset_count},
          {"write_count", &write_count}};
}

Result<std::unique_ptr<I8042>> I8042::create(std::function<void()> on_reset) {
  return std::make_unique<I8042>(PrivateTag{}, std::move(on_reset), WISP_TRY(EventFd::create()));
}

I8042::I8042(PrivateTag /*tag*/, std::function<void()> on_reset, EventFd interrupt)
    : on_reset_(std::move(on_reset)),
      interrupt_(std::move(interrupt)),
      control_(kControlInterrupt | kControlSystem),
      output_port_(kOutputNotReset | kOutputA20) {}

void I8042::read(std::uint64_t offset, std::span<std::byte> data) {
  if (data.size() != 1 || (offset != kDataPort && offset != kCommandPort)) {
    metrics_.missed_read_count.add();
    return;
  }
  metrics_.read_count.add();
  const std::lock_guard lock(mutex_);
  data[0] = std::byte{offset == kDataPort ? read_data() : status()};
}

void I8042::write(std::uint64_t offset, std::span<const std::byte> data) {
  if (data.size() != 1 || (offset != kDataPort && offset != kCommandPort)) {
    metrics_.missed_write_count.add();
    return;
  }
  metrics_.write_count.add();
  const auto value = std::to_integer<std::uint8_t>(data[0]);
  Effect effect = Effect::None;
  {
    const std::lock_guard lock(mutex_);
    command_was_last_ = offset == kCommandPort;
    if (offset == kDataPort) {
      write_data(value);
    } else {
      effect = write_command(value);
    }
  }
  if (effect == Effect::Reset) {
    on_reset_();
  }
}

Status I8042::send_ctrl_alt_del() {
  const std::lock_guard lock(mutex_);
  if (buffer_.size() - size_ < kCtrlAltDel.size()) {
    metrics_.error_count.add();
    return Error(ErrorCode::WrongState,
                 "SendCtrlAltDel: the keyboard buffer is full, the guest has not read the keys sent before. "
                 "Use a guest kernel with i8042 and AT keyboard drivers, or try again later");
  }
  answer(kCtrlAltDel);
  return {};
}

std::uint8_t I8042::status() const {
  const unsigned full = size_ > 0 ? kStatusOutputFull : 0U;
  const unsigned command = command_was_last_ ? kStatusCommandLast : 0U;
  const unsigned system = (control_ & kControlSystem) != 0 ? kStatusSystem : 0U;
  return static_cast<std::uint8_t>(full | system | command | kStatusUnlocked);
}

bool I8042::interrupts_enabled() const {
  return (control_ & kControlInterrupt) != 0 && (control_ & kControlKeyboardOff) == 0;
}

void I8042::push(std::uint8_t byte) {
  if (size_ == buffer_.size()) {
    metrics_.error_count.add();
    return;
  }
  buffer_[(first_ + size_) % buffer_.size()] = byte;
  ++size_;
  if (interrupts_enabled()) {
    interrupt_.signal();
  }
}

void I8042::answer(std::span<const std::uint8_t> bytes) {
  for (const std::uint8_t byte : bytes) {
    push(byte);
  }
}

std::uint8_t I8042::read_data() {
  if (size_ == 0) {
    return 0;
  }
  const std::uint8_t byte = buffer_[first_];
  first_ = (first_ + 1) % buffer_.size();
  --size_;
  if (size_ > 0 && interrupts_enabled()) {
    interrupt_.signal();  // the next byte has become readable
  }
  return byte;
}

void I8042::set_control(std::uint8_t value) {
  const bool were_enabled = interrupts_enabled();
  control_ = value;
  if (!were_enabled && interrupts_enabled() && size_ > 0) {
    interrupt_.signal();
  }
}

void I8042::answer_keyboard(std::uint8_t command) {
  constexpr std::array<std::uint8_t, 2> kAfterReset = {kAcknowledge, 0xaa};
  constexpr std::array<std::uint8_t, 3> kIdentity = {kAcknowledge, 0xab, 0x83};
  switch (command) {
    case kKeyboardReset: answer(kAfterReset); break;
    case kKeyboardIdentify: answer(kIdentity); break;
    case kKeyboardEcho: push(kKeyboardEcho); break;
    default: push(kAcknowledge); break;
  }
}

void I8042::write_data(std::uint8_t value) {
  switch (std::exchange(data_target_, DataTarget::Keyboard)) {
    case DataTarget::Keyboard: answer_keyboard(value); break;
    case DataTarget::ControlByte: set_control(value); break;
    case DataTarget::OutputPort: output_port_ = value; break;
    case DataTarget::OutputBuffer: push(value); break;
    case DataTarget::Nowhere: break;
  }
}

I8042::Effect I8042::write_command(std::uint8_t command) {
  // A command that comes in place of another one's byte cancels it.
  data_target_ = DataTarget::Keyboard;
  switch (command) {
    case kReadControl: push(control_); break;
    case kWriteControl: data_target_ = DataTarget::ControlByte; break;
    case kSelfTest: push(kSelfTestPassed); break;
    case kKeyboardTest: push(kKeyboardTestPassed); break;
    case kKeyboardOff: set_control(control_ | kControlKeyboardOff); break;
    case kKeyboardOn: set_control(static_cast<std::uint8_t>(control_ & ~unsigned{kControlKeyboardOff})); break;
    case kReadOutputPort: push(output_port_); break;
    case kWriteOutputPort: data_target_ = DataTarget::OutputPort; break;
    case kWriteOutputBuffer: data_target_ = DataTarget::OutputBuffer; break;
    case kWriteMouseBuffer:
    case kWriteMouse: data_target_ = DataTarget::Nowhere; break;
    case kResetMachine:
      // A guest that repeats itself must not fill the mailbox of whoever carries this out.
      metrics_.reset_count.add();
      return std::exchange(reset_requested_, true) ? Effect::None : Effect::Reset;
    default: break;
  }
  return Effect::None;
}

void I8042::save(StateWriter& out) {
  const std::lock_guard lock(mutex_);
  out.u8(static_cast<std::uint8_t>(size_));
  for (std::size_t index = 0; index < size_; ++index) {
    out.u8(buffer_[(first_ + index) % buffer_.size()]);
  }
  out.u8(control_);
  out.u8(output_port_);
  out.u8(static_cast<std::uint8_t>(data_target_));
  out.boolean(command_was_last_);
}

Status I8042::restore(StateReader& in) {
  const std::lock_guard lock(mutex_);
  const std::uint8_t unread_count = in.u8();
  (void)WISP_TRY(in.check(unread_count <= buffer_.size(), "more answers than the buffer holds"));
  first_ = 0;
  size_ = unread_count;
  for (std::size_t index = 0; index < size_; ++index) {
    buffer_[index] = in.u8();
  }
  control_ = in.u8();
  output_port_ = in.u8();
  const std::uint8_t target = in.u8();
  (void)WISP_TRY(in.check(target <= static_cast<std::uint8_t>(DataTarget::Nowhere), "an unknown place for data"));
  data_target_ = static_cast<DataTarget>(target);
  command_was_last_ = in.boolean();
  (void)WISP_TRY(in.finish());
  if (size_ > 0 && interrupts_enabled()) {
    interrupt_.signal();
  }
  return {};
}

}  // namespace wisp
