#!/usr/bin/env python3
"""bench of a drive with a guest on KVM: processor time of the device loop for each request, against bare preadv2.

usage: guest_block.py WISP GUEST_DIRECTORY BENCH_DEVICES [RUNS]

The guest (tests/guest/blk_batch) offers 32 reads of 4 KiB for each notification. The loop's processor time comes from
/proc/PID/task/PID/schedstat, so neither the guest nor KVM's emulation of it is in it. The loop sleeps and wakes up for each
batch, so what else the host does shows all the more: the smallest value of all runs is taken, of both sides. Prints the JSON
of bench_devices, for tests/bench/report.py; the bare calls are those of bench_devices, measured in turn with the guest's runs.
"""
import json
import pathlib
import subprocess
import sys
import tempfile

sys.path.insert(0, str(pathlib.Path(__file__).parent.parent / "integration"))
import probe  # noqa: E402
from monitor import drive  # noqa: E402

FILE_BYTES = 64 << 20
BATCHES, DEPTH, REQUEST_BYTES = 400, 32, 4096


def loop_cpu_ns(vm):
    pid = vm.process.pid
    return int(pathlib.Path(f"/proc/{pid}/task/{pid}/schedstat").read_text().split()[0])


def bare(bench, engine):
    out = subprocess.run([bench, "1", f"block {engine}, 4 KiB random read, depth {DEPTH}"], capture_output=True, check=True,
                         text=True).stdout
    return json.loads(out)["lines"][0]


def measure(bench, engine, runs, file):
    cpu_ns, bare_ns, bare_wall_ns = [], [], []
    # Without a jail: the drive's file is the bare calls' too.
    with probe.Probe("blk_batch", {"/drives/d": drive("d", file, io_engine=engine)}, jailed=False) as vm:
        vm.order("read 20")
        for _ in range(runs):
            before = loop_cpu_ns(vm)
            vm.order(f"read {BATCHES}")
            cpu_ns.append((loop_cpu_ns(vm) - before) / (BATCHES * DEPTH))
            line = bare(bench, engine)
            bare_ns.append(line["bare_cpu_ns"])
            bare_wall_ns.append(line["bare_wall_ns"])
        vm.finish()
    return {"name": f"block {engine}, 4 KiB random read, a guest with {DEPTH} requests for each kick", "bytes": REQUEST_BYTES,
            "cpu_ns": min(cpu_ns), "bare_cpu_ns": min(bare_ns),
            "bare_wall_ns": min(bare_wall_ns)}


def main():
    if len(sys.argv) < 4:
        sys.exit(__doc__)
    runs = int(sys.argv[4]) if len(sys.argv) > 4 else 7
    probe.WISP, probe.GUESTS = (pathlib.Path(word).resolve() for word in sys.argv[1:3])
    with tempfile.NamedTemporaryFile(prefix="wisp-bench-") as file:
        file.write(b"\7" * FILE_BYTES)
        file.flush()
        lines = [measure(sys.argv[3], engine, runs, file.name) for engine in ("Sync", "Async")]
    print(json.dumps({"runs": runs, "lines": lines, "skipped": []}))


if __name__ == "__main__":
    main()
