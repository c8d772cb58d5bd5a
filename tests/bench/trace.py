#!/usr/bin/env python3
"""bench of a start's phases: boots and loads a small guest with --trace and draws the medians.

usage: trace.py WISP GUEST_DIRECTORY [--runs N] [--svg FILE]

Prints one table; the picture has one bar for a boot and one for a load. The phases in which wisp waits for its client
("configuration") are left out of both: they are the client's.
"""
import argparse
import json
import pathlib
import statistics
import sys
import time

sys.path.insert(0, str(pathlib.Path(__file__).parent.parent / "integration"))
from monitor import Monitor  # noqa: E402

WAITING = "configuration"
COLOURS = ("#3b6ea5", "#7fb069", "#e6aa68", "#ca3c25", "#6d597a", "#2a9d8f", "#b56576", "#8d99ae", "#f4a261", "#457b9d",
           "#a8dadc", "#264653", "#e9c46a")


def read_trace(path):
    deadline = time.monotonic() + 30
    while not (path.exists() and path.read_text().endswith("]}\n")):
        if time.monotonic() > deadline:
            sys.exit(f"no trace in {path}")
        time.sleep(0.002)
    events = json.loads(path.read_text())["traceEvents"]
    return {event["name"]: event["dur"] for event in events if event.get("tid") == 2}


def one_run(wisp, guest):
    """Phases in microseconds of one boot and one load."""
    options = ["--level", "Off", "--trace", "trace.json"]
    with Monitor(wisp, options) as vm:
        vm.configure(guest, memory_mib=128)
        vm.start()
        vm.wait_for("count")
        boot = read_trace(vm.directory / "trace.json")
        vm.patch("/vm", {"state": "Paused"})
        state, memory = str(vm.directory / "state"), str(vm.directory / "memory")
        vm.put("/snapshot/create", {"snapshot_path": state, "mem_file_path": memory})
        with Monitor(wisp, options) as clone:
            clone.put("/snapshot/load", {"snapshot_path": state, "resume_vm": True,
                                         "mem_backend": {"backend_type": "File", "backend_path": memory}})
            return {"boot": boot, "load": read_trace(clone.directory / "trace.json")}


def medians(runs, kind):
    names = [name for name in runs[0][kind] if name != WAITING]
    return {name: statistics.median(run[kind][name] for run in runs) for name in names}


def table(result):
    lines = ["| Phase | boot (us) | load (us) |", "|---|---|---|"]
    for name in dict.fromkeys([*result["boot"], *result["load"]]):
        cells = [f"{result[kind][name]:.0f}" if name in result[kind] else "" for kind in ("boot", "load")]
        lines.append(f"| {name} | {cells[0]} | {cells[1]} |")
    totals = [f"{sum(result[kind].values()):.0f}" for kind in ("boot", "load")]
    return "\n".join([*lines, f"| **all** | {totals[0]} | {totals[1]} |"])


def svg(result):
    names = list(dict.fromkeys([*result["boot"], *result["load"]]))
    colour = dict(zip(names, COLOURS * 2))
    width, left, legend_top = 900, 60, 120
    scale = (width - left - 90) / max(sum(result[kind].values()) for kind in ("boot", "load"))
    height = legend_top + 22 * ((len(names) + 2) // 3) + 10
    parts = [f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}" font-family="sans-serif" '
             'font-size="13">', f'<rect width="{width}" height="{height}" fill="white"/>',
             '<text x="10" y="22" font-weight="bold">Phases of a start, without the time of the client</text>']
    for row, kind in enumerate(("boot", "load")):
        top, x = 36 + 38 * row, float(left)
        parts.append(f'<text x="{left - 8}" y="{top + 19}" text-anchor="end">{kind}</text>')
        for name, value in result[kind].items():
            parts.append(f'<rect x="{x:.1f}" y="{top}" width="{value * scale:.1f}" height="28" fill="{colour[name]}">'
                         f'<title>{name}: {value:.0f} us</title></rect>')
            x += value * scale
        parts.append(f'<text x="{x + 6:.1f}" y="{top + 19}">{sum(result[kind].values()):.0f} us</text>')
    for index, name in enumerate(names):
        x, y = 20 + 290 * (index % 3), legend_top + 22 * (index // 3)
        parts.append(f'<rect x="{x}" y="{y}" width="14" height="14" fill="{colour[name]}"/>')
        values = " / ".join(f"{result[kind][name]:.0f}" if name in result[kind] else "-" for kind in ("boot", "load"))
        parts.append(f'<text x="{x + 20}" y="{y + 12}">{name}: {values} us</text>')
    return "\n".join([*parts, "</svg>\n"])


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("wisp")
    parser.add_argument("guests")
    parser.add_argument("--runs", type=int, default=15)
    parser.add_argument("--svg")
    arguments = parser.parse_args()
    guest = pathlib.Path(arguments.guests).resolve() / "counter"
    runs = [one_run(pathlib.Path(arguments.wisp).resolve(), guest) for _ in range(arguments.runs)]
    result = {kind: medians(runs, kind) for kind in ("boot", "load")}
    print(table(result))
    if arguments.svg:
        pathlib.Path(arguments.svg).write_text(svg(result))


main()
