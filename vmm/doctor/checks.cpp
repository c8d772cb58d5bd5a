#include "vmm/doctor/checks.h"

#include <array>

namespace wisp {

std::vector<HostCheck> all_checks() {
  std::vector<HostCheck> all;
  for (const auto table :
       std::array{kvm_checks(), kernel_checks(), confinement_checks(), resource_checks(), isolation_checks()}) {
    all.insert(all.end(), table.begin(), table.end());
  }
  return all;
}

HostReport examine(const Host& host) {
  HostReport report;
  for (const HostCheck& check : all_checks()) {
    report.results.push_back({check.name, check.run(host)});
  }
  return report;
}

}  // namespace wisp
