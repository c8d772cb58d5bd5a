#include "snapshot/state/state_reader.h"

#include <algorithm>

namespace wisp {

std::span<const std::byte> StateReader::take(std::size_t count) {
  if (failed_ || count > rest_.size()) {
    failed_ = true;
    return {};
  }
  const auto taken = rest_.first(count);
  rest_ = rest_.subspan(count);
  return taken;
}

std::uint64_t StateReader::get(std::size_t width) {
  const auto taken = take(width);
  std::uint64_t value = 0;
  for (std::size_t index = taken.size(); index-- > 0;) {
    value = (value << 8U) | std::to_integer<std::uint64_t>(taken[index]);
  }
  return value;
}

bool StateReader::boolean() {
  const std::uint8_t value = u8();
  failed_ = failed_ || value > 1;
  return value == 1;
}

std::span<const std::byte> StateReader::bytes(std::size_t limit) {
  const std::uint32_t length = u32();
  if (length > limit) {
    failed_ = true;
  }
  return take(length);
}

std::string StateReader::text(std::size_t limit) {
  const auto data = bytes(limit);
  std::string text;
  text.reserve(data.size());
  for (const std::byte each : data) {
    text.push_back(static_cast<char>(each));
  }
  return text;
}

void StateReader::raw(std::span<std::byte> destination) {
  const auto data = take(destination.size());
  std::ranges::fill(destination, std::byte{0});
  std::ranges::copy(data, destination.begin());
}

Status StateReader::check(bool holds, std::string_view rule) {
  if (failed_) {
    return Error(ErrorCode::InvalidArgument, "section '" + name_ + "' is too short or has a value out of range");
  }
  if (!holds) {
    return Error(ErrorCode::InvalidArgument, "section '" + name_ + "': " + std::string(rule));
  }
  return {};
}

Status StateReader::finish() {
  return check(rest_.empty(), "bytes are left over");
}

}  // namespace wisp
