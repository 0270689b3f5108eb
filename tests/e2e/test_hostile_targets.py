"""Targets that do not play by the rules: before login on raw sockets, after it with Paramiko's server bent. The session ends or goes on in
bounds, with a message that a person understands; its process stays small; the others do not notice."""
import logging, os, pathlib, socket, struct, subprocess, sys, threading, time, unittest

from lab import BIN, Lab, wait_for
from test_hostile_clients import kexinit, plain_packet, string

sys.path.append("/usr/lib/python3/dist-packages")
try:
    import paramiko
    from paramiko.message import Message
except ImportError:
    paramiko = None

MEMORY_KIB = 48 * 1024
logging.getLogger("paramiko").setLevel(logging.CRITICAL + 1)
PASSWORD = "hostile-target-password"


def u32(*values):
    return struct.pack(f">{len(values)}I", *values)


class RawTarget:
    """Accepts and lets `behave(connection)` do what it likes."""

    def __init__(self, behave):
        self.listening = socket.create_server(("127.0.0.1", 0))
        self.port = self.listening.getsockname()[1]
        self.behave = behave
        threading.Thread(target=self.serve, daemon=True).start()

    def serve(self):
        while True:
            try:
                connection, _ = self.listening.accept()
            except OSError:
                return
            threading.Thread(target=self.one, args=(connection,), daemon=True).start()

    def one(self, connection):
        connection.settimeout(30)
        try:
            self.behave(connection)
        except OSError:
            pass
        connection.close()

    def close(self):
        self.listening.close()


def for_ever(data):
    def behave(connection):
        while True:
            connection.sendall(data)
    return behave


def drip(connection, data):
    while True:
        connection.sendall(data)
        time.sleep(0.1)


def after_banner(data, stay=True):
    def behave(connection):
        connection.sendall(b"SSH-2.0-OpenSSH_9.2\r\n")
        connection.recv(4096)
        connection.sendall(data)
        if stay:
            while connection.recv(65536):
                pass
    return behave


BEFORE_LOGIN = {
    "garbage": lambda c: (c.sendall(os.urandom(5000)), time.sleep(0.2)),
    "http": lambda c: (c.sendall(b"HTTP/1.1 400 Bad Request\r\nServer: x\r\n\r\n" * 50), time.sleep(0.2)),
    "endless-banner": for_ever(b"A" * 65536),
    "endless-lines": for_ever(b"welcome to this machine\r\n" * 2000),
    "endless-version": lambda c: (c.sendall(b"SSH-2.0-"), for_ever(b"B" * 65536)(c)),
    "dripping-lines": lambda c: drip(c, b"welcome\r\n"),
    "old": lambda c: (c.sendall(b"SSH-1.5-ancient\r\n"), time.sleep(0.5)),
    "huge-packet": after_banner(u32(0xfffffff0) + b"\4" + bytes(70000)),
    "huge-lists": after_banner(plain_packet(b"\x14" + bytes(16) + u32(0x7fffffff) + b"a" * 4000)),
    "early-newkeys": after_banner(plain_packet(b"\x15")),
    "early-success": after_banner(plain_packet(kexinit()) + plain_packet(bytes([52]))),
    "endless-ignore": lambda c: (c.sendall(b"SSH-2.0-OpenSSH_9.2\r\n"), for_ever(plain_packet(bytes([2]) + string(bytes(30000))))(c)),
    "escapes": after_banner(plain_packet(bytes([1]) + u32(2) + string(b"\x1b]0;owned\x07\x1b[2J" + b"x" * 5000) + string("")), stay=False),
    "hang-up": lambda c: c.close(),
}


# What the person reads is more than a number.
REASONS = {
    "endless-lines": rb"too many lines came before the version", "endless-ignore": rb"more than 1048576 bytes came before the login",
    "dripping-lines": rb"nothing usable came within 10 seconds",
}


class Bent(paramiko.ServerInterface if paramiko else object):
    """Lets the gateway in; what it then does is named by the command."""

    def __init__(self, transport):
        self.transport = transport

    def check_auth_password(self, username, password):
        return paramiko.AUTH_SUCCESSFUL if password == PASSWORD else paramiko.AUTH_FAILED

    def check_auth_none(self, username):
        return paramiko.AUTH_FAILED

    def get_allowed_auths(self, username):
        return "password"

    def check_channel_request(self, kind, chanid):
        return paramiko.OPEN_SUCCEEDED

    def check_channel_exec_request(self, channel, command):
        threading.Thread(target=self.misbehave, args=(channel, command.decode()), daemon=True).start()
        return True

    def send(self, *parts):
        built = Message()
        built.add_bytes(b"".join(parts))
        self.transport._send_message(built)

    def misbehave(self, channel, command):
        time.sleep(0.1)
        try:
            getattr(self, command.split()[0].replace("-", "_"))(channel, channel.remote_chanid)
        except (OSError, EOFError, AttributeError, paramiko.SSHException):
            pass

    def finish(self, channel, peer, status=0):
        self.send(bytes([98]), u32(peer), string("exit-status"), b"\0", u32(status))
        self.send(bytes([96]), u32(peer))
        self.send(bytes([97]), u32(peer))

    def good(self, channel, peer):
        channel.sendall(b"good\n")
        self.finish(channel, peer)

    def beyond_window(self, channel, peer):
        while self.transport.is_active():
            self.send(bytes([94]), u32(peer), string(bytes(32000)))

    def too_large(self, channel, peer):
        self.send(bytes([94]), u32(peer), string(bytes(300_000)))
        time.sleep(5)

    def endless_stderr(self, channel, peer):
        while self.transport.is_active():
            channel.sendall_stderr(b"error: no\n" * 1000)

    def strange_stream(self, channel, peer):
        self.send(bytes([95]), u32(peer, 77), string(b"from nowhere"))
        self.good(channel, peer)

    def unknown_channel(self, channel, peer):
        self.send(bytes([94]), u32(4711), string(b"x"))
        time.sleep(5)

    def opens(self, channel, peer):
        for number in range(500):
            for kind, rest in (("session", b""), ("x11", string("127.0.0.1") + u32(1)), ("auth-agent@openssh.com", b""),
                               ("forwarded-tcpip", string("a") + u32(1) + string("b") + u32(2)), ("direct-tcpip", string("127.0.0.1") + u32(22) + string("b") + u32(2))):
                self.send(bytes([90]), string(kind), u32(1000 + number, 1 << 20, 1 << 15), rest)
        self.good(channel, peer)

    def globals(self, channel, peer):
        for number in range(20000):
            self.send(bytes([80]), string("hostkeys-00@openssh.com"), b"\1", string(os.urandom(500)))
        self.good(channel, peer)

    def requests(self, channel, peer):
        for number in range(5000):
            self.send(bytes([98]), u32(peer), string("shell"), b"\1")
            self.send(bytes([98]), u32(peer), string("exit-status"), b"\1", u32(number))
        self.good(channel, peer)

    def exit_order(self, channel, peer):
        self.send(bytes([97]), u32(peer))
        self.send(bytes([96]), u32(peer))
        self.send(bytes([98]), u32(peer), string("exit-status"), b"\0", u32(0))
        self.send(bytes([94]), u32(peer), string(b"after the close"))
        time.sleep(5)

    def exit_first(self, channel, peer):
        self.send(bytes([98]), u32(peer), string("exit-status"), b"\0", u32(7))
        channel.sendall(b"late\n")
        self.finish(channel, peer, 9)

    def huge_string(self, channel, peer):
        self.send(bytes([98]), u32(peer), u32(0xffffffff), b"exit-status")
        time.sleep(5)

    def long_signal(self, channel, peer):
        self.send(bytes([98]), u32(peer), string("exit-signal"), b"\0", string(b"S" * 30000), b"\0", string(b"\x1b[2J" * 6000), string(""))
        self.send(bytes([97]), u32(peer))

    def auth_again(self, channel, peer):
        self.send(bytes([52]))
        self.send(bytes([51]), string("password"), b"\0")
        self.send(bytes([53]), string(b"\x1b]0;x\x07" * 1000), string(""))
        self.good(channel, peer)

    def disconnect(self, channel, peer):
        self.send(bytes([1]), u32(2), string(b"\x1b[2J\x07" + b"because" * 4000), string(""))
        time.sleep(1)

    def window(self, channel, peer):
        for _ in range(10):
            self.send(bytes([93]), u32(peer, 0xffffffff))
        time.sleep(5)

    def garbage(self, channel, peer):
        self.transport.sock.send(os.urandom(100_000))
        time.sleep(5)

    def debugs(self, channel, peer):
        for _ in range(20000):
            self.send(bytes([4]), b"\1", string(b"\x1b[31mdebug"), string(""))
            self.send(bytes([2]), string(bytes(200)))
        self.good(channel, peer)

    def rekeys(self, channel, peer):
        self.transport._send_kex_init()
        self.transport._send_kex_init()
        time.sleep(5)


class FloodingLogin(Bent):
    """Answers the login with messages that may be ignored, for ever."""

    def check_auth_password(self, username, password):
        while self.transport.is_active():
            self.send(bytes([2]), string(bytes(30000)))
        return paramiko.AUTH_FAILED


@unittest.skipIf(paramiko is None, "python3-paramiko is not installed")
class HostileTargets(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.raw = {name: RawTarget(behave) for name, behave in BEFORE_LOGIN.items()}
        cls.lab = Lab(targets=1, start=False)
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", cls.lab.folder / "bent"], check=True)
        cls.key = paramiko.Ed25519Key.from_private_key_file(str(cls.lab.folder / "bent"))
        cls.bent = RawTarget(lambda connection: cls.serve_bent(connection, Bent))
        cls.flooding = RawTarget(lambda connection: cls.serve_bent(connection, FloodingLogin))
        cls.lab.policy_text = cls.policy
        cls.lab.start()
        subprocess.run([BIN / "sallyport", "--config", cls.lab.folder / "sallyport.yaml", "secret", "put", "pw/bent"], input=PASSWORD.encode(),
                       check=True, capture_output=True, timeout=30)
        cls.neighbour = cls.lab.popen(cls.lab.user(), "echo up; cat")
        assert cls.neighbour.stdout.readline() == b"up\n"

    @classmethod
    def tearDownClass(cls):
        for stream in (cls.neighbour.stdin, cls.neighbour.stdout, cls.neighbour.stderr):
            stream.close()
        cls.neighbour.wait(10)
        for target in (*cls.raw.values(), cls.bent, cls.flooding):
            target.close()
        cls.lab.stop()

    @classmethod
    def serve_bent(cls, connection, kind):
        transport = paramiko.Transport(connection)
        transport.add_server_key(cls.key)
        try:
            transport.start_server(server=kind(transport))
        except (paramiko.SSHException, EOFError):
            return
        while transport.is_active():
            time.sleep(0.1)

    @classmethod
    def policy(cls):
        host_key = " ".join((cls.lab.folder / "bent.pub").read_text().split()[:2])
        more = "".join(f"  - {{name: {name}, address: 127.0.0.1, port: {port}, allow_networks: [loopback], labels: {{env: lab}}, host_keys: [\"{host_key}\"], "
                       f"accounts: [{{name: {cls.lab.account}, credentials: [{{password: pw/bent}}]}}]}}\n"
                       for name, port in [*((name, target.port) for name, target in cls.raw.items()), ("bent", cls.bent.port), ("flooding-login", cls.flooding.port)])
        return cls.lab.default_policy().replace("roles:\n", more + "roles:\n", 1)

    def setUp(self):
        self.largest, self.watching = 0, True
        self.crashes = self.lab.log().count("died by signal")
        self.watcher = threading.Thread(target=self.watch_memory)
        self.watcher.start()

    def tearDown(self):
        self.watching = False
        self.watcher.join()
        self.neighbour.stdin.write(b"ping\n")
        self.neighbour.stdin.flush()
        self.assertEqual(self.neighbour.stdout.readline(), b"ping\n")
        self.assertEqual(self.lab.log().count("died by signal"), self.crashes)
        self.assertGreater(self.largest, 0)
        self.assertLess(self.largest, MEMORY_KIB)

    def watch_memory(self):
        while self.watching:
            for pid in self.lab.gateway_pids("sallyport-session"):
                try:
                    text = pathlib.Path(f"/proc/{pid}/status").read_text()
                except OSError:
                    continue
                if "VmHWM:" in text:
                    self.largest = max(self.largest, int(text.split("VmHWM:")[1].split()[0]))
            time.sleep(0.2)

    def visit(self, target, command="true", **more):
        done = self.lab.ssh(self.lab.user(target), command, timeout=40, **more)
        for stream in (done.stdout, done.stderr):
            self.assertNotIn(b"\x1b", stream, target)
        return done

    def test_before_login_each_gives_a_clear_message_in_time(self):
        results = {}

        def one(name):
            began = time.monotonic()
            try:
                results[name] = (self.visit(name), time.monotonic() - began)
            except Exception as failure:  # shown by the test, not by the thread
                results[name] = (failure, time.monotonic() - began)
        visitors = [threading.Thread(target=one, args=(name,)) for name in self.raw]
        for visitor in visitors:
            visitor.start()
        for visitor in visitors:
            visitor.join()
        for name in self.raw:
            done, took = results[name]
            self.assertIsInstance(done, subprocess.CompletedProcess, f"{name}: {done} after {took:.1f} s")
            self.assertEqual(done.returncode, 255, name)
            self.assertRegex(done.stderr, rb"SP-300[1389]", name)
            self.assertRegex(done.stderr, REASONS.get(name, rb"SP-"), name)
            self.assertLess(len(done.stderr), 1200, name)
            self.assertLess(took, 20, name)

    def test_a_login_that_is_flooded_ends_in_bounds(self):
        began = time.monotonic()
        done = self.visit("flooding-login")
        self.assertEqual(done.returncode, 255)
        self.assertRegex(done.stderr, rb"SP-3009.*more than 1048576 bytes came before the login")
        self.assertLess(time.monotonic() - began, 20)

    def test_the_bent_target_works_when_it_behaves(self):
        done = self.visit("bent", "good")
        self.assertEqual((done.stdout, done.returncode), (b"good\n", 0), done.stderr)

    def test_after_login_a_breach_ends_the_session_and_says_so(self):
        for command in ("beyond-window", "too-large", "unknown-channel", "huge-string", "garbage", "window", "rekeys", "disconnect"):
            began = time.monotonic()
            done = self.visit("bent", command)
            self.assertEqual(done.returncode, 255, (command, done))
            self.assertTrue(done.stderr, command)
            self.assertLess(time.monotonic() - began, 15, command)
            print(f"{command}: {done.stderr.decode(errors='replace').strip()[:160]}", flush=True)

    def test_after_login_what_is_merely_strange_is_borne(self):
        for command in ("strange-stream", "opens", "globals", "debugs", "exit-first", "auth-again", "requests", "exit-order", "long-signal"):
            began = time.monotonic()
            done = self.visit("bent", command)
            print(f"{command}: {done.returncode} {done.stdout[-20:]!r} {done.stderr[:120]!r}", flush=True)
            self.assertLess(time.monotonic() - began, 25, command)
            if command == "opens":
                self.assertIn(b"the target broke the protocol: more than 1024 refused requests", done.stderr)
        self.assertEqual(self.visit("bent", "good").stdout, b"good\n")

    def test_endless_errors_to_a_reader_that_never_reads_cost_a_bounded_memory(self):
        client = self.lab.popen(self.lab.user("bent"), "endless-stderr")
        time.sleep(4)
        client.kill()
        client.communicate()


if __name__ == "__main__":
    unittest.main()
