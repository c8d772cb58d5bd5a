#include "jailer/seccomp/columns.h"

#include <algorithm>
#include <array>

namespace wisp::seccomp {
namespace {

constexpr std::size_t kBytesWithoutPacking = 2;
constexpr std::uint8_t kLongLength = 255;
constexpr std::uint8_t kWholeBytes = 0;
constexpr std::uint8_t kWholeIntegers = 0;
constexpr std::size_t kIntegerBytes = 8;

/// How packed bytes lie, by (first byte + 1) / 2: values per byte are as many as fit.
constexpr std::array<std::uint8_t, 6> kBases = {0, 16, 6, 4, 3, 2};
constexpr std::array<std::uint8_t, 6> kValuesPerByte = {1, 2, 3, 4, 5, 8};
/// Bytes per packed integer, by (first byte + 1) / 2; single bytes are packed once more.
constexpr std::array<std::size_t, 4> kWidths = {8, 4, 2, 1};

/// An odd first byte says that a smallest value follows.
constexpr bool has_smallest(std::uint8_t how) {
  return (how & 1U) != 0;
}

Error broken(const char* what) {
  return Error(ErrorCode::Corrupt, std::string("the encoding is broken: ") + what);
}

}  // namespace

Result<std::span<const std::uint8_t>> ColumnReader::raw(std::size_t count) {
  if (count > rest_.size()) {
    return broken("it ends early");
  }
  const auto taken = rest_.first(count);
  rest_ = rest_.subspan(count);
  return taken;
}

Result<std::uint64_t> ColumnReader::integer(std::size_t width_bytes) {
  const auto bytes = WISP_TRY(raw(width_bytes));
  std::uint64_t value = 0;
  for (std::size_t index = 0; index < width_bytes; ++index) {
    value |= std::uint64_t{bytes[index]} << (8 * index);
  }
  return value;
}

Result<std::vector<std::uint8_t>> ColumnReader::several_in_a_byte(std::size_t count, std::uint8_t how) {
  const std::uint8_t per_byte = kValuesPerByte[how];
  const auto packed = WISP_TRY(raw((count + per_byte - 1) / per_byte));
  std::vector<std::uint8_t> values(count);
  for (std::size_t index = 0; index < count; ++index) {
    unsigned rest = packed[index / per_byte];
    for (std::size_t skipped = index % per_byte; skipped > 0; --skipped) {
      rest /= kBases[how];
    }
    values[index] = static_cast<std::uint8_t>(rest % kBases[how]);
  }
  return values;
}

Result<std::vector<std::uint8_t>> ColumnReader::packed_bytes(std::size_t count) {
  const std::uint8_t first = count <= kBytesWithoutPacking ? kWholeBytes : WISP_TRY(raw(1))[0];
  const auto how = static_cast<std::uint8_t>((first + 1U) / 2);
  if (how >= kBases.size()) {
    return broken("an unknown packing of bytes");
  }
  if (how == 0) {
    const auto bytes = WISP_TRY(raw(count));
    return std::vector<std::uint8_t>(bytes.begin(), bytes.end());
  }
  const std::uint8_t smallest = has_smallest(first) ? WISP_TRY(raw(1))[0] : std::uint8_t{0};
  auto values = WISP_TRY(several_in_a_byte(count, how));
  for (std::uint8_t& each : values) {
    each = static_cast<std::uint8_t>(each + smallest);
  }
  return values;
}

Result<std::vector<std::uint64_t>> ColumnReader::packed_integers(std::size_t count) {
  std::vector<std::uint64_t> values;
  if (count == 0) {
    return values;
  }
  const std::uint8_t first = WISP_TRY(raw(1))[0];
  const std::size_t how = (first + 1U) / 2;
  if (how >= kWidths.size()) {
    return broken("an unknown packing of integers");
  }
  const std::uint64_t smallest = has_smallest(first) ? WISP_TRY(integer(kIntegerBytes)) : 0;
  if (kWidths[how] == 1) {
    const auto bytes = WISP_TRY(packed_bytes(count));
    values.assign(bytes.begin(), bytes.end());
  } else {
    if (count > rest_.size() / kWidths[how]) {
      return broken("it ends early");
    }
    for (std::size_t index = 0; index < count; ++index) {
      values.push_back(WISP_TRY(integer(kWidths[how])));
    }
  }
  for (std::uint64_t& each : values) {
    each += smallest;
  }
  return values;
}

Result<std::vector<std::size_t>> ColumnReader::lengths(std::size_t count, std::size_t limit) {
  const auto short_ones = WISP_TRY(packed_bytes(count));
  const auto long_count = static_cast<std::size_t>(std::count(short_ones.begin(), short_ones.end(), kLongLength));
  const auto long_ones = WISP_TRY(packed_integers(long_count));
  std::vector<std::size_t> lengths;
  std::size_t next_long = 0;
  for (const std::uint8_t each : short_ones) {
    lengths.push_back(each == kLongLength ? long_ones[next_long++] : each);
    if (lengths.back() > limit) {
      return Error(ErrorCode::LimitExceeded,
                   "a length of " + std::to_string(lengths.back()) + " is above the limit of " + std::to_string(limit));
    }
  }
  return lengths;
}

void ColumnWriter::packed_integers(std::span<const std::uint64_t> values) {
  if (values.empty()) {
    return;
  }
  out_.push_back(kWholeIntegers);
  for (const std::uint64_t value : values) {
    for (std::size_t index = 0; index < kIntegerBytes; ++index) {
      out_.push_back(static_cast<std::uint8_t>(value >> (8 * index)));
    }
  }
}

void ColumnWriter::lengths(std::span<const std::size_t> values) {
  if (values.size() > kBytesWithoutPacking) {
    out_.push_back(kWholeBytes);
  }
  std::vector<std::uint64_t> long_ones;
  for (const std::size_t value : values) {
    out_.push_back(static_cast<std::uint8_t>(std::min<std::size_t>(value, kLongLength)));
    if (value >= kLongLength) {
      long_ones.push_back(value);
    }
  }
  packed_integers(long_ones);
}

}  // namespace wisp::seccomp
