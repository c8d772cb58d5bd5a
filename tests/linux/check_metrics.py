#!/usr/bin/env python3
"""Compares the metrics lines of machine "devices" with metrics.list: check_metrics.py <lane console> <metrics.list>.

Counters are differences since the line before, so all lines are added up. Prints one CHECK line like every other check.
"""

import json
import sys

CHECK_NAME = "metrics"


def read_lines(path):
    with open(path, encoding="utf-8", errors="replace") as console:
        return [json.loads(line[len("METRICS "):]) for line in console if line.startswith("METRICS ")]


def read_expected(path):
    """Two sets of paths like "block_rootfs.read_bytes": those that must be there, and those that must have counted."""
    present, counted = set(), set()
    with open(path, encoding="utf-8") as fields:
        for line in fields:
            if line.startswith("#"):
                continue
            groups, _, names = line.partition(":")
            for group in groups.split():
                if not names:
                    present.add(group)
                for name in names.split():
                    present.add(f"{group}.{name.rstrip('+')}")
                    if name.endswith("+"):
                        counted.add(f"{group}.{name.rstrip('+')}")
    return present, counted


def flatten(line):
    """The line as {path: amount}; an aggregate's amount is its sum."""
    amounts = {}
    for group, fields in line.items():
        if not isinstance(fields, dict):
            amounts[group] = fields
            continue
        for name, value in fields.items():
            amounts[f"{group}.{name}"] = value["sum_us"] if isinstance(value, dict) else value
    return amounts


def faults(lines, present, counted):
    if not lines:
        return ["there is no line"]
    found = []
    totals = {}
    for line in map(flatten, lines):
        found += [f"missing: {path}" for path in sorted(present - line.keys())]
        found += [f"unknown: {path}" for path in sorted(line.keys() - present)]
        for path, amount in line.items():
            totals[path] = totals.get(path, 0) + amount
    return found + [f"never counted: {path}" for path in sorted(counted) if totals.get(path, 0) == 0]


def main():
    lines = read_lines(sys.argv[1])
    present, counted = read_expected(sys.argv[2])
    found = faults(lines, present, counted)
    if found:
        print(f"CHECK {CHECK_NAME} FAIL {'; '.join(dict.fromkeys(found))}")
    else:
        print(f"CHECK {CHECK_NAME} PASS {len(lines)} lines of {len(present)} fields, of which {len(counted)} have counted")


main()
