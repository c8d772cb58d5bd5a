#!/usr/bin/env python3
"""Requests that schemathesis makes up from docs/api/openapi.yaml, against a machine that is not started, runs, is paused.

Whatever is sent: an answer in time, never a 5xx, and a monitor that lives. A body that the document calls valid is never
refused for its form; one that it calls invalid is answered with 400.

Usage: test_properties.py WISP GUEST_DIR OPENAPI [unittest arguments]
WISP_SEED chooses other requests, WISP_EXAMPLES more of them.
"""
import copy
import json
import os
import pathlib
import sys
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "integration"))
try:
    import schemathesis
    import yaml
    from hypothesis import HealthCheck, Phase, given, seed, settings
except ImportError:
    print("SKIP: schemathesis is not installed: run scripts/setup --group clients")
    sys.exit(77)
import monitor  # noqa: E402
import network  # noqa: E402
from monitor import Monitor, drive, make_disk  # noqa: E402

WISP = GUESTS = None
POSITIVE, NEGATIVE = schemathesis.GenerationMode.POSITIVE, schemathesis.GenerationMode.NEGATIVE
SCHEMAS = {}
SEED = int(os.environ.get("WISP_SEED", "20261121"))
EXAMPLES = int(os.environ.get("WISP_EXAMPLES", "8"))
HANG_S = 10
MIB = 1 << 20
ALLOWED = (200, 204, 400, 413)
MALFORMED = "An error occurred when deserializing the json body of a request"
# Rules of bodies that a JSON schema of OpenAPI 3.0 does not say; the document has them as text.
BEYOND_SCHEMA = ("mem_backend` or `mem_file_path`", "multicast address or all zeros", "expected an IPv4 address",
                 "Give path_on_host; or socket")
# Any JSON value is right, so none is wrong.
FREE_BODY = ("PUT /mmds", "PATCH /mmds")
# More is taken than the document says: levels in any case.
TAKES_MORE = ("PUT /logger",)
# A failed load ends the process; that is its contract.
MAY_END = ("PUT /snapshot/load",)


def useful(document):
    """The document with names that exist in the test's machine, so that requests get beyond the first check."""
    document = copy.deepcopy(document)
    schemas = document["components"]["schemas"]
    schemas["Id"] = {"type": "string", "enum": ["d", "p", "eth0", "new"]}
    schemas["HostPath"] = {"type": "string", "enum": ["disk", "pmem", "kernel", "missing", "", ".", "/", "/dev/zero", "v2.sock"]}
    return document


def spoiled_body(case):
    """Is it the body that is invalid? (The spoiled part may be the path.)"""
    return any(place.name == "BODY" and part.mode == NEGATIVE for place, part in case.meta.components.items())


class State(unittest.TestCase):
    wanted = None  # the state of GET /

    def setUp(self):
        self.vm = None
        self.restarts = 0
        self.addCleanup(self.end)

    def end(self):
        if self.vm is not None:
            self.connection.close()
            self.vm.__exit__()
            self.vm = None

    def fresh(self):
        self.end()
        self.restarts += 1
        self.vm = vm = Monitor(WISP, ["--log-path", "log", "--level", "Off"])
        make_disk(vm.directory / "disk", 8)
        (vm.directory / "pmem").write_bytes(bytes(2 * MIB))
        os.symlink(GUESTS / "idle", vm.directory / "kernel")
        self.connection = vm.connect()
        self.connection.settimeout(HANG_S)
        if self.wanted != "Not started":
            vm.configure(GUESTS / "idle", drives=[drive("d", vm.directory / "disk")])
            vm.put("/pmem/p", {"id": "p", "path_on_host": str(vm.directory / "pmem")})
            vm.put("/balloon", {"amount_mib": 0, "deflate_on_oom": True, "stats_polling_interval_s": 1,
                                "free_page_hinting": True})
            vm.put("/hotplug/memory", {"total_size_mib": 256})
            vm.put("/entropy", {})
            vm.put("/vsock", {"guest_cid": 3, "uds_path": "v.sock"})
            vm.start()
        if self.wanted == "Paused":
            vm.patch("/vm", {"state": "Paused"})

    def is_as_wanted(self):
        if self.vm is None or self.vm.process.poll() is not None:
            return False
        return json.loads(monitor.request(self.connection, "GET", "/").body)["state"] == self.wanted

    def send(self, case):
        body = case.body
        if type(body).__name__ == "NotSet":
            body = None
        elif not isinstance(body, bytes):
            body = json.dumps(body).encode()
        path = case.path
        for name, value in (case.path_parameters or {}).items():
            # The id of the body, mostly: else every request would end at their comparison.
            inside = case.body.get(name) if isinstance(case.body, dict) else None
            path = path.replace("{" + name + "}", inside if isinstance(inside, str) and inside.isalnum() else str(value))
        answer = monitor.request(self.connection, case.method, path, body)
        if answer.body.startswith('{"error"'):
            self.connection.close()
            self.connection = self.vm.connect()
            self.connection.settimeout(HANG_S)
        return answer

    def check(self, operation, case, is_valid):
        if not self.is_as_wanted():
            self.fresh()
        what = f"{operation.label} {str(case.body)[:300]}"
        try:
            answer = self.send(case)
        except TimeoutError:
            self.fail(f"no answer within {HANG_S} s to {what}")
        except ConnectionError as error:
            self.fail(f"{error} instead of an answer to {what}; output: {self.vm.output()}")
        self.assertIn(answer.status, ALLOWED, what)
        if answer.status == 400:
            self.assertEqual(len(json.loads(answer.body)), 1, what)
        if is_valid and answer.status == 400 and MALFORMED in answer.body:
            self.assertTrue(any(text in answer.body for text in BEYOND_SCHEMA), f"{answer.body} to the valid {what}")
        if not is_valid and operation.label not in TAKES_MORE:
            self.assertEqual(answer.status, 400, f"the invalid {what}")
        if operation.label in MAY_END and answer.status == 400:
            self.end()
            return
        self.assertIsNone(self.vm.process.poll(), f"the monitor has ended after {what}: {self.vm.output()}")

    def requests(self):
        for mode, schema in SCHEMAS.items():
            for found in schema.get_all_operations():
                operation = found.ok()
                if mode == POSITIVE or operation.body and operation.label not in FREE_BODY:
                    with self.subTest(operation=operation.label, mode=mode.value):
                        self.walk(operation, mode)

    def walk(self, operation, mode):
        @seed(SEED)
        @settings(max_examples=EXAMPLES, database=None, deadline=None, phases=[Phase.generate],
                  suppress_health_check=list(HealthCheck))
        @given(operation.as_strategy(generation_mode=mode))
        def one(case):
            self.check(operation, case, mode == POSITIVE or not spoiled_body(case))

        one()


class NotStarted(State):
    wanted = "Not started"

    def test_every_operation(self):
        self.requests()


class Started(State):
    wanted = "Running"

    def test_every_operation(self):
        self.requests()


class Paused(State):
    wanted = "Paused"

    def test_every_operation(self):
        self.requests()


def main():
    global WISP, GUESTS
    WISP, GUESTS, document = (pathlib.Path(word).resolve() for word in sys.argv[1:4])
    del sys.argv[1:4]
    if not os.access("/dev/kvm", os.R_OK | os.W_OK):
        print("SKIP: /dev/kvm cannot be opened here, so no guest can run")
        sys.exit(77)
    print(f"seed: WISP_SEED={SEED}, {EXAMPLES} requests for each operation, kind and state")
    refusal = network.enter_own_network()  # a valid network interface makes a TAP
    if refusal:
        print(f"SKIP: {refusal}")
        sys.exit(77)
    document = yaml.safe_load(document.read_text())
    SCHEMAS[POSITIVE] = schemathesis.openapi.from_dict(useful(document))
    SCHEMAS[NEGATIVE] = schemathesis.openapi.from_dict(document)
    unittest.main(verbosity=2)


if __name__ == "__main__":
    main()
