// The policy for readers: as numbered lines and as Markdown.
#pragma once

namespace wisp::seccomp {

/// "12 vmm,vcpu futex arg1&0x7f=0x0": what scripts/seccomp-audit leaves out one by one.
void print_rules();
/// One table a thread kind and one of what is always killed; docs/seccomp-table.md holds them.
void print_tables();

}  // namespace wisp::seccomp
