// The operator's own filters in a file: what --seccomp-filter reads and `wisp seccomp compile` writes.
//
//   FilterMap filters = WISP_TRY(read_filter_file("/etc/wisp/filters"));   // decoded and checked, nothing installed
//   filters["vcpu"]                                                         // instructions of that thread category
//
// The format is the one of the reference's filter compiler (version 1.17), so its files can be given to wisp and ours
// to it: a map from thread category to BPF instructions (one 64-bit number each, as struct sock_filter lies in memory),
// in the encoding "bitcode" 0.6 for serde. That encoding goes column by column:
//
//   number of entries        one byte
//   lengths of the names     packed bytes
//   the names                one after the other
//   lengths of the programs  packed bytes; 255 means: the next of the long lengths
//   long lengths             packed integers, only when there are any
//   all instructions         packed integers
//
// Packed columns begin with a byte that says how: every value in 8, 4, 2 or 1 byte, or several values in a byte (base
// 16, 6, 4, 3 or 2), with or without a smallest value to be added. Packed bytes of at most two values lack that byte.
//
// Rules: at most kMaxFilterFileBytes; nothing after the end; the categories vmm, api and vcpu, each once, in any case
// of letters; setup and guard on request (docs/seccomp.md); each program such as the kernel takes.
#pragma once

#include <linux/filter.h>

#include <cstddef>
#include <cstdint>
#include <map>
#include <span>
#include <string>
#include <vector>

#include "vmm/base/result.h"

namespace wisp::seccomp {

inline constexpr std::size_t kMaxFilterFileBytes = 100'000;
inline constexpr std::size_t kMaxFilterInstructions = 4096;  // BPF_MAXINSNS of the kernel
inline constexpr std::size_t kMaxFilterCategories = 5;
inline constexpr std::size_t kMaxCategoryNameBytes = 16;

/// Lower-case thread category -> its program; an empty one installs nothing.
using FilterMap = std::map<std::string, std::vector<sock_filter>>;

Result<FilterMap> decode_filters(std::span<const std::uint8_t> bytes);
/// The same from a regular file.
Result<FilterMap> read_filter_file(const std::string& path);
std::vector<std::uint8_t> encode_filters(const FilterMap& filters);

/// Would the kernel install this? Known operations only, jumps inside, no division by zero, ends with a verdict.
Status check_program(std::span<const sock_filter> program);

}  // namespace wisp::seccomp
