"""The side-door matrix: every way in x {allowed, denied, needs a second factor, waits for approval or presence, locked}, each with its audited event.

A door is (name, what policy calls it, how it is tried). Trying gives True when the door let something through.
"""
import os, pathlib, socket, subprocess, time, unittest

from lab import Lab, free_port, wait_for
from test_connection_layer import UnixEcho
from test_tunnels_and_jumps import Echo, ask


class Doors:
    def __init__(self, lab, echo):
        self.lab, self.echo = lab, echo
        self.who = lab.user()
        (lab.folder / "small").write_bytes(b"small\n")

    def shell(self):
        return b"shell-42" in self.lab.ssh(self.who, input=b"echo shell-$((40+2))\nexit\n", arguments=["-T"]).stdout

    def terminal(self):
        return b"shell-42" in self.lab.ssh(self.who, input=b"echo shell-$((40+2))\nexit\n", arguments=["-tt"]).stdout

    def exec(self):
        return b"exec-42" in self.lab.ssh(self.who, "echo exec-$((40+2))").stdout

    def second_channel(self):
        control = self.lab.folder / "door-mux"
        master = subprocess.Popen(self.lab.ssh_command(self.who, arguments=["-N", "-M", "-S", str(control)]), stdin=subprocess.DEVNULL,
                                  stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        try:
            end = time.monotonic() + 5
            while not control.exists() and master.poll() is None and time.monotonic() < end:
                time.sleep(0.05)
            done = subprocess.run(["ssh", "-F", "/dev/null", "-S", str(control), "x", "echo exec-$((40+2))"], stdin=subprocess.DEVNULL,
                                  capture_output=True, timeout=20)
            return b"exec-42" in done.stdout
        finally:
            master.kill()
            master.wait()
            control.unlink(missing_ok=True)

    def sftp(self):
        back = self.lab.folder / "door-sftp"
        back.unlink(missing_ok=True)
        batch = self.lab.folder / "door-batch"
        batch.write_text(f"get /etc/passwd {back}\n")
        subprocess.run(["sftp", *self.lab.ssh_options(), "-P", str(self.lab.port), "-b", str(batch), f"{self.who}@127.0.0.1"],
                       stdin=subprocess.DEVNULL, capture_output=True, timeout=30)
        return back.exists() and back.stat().st_size > 0

    def scp(self):
        back = self.lab.folder / "door-scp"
        back.unlink(missing_ok=True)
        subprocess.run(["scp", "-O", *self.lab.ssh_options(), "-P", str(self.lab.port), f"{self.who}@127.0.0.1:/etc/passwd", str(back)],
                       stdin=subprocess.DEVNULL, capture_output=True, timeout=30)
        return back.exists() and back.stat().st_size > 0

    def rsync(self):
        back = self.lab.folder / "door-rsync"
        back.unlink(missing_ok=True)
        shell = " ".join(["ssh", *map(str, self.lab.ssh_options()), "-p", str(self.lab.port)])
        subprocess.run(["rsync", "-e", shell, f"{self.who}@127.0.0.1:/etc/passwd", str(back)], stdin=subprocess.DEVNULL, capture_output=True, timeout=30)
        return back.exists() and back.stat().st_size > 0

    def tunnel_local(self):
        done = self.lab.ssh(self.who, arguments=["-W", f"127.0.0.1:{self.echo.port}"], input=b"tunnelled")
        return b"TUNNELLED" in done.stdout

    def tunnel_remote(self):
        port = self.remote_port
        client = subprocess.Popen(self.lab.ssh_command(self.who, arguments=["-N", "-R", f"{port}:127.0.0.1:{self.echo.port}"], ExitOnForwardFailure="yes"),
                                  stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        try:
            end = time.monotonic() + 6
            while time.monotonic() < end and client.poll() is None:
                try:
                    return ask(port, b"back", 2) == b"BACK"
                except OSError:
                    time.sleep(0.1)
            return False
        finally:
            client.kill()
            client.wait()

    def unix_socket(self):
        far, near = self.lab.folder / "door.sock", self.lab.folder / "door-near.sock"
        if not far.exists():
            UnixEcho(far)
        near.unlink(missing_ok=True)
        client = subprocess.Popen(self.lab.ssh_command(self.who, arguments=["-N", "-L", f"{near}:{far}"]), stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                                  stderr=subprocess.DEVNULL)
        try:
            end = time.monotonic() + 5
            while not near.exists() and client.poll() is None and time.monotonic() < end:
                time.sleep(0.05)
            with socket.socket(socket.AF_UNIX) as s:
                s.settimeout(5)
                s.connect(str(near))
                s.sendall(b"tunnelled")
                return s.recv(100) == b"TUNNELLED"
        except OSError:
            return False
        finally:
            client.kill()
            client.wait()

    def jump(self):
        config = self.lab.folder / "door-config"
        config.write_text(f"""Host gw
  HostName 127.0.0.1
  Port {self.lab.port}
  User engineer
Host target1
  ProxyJump gw
  User {self.lab.account}
Host *
  IdentityFile {self.lab.folder}/id_engineer
  IdentitiesOnly yes
  IdentityAgent none
  UserKnownHostsFile {self.lab.folder}/known_hosts
  GlobalKnownHostsFile /dev/null
  BatchMode yes
""")
        done = subprocess.run(["ssh", "-F", str(config), "target1", "echo exec-$((40+2))"], stdin=subprocess.DEVNULL, capture_output=True, timeout=30)
        return b"exec-42" in done.stdout

    def agent(self):
        agent = subprocess.Popen(["ssh-agent", "-D", "-a", str(self.lab.folder / "agent")], stdout=subprocess.DEVNULL)
        try:
            env = dict(os.environ, SSH_AUTH_SOCK=str(self.lab.folder / "agent"))
            # Its socket is there a moment before it listens.
            wait_for(lambda: subprocess.run(["ssh-add", "-q", str(self.lab.folder / "id_engineer")], env=env, stderr=subprocess.DEVNULL).returncode == 0)
            done = subprocess.run(self.lab.ssh_command(self.who, "ssh-add -l", arguments=["-A"], IdentityAgent=self.lab.folder / "agent"),
                                  env=env, stdin=subprocess.DEVNULL, capture_output=True, timeout=30)
            return b"ED25519" in done.stdout
        finally:
            agent.kill()
            agent.wait()
            (self.lab.folder / "agent").unlink(missing_ok=True)


# door, what the role must list for it (exec too where the door needs a program)
DOORS = [("shell", "shell"), ("terminal", "shell"), ("exec", "exec"), ("second_channel", "exec"), ("sftp", "sftp"), ("scp", "scp"),
         ("rsync", "rsync"), ("tunnel_local", "tunnel-local"), ("tunnel_remote", "tunnel-remote"), ("unix_socket", "tunnel-unix"),
         ("jump", "jump"), ("agent", "agent")]
ALL = sorted({kind for _, kind in DOORS})


class SideDoors(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.echo = Echo()
        cls.lab = Lab(targets=1)
        cls.doors = Doors(cls.lab, cls.echo)
        cls.doors.remote_port = free_port()

    @classmethod
    def tearDownClass(cls):
        cls.lab.stop()

    def policy(self, kinds, extra=""):
        return self.lab.default_policy(channels=", ".join(kinds), extra_rule=f"        tunnels: [\"127.0.0.1:{self.echo.port}\", \"localhost:{self.doors.remote_port}\", \"unix:{self.lab.folder}/door.sock\"]\n" + extra)

    def denials_since(self, number):
        return [e for e in self.lab.events() if int(e["number"]) > number and e.get("decision") == "deny"]

    def newest(self):
        return max((int(e["number"]) for e in self.lab.events()), default=0)

    def test_what_is_allowed_passes(self):
        self.lab.apply(self.policy(ALL))
        for door, _ in DOORS:
            with self.subTest(door):
                self.assertTrue(getattr(self.doors, door)(), door)

    def test_each_door_is_shut_by_itself_and_the_refusal_is_audited(self):
        for door, kind in DOORS:
            with self.subTest(door):
                self.lab.apply(self.policy([k for k in ALL if k != kind]))
                before = self.newest()
                self.assertFalse(getattr(self.doors, door)(), door)
                wait_for(lambda: self.denials_since(before), 5, 0.2)

    def test_no_door_opens_without_the_second_factor_that_the_role_asks_for(self):
        self.lab.apply(self.policy(ALL, "        mfa_within: 15m\n"))
        for door, _ in DOORS:
            with self.subTest(door):
                before = self.newest()
                self.assertFalse(getattr(self.doors, door)(), door)
                wait_for(lambda: [e for e in self.lab.events() if int(e["number"]) > before and (e.get("decision") == "deny" or e.get("result") in ("refused", "partial"))], 5, 0.2)

    def test_no_door_opens_while_nobody_answers(self):
        log = self.lab.targets[0].folder / "log"
        for line, kind in (("approval: {approvers: seniors, within: 1s}", "access"), ("moderation: {moderators: seniors, within: 1s}", "presence")):
            text = self.policy(ALL).replace("  - name: operator\n", f"  - name: operator\n    {line}\n", 1)
            self.lab.apply(text + "groups:\n  - {name: seniors, members: [approver, auditor]}\n")
            logins, connections = log.read_text().count("Accepted publickey"), self.echo.connections
            for door, _ in DOORS:
                with self.subTest(door, kind=kind):
                    before = self.newest()
                    self.assertFalse(getattr(self.doors, door)(), door)
                    wait_for(lambda: {"request.created", "request.expired"} <= {e["name"] for e in self.lab.events() if int(e["number"]) > before and e.get("kind") == kind}, 10, 0.2)
            self.assertEqual(log.read_text().count("Accepted publickey"), logins, "the target saw a login")
            self.assertEqual(self.echo.connections, connections, "a destination saw a connection")

    def test_no_door_opens_while_the_target_is_locked(self):
        self.lab.apply(self.policy(ALL))
        self.lab.run_cli("lock", "set", "--target", "target1", "--reason", "matrix", check=True)
        try:
            for door, _ in DOORS:
                with self.subTest(door):
                    before = self.newest()
                    self.assertFalse(getattr(self.doors, door)(), door)
                    wait_for(lambda: self.denials_since(before), 5, 0.2)
        finally:
            self.lab.run_cli("lock", "remove", "--target", "target1", check=True)


if __name__ == "__main__":
    unittest.main()
