#!/usr/bin/env python3
"""The unmodified Firecracker SDK for Go drives wisp: directly and through its jailer support.

Usage: test_go_sdk.py WISP JAILER GUEST_DIR CACHE [unittest arguments]

CACHE is the folder with the SDK's modules, which scripts/setup fills; nothing is downloaded here.
"""
import os
import pathlib
import shutil
import subprocess
import sys
import tempfile
import unittest

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent / "integration"))
import network  # noqa: E402

WISP = JAILER = GUESTS = CACHE = PROGRAM = None
SCENARIOS = ("lifecycle", "stop", "drives", "balloon", "vsock", "mmds-v1", "mmds-v2", "snapshot", "refusal")
PATIENCE_S = 180


def find_go():
    return shutil.which("go", path=os.environ.get("PATH", "") + ":/usr/local/go/bin:/usr/lib/go/bin")


def build(folder):
    """Builds the program from the cache alone. None, or why it cannot be built here."""
    global PROGRAM
    go = find_go()
    if go is None:
        return "no Go compiler: install Go 1.19 or newer"
    if not (CACHE / "mod").is_dir():
        return f"the SDK's modules are not in {CACHE}: run scripts/setup"
    PROGRAM = pathlib.Path(folder) / "sdk_walk"
    environment = dict(os.environ, GOMODCACHE=str(CACHE / "mod"), GOCACHE=str(CACHE / "build"), GOPROXY="off",
                       GOSUMDB="off", GOFLAGS="-mod=readonly -modcacherw", GOTOOLCHAIN="local", CGO_ENABLED="0")
    done = subprocess.run([go, "build", "-o", PROGRAM, "."], cwd=HERE / "go_sdk", env=environment, text=True,
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    if "module lookup disabled" in done.stdout:
        return f"modules are missing in {CACHE}: run scripts/setup"
    if done.returncode != 0:
        raise SystemExit("the client does not build:\n" + done.stdout)
    return None


class Walk(unittest.TestCase):
    def setUp(self):
        temporary = tempfile.TemporaryDirectory(prefix="wisp-sdk-")
        self.addCleanup(temporary.cleanup)
        self.directory = pathlib.Path(temporary.name)
        self.directory.chmod(0o755)
        (self.directory / "jails").mkdir(mode=0o755)
        network.make_tap("tap0")
        self.addCleanup(network.remove_tap, "tap0")

    def walk(self, scenario, *arguments):
        words = [PROGRAM, "-scenario", scenario, "-wisp", WISP, "-jailer", JAILER, "-guests", GUESTS, "-directory",
                 self.directory, "-tap", "tap0", *arguments]
        done = subprocess.run(list(map(str, words)), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                              stderr=subprocess.STDOUT, text=True, timeout=PATIENCE_S)
        self.assertEqual(done.returncode, 0, done.stdout)
        self.assertIn("WALKED " + scenario, done.stdout)


class Plain(Walk):
    """The SDK starts the monitor itself."""

    def test_network(self):
        self.walk("network")
        self.assertEqual(network.statistics("tap0")["received"], 10)


class Jailed(Walk):
    """The SDK starts the jailer, links files into the jail and talks to the monitor inside."""

    def test_network(self):
        self.walk("network", "-jailed")
        self.assertEqual(network.statistics("tap0")["received"], 10)

    def test_a_daemonizing_jailer_leaves_a_monitor_that_answers(self):
        self.walk("daemon", "-jailed")


def add_scenarios():
    for scenario in SCENARIOS:
        name = "test_" + scenario.replace("-", "_")
        setattr(Plain, name, lambda self, scenario=scenario: self.walk(scenario))
        setattr(Jailed, name, lambda self, scenario=scenario: self.walk(scenario, "-jailed"))


def skip(reason):
    print(f"SKIP: {reason}")
    sys.exit(77)


def main():
    global WISP, JAILER, GUESTS, CACHE
    WISP, JAILER, GUESTS, CACHE = (pathlib.Path(word).resolve() for word in sys.argv[1:5])
    del sys.argv[1:5]
    if not os.access("/dev/kvm", os.R_OK | os.W_OK):
        skip("/dev/kvm cannot be opened here, so no guest can run")
    if os.geteuid() != 0:
        skip("the jailer and TAP interfaces need root")
    with tempfile.TemporaryDirectory(prefix="wisp-sdk-program-") as folder:
        refusal = build(folder) or network.enter_own_network()
        if refusal:
            skip(refusal)
        add_scenarios()
        unittest.main(verbosity=2)


if __name__ == "__main__":
    main()
