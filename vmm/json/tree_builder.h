// TreeBuilder: JSON text to a tree, strictly and within limits; the one parser of untrusted JSON.
//
// The library's own parser throws, recurses as deep as the text says and takes the last of two members with one name.
// Its event interface does neither: this class makes the tree from the events and ends the parse at the first that
// breaks a rule. "-0" keeps its sign (it becomes the floating point number -0.0), as the reference monitor's does.
//
//   TreeBuilder<Json> builder({.max_depth = 127, .duplicates = DuplicateKeys::Refused});
//   if (!Json::sax_parse(text, &builder)) { ... builder.problem() ... }
//   Json tree = builder.take();
#pragma once

#include <cstddef>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <utility>
#include <vector>

namespace wisp {

enum class DuplicateKeys { Refused, LastWins };

struct JsonRules {
  std::size_t max_depth;  ///< how many objects and arrays may be open at once
  DuplicateKeys duplicates;
};

/// What ended a parse: a broken rule, or text that is not JSON.
struct JsonProblem {
  std::string rule;  ///< empty: a syntax error
  std::size_t syntax_position_bytes = 0;
};

template <typename Json>
class TreeBuilder final : public nlohmann::json_sax<Json> {
  using Sax = nlohmann::json_sax<Json>;

 public:
  explicit TreeBuilder(JsonRules rules) : rules_(rules) {}

  bool null() override { return add(Json(nullptr)); }
  bool boolean(bool value) override { return add(Json(value)); }
  // Only "-0" comes here as a zero: what has no sign is reported as unsigned.
  bool number_integer(typename Sax::number_integer_t value) override {
    return value == 0 ? add(Json(-0.0)) : add(Json(value));
  }
  bool number_unsigned(typename Sax::number_unsigned_t value) override { return add(Json(value)); }
  bool number_float(typename Sax::number_float_t value, const typename Sax::string_t& /*digits*/) override {
    return add(Json(value));
  }
  bool string(typename Sax::string_t& value) override { return add(Json(std::move(value))); }
  bool binary(typename Sax::binary_t& /*value*/) override { return false; }  // not part of JSON text
  bool start_object(std::size_t /*elements*/) override { return open(Json::object()); }
  bool end_object() override { return close(); }
  bool start_array(std::size_t /*elements*/) override { return open(Json::array()); }
  bool end_array() override { return close(); }
  bool key(typename Sax::string_t& name) override {
    if (rules_.duplicates == DuplicateKeys::Refused && open_.back()->contains(name)) {
      problem_.rule = "duplicate field `" + name + "`";
      return false;
    }
    key_ = std::move(name);
    return true;
  }
  bool parse_error(std::size_t position, const std::string& /*token*/,
                   const nlohmann::detail::exception& /*e*/) override {
    problem_.syntax_position_bytes = position;
    return false;
  }

  Json take() { return std::move(root_); }
  const JsonProblem& problem() const { return problem_; }

 private:
  Json* place(Json value) {
    if (open_.empty()) {
      root_ = std::move(value);
      return &root_;
    }
    Json& parent = *open_.back();
    if (parent.is_array()) {
      parent.push_back(std::move(value));
      return &parent.back();
    }
    Json& slot = parent[key_];
    slot = std::move(value);
    return &slot;
  }
  bool add(Json value) {
    place(std::move(value));
    return true;
  }
  bool open(Json container) {
    if (open_.size() == rules_.max_depth) {
      problem_.rule = "recursion limit exceeded: more than " + std::to_string(rules_.max_depth) + " nested values";
      return false;
    }
    // The pointers stay good: a parent's container does not change while a child of it is open.
    open_.push_back(place(std::move(container)));
    return true;
  }
  bool close() {
    open_.pop_back();
    return true;
  }

  JsonRules rules_;
  Json root_;
  std::vector<Json*> open_;
  std::string key_;
  JsonProblem problem_;
};

}  // namespace wisp
