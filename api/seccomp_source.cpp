#include "api/seccomp_source.h"

#include <nlohmann/json.hpp>
#include <string>

#include "api/fields.h"
#include "jailer/seccomp/assemble.h"
#include "jailer/seccomp/filters.h"

namespace wisp::api {
namespace {

using namespace seccomp;

constexpr std::uint32_t kArguments = 6;

constexpr EnumName<std::uint32_t> kActions[] = {
    {"allow", SECCOMP_RET_ALLOW}, {"kill_thread", SECCOMP_RET_KILL_THREAD},
    {"log", SECCOMP_RET_LOG},     {"kill_process", SECCOMP_RET_KILL_PROCESS},
    {"trap", SECCOMP_RET_TRAP},
};
constexpr EnumName<std::uint32_t> kActionsWithNumber[] = {{"errno", SECCOMP_RET_ERRNO}, {"trace", SECCOMP_RET_TRACE}};
constexpr EnumName<CompareWidth> kWidths[] = {{"dword", CompareWidth::Dword}, {"qword", CompareWidth::Qword}};
constexpr EnumName<CompareBy> kOperators[] = {
    {"eq", CompareBy::Equal},       {"ne", CompareBy::NotEqual}, {"lt", CompareBy::Less},
    {"le", CompareBy::LessOrEqual}, {"gt", CompareBy::Greater},  {"ge", CompareBy::GreaterOrEqual},
};

Error invalid(const std::string& text) {
  return Error(ErrorCode::InvalidArgument, text);
}

/// The member, or nullptr.
const Json* find(const Json& object, const char* name) {
  const auto found = object.find(name);
  return found == object.end() ? nullptr : &*found;
}

template <typename E, std::size_t N>
Result<E> named(const EnumName<E> (&names)[N], const Json& json, const std::string& what) {
  if (json.is_string()) {
    for (const EnumName<E>& each : names) {
      if (each.name == json.get_ref<const std::string&>()) {
        return each.value;
      }
    }
  }
  return invalid(what + " is none that is known");
}

Result<std::uint32_t> decode_action(const Json& filter, const char* name) {
  const Json* json = find(filter, name);
  if (json == nullptr) {
    return invalid(std::string("missing field `") + name + "`");
  }
  if (!json->is_object()) {
    return named(kActions, *json, std::string("the action `") + name + "`");
  }
  for (const auto& each : kActionsWithNumber) {
    std::uint16_t number = 0;
    if (json->size() == 1 && json->contains(each.name)) {
      FieldReader fields(*json);
      fields.required(each.name, number);
      (void)WISP_TRY(fields.finish(UnknownFields::Refused));
      return each.value | number;
    }
  }
  return invalid(std::string("the action `") + name + "` is none that is known");
}

Status decode_operator(const Json& json, Comparison& out) {
  const Json* by = find(json, "op");
  if (by == nullptr) {
    return invalid("missing field `op`");
  }
  if (!by->is_object()) {
    out.by = WISP_TRY(named(kOperators, *by, "the operator `op`"));
    return {};
  }
  out.by = CompareBy::MaskedEqual;
  FieldReader fields(*by);
  fields.required("masked_eq", out.mask);
  return fields.finish(UnknownFields::Refused);
}

Result<Comparison> decode_comparison(const Json& json) {
  Comparison out;
  FieldReader fields(json);
  fields.required("index", out.index);
  fields.required("type", kWidths, out.width);
  fields.required("val", out.value);
  (void)WISP_TRY(fields.finish(UnknownFields::Ignored));
  (void)WISP_TRY(decode_operator(json, out));
  if (out.index >= kArguments) {
    return invalid("the argument's index " + std::to_string(out.index) + " is above 5");
  }
  if (out.width == CompareWidth::Dword && out.value > 0xffffffffU) {
    return invalid("the value " + std::to_string(out.value) + " does not fit into a dword");
  }
  return out;
}

Result<CallRule> decode_rule(const Json& json) {
  std::string name;
  FieldReader fields(json);
  fields.required("syscall", name);
  (void)WISP_TRY(fields.finish(UnknownFields::Ignored));
  CallRule rule{call_number(name.c_str()), {}};
  if (rule.number < 0) {
    return invalid("the system call `" + name + "` is not known on x86_64");
  }
  const Json* arguments = find(json, "args");
  if (arguments == nullptr || arguments->is_null()) {
    return rule;
  }
  if (!arguments->is_array()) {
    return invalid("the field `args` is not an array");
  }
  for (const Json& each : *arguments) {
    rule.comparisons.push_back(WISP_TRY(decode_comparison(each)));
  }
  return rule;
}

Result<std::vector<sock_filter>> compile_category(const Json& json) {
  if (!json.is_object()) {
    return invalid("is not an object");
  }
  FilterSource source;
  source.rest = WISP_TRY(decode_action(json, "default_action"));
  source.match = WISP_TRY(decode_action(json, "filter_action"));
  if (source.rest == source.match) {
    return invalid("default_action and filter_action are the same");
  }
  const Json* rules = find(json, "filter");
  if (rules == nullptr || !rules->is_array()) {
    return invalid("the field `filter` is missing or not an array");
  }
  for (std::size_t index = 0; index < rules->size(); ++index) {
    auto rule = decode_rule((*rules)[index]);
    if (!rule.ok()) {
      return std::move(rule).error().with_prefix("rule " + std::to_string(index) + ": ");
    }
    source.rules.push_back(std::move(rule).value());
  }
  return assemble(source);
}

}  // namespace

Result<FilterMap> compile_seccomp_source(std::string_view text) {
  const Json json = WISP_TRY(parse_json(text));
  if (!json.is_object()) {
    return invalid("the filter file is not an object of thread categories");
  }
  FilterMap filters;
  for (const auto& [name, category] : json.items()) {
    auto program = compile_category(category);
    if (!program.ok()) {
      return std::move(program).error().with_prefix("thread category " + name + ": ");
    }
    filters[name] = std::move(program).value();
  }
  // The same checks as at the start of a monitor that is given the file.
  return decode_filters(encode_filters(filters));
}

}  // namespace wisp::api
