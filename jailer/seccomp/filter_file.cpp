#include "jailer/seccomp/filter_file.h"

#include <linux/bpf_common.h>
#include <linux/seccomp.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <string_view>

#include "jailer/seccomp/columns.h"
#include "vmm/base/fd.h"

namespace wisp::seccomp {
namespace {

static_assert(sizeof(sock_filter) == sizeof(std::uint64_t));

constexpr std::array<std::string_view, 3> kRequired = {"api", "vcpu", "vmm"};
constexpr std::array<std::string_view, 2> kOptional = {"guard", "setup"};
constexpr std::uint32_t kScratchWords = BPF_MEMWORDS;
constexpr std::uint32_t kWordBits = 32;

bool contains(std::span<const std::string_view> list, std::string_view name) {
  return std::find(list.begin(), list.end(), name) != list.end();
}

std::string lower(std::span<const std::uint8_t> bytes) {
  std::string text;
  for (const std::uint8_t byte : bytes) {
    text += static_cast<char>(byte >= 'A' && byte <= 'Z' ? byte - 'A' + 'a' : byte);
  }
  return text;
}

/// For an error's text: what is not plain ASCII becomes a question mark.
std::string printable(std::string text) {
  std::replace_if(
      text.begin(), text.end(), [](char c) { return c < 0x21 || c > 0x7e; }, '?');
  return text;
}

Result<std::vector<std::string>> read_names(ColumnReader& in, std::size_t count) {
  const auto lengths = WISP_TRY(in.lengths(count, kMaxCategoryNameBytes));
  std::vector<std::string> names;
  for (const std::size_t length : lengths) {
    std::string name = lower(WISP_TRY(in.raw(length)));
    if (!contains(kRequired, name) && !contains(kOptional, name)) {
      return Error(ErrorCode::InvalidArgument, "Invalid thread categories: " + printable(name));
    }
    if (std::find(names.begin(), names.end(), name) != names.end()) {
      return Error(ErrorCode::InvalidArgument, "Invalid thread categories: " + name + " is there twice");
    }
    names.push_back(std::move(name));
  }
  for (const std::string_view required : kRequired) {
    if (std::find(names.begin(), names.end(), required) == names.end()) {
      return Error(ErrorCode::InvalidArgument, "Missing thread category: " + std::string(required));
    }
  }
  return names;
}

/// The operation of an instruction: with a constant or with X, as the kernel's filter for seccomp knows them.
enum class Operation { Plain, Shift, Divide, Scratch, Load, Jump, Branch, Return, Unknown };

Operation arithmetic(std::uint16_t code) {
  const bool by_constant = BPF_SRC(code) == BPF_K;
  switch (BPF_OP(code)) {
    case BPF_DIV: return by_constant ? Operation::Divide : Operation::Plain;
    case BPF_LSH:
    case BPF_RSH: return by_constant ? Operation::Shift : Operation::Plain;
    case BPF_ADD:
    case BPF_SUB:
    case BPF_MUL:
    case BPF_AND:
    case BPF_OR:
    case BPF_XOR: return Operation::Plain;
    case BPF_NEG: return by_constant ? Operation::Plain : Operation::Unknown;
    default: return Operation::Unknown;
  }
}

Operation operation_of(std::uint16_t code) {
  switch (code) {
    case BPF_LD | BPF_W | BPF_ABS: return Operation::Load;
    case BPF_LD | BPF_W | BPF_LEN:
    case BPF_LDX | BPF_W | BPF_LEN:
    case BPF_LD | BPF_IMM:
    case BPF_LDX | BPF_IMM:
    case BPF_MISC | BPF_TAX:
    case BPF_MISC | BPF_TXA: return Operation::Plain;
    case BPF_LD | BPF_MEM:
    case BPF_LDX | BPF_MEM:
    case BPF_ST:
    case BPF_STX: return Operation::Scratch;
    case BPF_RET | BPF_K:
    case BPF_RET | BPF_A: return Operation::Return;
    case BPF_JMP | BPF_JA: return Operation::Jump;
    case BPF_JMP | BPF_JEQ | BPF_K:
    case BPF_JMP | BPF_JEQ | BPF_X:
    case BPF_JMP | BPF_JGE | BPF_K:
    case BPF_JMP | BPF_JGE | BPF_X:
    case BPF_JMP | BPF_JGT | BPF_K:
    case BPF_JMP | BPF_JGT | BPF_X:
    case BPF_JMP | BPF_JSET | BPF_K:
    case BPF_JMP | BPF_JSET | BPF_X: return Operation::Branch;
    default: return code < 256 && BPF_CLASS(code) == BPF_ALU ? arithmetic(code) : Operation::Unknown;
  }
}

/// `after` instructions follow this one.
bool is_sound(const sock_filter& each, std::size_t after) {
  switch (operation_of(each.code)) {
    case Operation::Plain:
    case Operation::Return: return true;
    case Operation::Shift: return each.k < kWordBits;
    case Operation::Divide: return each.k != 0;
    case Operation::Scratch: return each.k < kScratchWords;
    case Operation::Load: return each.k < sizeof(seccomp_data) && each.k % sizeof(std::uint32_t) == 0;
    case Operation::Jump: return each.k < after;
    case Operation::Branch: return each.jt < after && each.jf < after;
    case Operation::Unknown: return false;
  }
  return false;
}

Result<std::vector<sock_filter>> as_program(std::span<const std::uint64_t> numbers, const std::string& name) {
  std::vector<sock_filter> program(numbers.size());
  if (!numbers.empty()) {
    std::memcpy(program.data(), numbers.data(), numbers.size_bytes());
  }
  if (Status status = check_program(program); !status.ok()) {
    return std::move(status).error().with_prefix("the program of the thread category " + name + ": ");
  }
  return program;
}

}  // namespace

Status check_program(std::span<const sock_filter> program) {
  if (program.size() > kMaxFilterInstructions) {
    return Error(ErrorCode::LimitExceeded, std::to_string(program.size()) +
                                               " instructions are more than the kernel's " +
                                               std::to_string(kMaxFilterInstructions));
  }
  for (std::size_t index = 0; index < program.size(); ++index) {
    if (!is_sound(program[index], program.size() - index - 1)) {
      return Error(ErrorCode::InvalidArgument,
                   "instruction " + std::to_string(index) + " is none that the kernel takes");
    }
  }
  if (!program.empty() && operation_of(program.back().code) != Operation::Return) {
    return Error(ErrorCode::InvalidArgument, "it does not end with a verdict");
  }
  return {};
}

Result<FilterMap> decode_filters(std::span<const std::uint8_t> bytes) {
  if (bytes.size() > kMaxFilterFileBytes) {
    return Error(ErrorCode::LimitExceeded,
                 "Input size exceeds limit of " + std::to_string(kMaxFilterFileBytes) + " bytes");
  }
  ColumnReader in(bytes);
  const std::size_t count = WISP_TRY(in.lengths(1, kMaxFilterCategories)).front();
  const auto names = WISP_TRY(read_names(in, count));
  const auto lengths = WISP_TRY(in.lengths(count, kMaxFilterInstructions));
  std::size_t total = 0;
  for (const std::size_t length : lengths) {
    total += length;
  }
  const auto numbers = WISP_TRY(in.packed_integers(total));
  if (!in.at_end()) {
    return Error(ErrorCode::Corrupt, "bytes follow after the last instruction");
  }
  FilterMap filters;
  std::span<const std::uint64_t> rest(numbers);
  for (std::size_t index = 0; index < count; ++index) {
    filters[names[index]] = WISP_TRY(as_program(rest.first(lengths[index]), names[index]));
    rest = rest.subspan(lengths[index]);
  }
  return filters;
}

Result<FilterMap> read_filter_file(const std::string& path) {
  const Fd fd = WISP_TRY(open_data_file("seccomp filter file", path, Access::ReadOnly, FileKind::Regular));
  std::vector<std::uint8_t> bytes(kMaxFilterFileBytes + 1);
  std::size_t used = 0;
  while (used < bytes.size()) {
    const ssize_t count = ::read(fd.raw(), bytes.data() + used, bytes.size() - used);
    if (count < 0) {
      return Error::host(errno, "cannot read the seccomp filter file '" + path + "'");
    }
    if (count == 0) {
      break;
    }
    used += static_cast<std::size_t>(count);
  }
  if (used > 0 && bytes[0] == '{') {
    return Error(ErrorCode::InvalidArgument, "the seccomp filter file '" + path +
                                                 "' is not compiled. Do that with: wisp seccomp compile IN.json OUT");
  }
  auto filters = decode_filters(std::span(bytes).first(used));
  if (!filters.ok()) {
    return std::move(filters).error().with_prefix("the seccomp filter file '" + path + "' is not usable: ");
  }
  return filters;
}

std::vector<std::uint8_t> encode_filters(const FilterMap& filters) {
  ColumnWriter out;
  std::vector<std::size_t> name_lengths;
  std::vector<std::size_t> program_lengths;
  std::string names;
  std::vector<std::uint64_t> numbers;
  for (const auto& [name, program] : filters) {
    name_lengths.push_back(name.size());
    names += name;
    program_lengths.push_back(program.size());
    numbers.resize(numbers.size() + program.size());
    if (!program.empty()) {
      std::memcpy(&numbers[numbers.size() - program.size()], program.data(), program.size() * sizeof(sock_filter));
    }
  }
  out.lengths(std::vector<std::size_t>{filters.size()});
  out.lengths(name_lengths);
  out.raw(std::span(reinterpret_cast<const std::uint8_t*>(names.data()), names.size()));
  out.lengths(program_lengths);
  out.packed_integers(numbers);
  return out.take();
}

}  // namespace wisp::seccomp
