"""Each service as a user of its own, as on a machine where the package is installed: in a mount namespace with a private copy of /etc that has
these users, so that nothing of this machine is changed."""
import os, pathlib, pwd, shutil, signal, subprocess, sys, tempfile, time, unittest

from lab import IS_ROOT, Lab, ROOT, wait_for

INSIDE = "SALLYPORT_TEST_HAS_USERS"
USERS = {"service vault": "sallyport-vault", "service authority": "sallyport-authority", "service recorder": "sallyport-recorder",
         "sallyport-session": "sallyport-listener"}


def facts(pid):
    text = pathlib.Path(f"/proc/{pid}/status").read_text()
    return dict(line.split(":\t", 1) for line in text.splitlines() if ":\t" in line)


class ServiceUsers(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.lab = Lab(targets=1)
        cls.who = cls.lab.user()

    @classmethod
    def tearDownClass(cls):
        cls.lab.stop()

    def open_session(self):
        client = self.lab.popen(self.who, "echo up; cat")
        self.addCleanup(lambda: (client.stdin.close(), client.wait(10), client.stdout.close(), client.stderr.close()))
        self.assertEqual(client.stdout.readline(), b"up\n", client.stderr.read() if client.poll() is not None else "")
        return client

    def echoes(self, client):
        client.stdin.write(b"ping\n")
        client.stdin.flush()
        return client.stdout.readline() == b"ping\n"

    def test_each_process_has_its_user_no_groups_and_no_capabilities(self):
        self.open_session()
        for part, user in USERS.items():
            pids = self.lab.gateway_pids(part)
            self.assertGreaterEqual(len(pids), 2 if part == "sallyport-session" else 1)
            for pid in pids:
                status = facts(pid)
                uid = str(pwd.getpwnam(user).pw_uid)
                self.assertEqual(set(status["Uid"].split()), {uid}, (part, status["Uid"]))
                self.assertEqual(set(status["Gid"].split()), {str(pwd.getpwnam(user).pw_gid)})
                self.assertEqual(status["Groups"].split(), [])
                for name in ("CapEff", "CapPrm", "CapInh", "CapAmb"):
                    self.assertEqual(int(status[name], 16), 0, (part, name))

    def test_what_belongs_to_one_service_is_closed_to_the_others(self):
        state = self.lab.folder / "state"
        for folder, owner in ((state / "vault", "sallyport-vault"), (state / "authority", "sallyport-authority"), (state / "recorder", "sallyport-recorder"),
                              (self.lab.shm / "rings", "sallyport-recorder")):
            entry = folder.stat()
            self.assertEqual(pwd.getpwuid(entry.st_uid).pw_name, owner)
            self.assertEqual(entry.st_mode & 0o077, 0, folder)
            for path in folder.rglob("*"):
                self.assertEqual(pwd.getpwuid(path.stat().st_uid).pw_name, owner, path)
        reader = lambda user, path: subprocess.run(["setpriv", f"--reuid={user}", f"--regid={user}", "--clear-groups", "cat", path], capture_output=True).returncode
        key = state / "seal.key"
        for user in USERS.values():
            self.assertEqual(reader(user, key), 0 if user == "sallyport-vault" else 1, (user, "seal.key"))
        for path, owner in ((state / "vault" / "vault.db", "sallyport-vault"), (state / "authority" / "authority.db", "sallyport-authority")):
            for user in USERS.values():
                self.assertEqual(reader(user, path), 0 if user == owner else 1, (user, path))

    def test_the_gateway_works_records_and_heals(self):
        self.assertEqual(self.lab.ssh(self.who, "echo hi").stdout, b"hi\n")
        client = self.open_session()
        for service in ("vault", "authority", "recorder"):
            old = self.lab.gateway_pids(f"service {service}")
            os.kill(old[0], signal.SIGKILL)
            wait_for(lambda: [p for p in self.lab.gateway_pids(f"service {service}") if p not in old], 20)
            self.assertTrue(self.echoes(client), service)
            wait_for(lambda: self.lab.ssh(self.who, "echo new").stdout == b"new\n", 30, 0.5)
        self.assertEqual(self.lab.run_cli("upgrade").returncode, 0)
        wait_for(lambda: "upgrade: done, generation 2" in self.lab.log(), 20)
        self.assertTrue(self.echoes(client))
        done = self.lab.run_cli("verify", "--forget")
        self.assertEqual(done.returncode, 0, done.stdout + done.stderr)
        done = self.lab.run_cli("sessions")
        self.assertIn(b"target1", done.stdout)
        self.assertEqual(self.lab.run_cli("status").returncode, 0)


def run_inside():
    """The same program again, in a mount namespace whose /etc has the service users."""
    folder = pathlib.Path(tempfile.mkdtemp(prefix="sp-users-", dir="/tmp"))
    script = (f"set -e\ncp -a /etc {folder}/etc\nmount --bind {folder}/etc /etc\n"
              f"if command -v systemd-sysusers >/dev/null; then systemd-sysusers {ROOT}/deploy/sysusers.conf\n"
              "else for u in vault authority recorder listener; do useradd --system --user-group --no-create-home --shell /usr/sbin/nologin sallyport-$u; done; fi\n"
              "exec \"$@\"\n")
    try:
        return subprocess.run(["unshare", "--mount", "--propagation", "private", "bash", "-c", script, "inside", sys.executable, *sys.argv],
                              env={**os.environ, INSIDE: "1"}).returncode
    finally:
        shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    if not IS_ROOT:
        print("skipped: needs root for services with users of their own")
    elif not os.environ.get(INSIDE):
        sys.exit(run_inside())
    else:
        unittest.main()
