// CpuidPrefetch: KVM's table of supported CPUID, asked for on a thread of its own while the machine is being prepared.
//
// KVM makes the table by asking the processor for each of some 75 leaves. Where CPUID traps to a hypervisor below
// (every cloud host) that takes a quarter of a millisecond, as long as everything else that KVM does at a start. It
// depends on nothing that is configured, so it can begin before there is a configuration.
//
//   CpuidPrefetch prefetch;
//   prefetch.start();                        // once the process is confined; the thread inherits that
//   auto cpuid = prefetch.take(system);      // waits; asks `system` when there is nothing to take (any more)
#pragma once

#include <optional>
#include <vector>

#include "vmm/events/thread.h"
#include "vmm/kvm/system.h"

namespace wisp {

class CpuidPrefetch {
 public:
  CpuidPrefetch() = default;
  /// The thread knows where this is.
  CpuidPrefetch(const CpuidPrefetch&) = delete;
  CpuidPrefetch& operator=(const CpuidPrefetch&) = delete;

  /// Without a thread or KVM there is no table, and take() finds out why.
  void start();
  Result<std::vector<kvm_cpuid_entry2>> take(const KvmSystem& system);

 private:
  std::optional<std::vector<kvm_cpuid_entry2>> table_;  ///< the thread's until it is joined
  Thread thread_;                                       ///< last: joined before the table goes
};

}  // namespace wisp
