#!/usr/bin/env python3
"""bench of snapshots: what pause, create, load and resume take, and what clones cost. Prints a table.

usage: snapshots.py WISP GUEST_DIRECTORY [CLONES...]

Times are wisp's own (metrics latencies_us, vmm_ values, microseconds). The guest has written to TOUCHED_MIB of its memory (half of that where it has too little) before
the full snapshot, and to a quarter of that again before the diff. Each creation is compared with writing as many bytes, to
the same folder, with pwrite and fsync, right before and after it: the better of the two. bench_restore compares loads
with the floor.
"""
import json
import os
import pathlib
import statistics
import sys
import tempfile
import time

sys.path.insert(0, str(pathlib.Path(__file__).parent.parent / "integration"))
import probe  # noqa: E402
from monitor import Monitor  # noqa: E402
from probe import Probe  # noqa: E402

MEMORY_MIB = (128, 512, 1024, 4096)
RUNS = 3
TOUCHED_MIB = 96  # every page is a fault: where KVM is emulated, much more takes minutes
RESERVED_MIB = 64  # the guest's own, in front of what it touches


def latencies(vm, path):
    vm.put("/actions", {"action_type": "FlushMetrics"})
    return json.loads(pathlib.Path(path).read_text().splitlines()[-1])["latencies_us"]


def raw_write_us(folder, size_bytes):
    """Writes that many bytes as a plain program would, and waits for the medium."""
    block = os.urandom(1 << 20)
    path = os.path.join(folder, "raw")
    start = time.monotonic()
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    for offset in range(0, size_bytes, len(block)):
        os.pwrite(descriptor, block[:size_bytes - offset], offset)
    os.fsync(descriptor)
    os.close(descriptor)
    duration_us = (time.monotonic() - start) * 1e6
    os.unlink(path)
    return duration_us


def devices(folder, memory_mib):
    disk = os.path.join(folder, "disk")
    pathlib.Path(disk).write_bytes(b"\0" * (1 << 20))
    return {"/drives/d": {"drive_id": "d", "path_on_host": disk, "is_root_device": False},
            "/machine-config": {"vcpu_count": 1, "mem_size_mib": memory_mib, "track_dirty_pages": True},
            "/vsock": {"guest_cid": 3, "uds_path": os.path.join(folder, "v")},
            "/balloon": {"amount_mib": 0, "deflate_on_oom": True, "stats_polling_interval_s": 1,
                         "free_page_hinting": True, "free_page_reporting": True}}


def create(vm, folder, kind, size_bytes):
    """Microseconds of the creation, and of writing as many bytes."""
    before = raw_write_us(folder, size_bytes)
    vm.put("/snapshot/create", {"snapshot_type": kind, "snapshot_path": os.path.join(folder, "state" + kind),
                                "mem_file_path": os.path.join(folder, "memory" + kind)})
    taken = latencies(vm, vm.metrics_path)[f"vmm_{kind.lower()}_create_snapshot"]
    written = os.stat(os.path.join(folder, "memory" + kind)).st_blocks * 512
    return taken, min(before, raw_write_us(folder, written)), written


def one_run(memory_mib, folder):
    touched_mib = TOUCHED_MIB if memory_mib >= 2 * TOUCHED_MIB + RESERVED_MIB else TOUCHED_MIB // 2
    values = {}
    # None of these in a jail: the files are those of the bare writes, and the processes are counted from their start.
    with Probe("balloon_probe", devices(folder, memory_mib), memory_mib=memory_mib, arguments=("--level", "Off"),
               jailed=False) as vm:
        vm.order(f"touch {touched_mib}")
        vm.patch("/vm", {"state": "Paused"})
        values["full"], values["full_raw"], values["full_bytes"] = create(vm, folder, "Full", touched_mib << 20)
        vm.patch("/vm", {"state": "Resumed"})
        found = latencies(vm, vm.metrics_path)
        vm.order(f"touch {touched_mib // 4}")
        vm.patch("/vm", {"state": "Paused"})
        values["diff"], values["diff_raw"], values["diff_bytes"] = create(vm, folder, "Diff", touched_mib << 18)
        values["pause"], values["resume"] = found["vmm_pause_vm"], found["vmm_resume_vm"]
    os.unlink(os.path.join(folder, "v"))
    return values


def pss_kib(pid):
    for line in pathlib.Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
        if line.startswith("Pss:"):
            return int(line.split()[1])
    return 0


def capture_idle(folder):
    """The machine of which clones are made: its guest halts, as 256 busy ones would measure each other."""
    with Probe("idle", {}, memory_mib=MEMORY_MIB[0], jailed=False) as vm:
        vm.patch("/vm", {"state": "Paused"})
        vm.put("/snapshot/create", {"snapshot_path": os.path.join(folder, "idle.state"),
                                    "mem_file_path": os.path.join(folder, "idle.memory")})


def clones(wisp, folder, count):
    """Seconds until the last clone runs, and the proportional memory of one."""
    start = time.monotonic()
    machines = [Monitor(wisp, ["--level", "Off"], jailed=False) for _ in range(count)]
    try:
        for vm in machines:
            vm.put("/snapshot/load", {
                "snapshot_path": os.path.join(folder, "idle.state"), "resume_vm": True,
                "mem_backend": {"backend_type": "File", "backend_path": os.path.join(folder, "idle.memory")}})
        for vm in machines:
            vm.call("GET", "/")
        seconds = time.monotonic() - start
        return seconds, statistics.mean(pss_kib(vm.process.pid) for vm in machines)
    finally:
        for vm in machines:
            vm.__exit__()


def main():
    if len(sys.argv) < 3:
        sys.exit(__doc__)
    probe.WISP, probe.GUESTS = (pathlib.Path(word).resolve() for word in sys.argv[1:3])
    counts = [int(word) for word in sys.argv[3:]] or [1, 16, 64, 256]
    print("| memory | pause µs | resume µs | full: MiB | µs | raw speed | diff: MiB | µs | raw speed |")
    print("|---|---|---|---|---|---|---|---|---|")
    for memory_mib in MEMORY_MIB:
        with tempfile.TemporaryDirectory(prefix="wisp-bench-") as folder:
            runs = [one_run(memory_mib, folder) for _ in range(RUNS) if not clean(folder)]
            best = {name: min(run[name] for run in runs) for name in runs[0]}
            shares = [max(100 * run[kind + "_raw"] / run[kind] for run in runs) for kind in ("full", "diff")]
            print("| %d MiB | %d | %d | %d | %d | %.0f %% | %d | %d | %.0f %% |" % (
                memory_mib, best["pause"], best["resume"], best["full_bytes"] >> 20, best["full"], shares[0],
                best["diff_bytes"] >> 20, best["diff"], shares[1]), flush=True)
            if memory_mib == MEMORY_MIB[0]:
                capture_idle(folder)
                table = [(count, *clones(str(probe.WISP), folder, count)) for count in counts]
    print("\n| clones | seconds until the last one runs | memory of each, KiB (proportional) |")
    print("|---|---|---|")
    for count, seconds, memory_kib in table:
        print("| %d | %.2f | %.0f |" % (count, seconds, memory_kib))


def clean(folder):
    for name in os.listdir(folder):
        os.unlink(os.path.join(folder, name))


if __name__ == "__main__":
    main()
