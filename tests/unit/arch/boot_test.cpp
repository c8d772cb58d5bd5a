#include "vmm/arch/x86_64/boot.h"

#include "tests/unit/arch/kernel_builder.h"
#include "vmm/arch/x86_64/initrd.h"
#include "vmm/arch/x86_64/memory_map.h"

namespace wisp::arch {
namespace {

using namespace test;
using Catch::Matchers::Contains;

constexpr std::uint64_t kMemoryBytes = 32 * kTestMib;

std::string pvh_kernel() {
  ElfBuilder elf = good_elf();
  elf.notes(pvh_note(16 * kTestMib));
  return elf.bytes();
}

TEST_CASE("A PVH kernel finds its command line, memory map, initrd and ACPI root in the start info") {
  const GuestMemory memory = make_memory(kMemoryBytes);
  const Fd kernel = make_file(pvh_kernel());
  const Fd initrd = make_file(std::string(5000, 'i'));
  const std::vector<BootDevice> devices = {{mmio_slot(0), RootDisk{}}, {mmio_slot(1), {}}};

  const auto boot = prepare_boot(memory, {kernel.ref(), initrd.ref(), "console=ttyS0", 2, devices});

  REQUIRE(boot.ok());
  CHECK(boot.value().protocol == BootProtocol::Pvh);
  CHECK(boot.value().entry == GuestAddress(16 * kTestMib));
  const std::string line =
      "console=ttyS0 pci=off root=/dev/vda rw virtio_mmio.device=4K@0xc0001000:5 virtio_mmio.device=4K@0xc0002000:6";
  CHECK(boot.value().command_line == line);
  CHECK(read_guest(memory, 0x20000, line.size() + 1) == line + '\0');
  CHECK(read_guest_value<std::uint32_t>(memory, 0x6000) == 0x336ec578);
  CHECK(read_guest_value<std::uint32_t>(memory, 0x6004) == 1);
  CHECK(read_guest_value<std::uint32_t>(memory, 0x600c) == 1);
  CHECK(read_guest_value<std::uint64_t>(memory, 0x6010) == 0x6040);
  CHECK(read_guest_value<std::uint64_t>(memory, 0x6018) == 0x20000);
  CHECK(read_guest_value<std::uint64_t>(memory, 0x6020) == 0xe0000);
  CHECK(read_guest_value<std::uint64_t>(memory, 0x6028) == 0x7000);
  CHECK(read_guest_value<std::uint32_t>(memory, 0x6030) == 4);
  const std::uint64_t initrd_at = kMemoryBytes - 8192;
  CHECK(read_guest_value<std::uint64_t>(memory, 0x6040) == initrd_at);
  CHECK(read_guest_value<std::uint64_t>(memory, 0x6048) == 5000);
  CHECK(read_guest(memory, initrd_at, 5001) == std::string(5000, 'i') + '\0');
  CHECK(read_guest_value<std::uint64_t>(memory, 0x7000 + 3 * 24) == kTestMib);
  CHECK(read_guest_value<std::uint64_t>(memory, 0x7000 + 3 * 24 + 8) == kMemoryBytes - kTestMib);
  CHECK(read_guest_value<std::uint32_t>(memory, 0x7000 + 3 * 24 + 16) == 1);
  CHECK(read_guest(memory, 0xe0000, 8) == "RSD PTR ");
  CHECK(read_guest(memory, 0x9fc00, 4) == "_MP_");
  CHECK(read_guest_value<std::uint64_t>(memory, 0x9000) == 0);  // no page tables where paging is off
}

TEST_CASE("Without an initrd the PVH start info lists no module") {
  const GuestMemory memory = make_memory(kMemoryBytes);
  const Fd kernel = make_file(pvh_kernel());
  REQUIRE(prepare_boot(memory, {kernel.ref(), {}, "", 1, {}}).ok());
  CHECK(read_guest_value<std::uint32_t>(memory, 0x600c) == 0);
  CHECK(read_guest_value<std::uint64_t>(memory, 0x6010) == 0);
}

TEST_CASE("A 64-bit ELF kernel finds a zero page with the least a boot loader fills in") {
  const GuestMemory memory = make_memory(kMemoryBytes);
  const Fd kernel = make_file(good_elf().bytes());
  const Fd initrd = make_file("initrd");

  const auto boot = prepare_boot(memory, {kernel.ref(), initrd.ref(), "quiet", 1, {}});

  REQUIRE(boot.ok());
  CHECK(boot.value().protocol == BootProtocol::Linux64);
  CHECK(read_guest_value<std::uint16_t>(memory, 0x71fe) == 0xaa55);
  CHECK(read_guest(memory, 0x7202, 4) == "HdrS");
  CHECK(read_guest_value<std::uint8_t>(memory, 0x7210) == 0xff);
  CHECK(read_guest_value<std::uint32_t>(memory, 0x7218) == kMemoryBytes - 4096);
  CHECK(read_guest_value<std::uint32_t>(memory, 0x721c) == 6);
  CHECK(read_guest_value<std::uint32_t>(memory, 0x7228) == 0x20000);
  CHECK(read_guest_value<std::uint32_t>(memory, 0x7230) == 0x1000000);
  CHECK(read_guest_value<std::uint32_t>(memory, 0x7238) == std::string("quiet pci=off").size());
  CHECK(read_guest_value<std::uint64_t>(memory, 0x7070) == 0xe0000);
  CHECK(read_guest_value<std::uint8_t>(memory, 0x71e8) == 4);
  CHECK(read_guest_value<std::uint64_t>(memory, 0x72d0) == 0);
  CHECK(read_guest_value<std::uint64_t>(memory, 0x72d8) == 0x9fc00);
  CHECK(read_guest_value<std::uint32_t>(memory, 0x72e0) == 1);
  CHECK(read_guest_value<std::uint32_t>(memory, 0x72d0 + 20 + 16) == 2);
  CHECK(read_guest_value<std::uint64_t>(memory, 0x9000) == 0xa003);
}

TEST_CASE("A bzImage gets its own setup header back, with the loader's fields filled in") {
  const GuestMemory memory = make_memory(kMemoryBytes);
  BzImageBuilder image;
  image.set<std::uint32_t>(0x230, 0x200000);
  const Fd kernel = make_file(image.bytes);

  REQUIRE(prepare_boot(memory, {kernel.ref(), {}, "", 1, {}}).ok());

  CHECK(read_guest_value<std::uint16_t>(memory, 0x7206) == 0x020f);
  CHECK(read_guest_value<std::uint32_t>(memory, 0x7230) == 0x200000);
  CHECK(read_guest_value<std::uint64_t>(memory, 0x7258) == 0x1000000);
  CHECK(read_guest_value<std::uint8_t>(memory, 0x7210) == 0xff);
  CHECK(read_guest_value<std::uint32_t>(memory, 0x7228) == 0x20000);
}

TEST_CASE("A command line that becomes too long is refused before anything is written") {
  const GuestMemory memory = make_memory(kMemoryBytes);
  const Fd kernel = make_file(pvh_kernel());
  const auto boot = prepare_boot(memory, {kernel.ref(), {}, std::string(2040, 'a'), 1, {}});
  REQUIRE_FALSE(boot.ok());
  CHECK_THAT(boot.error().text(), Contains("command line"));
  CHECK(untouched(memory));
}

TEST_CASE("A read-only root partition is named on the command line before its device") {
  const Fd kernel = make_file("");
  const std::vector<BootDevice> devices = {{mmio_slot(0), RootDisk{DiskAccess::ReadOnly, "abcd-02"}}};
  const auto line = complete_command_line({kernel.ref(), {}, "a -- b", 1, devices});
  REQUIRE(line.ok());
  CHECK(line.value().text() == "a pci=off root=PARTUUID=abcd-02 ro virtio_mmio.device=4K@0xc0001000:5 -- b");
}

TEST_CASE("An initrd ends at the end of memory, page-aligned, and may begin where the kernel ends") {
  const GuestMemory memory = make_memory(kMemoryBytes);
  const Fd file = make_file(std::string(4096 * 2, 'x'));
  const auto placed = load_initrd(file.ref(), memory, kMemoryBytes - 8192);
  REQUIRE(placed.ok());
  CHECK(placed.value().start == GuestAddress(kMemoryBytes - 8192));
  CHECK(placed.value().size_bytes == 8192);
}

TEST_CASE("An initrd that would touch the kernel, is empty, or is larger than memory is refused") {
  const GuestMemory memory = make_memory(kMemoryBytes);
  const Fd file = make_file(std::string(8192, 'x'));
  const auto touching = load_initrd(file.ref(), memory, kMemoryBytes - 8191);
  REQUIRE_FALSE(touching.ok());
  CHECK_THAT(touching.error().text(), Contains("initrd") && Contains("mem_size_mib"));

  // Its first byte would lie above the kernel, but its page would not.
  const Fd odd = make_file(std::string(5000, 'x'));
  CHECK_FALSE(load_initrd(odd.ref(), memory, kMemoryBytes - 5000).ok());

  const Fd empty = make_file("");
  const auto nothing = load_initrd(empty.ref(), memory, 0);
  REQUIRE_FALSE(nothing.ok());
  CHECK_THAT(nothing.error().text(), Contains("initrd is empty"));

  const Fd big = make_file("");
  REQUIRE(::ftruncate(big.raw(), 64 * 1024 * 1024) == 0);
  CHECK_FALSE(load_initrd(big.ref(), memory, 0).ok());

  const Fd reaching_low = make_file("");
  REQUIRE(::ftruncate(reaching_low.raw(), static_cast<off_t>(kMemoryBytes - kTestMib + 1)) == 0);
  CHECK_FALSE(load_initrd(reaching_low.ref(), memory, 0).ok());
  CHECK(untouched(memory));
}

}  // namespace
}  // namespace wisp::arch
