// The packed columns of a filter file (filter_file.h), over bytes that nobody vouches for: every read is bounded by
// what is there, and by the caller's count.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "vmm/base/result.h"

namespace wisp::seccomp {

class ColumnReader {
 public:
  explicit ColumnReader(std::span<const std::uint8_t> bytes) : rest_(bytes) {}

  /// `count` bytes as they are.
  Result<std::span<const std::uint8_t>> raw(std::size_t count);
  Result<std::vector<std::uint8_t>> packed_bytes(std::size_t count);
  Result<std::vector<std::uint64_t>> packed_integers(std::size_t count);
  /// Packed bytes, of which 255 stands for the next long one; none may be above `limit`.
  Result<std::vector<std::size_t>> lengths(std::size_t count, std::size_t limit);
  bool at_end() const { return rest_.empty(); }

 private:
  Result<std::vector<std::uint8_t>> several_in_a_byte(std::size_t count, std::uint8_t base);
  Result<std::uint64_t> integer(std::size_t width_bytes);

  std::span<const std::uint8_t> rest_;
};

class ColumnWriter {
 public:
  void raw(std::span<const std::uint8_t> bytes) { out_.insert(out_.end(), bytes.begin(), bytes.end()); }
  void packed_integers(std::span<const std::uint64_t> values);
  void lengths(std::span<const std::size_t> values);
  std::vector<std::uint8_t> take() { return std::move(out_); }

 private:
  std::vector<std::uint8_t> out_;
};

}  // namespace wisp::seccomp
