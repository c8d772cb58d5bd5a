#include "vmm/kvm/vm.h"

#include <sys/ioctl.h>

#include <cerrno>

#include "vmm/base/assert.h"

namespace wisp {

Status KvmVm::set_tss_address(std::uint64_t address) const {
  if (::ioctl(fd_.raw(), KVM_SET_TSS_ADDR, address) != 0) {
    return Error::host(errno, "Kvm error: cannot set the TSS address");
  }
  return {};
}

Status KvmVm::create_irqchip() const {
  if (::ioctl(fd_.raw(), KVM_CREATE_IRQCHIP, 0) != 0) {
    return Error::host(errno, "Kvm error: cannot create the interrupt controllers");
  }
  return {};
}

Status KvmVm::create_pit() const {
  kvm_pit_config config{};
  config.flags = KVM_PIT_SPEAKER_DUMMY;
  if (::ioctl(fd_.raw(), KVM_CREATE_PIT2, &config) != 0) {
    return Error::host(errno, "Kvm error: cannot create the timer (PIT)");
  }
  return {};
}

Result<KvmVcpu> KvmVm::create_vcpu(std::uint32_t index) const {
  Fd fd(::ioctl(fd_.raw(), KVM_CREATE_VCPU, static_cast<unsigned long>(index)));
  if (!fd.valid()) {
    return Error::host(errno, "Kvm error: cannot create vCPU " + std::to_string(index));
  }
  // Asked of the VM, not of /dev/kvm: the answer depends on what the process may use. Kernels before 5.17 do not know
  // it.
  const int xsave_size = ::ioctl(fd_.raw(), KVM_CHECK_EXTENSION, KVM_CAP_XSAVE2);
  return KvmVcpu::map(std::move(fd), run_size_bytes_, xsave_size > 0 ? static_cast<std::size_t>(xsave_size) : 0);
}

Status KvmVm::bind_interrupt(FdRef event, std::uint32_t gsi) const {
  kvm_irqfd request{};
  request.fd = static_cast<std::uint32_t>(event.raw());
  request.gsi = gsi;
  if (::ioctl(fd_.raw(), KVM_IRQFD, &request) != 0) {
    return Error::host(errno, "Kvm error: cannot bind interrupt line " + std::to_string(gsi));
  }
  return {};
}

Status KvmVm::bind_doorbell(FdRef event, std::uint64_t address, std::optional<std::uint32_t> value) const {
  kvm_ioeventfd request{};
  request.addr = address;
  request.fd = event.raw();
  if (value) {
    request.len = sizeof(*value);
    request.datamatch = *value;
    request.flags = KVM_IOEVENTFD_FLAG_DATAMATCH;
  }
  if (::ioctl(fd_.raw(), KVM_IOEVENTFD, &request) != 0) {
    return Error::host(errno, "Kvm error: cannot bind a queue's doorbell");
  }
  return {};
}

// ---------------------------------------------------------------------------------------------------------------------
// Memory slots.

Status KvmSlots::set_slot(const KvmVm& vm, std::uint32_t slot_id, GuestAddress address, iovec host,
                          std::uint32_t flags) {
  kvm_userspace_memory_region region{};
  region.slot = slot_id;
  region.flags = flags;
  region.guest_phys_addr = address.value();
  region.memory_size = host.iov_len;
  region.userspace_addr = reinterpret_cast<std::uintptr_t>(host.iov_base);
  if (::ioctl(vm.fd_.raw(), KVM_SET_USER_MEMORY_REGION, &region) != 0) {
    return Error::host(errno, "Kvm error: cannot register guest memory region " + std::to_string(slot_id));
  }
  return {};
}

Status KvmSlots::register_slot(const KvmVm& vm, const GuestMemory& memory, std::uint32_t slot_id, GuestRange range,
                               DirtyLogging logging) {
  const auto host = memory.lend_range(range, KernelIoKey{});
  WISP_ASSERT(host.has_value());
  return set_slot(vm, slot_id, range.start, *host, logging == DirtyLogging::On ? KVM_MEM_LOG_DIRTY_PAGES : 0);
}

Status KvmSlots::register_all(const KvmVm& vm, const GuestMemory& memory, DirtyLogging logging) {
  for (std::size_t index = 0; index < memory.region_count(); ++index) {
    if (memory.region_kind(index) == RegionKind::Ram) {
      (void)WISP_TRY(register_slot(vm, memory, static_cast<std::uint32_t>(index), memory.region_range(index), logging));
    }
  }
  return {};
}

Status KvmSlots::remove_slot(const KvmVm& vm, std::uint32_t slot_id) {
  // A size of zero deletes the slot.
  kvm_userspace_memory_region region{};
  region.slot = slot_id;
  if (::ioctl(vm.fd_.raw(), KVM_SET_USER_MEMORY_REGION, &region) != 0) {
    return Error::host(errno, "Kvm error: cannot remove guest memory region " + std::to_string(slot_id));
  }
  return {};
}

Result<std::vector<std::uint64_t>> KvmSlots::take_dirty_log(const KvmVm& vm, std::uint32_t slot_id,
                                                            std::uint64_t page_count) {
  constexpr std::uint64_t kPagesPerWord = 64;
  WISP_ASSERT(page_count > 0);
  std::vector<std::uint64_t> words((page_count + kPagesPerWord - 1) / kPagesPerWord);
  kvm_dirty_log request{};
  request.slot = slot_id;
  request.dirty_bitmap = words.data();
  if (::ioctl(vm.fd_.raw(), KVM_GET_DIRTY_LOG, &request) != 0) {
    return Error::host(
        errno, "Kvm error: cannot read which pages of guest memory region " + std::to_string(slot_id) + " were written",
        errno == ENOENT ? "Turn on track_dirty_pages for this machine" : "");
  }
  return words;
}

}  // namespace wisp
