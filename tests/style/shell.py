#!/usr/bin/env python3
"""Fails when a shell script of the project does not parse. Usage: shell.py SOURCE_ROOT"""
import pathlib
import subprocess
import sys


def main():
    root = pathlib.Path(sys.argv[1])
    problems, scripts = [], []
    for top in ("scripts", "tests", ".ci"):
        for file in sorted((root / top).rglob("*")):
            if not file.is_file() or file.suffix not in ("", ".sh"):
                continue
            with file.open("rb") as opened:
                first = opened.readline()
            if file.suffix == ".sh" or (first.startswith(b"#!") and first.strip().endswith(b"sh")):
                scripts.append(file)
    for file in scripts:
        done = subprocess.run(["bash", "-n", str(file)], capture_output=True, text=True)
        if done.returncode or done.stderr:
            problems.append(done.stderr)
    print("\n".join(problems))
    print(f"{len(scripts)} scripts, {len(problems)} problems")
    return 1 if problems or not scripts else 0


if __name__ == "__main__":
    sys.exit(main())
