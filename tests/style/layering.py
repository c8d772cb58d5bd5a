#!/usr/bin/env python3
"""Fails when a file includes something from a layer that is not strictly below its own.

The table is the module map of docs/ARCHITECTURE.md. A folder that is missing from it fails too, so that new code has to be
placed. Usage: layering.py SOURCE_ROOT
"""
import pathlib
import re
import sys

# folder (longest prefix wins) -> (row, may include these folders of lower rows only; None: any lower row)
LAYERS = {
    "vmm/base": 0,
    "vmm/memory": 1, "vmm/events": 1, "vmm/config": 1, "vmm/json": 1, "snapshot/state": 1,
    "jailer/seccomp": 1,
    "vmm/bus": 2, "vmm/kvm": 2, "virtio/limit": 2, "jailer/jail": 2,
    "virtio/core": 3, "vmm/arch/x86_64": 3, "virtio/mmds": 3, "snapshot/image": 3,
    "vmm/doctor": 3,
    "virtio/block": 4, "virtio/net": 4, "virtio/vsock": 4, "virtio/balloon": 4, "virtio/rng": 4, "virtio/pmem": 4,
    "virtio/mem": 4, "virtio/vhost": 4, "vmm/legacy": 4,
    "vmm/machine": 5,
    "vmm/control": 6,
    "api": 7, "vmm/cli": 7,
    "vmm/main.cpp": 8, "jailer/main.cpp": 8,
}
# Arrows that rows alone would allow but the design forbids.
FORBIDDEN = {
    "api": ("vmm/kvm", "vmm/machine", "vmm/control", "vmm/bus", "vmm/arch", "vmm/memory", "virtio", "vmm/legacy"),
    "virtio/core": ("vmm/kvm", "vmm/arch"),
    **{f"virtio/{device}": ("vmm/kvm", "vmm/arch", "vmm/legacy")
       for device in ("block", "net", "vsock", "balloon", "rng", "pmem", "mem", "vhost", "mmds", "limit")},
    "vmm/legacy": ("vmm/kvm", "virtio/core"),
    "vmm/events": ("vmm/memory/guest_memory.h",),
    "vmm/bus": ("vmm/kvm", "virtio"),
    "snapshot/image": ("vmm/kvm", "vmm/bus", "virtio"),
    "jailer": ("vmm/memory", "virtio", "api", "vmm/kvm"),
}
TOP_LEVEL = ("vmm/", "virtio/", "api/", "jailer/", "snapshot/", "tests/")
# Text that only one folder may contain: the kernel's KVM interface stays in its wrapper and the machine that uses it.
ONLY_IN = {
    "nlohmann": ("api/", "virtio/mmds/", "vmm/json/"),
    "httplib.h": ("api/",),
    "liburing.h": ("vmm/events/",),
    "sodium.h": ("virtio/mmds/",),
    "seccomp.h": ("jailer/seccomp/", "vmm/doctor/"),
    "linux/kvm.h": ("vmm/kvm/", "vmm/arch/", "jailer/seccomp/policy/"),
}


def layer_of(path):
    best = max((prefix for prefix in LAYERS if path == prefix or path.startswith(prefix + "/")), key=len, default=None)
    return best


def check_file(root, file, problems):
    name = file.relative_to(root).as_posix()
    own = layer_of(name)
    if own is None:
        problems.append(f"{name}: its folder has no place in the layer table")
        return
    for number, line in enumerate(file.read_text().splitlines(), 1):
        match = re.match(r'\s*#\s*include\s*[<"]([^>"]+)[>"]', line)
        if not match:
            continue
        included = match.group(1)
        for header, folders in ONLY_IN.items():
            if header in included and not name.startswith(folders):
                problems.append(f"{name}:{number}: only {', '.join(folders)} may include {included}")
        if not included.startswith(TOP_LEVEL):
            continue
        other = layer_of(included)
        if other is None:
            problems.append(f"{name}:{number}: {included} belongs to no layer")
        elif other != own and LAYERS[other] >= LAYERS[own]:
            problems.append(f"{name}:{number}: row {LAYERS[own]} ({own}) includes row {LAYERS[other]} ({other})")
        for prefix, forbidden in FORBIDDEN.items():
            if name.startswith(prefix + "/") and included.startswith(forbidden):
                problems.append(f"{name}:{number}: {prefix} must not know {included}")


def main():
    root = pathlib.Path(sys.argv[1])
    files = [f for top in ("vmm", "virtio", "api", "jailer", "snapshot") for f in (root / top).rglob("*")
             if f.suffix in (".h", ".cpp")]
    problems = []
    for file in sorted(files):
        check_file(root, file, problems)
    print("\n".join(problems))
    print(f"{len(files)} files, {len(problems)} arrows that point the wrong way")
    return 1 if problems or not files else 0


if __name__ == "__main__":
    sys.exit(main())
