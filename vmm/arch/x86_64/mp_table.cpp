#include "vmm/arch/x86_64/mp_table.h"

#include <array>

#include "vmm/arch/x86_64/byte_table.h"

namespace wisp::arch {
namespace {

struct FloatingPointer {
  std::array<char, 4> signature = {'_', 'M', 'P', '_'};
  Le32 table_address;
  std::uint8_t length_paragraphs = 1;
  std::uint8_t specification = 4;
  std::uint8_t checksum = 0;
  std::array<std::uint8_t, 5> features{};
};
static_assert(sizeof(FloatingPointer) == 16);

struct ConfigurationHeader {
  std::array<char, 4> signature = {'P', 'C', 'M', 'P'};
  Le16 length_bytes;
  std::uint8_t specification = 4;
  std::uint8_t checksum = 0;
  std::array<char, 8> oem = {'W', 'I', 'S', 'P', ' ', ' ', ' ', ' '};
  std::array<char, 12> product = {'M', 'I', 'C', 'R', 'O', 'V', 'M', ' ', ' ', ' ', ' ', ' '};
  Le32 oem_table_address;
  Le16 oem_table_size;
  Le16 entry_count;
  Le32 local_apic_address;
  Le32 reserved;
};
static_assert(sizeof(ConfigurationHeader) == 44 && offsetof(ConfigurationHeader, checksum) == 7);

enum EntryType : std::uint8_t { kProcessor = 0, kBus = 1, kIoApicEntry = 2, kIoInterrupt = 3, kLocalInterrupt = 4 };

struct ProcessorEntry {
  std::uint8_t type = kProcessor;
  std::uint8_t apic_id;
  std::uint8_t apic_version = 0x14;
  std::uint8_t flags;
  Le32 signature = 0x600U;
  Le32 features = 0x201U;  // FPU and local APIC
  std::array<std::uint8_t, 8> reserved{};
};
static_assert(sizeof(ProcessorEntry) == 20);

struct BusEntry {
  std::uint8_t type = kBus;
  std::uint8_t bus_id = 0;
  std::array<char, 6> name = {'I', 'S', 'A', ' ', ' ', ' '};
};

struct IoApicEntryFields {
  std::uint8_t type = kIoApicEntry;
  std::uint8_t apic_id;
  std::uint8_t apic_version = 0x14;
  std::uint8_t flags = 1;  // usable
  Le32 address = static_cast<std::uint32_t>(kIoApic.start.value());
};

struct InterruptEntry {
  std::uint8_t type;
  std::uint8_t interrupt_type;
  Le16 flags = std::uint16_t{0};  // polarity and trigger as the bus has them
  std::uint8_t source_bus = 0;
  std::uint8_t source_line;
  std::uint8_t apic_id;
  std::uint8_t apic_line;
};
static_assert(sizeof(BusEntry) == 8 && sizeof(IoApicEntryFields) == 8 && sizeof(InterruptEntry) == 8);

constexpr std::uint8_t kEnabled = 1;
constexpr std::uint8_t kBootProcessor = 2;
constexpr std::uint8_t kVectored = 0;
constexpr std::uint8_t kNonMaskable = 1;
constexpr std::uint8_t kExternal = 3;
constexpr std::uint8_t kEveryLocalApic = 0xff;

template <PackedStruct T>
void add_entry(ByteTable& table, ConfigurationHeader& header, const T& entry) {
  append(table, entry);
  header.entry_count = static_cast<std::uint16_t>(header.entry_count + 1);
}

void add_processors(ByteTable& table, ConfigurationHeader& header, std::uint8_t vcpu_count) {
  for (std::uint8_t index = 0; index < vcpu_count; ++index) {
    ProcessorEntry entry{.apic_id = index, .flags = kEnabled};
    if (index == 0) {
      entry.flags |= kBootProcessor;
    }
    add_entry(table, header, entry);
  }
}

void add_interrupts(ByteTable& table, ConfigurationHeader& header, std::uint8_t io_apic_id) {
  for (std::uint8_t line = 0; line < kIoApicLineCount; ++line) {
    add_entry(table, header,
              InterruptEntry{.type = kIoInterrupt,
                             .interrupt_type = kVectored,
                             .source_line = line,
                             .apic_id = io_apic_id,
                             .apic_line = line});
  }
  add_entry(table, header,
            InterruptEntry{
                .type = kLocalInterrupt, .interrupt_type = kExternal, .source_line = 0, .apic_id = 0, .apic_line = 0});
  add_entry(table, header,
            InterruptEntry{.type = kLocalInterrupt,
                           .interrupt_type = kNonMaskable,
                           .source_line = 0,
                           .apic_id = kEveryLocalApic,
                           .apic_line = 1});
}

}  // namespace

std::vector<std::byte> mp_table(std::uint8_t vcpu_count, GuestAddress address) {
  const auto io_apic_id = static_cast<std::uint8_t>(vcpu_count + 1);
  ConfigurationHeader header;
  header.local_apic_address = static_cast<std::uint32_t>(kLocalApic.start.value());

  ByteTable configuration;
  append(configuration, header);
  add_processors(configuration, header, vcpu_count);
  add_entry(configuration, header, BusEntry{});
  add_entry(configuration, header, IoApicEntryFields{.apic_id = io_apic_id});
  add_interrupts(configuration, header, io_apic_id);
  header.length_bytes = static_cast<std::uint16_t>(configuration.size());
  overwrite(configuration, 0, header);
  header.checksum = checksum_of(configuration);
  overwrite(configuration, 0, header);

  FloatingPointer pointer;
  pointer.table_address = static_cast<std::uint32_t>(address.value() + sizeof(pointer));
  pointer.checksum = checksum_of(std::as_bytes(std::span(&pointer, 1)));
  ByteTable table;
  append(table, pointer);
  table.insert(table.end(), configuration.begin(), configuration.end());
  return table;
}

}  // namespace wisp::arch
