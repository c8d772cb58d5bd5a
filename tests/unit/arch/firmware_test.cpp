#include <array>
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <map>

#include "tests/unit/arch/kernel_builder.h"
#include "vmm/arch/x86_64/acpi.h"
#include "vmm/arch/x86_64/aml.h"
#include "vmm/arch/x86_64/byte_table.h"
#include "vmm/arch/x86_64/mp_table.h"

namespace wisp::arch {
namespace {

using test::kTestMib;
using test::make_memory;
using test::read_guest;
using test::read_guest_value;

std::uint8_t sum(std::string_view bytes) {
  std::uint8_t total = 0;
  for (const char byte : bytes) {
    total = static_cast<std::uint8_t>(total + static_cast<unsigned char>(byte));
  }
  return total;
}

std::vector<MmioSlot> slots(std::uint32_t count) {
  std::vector<MmioSlot> out;
  for (std::uint32_t index = 0; index < count; ++index) {
    out.push_back(mmio_slot(index));
  }
  return out;
}

GuestMemory memory_with_tables(std::uint8_t vcpu_count, std::uint32_t device_count) {
  GuestMemory memory = make_memory(kTestMib);
  const auto devices = slots(device_count);
  REQUIRE(write_firmware_tables(memory, {vcpu_count, devices}).ok());
  return memory;
}

/// A table as a kernel finds it: at this address, as long as its header says, with a good checksum.
std::string table_at(const GuestMemory& memory, std::uint64_t address) {
  const auto length = read_guest_value<std::uint32_t>(memory, address + 4);
  REQUIRE(address >= 0x9fc00);
  REQUIRE(address + length <= 0xe0000);
  const std::string bytes = read_guest(memory, address, length);
  CHECK(sum(bytes) == 0);
  CHECK(bytes.substr(10, 6) == "WISP  ");
  return bytes;
}

template <typename T>
T field(const std::string& bytes, std::size_t offset) {
  T value{};
  REQUIRE(offset + sizeof(T) <= bytes.size());
  std::memcpy(&value, &bytes[offset], sizeof(T));
  return value;
}

/// Every table that the root pointer leads to, by signature; the DSDT by way of the FADT.
std::map<std::string, std::string> find_tables(const GuestMemory& memory) {
  const std::string rsdp = read_guest(memory, 0xe0000, 36);
  REQUIRE(rsdp.substr(0, 8) == "RSD PTR ");
  CHECK(sum(rsdp.substr(0, 20)) == 0);
  CHECK(sum(rsdp) == 0);
  CHECK(rsdp[15] == 2);
  const std::string xsdt = table_at(memory, field<std::uint64_t>(rsdp, 24));
  std::map<std::string, std::string> tables;
  tables["XSDT"] = xsdt;
  for (std::size_t offset = 36; offset < xsdt.size(); offset += 8) {
    const std::string table = table_at(memory, field<std::uint64_t>(xsdt, offset));
    tables[table.substr(0, 4)] = table;
  }
  tables["DSDT"] = table_at(memory, field<std::uint64_t>(tables.at("FACP"), 140));
  return tables;
}

TEST_CASE("From the root pointer a kernel finds FADT, MADT and DSDT, all with good checksums") {
  const auto tables = find_tables(memory_with_tables(2, 3));
  CHECK(tables.size() == 4);
  CHECK(tables.at("XSDT").substr(0, 4) == "XSDT");
  CHECK(tables.at("DSDT").substr(0, 4) == "DSDT");
  CHECK(tables.count("FACP") == 1);
  CHECK(tables.count("APIC") == 1);
}

TEST_CASE("The FADT describes a hardware-reduced machine that resets through the keyboard controller") {
  const std::string fadt = find_tables(memory_with_tables(1, 0)).at("FACP");
  CHECK(fadt.size() == 276);
  CHECK(field<std::uint8_t>(fadt, 8) == 6);
  CHECK((field<std::uint32_t>(fadt, 112) & (1U << 20)) != 0);
  CHECK((field<std::uint32_t>(fadt, 112) & (1U << 10)) != 0);
  CHECK(field<std::uint8_t>(fadt, 116) == 1);  // I/O space
  CHECK(field<std::uint64_t>(fadt, 120) == 0x64);
  CHECK(field<std::uint8_t>(fadt, 128) == 0xfe);
  CHECK(field<std::uint16_t>(fadt, 109) == 0x26);  // keyboard controller, no VGA, no clock
  CHECK(field<std::uint8_t>(fadt, 131) == 5);
  CHECK(field<std::uint8_t>(fadt, 244) == 1);
  CHECK(field<std::uint64_t>(fadt, 248) == 0x600);  // sleep control
  CHECK(field<std::uint64_t>(fadt, 260) == 0x601);  // sleep status
}

TEST_CASE("The MADT lists the IOAPIC and one enabled local APIC for each vCPU") {
  const auto count = GENERATE(std::uint8_t{1}, std::uint8_t{2}, std::uint8_t{32});
  const std::string madt = find_tables(memory_with_tables(count, 0)).at("APIC");
  CHECK(field<std::uint32_t>(madt, 36) == 0xfee00000);
  CHECK(field<std::uint8_t>(madt, 44) == 1);
  CHECK(field<std::uint8_t>(madt, 46) == 0);
  CHECK(field<std::uint32_t>(madt, 48) == 0xfec00000);
  CHECK(field<std::uint32_t>(madt, 52) == 0);
  REQUIRE(madt.size() == 56U + 8U * count);
  for (std::uint8_t index = 0; index < count; ++index) {
    const std::size_t entry = 56U + 8U * index;
    CHECK(field<std::uint8_t>(madt, entry) == 0);
    CHECK(field<std::uint8_t>(madt, entry + 2) == index);
    CHECK(field<std::uint8_t>(madt, entry + 3) == index);
    CHECK(field<std::uint32_t>(madt, entry + 4) == 1);
  }
}

TEST_CASE("The DSDT has one device for each slot, and the serial port and keyboard controller") {
  const std::string dsdt = find_tables(memory_with_tables(1, 17)).at("DSDT");
  CHECK(dsdt.find("V000") != std::string::npos);
  CHECK(dsdt.find("V016") != std::string::npos);
  CHECK(dsdt.find("V017") == std::string::npos);
  CHECK(dsdt.find("COM1") != std::string::npos);
  CHECK(dsdt.find("PS2_") != std::string::npos);
  CHECK(dsdt.find(std::string("_S5_\x12\x07\x04\x0a\x05\x00\x00\x00", 12)) != std::string::npos);
  std::size_t devices = 0;
  for (std::size_t at = dsdt.find("LNRO0005"); at != std::string::npos; at = dsdt.find("LNRO0005", at + 1)) {
    ++devices;
  }
  CHECK(devices == 17);
  // Memory32Fixed of the last slot, then its interrupt: consumer, edge, active high, line 21.
  const std::string resources(
      "\x86\x09\x00\x01\x00\x10\x01\xc0\x00\x10\x00\x00"
      "\x89\x06\x00\x03\x01\x15\x00\x00\x00"
      "\x79\x00",
      23);
  CHECK(dsdt.find(resources) != std::string::npos);
}

TEST_CASE("The DSDT describes the generation identifier by its address") {
  const std::string dsdt = find_tables(memory_with_tables(1, 0)).at("DSDT");
  const std::string hid(
      "VGEN\x08_HID\x0d"
      "VMGENCTR\0\x08_CID\x0dVM_Gen_Counter\0",
      4 + 6 + 9 + 6 + 15);
  CHECK(dsdt.find(hid) != std::string::npos);
  // Package of two: 0xdfff0, 0.
  CHECK(dsdt.find(std::string("ADDR\x12\x08\x02\x0c\xf0\xff\x0d\x00\x00", 13)) != std::string::npos);
}

TEST_CASE("The DSDT describes the clock page as present and at its address") {
  const std::string dsdt = find_tables(memory_with_tables(1, 0)).at("DSDT");
  CHECK(dsdt.find(std::string("VCLK\x08_HID\x0d"
                              "AMZNC10C\0",
                              19)) != std::string::npos);
  CHECK(dsdt.find("_STA\x0a\x0f") != std::string::npos);
  CHECK(dsdt.find(std::string("\x86\x09\x00\x01\x00\xe0\x0d\x00\x00\x10\x00\x00", 12)) != std::string::npos);
}

TEST_CASE("The event device has both lines and notifies the device of the line that was raised") {
  const std::string dsdt = find_tables(memory_with_tables(1, 0)).at("DSDT");
  const std::size_t device =
      dsdt.find(std::string("GED_\x08_HID\x0d"
                            "ACPI0013\0",
                            19));
  REQUIRE(device != std::string::npos);
  // Two interrupts: consumer, edge, active high, exclusive; lines 22 and 23.
  CHECK(dsdt.find(std::string("\x89\x06\x00\x03\x01\x16\x00\x00\x00\x89\x06\x00\x03\x01\x17\x00\x00\x00\x79\x00", 20),
                  device) != std::string::npos);
  // One argument, serialized. If (Arg0 == 22) { Notify (VGEN, 0x80) }, and the same for line 23 and VCLK.
  const std::string method(
      "\x14\x20_EVT\x09"
      "\xa0\x0c\x93\x68\x0a\x16\x86VGEN\x0a\x80"
      "\xa0\x0c\x93\x68\x0a\x17\x86VCLK\x0a\x80",
      33);
  CHECK(dsdt.find(method, device) != std::string::npos);
}

TEST_CASE("The lines and pages of the generation devices are nobody else's") {
  CHECK(kVmGenIdGsi == 22);
  CHECK(kVmClockGsi == 23);
  CHECK(mmio_slot_gsi(kMaxMmioDevices - 1) < kVmGenIdGsi);
  const GuestMemory memory = memory_with_tables(32, kMaxMmioDevices);
  CHECK(read_guest(memory, 0xde000, 0x2000) == std::string(0x2000, '\0'));
}

TEST_CASE("The tables of the largest machine fit their area and leave the root pointer alone") {
  const GuestMemory memory = memory_with_tables(32, kMaxMmioDevices);
  CHECK(find_tables(memory).size() == 4);
}

TEST_CASE("A machine without room for the tables is refused") {
  const GuestMemory memory = make_memory(0xa0000);
  const Status refused = write_firmware_tables(memory, {1, {}});
  REQUIRE_FALSE(refused.ok());
  CHECK_THAT(refused.error().text(), Catch::Matchers::Contains("mem_size_mib"));
}

TEST_CASE("AML constructs have the bytes of the specification") {
  CHECK(aml::integer(0) == std::string(1, '\0'));
  CHECK(aml::integer(1) == "\x01");
  CHECK(aml::integer(0xff) == "\x0a\xff");
  CHECK(aml::integer(0x100) == std::string("\x0b\x00\x01", 3));
  CHECK(aml::integer(0x10000) == std::string("\x0c\x00\x00\x01\x00", 5));
  CHECK(aml::eisa_id("PNP0501") == "\x0c\x41\xd0\x05\x01");
  CHECK(aml::string("ab") == std::string("\x0d"
                                         "ab\0",
                                         4));
  CHECK(aml::device("COM1", "") ==
        "\x5b\x82\x05"
        "COM1");
  CHECK(aml::io_ports(0x3f8, 8) == "\x47\x01\xf8\x03\xf8\x03\x01\x08");
}

TEST_CASE("AML package lengths count themselves, at each width") {
  // Device: two bytes of operation, the length, four of name.
  CHECK(aml::device("ABCD", std::string(58, 'x')).substr(2, 1) == "\x3f");
  CHECK(aml::device("ABCD", std::string(59, 'x')).substr(2, 2) == std::string("\x41\x04"));
  CHECK(aml::device("ABCD", std::string(4089, 'x')).substr(2, 2) == std::string("\x4f\xff"));
  CHECK(aml::device("ABCD", std::string(4090, 'x')).substr(2, 3) == std::string("\x81\x00\x01", 3));
}

// ACPICA's own compiler reads our DSDT back, where it is installed (package acpica-tools).
TEST_CASE("The DSDT disassembles and compiles again without a complaint") {
  if (std::system("command -v iasl >/dev/null 2>&1") != 0) {
    WARN("skipped: iasl is not installed (package acpica-tools)");
    SUCCEED();
    return;
  }
  char folder[] = "/tmp/wisp-dsdt-XXXXXX";
  REQUIRE(::mkdtemp(folder) != nullptr);
  const std::string base = std::string(folder) + "/dsdt";
  const std::string dsdt = find_tables(memory_with_tables(4, 17)).at("DSDT");
  std::ofstream(base + ".aml", std::ios::binary) << dsdt;

  const int disassembled = std::system(("iasl -d " + base + ".aml >/dev/null 2>&1").c_str());
  // 6035: the hardware identifier of the generation device, VMGENCTR, is older than the rule of four digits at its end.
  const int compiled =
      std::system(("iasl -we -vw 6035 -p " + base + "2 " + base + ".dsl >" + base + ".log 2>&1").c_str());
  std::ifstream log(base + ".log");
  const std::string output((std::istreambuf_iterator<char>(log)), {});
  (void)!std::system(("rm -r " + std::string(folder)).c_str());

  CAPTURE(output);
  CHECK(disassembled == 0);
  CHECK(compiled == 0);
}

TEST_CASE("The MP table is found at the start of the last KiB and lists processors, bus, IOAPIC and lines") {
  const auto count = GENERATE(std::uint8_t{1}, std::uint8_t{32});
  const GuestMemory memory = memory_with_tables(count, 1);

  const std::string pointer = read_guest(memory, 0x9fc00, 16);
  CHECK(pointer.substr(0, 4) == "_MP_");
  CHECK(sum(pointer) == 0);
  CHECK(field<std::uint32_t>(pointer, 4) == 0x9fc10);
  const auto length = read_guest_value<std::uint16_t>(memory, 0x9fc14);
  const std::string table = read_guest(memory, 0x9fc10, length);
  CHECK(sum(table) == 0);
  CHECK(table.substr(0, 4) == "PCMP");
  CHECK(length == 44 + 20 * count + 8 + 8 + 24 * 8 + 2 * 8);
  CHECK(field<std::uint16_t>(table, 34) == count + 28);
  CHECK(field<std::uint32_t>(table, 36) == 0xfee00000);
  for (std::uint8_t index = 0; index < count; ++index) {
    const std::size_t entry = 44U + 20U * index;
    CHECK(field<std::uint8_t>(table, entry) == 0);
    CHECK(field<std::uint8_t>(table, entry + 1) == index);
    CHECK(field<std::uint8_t>(table, entry + 3) == (index == 0 ? 3 : 1));
  }
  const std::size_t io_apic = 44U + 20U * count + 8;
  CHECK(field<std::uint8_t>(table, io_apic) == 2);
  CHECK(field<std::uint8_t>(table, io_apic + 1) == count + 1);
  CHECK(field<std::uint32_t>(table, io_apic + 4) == 0xfec00000);
}

}  // namespace
}  // namespace wisp::arch
