"""Forwards of every kind, onward hops through them, and `ssh -J`."""
import hashlib, http.server, os, re, socket, subprocess, threading, time, unittest

from lab import Lab, free_port, wait_for


class Echo(threading.Thread):
    """A TCP server that upper-cases what it gets."""

    def __init__(self, banner=b""):
        super().__init__(daemon=True)
        self.banner = banner
        self.socket = socket.create_server(("127.0.0.1", 0))
        self.port = self.socket.getsockname()[1]
        self.connections = 0
        self.start()

    def run(self):
        while True:
            try:
                peer, _ = self.socket.accept()
            except OSError:
                return
            self.connections += 1
            threading.Thread(target=self.serve, args=(peer,), daemon=True).start()

    def serve(self, peer):
        with peer:
            if self.banner:
                peer.sendall(self.banner)
            while data := peer.recv(65536):
                peer.sendall(data.upper())


class Pump(threading.Thread):
    """A TCP server for one peer: sends `data`, or reads to the end when there is none; `moved` is how far it came. Reads from `go` on only."""

    def __init__(self, data=b""):
        super().__init__(daemon=True)
        self.data, self.moved, self.go, self.hash = data, 0, threading.Event(), hashlib.sha256()
        self.socket = socket.create_server(("127.0.0.1", 0))
        self.port = self.socket.getsockname()[1]
        self.start()

    def run(self):
        peer, _ = self.socket.accept()
        with peer:
            if self.data:
                while self.moved < len(self.data):
                    self.moved += peer.send(self.data[self.moved:self.moved + 65536])
                return
            self.go.wait(120)
            while piece := peer.recv(1 << 18):
                self.hash.update(piece)
                self.moved += len(piece)
            peer.sendall(b"all")


def ask(port, data, seconds=10):
    with socket.create_connection(("127.0.0.1", port), seconds) as s:
        s.settimeout(seconds)
        s.sendall(data)
        s.shutdown(socket.SHUT_WR)
        got = b""
        while piece := s.recv(65536):
            got += piece
        return got


class Tunnels(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.echo = Echo()
        cls.other = Echo()
        cls.hop = Echo(b"SSH-2.0-somewhere\r\n")
        cls.remote_port = free_port()
        cls.shut_port = free_port()
        cls.bulk = os.urandom(48 << 20)
        cls.source, cls.sink = Pump(cls.bulk), Pump()
        cls.lab = Lab(targets=2, start=False)
        cls.lab.policy_text = lambda: cls.lab.default_policy(
            channels="shell, exec, sftp, tunnel-local, tunnel-remote, tunnel-dynamic, tunnel-unix, jump",
            extra_rule=f"        tunnels: [\"127.0.0.1:{cls.source.port}\", \"127.0.0.1:{cls.sink.port}\", \"127.0.0.1:{cls.shut_port}\", \"127.0.0.1:{cls.echo.port}\", \"127.0.0.1:{cls.hop.port}\", \"127.0.0.1:{cls.remote_port}\", \"localhost:{cls.remote_port}\", \"localhost:*\"]\n")
        cls.lab.start()
        cls.who = cls.lab.user()

    @classmethod
    def tearDownClass(cls):
        cls.lab.stop()

    def forward(self, *arguments, **options):
        client = subprocess.Popen(self.lab.ssh_command(self.who, arguments=["-N", *arguments], ExitOnForwardFailure="yes", **options),
                                  stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        self.addCleanup(lambda: (client.kill(), client.communicate()))
        return client

    def test_a_local_forward_to_a_listed_destination_carries_bytes(self):
        port = free_port()
        self.forward("-L", f"{port}:127.0.0.1:{self.echo.port}")
        wait_for(lambda: self.opens(port))
        data = os.urandom(200_000).hex().encode()
        self.assertEqual(ask(port, data), data.upper())

    def opens(self, port):
        try:
            socket.create_connection(("127.0.0.1", port), 1).close()
            return True
        except OSError:
            return False

    def test_a_local_forward_elsewhere_is_refused_with_a_reason(self):
        done = self.lab.ssh(self.who, arguments=["-W", f"127.0.0.1:{self.other.port}"], LogLevel="INFO")
        self.assertNotEqual(done.returncode, 0)
        self.assertIn(b"SP-2011", done.stderr)
        self.assertEqual(self.other.connections, 0)
        self.assertTrue(self.lab.wait_event("channel.decided", decision="deny", code="SP-2011"))

    def test_a_refused_forward_carries_its_reason_code(self):
        # The client spells the number of RFC 4254 5.1 out: 1 prohibited, 2 connect failed.
        for port, reason in ((self.other.port, b"open failed: administratively prohibited: "), (22, b"open failed: administratively prohibited: "),
                             (self.shut_port, b"open failed: connect failed: ")):
            done = self.lab.ssh(self.who, arguments=["-W", f"127.0.0.1:{port}"], LogLevel="INFO")
            self.assertIn(reason, done.stderr, port)

    def test_a_stalled_tunnel_costs_bounded_memory_and_holds_nobody_else_up(self):
        ports = {name: free_port() for name in ("source", "sink", "echo")}
        control = self.lab.folder / "stalled"
        arguments = ["-M", "-S", control]
        for name, port in ports.items():
            arguments += ["-L", f"{port}:127.0.0.1:{getattr(self, name).port}"]
        self.forward(*map(str, arguments))
        wait_for(lambda: self.opens(ports["echo"]) and control.exists())
        session = self.lab.wait_event("session.started")[-1]

        def resident():
            return int(re.search(r"VmRSS:\s+(\d+)", open(f"/proc/{session['pid']}/status").read()).group(1)) << 10
        before = resident()
        reader, writer = (socket.create_connection(("127.0.0.1", ports[name]), 10) for name in ("source", "sink"))
        self.addCleanup(reader.close)
        self.addCleanup(writer.close)
        sent = [0]

        def write():
            while sent[0] < len(self.bulk):
                sent[0] += writer.send(self.bulk[sent[0]:sent[0] + 65536])
            writer.shutdown(socket.SHUT_WR)
        writer.settimeout(120)
        writing = threading.Thread(target=write, daemon=True)
        writing.start()
        seen = [0, 0]

        def stands():
            last, seen[:] = list(seen), [self.source.moved, sent[0]]
            time.sleep(1)
            return last == seen and min(seen) > 1 << 20
        wait_for(stands, 30)
        self.assertLess(max(seen), len(self.bulk) // 2, "it did not stall")
        grown = resident() - before
        print(f"stalled after {seen[0] >> 10} and {seen[1] >> 10} KiB; the session process grew by {grown >> 10} KiB", flush=True)
        self.assertLess(grown, 12 << 20)
        data = os.urandom(500_000).hex().encode()
        self.assertEqual(ask(ports["echo"], data), data.upper())
        done = subprocess.run(self.lab.ssh_command(self.who, "echo beside", arguments=["-S", str(control)]), stdin=subprocess.DEVNULL, capture_output=True, timeout=20)
        self.assertEqual(done.stdout, b"beside\n")
        self.assertEqual([self.source.moved, sent[0]], seen)

        self.sink.go.set()
        got = hashlib.sha256()
        reader.settimeout(60)
        while piece := reader.recv(1 << 18):
            got.update(piece)
        self.assertEqual(got.digest(), hashlib.sha256(self.bulk).digest())
        writer.settimeout(60)
        self.assertEqual(writer.recv(10), b"all")
        self.assertEqual(self.sink.hash.digest(), hashlib.sha256(self.bulk).digest())
        reader.close()
        writer.close()
        for counts in ({"bytes_in": 0, "bytes_out": len(self.bulk)}, {"bytes_in": len(self.bulk), "bytes_out": 3}, {"bytes_in": len(data), "bytes_out": len(data)}):
            self.assertTrue(self.lab.wait_event("channel.closed", session=session["session"], **counts))

    def test_explain_says_what_the_tunnels_are_told(self):
        def explain(*words, principal="engineer"):
            done = self.lab.run_cli("explain", "--as", principal, "--target", "target1", *map(str, words))
            return done.returncode, (done.stdout + done.stderr).decode()

        self.assertRegex(explain()[1], r"tunnel-local +depends on where it leads: ask with --destination\n")
        status, text = explain("--destination", f"127.0.0.1:{self.echo.port}")
        self.assertEqual(status, 0, text)
        self.assertRegex(text, r"allow")
        self.assertNotIn("channels:", text)
        for words, code in (((f"127.0.0.1:{self.other.port}",), "SP-2011"), (("127.0.0.1:22",), "SP-6005"), (("unix:/run/other.sock",), "SP-2011"),
                            ((f"127.0.0.1:{self.other.port}", "--channel", "tunnel-dynamic"), "SP-2011"), (("[::1]:443",), "SP-2011")):
            status, text = explain("--destination", *words)
            self.assertEqual(status, 4, text)
            self.assertIn(code, text)
        self.assertEqual(explain("--destination", f"127.0.0.1:{self.echo.port}", principal="auditor")[0], 4)
        for words in (("db",), ("db:",), ("db:0",), ("db:65536",), ("::1:443",), ("0x7f.1:80",), ("unix:run/x",), ("db:443", "--channel", "shell"),
                      ("db:443", "--channel", "tunnel-unix"), ("unix:/run/x", "--channel", "tunnel-local")):
            status, text = explain("--destination", *words)
            self.assertEqual(status, 2, f"{words}: {text}")
            self.assertIn(words[0], text)

    def test_ssh_inside_a_tunnel_is_an_onward_hop(self):
        done = self.lab.ssh(self.who, arguments=["-W", f"127.0.0.1:{self.hop.port}"], timeout=20)
        self.assertNotIn(b"SSH-2.0-somewhere", done.stdout)

    def test_port_22_is_an_onward_hop(self):
        done = self.lab.ssh(self.who, arguments=["-W", "127.0.0.1:22"], LogLevel="INFO")
        self.assertNotEqual(done.returncode, 0)
        self.assertIn(b"SP-6005", done.stderr)

    def test_a_remote_forward_comes_back(self):
        self.forward("-R", f"{self.remote_port}:127.0.0.1:{self.echo.port}")
        wait_for(lambda: self.opens(self.remote_port))
        self.assertEqual(ask(self.remote_port, b"hello"), b"HELLO")

    def test_a_remote_forward_of_any_free_port_comes_back(self):
        client = self.forward("-R", f"0:127.0.0.1:{self.echo.port}", LogLevel="INFO")
        line = client.stderr.readline().decode()
        port = int(re.search(r"Allocated port (\d+)", line).group(1))
        wait_for(lambda: self.opens(port))
        self.assertEqual(ask(port, b"hello"), b"HELLO")

    def test_a_dynamic_forward_reaches_listed_destinations_only(self):
        port = free_port()
        self.forward("-D", str(port))
        wait_for(lambda: self.opens(port))

        def socks(to):
            with socket.create_connection(("127.0.0.1", port), 10) as s:
                s.settimeout(10)
                s.sendall(b"\x05\x01\x00")
                s.recv(2)
                s.sendall(b"\x05\x01\x00\x01" + socket.inet_aton("127.0.0.1") + to.to_bytes(2, "big"))
                answer = s.recv(10)
                if len(answer) < 2 or answer[1] != 0:
                    return None
                s.sendall(b"abc")
                try:
                    return s.recv(3)
                except OSError:
                    return None
        self.assertEqual(socks(self.echo.port), b"ABC")
        self.assertFalse(socks(self.other.port))

    def test_forwards_are_off_where_the_role_has_none(self):
        with Lab(targets=1) as plain:
            done = plain.ssh(plain.user(), arguments=["-W", f"127.0.0.1:{self.echo.port}"])
            self.assertNotEqual(done.returncode, 0)
            done = plain.ssh(plain.user(), "true", arguments=["-R", f"0:127.0.0.1:{self.echo.port}"], ExitOnForwardFailure="yes")
            self.assertNotEqual(done.returncode, 0)

    def jump(self, *command, input=b"", principal="engineer", inner_identity=None, **options):
        lab = self.lab
        config = lab.folder / "jump_config"
        config.write_text(f"""Host gw
  HostName 127.0.0.1
  Port {lab.port}
  User {principal}
  IdentityFile {lab.folder}/id_{principal}
Host target1 target2
  ProxyJump gw
  User {lab.account}
  IdentityFile {lab.folder}/id_{inner_identity or principal}
Host *
  IdentitiesOnly yes
  IdentityAgent none
  UserKnownHostsFile {lab.folder}/known_hosts
  GlobalKnownHostsFile /dev/null
  StrictHostKeyChecking yes
  BatchMode yes
""")
        return subprocess.run(["ssh", "-F", str(config), *command], input=input, capture_output=True, timeout=60)

    def test_a_jump_ends_at_the_target_and_is_recorded(self):
        done = self.jump("target1", "echo through; id -un")
        self.assertEqual(done.stdout.decode().split(), ["through", self.lab.account], done.stderr)
        self.assertTrue(self.lab.wait_event("channel.decided", kind="exec", target="target1", command="echo through; id -un"))

    def test_a_jump_carries_bulk_unchanged(self):
        data = os.urandom(8 << 20)
        done = self.jump("target2", "cat", input=data)
        self.assertEqual(hashlib.sha256(done.stdout).digest(), hashlib.sha256(data).digest(), done.stderr)

    def test_the_inner_login_must_be_of_the_same_principal(self):
        self.lab.add_key("admin")
        done = self.jump("target1", "echo through", inner_identity="admin")
        self.assertNotIn(b"through", done.stdout)
        self.assertEqual(done.returncode, 255)

    def test_an_unknown_target_cannot_be_jumped_to(self):
        done = subprocess.run(self.lab.ssh_command("engineer", arguments=["-W", "nowhere:22"], LogLevel="INFO"), capture_output=True, stdin=subprocess.DEVNULL, timeout=30)
        self.assertNotEqual(done.returncode, 0)
        self.assertIn(b"SP-2", done.stderr)

    def test_the_printed_configuration_serves_as_it_is(self):
        """The lines of `config`, copied; the host CA alone vouches for what is behind a jump."""
        printed = self.lab.ssh("engineer", "config").stdout.decode()
        config, known = re.fullmatch(r"# ---- ~/\.ssh/config\n(.*)# ---- ~/\.ssh/known_hosts\n(.*)", printed, re.S).groups()
        # Where her key is and which files count, said before the copied lines so that both connections of a jump hear it.
        (self.lab.folder / "copied_config").write_text(f"IdentityFile {self.lab.folder}/id_engineer\nIdentitiesOnly yes\nIdentityAgent none\nBatchMode yes\nStrictHostKeyChecking yes\n"
                                                       f"UserKnownHostsFile {self.lab.folder}/copied_known_hosts\nGlobalKnownHostsFile /dev/null\n{config}")
        for lines in (known, "".join(line + "\n" for line in known.splitlines() if line.startswith("@cert-authority"))):
            (self.lab.folder / "copied_known_hosts").write_text(lines)
            for command, answer in ((["gateway", "whoami"], "engineer"), (["target1", "id -un"], self.lab.account), (["target2", "id -un"], self.lab.account)):
                done = subprocess.run(["ssh", "-F", self.lab.folder / "copied_config", *command], stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=60)
                self.assertIn(answer, done.stdout, (command, done.stderr))
        (self.lab.folder / "copied_known_hosts").write_text("")
        done = subprocess.run(["ssh", "-F", self.lab.folder / "copied_config", "target1", "id -un"], stdin=subprocess.DEVNULL, capture_output=True, timeout=60)
        self.assertEqual((done.returncode, done.stdout), (255, b""))

    def test_bare_sessions_answer_without_any_client_software(self):
        for command, expected in (("ls", b"target1"), ("whoami", b"engineer"), ("config", b"Host"), ("help", b"ls"), ("explain SP-2001", b"SP-2001")):
            done = self.lab.ssh("engineer", command)
            self.assertIn(expected, done.stdout, (command, done.stderr))
            self.assertEqual(done.returncode, 0)
        done = self.lab.ssh("engineer")
        self.assertEqual(done.returncode, 255)
        self.assertIn(b"SP-2023", done.stderr)
        for command, meant in (("lss", b"`lss` is no command of the gateway's own; did you mean `ls`?"), ("uptime", b"`uptime` is no command of the gateway's own; ssh gateway help"), ("explain", b"`explain` is not written so here")):
            done = self.lab.ssh("engineer", command)
            self.assertEqual(done.returncode, 255)
            self.assertIn(b"SP-2023", done.stderr)
            self.assertIn(meant, done.stderr)


if __name__ == "__main__":
    unittest.main()
