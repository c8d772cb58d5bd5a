#include "vmm/cli/console_keys.h"

#include <catch2/catch.hpp>
#include <string>

namespace wisp {
namespace {

using Action = KeyFilter::Action;

KeyFilter::Typed typed(KeyFilter& filter, const std::string& keys) {
  return filter.take(std::span(keys.data(), keys.size()));
}

}  // namespace

TEST_CASE("ordinary keys, Ctrl-C and Enter go to the guest") {
  KeyFilter filter;
  const auto result = typed(filter, "ls -l\r\x03\x1a");
  CHECK(result.for_guest == "ls -l\r\x03\x1a");
  CHECK(result.action == Action::None);
}

TEST_CASE("Ctrl-A x ends the machine, and what follows is nobody's") {
  KeyFilter filter;
  const auto result = typed(filter, "ab\x01xcd");
  CHECK(result.for_guest == "ab");
  CHECK(result.action == Action::End);
}

TEST_CASE("Ctrl-A and x in two reads are the same as in one") {
  KeyFilter filter;
  CHECK(typed(filter, "a\x01").for_guest == "a");
  const auto result = typed(filter, "x");
  CHECK(result.for_guest.empty());
  CHECK(result.action == Action::End);
}

TEST_CASE("Ctrl-A twice types it once, and x after that is a letter") {
  KeyFilter filter;
  const auto result = typed(filter, "\x01\x01x");
  CHECK(result.for_guest == "\x01x");
  CHECK(result.action == Action::None);
}

TEST_CASE("Ctrl-A before another key is the guest's with that key") {
  KeyFilter filter;
  CHECK(typed(filter,
              "\x01"
              "k")
            .for_guest == "\x01k");
}

TEST_CASE("Ctrl-A h asks for the keys and types nothing") {
  KeyFilter filter;
  const auto result = typed(filter,
                            "\x01"
                            "hls");
  CHECK(result.for_guest == "ls");
  CHECK(result.action == Action::Help);
}

TEST_CASE("a zero byte is a key like any other") {
  KeyFilter filter;
  const std::string keys("a\0b", 3);
  CHECK(typed(filter, keys).for_guest == keys);
}

}  // namespace wisp
