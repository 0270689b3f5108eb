"""Verifying, indexing and shipping stand back: each of their threads has a lower priority than the processes that carry sessions, for the
processor and for the disk."""
import ctypes, pathlib, shutil, subprocess, tempfile, time, unittest

import lab as lab_module
from lab import Lab, ended, wait_for

IOPRIO_GET = {"x86_64": 252, "aarch64": 31}.get(__import__("platform").machine())
BEST_EFFORT_LOWEST = 2 << 13 | 7


def threads(pid):
    """(nice, disk priority) of each thread."""
    found = set()
    for task in pathlib.Path(f"/proc/{pid}/task").iterdir():
        fields = (task / "stat").read_text().rpartition(")")[2].split()
        found.add((int(fields[16]), ctypes.CDLL(None).syscall(IOPRIO_GET, 1, int(task.name))))
    return found


@unittest.skipUnless(IOPRIO_GET, "the number of ioprio_get is not known here")
class LowPriority(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.store = pathlib.Path(tempfile.mkdtemp(prefix="sp-store-", dir="/tmp"))
        cls.lab = Lab(config=f"  checkpoint_every: 1s\nstore:\n  url: dir:{cls.store}\n  segment_every: 1s\n")
        assert cls.lab.ssh(cls.lab.user(), "echo once").returncode == 0

    @classmethod
    def tearDownClass(cls):
        cls.lab.stop()
        shutil.rmtree(cls.store, ignore_errors=True)

    def start(self, *words):
        started = subprocess.Popen([lab_module.BIN / "sallyport", "--config", self.lab.folder / "sallyport.yaml", *map(str, words)],
                                   stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        self.addCleanup(ended, started)
        return started

    def stands_back(self, pid, nice):
        wait_for(lambda: threads(pid) == {(nice, BEST_EFFORT_LOWEST)}, 20)

    def test_shipping(self):
        named = {name: pid for pid in self.lab.gateway_pids() for name in [pathlib.Path(f"/proc/{pid}/cmdline").read_bytes().decode().replace("\0", " ")]}
        [shipper] = [pid for name, pid in named.items() if "shipper" in name or "shipping" in name]
        self.stands_back(shipper, 10)
        for name, pid in named.items():
            if pid != shipper:
                self.assertEqual({nice for nice, _ in threads(pid)}, {0}, name)

    def test_indexing(self):
        self.stands_back(self.start("index", "--follow", "--reason", "test").pid, 19)

    def test_verifying(self):
        journal = self.store.parent / (self.store.name + "-journal")
        shutil.copytree(self.lab.folder / "state" / "recorder" / "journal", journal)
        self.addCleanup(shutil.rmtree, journal)
        # A frame that is not whole is given 300 ms to become so: long enough to be looked at.
        with open(sorted(journal.glob("*.journal"))[-1], "ab") as file:
            file.write(b"SPF1")
        for _ in range(20):
            verifier, seen = self.start("verify", "--journal", journal), set()
            while verifier.poll() is None:
                try:
                    seen |= threads(verifier.pid)
                except OSError:
                    pass  # it has just ended
                time.sleep(0.005)
            if (10, BEST_EFFORT_LOWEST) in seen:
                return
        self.fail(seen)


if __name__ == "__main__":
    unittest.main()
