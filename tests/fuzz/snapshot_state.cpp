// State files of arbitrary shape. The first byte says how the bytes behind it are taken: as they are, or with the
// checksums of header, rest and sections made to fit, so that the fuzzer gets behind them. What is accepted is
// consistent: its parts lie inside the file, names are valid and each their own, and writing the same sections again
// gives the same bytes.
#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>
#include <string>
#include <vector>

#include "snapshot/image/crc64.h"
#include "snapshot/image/describe.h"
#include "snapshot/image/state_file.h"
#include "snapshot/image/state_file_writer.h"
#include "tests/fakes/fuzz_input.h"
#include "vmm/base/assert.h"

using namespace wisp;

namespace {

void store(std::span<std::byte> place, std::uint64_t value) {
  const Le64 encoded = value;
  std::memcpy(place.data(), &encoded, sizeof(encoded));
}

/// Walks the sections as they claim to be and makes their checksums fit.
void seal_sections(std::span<std::byte> rest) {
  while (rest.size() >= kSectionHeadBytes) {
    fakes::FuzzInput head(reinterpret_cast<const std::uint8_t*>(rest.data()), kSectionHeadBytes);
    const std::size_t name_bytes = head.word();
    const std::size_t length = kSectionHeadBytes + name_bytes + head.dword();
    if (rest.size() < length + kChecksumBytes) {
      return;
    }
    store(rest.subspan(length), crc64(rest.first(length)));
    rest = rest.subspan(length + kChecksumBytes);
  }
}

void seal(std::vector<std::byte>& bytes) {
  if (bytes.size() < sizeof(StateHeader)) {
    return;
  }
  const std::span all(bytes);
  StateHeader header;
  std::memcpy(&header, bytes.data(), sizeof(header));
  if (header.sections_offset <= bytes.size()) {
    seal_sections(all.subspan(header.sections_offset));
  }
  store(all.subspan(offsetof(StateHeader, rest_checksum)), crc64(all.subspan(sizeof(StateHeader))));
  constexpr std::size_t kSealed = offsetof(StateHeader, header_checksum);
  store(all.subspan(kSealed), crc64(all.first(kSealed)));
}

void check_accepted(const StateFile& file, const std::vector<std::byte>& bytes) {
  StateFileWriter writer;
  std::vector<std::string_view> names;
  for (const StateFile::Section& section : file.sections()) {
    WISP_ASSERT(is_section_name(section.name));
    WISP_ASSERT(file.section(section.name)->data() == section.bytes.data());
    names.push_back(section.name);
    writer.add_section(std::string(section.name), {section.bytes.begin(), section.bytes.end()});
  }
  WISP_ASSERT(file.check_names(names).ok());
  (void)indent_json(file.manifest());
  const auto again = writer.encode(file.manifest());
  WISP_ASSERT(again.ok() && again.value().size() == bytes.size());
  const auto rest = std::span(bytes).subspan(sizeof(StateHeader));
  WISP_ASSERT(std::ranges::equal(std::span(again.value()).subspan(sizeof(StateHeader)), rest));
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size == 0) {
    return 0;
  }
  const auto input = std::as_bytes(std::span(data + 1, size - 1));
  std::vector<std::byte> bytes(input.begin(), input.end());
  if ((data[0] & 1U) != 0) {
    seal(bytes);
  }
  const auto file = StateFile::parse(bytes, "fuzz");
  if (file.ok()) {
    check_accepted(file.value(), bytes);
  }
  return 0;
}
