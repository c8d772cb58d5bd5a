#include "api/seccomp_source.h"

#include <catch2/catch.hpp>
#include <string>

namespace wisp::api {
namespace {

const std::string kEmpty = R"({"default_action": "trap", "filter_action": "allow", "filter": []})";

std::string with_vmm(const std::string& vmm) {
  return R"({"api": )" + kEmpty + R"(, "vcpu": )" + kEmpty + R"(, "vmm": )" + vmm + "}";
}
std::string with_rule(const std::string& rule) {
  return with_vmm(R"({"default_action": "trap", "filter_action": "allow", "filter": [)" + rule + "]}");
}
std::string refusal(const std::string& json) {
  const auto filters = compile_seccomp_source(json);
  return filters.ok() ? "" : filters.error().text();
}

}  // namespace

TEST_CASE("a filter source with every action, operator and comment is compiled") {
  CHECK(refusal(with_vmm(kEmpty)).empty());
  for (const char* action :
       {R"("kill_thread")", R"("kill_process")", R"("log")", R"({"errno": 1})", R"({"trace": 65535})"}) {
    CHECK(refusal(
              with_vmm(R"({"default_action": )" + std::string(action) + R"(, "filter_action": "allow", "filter": []})"))
              .empty());
  }
  for (const char* by : {R"("eq")", R"("ne")", R"("lt")", R"("le")", R"("gt")", R"("ge")", R"({"masked_eq": 15})"}) {
    CHECK(refusal(with_rule(R"({"syscall": "ioctl", "comment": "c", "args": [{"index": 1, "type": "dword", "op": )" +
                            std::string(by) + R"(, "val": 5, "comment": "c"}]})"))
              .empty());
  }
}

TEST_CASE("a mistake in a filter source is named with its category and rule") {
  CHECK(refusal(with_rule(R"({"syscall": "read"}, {"syscall": "opening"})")) ==
        "thread category vmm: rule 1: the system call `opening` is not known on x86_64");
  CHECK(refusal(with_rule(R"({"syscall": "read", "args": [{"index": 6, "type": "qword", "op": "eq", "val": 0}]})")) ==
        "thread category vmm: rule 0: the argument's index 6 is above 5");
  CHECK(refusal(with_rule(
            R"({"syscall": "read", "args": [{"index": 0, "type": "dword", "op": "eq", "val": 4294967296}]})")) ==
        "thread category vmm: rule 0: the value 4294967296 does not fit into a dword");
  CHECK(refusal(with_vmm(R"({"default_action": "allow", "filter_action": "allow", "filter": []})")) ==
        "thread category vmm: default_action and filter_action are the same");
  CHECK(refusal(with_vmm(R"({"default_action": {"errno": 65536}, "filter_action": "allow", "filter": []})")) != "");
}

TEST_CASE("malformed filter sources are refused") {
  for (const char* rule : {"5", "[]", "{}", R"({"syscall": 1})", R"({"syscall": "read", "args": {}})",
                           R"({"syscall": "read", "args": [1]})", R"({"syscall": "read", "args": [{}]})",
                           R"({"syscall": "read", "args": [{"index": 0, "type": "word", "op": "eq", "val": 1}]})",
                           R"({"syscall": "read", "args": [{"index": 0, "type": "dword", "op": "is", "val": 1}]})",
                           R"({"syscall": "read", "args": [{"index": 0, "type": "dword", "op": {"x": 1}, "val": 1}]})",
                           R"({"syscall": "read", "args": [{"index": 0, "type": "dword", "val": 1}]})"}) {
    INFO(rule);
    CHECK_FALSE(refusal(with_rule(rule)).empty());
  }
  for (const char* json : {"", "[]", "{}", "5", R"({"vmm": 5})", R"({"vmm": {}})"}) {
    INFO(json);
    CHECK_FALSE(refusal(json).empty());
  }
}

TEST_CASE("a filter source without one of the thread categories is refused") {
  CHECK(refusal(R"({"vmm": )" + kEmpty + R"(, "api": )" + kEmpty + "}") == "Missing thread category: vcpu");
}

}  // namespace wisp::api
