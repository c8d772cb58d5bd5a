// FieldWriter and FieldReader: one list of a structure's fields serves both directions.
//
//   template <typename Fields, typename State>
//   void visit(Fields& fields, State& clock) { fields(clock.clock, clock.flags); }
//
//   FieldWriter to(out);   visit(to, clock);      // const kvm_clock_data
//   FieldReader from(in);  visit(from, clock);    // kvm_clock_data
//
// Padding and reserved fields are not listed: they are neither written nor read, so they are zero after a restore,
// whatever the file says. The fields' widths are those of the kernel's interface and never change.
#pragma once

#include <cstdint>

#include "snapshot/state/state_reader.h"
#include "snapshot/state/state_writer.h"

namespace wisp {

class FieldWriter {
 public:
  explicit FieldWriter(StateWriter& out) : out_(out) {}

  template <typename... Fields>
  void operator()(const Fields&... fields) {
    (put(fields), ...);
  }

 private:
  template <typename Field>
  void put(Field field) {
    if constexpr (sizeof(Field) == 1) {
      out_.u8(static_cast<std::uint8_t>(field));
    } else if constexpr (sizeof(Field) == 2) {
      out_.u16(static_cast<std::uint16_t>(field));
    } else if constexpr (sizeof(Field) == 4) {
      out_.u32(static_cast<std::uint32_t>(field));
    } else {
      static_assert(sizeof(Field) == 8);
      out_.u64(static_cast<std::uint64_t>(field));
    }
  }

  StateWriter& out_;
};

class FieldReader {
 public:
  explicit FieldReader(StateReader& in) : in_(in) {}

  template <typename... Fields>
  void operator()(Fields&... fields) {
    (get(fields), ...);
  }

 private:
  template <typename Field>
  void get(Field& field) {
    if constexpr (sizeof(Field) == 1) {
      field = static_cast<Field>(in_.u8());
    } else if constexpr (sizeof(Field) == 2) {
      field = static_cast<Field>(in_.u16());
    } else if constexpr (sizeof(Field) == 4) {
      field = static_cast<Field>(in_.u32());
    } else {
      static_assert(sizeof(Field) == 8);
      field = static_cast<Field>(in_.u64());
    }
  }

  StateReader& in_;
};

}  // namespace wisp
