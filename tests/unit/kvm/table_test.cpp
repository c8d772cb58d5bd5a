#include "vmm/kvm/table.h"

#include <array>
#include <catch2/catch.hpp>

namespace wisp {

TEST_CASE("ioctl numbers with variable-length arguments are those that C computes") {
  CHECK(kKvmGetSupportedCpuid == 0xc008ae05UL);
  CHECK(kKvmSetCpuid2 == 0x4008ae90UL);
  CHECK(kKvmSetMsrs == 0x4008ae89UL);
  CHECK(kKvmGetCpuid2 == 0xc008ae91UL);
  CHECK(kKvmGetMsrIndexList == 0xc004ae02UL);
  CHECK(kKvmGetXsave == 0x9000aea4UL);
  CHECK(kKvmSetXsave == 0x5000aea5UL);
  CHECK(kKvmGetXsave2 == 0x9000aecfUL);
}

TEST_CASE("entries begin eight bytes behind the count") {
  std::array<kvm_msr_entry, 2> entries{};
  entries[0].index = 0x10;
  entries[1].data = 0x1122334455667788;
  KvmTable<kvm_msr_entry> table(entries);

  const auto* bytes = static_cast<const char*>(table.argument());
  std::uint32_t count = 0;
  kvm_msr_entry second{};
  std::memcpy(&count, bytes, sizeof(count));
  std::memcpy(&second, bytes + 8 + sizeof(kvm_msr_entry), sizeof(second));

  CHECK(count == 2);
  CHECK(second.data == 0x1122334455667788);
  CHECK(table.entries().front().index == 0x10);
}

}  // namespace wisp
