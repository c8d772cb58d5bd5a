#include "vmm/legacy/serial.h"

#include <algorithm>

namespace wisp {
namespace {

enum Register : std::uint64_t { kData = 0, kIer = 1, kIirFcr = 2, kLcr = 3, kMcr = 4, kLsr = 5, kMsr = 6, kScr = 7 };

// IER: which causes interrupt. The same bits name the causes themselves.
constexpr std::uint8_t kCauseReceived = 1U << 0;
constexpr std::uint8_t kCauseTransmitterEmpty = 1U << 1;
constexpr std::uint8_t kCauseLineStatus = 1U << 2;
constexpr std::uint8_t kCauseModemStatus = 1U << 3;
constexpr std::uint8_t kIerMask = 0x0f;

/// What IIR shows, most urgent first.
struct Identification {
  std::uint8_t cause;
  std::uint8_t code;
};
constexpr std::array<Identification, 4> kIdentifications = {{
    {kCauseLineStatus, 0x06},
    {kCauseReceived, 0x04},
    {kCauseTransmitterEmpty, 0x02},
    {kCauseModemStatus, 0x00},
}};
constexpr std::uint8_t kIirNone = 0x01;
constexpr std::uint8_t kIirFifosEnabled = 0xc0;

constexpr std::uint8_t kFcrEnable = 1U << 0;
constexpr std::uint8_t kFcrClearReceiver = 1U << 1;

constexpr std::uint8_t kLcrDivisorLatch = 1U << 7;

constexpr std::uint8_t kMcrMask = 0x1f;
constexpr std::uint8_t kMcrDtr = 1U << 0;
constexpr std::uint8_t kMcrRts = 1U << 1;
constexpr std::uint8_t kMcrOut1 = 1U << 2;
constexpr std::uint8_t kMcrOut2 = 1U << 3;
constexpr std::uint8_t kMcrLoopback = 1U << 4;

constexpr std::uint8_t kLsrDataReady = 1U << 0;
constexpr std::uint8_t kLsrOverrun = 1U << 1;
constexpr std::uint8_t kLsrTransmitterEmpty = 0x60;  // holding and shift register

constexpr std::uint8_t kMsrCts = 1U << 4;
constexpr std::uint8_t kMsrDsr = 1U << 5;
constexpr std::uint8_t kMsrRing = 1U << 6;
constexpr std::uint8_t kMsrCarrier = 1U << 7;
constexpr std::uint8_t kMsrDeltaMask = 0x0f;
constexpr std::uint8_t kMsrDeltaRing = 1U << 2;
/// Somebody is there and listens.
constexpr std::uint8_t kMsrConnected = kMsrCts | kMsrDsr | kMsrCarrier;

constexpr std::uint8_t to_byte(unsigned value) {
  return static_cast<std::uint8_t>(value & 0xffU);
}

/// In loopback mode the modem control outputs are the modem status inputs.
constexpr std::uint8_t modem_lines(std::uint8_t modem_control) {
  if ((modem_control & kMcrLoopback) == 0) {
    return kMsrConnected;
  }
  const auto line = [&](std::uint8_t output, std::uint8_t input) { return (modem_control & output) != 0 ? input : 0U; };
  return to_byte(line(kMcrRts, kMsrCts) | line(kMcrDtr, kMsrDsr) | line(kMcrOut1, kMsrRing) |
                 line(kMcrOut2, kMsrCarrier));
}

/// Status bits 3:0 tell which of the lines 7:4 changed; the ring indicator counts only when it ends.
constexpr std::uint8_t modem_deltas(std::uint8_t before, std::uint8_t after) {
  const unsigned changed = ((before ^ after) >> 4) & kMsrDeltaMask;
  const bool ring_ended = (before & kMsrRing) != 0 && (after & kMsrRing) == 0;
  return to_byte(ring_ended ? changed : changed & ~unsigned{kMsrDeltaRing});
}

}  // namespace

std::vector<MetricField> SerialMetrics::fields() const {
  return {{"error_count", &error_count},
          {"flush_count", &flush_count},
          {"missed_read_count", &missed_read_count},
          {"missed_write_count", &missed_write_count},
          {"read_count", &read_count},
          {"write_count", &write_count},
          {"rate_limiter_dropped_bytes", &rate_limiter_dropped_bytes}};
}

void Serial::ReceiveFifo::push(std::uint8_t byte) {
  bytes_[(first_ + size_) % bytes_.size()] = byte;
  ++size_;
}

std::uint8_t Serial::ReceiveFifo::pop() {
  const std::uint8_t byte = bytes_[first_];
  first_ = (first_ + 1) % bytes_.size();
  --size_;
  return byte;
}

Result<std::unique_ptr<Serial>> Serial::create(SerialOutput output, const TokenBucketConfig& limit,
                                               const Clock& clock) {
  EventFd interrupt = WISP_TRY(EventFd::create());
  EventFd room_event = WISP_TRY(EventFd::create());
  return std::make_unique<Serial>(PrivateTag{}, std::move(output), std::move(interrupt), std::move(room_event), limit,
                                  clock);
}

Serial::Serial(PrivateTag /*tag*/, SerialOutput output, EventFd interrupt, EventFd room_event,
               const TokenBucketConfig& limit, const Clock& clock)
    : output_(std::move(output)),
      clock_(clock),
      interrupt_(std::move(interrupt)),
      room_event_(std::move(room_event)),
      limit_(limit, clock.now_ns()),
      modem_status_(kMsrConnected) {}

void Serial::read(std::uint64_t offset, std::span<std::byte> data) {
  if (data.size() != 1) {
    metrics_.missed_read_count.add();
    return;
  }
  const std::lock_guard lock(mutex_);
  data[0] = std::byte{read_register(offset)};
}

void Serial::write(std::uint64_t offset, std::span<const std::byte> data) {
  if (data.size() != 1) {
    metrics_.missed_write_count.add();
    return;
  }
  const std::lock_guard lock(mutex_);
  write_register(offset, std::to_integer<std::uint8_t>(data[0]));
}

bool Serial::divisor_latched() const {
  return (line_control_ & kLcrDivisorLatch) != 0;
}

std::uint8_t Serial::read_register(std::uint64_t offset) {
  switch (offset) {
    case kData: return divisor_latched() ? divisor_low_ : read_receiver();
    case kIer: return divisor_latched() ? divisor_high_ : interrupt_enable_;
    case kIirFcr: return read_interrupt_identification();
    case kLcr: return line_control_;
    case kMcr: return modem_control_;
    case kLsr: return read_line_status();
    case kMsr: return read_modem_status();
    case kScr: return scratch_;
    default: return 0;
  }
}

void Serial::write_register(std::uint64_t offset, std::uint8_t value) {
  switch (offset) {
    case kData: divisor_latched() ? void(divisor_low_ = value) : write_transmitter(value); break;
    case kIer: divisor_latched() ? void(divisor_high_ = value) : write_interrupt_enable(value); break;
    case kIirFcr: write_fifo_control(value); break;
    case kLcr: line_control_ = value; break;
    case kMcr: write_modem_control(value); break;
    case kScr: scratch_ = value; break;
    default: break;  // LSR and MSR are read-only
  }
}

Serial::Causes Serial::causes() const {
  const auto when = [](bool active, std::uint8_t cause) { return active ? cause : 0U; };
  const unsigned active =
      when(received_.size() > 0, kCauseReceived) | when(transmitter_empty_pending_, kCauseTransmitterEmpty) |
      when(line_errors_ != 0, kCauseLineStatus) | when((modem_status_ & kMsrDeltaMask) != 0, kCauseModemStatus);
  return to_byte(active & interrupt_enable_);
}

void Serial::signal_new(Causes before) {
  if ((causes() & ~unsigned{before}) != 0) {
    interrupt_.signal();
  }
}

void Serial::announce_room() {
  // Half empty, so that a guest that reads byte by byte does not wake the loop for each.
  if (room_wanted_ && received_.room() >= kReceiveFifoBytes / 2) {
    room_wanted_ = false;
    room_event_.signal();
  }
}

std::uint8_t Serial::read_receiver() {
  if (received_.size() == 0) {
    return 0;
  }
  metrics_.read_count.add();
  const std::uint8_t byte = received_.pop();
  announce_room();
  // Without FIFOs a driver expects one interrupt for each byte.
  if ((fifo_control_ & kFcrEnable) == 0) {
    signal_new(to_byte(causes() & ~unsigned{kCauseReceived}));
  }
  return byte;
}

std::uint8_t Serial::read_interrupt_identification() {
  const unsigned fifo_bits = (fifo_control_ & kFcrEnable) != 0 ? kIirFifosEnabled : 0U;
  const Causes pending = causes();
  for (const Identification& identification : kIdentifications) {
    if ((pending & identification.cause) == 0) {
      continue;
    }
    if (identification.cause == kCauseTransmitterEmpty) {
      transmitter_empty_pending_ = false;  // reading its code acknowledges it
    }
    return to_byte(fifo_bits | identification.code);
  }
  return to_byte(fifo_bits | kIirNone);
}

std::uint8_t Serial::read_line_status() {
  const unsigned data_ready = received_.size() > 0 ? kLsrDataReady : 0U;
  const unsigned errors = line_errors_;
  line_errors_ = 0;
  return to_byte(kLsrTransmitterEmpty | data_ready | errors);
}

std::uint8_t Serial::read_modem_status() {
  const std::uint8_t status = modem_status_;
  modem_status_ &= to_byte(~unsigned{kMsrDeltaMask});
  return status;
}

void Serial::write_transmitter(std::uint8_t value) {
  metrics_.write_count.add();
  // The write takes "empty" back, and the byte is gone at once: a new cause each time.
  transmitter_empty_pending_ = false;
  const Causes before = causes();
  transmitter_empty_pending_ = true;
  if ((modem_control_ & kMcrLoopback) == 0) {
    send(std::byte{value});
  } else if (received_.room() > 0) {
    received_.push(value);
  } else {
    line_errors_ |= kLsrOverrun;
  }
  signal_new(before);
}

void Serial::send(std::byte byte) {
  if (!limit_.has(1, clock_.now_ns())) {
    metrics_.rate_limiter_dropped_bytes.add();
    return;
  }
  limit_.charge(1);
  const bool written = output_.put(byte) == SerialOutput::Outcome::Written;
  (written ? metrics_.flush_count : metrics_.missed_write_count).add();
}

void Serial::write_interrupt_enable(std::uint8_t value) {
  const Causes before = causes();
  const std::uint8_t enabled = to_byte(value & ~unsigned{interrupt_enable_});
  interrupt_enable_ = value & kIerMask;
  if ((enabled & kCauseTransmitterEmpty) != 0) {
    transmitter_empty_pending_ = true;  // it is empty, and somebody wants to know now
  }
  signal_new(before);
}

void Serial::write_fifo_control(std::uint8_t value) {
  const bool mode_changes = ((value ^ fifo_control_) & kFcrEnable) != 0;
  if (mode_changes || (value & kFcrClearReceiver) != 0) {
    received_.clear();
    announce_room();
  }
  fifo_control_ = value & kFcrEnable;
}

void Serial::write_modem_control(std::uint8_t value) {
  const Causes before = causes();
  modem_control_ = value & kMcrMask;
  const std::uint8_t lines = modem_lines(modem_control_);
  const unsigned deltas = modem_deltas(modem_status_, lines) | (modem_status_ & kMsrDeltaMask);
  modem_status_ = to_byte(lines | deltas);
  signal_new(before);
}

std::size_t Serial::input_room() {
  const std::lock_guard lock(mutex_);
  room_wanted_ = received_.room() == 0;
  return received_.room();
}

std::size_t Serial::put_input(std::span<const std::byte> bytes) {
  const std::lock_guard lock(mutex_);
  // In loopback mode the line is cut off.
  if ((modem_control_ & kMcrLoopback) != 0) {
    return bytes.size();
  }
  const std::size_t count = std::min(bytes.size(), received_.room());
  const Causes before = causes();
  for (const std::byte byte : bytes.first(count)) {
    received_.push(std::to_integer<std::uint8_t>(byte));
  }
  // A new arrival counts as new even when older bytes are unread: an edge that a driver lost is made up for.
  signal_new(count > 0 ? to_byte(before & ~unsigned{kCauseReceived}) : before);
  return count;
}

void Serial::save(StateWriter& out) {
  const std::lock_guard lock(mutex_);
  limit_.save(out, clock_.now_ns());
  ReceiveFifo unread = received_;
  out.u8(static_cast<std::uint8_t>(unread.size()));
  while (unread.size() > 0) {
    out.u8(unread.pop());
  }
  out.boolean(transmitter_empty_pending_);
  for (const std::uint8_t each : {interrupt_enable_, fifo_control_, line_control_, modem_control_, line_errors_,
                                  modem_status_, scratch_, divisor_low_, divisor_high_}) {
    out.u8(each);
  }
}

Status Serial::restore(StateReader& in) {
  const std::lock_guard lock(mutex_);
  (void)WISP_TRY(limit_.restore(in, clock_.now_ns()));
  const std::uint8_t unread_count = in.u8();
  (void)WISP_TRY(in.check(unread_count <= kReceiveFifoBytes, "more input than the receiver holds"));
  received_.clear();
  for (std::uint8_t count = 0; count < unread_count; ++count) {
    received_.push(in.u8());
  }
  transmitter_empty_pending_ = in.boolean();
  for (std::uint8_t* each : {&interrupt_enable_, &fifo_control_, &line_control_, &modem_control_, &line_errors_,
                             &modem_status_, &scratch_, &divisor_low_, &divisor_high_}) {
    *each = in.u8();
  }
  interrupt_enable_ &= kIerMask;
  (void)WISP_TRY(in.finish());
  // The line is an edge: what was signalled while the guest stood still is signalled again.
  signal_new(0);
  return {};
}

}  // namespace wisp
