"""The host's pool of huge pages of 2 MiB, for tests of machines whose memory is made of them."""
import pathlib


class HugePages:
    """Reserves what is missing, until the test ends; skips the test where that cannot be had."""

    SIZE_KIB = 2048
    POOL = pathlib.Path(f"/sys/kernel/mm/hugepages/hugepages-{SIZE_KIB}kB")

    def __init__(self, test, needed):
        if not self.POOL.exists():
            test.skipTest("this host has no huge pages of 2 MiB")
        before = self.pages("nr_hugepages")
        missing = needed - self.unclaimed()
        if missing <= 0:
            return
        try:
            self.reserve(before + missing)
        except OSError as error:
            test.skipTest(f"{needed} free huge pages are needed, and none can be reserved: {error}")
        test.addCleanup(self.reserve, before)
        if self.unclaimed() < needed:
            test.skipTest(f"the host cannot find {needed} huge pages in a row")

    def pages(self, which):
        return int((self.POOL / which).read_text())

    def unclaimed(self):
        return self.pages("free_hugepages") - self.pages("resv_hugepages")

    def reserve(self, count):
        (self.POOL / "nr_hugepages").write_text(str(count))
