// The checks of `wisp doctor`: a table of names and small functions.
//
//   const HostReport report = examine(ThisHost());
//   std::fputs(report_text(report, Detail::Brief).c_str(), stdout);
//
// A check reads the host and changes nothing. It answers with one line, and with a remedy unless all is well. A failure
// is what keeps wisp from running at all; what costs a feature, speed or safety is a warning. A new check is a function
// in one of the *_checks.cpp files, a line in its table, and a test that presents the host that it is about.
#pragma once

#include <span>

#include "vmm/doctor/host.h"
#include "vmm/doctor/report.h"

namespace wisp {

struct HostCheck {
  const char* name;
  Finding (*run)(const Host&);
};

/// In the order in which they are shown.
std::vector<HostCheck> all_checks();
HostReport examine(const Host& host);

// The tables, by what they look at.
std::span<const HostCheck> kvm_checks();          ///< the device, its capabilities, the processor
std::span<const HostCheck> kernel_checks();       ///< versions, clock, what else the kernel offers
std::span<const HostCheck> confinement_checks();  ///< what locks the monitor in
std::span<const HostCheck> resource_checks();     ///< memory, huge pages, limits
std::span<const HostCheck> isolation_checks();    ///< what keeps guests apart from each other

}  // namespace wisp
