#include "vmm/arch/x86_64/acpi.h"

#include <array>
#include <cstdio>

#include "vmm/arch/x86_64/aml.h"
#include "vmm/arch/x86_64/byte_table.h"
#include "vmm/arch/x86_64/guest_writer.h"
#include "vmm/arch/x86_64/mp_table.h"

namespace wisp::arch {
namespace {

using Signature = std::array<char, 4>;

constexpr std::array<char, 6> kOemId = {'W', 'I', 'S', 'P', ' ', ' '};
constexpr std::size_t kTableAlignment = 16;

/// The header that every table but the RSDP begins with (section 5.2.6).
struct TableHeader {
  Signature signature;
  Le32 length_bytes;
  std::uint8_t revision;
  std::uint8_t checksum = 0;
  std::array<char, 6> oem_id = kOemId;
  std::array<char, 8> oem_table_id = {'M', 'I', 'C', 'R', 'O', 'V', 'M', ' '};
  Le32 oem_revision = 1U;
  Signature creator_id = {'W', 'I', 'S', 'P'};
  Le32 creator_revision = 1U;
};
static_assert(sizeof(TableHeader) == 36 && offsetof(TableHeader, checksum) == 9);

struct Rsdp {
  std::array<char, 8> signature = {'R', 'S', 'D', ' ', 'P', 'T', 'R', ' '};
  std::uint8_t checksum = 0;  // over the first 20 bytes
  std::array<char, 6> oem_id = kOemId;
  std::uint8_t revision = 2;
  Le32 rsdt_address;
  Le32 length_bytes = 36U;
  Le64 xsdt_address;
  std::uint8_t extended_checksum = 0;  // over all
  std::array<std::uint8_t, 3> reserved{};
};
static_assert(sizeof(Rsdp) == kRsdp.size_bytes);

struct GenericAddress {
  std::uint8_t address_space = 0;
  std::uint8_t bit_width = 0;
  std::uint8_t bit_offset = 0;
  std::uint8_t access_size = 0;
  Le64 address;
};

/// Section 5.2.9. Everything left out here is zero on a hardware-reduced machine.
struct FadtBody {
  Le32 firmware_control;
  Le32 dsdt_address;
  std::array<std::uint8_t, 109 - 44> legacy_power_blocks{};
  Le16 ia_pc_boot_flags;
  std::uint8_t reserved = 0;
  Le32 flags;
  GenericAddress reset_register;
  std::uint8_t reset_value = 0;
  Le16 arm_boot_flags;
  std::uint8_t minor_revision = 5;
  Le64 extended_firmware_control;
  Le64 extended_dsdt_address;
  std::array<std::uint8_t, 244 - 148> legacy_extended_blocks{};
  GenericAddress sleep_control_register;  // how a hardware-reduced machine is switched off (section 4.8.3.7)
  GenericAddress sleep_status_register;
  std::array<char, 8> hypervisor_vendor = {'W', 'I', 'S', 'P', 'K', 'V', 'M', '\0'};
};
static_assert(sizeof(TableHeader) + sizeof(FadtBody) == 276);
static_assert(sizeof(TableHeader) + offsetof(FadtBody, ia_pc_boot_flags) == 109);
static_assert(sizeof(TableHeader) + offsetof(FadtBody, reset_register) == 116);
static_assert(sizeof(TableHeader) + offsetof(FadtBody, extended_dsdt_address) == 140);
static_assert(sizeof(TableHeader) + offsetof(FadtBody, sleep_control_register) == 244);

constexpr std::uint8_t kFadtMajorRevision = 6;
constexpr std::uint32_t kFadtNoPowerButton = 1U << 4;
constexpr std::uint32_t kFadtNoSleepButton = 1U << 5;
constexpr std::uint32_t kFadtResetRegister = 1U << 10;
constexpr std::uint32_t kFadtHardwareReduced = 1U << 20;
constexpr std::uint16_t kBootKeyboardController = 1U << 1;
constexpr std::uint16_t kBootNoVga = 1U << 2;
constexpr std::uint16_t kBootNoRealTimeClock = 1U << 5;
constexpr std::uint8_t kIoSpace = 1;
constexpr std::uint8_t kByteAccess = 1;
constexpr std::uint64_t kKeyboardCommandPort = kKeyboardPort + 4;
constexpr std::uint8_t kKeyboardResetCommand = 0xfe;

struct MadtBody {
  Le32 local_apic_address = static_cast<std::uint32_t>(kLocalApic.start.value());
  Le32 flags;  // no 8259
};

struct MadtIoApic {
  std::uint8_t type = 1;
  std::uint8_t length_bytes = 12;
  std::uint8_t id = 0;
  std::uint8_t reserved = 0;
  Le32 address = static_cast<std::uint32_t>(kIoApic.start.value());
  Le32 first_gsi;
};
static_assert(sizeof(MadtIoApic) == 12);

struct MadtLocalApic {
  std::uint8_t type = 0;
  std::uint8_t length_bytes = 8;
  std::uint8_t processor_uid;
  std::uint8_t apic_id;
  Le32 flags = 1U;  // enabled
};
static_assert(sizeof(MadtLocalApic) == 8);

/// A finished table: header, contents, checksum.
ByteTable table(Signature signature, std::uint8_t revision, std::span<const std::byte> contents) {
  TableHeader header{.signature = signature, .length_bytes = 0U, .revision = revision};
  header.length_bytes = static_cast<std::uint32_t>(sizeof(header) + contents.size());
  ByteTable out;
  append(out, header);
  out.insert(out.end(), contents.begin(), contents.end());
  header.checksum = checksum_of(out);
  overwrite(out, 0, header);
  return out;
}

aml::Bytes virtio_device(MmioSlot slot) {
  const std::uint32_t number = slot.gsi - kFirstMmioGsi;
  char segment[8];
  std::snprintf(segment, sizeof(segment), "V%03u", number % 1000U);
  return aml::device(
      segment,
      aml::name("_HID", aml::string("LNRO0005")) + aml::name("_UID", aml::integer(number)) +
          aml::name("_CCA", aml::integer(1)) +
          aml::name("_CRS", aml::resource_template(aml::memory32_fixed(static_cast<std::uint32_t>(slot.address.value()),
                                                                       kMmioSlotSizeBytes) +
                                                   aml::interrupt(slot.gsi))));
}

aml::Bytes serial_port() {
  return aml::device("COM1", aml::name("_HID", aml::eisa_id("PNP0501")) + aml::name("_UID", aml::integer(0)) +
                                 aml::name("_DDN", aml::string("COM1")) +
                                 aml::name("_CRS", aml::resource_template(aml::io_ports(kSerialPort, kSerialPortCount) +
                                                                          aml::interrupt(kSerialGsi))));
}

aml::Bytes keyboard_controller() {
  return aml::device(
      "PS2_",
      aml::name("_HID", aml::eisa_id("PNP0303")) + aml::name("_UID", aml::integer(0)) +
          aml::name("_CRS", aml::resource_template(aml::io_ports(kKeyboardPort, 1) +
                                                   aml::io_ports(static_cast<std::uint16_t>(kKeyboardCommandPort), 1) +
                                                   aml::interrupt(kKeyboardGsi))));
}

/// Its driver reads the identifier at ADDR, whose two numbers are the low and high half of an address.
aml::Bytes generation_id() {
  return aml::device(
      "VGEN", aml::name("_HID", aml::string("VMGENCTR")) + aml::name("_CID", aml::string("VM_Gen_Counter")) +
                  aml::name("_DDN", aml::string("VM_Gen_Counter")) +
                  aml::name("ADDR", aml::package({aml::integer(static_cast<std::uint32_t>(kVmGenId.start.value())),
                                                  aml::integer(0)})));
}

aml::Bytes vm_clock() {
  constexpr std::uint32_t kPresentAndWorking = 0xf;
  return aml::device("VCLK", aml::name("_HID", aml::string("AMZNC10C")) + aml::name("_CID", aml::string("VMCLOCK")) +
                                 aml::name("_DDN", aml::string("VMCLOCK")) +
                                 aml::name("_STA", aml::integer(kPresentAndWorking)) +
                                 aml::name("_CRS", aml::resource_template(aml::memory32_fixed(
                                                       static_cast<std::uint32_t>(kVmClock.start.value()),
                                                       static_cast<std::uint32_t>(kVmClock.size_bytes)))));
}

/// The Generic Event Device (section 5.6.9): the kernel calls _EVT with the number of the line that was raised.
aml::Bytes generic_events() {
  constexpr std::uint8_t kChanged = 0x80;
  const auto on_line = [](std::uint32_t gsi, std::string_view device) {
    return aml::if_true(aml::equal(aml::first_argument(), aml::integer(gsi)), aml::notify(device, kChanged));
  };
  return aml::device(
      "GED_", aml::name("_HID", aml::string("ACPI0013")) + aml::name("_UID", aml::integer(0)) +
                  aml::name("_CRS", aml::resource_template(aml::interrupt(kVmGenIdGsi) + aml::interrupt(kVmClockGsi))) +
                  aml::method("_EVT", 1, on_line(kVmGenIdGsi, "VGEN") + on_line(kVmClockGsi, "VCLK")));
}

ByteTable dsdt(const AcpiConfig& config) {
  aml::Bytes devices;
  for (const MmioSlot& slot : config.virtio_devices) {
    devices += virtio_device(slot);
  }
  // The soft-off state: the sleep type that the kernel writes to the sleep control register to switch the machine off.
  const aml::Bytes soft_off = aml::name(
      "_S5_", aml::package({aml::integer(kSoftOffSleepType), aml::integer(0), aml::integer(0), aml::integer(0)}));
  const aml::Bytes contents = soft_off + aml::system_bus(devices + serial_port() + keyboard_controller() +
                                                         generation_id() + vm_clock() + generic_events());
  return table({'D', 'S', 'D', 'T'}, 2, std::as_bytes(std::span(contents)));
}

ByteTable fadt(std::uint64_t dsdt_address) {
  FadtBody body;
  body.ia_pc_boot_flags = kBootKeyboardController | kBootNoVga | kBootNoRealTimeClock;
  body.flags = kFadtNoPowerButton | kFadtNoSleepButton | kFadtResetRegister | kFadtHardwareReduced;
  body.reset_register = {kIoSpace, 8, 0, kByteAccess, kKeyboardCommandPort};
  body.reset_value = kKeyboardResetCommand;
  body.extended_dsdt_address = dsdt_address;
  body.sleep_control_register = {kIoSpace, 8, 0, kByteAccess, kPowerControlPort};
  body.sleep_status_register = {kIoSpace, 8, 0, kByteAccess, kPowerControlPort + 1};
  return table({'F', 'A', 'C', 'P'}, kFadtMajorRevision, std::as_bytes(std::span(&body, 1)));
}

ByteTable madt(std::uint8_t vcpu_count) {
  ByteTable contents;
  append(contents, MadtBody{});
  append(contents, MadtIoApic{});
  for (std::uint8_t index = 0; index < vcpu_count; ++index) {
    append(contents, MadtLocalApic{.processor_uid = index, .apic_id = index});
  }
  return table({'A', 'P', 'I', 'C'}, 6, contents);
}

ByteTable rsdp(std::uint64_t xsdt_address) {
  constexpr std::size_t kFirstRevisionBytes = 20;
  Rsdp out;
  out.xsdt_address = xsdt_address;
  const auto bytes = std::as_bytes(std::span(&out, 1));
  out.checksum = checksum_of(bytes.first(kFirstRevisionBytes));
  out.extended_checksum = checksum_of(bytes);
  ByteTable result;
  append(result, out);
  return result;
}

/// Puts `next` behind what is there, aligned, and returns its address.
std::uint64_t place(ByteTable& body, std::uint64_t base, const ByteTable& next) {
  body.resize((body.size() + kTableAlignment - 1) / kTableAlignment * kTableAlignment);
  const std::uint64_t address = base + body.size();
  body.insert(body.end(), next.begin(), next.end());
  return address;
}

}  // namespace

AcpiTables acpi_tables(const AcpiConfig& config, GuestAddress address) {
  const std::uint64_t base = address.value();
  AcpiTables out;
  const std::uint64_t dsdt_address = place(out.body, base, dsdt(config));
  const std::uint64_t fadt_address = place(out.body, base, fadt(dsdt_address));
  const std::uint64_t madt_address = place(out.body, base, madt(config.vcpu_count));
  const std::array<Le64, 2> pointers = {fadt_address, madt_address};
  const std::uint64_t xsdt_address =
      place(out.body, base, table({'X', 'S', 'D', 'T'}, 1, std::as_bytes(std::span(pointers))));
  out.rsdp = rsdp(xsdt_address);
  return out;
}

Status write_firmware_tables(const GuestMemory& memory, const AcpiConfig& config) {
  ByteTable area = mp_table(config.vcpu_count, kSystemArea.start);
  area.resize((area.size() + kTableAlignment - 1) / kTableAlignment * kTableAlignment);
  const AcpiTables acpi = acpi_tables(config, GuestAddress(kSystemArea.start.value() + area.size()));
  area.insert(area.end(), acpi.body.begin(), acpi.body.end());
  WISP_ASSERT(kSystemArea.start.value() + area.size() <= kVmClock.start.value());
  (void)WISP_TRY(put_bytes(memory, kSystemArea.start, area, "the firmware tables"));
  return put_bytes(memory, kRsdp.start, acpi.rsdp, "the ACPI root pointer");
}

}  // namespace wisp::arch
