"""An upgrade to another build: the files are replaced as a package does it, then the gateway goes over while people connect and work."""
import os, pathlib, shutil, socket, subprocess, tempfile, threading, time, unittest

import lab as lab_module
from lab import ended, wait_for

PROGRAMS = ("sallyport", "sallyport-session")


def version(program):
    return subprocess.run([program, "--version"], capture_output=True, timeout=20).stdout.split()[1].decode()


def replace(folder, old, new):
    """Another build at the same place: the same programs, which call themselves another version."""
    assert len(old) == len(new)
    for name in PROGRAMS:
        code = (folder / name).read_bytes()
        changed = code.replace(b"sallyport " + old.encode() + b" (", b"sallyport " + new.encode() + b" (").replace(b"\0" + old.encode() + b"\0", b"\0" + new.encode() + b"\0")
        assert changed != code, name
        (folder / f"{name}.new").write_bytes(changed)
        (folder / f"{name}.new").chmod(0o755)
        os.rename(folder / f"{name}.new", folder / name)


class Upgrade(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.programs = pathlib.Path(tempfile.mkdtemp(prefix="sp-upgrade-", dir="/tmp"))
        cls.addClassCleanup(shutil.rmtree, cls.programs, ignore_errors=True)
        cls.programs.chmod(0o755)
        for name in PROGRAMS:
            shutil.copy2(lab_module.BIN / name, cls.programs / name)
        before = lab_module.BIN
        lab_module.BIN = cls.programs
        cls.addClassCleanup(setattr, lab_module, "BIN", before)
        cls.lab = lab_module.Lab(targets=1)
        cls.addClassCleanup(cls.lab.stop)

    def runs(self, pid):
        """The file that a process executes, also when the name leads to another one by now; None when it has ended."""
        try:
            return os.stat(f"/proc/{pid}/exe").st_ino
        except FileNotFoundError:
            return None

    def open(self):
        client = self.lab.popen(self.lab.user(), "cat")
        self.addCleanup(ended, client)
        client.stdin.write(b"first\n")
        client.stdin.flush()
        self.assertEqual(client.stdout.readline(), b"first\n")
        return client, self.lab.wait_event("session.started")[-1]["pid"]

    def test_another_build_takes_over(self):
        lab, keeper = self.lab, self.lab.gateway.pid
        inodes = lambda: {name: os.stat(self.programs / name).st_ino for name in PROGRAMS}
        old_version, old = version(self.programs / "sallyport"), inodes()
        new_version = old_version[:-1] + ("9" if old_version[-1] != "9" else "8")
        live, live_pid = self.open()
        self.assertEqual((self.runs(keeper), self.runs(live_pid)), (old["sallyport"], old["sallyport-session"]))

        refused, greeted, failed, logged_in, stop = [], [], [], [], threading.Event()

        def connect():
            while not stop.is_set():
                try:
                    with socket.create_connection(("127.0.0.1", lab.port), 20) as s:
                        s.settimeout(20)
                        (greeted if s.recv(8).startswith(b"SSH-2.0-") else refused).append("banner")
                except OSError as error:
                    refused.append(repr(error))
                time.sleep(0.01)

        def log_in():
            while not stop.is_set():
                done = lab.ssh(lab.user(), "echo ok")
                (logged_in if done.stdout == b"ok\n" else failed).append(done.stderr)
        hammers = [threading.Thread(target=what) for what in (connect, connect, log_in)]
        for hammer in hammers:
            hammer.start()
        try:
            time.sleep(0.5)
            replace(self.programs, old_version, new_version)
            new = inodes()
            self.assertFalse(set(old.values()) & set(new.values()))
            lab.run_cli("upgrade", check=True)
            wait_for(lambda: "upgrade: done, generation 2" in lab.log(), 60)
            wait_for(lambda: len(logged_in) > 2, 60)
            time.sleep(1)
        finally:
            stop.set()
            for hammer in hammers:
                hammer.join()
        print(f"{old_version} to {new_version}: {len(greeted)} connections and {len(logged_in)} logins meanwhile", flush=True)
        self.assertEqual((refused, failed), ([], []))
        self.assertGreater(len(greeted), 20)

        self.assertEqual(lab.gateway.pid, keeper)
        self.assertEqual(version(f"/proc/{keeper}/exe"), new_version)
        for service in ("vault", "authority", "recorder"):
            pid, = lab.gateway_pids(f"service {service}")
            self.assertEqual((self.runs(pid), version(f"/proc/{pid}/exe")), (new["sallyport"], new_version), service)
        # The old session lives, by the old program; a new one runs the new.
        live.stdin.write(b"still\n")
        live.stdin.flush()
        self.assertEqual(live.stdout.readline(), b"still\n")
        self.assertEqual(self.runs(live_pid), old["sallyport-session"])
        fresh, fresh_pid = self.open()
        self.assertEqual(self.runs(fresh_pid), new["sallyport-session"])
        for client in (live, fresh):
            client.stdin.close()
            self.assertEqual(client.wait(15), 0)
        # Nothing of the old build is left.
        wait_for(lambda: {self.runs(pid) for pid in lab.gateway_pids()} - {None} == set(new.values()), 20)
        self.assertEqual(lab.run_cli("verify").returncode, 0)


if __name__ == "__main__":
    unittest.main()
