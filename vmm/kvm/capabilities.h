// What wisp asks of the host's KVM, as a table: a capability, how much of it, and what is lost without it.
//
// Needed ones are checked when /dev/kvm is opened (system.h); `wisp doctor` tells of the others too.
#pragma once

#include <span>

namespace wisp {

struct KvmCapability {
  int number;
  const char* name;
  int minimum;       ///< the least value that KVM_CHECK_EXTENSION may answer
  const char* lost;  ///< what does not work without it
};

/// Without one of these there is no machine.
std::span<const KvmCapability> needed_kvm_capabilities();
/// Without one of these a machine runs, and lacks something.
std::span<const KvmCapability> optional_kvm_capabilities();

}  // namespace wisp
