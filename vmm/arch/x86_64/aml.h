// AML, the byte code of the ACPI description tables: the dozen constructs that we need (ACPI 6.5 chapter 20).
//
// Each function returns the bytes of one construct; nesting is by argument:
//
//   aml::device("COM1", aml::name("_UID", aml::integer(0)) + ...)
//
// Resource descriptors (ACPI 6.5 section 6.4) go into resource_template().
#pragma once

#include <cstdint>
#include <initializer_list>
#include <string>
#include <string_view>

namespace wisp::arch::aml {

/// A std::string is a byte vector that can be added.
using Bytes = std::string;

/// `\_SB_` and what is in it.
Bytes system_bus(const Bytes& contents);
/// `segment`: four characters.
Bytes device(std::string_view segment, const Bytes& contents);
Bytes name(std::string_view segment, const Bytes& object);

Bytes integer(std::uint32_t value);
Bytes package(std::initializer_list<Bytes> elements);
Bytes string(std::string_view text);
/// "PNP0501" in its compressed form.
Bytes eisa_id(std::string_view id);

// What a method is made of (section 20.2.5).
/// A serialized method with `argument_count` arguments.
Bytes method(std::string_view segment, std::uint8_t argument_count, const Bytes& statements);
/// The first argument of the method.
Bytes first_argument();
Bytes equal(const Bytes& left, const Bytes& right);
Bytes if_true(const Bytes& condition, const Bytes& statements);
/// Tells the driver of the device `segment`, found from the method outwards.
Bytes notify(std::string_view segment, std::uint8_t value);

Bytes resource_template(const Bytes& descriptors);
Bytes memory32_fixed(std::uint32_t base, std::uint32_t size_bytes);
Bytes io_ports(std::uint16_t base, std::uint8_t count);
/// Edge-triggered, active high, not shared.
Bytes interrupt(std::uint32_t gsi);

}  // namespace wisp::arch::aml
