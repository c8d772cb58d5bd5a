#include "tests/unit/arch/kernel_builder.h"
#include "vmm/arch/x86_64/kernel_image.h"

namespace wisp {
namespace {

using namespace test;
using arch::BootProtocol;
using arch::load_kernel;
using Catch::Matchers::Contains;

constexpr std::uint64_t kMemoryBytes = 32 * kTestMib;

std::string refusal(const BzImageBuilder& image, std::uint64_t memory_bytes = kMemoryBytes) {
  const GuestMemory memory = make_memory(memory_bytes);
  const Fd fd = make_file(image.bytes);
  const auto result = load_kernel(fd.ref(), memory);
  REQUIRE_FALSE(result.ok());
  CHECK_THAT(result.error().text(), Contains("kernel image"));
  return result.error().text();
}

TEST_CASE("A bzImage is loaded at code32_start and entered 0x200 behind it") {
  const BzImageBuilder image;
  const GuestMemory memory = make_memory(kMemoryBytes);
  const Fd fd = make_file(image.bytes);

  const auto kernel = load_kernel(fd.ref(), memory);

  REQUIRE(kernel.ok());
  CHECK(kernel.value().protocol == BootProtocol::Linux64);
  CHECK(kernel.value().entry == GuestAddress(0x100200));
  CHECK(kernel.value().end == 0x1000000 + 0x400000);
  CHECK(read_guest(memory, 0x100000, 8) == std::string("PAYLOAD\0", 8));
  CHECK(kernel.value().setup_header.size() == 0x202 + 0x6a - 0x1f1);
}

TEST_CASE("A bzImage with setup_sects 0 has four setup sectors") {
  BzImageBuilder image;
  image.set<std::uint8_t>(0x1f1, 0);
  image.bytes.resize(5 * 512 + 0x400);
  image.bytes.replace(5 * 512, 4, "HERE");
  const GuestMemory memory = make_memory(kMemoryBytes);
  const Fd fd = make_file(image.bytes);

  REQUIRE(load_kernel(fd.ref(), memory).ok());
  CHECK(read_guest(memory, 0x100000, 4) == "HERE");
}

TEST_CASE("A bzImage's setup header is taken over only as far as the zero page has room") {
  BzImageBuilder image;
  image.set<std::uint8_t>(0x201, 0xff);
  const GuestMemory memory = make_memory(kMemoryBytes);
  const Fd fd = make_file(image.bytes);

  const auto kernel = load_kernel(fd.ref(), memory);

  REQUIRE(kernel.ok());
  CHECK(kernel.value().setup_header.size() == arch::kSetupHeaderLimit - arch::kSetupHeaderOffset);
}

TEST_CASE("A bzImage that cannot be entered in 64-bit mode is refused") {
  BzImageBuilder image;
  SECTION("an old protocol") {
    image.set<std::uint16_t>(0x206, 0x020b);
    CHECK_THAT(refusal(image), Contains("2.11") && Contains("2.12"));
  }
  SECTION("a 32-bit kernel") {
    image.set<std::uint16_t>(0x236, 0);
    CHECK_THAT(refusal(image), Contains("64-bit entry point"));
  }
}

TEST_CASE("A bzImage with an impossible address is refused") {
  BzImageBuilder image;
  SECTION("below 1 MiB") {
    image.set<std::uint32_t>(0x214, 0xfffff);
    CHECK_THAT(refusal(image), Contains("below 1 MiB"));
  }
  SECTION("above 1 GiB") {
    image.set<std::uint32_t>(0x214, 0xfffffe00);
    CHECK_THAT(refusal(image), Contains("above 1 GiB"));
  }
  SECTION("outside memory") {
    image.set<std::uint32_t>(0x214, kMemoryBytes - 1);
    CHECK_THAT(refusal(image), Contains("guest memory"));
  }
}

TEST_CASE("A bzImage that has no room to unpack itself is refused with the size it needs") {
  BzImageBuilder image;
  SECTION("beyond memory") {
    image.set<std::uint32_t>(0x260, kMemoryBytes);
  }
  SECTION("nothing") {
    image.set<std::uint32_t>(0x260, 0);
  }
  SECTION("at an address that wraps") {
    image.set<std::uint64_t>(0x258, ~std::uint64_t{0} - 1);
  }
  CHECK_THAT(refusal(image), Contains("unpack") && Contains("mem_size_mib"));
}

TEST_CASE("A bzImage cut anywhere before the end of its 64-bit entry is refused") {
  const BzImageBuilder whole;
  for (std::size_t size = 0; size <= 1024 + 0x200; size += 8) {
    CAPTURE(size);
    BzImageBuilder cut;
    cut.bytes.resize(size);
    refusal(cut);
  }
}

TEST_CASE("A bzImage whose setup header ends too early is refused") {
  BzImageBuilder image;
  image.set<std::uint8_t>(0x201, 0x10);
  CHECK_THAT(refusal(image), Contains("setup header"));
}

}  // namespace
}  // namespace wisp
