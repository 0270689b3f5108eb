"""The leg towards the target, seen from the target: a break arrives, keys are exchanged anew under a transfer, strict key exchange is demanded."""
import asyncio, contextlib, hashlib, os, re, socket, subprocess, sys, threading, time, unittest

from lab import BIN, Lab, ended, free_port
from test_algorithms import found, kexinit_of, record_of

sys.path.append("/usr/lib/python3/dist-packages")
try:
    import asyncssh
except ImportError:
    asyncssh = None

PASSWORD = "target-leg-password"
CHACHA = "chacha20-poly1305@openssh.com"


class OwnTarget(threading.Thread):
    """An SSH server of AsyncSSH: notes what it is asked."""

    def __init__(self, folder, name, strict, cipher):
        super().__init__(daemon=True)
        self.port = free_port()
        self.cipher = cipher
        self.breaks, self.connections, self.logins = [], 0, 0
        self.key = folder / f"host_{name}"
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", self.key], check=True)
        self.host_key = " ".join(self.key.with_suffix(".pub").read_text().split()[:2])
        self.strict = strict
        self.up = threading.Event()
        self.loop = asyncio.new_event_loop()
        self.start()
        assert self.up.wait(20)

    def run(self):
        asyncio.set_event_loop(self.loop)
        note = self

        class Session(asyncssh.SSHServerSession):
            def connection_made(self, channel):
                self.channel = channel

            def pty_requested(self, term_type, term_size, term_modes):
                return True

            def shell_requested(self):
                return True

            def session_started(self):
                self.channel.write("ready\n")

            def data_received(self, data, datatype):
                if "w" in data:  # what OpenSSH's server says when a program has closed its input (PROTOCOL, section 2.1)
                    self.channel._send_request(b"eow@openssh.com")
                    self.channel.write("closed\n")
                if "\x04" in data or "q" in data:
                    self.channel.exit(0)

            def break_received(self, milliseconds):
                note.breaks.append(milliseconds)
                self.channel.write(f"break of {milliseconds} ms\n")
                return True

        class Server(asyncssh.SSHServer):
            def connection_made(self, connection):
                note.connections += 1
                if not note.strict:
                    # A server from before: neither says that it knows it nor heeds that the client does.
                    never = {"_strict_kex": property(lambda _: False, lambda _, value: None), "_get_extra_kex_algs": lambda _: [b"ext-info-s"]}
                    connection.__class__ = type("Before", (type(connection),), never)

            def begin_auth(self, username):
                note.logins += 1
                return True

            def password_auth_supported(self):
                return True

            def validate_password(self, username, password):
                return password == PASSWORD

            def session_requested(self):
                return Session()

        async def listen():
            await asyncssh.create_server(Server, "127.0.0.1", self.port, server_host_keys=[str(self.key)], line_editor=False,
                                         encryption_algs=[self.cipher])
            self.up.set()
        self.loop.create_task(listen())
        self.loop.run_forever()

    def stop(self):
        self.loop.call_soon_threadsafe(self.loop.stop)


class TargetLeg(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.lab = Lab(targets=1, start=False)
        cls.addClassCleanup(cls.lab.stop)
        cls.lab.targets[0].extra_config = "RekeyLimit 1M\nLogLevel DEBUG1"
        cls.own = {}
        if asyncssh is not None:
            for name, strict, cipher in (("own", True, CHACHA), ("loose", False, CHACHA), ("loose-gcm", False, "aes256-gcm@openssh.com"), ("loose-ctr", False, "aes256-ctr")):
                cls.own[name] = OwnTarget(cls.lab.folder, name, strict, cipher)
                cls.addClassCleanup(cls.own[name].stop)
        cls.reader = socket.create_server(("127.0.0.1", 0))
        cls.addClassCleanup(cls.reader.close)
        cls.lab.policy_text = cls.policy
        cls.lab.start()
        subprocess.run([BIN / "sallyport", "--config", cls.lab.folder / "sallyport.yaml", "secret", "put", "pw/own"], input=PASSWORD.encode(), check=True,
                       capture_output=True, timeout=30)

    @classmethod
    def policy(cls):
        more = "".join(f"  - {{name: {name}, address: 127.0.0.1, port: {own.port}, allow_networks: [loopback], labels: {{env: lab}}, host_keys: [\"{own.host_key}\"], "
                       f"accounts: [{{name: {cls.lab.account}, credentials: [{{password: pw/own}}]}}]}}\n" for name, own in cls.own.items())
        key = cls.lab.targets[0].host_keys["ed25519"]
        more += (f"  - {{name: reader, address: 127.0.0.1, port: {cls.reader.getsockname()[1]}, allow_networks: [loopback], labels: {{env: lab}}, host_keys: [\"{key}\"], "
                 f"accounts: [{{name: {cls.lab.account}}}]}}\n")
        return cls.lab.default_policy().replace("roles:\n", more + "roles:\n", 1)

    @unittest.skipIf(asyncssh is None, "python3-asyncssh is not installed")
    def test_a_break_reaches_the_target_with_its_length(self):
        async def go():
            async with asyncssh.connect("127.0.0.1", self.lab.port, username=self.lab.user("own"), client_keys=[str(self.lab.folder / "id_engineer")], known_hosts=None) as c:
                process = await c.create_process(term_type="xterm")
                self.assertIn("ready", await process.stdout.readline())
                for milliseconds in (500, 1234):
                    process.send_break(milliseconds)
                    self.assertIn(f"break of {milliseconds} ms", await process.stdout.readline())
                process.stdin.write("q")
                await process.wait()
        asyncio.run(asyncio.wait_for(go(), 60))
        self.assertEqual(self.own["own"].breaks, [500, 1234])

    @unittest.skipIf(asyncssh is None, "python3-asyncssh is not installed")
    def test_a_program_that_closed_its_input_is_told_to_the_client(self):
        done = self.lab.ssh(self.lab.user("own"), input=b"wq", LogLevel="DEBUG1")
        self.assertEqual(done.stdout, b"ready\nclosed\n", done.stderr)
        told = re.findall(rb"channel 0 rtype (\S+) reply 0", done.stderr)
        self.assertEqual([one for one in told if one in (b"eow@openssh.com", b"exit-status")], [b"eow@openssh.com", b"exit-status"], told)

    def test_openssh_tells_through_us_that_a_program_closed_its_input(self):
        # sshd notices it by a write that fails, and tells it only to peers of its own kind: the client stops reading while the program still runs.
        client = self.lab.popen(self.lab.user(), "exec 0<&- 1>&-; sleep 12", LogLevel="DEBUG1")
        self.addCleanup(ended, client)
        began = time.monotonic()

        def write():
            with contextlib.suppress(OSError, ValueError):
                while time.monotonic() < began + 10 and not told:
                    client.stdin.write(b"x")
                    client.stdin.flush()
                    time.sleep(0.05)
        told = b""
        writer = threading.Thread(target=write)
        writer.start()
        self.addCleanup(writer.join)
        told = next((line for line in client.stderr if re.search(rb"rtype (eow@openssh.com|exit-status|exit-signal) ", line)), b"nothing")
        self.assertIn(b"rtype eow@openssh.com ", told)
        self.assertLess(time.monotonic() - began, 10)
        self.assertIsNone(client.poll())

    @unittest.skipIf(asyncssh is None, "python3-asyncssh is not installed")
    def test_a_target_without_strict_key_exchange_is_refused_before_its_login(self):
        # With ChaCha20-Poly1305, where packets could be cut from the beginning unnoticed; AES-GCM does not need it.
        done = self.lab.ssh(self.lab.user("loose"), "true")
        self.assertEqual(done.returncode, 255)
        self.assertRegex(done.stderr, rb"SP-3008 .*strict")
        self.assertEqual((self.own["loose"].connections, self.own["loose"].logins), (1, 0))

    @unittest.skipIf(asyncssh is None, "python3-asyncssh is not installed")
    def test_with_a_cipher_that_does_not_need_it_such_a_target_serves_and_its_record_shows_it(self):
        for name, strict in (("own", True), ("loose-gcm", False), ("loose-ctr", False)):
            client = self.lab.popen(self.lab.user(name), arguments=["-tt"])
            self.addCleanup(ended, client)
            self.assertIn(b"ready", client.stdout.readline(), name)
            client.stdin.write(b"q")
            client.stdin.flush()
            self.assertEqual(client.wait(10), 0, name)
            told, = found(record_of(self.lab), "algorithms")
            self.assertRegex(told, rf" c2s={self.own[name].cipher}(\+\S+)? ")
            self.assertEqual("strict" in told.split(), strict, told)

    def test_what_a_target_is_offered_is_this_and_nothing_else(self):
        client = self.lab.popen(self.lab.user("reader"), "true")
        self.addCleanup(ended, client)
        self.reader.settimeout(20)
        peer, _ = self.reader.accept()
        with peer:
            peer.settimeout(20)
            kex, host, ciphers, back, macs, macs_back, compression, compression_back, languages, _ = kexinit_of(peer)
        # ML-KEM and X25519 before sntrup761, which costs more.
        self.assertEqual([name for name in kex if name != "ext-info-c"], ["mlkem768x25519-sha256", "curve25519-sha256", "curve25519-sha256@libssh.org", "sntrup761x25519-sha512@openssh.com",
                                                                        "kex-strict-c-v00@openssh.com"])
        self.assertEqual(host, ["ssh-ed25519"], "the pinned key is of this kind")
        self.assertEqual(ciphers, ["aes128-gcm@openssh.com", "aes256-gcm@openssh.com", "chacha20-poly1305@openssh.com", "aes256-ctr", "aes128-ctr"])
        self.assertEqual(macs, ["hmac-sha2-256-etm@openssh.com", "hmac-sha2-512-etm@openssh.com", "hmac-sha2-256", "hmac-sha2-512"])
        self.assertEqual((back, macs_back), (ciphers, macs))
        self.assertEqual((compression, compression_back, languages), (["none"], ["none"], []))

    def test_the_target_exchanges_keys_anew_under_a_transfer(self):
        target = self.lab.targets[0]
        log = lambda: (target.folder / "log").read_text(errors="replace")
        again = lambda: len(re.findall(r"rekeying in progress|set_newkeys: rekeying", log()))
        data = os.urandom(24 << 20)
        before = again()
        done = self.lab.ssh(self.lab.user(), "sha256sum; head -c 16000000 /dev/zero", input=data, timeout=120)
        self.assertEqual(done.stdout[:64].decode(), hashlib.sha256(data).hexdigest(), done.stderr)
        self.assertEqual(len(done.stdout), 68 + 16_000_000)
        count = again() - before
        print(f"{count} lines about new keys in the target's log", flush=True)
        self.assertGreater(count, 20)


if __name__ == "__main__":
    unittest.main()
