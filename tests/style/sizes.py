#!/usr/bin/env python3
"""Fails when a source file or a documentation page is too long to be read in one sitting, or a line too wide.

Usage: sizes.py SOURCE_ROOT
"""
import pathlib
import sys

MAX_FILE_LINES = 600
MAX_PAGE_LINES = 400
MAX_COLUMNS = 120


def main():
    root = pathlib.Path(sys.argv[1])
    problems = []
    sources = [f for top in ("vmm", "virtio", "api", "jailer", "snapshot", "tests") for f in (root / top).rglob("*")
               if f.suffix in (".h", ".cpp", ".c", ".S")]
    for file in sources:
        lines = file.read_text().splitlines()
        name = file.relative_to(root)
        if len(lines) > MAX_FILE_LINES:
            problems.append(f"{name}: {len(lines)} lines, the limit is {MAX_FILE_LINES}")
        problems += [f"{name}:{number}: {len(line)} columns" for number, line in enumerate(lines, 1)
                     if len(line) > MAX_COLUMNS]
    for page in [*(root / "docs").rglob("*.md"), root / "README.md"]:
        count = len(page.read_text().splitlines())
        if count > MAX_PAGE_LINES:
            problems.append(f"{page.relative_to(root)}: {count} lines, the limit is {MAX_PAGE_LINES}")
    print("\n".join(problems))
    print(f"{len(sources)} source files, {len(problems)} problems")
    return 1 if problems or not sources else 0


if __name__ == "__main__":
    sys.exit(main())
