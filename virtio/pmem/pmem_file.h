// PmemFile: a host file, mapped so that it can be a piece of the guest's physical memory.
//
//   PmemFile file = WISP_TRY(PmemFile::open(config));           // at the start of the machine, not at PUT
//   slots.add(start, file.lend_iovec(key), read-only or not);   // the machine: KVM_MEM_READONLY for a read-only file
//   auto device = WISP_TRY(PmemDevice::create(config, std::move(file), start, loop, clock));
//
// The mapping is shared: what the guest writes is in the host's page cache at once and on the medium after sync(). Its
// length is the file's rounded up to 2 MiB; what lies behind the file's last page is private memory that is lost with
// the machine. A read-only file is mapped without write permission, so that not even a missing KVM_MEM_READONLY lets a
// write through (Kata CVE-2026-24834).
//
// The monitor itself never touches the mapping: an access behind the end of a file that was shrunk is a SIGBUS for
// whoever makes it. Made by the guest, it ends KVM_RUN with EFAULT (docs/pmem.md).
//
// The mapping stays where it is when the object is moved. It must outlive the memory slot made from it.
#pragma once

#include <sys/uio.h>

#include <cstddef>
#include <cstdint>

#include "virtio/pmem/backend.h"
#include "vmm/base/result.h"
#include "vmm/config/pmem.h"
#include "vmm/memory/volatile_slice.h"

namespace wisp {

/// Linux maps persistent memory in such blocks; start and size are multiples.
inline constexpr std::uint64_t kPmemAlignmentBytes = std::uint64_t{2} << 20U;

class PmemFile final : public PmemBackend {
 public:
  static Result<PmemFile> open(const PmemConfig& config);
  /// The same with a descriptor that a stranger has opened; config.path_on_host is for texts.
  static Result<PmemFile> adopt_descriptor(Fd file, const PmemConfig& config);

  PmemFile(PmemFile&& other) noexcept;
  PmemFile& operator=(PmemFile&& other) noexcept;
  PmemFile(const PmemFile&) = delete;
  PmemFile& operator=(const PmemFile&) = delete;
  ~PmemFile() override { unmap(); }

  std::uint64_t size_bytes() const override { return size_bytes_; }
  std::uint64_t file_size_bytes() const override { return file_size_bytes_; }
  Access access() const override { return access_; }
  [[nodiscard]] int sync() override;
  /// The whole mapping, for a memory slot.
  iovec lend_iovec(KernelIoKey) const { return {host_, size_bytes_}; }

 private:
  PmemFile(Fd file, std::uint64_t file_size_bytes, Access access);
  static Result<PmemFile> adopt(Fd file, const PmemConfig& config);
  Status map(const PmemConfig& config);
  void unmap();

  Fd file_;
  std::byte* host_ = nullptr;
  std::uint64_t size_bytes_ = 0;
  std::uint64_t file_size_bytes_ = 0;
  Access access_ = Access::ReadOnly;
};

}  // namespace wisp
