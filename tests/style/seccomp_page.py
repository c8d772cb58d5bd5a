#!/usr/bin/env python3
"""Fails when the tables of docs/seccomp-table.md are not those of the policy. Usage: seccomp_page.py POLICY_PROGRAM PAGE [--write]"""
import pathlib
import subprocess
import sys

BEGIN, END = "<!-- tables: begin -->\n", "<!-- tables: end -->\n"


def main():
    program, page = sys.argv[1], pathlib.Path(sys.argv[2])
    tables = subprocess.run([program, "table"], capture_output=True, text=True, check=True).stdout
    head, _, rest = page.read_text().partition(BEGIN)
    old, _, tail = rest.partition(END)
    if sys.argv[3:] == ["--write"]:
        page.write_text(head + BEGIN + tables + END + tail)
        return 0
    if old != tables:
        print(f"{page}: its tables are not those of the policy; run: {sys.argv[0]} {program} {page} --write")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
