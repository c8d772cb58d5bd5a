#include "jailer/seccomp/filter_file.h"

#include <linux/seccomp.h>
#include <unistd.h>

#include <array>
#include <catch2/catch.hpp>
#include <cstdlib>
#include <string>

namespace wisp::seccomp {
namespace {

using Bytes = std::vector<std::uint8_t>;
using Program = std::vector<sock_filter>;

const sock_filter kAllow{BPF_RET | BPF_K, 0, 0, SECCOMP_RET_ALLOW};
const sock_filter kKillThread{BPF_RET | BPF_K, 0, 0, SECCOMP_RET_KILL_THREAD};

Bytes from_hex(const std::string& text) {
  Bytes bytes;
  for (std::size_t index = 0; index < text.size(); index += 2) {
    bytes.push_back(static_cast<std::uint8_t>(std::stoul(text.substr(index, 2), nullptr, 16)));
  }
  return bytes;
}

bool same(const Program& left, const Program& right) {
  return std::equal(left.begin(), left.end(), right.begin(), right.end(), [](const auto& a, const auto& b) {
    return a.code == b.code && a.jt == b.jt && a.jf == b.jf && a.k == b.k;
  });
}

std::string refusal(const Bytes& bytes) {
  const auto filters = decode_filters(bytes);
  return filters.ok() ? "" : filters.error().text();
}

FilterMap three(const Program& program) {
  return {{"api", program}, {"vcpu", program}, {"vmm", program}};
}

}  // namespace

// The bytes of these were made by the reference's own encoder.
TEST_CASE("a file of the reference's compiler holds the programs that it was made of") {
  const auto filters = decode_filters(from_hex("03048761706976637075766d6d0a0600060000000000ff7f060000000000ff7f"));
  REQUIRE(filters.ok());
  CHECK(filters.value().at("api").empty());
  CHECK(same(filters.value().at("vcpu"), {kAllow}));
  CHECK(same(filters.value().at("vmm"), {kAllow}));
}

TEST_CASE("instructions that the reference packed several to a byte are unpacked") {
  const auto filters = decode_filters(from_hex("03048761706976637075766d6d0211070609060000"));
  REQUIRE(filters.ok());
  CHECK(same(filters.value().at("vmm"), Program(7, kKillThread)));
  CHECK(same(filters.value().at("api"), {kKillThread}));
  CHECK(same(filters.value().at("vcpu"), {kKillThread}));
}

TEST_CASE("instructions that the reference stored as differences get the smallest value back") {
  const auto filters = decode_filters(from_hex("03048761706976637075766d6d04bb05060000000000ff7f0a00"));
  REQUIRE(filters.ok());
  CHECK(same(filters.value().at("vmm"), Program(5, kAllow)));
}

TEST_CASE("names of thread categories count in any case of letters") {
  const auto filters = decode_filters(from_hex("03048741506976435055764d6d0a00"));
  REQUIRE(filters.ok());
  CHECK(filters.value().size() == 3);
  CHECK(filters.value().at("vcpu").empty());
}

TEST_CASE("what was written is read again, the longest program included") {
  FilterMap filters = three({kAllow});
  filters["vmm"] = Program(kMaxFilterInstructions, kAllow);
  filters["setup"] = Program(255, kAllow);
  filters["guard"] = Program(254, kKillThread);
  const auto again = decode_filters(encode_filters(filters));
  REQUIRE(again.ok());
  REQUIRE(again.value().size() == filters.size());
  for (const auto& [name, program] : filters) {
    CHECK(same(again.value().at(name), program));
  }
}

TEST_CASE("a program longer than the kernel takes is refused") {
  FilterMap filters = three({kAllow});
  filters["vmm"] = Program(kMaxFilterInstructions + 1, kAllow);
  CHECK(refusal(encode_filters(filters)) == "a length of 4097 is above the limit of 4096");
}

TEST_CASE("each thread category of the reference must be there, and no foreign one") {
  FilterMap filters = three({kAllow});
  filters.erase("vcpu");
  CHECK(refusal(encode_filters(filters)) == "Missing thread category: vcpu");
  filters = three({kAllow});
  filters["gpu\n"] = {};
  CHECK(refusal(encode_filters(filters)) == "Invalid thread categories: gpu?");
}

TEST_CASE("the same thread category in two cases of letters is refused") {
  FilterMap filters = three({kAllow});
  filters["VMM"] = {kAllow};
  CHECK(refusal(encode_filters(filters)) == "Invalid thread categories: vmm is there twice");
}

TEST_CASE("a file cut anywhere and a file with one byte more are refused") {
  const Bytes whole = encode_filters(three(Program(300, kAllow)));
  REQUIRE(refusal(whole).empty());
  for (std::size_t length = 0; length < whole.size(); ++length) {
    REQUIRE_FALSE(refusal(Bytes(whole.begin(), whole.begin() + static_cast<std::ptrdiff_t>(length))).empty());
  }
  Bytes longer = whole;
  longer.push_back(0);
  CHECK(refusal(longer) == "bytes follow after the last instruction");
}

TEST_CASE("unknown packings are refused") {
  Bytes bytes = from_hex("03048761706976637075766d6d0a00");
  bytes[1] = 11;
  CHECK(refusal(bytes) == "the encoding is broken: an unknown packing of bytes");
  bytes = encode_filters(three({kAllow}));
  bytes[bytes.size() - 3 * sizeof(sock_filter) - 1] = 7;
  CHECK(refusal(bytes) == "the encoding is broken: an unknown packing of integers");
}

TEST_CASE("a filter file of the largest size is looked at and one byte more is not") {
  CHECK(refusal(Bytes(kMaxFilterFileBytes, 0)).find("exceeds") == std::string::npos);
  CHECK(refusal(Bytes(kMaxFilterFileBytes + 1, 0)) == "Input size exceeds limit of 100000 bytes");
}

TEST_CASE("programs that the kernel would refuse are refused before anything is installed") {
  const std::array<Program, 9> bad = {{
      {{BPF_LD | BPF_W | BPF_ABS, 0, 0, sizeof(seccomp_data)}, kAllow},  // beyond the call's data
      {{BPF_LD | BPF_W | BPF_ABS, 0, 0, 2}, kAllow},                     // not aligned
      {{BPF_LD | BPF_H | BPF_ABS, 0, 0, 0}, kAllow},                     // packets only
      {{BPF_JMP | BPF_JA, 0, 0, 1}, kAllow},                             // beyond the end
      {{BPF_JMP | BPF_JEQ | BPF_K, 0, 1, 0}, kAllow},                    // beyond the end
      {{BPF_JMP | BPF_JA, 0, 0, 0xffffffff}, kAllow},                    // backwards
      {{BPF_ALU | BPF_DIV | BPF_K, 0, 0, 0}, kAllow},                    // division by zero
      {{BPF_ALU | BPF_LSH | BPF_K, 0, 0, 32}, kAllow},                   // shift by the whole word
      {{BPF_ST, 0, 0, BPF_MEMWORDS}, kAllow},                            // beyond the scratch words
  }};
  for (const Program& program : bad) {
    CHECK(check_program(program).error().text() == "instruction 0 is none that the kernel takes");
  }
  CHECK(check_program(Program{{BPF_LD | BPF_W | BPF_ABS, 0, 0, 0}}).error().text() == "it does not end with a verdict");
  CHECK(check_program({}).ok());
}

TEST_CASE("a filter file that is a FIFO or missing is refused without waiting") {
  CHECK_FALSE(read_filter_file("/nonexistent/filters").ok());
  CHECK_FALSE(read_filter_file("/dev/null").ok());
}

}  // namespace wisp::seccomp
