// The monitor's system call filters at run time: which program each kind of thread gets, and how it is installed.
//
//   seccomp::use(FilterSet::built_in());     // main(), before the first thread; from then on
//   confine_this_thread(ThreadKind::Api);    // (vmm/base/confinement.h) installs the thread's filter
//
// The programs are made at build time from a readable policy (jailer/seccomp/policy) or come from a file of the
// operator's (filter_file.h). Installing one is a single system call.
#pragma once

#include <linux/filter.h>

#include <span>
#include <vector>

#include "jailer/seccomp/filter_file.h"
#include "vmm/base/confinement.h"

namespace wisp::seccomp {

/// A filter; an empty one installs nothing.
using Program = std::span<const sock_filter>;

/// Weakening has a name, so that it is seen in review.
struct IUnderstandThisRemovesContainment {};

/// One program a thread kind. The arrays live as long as the process.
class FilterSet {
 public:
  static FilterSet built_in();
  static FilterSet disabled(IUnderstandThisRemovesContainment /*token*/) { return {}; }
  /// The operator's own. Without a program "setup" the main thread is unfiltered until the machine is built, as in the
  /// reference; without a program "guard" that thread gets the one of "vmm".
  static FilterSet custom(const FilterMap& filters, IUnderstandThisRemovesContainment token);

  Program of(ThreadKind kind) const { return programs_[static_cast<std::size_t>(kind)]; }

 private:
  Program programs_[5];
};

/// Makes confine_this_thread() install these. A thread whose filter the kernel refuses ends the process.
void use(const FilterSet& filters);

/// "openat", or nullptr for a number without a name. May be called in signal handlers.
const char* call_name(int number);
/// The number of a call, or -1.
int call_number(const char* name);

}  // namespace wisp::seccomp
