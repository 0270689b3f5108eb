"""Every request and channel type of RFC 4254 and of OpenSSH's extensions, tried in every situation of tests/data/side_doors.txt.

One connection for a situation; what stock clients cannot send is written by hand over AsyncSSH. Each cell asserts what the client was told
and the event that was audited for it; over a whole situation no refusal may be audited that no cell expects, and none twice.
"""
import asyncio, pathlib, socket, sys, time, unittest

from lab import Lab, ROOT, free_port
from test_connection_layer import UnixEcho
from test_tunnels_and_jumps import Echo

sys.path.append("/usr/lib/python3/dist-packages")
try:
    import asyncssh
    from asyncssh.channel import SSHChannel
    from asyncssh.packet import Boolean, String, UInt32
except ImportError:
    asyncssh, SSHChannel = None, object

TABLE = ROOT / "tests" / "data" / "side_doors.txt"
ANSWER, EVENT = 15, 5  # seconds
ENOUGH = 6  # differences in one situation: the rest is not tried


def read_table(path=TABLE):
    """The situations, and {door: (what its events may call it, {situation: cell})}."""
    doors, heading = {}, []
    for line in path.read_text().splitlines():
        if line.startswith("#door"):
            heading = line[1:].split()[2:]
        if not line.strip() or line.startswith("#"):
            continue
        door, named, *cells = line.split()
        assert len(cells) == len(heading), line
        assert door not in doors, f"{door} stands there twice"
        doors[door] = (named.split("|"), dict(zip(heading, cells)))
    return heading, doors


class Wire(SSHChannel):
    """A channel of any type with any request on it."""

    def __init__(self, connection):
        super().__init__(connection, asyncio.get_running_loop(), None, "strict", 1 << 21, 1 << 15)
        self.out, self.err, self.over = b"", b"", asyncio.Event()
        self._read_datatypes = {asyncssh.EXTENDED_DATA_STDERR}

    async def open(self, kind, *specific):
        await asyncio.wait_for(self._open(kind.encode(), *specific), ANSWER)
        self._session = self
        await self._start_reading()
        return self

    async def ask(self, request, *specific):
        """Was it granted? None: the channel is gone."""
        return bool(await asyncio.wait_for(self._make_request(request.encode(), *specific), ANSWER))

    def say(self, request, *specific):
        self._send_request(request.encode(), *specific)

    # What an SSHSession is told.
    def data_received(self, data, kind):
        if kind:
            self.err += data
        else:
            self.out += data

    def eof_received(self):
        return True

    def connection_lost(self, _):
        self.over.set()

    def pause_writing(self):
        pass

    resume_writing = pause_writing

    def _process_exit_status_request(self, _):
        return True

    _process_exit_signal_request = _process_exit_status_request

    async def end(self):
        """Everything it says until it is closed."""
        await asyncio.wait_for(self.over.wait(), ANSWER)
        return self.out

    async def until(self, text):
        stop = time.monotonic() + ANSWER
        while text not in self.out and not self.over.is_set() and time.monotonic() < stop:
            await asyncio.sleep(0.01)
        return text in self.out

    def type(self, data):
        """As a client that does not wait: the channel may be refused by now."""
        try:
            self.write(data)
        except BrokenPipeError:
            pass

    def leave(self):
        self.close()


class Listening(asyncssh.SSHClient if asyncssh else object):
    """Keeps what the gateway says aside."""

    def __init__(self):
        self.aside = []

    def debug_msg_received(self, msg, lang, always_display):
        self.aside.append(msg)


class Doors:
    """How each door is tried. True: it let something through; the text is what the client was told."""

    def __init__(self, lab, connection, client, places):
        self.lab, self.connection, self.client, self.places = lab, connection, client, places

    async def try_one(self, door):
        self.client.aside.clear()
        try:
            opened, text = await getattr(self, "try_" + door.replace("-", "_"))()
        except asyncssh.ChannelOpenError as e:
            opened, text = False, e.reason
        return opened, text + " ".join(self.client.aside)

    def wire(self):
        return Wire(self.connection)

    async def session(self):
        return await self.wire().open("session")

    # ------------------------------------------------------------- programs
    async def program(self, request, *specific, typed=b"", proof):
        channel = await self.session()
        granted = await channel.ask(request, *specific)
        if granted:
            if typed:
                channel.type(typed)
            await channel.until(proof) if typed else await channel.end()
        opened = proof in channel.out
        if not opened:
            await channel.end()
        channel.leave()
        return opened, channel.err.decode()

    async def try_shell(self):
        return await self.program("shell", typed=b"echo shell-$((40+2))\nexit\n", proof=b"shell-42")

    async def try_exec(self):
        return await self.program("exec", String("echo exec-$((40+2))"), proof=b"exec-42")

    async def try_subsystem_sftp(self):
        return await self.program("subsystem", String("sftp"), typed=b"\0\0\0\x05\x01\0\0\0\x03", proof=b"\x02\0\0\0\x03")

    async def try_subsystem_other(self):
        return await self.program("subsystem", String("probe"), proof=b"probe-42")

    async def try_exec_scp(self):
        return await self.program("exec", String("scp -f /etc/passwd"), typed=b"\0", proof=b"passwd\n")

    async def try_exec_rsync(self):
        return await self.program("exec", String("rsync --server --sender -logDtpre.iLsfxCIvu . /etc/passwd"), typed=b"\x1f\0\0\0", proof=b"\0\0\0")

    async def try_second_exec(self):
        channel = await self.session()
        await channel.ask("exec", String("echo first; cat"))
        if not await channel.until(b"first\n"):
            await channel.end()
            return False, channel.err.decode()
        opened = await channel.ask("exec", String("id"))
        channel.leave()
        return opened, ""

    async def try_session_tiny_packets(self):
        channel = self.wire()
        channel._recv_pktsize = 32
        await channel.open("session")
        return True, ""

    # ------------------------------------------------------------- requests beside a program
    async def plain(self, request, *specific):
        channel = await self.session()
        opened = await channel.ask(request, *specific)
        channel.leave()
        return opened, ""

    async def try_pty_req(self):
        return await self.plain("pty-req", String("xterm"), UInt32(80), UInt32(24), UInt32(0), UInt32(0), String(b"\0"))

    async def try_env_listed(self):
        return await self.plain("env", String("TEST_A"), String("yes"))

    async def try_env_unlisted(self):
        return await self.plain("env", String("LD_PRELOAD"), String("/tmp/x"))

    async def try_agent_req(self):
        return await self.plain("auth-agent-req@openssh.com")

    async def try_x11_req(self):
        return await self.plain("x11-req", Boolean(False), String("MIT-MAGIC-COOKIE-1"), String("0" * 32), UInt32(0))

    async def try_xon_xoff(self):
        return await self.plain("xon-xoff", Boolean(True))

    async def try_unknown_request(self):
        return await self.plain("make-coffee@example.org")

    async def running(self, command, request, *specific, proof=None, pty=False):
        """On a channel with a program that shows what the request did to it, or on an empty one where no program runs."""
        channel = await self.session()
        if self.runs_programs:
            if pty:
                await channel.ask("pty-req", String("xterm"), UInt32(80), UInt32(24), UInt32(0), UInt32(0), String(b"\0"))
            await channel.ask("exec", String(command))
            await channel.until(b"ready")
        if self.runs_programs and proof:
            channel.say(request, *specific)
            opened = await channel.until(proof)
        else:
            opened = await channel.ask(request, *specific)
        channel.leave()
        return opened, ""

    async def try_signal(self):
        return await self.running("trap 'echo got-$((40+2)); exit' USR1; echo ready; while :; do sleep 0.05; done", "signal", String("USR1"), proof=b"got-42")

    async def try_break(self):
        return await self.running("echo ready; cat", "break", UInt32(500), pty=True)  # a pseudo terminal has no line to break: sshd's yes is all there is

    async def try_window_change(self):
        return await self.running("trap 'stty size; exit' WINCH; echo ready; while :; do sleep 0.05; done", "window-change", UInt32(101), UInt32(42), UInt32(0), UInt32(0), proof=b"42 101", pty=True)

    async def try_eow(self):
        """The target then stops its program's output, and the program ends."""
        channel = await self.session()
        if not self.runs_programs:
            opened = await channel.ask("eow@openssh.com")
        else:
            await channel.ask("exec", String("while echo ready; do sleep 0.05; done"))
            await channel.until(b"ready")
            channel.say("eow@openssh.com")
            await channel.end()
            opened = True
        channel.leave()
        return opened, ""

    # ------------------------------------------------------------- channels
    async def tunnel(self, kind, *specific, say=b"words", proof=b"WORDS"):
        channel = await self.wire().open(kind, *specific)
        if say:
            channel.type(say)
        opened = await channel.until(proof)
        channel.leave()
        return opened, ""

    def address(self, port):
        return String("127.0.0.1"), UInt32(port), String("127.0.0.1"), UInt32(1)

    async def try_direct_tcpip(self):
        return await self.tunnel("direct-tcpip", *self.address(self.places.echo.port))

    async def try_direct_tcpip_elsewhere(self):
        return await self.tunnel("direct-tcpip", *self.address(self.places.other.port))

    async def try_direct_streamlocal(self):
        return await self.tunnel("direct-streamlocal@openssh.com", String(str(self.places.socket)), String(""), UInt32(0))

    async def try_direct_streamlocal_elsewhere(self):
        return await self.tunnel("direct-streamlocal@openssh.com", String(str(self.places.other_socket)), String(""), UInt32(0))

    async def try_bare_jump(self):
        return await self.tunnel("direct-tcpip", String("target1"), UInt32(22), String("127.0.0.1"), UInt32(1), say=b"", proof=b"SSH-2.0-")

    try_bare_jump_elsewhere = try_direct_tcpip
    try_bare_direct_streamlocal = try_direct_streamlocal

    async def try_bare_subsystem(self):
        return await self.try_subsystem_sftp()

    async def try_bare_tcpip_forward(self):
        return await self.try_tcpip_forward()

    async def try_tun(self):
        return await self.tunnel("tun@openssh.com", UInt32(1), UInt32(0x7fffffff))

    async def try_open_x11(self):
        return await self.tunnel("x11", String("127.0.0.1"), UInt32(1))

    async def try_open_agent(self):
        return await self.tunnel("auth-agent@openssh.com")

    async def try_open_forwarded_tcpip(self):
        return await self.tunnel("forwarded-tcpip", *self.address(self.places.echo.port))

    async def try_open_forwarded_streamlocal(self):
        return await self.tunnel("forwarded-streamlocal@openssh.com", String(str(self.places.socket)), String(""))

    async def try_open_unknown(self):
        return await self.tunnel("teleport@example.org")

    # ------------------------------------------------------------- global requests
    async def ask(self, name, *specific):
        kind, packet = await asyncio.wait_for(self.connection._make_global_request(name.encode(), *specific), ANSWER)
        return kind == 81, packet

    async def try_tcpip_forward(self):
        granted, _ = await self.ask("tcpip-forward", String("localhost"), UInt32(self.places.port))
        if granted:
            with socket.socket() as s:
                granted = s.connect_ex(("127.0.0.1", self.places.port)) == 0
        return granted, ""

    async def try_cancel_tcpip_forward(self):
        granted, _ = await self.ask("cancel-tcpip-forward", String("localhost"), UInt32(self.places.port))
        return granted, ""

    async def try_tcpip_forward_port_0(self):
        granted, packet = await self.ask("tcpip-forward", String("localhost"), UInt32(0))
        if granted:
            port = packet.get_uint32()
            granted = port > 1023 and (await self.ask("cancel-tcpip-forward", String("localhost"), UInt32(port)))[0]
        return granted, ""

    async def try_tcpip_forward_elsewhere(self):
        return (await self.ask("tcpip-forward", String("127.0.0.1"), UInt32(self.places.port)))[0], ""

    async def try_streamlocal_forward(self):
        granted, _ = await self.ask("streamlocal-forward@openssh.com", String(str(self.places.back)))
        return granted and self.places.back.is_socket(), ""

    async def try_cancel_streamlocal_forward(self):
        return (await self.ask("cancel-streamlocal-forward@openssh.com", String(str(self.places.back))))[0], ""

    async def try_streamlocal_forward_elsewhere(self):
        return (await self.ask("streamlocal-forward@openssh.com", String(f"{self.places.back}-2")))[0], ""

    async def try_keepalive(self):
        return (await self.ask("keepalive@openssh.com"))[0], ""

    async def try_hostkeys_prove(self):
        key = (self.lab.folder / "run" / "keys" / "host_keys.pub").read_text().split()[1]
        import base64
        return (await self.ask("hostkeys-prove-00@openssh.com", String(base64.b64decode(key))))[0], ""

    async def try_unknown_global(self):
        return (await self.ask("tea@example.org"))[0], ""

    async def try_no_more_sessions(self):
        self.connection.send_packet(80, String("no-more-sessions@openssh.com"), Boolean(False))
        await self.session()
        return True, ""


class Places:
    """Where tunnels lead."""

    def __init__(self, folder):
        self.echo, self.other, self.port = Echo(), Echo(), free_port()
        shared = folder / "shared"
        shared.mkdir()
        shared.chmod(0o777)
        self.socket, self.other_socket, self.back = shared / "listed.sock", shared / "other.sock", shared / "back.sock"
        UnixEcho(self.socket), UnixEcho(self.other_socket)


ALL = "shell, exec, subsystem, sftp, scp, rsync, tunnel-local, tunnel-remote, tunnel-unix, jump, agent, x11"
# situation: (principal, the lock that is on)
SITUATIONS = {"allowed": ("engineer", ()), "denied": ("narrow", ()), "factor": ("lone", ()), "locked-principal": ("engineer", ("--principal", "engineer")),
              "locked-target": ("engineer", ("--target", "target1")), "locked-account": ("engineer", ("--account", "ACCOUNT"))}


@unittest.skipIf(asyncssh is None, "python3-asyncssh is not installed")
class DoorMatrix(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.situations, cls.table = read_table()
        cls.lab = Lab(targets=1, people=("engineer", "admin", "narrow", "lone"), start=False)
        cls.lab.targets[0].extra_config = "X11Forwarding yes\nXAuthLocation /bin/true\nSubsystem probe echo probe-42\n"
        cls.places = Places(cls.lab.folder)
        cls.lab.policy_text = cls.policy
        cls.addClassCleanup(cls.lab.stop)
        cls.lab.start()

    @classmethod
    def policy(cls):
        """The engineer may everything; `narrow` may use scp only; `lone` too, and the rest with a second factor, of which it has none."""
        tunnels = f"        tunnels: [\"127.0.0.1:{cls.places.echo.port}\", \"localhost:*\", \"unix:{cls.places.socket}\", \"unix:{cls.places.back}\"]\n"
        text = cls.lab.default_policy(channels=ALL, extra_rule=tunnels)
        rule = text[text.index("      - channels: ["):text.index("  - name: administrator")]
        scp = (f"      - channels: [scp]\n        targets: {{labels: {{env: lab}}}}\n        accounts: [{cls.lab.account}]\n"
               "        directions: [up, down]\n        files: [{path: /, allow: [up, down]}]\n        env: [LANG, \"LC_*\", \"TEST_*\"]\n")
        roles = f"  - name: copier\n    allow:\n{scp}  - name: careful\n    allow:\n{scp}{rule}        mfa_within: 15m\n"
        text = text.replace("  - name: administrator\n", roles + "  - name: administrator\n", 1)
        return text + "  - {role: copier, principals: [narrow]}\n  - {role: careful, principals: [lone]}\n"

    def events_after(self, number):
        found = []
        while True:
            status, page = self.lab.admin("GET", f"/v1/events?since={number}&limit=1000")
            self.assertEqual(status, 200, page)
            rows = page["events"]
            if not rows:
                return found, number
            found += [{**e, **e.get("fields", {}), **e.get("fields", {}).get("reported", {})} for e in rows]
            number = page["next"]

    def expect(self, cell, opened, text, names):
        """Waits for the event of the cell; what is otherwise, or None."""
        outcome, event, code = (cell.split("/") + ["-", "-"])[:3]
        if (outcome in ("yes", "void")) != opened:
            return f"{'let something through' if opened else 'let nothing through'} ({text})"
        if outcome == "told" and code not in text:
            return f"the client was not told {code}: {text!r}"
        if outcome != "told" and "SP-" in text:
            return f"the client was told: {text!r}"
        if event == "-":
            return None
        wanted = {"name": event, "decision": "deny" if code != "-" else "allow"}
        stop = time.monotonic() + EVENT
        while True:
            fresh, self.seen = self.events_after(self.seen)
            self.audited += fresh
            self.unclaimed += fresh
            for e in self.unclaimed:
                if all(e.get(k) == v for k, v in wanted.items()) and (code == "-" or e.get("code") == code) and (outcome == "shut" or self.called(e) in names):
                    self.unclaimed.remove(e)
                    return None
            if time.monotonic() > stop:
                return f"no {event} {code} for {names}; audited: {self.short(self.unclaimed)}"
            time.sleep(0.02)

    @staticmethod
    def called(event):
        return str(event.get("kind") or event.get("request")).split()[0]

    def short(self, events):
        return [(e["name"], self.called(e), e.get("decision"), e.get("code")) for e in events if e.get("decision")]

    async def enter(self, principal, user):
        client = Listening()
        connection = await asyncssh.connect("127.0.0.1", self.lab.port, username=user, client_keys=[str(self.lab.folder / f"id_{principal}")], known_hosts=None,
                                            agent_path=None, config=None, client_factory=lambda: client, login_timeout=20)
        return connection, client

    async def walk(self, situation, principal):
        """{door: difference} of one situation."""
        wrong = {}
        for bare in (False, True):
            doors = [d for d in self.table if d.startswith("bare-") == bare]
            try:
                connection, client = await self.enter(principal, principal if bare else self.lab.user(principal=principal))
            except asyncssh.DisconnectError as e:
                # Nobody came in: each door is shut by the same refusal.
                cells = {self.table[d][1][situation] for d in doors}
                self.assertEqual(len(cells), 1, f"{situation}: no login ({e}), and the doors differ: {cells}")
                difference = self.expect(cells.pop(), False, "", ())
                wrong.update({d: difference for d in doors if difference})
                continue
            try:
                tried = Doors(self.lab, connection, client, self.places)
                tried.runs_programs = not bare and self.table["exec"][1][situation].startswith("yes")
                for door in doors:
                    names, cells = self.table[door]
                    try:
                        opened, text = await tried.try_one(door)
                    except (asyncio.TimeoutError, asyncssh.Error, OSError) as e:
                        opened, text = None, repr(e)
                    difference = text if opened is None else self.expect(cells[situation], opened, text, names)
                    if difference:
                        wrong[door] = difference
                    if len(wrong) >= ENOUGH:
                        return wrong
            finally:
                connection.abort()
        return wrong

    def test_every_door_in_every_situation(self):
        self.assertEqual(set(self.situations), set(SITUATIONS))
        log = self.lab.targets[0].folder / "log"
        for situation in self.situations:
            principal, lock = SITUATIONS[situation]
            lock = [self.lab.account if word == "ACCOUNT" else word for word in lock]
            _, self.seen = self.events_after(0)
            self.audited, self.unclaimed = [], []
            if lock:
                self.lab.run_cli("lock", "set", *lock, "--reason", "matrix", check=True)
            begin, logins, connections = time.monotonic(), log.read_text().count("Accepted publickey"), self.places.echo.connections
            try:
                wrong = asyncio.run(asyncio.wait_for(self.walk(situation, principal), 200))
            finally:
                if lock:
                    self.lab.run_cli("lock", "remove", *lock, check=True)
            with self.subTest(situation):
                self.assertFalse(wrong, "\n" + "\n".join(f"{door}: {difference}" for door, difference in wrong.items()))
            with self.subTest(situation, what="refusals that no cell expects"):
                self.audited += self.events_after(self.seen)[0]
                refusals = [e for e in self.audited if e.get("decision") == "deny" and e["name"] != "target.decided"]
                expected = [c for _, cells in self.table.values() for c in [cells[situation]] if c.count("/") == 2]
                if not all(c.startswith("shut") for c in expected):
                    self.assertEqual(len(refusals), len(expected), self.short(refusals))
                if situation != "allowed":
                    self.assertEqual(self.places.echo.connections, connections, "a destination saw a connection")
                if lock:
                    self.assertEqual(log.read_text().count("Accepted publickey"), logins, "the target saw a login")
            print(f"{situation}: {len(self.table)} doors in {time.monotonic() - begin:.1f} s", flush=True)


if __name__ == "__main__":
    unittest.main()
