// Reads the members of one JSON object into plain data; the first mistake wins and names the field.
//
//   FieldReader fields(json);
//   fields.required("vcpu_count", config.vcpu_count);
//   fields.defaulted("smt", config.smt);
//   WISP_TRY(fields.finish(UnknownFields::Refused));
//
// required:  must be there, null is a mistake.      defaulted: may be absent, null is a mistake.
// optional:  may be absent or null.
// Integers must be JSON integers that fit the type (1.0, -0 and "1" are not). An array in place of an object is
// refused.
#pragma once

#include <concepts>
#include <cstdint>
#include <limits>
#include <map>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "api/json_value.h"
#include "vmm/base/result.h"

namespace wisp::api {

enum class UnknownFields { Refused, Ignored };

/// One spelling of an enumeration's value.
template <typename E>
struct EnumName {
  std::string_view name;
  E value;
};

template <typename E, std::size_t N>
std::string_view name_of(const EnumName<E> (&names)[N], E value) {
  for (const EnumName<E>& entry : names) {
    if (entry.value == value) {
      return entry.name;
    }
  }
  return {};
}

Error unknown_variant(std::string_view given, const std::vector<std::string_view>& known);
/// `A`; `A` or `B`; one of `A`, `B`, `C`
std::string list_of_names(const std::vector<std::string_view>& names);

class FieldReader {
 public:
  explicit FieldReader(const Json& object);

  template <typename T>
  void required(std::string_view name, T& out) {
    if (const Json* value = member(name); value != nullptr) {
      store(name, *value, out);
    } else {
      fail("missing field `" + std::string(name) + "`");
    }
  }
  template <typename T>
  void defaulted(std::string_view name, T& out) {
    if (const Json* value = member(name); value != nullptr) {
      store(name, *value, out);
    }
  }
  template <typename T>
  void optional(std::string_view name, std::optional<T>& out) {
    if (const Json* value = non_null_member(name); value != nullptr) {
      store(name, *value, out.emplace());
    }
  }
  template <typename T>
  void optional(std::string_view name, T& out) {
    if (const Json* value = non_null_member(name); value != nullptr) {
      store(name, *value, out);
    }
  }
  template <typename E, std::size_t N>
  void defaulted(std::string_view name, const EnumName<E> (&names)[N], E& out) {
    if (const Json* value = member(name); value != nullptr) {
      store_enum(name, *value, names, out);
    }
  }
  template <typename E, std::size_t N>
  void required(std::string_view name, const EnumName<E> (&names)[N], E& out) {
    if (const Json* value = member(name); value != nullptr) {
      store_enum(name, *value, names, out);
    } else {
      fail("missing field `" + std::string(name) + "`");
    }
  }
  template <typename E, std::size_t N>
  void optional(std::string_view name, const EnumName<E> (&names)[N], std::optional<E>& out) {
    if (const Json* value = non_null_member(name); value != nullptr) {
      store_enum(name, *value, names, out.emplace());
    }
  }
  void refuse_nul(std::string_view name, std::string_view text);
  void check(const Status& status);

  /// The member, or nullptr; makes the name known. For what has a codec of its own.
  const Json* member(std::string_view name);
  const Json* non_null_member(std::string_view name);
  void fail(std::string text);
  void fail(Error error);
  /// Refuses unknown members; answers the first mistake.
  Status finish(UnknownFields policy);

 private:
  template <std::unsigned_integral T>
  requires(!std::same_as<T, bool>) void store(std::string_view name, const Json& value, T& out) {
    std::uint64_t wide = 0;
    if (read_unsigned(name, value, std::numeric_limits<T>::max(), wide)) {
      out = static_cast<T>(wide);
    }
  }
  void store(std::string_view name, const Json& value, bool& out);
  void store(std::string_view name, const Json& value, std::string& out);
  void store(std::string_view name, const Json& value, std::map<std::string, std::string>& out);
  bool read_unsigned(std::string_view name, const Json& value, std::uint64_t largest, std::uint64_t& out);

  template <typename E, std::size_t N>
  void store_enum(std::string_view name, const Json& value, const EnumName<E> (&names)[N], E& out) {
    std::string text;
    store(name, value, text);
    if (error_) {
      return;
    }
    std::vector<std::string_view> known;
    for (const EnumName<E>& entry : names) {
      if (entry.name == text) {
        out = entry.value;
        return;
      }
      known.push_back(entry.name);
    }
    fail(unknown_variant(text, known));
  }
  void wrong_type(std::string_view name, const Json& value, std::string_view expected);

  const Json* object_;
  std::vector<std::string_view> known_;
  std::optional<Error> error_;
};

}  // namespace wisp::api
