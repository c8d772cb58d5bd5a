#include "vmm/machine/cpuid_prefetch.h"

#include <sys/syscall.h>
#include <unistd.h>

#include <utility>

namespace wisp {
namespace {

constexpr ThreadStyle kStyle{
    .name = "wisp_cpuid", .log_name = "cpuid", .kind = ThreadKind::Setup, .stack_bytes = std::size_t{64} * 1024};

/// AMX state is large and the kernel gives it to guests on request only; KVM's table has it from then on. The request
/// is the process's, and comes before the first vCPU. Hosts without AMX refuse, which is no error.
void request_guest_amx() {
  constexpr unsigned long kArchReqXcompGuestPerm = 0x1025;
  constexpr unsigned long kXfeatureXtiledata = 18;
  (void)::syscall(SYS_arch_prctl, kArchReqXcompGuestPerm, kXfeatureXtiledata);
}

Result<std::vector<kvm_cpuid_entry2>> read_table(const KvmSystem& system) {
  request_guest_amx();
  return system.supported_cpuid();
}

}  // namespace

void CpuidPrefetch::start() {
  Result<Thread> thread = Thread::start(kStyle, [this] {
    const Result<KvmSystem> system = KvmSystem::open();
    if (!system.ok()) {
      return;
    }
    Result<std::vector<kvm_cpuid_entry2>> table = read_table(system.value());
    if (table.ok()) {
      table_ = std::move(table).value();
    }
  });
  if (thread.ok()) {
    thread_ = std::move(thread).value();
  }
}

Result<std::vector<kvm_cpuid_entry2>> CpuidPrefetch::take(const KvmSystem& system) {
  thread_.join();
  return table_ ? *std::exchange(table_, std::nullopt) : read_table(system);
}

}  // namespace wisp
