#include "virtio/mmds/token.h"
#include "tests/fakes/fake_clock.h"

#include <algorithm>
#include <catch2/catch.hpp>
#include <set>

namespace wisp::mmds {
namespace {

constexpr std::uint64_t kSecondNs = 1'000'000'000;

TokenAuthority make(const std::string& instance, const Clock& clock) {
  return TokenAuthority::create(instance, clock).value();
}

}  // namespace

TEST_CASE("a token is short, url-safe and accepted by who made it") {
  fakes::FakeClock clock;
  TokenAuthority tokens = make("vm-1", clock);
  const std::string token = tokens.issue(60);
  CHECK(token.size() <= 70);
  CHECK(std::ranges::all_of(token, [](char c) { return std::isalnum(c) != 0 || c == '-' || c == '_'; }));
  CHECK(tokens.accepts(token));
}

TEST_CASE("no two tokens are the same and all are good at once") {
  fakes::FakeClock clock;
  TokenAuthority tokens = make("vm-1", clock);
  std::set<std::string> made;
  for (int count = 0; count < 1000; ++count) {
    made.insert(tokens.issue(1));
  }
  CHECK(made.size() == 1000);
  CHECK(std::ranges::all_of(made, [&](const std::string& token) { return tokens.accepts(token); }));
}

TEST_CASE("a token ends exactly with its time") {
  fakes::FakeClock clock;
  TokenAuthority tokens = make("vm-1", clock);
  const std::uint32_t ttl_seconds = GENERATE(1U, 60U, 21600U);
  const std::string token = tokens.issue(ttl_seconds);
  clock.now += ttl_seconds * kSecondNs - 1;
  CHECK(tokens.accepts(token));
  clock.now += 1;
  CHECK_FALSE(tokens.accepts(token));
}

TEST_CASE("a token of another instance or another process is refused") {
  fakes::FakeClock clock;
  TokenAuthority first = make("vm-1", clock);
  TokenAuthority again = make("vm-1", clock);
  TokenAuthority other = make("vm-2", clock);
  const std::string token = first.issue(60);
  CHECK_FALSE(again.accepts(token));
  CHECK_FALSE(other.accepts(token));
}

TEST_CASE("a token with any bit of any character changed is refused") {
  fakes::FakeClock clock;
  TokenAuthority tokens = make("vm-1", clock);
  const std::string token = tokens.issue(60);
  for (std::size_t place = 0; place < token.size(); ++place) {
    for (unsigned bit = 0; bit < 8; ++bit) {
      std::string changed = token;
      changed[place] = static_cast<char>(static_cast<unsigned char>(changed[place]) ^ (1U << bit));
      CHECK_FALSE(tokens.accepts(changed));
    }
  }
}

TEST_CASE("what is not the length of a token is refused") {
  fakes::FakeClock clock;
  TokenAuthority tokens = make("vm-1", clock);
  const std::string token = tokens.issue(60);
  CHECK_FALSE(tokens.accepts(""));
  CHECK_FALSE(tokens.accepts(token.substr(1)));
  CHECK_FALSE(tokens.accepts(token + "A"));
  CHECK_FALSE(tokens.accepts(token + "="));
  CHECK_FALSE(tokens.accepts(std::string(64, '\0')));
  CHECK_FALSE(tokens.accepts(std::string(100'000, 'A')));
}

}  // namespace wisp::mmds
