"""What else SSH is used for: sockets, X11, agents, signals, sizes, keepalives, and how refusals reach the person."""
import asyncio, fcntl, json, os, pathlib, pty, re, select, shutil, signal, socket, struct, subprocess, sys, termios, threading, time, unittest

from lab import Lab, ended, free_port, wait_for
from test_tunnels_and_jumps import Echo

sys.path.append("/usr/lib/python3/dist-packages")
try:
    import paramiko
except ImportError:
    paramiko = None
try:
    import asyncssh
except ImportError:
    asyncssh = None
needs_paramiko = unittest.skipIf(paramiko is None, "python3-paramiko is not installed")
needs_asyncssh = unittest.skipIf(asyncssh is None, "python3-asyncssh is not installed")

EVERYTHING = "shell, exec, subsystem, sftp, scp, rsync, tunnel-local, tunnel-remote, tunnel-unix, agent, x11"
SIZES = "python3 -c 'import fcntl,struct,sys,termios; print(*struct.unpack(\"HHHH\", fcntl.ioctl(0, termios.TIOCGWINSZ, b\"x\" * 8)))'"


class UnixEcho(threading.Thread):
    def __init__(self, path):
        super().__init__(daemon=True)
        self.socket = socket.socket(socket.AF_UNIX)
        self.socket.bind(str(path))
        os.chmod(path, 0o777)
        self.socket.listen(8)
        self.start()

    def run(self):
        while True:
            try:
                peer, _ = self.socket.accept()
            except OSError:
                return
            with peer:
                while data := peer.recv(65536):
                    peer.sendall(data.upper())


class ConnectionLayer(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.lab = Lab(targets=1, start=False, config="sessions:\n  keepalive: 2s\n")
        cls.lab.targets[0].extra_config = "X11Forwarding yes\nXAuthLocation /bin/true\nPermitUserRC no"
        cls.shared = cls.lab.folder / "shared"
        cls.shared.mkdir()
        os.chmod(cls.shared, 0o777)
        cls.echo = UnixEcho(cls.shared / "echo.sock")
        cls.other = UnixEcho(cls.shared / "other.sock")
        cls.lab.policy_text = cls.policy
        cls.who = cls.lab.user()
        cls.addClassCleanup(cls.lab.stop)
        cls.lab.start()

    @classmethod
    def policy(cls, channels=EVERYTHING, more=""):
        tunnels = f"        tunnels: [\"unix:{cls.shared}/echo.sock\", \"unix:{cls.shared}/back.sock\"]\n"
        return cls.lab.default_policy(channels=channels, extra_rule=tunnels + more)

    def refused(self, **fields):
        found = self.lab.wait_event("relay.refused", **fields)
        self.assertEqual(found[-1]["decision"], "deny")
        return found

    def client(self, *command, arguments=(), **options):
        process = self.lab.popen(self.who, *command, arguments=arguments, **options)
        self.addCleanup(ended, process)
        return process

    def through(self, path):
        with socket.socket(socket.AF_UNIX) as s:
            s.settimeout(10)
            # Between bind() and listen() the name is there already, and refuses.
            wait_for(lambda: s.connect_ex(str(path)) == 0, 5, 0.02)
            try:
                s.sendall(b"hello")
                return s.recv(100)
            except OSError:
                return b""

    # ------------------------------------------------------------- unix sockets
    def test_a_unix_socket_of_the_target_is_reached_where_it_is_listed(self):
        near = self.lab.folder / "near.sock"
        self.client(arguments=["-N", "-L", f"{near}:{self.shared}/echo.sock"], ExitOnForwardFailure="yes")
        wait_for(near.exists)
        self.assertEqual(self.through(near), b"HELLO")
        self.assertTrue(self.lab.wait_event("channel.decided", kind="tunnel-unix", decision="allow", path=f"{self.shared}/echo.sock"))
        far = self.lab.folder / "near2.sock"
        self.client(arguments=["-N", "-L", f"{far}:{self.shared}/other.sock"])
        wait_for(far.exists)
        self.assertEqual(self.through(far), b"")
        self.assertTrue(self.lab.wait_event("channel.decided", kind="tunnel-unix", decision="deny", code="SP-2011"))

    def test_a_unix_socket_is_opened_on_the_target(self):
        back = self.shared / "back.sock"
        self.client(arguments=["-N", "-R", f"{back}:{self.shared}/echo.sock"], ExitOnForwardFailure="yes")
        wait_for(back.exists)
        self.assertEqual(self.through(back), b"HELLO")
        done = self.lab.ssh(self.who, arguments=["-N", "-R", f"{self.shared}/elsewhere.sock:{self.shared}/echo.sock"], ExitOnForwardFailure="yes")
        self.assertNotEqual(done.returncode, 0)
        self.assertFalse((self.shared / "elsewhere.sock").exists())

    # ------------------------------------------------------------- X11 and agents
    @needs_paramiko
    def test_x11_passes_where_it_is_allowed(self):
        client = self.paramiko_client()
        got = []
        channel = client.get_transport().open_session()
        channel.request_x11(handler=lambda x11, origin: got.append(x11))
        channel.exec_command("port=$((6000 + $(echo $DISPLAY | sed 's/.*:\\([0-9]*\\).*/\\1/'))); exec 3<>/dev/tcp/127.0.0.1/$port; echo hello-display >&3; head -1 <&3")
        wait_for(lambda: got, 10)
        self.assertEqual(got[0].recv(100), b"hello-display\n")
        got[0].sendall(b"from the display\n")
        self.assertEqual(channel.makefile().read(), b"from the display\n")
        self.assertTrue(self.lab.wait_event("channel.decided", kind="x11", decision="allow"))

    def test_x11_and_agent_are_refused_with_a_reason(self):
        self.lab.apply(self.policy("shell, exec, sftp, tunnel-unix"))
        try:
            done = subprocess.run(self.lab.ssh_command(self.who, "echo in; echo display=$DISPLAY agent=$SSH_AUTH_SOCK", arguments=["-Y"], LogLevel="INFO"),
                                  env={**os.environ, "DISPLAY": "127.0.0.1:77"}, stdin=subprocess.DEVNULL, capture_output=True, timeout=30)
            self.assertEqual(done.stdout, b"in\ndisplay= agent=\n")
            self.assertIn(b"SP-2019", done.stderr)
            with_agent = self.with_agent()
            done = subprocess.run(self.lab.ssh_command(self.who, "echo agent=$SSH_AUTH_SOCK", arguments=["-A"], IdentityAgent=self.lab.folder / "agent"),
                                  env=with_agent, stdin=subprocess.DEVNULL, capture_output=True, timeout=30)
            self.assertEqual(done.stdout, b"agent=\n")
            self.assertIn(b"SP-2018", done.stderr)
            for code in ("SP-2018", "SP-2019"):
                self.assertTrue(self.lab.wait_event("channel.decided", decision="deny", code=code))
        finally:
            self.lab.apply(self.policy())

    def with_agent(self):
        path = self.lab.folder / "agent"
        if not path.exists():
            agent = subprocess.Popen(["ssh-agent", "-D", "-a", str(path)], stdout=subprocess.DEVNULL)
            self.addCleanup(lambda: (agent.kill(), agent.wait(), path.unlink(missing_ok=True)))
            wait_for(path.exists)
        environment = dict(os.environ, SSH_AUTH_SOCK=str(path))
        subprocess.run(["ssh-add", "-q", str(self.lab.folder / "id_auditor")], env=environment, check=True)
        return environment

    def test_a_forwarded_agent_signs_and_every_signature_is_told(self):
        environment = self.with_agent()
        shutil.copy(self.lab.folder / "id_auditor.pub", self.shared / "signer.pub")
        os.chmod(self.shared / "signer.pub", 0o644)
        script = (f"cd $(mktemp -d); echo words >text; ssh-keygen -q -Y sign -n test -f {self.shared}/signer.pub text && head -1 text.sig;"
                  " ssh-keygen -q -t ed25519 -N '' -f new; ssh-add new 2>&1 | tail -1; ssh-add -D 2>&1 | tail -1")
        done = subprocess.run(self.lab.ssh_command(self.who, script, arguments=["-A"], IdentityAgent=self.lab.folder / "agent"), env=environment,
                              stdin=subprocess.DEVNULL, capture_output=True, timeout=40)
        self.assertIn(b"BEGIN SSH SIGNATURE", done.stdout, done.stderr)
        fingerprint = subprocess.run(["ssh-keygen", "-lf", self.lab.folder / "id_auditor.pub"], capture_output=True).stdout.decode().split()[1]
        self.assertTrue(self.lab.wait_event("agent.signed", key=fingerprint))
        self.assertTrue(self.lab.wait_event("agent.refused", decision="deny", code="SP-2018"), "a target adds and removes no keys")
        self.assertIn(b"auditor", subprocess.run(["ssh-add", "-l"], env=environment, capture_output=True).stdout)

    # ------------------------------------------------------------- refusals reach the person and the audit log
    def test_a_refused_remote_forward_says_why(self):
        done = self.lab.ssh(self.who, "echo runs", arguments=["-R", f"0:127.0.0.1:{free_port()}"], ExitOnForwardFailure="no", LogLevel="INFO")
        self.assertEqual(done.stdout, b"runs\n")
        self.assertIn(b"SP-2011", done.stderr)
        done = self.lab.ssh(self.who, arguments=["-N", "-R", f"0:127.0.0.1:{free_port()}"], ExitOnForwardFailure="yes", LogLevel="DEBUG1")
        self.assertEqual(done.returncode, 255)
        self.assertIn(b"SP-2011", done.stderr)

    @needs_paramiko
    def test_a_second_program_on_a_channel_and_odd_requests_are_refused_and_audited(self):
        client = self.paramiko_client()
        channel = client.get_transport().open_session()
        channel.exec_command("cat")
        with self.assertRaises(paramiko.SSHException):
            channel.exec_command("id")
        self.refused(request="exec", code="SP-6007")
        channel = client.get_transport().open_session()
        message = paramiko.Message()
        message.add_byte(bytes([98]))
        message.add_int(channel.remote_chanid)
        message.add_string("make-coffee@example.org")
        message.add_boolean(False)
        client.get_transport()._send_user_message(message)
        self.refused(request="make-coffee@example.org", code="SP-2009")
        with self.assertRaises(paramiko.ChannelException):
            client.get_transport().open_channel("teleport@example.org")
        self.refused(request="teleport@example.org", code="SP-2009")
        client.get_transport().global_request("tea@example.org", wait=True)
        self.refused(request="tea@example.org", code="SP-2009")

    def test_a_variable_that_no_role_lists_is_not_passed_on(self):
        done = self.lab.ssh(self.who, "echo [$TEST_A] [$LD_PRELOAD_X]", SetEnv="TEST_A=yes LD_PRELOAD_X=no")
        self.assertEqual(done.stdout, b"[yes] []\n")
        self.refused(request="env LD_PRELOAD_X", code="SP-2027")

    @needs_paramiko
    def test_a_locale_that_no_role_lists_is_not_passed_on_and_nobody_was_denied(self):
        client = self.paramiko_client()
        for _ in range(2):
            channel = client.get_transport().open_session()
            channel.set_environment_variable("COLORTERM", "truecolor")
            channel.exec_command("echo [$COLORTERM]")
            self.assertEqual(channel.makefile().read(), b"[]\n")
        told = self.lab.wait_event("relay.refused", request="env COLORTERM")
        self.assertEqual([(e["decision"], e["code"]) for e in told], [("ignore", "SP-2027")])

    # ------------------------------------------------------------- terminals and signals
    @needs_asyncssh
    def test_pixels_signals_and_breaks(self):
        async def go():
            async with asyncssh.connect("127.0.0.1", self.lab.port, username=self.who, client_keys=[str(self.lab.folder / "id_engineer")], known_hosts=None) as c:
                process = await c.create_process("bash --norc", term_type="xterm", term_size=(101, 41, 1010, 820))
                process.stdin.write(SIZES + "; echo one-$((40+2))\n")
                first = await process.stdout.readuntil("one-42")
                self.assertIn("41 101 1010 820", first)
                process.change_terminal_size(120, 50, 1200, 1000)
                await asyncio.sleep(0.5)
                process.stdin.write(SIZES + "; echo two-$((40+3))\n")
                self.assertIn("50 120 1200 1000", await process.stdout.readuntil("two-43"))
                process.send_break(200)
                process.stdin.write("echo still-$((40+4))\n")
                await process.stdout.readuntil("still-44")
                process.stdin.write("exit 3\n")
                await process.wait()
                self.assertEqual(process.exit_status, 3)
                trapped = await c.create_process("trap 'echo got it; exit 7' USR1; echo ready; while :; do sleep 0.1; done")
                await trapped.stdout.readline()
                trapped.send_signal("USR1")
                ended_by = await asyncio.wait_for(trapped.wait(), 10)
                self.assertEqual((ended_by.stdout.strip(), ended_by.exit_status), ("got it", 7))
        asyncio.run(asyncio.wait_for(go(), 60))
        self.assertEqual([e for e in self.lab.events("relay.refused") if e.get("request") in ("break", "signal", "window-change")], [])

    @unittest.skipUnless(shutil.which("tmux"), "tmux is not installed")
    def test_tmux_does_not_take_keystrokes_for_a_paste(self):
        master, slave = pty.openpty()
        fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", 30, 100, 0, 0))
        name = f"sp{os.getpid()}"
        client = subprocess.Popen(self.lab.ssh_command(self.who, f"tmux -L {name} -f /dev/null new 'bash --norc'", arguments=["-tt"]), stdin=slave, stdout=slave,
                                  stderr=slave, start_new_session=True, env={**os.environ, "TERM": "xterm"})
        os.close(slave)
        self.addCleanup(os.close, master)
        self.addCleanup(lambda: (client.kill(), client.wait()))

        def drain(seconds):
            end = time.monotonic() + seconds
            while (left := end - time.monotonic()) > 0:
                if select.select([master], [], [], left)[0]:
                    os.read(master, 65536)
        drain(2)
        for _ in range(5):  # prefix and key as quickly as a hand can
            os.write(master, b"\x02")
            time.sleep(0.02)
            os.write(master, b"c")
            drain(0.3)
        windows = self.lab.ssh(self.who, f"tmux -L {name} list-windows | wc -l; tmux -L {name} kill-server")
        self.assertEqual(windows.stdout.strip(), b"6", windows.stderr)

    # ------------------------------------------------------------- keepalives, stalls
    def test_keepalives_go_both_ways(self):
        client = self.client("echo up; cat", ServerAliveInterval="1", ServerAliveCountMax="2")
        self.assertEqual(client.stdout.readline(), b"up\n")
        time.sleep(5)
        client.stdin.write(b"alive\n")
        client.stdin.flush()
        self.assertEqual(client.stdout.readline(), b"alive\n")

    def test_a_client_that_no_longer_answers_is_let_go_and_so_is_a_target(self):
        marker = f"sleep 6{os.getpid() % 1000}"
        silent = self.client(f"echo up; {marker}; true")
        self.assertEqual(silent.stdout.readline(), b"up\n")
        target = self.lab.targets[0]
        wait_for(lambda: target.running(marker))
        other = self.client("echo up; cat", ConnectionAttempts="1")
        self.assertEqual(other.stdout.readline(), b"up\n")
        os.kill(silent.pid, signal.SIGSTOP)
        begin = time.monotonic()
        wait_for(lambda: not target.running(marker), 20)
        self.assertGreater(time.monotonic() - begin, 4)
        os.kill(silent.pid, signal.SIGCONT)
        sshds = [pid for pid in target.pids() if "sshd: " in (pathlib.Path(f"/proc/{pid}/cmdline").read_text() if pathlib.Path(f"/proc/{pid}").exists() else "")]
        for pid in sshds:
            os.kill(pid, signal.SIGSTOP)
        try:
            other.wait(25)
            self.assertIn(b"SP-3009", other.stderr.read())
            self.assertTrue(self.lab.wait_event("target.lost", detail="it no longer answers"))
        finally:
            for pid in sshds:
                os.kill(pid, signal.SIGCONT)

    def test_a_stalled_channel_does_not_hold_the_others(self):
        control = self.lab.folder / "stall-mux"
        master = subprocess.Popen(self.lab.ssh_command(self.who, arguments=["-N", "-M", "-S", str(control)]), stdin=subprocess.DEVNULL)
        self.addCleanup(lambda: (master.kill(), master.wait()))
        wait_for(control.exists, 15)
        mux = ["ssh", "-F", "/dev/null", "-S", str(control), "x"]
        stalled = subprocess.Popen([*mux, "yes"], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE)
        self.addCleanup(ended, stalled)
        stalled.stdout.read(100_000)
        time.sleep(2)  # nobody reads: every buffer on its way is full now
        begin = time.monotonic()
        done = subprocess.run([*mux, "head -c 3000000 /dev/zero | wc -c; echo done"], stdin=subprocess.DEVNULL, capture_output=True, timeout=20)
        self.assertEqual(done.stdout.split(), [b"3000000", b"done"])
        self.assertLess(time.monotonic() - begin, 3)

    # ------------------------------------------------------------- a transfer and the policy
    def paramiko_client(self):
        client = paramiko.SSHClient()
        client.set_missing_host_key_policy(paramiko.AutoAddPolicy())
        client.connect("127.0.0.1", self.lab.port, self.who, key_filename=str(self.lab.folder / "id_engineer"), allow_agent=False, look_for_keys=False, timeout=20)
        self.addCleanup(client.close)
        return client

    @needs_paramiko
    def test_a_running_transfer_follows_a_change_of_the_file_rules(self):
        for name in ("open", "shut"):
            (self.shared / name).mkdir(exist_ok=True)
            os.chmod(self.shared / name, 0o777)
            (self.shared / name / "file").write_bytes(os.urandom(1 << 20))
        sftp = self.paramiko_client().open_sftp()
        files = {name: sftp.open(f"{self.shared}/{name}/file") for name in ("open", "shut")}
        up = sftp.open(f"{self.shared}/shut/up", "wb")
        for file in files.values():
            self.assertEqual(len(file.read(1000)), 1000)
        up.write(b"first")
        up.flush()
        everything = "files: [{path: /, allow: [up, down, change]}]"
        self.lab.apply(self.policy().replace(everything, f"files: [{{path: {self.shared}/open, allow: [up, down]}}]"))
        try:
            begin = time.monotonic()
            cut = None
            while cut is None and time.monotonic() - begin < 3:
                try:
                    files["shut"].seek(5000)
                    files["shut"].read(1000)
                    time.sleep(0.02)
                except OSError as error:
                    cut = time.monotonic() - begin
                    self.assertRegex(str(error), "SP-6|ermission")
            self.assertIsNotNone(cut, "the transfer went on")
            self.assertLess(cut, 1.0)
            with self.assertRaises(OSError):
                up.write(b"second")
                up.flush()
            files["open"].seek(5000)
            self.assertEqual(len(files["open"].read(1000)), 1000, "what is still allowed goes on, on the same channel")
            self.assertTrue(self.lab.wait_event("channel.rules_changed"))
            self.assertTrue(self.lab.wait_event("file.refused", code="SP-6006"))
        finally:
            self.lab.apply(self.policy())

    def test_old_scp_and_rsync_under_way_follow_a_change_of_the_file_rules(self):
        (self.shared / "shut").mkdir(exist_ok=True)
        os.chmod(self.shared / "shut", 0o777)
        (self.shared / "shut" / "big").write_bytes(os.urandom(24 << 20))
        shell = " ".join(["ssh", *map(str, self.lab.ssh_options()), "-p", str(self.lab.port)])
        source = f"{self.who}@127.0.0.1:{self.shared}/shut/big"
        commands = {"scp": ["scp", "-O", "-l", "16000", *map(str, self.lab.ssh_options()), "-P", str(self.lab.port), source, str(self.lab.folder / "back-scp")]}
        if shutil.which("rsync"):
            commands["rsync"] = ["rsync", "--bwlimit=2000", "--inplace", "-e", shell, source, str(self.lab.folder / "back-rsync")]
        running = {name: subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE) for name, command in commands.items()}
        for name, client in running.items():
            self.addCleanup(ended, client)
            wait_for(lambda name=name: (self.lab.folder / f"back-{name}").exists() and (self.lab.folder / f"back-{name}").stat().st_size > 500_000, 20)
        self.lab.apply(self.policy().replace("files: [{path: /, allow: [up, down, change]}]", f"files: [{{path: {self.shared}/open, allow: [up, down]}}]"))
        try:
            begin = time.monotonic()
            for name, client in running.items():
                self.assertNotEqual(client.wait(10), 0, name)
                took = time.monotonic() - begin
                said = client.stderr.read()
                print(f"{name} ended {took:.2f} s after the change", flush=True)
                self.assertIn(b"SP-6006 the transfer was cut", said)
                self.assertNotIn(b"SP-5006", said)
                self.assertLess(took, 5, name)  # the clients throttle themselves
                self.assertLess((self.lab.folder / f"back-{name}").stat().st_size, 20 << 20, name)
        finally:
            self.lab.apply(self.policy())


class Bulk(unittest.TestCase):
    def test_a_role_may_want_an_end_to_bulk(self):
        with Lab(targets=1, start=False) as lab:
            config = lab.folder / "sallyport.yaml"
            lab.write_config()
            config.write_text(config.read_text().replace("recording:\n", "recording:\n  full: 1MiB\n"))
            lab.write_config = lambda: None
            lab.policy_text = lambda: lab.default_policy(extra_rule="        record: {bulk: end}\n")
            lab.start()
            self.assertEqual(lab.ssh(lab.user(), "head -c 500000 /dev/zero | wc -c").stdout.strip(), b"500000")
            done = lab.ssh(lab.user(), "head -c 60000000 /dev/zero")
            self.assertEqual(done.returncode, 255)
            self.assertIn(b"SP-4006", done.stderr)
            self.assertLess(len(done.stdout), 8_000_000)
            self.assertTrue(lab.wait_event("relay.refused", code="SP-4006", decision="deny"))
            if shutil.which("rsync"):
                (lab.folder / "big").write_bytes(os.urandom(30_000_000))
                os.chmod(lab.folder / "big", 0o644)
                shell = " ".join(["ssh", *map(str, lab.ssh_options()), "-p", str(lab.port)])
                done = subprocess.run(["rsync", "-e", shell, f"{lab.user()}@127.0.0.1:{lab.folder}/big", str(lab.folder / "back")], stdin=subprocess.DEVNULL,
                                      capture_output=True, timeout=60)
                self.assertNotEqual(done.returncode, 0)
                self.assertIn(b"SP-4006", done.stderr)


if __name__ == "__main__":
    unittest.main()
