#include "vmm/arch/x86_64/aml.h"

#include <initializer_list>

#include "vmm/base/assert.h"

namespace wisp::arch::aml {
namespace {

Bytes bytes(std::initializer_list<std::uint32_t> values) {
  Bytes out;
  for (const std::uint32_t value : values) {
    out.push_back(static_cast<char>(static_cast<unsigned char>(value & 0xffU)));
  }
  return out;
}

Bytes little_endian(std::uint32_t value, std::size_t size_bytes) {
  Bytes out;
  for (std::size_t index = 0; index < size_bytes; ++index) {
    out += bytes({value >> (8 * index)});
  }
  return out;
}

/// Puts the package length, which counts itself, before `contents` (section 20.2.4).
Bytes with_length(const Bytes& contents) {
  constexpr std::size_t kOneByteLimit = 64;
  for (std::uint32_t extra = 0; extra <= 3; ++extra) {
    const std::size_t total = contents.size() + 1 + extra;
    const auto length = static_cast<std::uint32_t>(total);
    if (extra == 0 && total < kOneByteLimit) {
      return bytes({length}) + contents;
    }
    // With more bytes the first holds their number and the low four bits, the others eight bits each.
    if (extra > 0 && total < (std::size_t{1} << (4 + 8 * extra))) {
      return bytes({extra << 6 | (length & 0xfU)}) + little_endian(length >> 4, extra) + contents;
    }
  }
  assertion_failed(__FILE__, __LINE__, "an AML package exceeds 256 MiB");
}

Bytes name_segment(std::string_view segment) {
  WISP_ASSERT(segment.size() == 4);
  return Bytes(segment);
}

std::uint32_t hex_digit(char digit) {
  return static_cast<std::uint32_t>(digit <= '9' ? digit - '0' : digit - 'A' + 10);
}

}  // namespace

Bytes system_bus(const Bytes& contents) {
  constexpr std::uint32_t kScopeOp = 0x10;
  return bytes({kScopeOp}) + with_length("\\" + name_segment("_SB_") + contents);
}

Bytes device(std::string_view segment, const Bytes& contents) {
  constexpr std::uint32_t kExtendedPrefix = 0x5b;
  constexpr std::uint32_t kDeviceOp = 0x82;
  return bytes({kExtendedPrefix, kDeviceOp}) + with_length(name_segment(segment) + contents);
}

Bytes name(std::string_view segment, const Bytes& object) {
  constexpr std::uint32_t kNameOp = 0x08;
  return bytes({kNameOp}) + name_segment(segment) + object;
}

Bytes integer(std::uint32_t value) {
  if (value <= 1) {
    return bytes({value});  // ZeroOp, OneOp
  }
  if (value <= UINT8_MAX) {
    return bytes({0x0a}) + little_endian(value, 1);
  }
  if (value <= UINT16_MAX) {
    return bytes({0x0b}) + little_endian(value, 2);
  }
  return bytes({0x0c}) + little_endian(value, 4);
}

Bytes package(std::initializer_list<Bytes> elements) {
  constexpr std::uint32_t kPackageOp = 0x12;
  Bytes contents = bytes({static_cast<std::uint32_t>(elements.size())});
  for (const Bytes& element : elements) {
    contents += element;
  }
  return bytes({kPackageOp}) + with_length(contents);
}

Bytes string(std::string_view text) {
  return bytes({0x0d}) + Bytes(text) + Bytes(1, '\0');
}

Bytes eisa_id(std::string_view id) {
  WISP_ASSERT(id.size() == 7);
  std::uint32_t code = 0;
  for (const char letter : id.substr(0, 3)) {
    code = code << 5 | static_cast<std::uint32_t>(letter - 'A' + 1);
  }
  for (const char digit : id.substr(3)) {
    code = code << 4 | hex_digit(digit);
  }
  return bytes({0x0c}) + little_endian(__builtin_bswap32(code), 4);
}

Bytes method(std::string_view segment, std::uint8_t argument_count, const Bytes& statements) {
  constexpr std::uint32_t kMethodOp = 0x14;
  constexpr std::uint32_t kSerialized = 1U << 3;
  WISP_ASSERT(argument_count <= 7);
  return bytes({kMethodOp}) + with_length(name_segment(segment) + bytes({argument_count | kSerialized}) + statements);
}

Bytes first_argument() {
  constexpr std::uint32_t kArg0Op = 0x68;
  return bytes({kArg0Op});
}

Bytes equal(const Bytes& left, const Bytes& right) {
  constexpr std::uint32_t kLogicalEqualOp = 0x93;
  return bytes({kLogicalEqualOp}) + left + right;
}

Bytes if_true(const Bytes& condition, const Bytes& statements) {
  constexpr std::uint32_t kIfOp = 0xa0;
  return bytes({kIfOp}) + with_length(condition + statements);
}

Bytes notify(std::string_view segment, std::uint8_t value) {
  constexpr std::uint32_t kNotifyOp = 0x86;
  return bytes({kNotifyOp}) + name_segment(segment) + integer(value);
}

Bytes resource_template(const Bytes& descriptors) {
  constexpr std::uint32_t kBufferOp = 0x11;
  const Bytes contents = descriptors + bytes({0x79, 0});  // end tag; a checksum of 0 means none
  return bytes({kBufferOp}) + with_length(integer(static_cast<std::uint32_t>(contents.size())) + contents);
}

Bytes memory32_fixed(std::uint32_t base, std::uint32_t size_bytes) {
  constexpr std::uint32_t kReadWrite = 1;
  return bytes({0x86, 9, 0, kReadWrite}) + little_endian(base, 4) + little_endian(size_bytes, 4);
}

Bytes io_ports(std::uint16_t base, std::uint8_t count) {
  constexpr std::uint32_t kDecode16 = 1;
  constexpr std::uint32_t kAlignment = 1;
  return bytes({0x47, kDecode16}) + little_endian(base, 2) + little_endian(base, 2) + bytes({kAlignment, count});
}

Bytes interrupt(std::uint32_t gsi) {
  constexpr std::uint32_t kConsumer = 1;
  constexpr std::uint32_t kEdge = 2;
  return bytes({0x89, 6, 0, kConsumer | kEdge, 1}) + little_endian(gsi, 4);
}

}  // namespace wisp::arch::aml
