#!/usr/bin/env python3
"""Runs the reader that docs/snapshot-format.md shows against a file of our writer, and against damaged copies of it.

Usage: format_page.py UNIT_IMAGE_PROGRAM PAGE
"""
import os
import pathlib
import re
import subprocess
import sys
import tempfile


def run_reader(reader, state):
    return subprocess.run([sys.executable, str(reader), str(state)], capture_output=True, text=True, check=False)


def main():
    program, page = sys.argv[1:3]
    code = re.search(r"```python\n(.*?)```", pathlib.Path(page).read_text(), re.S).group(1)
    with tempfile.TemporaryDirectory() as folder:
        reader, state = pathlib.Path(folder, "reader.py"), pathlib.Path(folder, "state")
        reader.write_text(code)
        environment = {**os.environ, "WISP_SAMPLE_STATE": str(state)}
        subprocess.run([program, "A sample for readers in other languages"], env=environment, check=True)
        good = run_reader(reader, state)
        assert good.returncode == 0, good.stderr
        assert good.stdout == '{"sample":true}\nvm 7\nvcpu/0 1000\nempty 0\n', good.stdout
        contents = state.read_bytes()
        assert b'\n{"sample":true}\n' in b"\n" + contents[128:]
        for place in (0, 9, 119, 130, 150, len(contents) - 1):
            state.write_bytes(contents[:place] + bytes([contents[place] ^ 1]) + contents[place + 1:])
            assert run_reader(reader, state).returncode != 0, f"byte {place} does not matter"
        state.write_bytes(contents[:-1])
        assert run_reader(reader, state).returncode != 0
    print("the page's reader reads our files and refuses damaged ones")


if __name__ == "__main__":
    main()
