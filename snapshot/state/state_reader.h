// StateReader: takes back what a StateWriter wrote (see state_writer.h), from bytes that may be forged.
//
// Reading past the end gives zeros and makes the reader fail for good, so a decoder reads its fields one after the
// other and asks once, before it uses any: with check() for a rule among them, with finish() at the end.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>

#include "vmm/base/result.h"

namespace wisp {

class StateReader {
 public:
  /// `name` is the section's, for texts. The bytes must outlive the reader.
  StateReader(std::string_view name, std::span<const std::byte> data) : name_(name), rest_(data) {}

  std::uint8_t u8() { return static_cast<std::uint8_t>(get(1)); }
  std::uint16_t u16() { return static_cast<std::uint16_t>(get(2)); }
  std::uint32_t u32() { return static_cast<std::uint32_t>(get(4)); }
  std::uint64_t u64() { return get(8); }
  /// Anything but 0 and 1 is a failure.
  bool boolean();
  /// A length of at most `limit`, then that many bytes; a view into the section.
  std::span<const std::byte> bytes(std::size_t limit);
  std::string text(std::size_t limit);
  /// Exactly destination.size() bytes; zeros after a failure.
  void raw(std::span<std::byte> destination);

  /// Fails when something could not be read so far, or when `holds` is false: "section 'net0': <rule>".
  Status check(bool holds, std::string_view rule);
  /// check(), and nothing may be left over.
  Status finish();

 private:
  std::uint64_t get(std::size_t width);
  std::span<const std::byte> take(std::size_t count);

  std::string name_;
  std::span<const std::byte> rest_;
  bool failed_ = false;
};

}  // namespace wisp
