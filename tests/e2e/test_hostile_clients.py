"""Clients that do not play by the rules, on raw sockets and with Paramiko's transport bent: the session of such a client ends or is told no,
its process stays small, nothing crashes, and the others do not notice."""
import logging, os, pathlib, socket, struct, sys, threading, time, unittest

from lab import Lab, wait_for

sys.path.append("/usr/lib/python3/dist-packages")
try:
    import paramiko
    from paramiko.message import Message
except ImportError:
    paramiko = None

MEMORY_KIB = 48 * 1024  # no session process may ever have been larger
logging.getLogger("paramiko").setLevel(logging.CRITICAL + 1)
DISCONNECT, IGNORE, EXT_INFO, KEXINIT, NEWKEYS, SERVICE_REQUEST = 1, 2, 7, 20, 21, 5
CLOSED = (OSError, EOFError)


def string(value):
    value = value.encode() if isinstance(value, str) else value
    return struct.pack(">I", len(value)) + value


def plain_packet(payload):
    padding = 8 - (5 + len(payload)) % 8
    padding += 8 if padding < 4 else 0
    return struct.pack(">IB", 1 + len(payload) + padding, padding) + payload + bytes(padding)


def kexinit(strict=True, cipher="aes256-gcm@openssh.com"):
    kex = "curve25519-sha256" + (",kex-strict-c-v00@openssh.com" if strict else "")
    lists = [kex, "ssh-ed25519", cipher, cipher, "hmac-sha2-256", "hmac-sha2-256", "none", "none", "", ""]
    return bytes([KEXINIT]) + os.urandom(16) + b"".join(string(name) for name in lists) + b"\0" + struct.pack(">I", 0)


@unittest.skipIf(paramiko is None, "python3-paramiko is not installed")
class HostileClients(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.lab = Lab(targets=1, config="limits:\n  login_grace: 20s\n")
        cls.who = cls.lab.user()
        cls.neighbour = cls.lab.popen(cls.who, "echo up; cat")
        assert cls.neighbour.stdout.readline() == b"up\n"

    @classmethod
    def tearDownClass(cls):
        for stream in (cls.neighbour.stdin, cls.neighbour.stdout, cls.neighbour.stderr):
            stream.close()
        cls.neighbour.wait(10)
        cls.lab.stop()

    def setUp(self):
        self.crashes = self.lab.log().count("died by signal")
        self.largest = 0
        self.watching = True
        self.watcher = threading.Thread(target=self.watch_memory)
        self.watcher.start()

    def tearDown(self):
        self.watching = False
        self.watcher.join()
        self.neighbour.stdin.write(b"ping\n")
        self.neighbour.stdin.flush()
        self.assertEqual(self.neighbour.stdout.readline(), b"ping\n")
        self.assertEqual(self.lab.ssh(self.who, "echo in").stdout, b"in\n")
        self.assertEqual(self.lab.log().count("died by signal"), self.crashes)
        self.assertLess(self.largest, MEMORY_KIB)

    def watch_memory(self):
        """The high-water mark of every session process that lives for a moment."""
        while self.watching:
            for pid in self.lab.gateway_pids("sallyport-session"):
                try:
                    text = pathlib.Path(f"/proc/{pid}/status").read_text()
                except OSError:
                    continue
                if "VmHWM:" in text:
                    self.largest = max(self.largest, int(text.split("VmHWM:")[1].split()[0]))
            time.sleep(0.2)

    # ------------------------------------------------------------------ raw sockets, before keys are exchanged
    def raw(self, greeting=True):
        connection = socket.create_connection(("127.0.0.1", self.lab.port), 10)
        connection.settimeout(10)
        self.addCleanup(connection.close)
        if greeting:
            connection.sendall(b"SSH-2.0-raw_client\r\n")
        return connection

    def is_closed_soon(self, connection, seconds=10, what=""):
        """Reads what comes until the gateway closes; the bytes, or a failure of the test."""
        received, end = b"", time.monotonic() + seconds
        try:
            while time.monotonic() < end:
                part = connection.recv(65536)
                if not part:
                    return received
                received += part
        except ConnectionResetError:
            return received
        except socket.timeout:
            pass
        self.fail(f"still open after {seconds} s, {what} {received[-80:]!r}")

    def send_all_or_closed(self, connection, data):
        try:
            connection.sendall(data)
        except OSError:
            pass

    def test_garbage_before_and_during_the_key_exchange(self):
        random = os.urandom(4096)
        for first in (b"GET / HTTP/1.1\r\nHost: x\r\n\r\n" * 200, b"\x16\x03\x01\x02\x00" + random, b"SSH-1.5-old\r\n" + random, b"\0" * 70000,
                      b"SSH-2.0-" + b"A" * 70000, b"comment\r\n" * 30000):
            connection = self.raw(greeting=False)
            self.send_all_or_closed(connection, first)
            self.is_closed_soon(connection)
        for second in (struct.pack(">I", 0xffffffff) + random, struct.pack(">IB", 8, 255) + random, struct.pack(">IB", 0, 0) + random,
                       plain_packet(kexinit())[:40] + random, plain_packet(bytes([KEXINIT]) + b"\xff" * 400), plain_packet(b""), random * 20):
            connection = self.raw()
            self.send_all_or_closed(connection, second)
            self.send_all_or_closed(connection, bytes(70000))
            self.is_closed_soon(connection)

    @staticmethod
    def exchange_end():
        return plain_packet(bytes([30]) + string(b"\x09" + bytes(31))) + plain_packet(bytes([NEWKEYS]))

    def test_terrapin_and_wrong_order_before_the_keys_are_new(self):
        for early in (bytes([IGNORE]) + string(b""), bytes([EXT_INFO]) + struct.pack(">I", 0), bytes([NEWKEYS]), bytes([SERVICE_REQUEST]) + string("ssh-userauth"),
                      bytes([52]), bytes([90]) + string("session") + struct.pack(">III", 0, 1 << 20, 1 << 15), bytes([4]) + b"\1" + string("x") + string("")):
            for before in (True, False):
                connection = self.raw()
                packets = [plain_packet(early), plain_packet(kexinit())] if before else [plain_packet(kexinit()), plain_packet(early)]
                # What came too early is found out at the latest when the new keys are taken into use.
                self.send_all_or_closed(connection, b"".join(packets) + self.exchange_end())
                self.is_closed_soon(connection, what=(early, before))
        connection = self.raw()  # the same without anything early stands: it is the early message that ended the others
        connection.sendall(plain_packet(kexinit()) + self.exchange_end())
        connection.settimeout(2)
        with self.assertRaises(socket.timeout):
            while connection.recv(65536):
                pass
        # Without strict key exchange only ciphers serve from whose beginning nothing can be cut unnoticed.
        for cipher, serves in (("chacha20-poly1305@openssh.com", False), ("aes256-gcm@openssh.com", True), ("aes256-ctr", True)):
            connection = self.raw()
            self.send_all_or_closed(connection, plain_packet(kexinit(strict=False, cipher=cipher)) + self.exchange_end())
            if not serves:
                self.is_closed_soon(connection, what=cipher)
                continue
            connection.settimeout(2)
            with self.assertRaises(socket.timeout, msg=cipher):
                while connection.recv(65536):
                    pass
        connection = self.raw()  # a second KEXINIT inside the exchange
        self.send_all_or_closed(connection, plain_packet(kexinit()) * 2)
        self.is_closed_soon(connection)

    # ------------------------------------------------------------------ with keys, before and after login
    def transport(self, login=True):
        transport = paramiko.Transport(("127.0.0.1", self.lab.port))
        self.addCleanup(transport.close)
        transport.banner_timeout = transport.auth_timeout = 20
        transport.start_client(timeout=20)
        if login:
            transport.auth_publickey(self.who, paramiko.Ed25519Key.from_private_key_file(str(self.lab.folder / "id_engineer")))
            self.assertTrue(transport.is_authenticated())
        return transport

    def message(self, *parts):
        built = Message()
        built.add_bytes(b"".join(parts))
        return built

    def ended(self, transport, seconds=10):
        wait_for(lambda: not transport.is_active(), seconds)

    def send(self, transport, *parts):
        try:
            transport._send_message(self.message(*parts))
            return True
        except CLOSED:
            return False

    def test_garbage_and_a_wrong_authentication_code_after_the_key_exchange(self):
        for login in (False, True):
            for data in (os.urandom(20000), bytes(20000)):
                transport = self.transport(login)
                try:
                    transport.sock.send(data)
                except OSError:
                    pass
                self.ended(transport)
            transport = self.transport(login)
            transport.packetizer._Packetizer__mac_key_out = b"\x55" * len(transport.packetizer._Packetizer__mac_key_out)
            self.send(transport, bytes([IGNORE]), string(b"x"))
            self.ended(transport)

    def test_messages_out_of_their_order_before_login(self):
        opening = bytes([90]) + string("session") + struct.pack(">III", 0, 1 << 20, 1 << 15)
        for payload in (bytes([52]), opening, bytes([94]) + struct.pack(">I", 0) + string(b"x"), bytes([80]) + string("tcpip-forward") + b"\1" + string("") + struct.pack(">I", 0),
                        bytes([31]) + string(b"\1" * 32), bytes([NEWKEYS]), bytes([60]) + string("x"), bytes([51]) + string("publickey") + b"\0",
                        bytes([50]) + string(self.who) + string("ssh-connection") + string("none")):
            transport = self.transport(login=False)
            self.send(transport, payload)
            # Either the connection ends, or it is as if nothing had been said: no channel opens without a login.
            time.sleep(0.3)
            self.send(transport, opening)
            try:
                self.ended(transport)
            except TimeoutError:
                self.fail(f"open after {payload[:1]!r}")

    def test_messages_out_of_their_order_after_login(self):
        user = lambda method, rest=b"": bytes([50]) + string(self.who) + string("ssh-connection") + string(method) + rest
        for payload in (bytes([52]), bytes([NEWKEYS]), bytes([31]) + string(b"\1" * 32), bytes([94]) + struct.pack(">I", 77) + string(b"x"),
                        bytes([91]) + struct.pack(">IIII", 5, 5, 1 << 20, 1 << 15), bytes([98]) + struct.pack(">I", 3) + string("exec") + b"\1" + string("id"),
                        bytes([94]) + b"\0", bytes([90]) + struct.pack(">I", 0xffffffff) + b"session", bytes([93]) + struct.pack(">II", 9, 9),
                        bytes([97]) + struct.pack(">I", 1234), bytes([200]) + os.urandom(64), bytes([61]) + struct.pack(">I", 1) + string("x"),
                        user("none"), user("password", b"\0" + string("x"))):
            transport = self.transport()
            self.send(transport, payload)
            time.sleep(0.2)
            # RFC 4252: requests after success are ignored; unknown messages are answered; the rest ends the connection. In no case does
            # it change who this is.
            if transport.is_active():
                channel = transport.open_session(timeout=10)
                channel.exec_command("echo mine")
                self.assertEqual(channel.recv(10), b"mine\n")
            transport.close()

    # ------------------------------------------------------------------ names that are no text
    def heard(self, transport, *numbers):
        """What comes of these messages, below Paramiko's own bookkeeping."""
        came = []
        transport._handler_table = dict(transport._handler_table)
        for number in numbers:
            transport._handler_table[number] = lambda _, m, number=number: came.append((number, m.asbytes()))
        return came

    def test_names_that_are_no_text_are_refused_and_the_session_goes_on(self):
        names = (b"\xff\xfe", b"127.0.0.1\xc3", b"127.0.0.1\0.example.org", b"\xed\xa0\x80", b"a\nb")
        transport = self.transport()
        came = self.heard(transport, 91, 92, 81, 82)
        said = lambda: [(number, text) for number, text in list(came)]
        for number, name in enumerate(names):
            tcp = string(name) + struct.pack(">I", 22) + string(b"\xff") + struct.pack(">I", 1)
            for kind, rest in (("direct-tcpip", tcp), ("direct-streamlocal@openssh.com", string(b"/run/" + name) + string("") + struct.pack(">I", 0))):
                came.clear()
                self.assertTrue(self.send(transport, bytes([90]), string(kind), struct.pack(">III", number, 1 << 20, 1 << 15), rest))
                wait_for(lambda: said() or not transport.is_active(), 10)
                self.assertTrue(transport.is_active(), (kind, name))
                self.assertEqual(said()[0][0], 92)
                self.assertIn(b"SP-2011", said()[0][1])
                self.assertEqual(struct.unpack(">II", said()[0][1][1:9] if said()[0][1][:1] == b"\x5c" else said()[0][1][:8])[1], 1)
            for kind, rest in (("tcpip-forward", string(name) + struct.pack(">I", 0)), ("streamlocal-forward@openssh.com", string(b"/run/" + name))):
                came.clear()
                self.assertTrue(self.send(transport, bytes([80]), string(kind), b"\1", rest))
                wait_for(lambda: said() or not transport.is_active(), 10)
                self.assertTrue(transport.is_active(), (kind, name))
                self.assertEqual(said()[0][0], 82)
        came.clear()  # where a connection began is for the record alone: nothing is refused for it but what the role refuses
        self.send(transport, bytes([90]), string("direct-tcpip"), struct.pack(">III", 77, 1 << 20, 1 << 15), string("192.0.2.1"), struct.pack(">I", 1), string(b"\xff"), struct.pack(">I", 1))
        wait_for(lambda: said() or not transport.is_active(), 20)
        self.assertTrue(transport.is_active())
        transport.close()
        transport = self.transport()
        self.assertTrue(self.lab.wait_event("relay.refused", code="SP-2011"))
        channel = transport.open_session(timeout=10)
        channel.exec_command(b"echo \xff | od -An -tx1")
        self.assertIn(b"ff", channel.recv(20))

    def test_a_user_and_a_command_that_are_no_text(self):
        transport = self.transport(login=False)
        came = self.heard(transport, 6, 51, 52)
        self.send(transport, bytes([SERVICE_REQUEST]), string("ssh-userauth"))
        wait_for(lambda: came, 10)
        for method in (string("none"), string("password") + b"\0" + string(b"\xff\xfe")):
            came.clear()
            self.send(transport, bytes([50]), string(b"engineer\xff"), string("ssh-connection"), method)
            wait_for(lambda: came or not transport.is_active(), 10)
            self.assertTrue(transport.is_active(), method)
            self.assertEqual(came[0][0], 51)
        transport.close()
        whole, self.who = self.who, "engineer"
        try:
            transport = self.transport()
        finally:
            self.who = whole
        for _ in range(2):
            channel = transport.open_session(timeout=10)
            channel.exec_command(b"explain \xff\xfe")
            self.assertNotEqual(channel.recv_exit_status(), 0)
            self.assertTrue(transport.is_active())

    # ------------------------------------------------------------------ channels and windows
    def test_three_thousand_channel_opens_on_one_connection(self):
        transport = self.transport()
        began = time.monotonic()
        opened, refused = [], []
        opening = lambda number: b"".join((bytes([90]), string("session"), struct.pack(">III", number, 1 << 20, 1 << 15)))
        # Below Paramiko's own bookkeeping, which would wait for each.
        transport._handler_table = dict(transport._handler_table)
        transport._handler_table[91] = lambda _, m: opened.append(m.get_int())
        transport._handler_table[92] = lambda _, m: refused.append((m.get_int(), m.get_int(), m.get_text()))
        for number in range(3000):
            transport._send_message(self.message(opening(number)))
        wait_for(lambda: len(opened) + len(refused) >= 3000 or not transport.is_active(), 60)
        took = time.monotonic() - began
        print(f"3,000 opens in {took:.1f} s: {len(opened)} opened, {len(refused)} refused; largest session {self.largest} KiB", flush=True)
        self.assertEqual(len(opened) + len(refused), 3000)
        self.assertEqual(sorted(opened + [r[0] for r in refused]), list(range(3000)))
        self.assertLess(took, 30)
        self.assertTrue(all(why in (2, 4) and text for _, why, text in refused), {(why, text) for _, why, text in refused})
        self.assertTrue([r for r in refused if "SP-5008" in r[2]])
        transport.close()

    def open_channel(self, transport, command):
        channel = transport.open_session(timeout=20)
        channel.exec_command(command)
        return channel

    def test_more_than_the_window_ends_the_connection(self):
        transport = self.transport()
        channel = self.open_channel(transport, "sleep 60")
        block = b"".join((bytes([94]), struct.pack(">I", channel.remote_chanid), string(bytes(32000))))
        sent = 0
        while transport.is_active() and sent < 64 << 20:
            if not self.send(transport, block):
                break
            sent += 32000
        self.ended(transport)
        self.assertLess(sent, 16 << 20)  # the gateway's 1 MiB and what the kernel's buffers hold

    def test_packets_above_the_announced_size_end_the_connection_or_pass_in_bounds(self):
        for size in (32769, 65536, 200_000, 1 << 20):
            transport = self.transport()
            channel = self.open_channel(transport, "cat >/dev/null; echo done")
            self.send(transport, bytes([94]), struct.pack(">I", channel.remote_chanid), string(bytes(size)))
            if size > 262_144:  # the largest packet of the transport
                self.ended(transport)
            else:
                channel.shutdown_write()
                self.assertEqual(channel.recv(10), b"done\n")
            transport.close()

    def test_a_window_that_overflows_and_a_packet_size_of_nothing(self):
        transport = self.transport()
        channel = self.open_channel(transport, "sleep 60")
        for _ in range(3):
            self.send(transport, bytes([93]), struct.pack(">II", channel.remote_chanid, 0xffffffff))
        self.ended(transport)
        for window, packet in ((0, 0), (0xffffffff, 0xffffffff), (0, 1)):
            transport = self.transport()
            self.send(transport, bytes([90]), string("session"), struct.pack(">III", 7, window, packet))
            time.sleep(0.2)
            transport.close()

    def test_a_reader_that_never_reads_costs_a_bounded_memory(self):
        transport = self.transport()
        transport.window_size = 1 << 30
        channel = transport.open_session(window_size=1 << 30, timeout=20)
        transport.packetizer.read_message = lambda: time.sleep(3600)  # the reader thread stops here
        send = lambda *parts: transport._send_message(self.message(*parts))
        send(bytes([98]), struct.pack(">I", channel.remote_chanid), string("exec"), b"\0", string("cat /dev/zero"))
        time.sleep(3)
        self.assertGreater(self.largest, 0)
        transport.sock.close()
        wait_for(lambda: not self.lab.targets[0].running("cat /dev/zero"), 20)

    def test_thousands_of_requests_that_want_an_answer(self):
        transport = self.transport()
        for number in range(20000):
            if not transport.is_active():
                break
            self.send(transport, bytes([80]), string("keepalive@openssh.com"), b"\1")
        transport.close()
        transport = self.transport()
        channel = self.open_channel(transport, "sleep 60")
        for number in range(5000):
            if not transport.is_active():
                break
            self.send(transport, bytes([98]), struct.pack(">I", channel.remote_chanid), string("env"), b"\1", string("TEST_" + "x" * 1000), string("y" * 1000))
        transport.close()


if __name__ == "__main__":
    unittest.main()
