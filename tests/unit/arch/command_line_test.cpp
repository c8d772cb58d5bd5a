#include "vmm/arch/x86_64/command_line.h"

#include "tests/unit/arch/kernel_builder.h"
#include "vmm/config/boot.h"

namespace wisp::arch {
namespace {

using Catch::Matchers::Contains;
using test::make_memory;
using test::read_guest;

std::string with_addition(const std::string& boot_args, std::string_view words = "pci=off") {
  auto line = CommandLine::create(boot_args);
  REQUIRE(line.ok());
  REQUIRE(line.value().append(words).ok());
  return line.value().text();
}

TEST_CASE("Additions go behind the operator's words") {
  CHECK(with_addition("console=ttyS0") == "console=ttyS0 pci=off");
  CHECK(with_addition("") == "pci=off");
  CHECK(with_addition("a  ") == "a   pci=off");
}

TEST_CASE("Additions go before a lone double dash, behind which init's words begin") {
  CHECK(with_addition("quiet -- /bin/sh") == "quiet pci=off -- /bin/sh");
  CHECK(with_addition("-- single") == "pci=off -- single");
  CHECK(with_addition("quiet --") == "quiet pci=off --");
  CHECK(with_addition("a\t--\tb -- c") == "a\tpci=off --\tb -- c");
}

TEST_CASE("Dashes inside words and quotes do not end the kernel's part") {
  CHECK(with_addition("a--b --c d--") == "a--b --c d-- pci=off");
  CHECK(with_addition("x=\"a -- b\" c") == "x=\"a -- b\" c pci=off");
}

TEST_CASE("Odd characters are the operator's business, NUL is not") {
  const std::string odd = "a\tb\nc\x7f\xc3\xa9";
  CHECK(with_addition(odd) == odd + " pci=off");

  const auto refused = CommandLine::create(std::string("a\0b", 3));
  REQUIRE_FALSE(refused.ok());
  CHECK_THAT(refused.error().text(), Contains("NUL") && Contains("boot_args"));

  CommandLine line = CommandLine::create("a").value();
  CHECK_FALSE(line.append(std::string_view("root=\0", 6)).ok());
  CHECK(line.text() == "a");
}

TEST_CASE("2047 characters fit, 2048 do not") {
  CHECK(CommandLine::create(std::string(2047, 'a')).ok());
  const auto refused = CommandLine::create(std::string(2048, 'a'));
  REQUIRE_FALSE(refused.ok());
  CHECK_THAT(refused.error().text(), Contains("2049") && Contains("2048"));
}

TEST_CASE("An addition that does not fit is refused by name and changes nothing") {
  CommandLine fits = CommandLine::create(std::string(2039, 'a')).value();
  CHECK(fits.append("pci=off").ok());
  CHECK(fits.text().size() == 2047);

  CommandLine full = CommandLine::create(std::string(2040, 'a')).value();
  const Status refused = full.append("pci=off");
  REQUIRE_FALSE(refused.ok());
  CHECK_THAT(refused.error().text(), Contains("pci=off"));
  CHECK(full.text() == std::string(2040, 'a'));
}

TEST_CASE("The line arrives in guest memory with its terminator") {
  const GuestMemory memory = make_memory(test::kTestMib);
  REQUIRE(CommandLine::create("console=ttyS0").value().write(memory).ok());
  CHECK(read_guest(memory, 0x20000, 14) == std::string("console=ttyS0\0", 14));
}

TEST_CASE("A memory too small for the line is an error, not a crash") {
  const GuestMemory memory = make_memory(0x20000);
  const Status refused = CommandLine::create("a").value().write(memory);
  REQUIRE_FALSE(refused.ok());
  CHECK_THAT(refused.error().text(), Contains("command line") && Contains("mem_size_mib"));
}

TEST_CASE("The arguments for disks and devices are spelled as the kernel reads them") {
  CHECK(root_argument({DiskAccess::ReadWrite, {}}) == "root=/dev/vda rw");
  CHECK(root_argument({DiskAccess::ReadOnly, {}}) == "root=/dev/vda ro");
  CHECK(root_argument({DiskAccess::ReadOnly, "0eaa91a0-01"}) == "root=PARTUUID=0eaa91a0-01 ro");
  CHECK(mmio_device_argument(mmio_slot(0)) == "virtio_mmio.device=4K@0xc0001000:5");
  CHECK(mmio_device_argument(mmio_slot(16)) == "virtio_mmio.device=4K@0xc0011000:21");
}

}  // namespace
}  // namespace wisp::arch
