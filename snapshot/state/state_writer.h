// StateWriter and StateReader: how a part of the machine puts its state into bytes and takes it back.
//
//   void QueueThing::save(StateWriter& out) const { out.u16(position_); out.boolean(broken_); }
//   Status QueueThing::restore(StateReader& in) {
//     const std::uint16_t position = in.u16();
//     const bool broken = in.boolean();
//     (void)WISP_TRY(in.check(position < size_, "position beyond the queue"));
//     ...
//   }
//
// Integers are little-endian and of fixed width; byte strings carry a 32-bit length. There are no tags and no optional
// fields: the section's name and the snapshot's format version say what follows (docs/snapshot-format.md). The bytes
// are untrusted when they come back: a reader never reads past its end, and everything read is checked before use.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>
#include <vector>

namespace wisp {

class StateWriter {
 public:
  void u8(std::uint8_t value) { put(value, 1); }
  void u16(std::uint16_t value) { put(value, 2); }
  void u32(std::uint32_t value) { put(value, 4); }
  void u64(std::uint64_t value) { put(value, 8); }
  void boolean(bool value) { put(value ? 1 : 0, 1); }
  /// A 32-bit length, then the bytes.
  void bytes(std::span<const std::byte> data);
  void text(std::string_view text) { bytes(std::as_bytes(std::span(text.data(), text.size()))); }
  /// The bytes alone, for arrays whose length is fixed.
  void raw(std::span<const std::byte> data) { data_.insert(data_.end(), data.begin(), data.end()); }

  std::size_t size_bytes() const { return data_.size(); }
  std::span<const std::byte> data() const { return data_; }
  std::vector<std::byte> take() && { return std::move(data_); }

 private:
  void put(std::uint64_t value, std::size_t width);

  std::vector<std::byte> data_;
};

}  // namespace wisp
