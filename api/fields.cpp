#include "api/fields.h"

#include <algorithm>
#include <nlohmann/json.hpp>
#include <utility>

namespace wisp::api {
namespace {

constexpr std::size_t kMaxQuotedBytes = 64;

std::string in_quotes(std::string_view text) {
  const bool is_cut = text.size() > kMaxQuotedBytes;
  return "\"" + std::string(text.substr(0, kMaxQuotedBytes)) + (is_cut ? "…\"" : "\"");
}

std::string describe(const Json& value) {
  switch (value.type()) {
    case Json::value_t::null: return "null";
    case Json::value_t::boolean: return value.get<bool>() ? "boolean `true`" : "boolean `false`";
    case Json::value_t::string: return "string " + in_quotes(value.get_ref<const std::string&>());
    case Json::value_t::number_integer:
    case Json::value_t::number_unsigned: return "integer `" + value.dump() + "`";
    case Json::value_t::number_float: return "floating point `" + value.dump() + "`";
    case Json::value_t::array: return "sequence";
    default: return "map";
  }
}

std::string unsigned_name(std::uint64_t largest) {
  switch (largest) {
    case std::numeric_limits<std::uint8_t>::max(): return "u8";
    case std::numeric_limits<std::uint16_t>::max(): return "u16";
    case std::numeric_limits<std::uint32_t>::max(): return "u32";
    default: return "u64";
  }
}

}  // namespace

std::string list_of_names(const std::vector<std::string_view>& names) {
  std::string list = names.size() > 2 ? "one of " : "";
  for (std::size_t index = 0; index < names.size(); ++index) {
    if (index > 0) {
      list += names.size() == 2 ? " or " : ", ";
    }
    list += "`" + std::string(names[index]) + "`";
  }
  return list;
}

Error unknown_variant(std::string_view given, const std::vector<std::string_view>& known) {
  return {ErrorCode::InvalidArgument,
          "unknown variant `" + std::string(given.substr(0, kMaxQuotedBytes)) + "`, expected " + list_of_names(known)};
}

FieldReader::FieldReader(const Json& object) : object_(&object) {
  if (!object.is_object()) {
    fail("invalid type: " + describe(object) + ", expected an object");
  }
}

const Json* FieldReader::member(std::string_view name) {
  known_.push_back(name);
  if (!object_->is_object()) {
    return nullptr;
  }
  const auto found = object_->find(name);
  return found == object_->end() ? nullptr : &*found;
}

const Json* FieldReader::non_null_member(std::string_view name) {
  const Json* value = member(name);
  return value != nullptr && !value->is_null() ? value : nullptr;
}

void FieldReader::fail(std::string text) {
  fail(Error(ErrorCode::InvalidArgument, std::move(text)));
}

void FieldReader::fail(Error error) {
  if (!error_) {
    error_ = std::move(error);
  }
}

void FieldReader::refuse_nul(std::string_view name, std::string_view text) {
  if (text.find('\0') != std::string_view::npos) {
    fail("field `" + std::string(name) + "`: invalid value: string with a NUL character, expected text without one");
  }
}

void FieldReader::check(const Status& status) {
  if (!status.ok()) {
    fail(status.error());
  }
}

void FieldReader::wrong_type(std::string_view name, const Json& value, std::string_view expected) {
  fail("field `" + std::string(name) + "`: invalid type: " + describe(value) + ", expected " + std::string(expected));
}

bool FieldReader::read_unsigned(std::string_view name, const Json& value, std::uint64_t largest, std::uint64_t& out) {
  const std::string type = unsigned_name(largest);
  if (!value.is_number_integer()) {
    wrong_type(name, value, type);
    return false;
  }
  // The parser makes an unsigned number of every integer that has no minus sign; -0 is none.
  if (!value.is_number_unsigned() || value.get<std::uint64_t>() > largest) {
    fail("field `" + std::string(name) + "`: invalid value: " + describe(value) + ", expected " + type);
    return false;
  }
  out = value.get<std::uint64_t>();
  return true;
}

void FieldReader::store(std::string_view name, const Json& value, bool& out) {
  if (!value.is_boolean()) {
    wrong_type(name, value, "a boolean");
    return;
  }
  out = value.get<bool>();
}

void FieldReader::store(std::string_view name, const Json& value, std::string& out) {
  if (!value.is_string()) {
    wrong_type(name, value, "a string");
    return;
  }
  out = value.get_ref<const std::string&>();
}

void FieldReader::store(std::string_view name, const Json& value, std::map<std::string, std::string>& out) {
  if (!value.is_object()) {
    wrong_type(name, value, "a map of strings");
    return;
  }
  for (const auto& [key, text] : value.items()) {
    store(name, text, out[key]);
  }
}

Status FieldReader::finish(UnknownFields policy) {
  if (!error_ && policy == UnknownFields::Refused) {
    for (const auto& [name, value] : object_->items()) {
      if (std::find(known_.begin(), known_.end(), name) == known_.end()) {
        fail("unknown field `" + name.substr(0, kMaxQuotedBytes) + "`, expected " + list_of_names(known_));
        break;
      }
    }
  }
  if (error_) {
    return *error_;
  }
  return {};
}

}  // namespace wisp::api
