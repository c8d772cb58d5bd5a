"""The program's copy: a full disk, a program that changes under the copy, a jailer that is killed in the middle of it."""
import ctypes
import os
import subprocess
import unittest

from jail_rig import PATIENCE_S, SHAPES, Jailer, snapshot, wait_until

LARGE_BYTES = 256 << 20  # so that there is time to interfere
SMALL_DISK = b"size=200k"  # no whole number of the blocks that the jailer writes
MNT_DETACH = 2
libc = ctypes.CDLL(None, use_errno=True)


class Copy(unittest.TestCase):
    def interfere(self, jail, flags, act):
        """Starts a jail whose program takes long to copy; `act(process)` while it is copied. Returns the exit code and errors."""
        os.truncate(jail.exec_file, LARGE_BYTES)
        process = subprocess.Popen(jail.words(*flags), stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                                   stderr=subprocess.PIPE, text=True)
        wait_until((jail.root / "probe").exists, "copy of the program")
        act(process)
        errors = process.communicate(timeout=PATIENCE_S)[1]
        return process.returncode, errors

    def check_refused(self, jail, before, text, code, errors):
        self.assertEqual(code, 1, errors)
        self.assertIn(text, errors)
        self.assertEqual(len(errors.splitlines()), 1, errors)
        self.assertEqual(snapshot(jail.base), before)

    def test_a_full_disk_is_told_and_taken_back(self):
        for flags in SHAPES:
            with self.subTest(flags=flags), Jailer() as jail:
                base = os.fsencode(jail.base)
                self.assertEqual(libc.mount(b"none", base, b"tmpfs", 0, SMALL_DISK), 0)
                try:
                    jail.base.chmod(0o755)
                    before = snapshot(jail.base)
                    done = jail.start(*flags)
                    self.check_refused(jail, before, "No space left on device", done.returncode, done.stderr)
                    self.assertIn("Failed to copy", done.stderr)
                finally:
                    libc.umount2(base, MNT_DETACH)

    def test_a_program_that_is_written_meanwhile_is_refused(self):
        with Jailer() as jail:
            before = snapshot(jail.base)
            code, errors = self.interfere(jail, [], lambda _: os.utime(jail.exec_file, (1, 1)))
            self.check_refused(jail, before, "it was written meanwhile", code, errors)

    def test_after_a_jailer_that_was_killed_the_same_command_works(self):
        for flags in SHAPES:
            with self.subTest(flags=flags), Jailer() as jail:
                program = jail.exec_file.read_bytes()
                code, _ = self.interfere(jail, flags, lambda process: process.kill())
                self.assertEqual(code, -9)
                jail.exec_file.write_bytes(program)
                self.assertEqual(jail.report(*flags)["comm"], "probe")
                self.assertEqual((jail.root / "probe").read_bytes(), program)
