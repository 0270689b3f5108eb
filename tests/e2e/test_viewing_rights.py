"""Who may look at what: one's own session, what was typed, by tokens over HTTPS; recordings as file lists and captures."""
import base64, json, os, pathlib, shutil, socket, subprocess, sys, threading, time, unittest

sys.path.append(str(pathlib.Path(__file__).resolve().parents[2] / "docs" / "format"))
import sallyport_reader  # noqa: E402
from lab import BIN, Lab, free_port, wait_for
from over_https import ask, trust


def echo_server(case):
    server = socket.create_server(("127.0.0.1", 0))
    case.addClassCleanup(server.close)

    def serve():
        while True:
            try:
                one, _ = server.accept()
            except OSError:
                return
            with one:
                while data := one.recv(65536):
                    one.sendall(data.upper() * (3 if data.startswith(b"three") else 1))
    threading.Thread(target=serve, daemon=True).start()
    return server.getsockname()[1]


class Rights(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.api_port, cls.echo = free_port(), echo_server(cls)
        cls.lab = Lab(config=f"  checkpoint_every: 1s\nadmin:\n  listen: [\"127.0.0.1:{cls.api_port}\"]\n", start=False)
        cls.lab.policy_text = lambda: (
            cls.lab.default_policy(channels="shell, exec, sftp, tunnel-local", extra_rule=f"        tunnels: [\"127.0.0.1:{cls.echo}\"]\n        record: {{bulk: full}}\n")
            .replace("bindings:", "  - name: viewer\n    admin: [audit, view]\n  - name: reader\n    admin: [audit, view, input]\nbindings:\n"
                     "  - {role: viewer, principals: [auditor]}\n  - {role: reader, principals: [approver, engineer]}"))
        cls.lab.start()
        cls.tls = trust(cls.lab)
        cls.tokens = {name: json.loads(cls.lab.run_cli("-o", "json", "token", "create", "--for", name, "--name", "test", check=True).stdout)["token"]
                      for name in ("engineer", "auditor", "approver")}

    @classmethod
    def tearDownClass(cls):
        cls.lab.stop()

    def call(self, who, path, body):
        status, _, text = ask(self.api_port, self.tls, "POST", path, body, Authorization="Bearer " + self.tokens[who])
        return status, json.loads(text)

    def sessions(self):
        return json.loads(self.lab.run_cli("-o", "json", "sessions", check=True).stdout)

    def ended(self, before):
        wait_for(lambda: len(self.sessions()) > before and self.sessions()[-1]["state"] == "complete", 20)
        return self.sessions()[-1]

    def wrapped_of(self, session):
        header = json.loads(self.lab.run_cli("-o", "json", "sessions", session, check=True).stdout)[0]
        folder = self.lab.folder / "state" / "recorder" / "journal"
        self.assertEqual(header["session"], session)
        # The body of the session's first entry: u32 n, n bytes of JSON, the wrapped key.
        first = next(raw for kind, payload in sallyport_reader.frames(folder) if kind == 1 and payload[:26] == session.encode()
                     for raw in sallyport_reader.entries_of(payload))
        body = first[48:-16]
        return base64.b64encode(body[4 + int.from_bytes(body[:4], "little"):]).decode()

    def test_own_sessions_and_typed_input(self):
        before = len(self.sessions())
        self.assertEqual(self.lab.ssh(self.lab.user(), "cat", input=b"secret input").stdout, b"secret input")
        session = self.ended(before)["session"]
        wrapped = self.wrapped_of(session)
        ask = lambda who, **more: self.call(who, f"/v1/recordings/{session}/key", {"reason": "INC-42", "wrapped": wrapped, **more})
        # Her own: not without a second auditor; another one consents, then for her.
        status, answer = ask("engineer")
        self.assertEqual((status, answer["code"]), (403, "SP-4201"), answer)
        self.assertTrue(self.lab.wait_event("recording.look_refused", code="SP-4201"))
        status, answer = self.call("engineer", f"/v1/recordings/{session}/consent", {"principal": "engineer", "reason": "myself"})
        self.assertEqual((status, answer["code"]), (403, "SP-4203"), answer)
        status, answer = self.call("auditor", f"/v1/recordings/{session}/consent", {"principal": "engineer", "reason": "INC-42"})
        self.assertEqual(status, 200, answer)
        status, answer = ask("engineer")
        self.assertEqual((status, len(answer["key"])), (200, 64), answer)
        # What was typed: a right of its own.
        self.assertEqual(ask("auditor")[0], 200)
        status, answer = ask("auditor", input=True)
        self.assertEqual((status, answer["code"]), (403, "SP-4202"), answer)
        self.assertTrue(self.lab.wait_event("recording.look_refused", code="SP-4202"))
        status, answer = ask("approver", input=True)
        self.assertEqual((status, len(answer["key"])), (200, 64), answer)
        # No reason, no look; the right `view` does not carry `retention`.
        self.assertEqual(self.call("auditor", f"/v1/recordings/{session}/key", {"reason": "", "wrapped": wrapped})[1]["code"], "SP-7005")
        self.assertEqual(self.call("auditor", f"/v1/recordings/{session}/erase", {"reason": "INC-42", "wrapped": wrapped})[0], 403)

    def test_an_sftp_session_replays_as_a_list_of_files(self):
        before = len(self.sessions())
        source = self.lab.folder / "up.txt"
        source.write_text("content of the file")
        remote = f"/tmp/{self.lab.folder.name}.up"
        self.addCleanup(lambda: os.path.exists(remote) and os.unlink(remote))
        subprocess.run(["sftp", "-q", *self.lab.ssh_options(), "-P", str(self.lab.port), "-b", "-", f"{self.lab.user()}@127.0.0.1"],
                       input=f"put {source} {remote}\nget {remote} {self.lab.folder}/back.txt\n".encode(), check=True, capture_output=True, timeout=30)
        session = self.ended(before)["session"]
        played = self.lab.run_cli("play", session, "--reason", "test")
        self.assertEqual(played.returncode, 0, played.stderr)
        import hashlib
        text = played.stdout.decode()
        self.assertGreaterEqual(text.count(hashlib.sha256(b"content of the file").hexdigest()), 2, text)
        self.assertIn(remote, text)
        self.assertIn("up", text)
        self.assertIn("down", text)

    def test_a_tunnel_replays_as_a_ledger_of_bytes(self):
        before, port = len(self.sessions()), free_port()
        client = subprocess.Popen(self.lab.ssh_command(self.lab.user(), arguments=["-N", "-L", f"{port}:127.0.0.1:{self.echo}"], ExitOnForwardFailure="yes"),
                                  stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        self.addCleanup(lambda: (client.kill(), client.wait()))

        def through(data):
            with socket.create_connection(("127.0.0.1", port), 5) as near:
                near.settimeout(10)
                near.sendall(data)
                got = b""
                while len(got) < 3 * len(data):
                    got += near.recv(65536)

        def up():
            try:
                socket.create_connection(("127.0.0.1", port), 5).close()
                return True
            except OSError:
                return False
        wait_for(up, 15)
        sizes = [18, 5, 60]
        for size in sizes:
            through(b"three".ljust(size))
        time.sleep(0.5)
        client.terminate()
        client.wait()
        session = self.ended(before)["session"]
        done = self.lab.run_cli("export", session, "--format", "ledger")
        self.assertEqual(done.returncode, 0, done.stderr)
        titles, *lines = [line.split("\t") for line in done.stdout.decode().splitlines()]
        rows = [dict(zip(titles, line)) for line in lines]
        for row in rows:
            self.assertEqual((row["kind"], row["decision"], row["origin"], row["where"]), ("tunnel-local", "allow", "127.0.0.1", f"127.0.0.1:{self.echo}"), row)
            self.assertLessEqual(row["opened"], row["closed"])
        # Each to the byte, in and out; the first was a look whether the tunnel is there.
        self.assertEqual([(row["bytes_in"], row["bytes_out"], row["recorded_full"], row["recorded_hashed"]) for row in rows],
                         [("0", "0", "0", "0")] + [(str(size), str(3 * size), str(4 * size), "0") for size in sizes])
        played = self.lab.run_cli("play", session, "--reason", "test")
        self.assertEqual(played.returncode, 0, played.stderr)
        self.assertEqual(played.stdout, done.stdout)
        one = self.lab.run_cli("play", session, "--channel", "2", "--reason", "test")
        self.assertEqual((one.returncode, one.stdout), (0, b"THREE" * 3), one.stderr)

    @unittest.skipIf(shutil.which("tcpdump") is None, "tcpdump is not installed")
    def test_a_tunnel_opens_as_a_capture_in_tcpdump(self):
        before, port = len(self.sessions()), free_port()
        client = subprocess.Popen(self.lab.ssh_command(self.lab.user(), arguments=["-N", "-L", f"{port}:127.0.0.1:{self.echo}"], ExitOnForwardFailure="yes"),
                                  stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        self.addCleanup(lambda: (client.kill(), client.wait()))

        def up():
            try:
                self.one = socket.create_connection(("127.0.0.1", port), 5)
                return True
            except OSError:
                return False
        wait_for(up, 15)
        self.one.sendall(b"through the tunnel")
        self.assertEqual(self.one.recv(100), b"THROUGH THE TUNNEL")
        self.one.close()
        time.sleep(0.5)
        client.terminate()
        client.wait()
        session = self.ended(before)["session"]
        capture = self.lab.folder / "tunnel.pcapng"
        done = self.lab.run_cli("export", session, "--format", "pcapng", "--file", capture, "--reason", "test")
        self.assertEqual(done.returncode, 0, done.stderr)
        seen = subprocess.run(["tcpdump", "-n", "-A", "-vv", "-r", capture], capture_output=True, timeout=30)
        text = seen.stdout.decode("latin-1")
        self.assertEqual(seen.returncode, 0, seen.stderr)
        self.assertIn("through the tunnel", text)
        self.assertIn("THROUGH THE TUNNEL", text)
        self.assertIn(f".{self.echo}", text)
        self.assertNotIn("incorrect", text, "a checksum is wrong")
        self.assertNotIn("bad", text.split("\n")[0])


if __name__ == "__main__":
    unittest.main()
