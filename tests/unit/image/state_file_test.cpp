#include "snapshot/image/state_file.h"

#include <algorithm>
#include <array>
#include <cstring>
#include <random>

#include "snapshot/image/crc64.h"
#include "snapshot/image/state_file_writer.h"
#include "tests/unit/image/image_rig.h"
#include "vmm/base/version.h"

namespace wisp {
namespace {

using Catch::Matchers::Contains;
using Catch::Matchers::StartsWith;
using image_rig::TempDir;

using Bytes = std::vector<std::byte>;

Bytes bytes_of(std::string_view text) {
  const auto bytes = std::as_bytes(std::span(text));
  return {bytes.begin(), bytes.end()};
}

constexpr const char* kManifest = R"({"version":1,"sections":["vm","vcpu/0"]})";

Bytes sample() {
  StateFileWriter writer;
  writer.add_section("vm", bytes_of("machine"));
  writer.add_section("vcpu/0", bytes_of(std::string(300, 'r')));
  writer.add_section("empty", {});
  return writer.encode(kManifest).value();
}

StateHeader header_of(const Bytes& bytes) {
  StateHeader header;
  std::memcpy(&header, bytes.data(), sizeof(header));
  return header;
}

/// Puts the header in front, with all checksums made to fit.
void reseal(Bytes& bytes, StateHeader header) {
  header.rest_checksum = crc64(std::span(bytes).subspan(sizeof(header)));
  header.header_checksum = crc64(std::as_bytes(std::span(&header, 1)).first(offsetof(StateHeader, header_checksum)));
  std::memcpy(bytes.data(), &header, sizeof(header));
}

std::string refusal(Bytes bytes) {
  const auto file = StateFile::parse(std::move(bytes), "the-file");
  return file.ok() ? std::string("accepted") : file.error().text();
}

/// One section record with a checksum that fits; the lengths are what the caller says.
Bytes record(std::uint16_t name_bytes, std::uint32_t data_bytes, std::string_view contents) {
  Bytes bytes;
  for (std::size_t shift = 0; shift < 16; shift += 8) {
    bytes.push_back(static_cast<std::byte>(name_bytes >> shift));
  }
  for (std::size_t shift = 0; shift < 32; shift += 8) {
    bytes.push_back(static_cast<std::byte>(data_bytes >> shift));
  }
  const Bytes rest = bytes_of(contents);
  bytes.insert(bytes.end(), rest.begin(), rest.end());
  const Le64 checksum = crc64(bytes);
  const auto tail = std::as_bytes(std::span(&checksum, 1));
  bytes.insert(bytes.end(), tail.begin(), tail.end());
  return bytes;
}

/// A file whose header and outer checksums are right, with these bytes as its sections.
Bytes file_of(std::uint32_t section_count, const std::vector<Bytes>& records) {
  Bytes bytes = StateFileWriter().encode(kManifest).value();
  StateHeader header = header_of(bytes);
  for (const Bytes& each : records) {
    bytes.insert(bytes.end(), each.begin(), each.end());
  }
  header.section_count = section_count;
  header.sections_bytes = bytes.size() - header.sections_offset;
  header.file_bytes = bytes.size();
  reseal(bytes, header);
  return bytes;
}

TEST_CASE("What was written is read back: manifest, versions, sections in order") {
  const TempDir dir;
  StateFileWriter writer;
  writer.add_section("vm", bytes_of("machine"));
  writer.add_section("empty", {});
  AtomicFile out = AtomicFile::create(kStateFile, dir.file("state")).value();
  REQUIRE(writer.publish(kManifest, out).ok());

  const StateFile file = std::move(StateFile::open(dir.file("state"))).value();

  CHECK(file.manifest() == kManifest);
  CHECK(file.version().text() == kSnapshotVersion.text());
  CHECK(file.wisp_version() == kWispVersion);
  REQUIRE(file.sections().size() == 2);
  CHECK(file.sections()[0].name == "vm");
  REQUIRE(file.section("vm"));
  CHECK(std::ranges::equal(*file.section("vm"), bytes_of("machine")));
  CHECK(file.section("empty")->empty());
  CHECK_FALSE(file.section("vcpu/0").has_value());
}

TEST_CASE("A file that replaces a longer one over a descriptor leaves nothing of it") {
  const TempDir dir;
  image_rig::put_file(dir.file("state"), std::string(5000, 'x'));
  AtomicFile out = AtomicFile::over(kStateFile, image_rig::open_file(dir.file("state"), O_RDWR)).value();
  REQUIRE(StateFileWriter().publish(kManifest, out).ok());
  CHECK(StateFile::open(dir.file("state")).ok());
}

TEST_CASE("The manifest stands in the file as text, after the header and before a newline") {
  const Bytes bytes = sample();
  const std::string text(reinterpret_cast<const char*>(bytes.data()), bytes.size());
  CHECK(text.substr(0, 8) == "WISPSNAP");
  CHECK(text.substr(128, std::strlen(kManifest) + 1) == std::string(kManifest) + "\n");
}

TEST_CASE("Sections that nobody knows are refused by name, known ones may be missing") {
  const StateFile file = std::move(StateFile::parse(sample(), "the-file")).value();
  const std::array<std::string_view, 4> known = {"vcpu/0", "empty", "vm", "more"};
  CHECK(file.check_names(known).ok());
  const Status status = file.check_names(std::span(known).first(2));
  REQUIRE_FALSE(status.ok());
  CHECK_THAT(status.error().text(), Contains("'vm'") && Contains("the-file"));
}

TEST_CASE("Moving a state file keeps its sections") {
  StateFile file = std::move(StateFile::parse(sample(), "a")).value();
  const StateFile moved = std::move(file);
  CHECK(std::ranges::equal(*moved.section("vm"), bytes_of("machine")));
}

// ---------------------------------------------------------------------------------------------------------------------
// Damage.

TEST_CASE("Each bit of each byte matters") {
  const Bytes good = sample();
  REQUIRE(refusal(good) == "accepted");
  for (std::size_t index = 0; index < good.size(); ++index) {
    for (unsigned bit = 0; bit < 8; ++bit) {
      Bytes bad = good;
      bad[index] ^= static_cast<std::byte>(1U << bit);
      CAPTURE(index, bit);
      REQUIRE_THAT(refusal(std::move(bad)), Contains("the-file"));
    }
  }
}

TEST_CASE("Any shorter or longer file is refused") {
  const Bytes good = sample();
  for (std::size_t size = 0; size < good.size(); ++size) {
    CAPTURE(size);
    REQUIRE(refusal(Bytes(good.begin(), good.begin() + static_cast<std::ptrdiff_t>(size))) != "accepted");
  }
  for (const std::size_t more : {std::size_t{1}, std::size_t{8}, good.size()}) {
    Bytes bad = good;
    bad.resize(good.size() + more);
    CHECK_THAT(refusal(std::move(bad)), StartsWith("The snapshot file has "));
  }
}

TEST_CASE("Swapped and overwritten blocks are refused") {
  const Bytes good = sample();
  std::mt19937 random(7);
  for (int round = 0; round < 2000; ++round) {
    Bytes bad = good;
    const std::size_t length = 1 + random() % 64;
    const std::size_t from = random() % (good.size() - length);
    const std::size_t to = random() % (good.size() - length);
    std::copy_n(good.begin() + static_cast<std::ptrdiff_t>(from), length,
                bad.begin() + static_cast<std::ptrdiff_t>(to));
    if (bad != good) {
      REQUIRE(refusal(std::move(bad)) != "accepted");
    }
  }
}

TEST_CASE("Another file is told by its magic") {
  Bytes bytes = sample();
  std::ranges::copy(bytes_of("\177ELF\2\1\1\3"), bytes.begin());
  CHECK_THAT(refusal(std::move(bytes)), StartsWith("Magic value does not match arch: 216455366371460479"));
}

TEST_CASE("The version rule: the same major and at most our minor, said before anything else is looked at") {
  struct Case {
    SnapshotVersion version;
    bool accepted;
  };
  const auto [major, minor, patch] = kSnapshotVersion;
  const auto next = [](std::uint16_t number) { return static_cast<std::uint16_t>(number + 1); };
  const Case cases[] = {{{major, minor, 99}, true},
                        {{major, next(minor), 0}, false},
                        {{next(major), 0, 0}, false},
                        {{0, minor, patch}, false}};
  for (const Case& each : cases) {
    Bytes bytes = sample();
    StateHeader header = header_of(bytes);
    header.version_major = each.version.major;
    header.version_minor = each.version.minor;
    header.version_patch = each.version.patch;
    header.header_bytes = each.accepted ? header.header_bytes.get() : 77;
    reseal(bytes, header);
    const std::string text = refusal(std::move(bytes));
    CAPTURE(each.version.text());
    if (each.accepted) {
      CHECK(text == "accepted");
    } else {
      CHECK_THAT(text, StartsWith("Invalid data version: " + each.version.text() + "."));
    }
  }
}

TEST_CASE("A snapshot of another architecture is refused") {
  Bytes bytes = sample();
  StateHeader header = header_of(bytes);
  header.architecture = 183;  // ELF's number of AArch64
  reseal(bytes, header);
  CHECK_THAT(refusal(std::move(bytes)), StartsWith("Magic value does not match arch: 183"));
}

TEST_CASE("A header with right checksums and wrong values is refused") {
  const Bytes good = sample();
  const auto refused_with = [&good](auto change) {
    Bytes bad = good;
    StateHeader header = header_of(bad);
    change(header);
    reseal(bad, header);
    return refusal(std::move(bad)) != "accepted";
  };
  constexpr std::uint64_t kHuge = ~std::uint64_t{0};
  CHECK_FALSE(refused_with([](StateHeader&) {}));
  CHECK(refused_with([](StateHeader& header) { header.reserved[23] = 1; }));
  CHECK(refused_with([](StateHeader& header) { header.wisp_version[0] = 7; }));
  CHECK(refused_with([](StateHeader& header) { header.wisp_version[23] = 'x'; }));
  CHECK(refused_with([](StateHeader& header) { header.header_bytes = 127; }));
  CHECK(refused_with([](StateHeader& header) { header.section_count = 2; }));
  CHECK(refused_with([](StateHeader& header) { header.section_count = 4; }));
  CHECK(refused_with([](StateHeader& header) { header.section_count = 0xffffffffU; }));
  CHECK(refused_with([](StateHeader& header) { header.manifest_offset = 0; }));
  CHECK(refused_with([](StateHeader& header) { header.file_bytes = kHuge; }));
  for (const std::uint64_t value : {std::uint64_t{0}, kHuge, kHuge - 128, std::uint64_t{1} << 20}) {
    CHECK(refused_with([value](StateHeader& header) { header.manifest_bytes = value; }));
    CHECK(refused_with([value](StateHeader& header) { header.sections_offset = value; }));
    CHECK(refused_with([value](StateHeader& header) { header.sections_bytes = value; }));
    CHECK(refused_with([value](StateHeader& header) {
      header.manifest_bytes = value;
      header.sections_offset = 128 + value + 1;  // wraps
      header.sections_bytes = header.file_bytes - header.sections_offset;
    }));
  }
}

TEST_CASE("Sections with right checksums and wrong shapes are refused") {
  const Bytes good = record(2, 3, "vmabc");
  CHECK(refusal(file_of(1, {good})) == "accepted");
  CHECK_THAT(refusal(file_of(2, {good, good})), Contains("name of its own"));
  CHECK_THAT(refusal(file_of(1, {good, good})), StartsWith("Bytes follow the last section"));
  CHECK_THAT(refusal(file_of(2, {good})), Contains("longer than the file"));
  CHECK_THAT(refusal(file_of(1, {record(0, 5, "vmabc")})), Contains("name of its own"));
  CHECK_THAT(refusal(file_of(1, {record(2, 3, "v abc")})), Contains("name of its own"));
  CHECK_THAT(refusal(file_of(1, {record(65, 0, std::string(65, 'a'))})), Contains("name of its own"));
  CHECK_THAT(refusal(file_of(1, {record(2, 4, "vmabc")})), Contains("longer than the file"));
  CHECK_THAT(refusal(file_of(1, {record(2, 0xffffffffU, "vmabc")})), Contains("longer than the file"));
  CHECK_THAT(refusal(file_of(1, {record(0xffff, 3, "vmabc")})), Contains("longer than the file"));
  CHECK_THAT(refusal(file_of(1, {record(2, 2, "vmabc")})), StartsWith("CRC64 validation failed"));
}

TEST_CASE("Nothing beyond the limits is written or read") {
  const TempDir dir;
  StateFileWriter writer;
  writer.add_section("big", Bytes(kMaxStateFileBytes));
  CHECK(writer.encode("{}").error().text() == "Snapshot size exceeds limit of 10000000 bytes");
  CHECK_FALSE(StateFileWriter().encode(std::string(kMaxManifestBytes + 1, ' ')).ok());
  CHECK(StateFileWriter().encode(std::string(kMaxManifestBytes, ' ')).ok());

  const Fd fd = image_rig::open_file(dir.file("huge"), O_RDWR | O_CREAT);
  REQUIRE(::ftruncate(fd.raw(), off_t{1} << 40) == 0);
  const auto huge = StateFile::open(dir.file("huge"));
  REQUIRE_FALSE(huge.ok());
  CHECK_THAT(huge.error().text(), StartsWith("Snapshot size exceeds limit of 10000000 bytes"));
  CHECK_FALSE(StateFile::open(dir.file("none")).ok());
  CHECK_FALSE(StateFile::open("/dev/zero").ok());
}

}  // namespace
}  // namespace wisp
