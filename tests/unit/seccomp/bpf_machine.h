// A classic-BPF machine as far as seccomp programs use it: what would the kernel answer to this call?
#pragma once

#include <linux/filter.h>
#include <linux/seccomp.h>

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <optional>
#include <span>

namespace wisp {

class BpfMachine {
 public:
  explicit BpfMachine(std::span<const sock_filter> program) : program_(program) {}

  /// The verdict, or nothing when the program is malformed (the kernel would have refused it).
  std::optional<std::uint32_t> run(const seccomp_data& call) const {
    std::uint32_t accumulator = 0;
    for (std::size_t position = 0; position < program_.size(); ++position) {
      const sock_filter& each = program_[position];
      switch (each.code) {
        case BPF_LD | BPF_W | BPF_ABS:
          if (each.k % 4 != 0 || each.k + 4 > sizeof(call)) {
            return std::nullopt;
          }
          std::memcpy(&accumulator, reinterpret_cast<const char*>(&call) + each.k, 4);
          break;
        case BPF_ALU | BPF_AND | BPF_K: accumulator &= each.k; break;
        case BPF_JMP | BPF_JA: position += each.k; break;
        case BPF_JMP | BPF_JEQ | BPF_K: position += accumulator == each.k ? each.jt : each.jf; break;
        case BPF_JMP | BPF_JGT | BPF_K: position += accumulator > each.k ? each.jt : each.jf; break;
        case BPF_JMP | BPF_JGE | BPF_K: position += accumulator >= each.k ? each.jt : each.jf; break;
        case BPF_JMP | BPF_JSET | BPF_K: position += (accumulator & each.k) != 0 ? each.jt : each.jf; break;
        case BPF_RET | BPF_K: return each.k;
        default: return std::nullopt;
      }
    }
    return std::nullopt;
  }

 private:
  std::span<const sock_filter> program_;
};

}  // namespace wisp
