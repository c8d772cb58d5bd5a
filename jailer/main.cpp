// wisp-jailer: starts the monitor in confinement (docs/jailer.md).
#include <cstdio>

#include "jailer/jail/jail.h"
#include "vmm/base/clock.h"

namespace {

int complain(const wisp::Error& error) {
  std::fprintf(stderr, "wisp-jailer: %s\n", error.text().c_str());
  return 1;
}

void warn_of_weak_choices(const wisp::JailPlan& plan) {
  if (plan.uid == 0) {
    std::fputs("wisp-jailer: warning: --uid 0 lets the monitor own what root owns. Give each jail a user of its own\n",
               stderr);
  }
  if (plan.parent_cgroup && plan.cgroups.empty() && plan.cgroup_version == wisp::CgroupVersion::V1) {
    std::fputs("wisp-jailer: warning: --parent-cgroup does nothing without --cgroup in cgroup version 1\n", stderr);
  }
}

int start(std::span<char* const> words, wisp::StartTimes times) {
  auto plan = wisp::plan_jail(words);
  if (!plan.ok()) {
    return complain(plan.error());
  }
  auto host = wisp::survey_host(plan.value());
  if (!host.ok()) {
    return complain(host.error());
  }
  if (plan.value().dry_run == wisp::DryRun::Yes) {
    std::fputs(wisp::describe(plan.value(), host.value()).c_str(), stdout);
    return 0;
  }
  warn_of_weak_choices(plan.value());
  return wisp::Jail(plan.value(), std::move(host).value(), times).enter();
}

}  // namespace

int main(int argc, char** argv) {
  const wisp::StartTimes times{wisp::monotonic_us(), wisp::process_cpu_time_us()};
  if (const wisp::Status shed = wisp::shed_inheritance(); !shed.ok()) {
    return complain(shed.error());
  }
  const std::span<char* const> words(argv + (argc > 0 ? 1 : 0), static_cast<std::size_t>(argc > 0 ? argc - 1 : 0));
  if (const auto answer = wisp::early_jailer_answer(words)) {
    std::fputs(answer->c_str(), stdout);
    return 0;
  }
  return start(words, times);
}
