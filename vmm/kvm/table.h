// KvmTable: the variable-length arguments of KVM (kvm_cpuid2, kvm_msrs): a count, padding, then entries.
//
// The kernel's own structures cannot be used from C++: their flexible array is declared next to an empty structure,
// which has size 0 in C and 1 in C++, so that sizeof, and with it the ioctl's number and the place of the entries, come
// out wrong. struct kvm_xsave has the same trap: its numbers are here too, its bytes are a plain buffer.
#pragma once

#include <linux/kvm.h>

#include <cstdint>
#include <cstring>
#include <span>
#include <vector>

namespace wisp {

/// More than any host has; KVM takes no more either (KVM_MAX_CPUID_ENTRIES).
inline constexpr std::size_t kMaxCpuidEntries = 256;

template <typename Entry>
class KvmTable {
 public:
  explicit KvmTable(std::size_t capacity) : words_((kHeaderBytes + capacity * sizeof(Entry) + 7) / 8) {
    set_count(capacity);
  }
  explicit KvmTable(std::span<const Entry> entries) : KvmTable(entries.size()) {
    if (!entries.empty()) {
      std::memcpy(bytes() + kHeaderBytes, entries.data(), entries.size_bytes());
    }
  }

  void* argument() { return words_.data(); }
  std::vector<Entry> entries() const {
    const auto* first = reinterpret_cast<const Entry*>(reinterpret_cast<const char*>(words_.data()) + kHeaderBytes);
    return std::vector<Entry>(first, first + count());
  }

  static constexpr std::size_t kHeaderBytes = 2 * sizeof(std::uint32_t);

 private:
  char* bytes() { return reinterpret_cast<char*>(words_.data()); }
  std::uint32_t count() const {
    std::uint32_t value = 0;
    std::memcpy(&value, words_.data(), sizeof(value));
    return value;
  }
  void set_count(std::size_t value) {
    const auto narrow = static_cast<std::uint32_t>(value);
    std::memcpy(words_.data(), &narrow, sizeof(narrow));
  }

  std::vector<std::uint64_t> words_;
};

// The numbers as C computes them.
inline constexpr unsigned long kKvmGetSupportedCpuid =
    _IOC(_IOC_READ | _IOC_WRITE, KVMIO, 0x05, KvmTable<kvm_cpuid_entry2>::kHeaderBytes);
inline constexpr unsigned long kKvmGetCpuid2 =
    _IOC(_IOC_READ | _IOC_WRITE, KVMIO, 0x91, KvmTable<kvm_cpuid_entry2>::kHeaderBytes);
inline constexpr unsigned long kKvmSetCpuid2 = _IOC(_IOC_WRITE, KVMIO, 0x90, KvmTable<kvm_cpuid_entry2>::kHeaderBytes);
/// Its argument has no padding behind the count.
inline constexpr unsigned long kKvmGetMsrIndexList = _IOC(_IOC_READ | _IOC_WRITE, KVMIO, 0x02, sizeof(std::uint32_t));
inline constexpr unsigned long kKvmGetMsrs =
    _IOC(_IOC_READ | _IOC_WRITE, KVMIO, 0x88, KvmTable<kvm_msr_entry>::kHeaderBytes);
inline constexpr unsigned long kKvmSetMsrs = _IOC(_IOC_WRITE, KVMIO, 0x89, KvmTable<kvm_msr_entry>::kHeaderBytes);
inline constexpr unsigned long kKvmGetXsave = _IOC(_IOC_READ, KVMIO, 0xa4, sizeof(kvm_xsave::region));
inline constexpr unsigned long kKvmSetXsave = _IOC(_IOC_WRITE, KVMIO, 0xa5, sizeof(kvm_xsave::region));
inline constexpr unsigned long kKvmGetXsave2 = _IOC(_IOC_READ, KVMIO, 0xcf, sizeof(kvm_xsave::region));

}  // namespace wisp
