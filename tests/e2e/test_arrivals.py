"""How connections arrive: IPv6, PROXY protocol, time to log in, counted attempts, limits per source, slowed guessing."""
import json, os, socket, struct, subprocess, sys, time, unittest

from lab import Lab, answers_ssh, ended, wait_for
from test_login import argon2id, needs_paramiko, paramiko

SIGNATURE = b"\r\n\r\n\0\r\nQUIT\n"


def proxy_header(source, port, destination="192.0.2.1"):
    return SIGNATURE + b"\x21\x11" + struct.pack(">H", 12) + socket.inet_aton(source) + socket.inet_aton(destination) + struct.pack(">HH", port, 22)


def closed_within(peer, seconds):
    """True when the other side closes; what it says before is read away."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        peer.settimeout(max(0.05, end - time.monotonic()))
        try:
            if not peer.recv(65536):
                return True
        except socket.timeout:
            return False
        except OSError:
            return True
    return False


class Arrivals(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.hash = argon2id(b"right horse")
        cls.lab = Lab(targets=1, start=False, listen=["[::1]:{port}"],
                      config="proxy_protocol_from: [127.0.0.9, \"127.0.8.0/24\"]\nlimits:\n  login_grace: 3s\n  factor_grace: 4s\n  auth_attempts: 3\n"
                             "  unauthenticated_per_source: 5\n")
        cls.lab.targets[0].address = "::1"
        cls.lab.policy_text = cls.policy
        cls.addClassCleanup(cls.lab.stop)
        cls.lab.start()

    @classmethod
    def policy(cls):
        text = cls.lab.default_policy().replace("address: ::1", "address: \"::1\"")
        people = (f"  - {{name: pass, type: person, password: {json.dumps(cls.hash)}}}\n"
                  f"  - {{name: both, type: person, keys: [{json.dumps(cls.lab.people['auditor'])}], password: {json.dumps(cls.hash)}, factors: 2}}\n")
        lines = [line for line in text.splitlines() if not line.startswith("  - {name: auditor")]
        return ("\n".join(lines) + "\n").replace("targets:\n", people + "targets:\n", 1).replace("principals: [engineer]", "principals: [engineer, pass, both]")

    def connect(self, source="127.0.0.1", address="127.0.0.1"):
        peer = socket.create_connection((address, self.lab.port), 10, source_address=(source, 0) if source else None)
        self.addCleanup(peer.close)
        return peer

    def transport(self, peer):
        connection = paramiko.Transport(peer)
        connection.start_client(timeout=20)
        self.addCleanup(connection.close)
        return connection

    def fresh_source(self):
        """An address of this machine that has done nothing yet."""
        type(self).sources = getattr(type(self), "sources", 0) + 1
        return f"127.3.{self.sources // 250}.{1 + self.sources % 250}"

    # ------------------------------------------------------------- addresses
    def test_ipv6_on_both_legs(self):
        known = self.lab.folder / "known_hosts6"
        known.write_text((self.lab.folder / "known_hosts").read_text().replace("[127.0.0.1]", "[::1]"))
        command = self.lab.ssh_command(self.lab.user(), "echo in", UserKnownHostsFile=known)
        command[command.index("127.0.0.1")] = "::1"
        done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, timeout=30)
        self.assertEqual(done.stdout, b"in\n", done.stderr)
        started = self.lab.wait_event("session.started", source="::1")[-1]
        self.assertTrue(self.lab.wait_event("target.dialled", session=started["session"], address=f"::1:{self.lab.targets[0].port}"))

    @needs_paramiko
    def test_a_proxy_header_is_believed_from_listed_peers_only(self):
        peer = self.connect("127.0.0.9")
        peer.sendall(proxy_header("203.0.113.5", 4711))
        connection = self.transport(peer)
        key = paramiko.Ed25519Key.from_private_key_file(str(self.lab.folder / "id_engineer"))
        connection.auth_publickey(self.lab.user(), key)
        self.assertTrue(connection.is_authenticated())
        started = self.lab.wait_event("session.started", source="203.0.113.5")[-1]
        self.assertEqual(started["source_port"], 4711)
        self.assertTrue(self.lab.wait_event("auth.succeeded", session=started["session"], principal="engineer"))

        liar = self.connect("127.0.0.1")
        liar.sendall(proxy_header("203.0.113.66", 4711))
        self.assertTrue(closed_within(liar, 6))
        silent = self.connect("127.0.8.1")
        silent.sendall(b"SSH-2.0-no_header\r\n")
        self.assertTrue(closed_within(silent, 6), "a listed peer that sends no header gets nothing")
        broken = self.connect("127.0.8.2")
        broken.sendall(SIGNATURE + b"\x21\x11\xff\xff" + b"x" * 64)
        self.assertTrue(closed_within(broken, 8))
        self.assertEqual(self.lab.events("session.started", source="203.0.113.66"), [])

    # ------------------------------------------------------------- time and number
    @needs_paramiko
    def test_the_time_to_log_in_is_limited_for_each_factor(self):
        begin = time.monotonic()
        peer = self.connect(self.fresh_source())
        connection = self.transport(peer)
        wait_for(lambda: not connection.is_active(), 8)
        self.assertTrue(2.0 < time.monotonic() - begin < 5.5, time.monotonic() - begin)
        self.assertTrue(self.lab.wait_event("auth.timed_out", code="SP-1005", decision="deny"))

        begin = time.monotonic()
        connection = self.transport(self.connect(self.fresh_source()))
        time.sleep(2)
        key = paramiko.Ed25519Key.from_private_key_file(str(self.lab.folder / "id_auditor"))
        self.assertTrue(connection.auth_publickey(self.lab.user(principal="both"), key))
        time.sleep(3)
        self.assertTrue(connection.is_active(), "the second factor has its own time")
        wait_for(lambda: not connection.is_active(), 6)
        self.assertTrue(5.0 < time.monotonic() - begin < 9.0, time.monotonic() - begin)

    @needs_paramiko
    def test_the_number_of_attempts_is_the_configured_one(self):
        connection = self.transport(self.connect(self.fresh_source()))
        refused = 0
        for _ in range(6):
            try:
                connection.auth_publickey(self.lab.user(principal="pass"), paramiko.ECDSAKey.generate())
            except paramiko.AuthenticationException:
                refused += 1
            except (paramiko.SSHException, EOFError):
                break
        wait_for(lambda: not connection.is_active(), 5)
        self.assertIn(refused, (2, 3))
        self.assertTrue(self.lab.wait_event("auth.attempted", result="disconnect", code="SP-1002"))

    def test_one_source_may_hold_so_many_and_its_oldest_goes_first(self):
        source = self.fresh_source()
        live = self.lab.popen(self.lab.user(), "echo up; cat", arguments=["-b", source])
        self.addCleanup(ended, live)
        self.assertEqual(live.stdout.readline(), b"up\n")
        held = [self.connect(source) for _ in range(8)]
        for peer in held[:3]:
            self.assertTrue(closed_within(peer, 2))
        for peer in held[3:]:
            self.assertFalse(closed_within(peer, 0.1))
        live.stdin.write(b"still here\n")
        live.stdin.flush()
        self.assertEqual(live.stdout.readline(), b"still here\n", "a proven one is not counted")
        self.assertTrue(answers_ssh("127.0.0.1", self.lab.port), "other sources do not notice")

    # ------------------------------------------------------------- guessing
    @needs_paramiko
    def test_guessing_is_slowed_and_cannot_lock_out_the_owner(self):
        owner, user = self.fresh_source(), self.lab.user(principal="pass")

        def log_in(source, password):
            begin = time.monotonic()
            try:
                self.transport(self.connect(source)).auth_password(user, password, fallback=False)
                return True, time.monotonic() - begin
            except paramiko.AuthenticationException:
                return False, time.monotonic() - begin
        self.assertTrue(log_in(owner, "right horse")[0])
        for _ in range(14):
            self.assertFalse(log_in(self.fresh_source(), "guess")[0])
        right, took = log_in(owner, "right horse")
        self.assertTrue(right, "from where she has logged in before she is not touched by what others do")
        self.assertLess(took, 3)
        waiting = [self.transport(self.connect(self.fresh_source())) for _ in range(3)]
        refused = 0
        for connection, password in zip(waiting, ("guess", "right horse", "right horse")):
            try:
                connection.auth_password(user, password, fallback=False)
            except paramiko.AuthenticationException:
                refused += 1
        self.assertGreaterEqual(refused, 2, "from elsewhere one guess per pause is looked at, and a right one is no exception")
        self.assertTrue(self.lab.wait_event("auth.attempted", code="SP-5003", decision="deny"))
        key = self.lab.ssh(self.lab.user(), "echo in", arguments=["-b", self.fresh_source()])
        self.assertEqual(key.stdout, b"in\n", "keys cannot be guessed and are never slowed for others")

    @needs_paramiko
    def test_a_source_that_failed_waits_longer_each_time(self):
        source, times = self.fresh_source(), []
        for attempt in range(6):
            begin = time.monotonic()
            try:
                self.transport(self.connect(source)).auth_password(self.lab.user(principal=f"nobody{attempt}"), "guess", fallback=False)
            except (paramiko.SSHException, EOFError):
                pass
            times.append(time.monotonic() - begin)
        self.assertGreater(times[-1], times[0] + 0.8, times)


if __name__ == "__main__":
    unittest.main()
