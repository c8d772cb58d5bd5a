#include "vmm/legacy/vm_gen_id.h"

#include <sys/random.h>

#include <array>
#include <cerrno>

#include "vmm/base/random.h"

namespace wisp {
namespace {

using Identifier = std::array<std::byte, VmGenId::kPlace.size_bytes>;
// The specification asks for 8-byte alignment.
static_assert(sizeof(Identifier) == 16 && VmGenId::kPlace.start.is_aligned(8));

Result<Identifier> random_identifier() {
  Identifier identifier;
  (void)WISP_TRY(fill_random(identifier, "the VM generation identifier"));
  return identifier;
}

}  // namespace

Result<VmGenId> VmGenId::create(const GuestMemory& memory, GenerationPage page) {
  VmGenId device(memory, WISP_TRY(EventFd::create()));
  if (page == GenerationPage::Fresh) {
    (void)WISP_TRY(device.write_new());
  }
  return device;
}

Status VmGenId::renew() const {
  (void)WISP_TRY(write_new());
  event_.signal();
  return {};
}

Status VmGenId::write_new() const {
  const Identifier identifier = WISP_TRY(random_identifier());
  if (!memory_->write_bytes(kPlace.start, identifier)) {
    return Error(ErrorCode::InvalidArgument,
                 "guest memory has no room for the VM generation identifier below 0xe0000. Raise mem_size_mib");
  }
  return {};
}

}  // namespace wisp
