#include "vmm/control/load_overrides.h"

#include <sys/mman.h>
#include <unistd.h>

#include <catch2/catch.hpp>
#include <limits>

namespace wisp {
namespace {

Result<std::string> read_of(const std::string& contents, std::size_t limit_bytes) {
  Fd file(::memfd_create("text", MFD_CLOEXEC));
  REQUIRE(::write(file.raw(), contents.data(), contents.size()) == static_cast<ssize_t>(contents.size()));
  auto received = std::make_shared<std::vector<Fd>>();
  received->push_back(std::move(file));
  InheritedDescriptors inherited;
  DescriptorPool pool(std::move(received), inherited);
  return read_text({.path = {}, .descriptor = DescriptorRef(0U)}, "metadata file", limit_bytes, pool);
}

}  // namespace

TEST_CASE("a text of exactly the limit is read, one byte more is refused") {
  for (const std::size_t size :
       {std::size_t{0}, std::size_t{1}, std::size_t{65'536}, std::size_t{65'537}, std::size_t{200'000}}) {
    const std::string contents(size, 'x');
    const auto whole = read_of(contents, size);
    REQUIRE(whole.ok());
    CHECK(whole.value() == contents);
    const auto over = read_of(contents + "y", size);
    REQUIRE_FALSE(over.ok());
    CHECK(over.error().code() == ErrorCode::LimitExceeded);
  }
}

TEST_CASE("a limit that no memory could hold costs what the file has") {
  const auto read = read_of("{}", std::numeric_limits<std::size_t>::max());
  REQUIRE(read.ok());
  CHECK(read.value() == "{}");
}

}  // namespace wisp
