#!/usr/bin/env python3
"""bench of snapshots: what pause, create, load and resume take, and what clones cost. Prints a table.

usage: snapshots.py WISP GUEST_DIRECTORY [CLONES...]

Times are wisp's own (metrics latencies_us, vmm_ values, microseconds). Creating is compared with writing as many bytes of
data, to the same folder, with pwrite and fsync, in the same run.
"""
import json
import os
import pathlib
import statistics
import sys
import tempfile
import time

sys.path.insert(0, str(pathlib.Path(__file__).parent.parent / "integration"))
from monitor import Monitor  # noqa: E402

MEMORY_MIB = (128, 512, 1024, 4096)
RUNS = 5


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


def devices(vm, folder):
    disk = os.path.join(folder, "disk")
    pathlib.Path(disk).write_bytes(b"\0" * (1 << 20))
    vm.put("/drives/d", {"drive_id": "d", "path_on_host": disk, "is_root_device": False})
    vm.put("/vsock", {"guest_cid": 3, "uds_path": os.path.join(folder, "v")})


def one_run(wisp, guest, memory_mib, folder):
    state, memory = os.path.join(folder, "state"), os.path.join(folder, "memory")
    values = {}
    metrics = os.path.join(folder, "metrics")
    with Monitor(wisp, ["--level", "Off", "--metrics-path", metrics]) as vm:
        vm.configure(guest, memory_mib=memory_mib)
        devices(vm, folder)
        vm.start()
        vm.wait_for("count")
        vm.patch("/vm", {"state": "Paused"})
        vm.put("/snapshot/create", {"snapshot_path": state, "mem_file_path": memory})
        vm.patch("/vm", {"state": "Resumed"})
        vm.patch("/vm", {"state": "Paused"})
        vm.put("/snapshot/create", {"snapshot_path": state + "2", "mem_file_path": memory + "2", "snapshot_type": "Diff"})
        found = latencies(vm, metrics)
    written = os.stat(memory).st_blocks * 512 + os.stat(state).st_size
    values["raw"] = raw_write_us(folder, written)
    values.update(pause=found["vmm_pause_vm"], resume=found["vmm_resume_vm"], full=found["vmm_full_create_snapshot"],
                  diff=found["vmm_diff_create_snapshot"])
    os.unlink(os.path.join(folder, "v"))
    os.unlink(metrics)
    with Monitor(wisp, ["--level", "Off", "--metrics-path", metrics]) as vm:
        vm.call("GET", "/")
        start = time.monotonic()
        vm.put("/snapshot/load", {"snapshot_path": state, "mem_backend": {"backend_type": "File", "backend_path": memory},
                                  "resume_vm": True})
        vm.wait_for("count")
        values["first_output"] = (time.monotonic() - start) * 1e6
        values["load"] = latencies(vm, metrics)["vmm_load_snapshot"]
    return values


def pss_kib(pid):
    for line in pathlib.Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
        if line.startswith("Pss:"):
            return int(line.split()[1])
    return 0


def clones(wisp, folder, count):
    """Seconds until the last clone has printed, and the proportional memory of one."""
    start = time.monotonic()
    machines = [Monitor(wisp, ["--level", "Off"]) for _ in range(count)]
    try:
        for number, vm in enumerate(machines):
            vm.put("/snapshot/load", {
                "snapshot_path": os.path.join(folder, "state"), "resume_vm": True,
                "mem_backend": {"backend_type": "File", "backend_path": os.path.join(folder, "memory")},
                "vsock_override": {"uds_path": os.path.join(folder, f"v{count}-{number}")}})
        for vm in machines:
            vm.wait_for("count")
        seconds = time.monotonic() - start
        return seconds, statistics.mean(pss_kib(vm.process.pid) for vm in machines)
    finally:
        for vm in machines:
            vm.__exit__()


def main():
    if len(sys.argv) < 3:
        sys.exit(__doc__)
    wisp, guest = os.path.abspath(sys.argv[1]), os.path.join(os.path.abspath(sys.argv[2]), "counter")
    counts = [int(word) for word in sys.argv[3:]] or [1, 16, 64]
    print("| memory | pause µs | resume µs | create full µs | of it raw | create diff µs | load µs | load to first output µs |")
    print("|---|---|---|---|---|---|---|---|")
    for memory_mib in MEMORY_MIB:
        with tempfile.TemporaryDirectory(prefix="wisp-bench-") as folder:
            runs = [one_run(wisp, guest, memory_mib, folder) for _ in range(RUNS) if not clean(folder)]
            middle = {name: statistics.median(run[name] for run in runs) for name in runs[0]}
            print("| %d MiB | %.0f | %.0f | %.0f | %.0f %% | %.0f | %.0f | %.0f |" % (
                memory_mib, middle["pause"], middle["resume"], middle["full"], 100 * middle["raw"] / middle["full"],
                middle["diff"], middle["load"], middle["first_output"]), flush=True)
            if memory_mib == MEMORY_MIB[0]:
                table = [(count, *clones(wisp, folder, count)) for count in counts]
    print("\n| clones | seconds until the last one runs | memory of each, KiB (proportional) |")
    print("|---|---|---|")
    for count, seconds, memory_kib in table:
        print("| %d | %.2f | %.0f |" % (count, seconds, memory_kib))


def clean(folder):
    for name in os.listdir(folder):
        os.unlink(os.path.join(folder, name))


if __name__ == "__main__":
    main()
