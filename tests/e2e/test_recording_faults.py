"""No recording, no access: a full disk, a full memory for rings, a recorder that is slow and one that does not come back."""
import hashlib, os, pathlib, signal, subprocess, threading, time, unittest

from lab import IS_ROOT, Lab, wait_for

HOLD = 4  # seconds that sessions hold their bytes here


class Mounted:
    """A folder on a file system of its own, small enough to fill."""

    def __init__(self, folder, size):
        self.folder = pathlib.Path(folder)
        self.folder.mkdir(parents=True, exist_ok=True)
        subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size},mode=0700", "tmpfs", self.folder], check=True)

    def fill(self, leave=0):
        """Writes until `leave` bytes are left; the file that does it."""
        path = self.folder / "ballast"
        facts = os.statvfs(self.folder)
        size = facts.f_bavail * facts.f_frsize - leave
        if size > 0:
            with open(path, "wb") as file:
                os.posix_fallocate(file.fileno(), 0, size)
        return path

    def unmount(self):
        subprocess.run(["umount", "-l", self.folder], check=False)


class Faults(unittest.TestCase):
    def make_lab(self, state=None, rings=None):
        self.lab = Lab(targets=1, start=False, config=f"sessions: {{hold: {HOLD}s}}\n")
        self.mounts = {}
        if state:
            self.mounts["state"] = Mounted(self.lab.folder / "state", state)
        if rings:
            self.mounts["rings"] = Mounted(self.lab.shm / "rings", rings)
        self.addCleanup(lambda: [mount.unmount() for mount in self.mounts.values()])
        self.addCleanup(self.lab.stop)
        self.lab.start()
        self.who = self.lab.user()

    def open_session(self, command="echo up; cat"):
        client = self.lab.popen(self.who, command)
        self.addCleanup(lambda: (client.kill(), client.wait(), client.stdin.close(), client.stdout.close(), client.stderr.close()))
        self.assertEqual(client.stdout.readline(), b"up\n")
        return client

    def echoes(self, client, text=b"ping\n"):
        client.stdin.write(text)
        client.stdin.flush()
        return client.stdout.readline() == text

    def works(self):
        return self.lab.ssh(self.who, "echo new", timeout=30).stdout == b"new\n"

    def recorder(self):
        pids = self.lab.gateway_pids("service recorder")
        self.assertEqual(len(pids), 1)
        return pids[0]

    # ------------------------------------------------------------------ full disk
    @unittest.skipUnless(IS_ROOT, "needs root to mount a small file system")
    def test_a_full_disk_admits_nobody_ends_who_writes_and_heals(self):
        self.make_lab(state="48M")
        client = self.open_session("echo up; while read line; do head -c 16000000 /dev/urandom | base64; echo =end=; done")
        idle = self.open_session()
        ballast = self.mounts["state"].fill(leave=3 << 20)
        client.stdin.write(b"go\n")
        client.stdin.flush()
        received = client.stdout.read()
        self.assertEqual(client.wait(60), 255)
        self.assertNotIn(b"=end=", received)
        self.assertRegex(client.stderr.read(), rb"SP-400[123]")
        refused = self.lab.ssh(self.who, "echo in")
        self.assertEqual((refused.returncode, refused.stdout), (255, b""), refused)
        self.assertRegex(refused.stderr, rb"SP-400[124]", refused)
        self.assertEqual(idle.wait(30), 255)
        self.assertRegex(idle.stderr.read(), rb"SP-400[123]")
        ballast.unlink()
        wait_for(self.works, 30, 0.5)
        done = self.lab.run_cli("verify", "--forget")
        self.assertEqual(done.returncode, 0, done.stdout + done.stderr)

    @unittest.skipUnless(IS_ROOT, "needs root to mount a small file system")
    def test_without_room_for_rings_new_connections_are_told_and_live_ones_go_on(self):
        self.make_lab(rings="24M")
        client = self.open_session()
        ballast = self.mounts["rings"].fill()
        refusals, sessions = [], []
        for _ in range(40):  # the listener has some kits ready
            other = self.lab.popen(self.who, "echo up; cat")
            line = other.stdout.readline()
            if line != b"up\n":
                refusals.append(other.communicate()[1])
                break
            sessions.append(other)
        self.assertTrue(refusals, "no connection was refused")
        self.assertTrue(self.echoes(client))
        self.assertIn("no session kit", self.lab.log())
        for other in sessions:
            other.kill()
            other.communicate()
        ballast.unlink()
        wait_for(self.works, 30, 0.5)
        self.assertTrue(self.echoes(client))

    # ------------------------------------------------------------------ slow and dead recorder
    def test_a_stopped_recorder_holds_the_bytes_and_nothing_is_lost(self):
        self.make_lab()
        data = os.urandom(6_000_000).hex().encode()
        client = self.open_session("echo up; cat")
        stopped = self.recorder()

        def stutter():
            for _ in range(3):
                os.kill(stopped, signal.SIGSTOP)
                time.sleep(HOLD / 4)
                os.kill(stopped, signal.SIGCONT)
                time.sleep(0.3)
        pauses = threading.Thread(target=stutter)
        pauses.start()
        writer = threading.Thread(target=lambda: (client.stdin.write(data), client.stdin.close()))
        writer.start()
        received = client.stdout.read()
        writer.join()
        pauses.join()
        self.assertEqual(hashlib.sha256(received).hexdigest(), hashlib.sha256(data).hexdigest())
        self.assertEqual(client.wait(30), 0)
        self.assertEqual(self.lab.run_cli("verify").returncode, 0)

    def test_a_recorder_that_does_not_come_back_ends_sessions_with_a_reason(self):
        self.make_lab()
        client = self.open_session("echo up; while read line; do head -c 3000000 /dev/urandom | base64; echo =end=; done")
        idle = self.open_session()
        stopped = self.recorder()
        os.kill(stopped, signal.SIGSTOP)
        self.addCleanup(lambda: pathlib.Path(f"/proc/{stopped}").exists() and os.kill(stopped, signal.SIGCONT))
        began = time.monotonic()
        client.stdin.write(b"go\n")
        client.stdin.flush()
        received = client.stdout.read()
        self.assertEqual(client.wait(60), 255)
        took = time.monotonic() - began
        self.assertNotIn(b"=end=", received)
        self.assertLess(len(received), 1 << 20)  # what a ring and a window hold
        self.assertRegex(client.stderr.read(), rb"SP-400[13]")
        self.assertGreater(took, HOLD - 1)
        self.assertLess(took, HOLD + 10)
        refused = self.lab.ssh(self.who, "echo in", timeout=40)
        self.assertEqual((refused.returncode, refused.stdout), (255, b""))
        self.assertRegex(refused.stderr, rb"SP-[1345]0\d\d")
        print(f"ended after {took:.1f} s; a new one: {refused.stderr.decode().strip()}", flush=True)
        self.assertEqual(idle.wait(30), 255)  # it types nothing, and is not recorded either
        self.assertIn(b"SP-4003", idle.stderr.read())
        wait_for(self.works, 60, 0.5)  # the keeper kills a recorder that does not answer and starts another


if __name__ == "__main__":
    unittest.main()
