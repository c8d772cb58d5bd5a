#include "api/codec_cpu.h"

#include <charconv>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <string_view>

#include "api/fields.h"

namespace wisp::api {
namespace {

constexpr std::size_t kMaxQuotedBytes = 80;

constexpr EnumName<CpuidRegister> kRegisters[] = {
    {"eax", CpuidRegister::Eax},
    {"ebx", CpuidRegister::Ebx},
    {"ecx", CpuidRegister::Ecx},
    {"edx", CpuidRegister::Edx},
};

std::string quoted(std::string_view text) {
  return "\"" + std::string(text.substr(0, kMaxQuotedBytes)) + (text.size() > kMaxQuotedBytes ? "…\"" : "\"");
}

Error invalid(std::string_view what, std::string_view text, std::string_view expected) {
  return Error(ErrorCode::InvalidArgument,
               std::string(what) + ": invalid value: string " + quoted(text) + ", expected " + std::string(expected));
}

/// All of `digits` is one number of 32 bits.
std::optional<std::uint32_t> parse_digits(std::string_view digits, int base) {
  std::uint32_t value = 0;
  const auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), value, base);
  if (error != std::errc() || end != digits.data() + digits.size()) {
    return std::nullopt;
  }
  return value;
}

void require_number(FieldReader& fields, std::string_view name, std::uint32_t& out) {
  std::string text;
  fields.required(name, text);
  const std::string_view view = text;
  std::optional<std::uint32_t> value;
  if (view.starts_with("0x")) {
    value = parse_digits(view.substr(2), 16);
  } else if (view.starts_with("0b")) {
    value = parse_digits(view.substr(2), 2);
  }
  if (!value) {
    fields.fail(invalid("field `" + std::string(name) + "`", text, "a 32-bit number that begins with 0x or 0b"));
    return;
  }
  out = *value;
}

void require_bitmap(FieldReader& fields, unsigned width, BitModifier& out) {
  std::string text;
  fields.required("bitmap", text);
  const auto bits = parse_bitmap(text, width);
  if (!bits) {
    fields.fail(invalid("field `bitmap`", text, "at most " + std::to_string(width) + " characters 0, 1 or x"));
    return;
  }
  out = *bits;
}

/// The elements of an array, or the error of the first bad one, told apart by its place.
template <typename T>
Status read_list(const Json& json, std::string_view name, std::size_t limit, Result<T> (*decode)(const Json&),
                 std::vector<T>& out) {
  const std::string field = "field `" + std::string(name) + "`";
  if (!json.is_array()) {
    return Error(ErrorCode::InvalidArgument, field + ": invalid type, expected an array");
  }
  if (json.size() > limit) {
    return Error(ErrorCode::LimitExceeded, field + ": " + std::to_string(json.size()) + " elements, at most " +
                                               std::to_string(limit) + " are taken");
  }
  for (const Json& element : json) {
    auto value = decode(element);
    if (!value.ok()) {
      return std::move(value).error().with_prefix(field + " [" + std::to_string(out.size()) + "]: ");
    }
    out.push_back(std::move(value).value());
  }
  return {};
}

Result<KvmCapabilityChange> decode_capability(const Json& json) {
  if (!json.is_string()) {
    return Error(ErrorCode::InvalidArgument, "invalid type, expected a string with a decimal number");
  }
  const std::string& text = json.get_ref<const std::string&>();
  const bool removes = text.starts_with('!');
  const auto number = parse_digits(std::string_view(text).substr(removes ? 1 : 0), 10);
  if (!number) {
    return invalid("KVM capability", text, "a decimal number of 32 bits, with `!` before it to remove it");
  }
  return KvmCapabilityChange{removes ? CapabilityChange::Remove : CapabilityChange::Add, *number};
}

Result<CpuidRegisterModifier> decode_register(const Json& json) {
  CpuidRegisterModifier modifier;
  FieldReader fields(json);
  fields.required("register", kRegisters, modifier.reg);
  require_bitmap(fields, kCpuidRegisterBits, modifier.bits);
  (void)WISP_TRY(fields.finish(UnknownFields::Ignored));
  return modifier;
}

Result<CpuidLeafModifier> decode_leaf(const Json& json) {
  CpuidLeafModifier modifier;
  FieldReader fields(json);
  require_number(fields, "leaf", modifier.leaf);
  require_number(fields, "subleaf", modifier.subleaf);
  fields.required("flags", modifier.flags);
  if (const Json* registers = fields.member("modifiers"); registers != nullptr) {
    fields.check(read_list(*registers, "modifiers", kMaxRegisterModifiersPerLeaf, decode_register, modifier.registers));
  } else {
    fields.fail("missing field `modifiers`");
  }
  (void)WISP_TRY(fields.finish(UnknownFields::Ignored));
  return modifier;
}

Result<MsrModifier> decode_msr(const Json& json) {
  MsrModifier modifier;
  FieldReader fields(json);
  require_number(fields, "addr", modifier.address);
  require_bitmap(fields, kMsrBits, modifier.bits);
  (void)WISP_TRY(fields.finish(UnknownFields::Ignored));
  return modifier;
}

template <typename T>
void read_section(FieldReader& fields, std::string_view name, std::size_t limit, Result<T> (*decode)(const Json&),
                  std::vector<T>& out) {
  if (const Json* section = fields.member(name); section != nullptr) {
    fields.check(read_list(*section, name, limit, decode, out));
  }
}

}  // namespace

Result<CustomCpuTemplate> decode_cpu_config(const Json& json) {
  CustomCpuTemplate out;
  FieldReader fields(json);
  read_section(fields, "kvm_capabilities", kMaxCapabilityChanges, decode_capability, out.capabilities);
  read_section(fields, "cpuid_modifiers", kMaxCpuidLeafModifiers, decode_leaf, out.cpuid);
  read_section(fields, "msr_modifiers", kMaxMsrModifiers, decode_msr, out.msrs);
  (void)WISP_TRY(fields.finish(UnknownFields::Refused));
  return out;
}

}  // namespace wisp::api
