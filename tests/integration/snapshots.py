"""What the tests of snapshots share: files of one, monitors that load it, and a guest that counts."""
import pathlib
import re
import tempfile
import unittest

from probe import Probe, wait_until


def counts(text):
    """The numbers that the guest counter printed; a last line that is not complete does not count."""
    return [int(number) for number in re.findall(r"^count (\d+)\n", text, re.M)]


class Clone(Probe):
    """A monitor without a machine: `load` gives it one. Its guest takes orders on, like a Probe's."""

    def __init__(self, arguments=("--log-path", "log", "--level", "Warn", "--metrics-path", "metrics"), **more):
        # The log away from the serial output from the first line on, and relative to the monitor's own directory.
        super().__init__("", arguments=arguments, **more)
        self.metrics_path = self.directory / "metrics"

    def __enter__(self):
        return self

    def load(self, files, resume=True, backend="File", backend_path=None, **more):
        body = {"snapshot_path": str(files.state), "resume_vm": resume, **more,
                "mem_backend": {"backend_type": backend, "backend_path": str(backend_path or files.memory)}}
        return self.call("PUT", "/snapshot/load", body)


class Files:
    """The two files of a snapshot in a directory."""

    def __init__(self, directory, name="snap"):
        self.state, self.memory = pathlib.Path(directory) / f"{name}.state", pathlib.Path(directory) / f"{name}.mem"

    def body(self, kind="Full"):
        return {"snapshot_type": kind, "snapshot_path": str(self.state), "mem_file_path": str(self.memory)}


def pause(vm):
    vm.patch("/vm", {"state": "Paused"})


def resume(vm):
    vm.patch("/vm", {"state": "Resumed"})


def state_of(vm):
    return vm.call("GET", "/").json()["state"]


def capture(vm, files, kind="Full"):
    pause(vm)
    vm.put("/snapshot/create", files.body(kind))
    return vm.output()


class SnapshotTest(unittest.TestCase):
    def setUp(self):
        temporary = tempfile.TemporaryDirectory(prefix="wisp-snap-")
        self.addCleanup(temporary.cleanup)
        self.directory = pathlib.Path(temporary.name)
        self.files = Files(self.directory)

    def assert_loaded(self, answer):
        self.assertEqual(answer.status, 204, answer)

    def assert_refused(self, answer, text):
        self.assertEqual(answer.status, 400, answer)
        self.assertIn(text, answer.body)

    def count_on(self, vm, before, more=5):
        """What was printed before and what vm prints since are all numbers from 0 on, each once."""
        wait_until(lambda: len(counts(before + vm.output())) > len(counts(before)) + more, "more numbers")
        numbers = counts(before + vm.output())
        self.assertEqual(numbers, list(range(len(numbers))))
        return len(numbers)
