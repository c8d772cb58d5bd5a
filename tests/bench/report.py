#!/usr/bin/env python3
"""Turns the bench's JSON into tables (standard output) and, when asked, Markdown files and an SVG picture.

`result` is what bench_startup prints; --devices takes what bench_devices and guest_block.py print.
"""
import argparse
import json
import pathlib

# label, key, floor key (None: no floor), goal as a multiple of the floor (None: no goal), unit
ROWS = [
    ("process start to first API reply", "first_reply_us", "floor_first_instruction_us", None, "us"),
    ("start call (InstanceStart)", "start_call_us", "floor_first_instruction_us", None, "us"),
    ("start call to first guest instruction", "start_to_first_instruction_us", "floor_first_instruction_us", None, "us"),
    ("configuration file: process start to first guest instruction", "config_first_instruction_us",
     "floor_first_instruction_us", 2.0, "us"),
    ("API, five requests: process start to first guest instruction", "api_first_instruction_us",
     "floor_first_instruction_us", 3.0, "us"),
    ("request latency p50", "request_us", "echo_us", 3.0, "us"),
    ("request latency p99", "request_p99_us", "echo_p99_us", None, "us"),
    ("resident memory that is not guest memory", "resident_kib", None, 1536, "KiB"),
    ("size of wisp", "wisp_kib", None, None, "KiB"),
    ("size of wisp-jailer", "jailer_kib", None, None, "KiB"),
]


def rows(result):
    for label, key, floor_key, goal, unit in ROWS:
        value = result[key]
        floor = result[floor_key] if floor_key else None
        ratio = value / floor if floor else None
        yield label, value, floor, ratio, goal, unit


def goal_text(floor, goal, unit):
    if goal is None:
        return ""
    return f"{goal:.1f} x" if floor else f"{goal} {unit}"


def table(result):
    lines = ["| Figure | wisp | floor | ratio | goal |", "|---|---|---|---|---|"]
    for label, value, floor, ratio, goal, unit in rows(result):
        lines.append(f"| {label} | {value:.0f} {unit} | {f'{floor:.0f} {unit}' if floor else ''} | "
                     f"{f'{ratio:.2f} x' if ratio else ''} | {goal_text(floor, goal, unit)} |")
    lines.append("")
    lines.append(f"Medians of {result['runs']} interleaved runs; the floor is a program of bare KVM calls up to the guest's "
                 "first port write, for requests a bare Unix-socket echo.")
    return "\n".join(lines)


# What the monitor may cost for each request, as a multiple of the bare system call.
DEVICE_GOAL = 2.0


def device_table(results):
    lines = ["| Work | requests/s | MiB/s | CPU per request | bare calls | ratio | goal |", "|---|---|---|---|---|---|---|"]
    for line in (line for result in results for line in result["lines"]):
        cpu_ns, bare_ns, per_second = line["cpu_ns"], line["bare_cpu_ns"], 1e9 / line["cpu_ns"]
        lines.append(f"| {line['name']} | {per_second / 1e3:.0f}k | {per_second * line['bytes'] / (1 << 20):.0f} | "
                     f"{cpu_ns / 1e3:.2f} us | {bare_ns / 1e3:.2f} us | {cpu_ns / bare_ns:.2f} x | {DEVICE_GOAL:.1f} x |")
    lines.append("")
    lines.append("Medians of slices in which device and bare calls take turns, with a guest the smallest. Time is processor time of the thread, and requests "
                 "and bytes are for a second of it: what one core of a device loop can do.")
    lines += [f"Skipped: {reason}." for result in results for reason in result["skipped"]]
    return "\n".join(lines)


def svg(result):
    bars = [(label, ratio, goal) for label, _, floor, ratio, goal, _ in rows(result) if floor]
    width, left, row_height = 900, 430, 34
    scale = (width - left - 80) / max(4.0, max(ratio for _, ratio, _ in bars))
    height = 50 + row_height * len(bars)
    parts = [f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}" font-family="sans-serif" '
             'font-size="13">', f'<rect width="{width}" height="{height}" fill="white"/>',
             '<text x="10" y="22" font-weight="bold">wisp against the physical limit (1 = floor)</text>']
    for index, (label, ratio, goal) in enumerate(bars):
        top = 40 + index * row_height
        parts.append(f'<text x="{left - 8}" y="{top + 17}" text-anchor="end">{label}</text>')
        parts.append(f'<rect x="{left}" y="{top + 4}" width="{ratio * scale:.1f}" height="18" fill="#3b6ea5"/>')
        parts.append(f'<text x="{left + ratio * scale + 6:.1f}" y="{top + 17}">{ratio:.2f}</text>')
        if goal:
            x = left + goal * scale
            parts.append(f'<line x1="{x:.1f}" y1="{top}" x2="{x:.1f}" y2="{top + 26}" stroke="#c0392b" stroke-width="2"/>')
    x = left + scale
    parts.append(f'<line x1="{x:.1f}" y1="36" x2="{x:.1f}" y2="{height - 6}" stroke="#777" stroke-dasharray="4 3"/>')
    parts.append("</svg>\n")
    return "\n".join(parts)


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("result", nargs="?")
    parser.add_argument("--table")
    parser.add_argument("--svg")
    parser.add_argument("--devices", nargs="+", default=[])
    parser.add_argument("--devices-table")
    arguments = parser.parse_args()
    if arguments.result:
        result = json.loads(pathlib.Path(arguments.result).read_text())
        put(table(result), arguments.table)
        if arguments.svg:
            pathlib.Path(arguments.svg).write_text(svg(result))
    if arguments.devices:
        put(device_table([json.loads(pathlib.Path(name).read_text()) for name in arguments.devices]), arguments.devices_table)


def put(text, file):
    print(text + "\n")
    if file:
        pathlib.Path(file).write_text(text + "\n")


if __name__ == "__main__":
    main()
