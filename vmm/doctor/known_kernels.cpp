#include "vmm/doctor/known_kernels.h"

#include <array>

namespace wisp {
namespace {

/// No kernel without the fault is known to wisp.
constexpr text::KernelVersion kNoneKnown{~0U, 0, 0};

constexpr std::array kKnown = {
    KnownKernel{{5, 10, 0},
                {5, 10, 51},
                "io_uring of this kernel is not good enough for drives with the Async engine",
                "use 5.10.51 or later, or io_engine Sync",
                "Firecracker pull request 2787"},
    KnownKernel{{5, 10, 214},
                {5, 10, 215},
                "io_uring_register fails with EBADF: drives with the Async engine cannot be made",
                "use 5.10.215 or later, or io_engine Sync",
                "Firecracker issue 4586"},
    KnownKernel{{5, 11, 0},
                {5, 11, 12},
                "CVE-2021-29657: a guest that sees nested SVM can break out of KVM on AMD",
                "use 5.11.12 or later, and set kvm_amd.nested=0",
                "CVE-2021-29657"},
    KnownKernel{{6, 1, 103},
                {6, 1, 107},
                "writes to a TAP fail with EINVAL when the guest asks for segmentation: lost packets, slow sending",
                "use 6.1.107 or later",
                "Firecracker issue 4795"},
    KnownKernel{{6, 8, 0},
                {6, 8, 1},
                "Ubuntu's 6.8.0-58 and later: the first run of a vCPU now and then fails with 'Out of memory'",
                "update the kernel; until then start the machine once more",
                "Firecracker issue 5179"},
    KnownKernel{
        {6, 18, 0},
        kNoneKnown,
        "registering devices waits for a grace period of up to a timer tick: a start or a load may take 1 to 25 "
        "ms longer (wisp's order of steps avoids most of it)",
        "use a kernel with CONFIG_HZ=1000 where start times matter",
        "kernel commit 7d9a0273c459"},
};

}  // namespace

std::span<const KnownKernel> known_kernels() {
  return kKnown;
}

}  // namespace wisp
