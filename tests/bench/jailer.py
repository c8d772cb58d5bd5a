#!/usr/bin/env python3
"""bench of wisp-jailer: what a jail adds to the start of a monitor, with few and many mounts on the host. Prints a table.

usage: jailer.py WISP WISP_JAILER JAIL_FLOOR [PAIRS]      (root)

Plain and jailed starts and those by the floor (jail_floor.cpp: the bare calls of such a jail) take turns; each is measured from the
start of the program to the first answer of the API. What a jail adds is the difference of the smallest and of the middle values.
The mounts are made in a mount namespace of the bench's own. Memory is what the monitor uses alone (private and not shared with any other process), in the same state.
"""
import ctypes
import os
import pathlib
import shutil
import signal
import socket
import statistics
import sys
import tempfile
import time

MOUNTS = (1, 100, 300)
CLONE_NEWNS, MS_REC, MS_PRIVATE, MNT_DETACH = 0x20000, 16384, 1 << 18, 2
UID = GID = 64125
PATIENCE_S = 20
QUESTION = b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n"
libc = ctypes.CDLL(None, use_errno=True)


def mount(source, target, kind, flags):
    if libc.mount(source, os.fsencode(target), kind, flags, None) != 0:
        raise OSError(ctypes.get_errno(), f"mount on {target}")


def first_answer(path, end):
    while time.monotonic() < end:
        connection = socket.socket(socket.AF_UNIX)
        try:
            connection.connect(path)
            connection.sendall(QUESTION)
            if connection.recv(100).startswith(b"HTTP/1.1 200"):
                return
        except OSError:
            pass
        finally:
            connection.close()
    raise TimeoutError(path)


def own_kib(pid):
    """Private pages, and the program's own pages where no other process shares them."""
    fields = {line.split(":")[0]: int(line.split()[1])
              for line in pathlib.Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()[1:]}
    return fields["Private_Clean"] + fields["Private_Dirty"]


def start(words, path):
    """(milliseconds to the first answer, KiB of its own)"""
    null = os.open("/dev/null", os.O_RDWR)
    begin = time.monotonic()
    pid = os.posix_spawn(words[0], words, {}, file_actions=[(os.POSIX_SPAWN_DUP2, null, each) for each in (0, 1, 2)])
    try:
        first_answer(path, begin + PATIENCE_S)
        duration_ms = (time.monotonic() - begin) * 1000
        return duration_ms, own_kib(pid)
    finally:
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
        os.close(null)


def plain(wisp, top, number):
    path = f"{top}/p{number}"
    result = start([wisp, "--api-sock", path, "--level", "Off"], path)
    os.unlink(path)
    return result


def jailed(wisp, jailer, top, number):
    words = [jailer, "--id", f"j{number}", "--exec-file", wisp, "--uid", str(UID), "--gid", str(GID),
             "--chroot-base-dir", f"{top}/base", "--", "--level", "Off"]
    return start_in(f"{top}/base/{os.path.basename(wisp)}/j{number}", words)


def floor(wisp, program, top, number):
    home = f"{top}/base/{os.path.basename(wisp)}/f{number}"
    return start_in(home, [program, wisp, home, str(UID), "--level", "Off"])


def start_in(home, words):
    """A start whose jail is the folder `home`, which is removed afterwards."""
    result = start(words, f"{home}/root/run/firecracker.socket")
    shutil.rmtree(home)
    return result


def row(wisp, jailer, bare, top, pairs, mounts):
    values = {"plain": [], "jailed": [], "floor": []}
    for number in range(pairs):
        values["plain"].append(plain(wisp, top, number))
        values["jailed"].append(jailed(wisp, jailer, top, number))
        values["floor"].append(floor(wisp, bare, top, number))
    times = {name: [each[0] for each in list_] for name, list_ in values.items()}
    kib = {name: statistics.median(each[1] for each in list_) for name, list_ in values.items()}
    least, middle = ({name: function(list_) for name, list_ in times.items()} for function in (min, statistics.median))
    added, bare_added = (least[name] - least["plain"] for name in ("jailed", "floor"))
    print(f"| {mounts} | {least['plain']:.2f} | {added:.2f} | {middle['jailed'] - middle['plain']:.2f} | {bare_added:.2f} | "
          f"{middle['floor'] - middle['plain']:.2f} | {added / bare_added:.2f} | {kib['jailed'] - kib['plain']:.0f} |", flush=True)


def main():
    wisp, jailer, bare = (str(pathlib.Path(word).resolve()) for word in sys.argv[1:4])
    pairs = int(sys.argv[4]) if len(sys.argv) > 4 else 60
    if os.geteuid() != 0 or libc.unshare(CLONE_NEWNS) != 0:
        print("SKIP: needs root and a mount namespace")
        return
    mount(b"none", "/", None, MS_REC | MS_PRIVATE)
    top = tempfile.mkdtemp(prefix="wisp-bench-")
    try:
        for name in ("base", "mounts"):
            os.mkdir(f"{top}/{name}", 0o755)
        os.chmod(top, 0o755)
        print("| mounts | plain, least (ms) | added, least | added, median | floor adds, least | floor adds, median | ratio | added KiB |\n"
              "|---|---|---|---|---|---|---|---|")
        made = 0
        for mounts in MOUNTS:
            while made < mounts - 1:
                made += 1
                os.mkdir(f"{top}/mounts/{made}")
                mount(b"none", f"{top}/mounts/{made}", b"tmpfs", 0)
            row(wisp, jailer, bare, top, pairs, mounts)
    finally:
        for number in range(1, made + 1):
            libc.umount2(f"{top}/mounts/{number}".encode(), MNT_DETACH)
        shutil.rmtree(top)


if __name__ == "__main__":
    main()
