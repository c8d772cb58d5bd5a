#include "jailer/seccomp/policy/policy.h"

#include <fcntl.h>
#include <linux/if_tun.h>
#include <linux/io_uring.h>
#include <linux/kvm.h>
#include <linux/memfd.h>
#include <linux/userfaultfd.h>
#include <sched.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/timerfd.h>
#include <termios.h>

#include <array>
#include <csignal>

namespace wisp::seccomp {
namespace {

// Numbers that the C library's headers do not offer to programs.
constexpr std::uint64_t kFutexWait = 0;
constexpr std::uint64_t kFutexWake = 1;
constexpr std::uint64_t kFutexWaitBitset = 9;
constexpr std::uint64_t kFutexOperation = 0x7f;  // without the flags "private" and "real-time clock"
constexpr std::uint64_t kKernelLargeFile = 0100000;
constexpr std::uint64_t kSetModeFilter = 1;
constexpr std::uint64_t kArchRequestGuestPermission = 0x1025;
constexpr std::uint64_t kKernelTcgets = 0x5401;
constexpr std::uint64_t kKernelTcsets = 0x5402;
constexpr std::uint64_t kUserFaultNew = 0xaa00;  // USERFAULTFD_IOC_NEW
constexpr std::uint64_t kUserFaultUserModeOnly = 1;
constexpr std::uint64_t kKickSignal = 34;          // SIGRTMIN of the C library
constexpr std::uint64_t kLibrarySetIdSignal = 33;  // its own

// KVM's structures end in arrays without a length, whose size C++ counts differently than C; the kernel's numbers are
// C's.
constexpr std::uint64_t kTableHeaderBytes = 8;
constexpr std::uint64_t kXsaveBytes = 4096;
constexpr std::uint64_t kKvmGetSupportedCpuid = _IOC(_IOC_READ | _IOC_WRITE, KVMIO, 0x05, kTableHeaderBytes);
constexpr std::uint64_t kKvmGetMsrIndexList = _IOC(_IOC_READ | _IOC_WRITE, KVMIO, 0x02, 4);
constexpr std::uint64_t kKvmGetMsrs = _IOC(_IOC_READ | _IOC_WRITE, KVMIO, 0x88, kTableHeaderBytes);
constexpr std::uint64_t kKvmSetMsrs = _IOC(_IOC_WRITE, KVMIO, 0x89, kTableHeaderBytes);
constexpr std::uint64_t kKvmSetCpuid2 = _IOC(_IOC_WRITE, KVMIO, 0x90, kTableHeaderBytes);
constexpr std::uint64_t kKvmGetCpuid2 = _IOC(_IOC_READ | _IOC_WRITE, KVMIO, 0x91, kTableHeaderBytes);
constexpr std::uint64_t kKvmSetXsave = _IOC(_IOC_WRITE, KVMIO, 0xa5, kXsaveBytes);
constexpr std::uint64_t kKvmGetXsave2 = _IOC(_IOC_READ, KVMIO, 0xcf, kXsaveBytes);

constexpr std::uint64_t kReadWrite = PROT_READ | PROT_WRITE;
constexpr std::uint64_t kAnonymousFlags = MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_STACK;
constexpr std::uint64_t kHugePageSizeBits = 0x3fULL << 26;
constexpr std::uint64_t kMappingFlags =
    kAnonymousFlags | MAP_SHARED | MAP_FIXED | MAP_POPULATE | MAP_HUGETLB | kHugePageSizeBits;
constexpr std::uint64_t kOpenFlags =
    O_ACCMODE | O_CREAT | O_EXCL | O_TRUNC | O_CLOEXEC | O_NONBLOCK | O_NOCTTY | O_DIRECTORY | O_NOFOLLOW;
constexpr std::uint64_t kThreadFlags = CLONE_VM | CLONE_FS | CLONE_FILES | CLONE_SIGHAND | CLONE_THREAD |
                                       CLONE_SYSVSEM | CLONE_SETTLS | CLONE_PARENT_SETTID | CLONE_CHILD_CLEARTID;
constexpr std::uint64_t kStatusFlags = O_ACCMODE | O_NONBLOCK | kKernelLargeFile;

// One line a rule. A folder or a file name in a reason is where the caller is.
constexpr std::array kRules = {
    // The end of a thread, of the process, and signals.
    Rule{kEvery, "exit_group", {}, "whoever notices a fault ends the process"},
    Rule{kEvery, "exit", {}, "threads end"},
    Rule{kEvery, "rt_sigreturn", {}, "signal handlers return"},
    Rule{kEvery, "restart_syscall", {}, "the kernel continues an interrupted wait with it"},
    Rule{kEvery, "rt_sigprocmask", {}, "threads start and end, the terminal is given back (vmm/legacy/terminal)"},
    Rule{kEvery, "rt_sigaction", {is(0, SIGTERM)}, "SIGTERM ends the process by itself (vmm/cli/process)"},
    Rule{kEvery, "rt_sigaction", {is(0, SIGINT)}, "SIGINT ends the process by itself (vmm/cli/process)"},
    Rule{kEvery, "rt_sigaction", {is(0, SIGABRT)}, "abort() of a failed assertion"},
    Rule{kEvery, "getpid", {}, "raise() in handlers; the fallback name of a hidden file (snapshot/image)"},
    Rule{kEvery, "gettid", {}, "raise() in handlers"},
    Rule{kEvery, "tgkill", {is(2, SIGTERM)}, "SIGTERM ends the process by itself (vmm/cli/process)"},
    Rule{kEvery, "tgkill", {is(2, SIGINT)}, "SIGINT ends the process by itself (vmm/cli/process)"},
    Rule{kEvery, "tgkill", {is(2, SIGABRT)}, "abort() of a failed assertion"},
    Rule{kLoop, "tgkill", {is(2, kKickSignal)}, "a vCPU is kicked out of KVM_RUN (vmm/machine/vcpu)"},
    Rule{kLoop, "alarm", {only(0, 1)}, "the last words of a refused call end in time (vmm/cli/process)"},
    Rule{kSetup, "rt_sigaction", {is(0, kKickSignal)}, "the handler of the kick (vmm/machine/vcpu)"},
    Rule{kSetup, "rt_sigaction", {is(0, kLibrarySetIdSignal)}, "the C library, at the first thread's start"},

    // Memory. Executable memory is impossible in every thread (kNever).
    Rule{kEvery, "brk", {}, "the allocator grows"},
    Rule{kEvery, "munmap", {}, "the allocator shrinks; stacks of ended threads"},
    Rule{kEvery, "mremap", {only(3, MREMAP_MAYMOVE)}, "the allocator grows a large block"},
    Rule{kEvery, "madvise", {is(2, MADV_DONTNEED)}, "stacks of ended threads; the balloon; buffers given back"},
    Rule{kEvery,
         "mmap",
         {only(2, kReadWrite), bits(3, ~kAnonymousFlags | MAP_ANONYMOUS, MAP_ANONYMOUS)},
         "the allocator's large blocks, thread stacks, buffers"},
    Rule{kApi | kSetup, "mprotect", {only(2, kReadWrite)}, "guard pages of new threads' stacks"},
    Rule{kLoop,
         "mmap",
         {only(2, kReadWrite), only(3, kMappingFlags)},
         "guest memory, pmem files, io_uring rings, vCPU state pages"},
    Rule{kLoop, "madvise", {is(2, MADV_DONTDUMP)}, "guest memory stays out of core files (vmm/memory)"},
    Rule{kLoop, "madvise", {is(2, MADV_HUGEPAGE)}, "transparent huge pages of hot-plugged memory (vmm/memory)"},
    Rule{kLoop, "mincore", {}, "which pages of guest memory a snapshot needs (snapshot/image)"},
    Rule{kGuard, "getrusage", {is(0, 0)}, "whether pages still arrive (snapshot/image/handler_guard)"},
    Rule{kLoop, "sysinfo", {}, "whether the host swaps, when mincore is read (snapshot/image)"},
    Rule{kLoop, "msync", {only(2, MS_SYNC)}, "a pmem file is flushed (virtio/pmem)"},
    Rule{kSetup,
         "memfd_create",
         {only(1, MFD_CLOEXEC | MFD_ALLOW_SEALING | MFD_HUGETLB | kHugePageSizeBits)},
         "guest memory that is shared (vmm/memory)"},

    // Waiting and time.
    Rule{kEvery, "futex", {bits(1, kFutexOperation, kFutexWait)}, "locks and waits"},
    Rule{kEvery, "futex", {bits(1, kFutexOperation, kFutexWake)}, "locks and waits"},
    Rule{kEvery, "futex", {bits(1, kFutexOperation, kFutexWaitBitset)}, "joins, semaphores, waits with a deadline"},
    Rule{kEvery, "sched_yield", {}, "the library's atomics spin a little before they wait"},
    Rule{kEvery, "clock_gettime", {}, "time, where the kernel offers it to no user space"},
    Rule{kEvery, "poll", {}, "whether the log, a client or the serial line can take a byte"},
    Rule{kLoop, "epoll_wait", {}, "the event loop; vsock connections"},
    Rule{kLoop, "epoll_pwait", {}, "the event loop, under C libraries that prefer it (untested here)"},
    Rule{kLoop, "epoll_ctl", {}, "the event loop; vsock connections"},
    Rule{kLoop, "epoll_create1", {is(0, EPOLL_CLOEXEC)}, "vsock connections of their own device"},
    Rule{kLoop, "eventfd2", {only(1, EFD_CLOEXEC | EFD_NONBLOCK)}, "queue kicks and interrupts"},
    Rule{kLoop, "timerfd_create", {is(0, CLOCK_MONOTONIC)}, "limiters, statistics, metrics"},
    Rule{kLoop | kVcpu, "timerfd_settime", {is(1, 0)}, "limiters are armed where the guest's access is handled"},

    // Bytes.
    Rule{kEvery, "read", {}, "event descriptors, files, the serial input"},
    Rule{kEvery, "write", {}, "the log, event descriptors, the serial output"},
    Rule{kEvery, "close", {}, "descriptors end with their owners"},
    Rule{kLoop, "readv", {}, "TAP and vsock into guest memory"},
    Rule{kLoop, "writev", {}, "TAP out of guest memory"},
    Rule{kLoop | kGuard, "pread64", {}, "images, disks, state files; what the kernel says of a userfault descriptor"},
    Rule{kLoop, "preadv", {}, "images into guest memory (vmm/arch)"},
    Rule{kLoop, "preadv2", {}, "disks (virtio/block)"},
    Rule{kLoop, "pwritev", {}, "guest memory into snapshot files"},
    Rule{kLoop, "pwritev2", {only(5, 0x2)}, "disks; only RWF_DSYNC (virtio/block)"},
    Rule{kLoop, "fdatasync", {}, "flush of a disk or a pmem file"},
    Rule{kLoop, "fsync", {}, "snapshot files are durable before they get their name"},
    Rule{kLoop, "sync_file_range", {}, "snapshot files are written out while they grow"},
    Rule{kLoop, "copy_file_range", {}, "unchanged parts of a snapshot file"},
    Rule{kLoop,
         "fallocate",
         {is(1, 0x1 | 0x2)},
         "pages given back of memory in a shared file: punch a hole, keep the size"},
    Rule{kLoop, "lseek", {}, "size of a disk; holes of a memory file"},
    Rule{kLoop, "ftruncate", {}, "size of a new snapshot file"},
    Rule{kLoop, "getrandom", {}, "entropy device, metadata tokens, generation ids"},

    // Names in the file system.
    Rule{kLoop,
         "openat",
         {bits(2, ~kOpenFlags | O_CLOEXEC, O_CLOEXEC)},
         "files of live updates, log, metrics, snapshots; never O_PATH, never kept over exec"},
    Rule{kLoop, "newfstatat", {}, "kind and size of what was opened"},
    Rule{kLoop, "fstat", {}, "the same, under C libraries that prefer it (untested here)"},
    Rule{kLoop, "renameat2", {only(4, 0x1 | 0x2)}, "a finished snapshot file gets its name (noreplace or exchange)"},
    Rule{kLoop, "unlinkat", {is(2, 0)}, "an unfinished snapshot file is removed; never a folder"},
    Rule{kLoop, "unlink", {}, "the vsock socket of a machine that was not made (virtio/vsock)"},

    // Landlock: no more files, for a machine without an API. It can only take away.
    Rule{kLoop, "landlock_create_ruleset", {}, "without an API nothing is opened after the start (vmm/cli/landlock)"},
    Rule{kLoop, "landlock_restrict_self", {is(1, 0)}, "and now it cannot be"},

    // Descriptors.
    Rule{kLoop, "fcntl", {is(1, F_GETFL)}, "how a descriptor was opened"},
    Rule{kLoop, "fcntl", {is(1, F_SETFL), only(2, kStatusFlags)}, "blocking disks, non-blocking TAP"},
    Rule{kLoop, "fcntl", {is(1, F_DUPFD_CLOEXEC)}, "a machine has descriptors of its own"},
    Rule{kSetup, "fcntl", {is(1, F_SETFD), is(2, FD_CLOEXEC)}, "descriptors that were handed on (virtio/net)"},
    Rule{kSetup, "fcntl", {is(1, F_ADD_SEALS)}, "size of shared guest memory is fixed (vmm/memory)"},

    // Sockets: the Unix family only.
    Rule{kLoop,
         "socket",
         {is(0, AF_UNIX), only(1, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK), is(2, 0)},
         "vsock connections of the guest, the page-fault handler"},
    Rule{kLoop, "connect", {}, "vsock connections of the guest, the page-fault handler, vhost-user"},
    Rule{kLoop, "accept4", {bits(3, ~std::uint64_t{SOCK_NONBLOCK}, SOCK_CLOEXEC)}, "vsock connections from the host"},
    Rule{kLoop, "sendmsg", {}, "vsock data; memory layout to the page-fault handler; vhost-user messages"},
    Rule{kLoop | kApi,
         "recvmsg",
         {},
         "answers of vhost-user back ends; requests, and the descriptors that came with them"},
    Rule{kLoop | kApi, "recvfrom", {}, "what a refused client goes on sending; vsock data"},
    Rule{kLoop | kApi, "sendto", {}, "answers; vsock data"},
    Rule{kLoop | kApi, "shutdown", {}, "the end of a connection"},
    Rule{kApi, "accept4", {is(3, SOCK_CLOEXEC)}, "clients of the API"},
    Rule{kSetup, "setsockopt", {is(1, SOL_SOCKET), is(2, SO_SNDTIMEO)}, "who we connect to may not block us"},
    Rule{kSetup,
         "socketpair",
         {is(0, AF_UNIX), only(1, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK), is(2, 0)},
         "kicks to vhost-user back ends (virtio/vhost)"},
    Rule{kSetup, "bind", {}, "the vsock socket (virtio/vsock)"},
    Rule{kSetup, "listen", {}, "the vsock socket (virtio/vsock)"},
    Rule{kSetup, "getsockname", {}, "a vsock socket that was handed on is checked (virtio/vsock)"},
    Rule{kSetup, "getsockopt", {is(1, SOL_SOCKET)}, "sockets that were handed on are checked"},

    // io_uring, restricted by the ring itself to reads, writes and syncs of one file (vmm/events/io_ring).
    Rule{kLoop, "io_uring_setup", {}, "the Async engine, also of a drive that a live update replaces"},
    Rule{kLoop, "io_uring_enter", {}, "the Async engine"},
    Rule{kLoop, "io_uring_register", {is(1, IORING_REGISTER_FILES)}, "the one file of the ring"},
    Rule{kLoop, "io_uring_register", {is(1, IORING_REGISTER_EVENTFD)}, "completions wake the loop"},
    Rule{kLoop, "io_uring_register", {is(1, IORING_REGISTER_RESTRICTIONS)}, "the ring is restricted"},
    Rule{kLoop, "io_uring_register", {is(1, IORING_REGISTER_ENABLE_RINGS)}, "and only then switched on"},

    // Threads. clone3 is answered with "no such call", so that the C library uses clone, whose flags can be seen.
    Rule{kApi | kSetup, "clone", {is(0, kThreadFlags)}, "a thread, with exactly the C library's flags"},
    Rule{kApi | kSetup, "set_robust_list", {}, "the C library, at a thread's start"},
    Rule{kApi | kSetup, "rseq", {}, "the C library, at a thread's start"},
    Rule{kApi | kSetup, "prctl", {is(0, PR_SET_NAME)}, "threads have names"},
    Rule{kSetup, "seccomp", {is(0, kSetModeFilter), is(1, 0)}, "vCPU threads and the loop confine themselves further"},
    Rule{kSetup, "arch_prctl", {is(0, kArchRequestGuestPermission)}, "AMX state for guests (vmm/machine/builder)"},

    // The terminal of standard input.
    Rule{kEvery, "ioctl", {is(1, kKernelTcsets)}, "whoever ends the process gives the terminal back"},
    Rule{kSetup, "ioctl", {is(1, kKernelTcgets)}, "the serial input is a terminal or not"},
    Rule{kSetup, "ioctl", {is(1, TIOCGPGRP)}, "and ours to change"},
    Rule{kSetup, "getpgrp", {}, "and ours to change"},

    // KVM while the machine is built or loaded.
    Rule{kSetup, "ioctl", {is(1, KVM_GET_API_VERSION)}, "the KVM that we know"},
    Rule{kSetup, "ioctl", {is(1, KVM_CHECK_EXTENSION)}, "what this KVM can"},
    Rule{kSetup, "ioctl", {is(1, KVM_GET_VCPU_MMAP_SIZE)}, "size of a vCPU's shared state"},
    Rule{kSetup, "ioctl", {is(1, kKvmGetSupportedCpuid)}, "CPUID of the guest"},
    Rule{kSetup, "ioctl", {is(1, kKvmGetMsrIndexList)}, "MSRs that a snapshot holds"},
    Rule{kSetup, "ioctl", {is(1, KVM_CREATE_VM)}, "the one VM"},
    Rule{kSetup, "ioctl", {is(1, KVM_CREATE_VCPU)}, "its vCPUs"},
    Rule{kSetup, "ioctl", {is(1, KVM_CREATE_IRQCHIP)}, "its interrupt controllers"},
    Rule{kSetup, "ioctl", {is(1, KVM_CREATE_PIT2)}, "its timer"},
    Rule{kSetup, "ioctl", {is(1, KVM_SET_TSS_ADDR)}, "three pages that KVM needs on Intel"},
    Rule{kSetup, "ioctl", {is(1, kKvmSetCpuid2)}, "vCPU state"},
    Rule{kSetup, "ioctl", {is(1, kKvmSetMsrs)}, "vCPU state"},
    Rule{kSetup, "ioctl", {is(1, KVM_SET_REGS)}, "vCPU state"},
    Rule{kSetup, "ioctl", {is(1, KVM_SET_SREGS)}, "vCPU state"},
    Rule{kSetup, "ioctl", {is(1, KVM_SET_FPU)}, "vCPU state"},
    Rule{kSetup, "ioctl", {is(1, KVM_SET_LAPIC)}, "vCPU state"},
    Rule{kSetup, "ioctl", {is(1, KVM_SET_MP_STATE)}, "vCPU state from a snapshot"},
    Rule{kSetup, "ioctl", {is(1, KVM_SET_VCPU_EVENTS)}, "vCPU state from a snapshot"},
    Rule{kSetup, "ioctl", {is(1, KVM_SET_DEBUGREGS)}, "vCPU state from a snapshot"},
    Rule{kSetup, "ioctl", {is(1, kKvmSetXsave)}, "vCPU state from a snapshot"},
    Rule{kSetup, "ioctl", {is(1, KVM_SET_XCRS)}, "vCPU state from a snapshot"},
    Rule{kSetup, "ioctl", {is(1, KVM_SET_TSC_KHZ)}, "vCPU state from a snapshot of a host with another clock"},
    Rule{kSetup, "ioctl", {is(1, KVM_SET_ONE_REG)}, "vCPU state from a snapshot: shadow stack pointer"},
    Rule{kSetup, "ioctl", {is(1, KVM_SET_IRQCHIP)}, "VM state from a snapshot"},
    Rule{kSetup, "ioctl", {is(1, KVM_SET_PIT2)}, "VM state from a snapshot"},
    Rule{kSetup, "ioctl", {is(1, KVM_SET_CLOCK)}, "VM state from a snapshot"},
    Rule{kSetup, "ioctl", {is(1, kUserFaultNew)}, "page faults of a loaded machine, by /dev/userfaultfd"},
    Rule{kSetup, "ioctl", {is(1, UFFDIO_API)}, "page faults of a loaded machine"},
    Rule{kSetup, "ioctl", {is(1, UFFDIO_REGISTER)}, "page faults of a loaded machine"},
    Rule{kSetup,
         "userfaultfd",
         {only(0, O_CLOEXEC | O_NONBLOCK | kUserFaultUserModeOnly)},
         "page faults of a loaded machine"},

    // KVM while the machine runs, from the loop.
    Rule{kLoop, "ioctl", {is(1, KVM_SET_USER_MEMORY_REGION)}, "memory is plugged and unplugged; dirty logging"},
    Rule{kLoop, "ioctl", {is(1, KVM_IRQFD)}, "interrupts of devices"},
    Rule{kLoop, "ioctl", {is(1, KVM_IOEVENTFD)}, "queue kicks of devices"},
    Rule{kLoop, "ioctl", {is(1, KVM_KVMCLOCK_CTRL)}, "a resumed guest's watchdogs learn of the pause"},
    Rule{kLoop, "ioctl", {is(1, KVM_GET_DIRTY_LOG)}, "what a diff snapshot needs"},
    Rule{kLoop, "ioctl", {is(1, KVM_GET_IRQCHIP)}, "snapshot"},
    Rule{kLoop, "ioctl", {is(1, KVM_GET_PIT2)}, "snapshot"},
    Rule{kLoop, "ioctl", {is(1, KVM_GET_CLOCK)}, "snapshot"},
    Rule{kLoop, "ioctl", {is(1, KVM_GET_MP_STATE)}, "snapshot"},
    Rule{kLoop, "ioctl", {is(1, KVM_GET_VCPU_EVENTS)}, "snapshot"},
    Rule{kLoop, "ioctl", {is(1, KVM_GET_LAPIC)}, "snapshot"},
    Rule{kLoop, "ioctl", {is(1, KVM_GET_SREGS)}, "snapshot; start state"},
    Rule{kLoop, "ioctl", {is(1, KVM_GET_REGS)}, "snapshot"},
    Rule{kLoop, "ioctl", {is(1, kKvmGetMsrs)}, "snapshot"},
    Rule{kLoop, "ioctl", {is(1, kKvmGetCpuid2)}, "snapshot"},
    Rule{kLoop, "ioctl", {is(1, KVM_GET_DEBUGREGS)}, "snapshot"},
    Rule{kLoop, "ioctl", {is(1, kKvmGetXsave2)}, "snapshot"},
    Rule{kLoop, "ioctl", {is(1, KVM_GET_XCRS)}, "snapshot"},
    Rule{kLoop, "ioctl", {is(1, KVM_GET_TSC_KHZ)}, "snapshot"},
    Rule{kLoop, "ioctl", {is(1, KVM_GET_ONE_REG)}, "snapshot: shadow stack pointer"},

    // The network device.
    Rule{kSetup, "ioctl", {is(1, TUNSETIFF)}, "the TAP is opened (virtio/net)"},
    Rule{kSetup, "ioctl", {is(1, TUNGETIFF)}, "a TAP that was given is checked"},
    Rule{kSetup, "ioctl", {is(1, TUNSETVNETHDRSZ)}, "header size on the TAP"},
    Rule{kLoop | kVcpu, "ioctl", {is(1, TUNSETOFFLOAD)}, "the guest's driver chose its offloads"},

    // KVM in a vCPU's thread.
    Rule{kVcpu, "ioctl", {is(1, KVM_RUN)}, "the guest runs"},
};

constexpr std::array kNeverRules = {
    Never{"execve", {}, "no program is ever started"},
    Never{"execveat", {}, "no program is ever started"},
    Never{"fork", {}, "no process is ever started"},
    Never{"vfork", {}, "no process is ever started"},
    Never{"clone", {bits(0, CLONE_THREAD, 0)}, "no process is ever started"},
    Never{"mmap", {bits(2, PROT_EXEC, PROT_EXEC)}, "no new code"},
    Never{"mprotect", {bits(2, PROT_EXEC, PROT_EXEC)}, "no new code"},
    Never{"pkey_mprotect", {}, "no new code"},
    Never{"ptrace", {}, "no other process is touched"},
    Never{"process_vm_readv", {}, "no other process is touched"},
    Never{"process_vm_writev", {}, "no other process is touched"},
    Never{"process_madvise", {}, "no other process is touched"},
    Never{"kcmp", {}, "no other process is touched"},
    Never{"pidfd_open", {}, "no other process is touched"},
    Never{"pidfd_getfd", {}, "no other process is touched"},
    Never{"pidfd_send_signal", {}, "no other process is touched"},
    Never{"kill", {}, "no other process is touched"},
    Never{"tkill", {}, "no other process is touched"},
    Never{"mount", {}, "no mounts"},
    Never{"umount2", {}, "no mounts"},
    Never{"pivot_root", {}, "no mounts"},
    Never{"chroot", {}, "no mounts"},
    Never{"move_mount", {}, "no mounts"},
    Never{"open_tree", {}, "no mounts"},
    Never{"fsopen", {}, "no mounts"},
    Never{"fsconfig", {}, "no mounts"},
    Never{"fsmount", {}, "no mounts"},
    Never{"fspick", {}, "no mounts"},
    Never{"mount_setattr", {}, "no mounts"},
    Never{"unshare", {}, "no namespaces"},
    Never{"setns", {}, "no namespaces"},
    Never{"sethostname", {}, "no namespaces"},
    Never{"setdomainname", {}, "no namespaces"},
    Never{"init_module", {}, "no kernel code"},
    Never{"finit_module", {}, "no kernel code"},
    Never{"delete_module", {}, "no kernel code"},
    Never{"kexec_load", {}, "no kernel code"},
    Never{"kexec_file_load", {}, "no kernel code"},
    Never{"bpf", {}, "no kernel code"},
    Never{"perf_event_open", {}, "no look into the kernel"},
    Never{"syslog", {}, "no look into the kernel"},
    Never{"lookup_dcookie", {}, "no look into the kernel"},
    Never{"add_key", {}, "no keyrings"},
    Never{"request_key", {}, "no keyrings"},
    Never{"keyctl", {}, "no keyrings"},
    Never{"open_by_handle_at", {}, "no files but by name"},
    Never{"name_to_handle_at", {}, "no files but by name"},
    Never{"mknod", {}, "no device nodes"},
    Never{"mknodat", {}, "no device nodes"},
    Never{"symlink", {}, "no links"},
    Never{"symlinkat", {}, "no links"},
    Never{"link", {}, "no links"},
    Never{"linkat", {}, "no links"},
    Never{"chmod", {}, "no file modes"},
    Never{"fchmodat", {}, "no file modes"},
    Never{"chown", {}, "no file owners"},
    Never{"lchown", {}, "no file owners"},
    Never{"fchownat", {}, "no file owners"},
    Never{"fanotify_init", {}, "no view of others' files"},
    Never{"setuid", {}, "ids are final"},
    Never{"setgid", {}, "ids are final"},
    Never{"setreuid", {}, "ids are final"},
    Never{"setregid", {}, "ids are final"},
    Never{"setresuid", {}, "ids are final"},
    Never{"setresgid", {}, "ids are final"},
    Never{"setfsuid", {}, "ids are final"},
    Never{"setfsgid", {}, "ids are final"},
    Never{"setgroups", {}, "ids are final"},
    Never{"capset", {}, "ids are final"},
    Never{"personality", {}, "the kernel's behaviour is final"},
    Never{"modify_ldt", {}, "the kernel's behaviour is final"},
    Never{"iopl", {}, "no ports"},
    Never{"ioperm", {}, "no ports"},
    Never{"reboot", {}, "the host is not ours"},
    Never{"swapon", {}, "the host is not ours"},
    Never{"swapoff", {}, "the host is not ours"},
    Never{"acct", {}, "the host is not ours"},
    Never{"quotactl", {}, "the host is not ours"},
    Never{"settimeofday", {}, "the host is not ours"},
    Never{"clock_settime", {}, "the host is not ours"},
    Never{"adjtimex", {}, "the host is not ours"},
    Never{"clock_adjtime", {}, "the host is not ours"},
    Never{"migrate_pages", {}, "the host is not ours"},
    Never{"move_pages", {}, "the host is not ours"},
    Never{"vhangup", {}, "the host is not ours"},
};

}  // namespace

std::span<const Rule> rules() {
  return kRules;
}

std::span<const Never> never() {
  return kNeverRules;
}

}  // namespace wisp::seccomp
