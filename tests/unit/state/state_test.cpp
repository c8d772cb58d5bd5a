#include <array>
#include <catch2/catch.hpp>

#include "snapshot/state/state_reader.h"
#include "snapshot/state/state_writer.h"

namespace wisp {
namespace {

std::vector<std::byte> one_of_each() {
  StateWriter out;
  out.u8(0x12);
  out.u16(0x3456);
  out.u32(0x789abcde);
  out.u64(0x0123456789abcdef);
  out.boolean(true);
  out.text("eth0");
  out.raw(std::array{std::byte{7}, std::byte{8}});
  return std::move(out).take();
}

}  // namespace

TEST_CASE("what was written comes back in the same order") {
  const auto data = one_of_each();
  StateReader in("s", data);
  CHECK(in.u8() == 0x12);
  CHECK(in.u16() == 0x3456);
  CHECK(in.u32() == 0x789abcde);
  CHECK(in.u64() == 0x0123456789abcdef);
  CHECK(in.boolean());
  CHECK(in.text(16) == "eth0");
  std::array<std::byte, 2> tail{};
  in.raw(tail);
  CHECK(tail == std::array{std::byte{7}, std::byte{8}});
  CHECK(in.finish().ok());
}

TEST_CASE("integers are little-endian and of fixed width") {
  StateWriter out;
  out.u32(0x01020304);
  CHECK(std::vector(out.data().begin(), out.data().end()) ==
        std::vector{std::byte{4}, std::byte{3}, std::byte{2}, std::byte{1}});
}

TEST_CASE("every truncation of a section is refused and reads as zero") {
  const auto data = one_of_each();
  for (std::size_t length = 0; length < data.size(); ++length) {
    StateReader in("s", std::span(data).first(length));
    (void)in.u8();
    (void)in.u16();
    (void)in.u32();
    (void)in.u64();
    (void)in.boolean();
    (void)in.text(16);
    std::array<std::byte, 2> tail = {std::byte{1}, std::byte{1}};
    in.raw(tail);
    CHECK(tail == std::array<std::byte, 2>{});
    CHECK_FALSE(in.finish().ok());
  }
}

TEST_CASE("left-over bytes are refused by name") {
  const auto data = one_of_each();
  StateReader in("net0", data);
  (void)in.u8();
  CHECK(in.check(true, "").ok());
  CHECK(in.finish().error().text() == "section 'net0': bytes are left over");
}

TEST_CASE("a length above the limit is refused even when the bytes are there") {
  StateWriter out;
  out.text("abcdef");
  StateReader in("s", out.data());
  CHECK(in.text(5).empty());
  CHECK_FALSE(in.check(true, "").ok());
}

TEST_CASE("a length beyond the section is refused and nothing is read") {
  StateWriter out;
  out.u32(0xffffffff);
  StateReader in("s", out.data());
  CHECK(in.bytes(0xffffffff).empty());
  CHECK_FALSE(in.finish().ok());
}

TEST_CASE("a truth value other than 0 and 1 is refused") {
  StateWriter out;
  out.u8(2);
  StateReader in("s", out.data());
  CHECK_FALSE(in.boolean());
  CHECK_FALSE(in.finish().ok());
}

TEST_CASE("a broken rule is named") {
  StateReader in("mem", {});
  CHECK(in.check(false, "more plugged than there is").error().text() == "section 'mem': more plugged than there is");
}

}  // namespace wisp
