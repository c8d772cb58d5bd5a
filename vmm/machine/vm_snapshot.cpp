// The capturing side of Vm: its sections, its memory, and which pages have changed since when.
#include <unistd.h>

#include <cstdio>

#include "snapshot/image/memory_image.h"
#include "vmm/arch/x86_64/layout.h"
#include "vmm/base/confinement.h"
#include "vmm/base/log.h"
#include "vmm/kvm/shadow_stack.h"
#include "vmm/kvm/vcpu_state.h"
#include "vmm/machine/vm.h"

namespace wisp {

Status Vm::capture(StateFileWriter& out) {
  devices_->save(out);
  StateWriter vm;
  const KvmVmState state = WISP_TRY(kvm_->save_state());
  state.save(vm);
  out.add_section(std::string(section::kVm), std::move(vm).take());
  for (std::size_t index = 0; index < vcpus_.size(); ++index) {
    StateWriter vcpu;
    VcpuState registers = WISP_TRY(vcpus_[index]->kvm().save_state(saved_msrs_));
    registers.cpuid = cpuids_[index];
    registers.save(vcpu);
    out.add_section(section::vcpu(index), std::move(vcpu).take());
    if (offers_shadow_stacks(cpuids_[index])) {
      StateWriter pointer;
      pointer.u64(WISP_TRY(vcpus_[index]->kvm().shadow_stack_pointer()));
      out.add_section(section::shadow_stack(index), std::move(pointer).take());
    }
  }
  StateWriter layout;
  save_layout(*memory_, layout);
  out.add_section(std::string(section::kMemory), std::move(layout).take());
  StateWriter pair;
  const PairId id = WISP_TRY(pair_id());
  pair.raw(std::as_bytes(std::span(&id, 1)));
  out.add_section(std::string(section::kPair), std::move(pair).take());
  return {};
}

/// One for each pause: whatever is captured during it is the same machine.
Result<PairId> Vm::pair_id() {
  if (!pair_id_) {
    const PairId id = WISP_TRY(random_pair_id());
    if (!memory_->write(arch::kPairId.start, id)) {
      return Error(ErrorCode::InvalidArgument, "guest memory has no room for the snapshot's mark below 0xe0000");
    }
    pair_id_ = id;
  }
  return *pair_id_;
}

Status Vm::collect_dirty_pages() {
  if (!dirty_) {
    dirty_.emplace(*memory_);
  }
  dirty_->merge(*memory_);
  if (logging_ == DirtyLogging::Off) {
    return {};
  }
  for (std::size_t region = 0; region < memory_->region_count(); ++region) {
    if (memory_->region_kind(region) != RegionKind::Ram) {
      continue;
    }
    const std::uint64_t page_count = dirty_->page_count(region);
    const auto words = WISP_TRY(KvmSlots::take_dirty_log(*kvm_, static_cast<std::uint32_t>(region), page_count));
    dirty_->merge_words(region, 0, words);
  }
  return hotplug_slots_ ? collect_hotplugged_pages() : Status();
}

Status Vm::collect_hotplugged_pages() {
  const std::size_t region = memory_->region_count() - 1;  // the hot-pluggable one is the last
  const std::uint64_t region_start = memory_->region_range(region).start.value();
  for (const KvmHotplugSlots::Slot& slot : hotplug_slots_->slots()) {
    const std::uint64_t page_count = slot.range.size_bytes / kPageSizeBytes;
    const auto words = WISP_TRY(KvmSlots::take_dirty_log(*kvm_, slot.id, page_count));
    dirty_->merge_words(region, (slot.range.start.value() - region_start) / kPageSizeBytes, words);
  }
  return {};
}

Result<AtomicFile> Vm::write_memory(SnapshotType type, const std::string& path) {
  const AbsentPages absent = userfault_ ? AbsentPages::ComeWhenAsked : AbsentPages::ReadAsZeros;
  const MemoryImage image(*memory_, absent);
  (void)WISP_TRY(collect_dirty_pages());
  if (type == SnapshotType::Full) {
    AtomicFile file = WISP_TRY(AtomicFile::create(kMemoryFile, path));
    (void)WISP_TRY(image.write_full(file));
    return file;
  }
  AtomicFile file = WISP_TRY(AtomicFile::create_keeping(kMemoryFile, path, image.size_bytes()));
  if (logging_ == DirtyLogging::Off) {
    DirtyBitmap touched = image.touched_pages();
    touched.merge(*dirty_);
    (void)WISP_TRY(image.write_diff(touched, file));
  } else {
    (void)WISP_TRY(image.write_diff(*dirty_, file));
  }
  return file;
}

Status Vm::watch_handler() {
  handler_watch_ = WISP_TRY(HandlerWatch::create(loop_, userfault_->handler_socket(), [this] {
    WISP_LOG(Error,
             "The userfault handler has hung up. Pages that it has not delivered will never come; the microVM "
             "ends.");
    end(ExitCode::GenericError);
  }));
  handler_guard_ = WISP_TRY(HandlerGuard::create(
      *userfault_, loop_,
      {.confine = [] { confine_this_thread(ThreadKind::Guard); },
       .loop_is_stuck =
           [](HandlerLoss loss) {
             const bool gone = loss == HandlerLoss::Gone;
             std::fprintf(stderr, "Error: the monitor waits for a page from a userfault handler that %s. It ends.\n",
                          gone ? "has hung up" : "does not deliver");
             ::_exit(to_int(ExitCode::GenericError));
           }}));
  return {};
}

void Vm::start_new_dirty_period() {
  dirty_.reset();
  memory_->clear_dirty_logs();
}

}  // namespace wisp
