"""Acts that wait for a person, with stock clients: writing and changing files by sftp and scp, tunnels, what leads onward."""
import http.server, os, pathlib, signal, socket, subprocess, threading, time, unittest

from lab import Lab, free_port, wait_for



class Counting(http.server.ThreadingHTTPServer):
    """Counts connections and the bytes that reach it."""
    daemon_threads = True

    def __init__(self):
        self.connections = 0
        super().__init__(("127.0.0.1", 0), Page)
        self.port = self.server_address[1]
        threading.Thread(target=self.serve_forever, daemon=True).start()

    def get_request(self):
        self.connections += 1
        return super().get_request()


class Page(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200)
        self.send_header("Content-Length", "6")
        self.end_headers()
        self.wfile.write(b"inside")

    def log_message(self, *_):
        pass


class Speaker(threading.Thread):
    """Says what an SSH server says, and keeps what it is told."""

    def __init__(self):
        super().__init__(daemon=True)
        self.socket = socket.create_server(("127.0.0.1", 0))
        self.port = self.socket.getsockname()[1]
        self.got = b""
        self.start()

    def run(self):
        while True:
            try:
                peer, _ = self.socket.accept()
            except OSError:
                return
            peer.sendall(b"SSH-2.0-speaker\r\n")
            peer.settimeout(30)
            try:
                while data := peer.recv(4096):
                    self.got += data
            except OSError:
                pass


class Holds(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.lab = Lab(targets=1)
        cls.who = cls.lab.user()
        cls.web, cls.speaker = Counting(), Speaker()
        cls.place = cls.lab.folder / "place"
        (cls.place / "held").mkdir(parents=True)
        (cls.place / "free").mkdir()
        for folder in (cls.place, cls.place / "held", cls.place / "free"):
            folder.chmod(0o777)
        text = cls.lab.default_policy(channels="shell, exec", extra="groups:\n  - {name: seniors, members: [approver, auditor]}\n")
        rules = (f"      - channels: [sftp, scp, rsync]\n        targets: all\n        accounts: [\"*\"]\n        approve: {{approvers: seniors}}\n"
                 f"        files: [{{path: {cls.place}, allow: [up, down, change]}}, {{path: {cls.place}/held, allow: [up, down, change], approve: true}}]\n"
                 f"      - channels: [tunnel-local, tunnel-remote, tunnel-unix]\n        targets: all\n        accounts: [\"*\"]\n        approve: {{approvers: seniors, within: 40s}}\n"
                 f"        tunnels: [\"127.0.0.1:{cls.web.port}\", \"localhost:*\", \"unix:{cls.place}/app.sock\"]\n"
                 f"      - channels: [tunnel-local]\n        targets: all\n        accounts: [\"*\"]\n        onward: approve\n        tunnels: [\"127.0.0.1:{cls.speaker.port}\"]\n")
        cls.policy = text.replace("  - name: administrator\n    admin: [policy, lock, audit, view, secret]", rules + "  - name: administrator\n    admin: [policy, lock, audit, view, secret, approve]")
        cls.lab.apply(cls.policy)

    @classmethod
    def tearDownClass(cls):
        cls.lab.stop()
        cls.web.shutdown()
        cls.speaker.socket.close()

    def decide(self, verb, request, *more, person="approver"):
        done = self.lab.ssh(person, verb, request, *more, identity=person)
        self.assertEqual(done.returncode, 0, done.stderr)

    def waiting(self, count=1, kind=None):
        """Ids of the requests that wait, by the CLI's door."""
        rows = []

        def there():
            status, body = self.lab.admin("GET", "/v1/requests")
            rows[:] = [r for r in body["requests"] if r["state"] == "pending" and (kind is None or r["kind"] == kind)]
            return len(rows) >= count
        wait_for(there, 20, 0.1)
        return rows

    def start(self, *command):
        client = subprocess.Popen(list(map(str, command)), stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        self.addCleanup(lambda: (client.kill(), client.wait(), [f.close() for f in (client.stdin, client.stdout, client.stderr) if f]))
        return client

    def sftp(self, *lines, alive=()):
        batch = self.lab.folder / f"batch-{time.monotonic_ns()}"
        batch.write_text("".join(f"{line}\n" for line in lines))
        return self.start("sftp", *self.lab.ssh_options(), *alive, "-P", self.lab.port, "-b", batch, f"{self.who}@127.0.0.1")

    def tunnel(self, *arguments, ready=None):
        client = self.start(*self.lab.ssh_command(self.who, arguments=("-N", *arguments), ExitOnForwardFailure="yes", ServerAliveInterval="1", ServerAliveCountMax="2"))
        if ready:
            wait_for(lambda: self.listens(ready), 20, 0.1)
        return client

    @staticmethod
    def listens(port):
        wanted = f":{port:04X}"
        return any(line.split()[1].endswith(wanted) and line.split()[3] == "0A" for line in pathlib.Path("/proc/net/tcp").read_text().splitlines()[1:])

    def test_1_sftp_writes_wait_and_others_go_on(self):
        source = self.lab.folder / "source"
        source.write_bytes(b"new contents\n")
        target = self.place / "held" / "app.conf"
        client = self.sftp(f"put {source} {self.place}/free/at-once", f"put {source} {target}", f"ls {self.place}/free", alive=("-o", "ServerAliveInterval=1", "-o", "ServerAliveCountMax=2"))
        row = self.waiting(kind="file")[0]
        self.assertIn(str(target), row["text"])
        self.assertEqual((self.place / "free" / "at-once").read_bytes(), b"new contents\n")
        # Another channel of the same principal, and reads, go on meanwhile; nothing of the held file exists.
        self.assertEqual(self.lab.ssh(self.who, "echo meanwhile").stdout, b"meanwhile\n")
        time.sleep(4)
        self.assertIsNone(client.poll())
        self.assertFalse(target.exists())
        own = self.lab.ssh("engineer", "approve", row["id"], identity="engineer")
        self.assertIn(b"SP-9205", own.stderr)
        self.decide("approve", row["id"])
        out, error = client.communicate(timeout=20)
        self.assertEqual(client.returncode, 0, error)
        self.assertIn(b"waiting for the approval of 1 of seniors", error)
        self.assertIn(b"at-once", out)
        self.assertEqual(target.read_bytes(), b"new contents\n")
        self.assertTrue(self.lab.wait_event("file.held", path=str(target)))
        agreed = self.lab.wait_event("file.agreed", path=str(target))
        self.assertEqual(agreed[0]["by"], "approver")

    def test_2_changes_wait_and_a_denial_is_a_clean_error(self):
        victim = self.place / "held" / "keep"
        victim.write_text("stays")
        victim.chmod(0o666)
        for line, verb in ((f"rm {victim}", "remove"), (f"rename {victim} {self.place}/free/gone", "rename"), (f"mkdir {self.place}/held/new", "mkdir"), (f"chmod 600 {victim}", "setstat")):
            with self.subTest(line):
                client = self.sftp(line)
                row = self.waiting(kind="file")[0]
                self.assertIn(verb, row["text"])
                self.decide("deny", row["id"], "--reason", "not now")
                out, error = client.communicate(timeout=20)
                self.assertEqual(client.returncode, 1, error)
                self.assertRegex((error + out).lower(), rb"permission denied|sp-9202")
                self.assertEqual(victim.read_text(), "stays")
                self.assertEqual(victim.stat().st_mode & 0o777, 0o666)
        self.assertFalse((self.place / "held" / "new").exists())
        self.assertTrue(self.lab.events("file.refused", code="SP-9202"))

    def test_3_scp_waits_in_both_protocols(self):
        source = self.lab.folder / "scp-source"
        source.write_bytes(b"by scp\n")
        for mode, name in (("-s", "sftp-way"), ("-O", "old-way")):
            with self.subTest(mode):
                target = self.place / "held" / name
                client = self.start("scp", mode, *self.lab.ssh_options(), "-P", self.lab.port, source, f"{self.who}@127.0.0.1:{target}")
                row = self.waiting(kind="file")[0]
                self.assertIn(str(target), row["text"])
                self.assertFalse(target.exists())
                self.decide("approve", row["id"])
                self.assertEqual(client.wait(20), 0, client.stderr.read())
                self.assertEqual(target.read_bytes(), b"by scp\n")

    def test_4_a_vanished_client_leaves_no_request(self):
        source = self.lab.folder / "vanish"
        source.write_bytes(b"x")
        client = self.sftp(f"put {source} {self.place}/held/vanished")
        row = self.waiting(kind="file")[0]
        client.kill()
        self.assertTrue(self.lab.wait_event("request.cancelled", request=row["id"]))
        self.assertFalse((self.place / "held" / "vanished").exists())

    def test_5_a_local_tunnel_waits_for_each_connection(self):
        local = free_port()
        self.tunnel("-L", f"{local}:127.0.0.1:{self.web.port}", ready=local)
        before = self.web.connections
        explained = self.lab.run_cli("explain", "--as", "engineer", "--target", "target1", "--account", self.lab.account, "--destination", f"127.0.0.1:{self.web.port}")
        self.assertEqual(explained.returncode, 5, explained.stdout + explained.stderr)
        self.assertIn(b"held until", explained.stdout)
        curl = self.start("curl", "-sS", "--max-time", "60", f"http://127.0.0.1:{local}/")
        row = self.waiting(kind="tunnel")[0]
        self.assertIn(f"127.0.0.1:{self.web.port}", row["text"])
        time.sleep(3)
        self.assertEqual(self.web.connections, before)
        status, _ = self.lab.admin("GET", "/v1/status")
        self.assertEqual(status, 200)
        self.decide("approve", row["id"], person="auditor")
        self.assertEqual(curl.communicate(timeout=20)[0], b"inside")
        again = self.start("curl", "-sS", "--max-time", "60", f"http://127.0.0.1:{local}/")
        row = self.waiting(kind="tunnel")[0]
        self.decide("deny", row["id"], "--reason", "once is enough")
        again.communicate(timeout=20)
        self.assertNotEqual(again.returncode, 0)
        self.assertEqual(self.web.connections, before + 1)

    def test_6_w_and_dynamic_and_unix_sockets_wait(self):
        before = self.web.connections
        straight = self.start(*self.lab.ssh_command(self.who, arguments=("-W", f"127.0.0.1:{self.web.port}"), LogLevel="INFO"))
        row = self.waiting(kind="tunnel")[0]
        self.assertEqual(self.web.connections, before)
        self.decide("deny", row["id"], "--reason", "no way in")
        _, error = straight.communicate(timeout=20)
        self.assertIn(b"SP-9202", error)
        self.assertIn(b"no way in", error)
        self.assertEqual(self.web.connections, before)
        local = free_port()
        self.tunnel("-D", str(local), ready=local)
        curl = self.start("curl", "-sS", "--max-time", "60", "--socks5", f"127.0.0.1:{local}", f"http://127.0.0.1:{self.web.port}/")
        row = self.waiting(kind="tunnel")[0]
        self.decide("approve", row["id"])
        self.assertEqual(curl.communicate(timeout=20)[0], b"inside")
        local = free_port()
        self.tunnel("-L", f"{local}:{self.place}/app.sock", ready=local)
        probe = self.start("curl", "-sS", "--max-time", "60", f"http://127.0.0.1:{local}/")
        row = self.waiting(kind="tunnel")[0]
        self.assertIn(f"{self.place}/app.sock", row["text"])
        self.decide("deny", row["id"], "--reason", "not this one")
        probe.communicate(timeout=20)
        self.assertNotEqual(probe.returncode, 0)

    def test_7_a_remote_tunnel_waits(self):
        remote = free_port()
        client = self.tunnel("-R", f"localhost:{remote}:127.0.0.1:{self.web.port}")
        row = self.waiting(kind="tunnel")[0]
        time.sleep(3)
        self.assertIsNone(client.poll())
        self.assertFalse(self.listens(remote))
        self.decide("approve", row["id"])
        wait_for(lambda: self.listens(remote), 20, 0.1)
        other = free_port()
        client = self.tunnel("-R", f"localhost:{other}:127.0.0.1:{self.web.port}")
        row = self.waiting(kind="tunnel")[0]
        self.decide("deny", row["id"], "--reason", "no")
        self.assertEqual(client.wait(20), 255)
        self.assertFalse(self.listens(other))

    def test_8_what_leads_onward_is_held_at_its_first_bytes(self):
        local = free_port()
        self.tunnel("-L", f"{local}:127.0.0.1:{self.speaker.port}", ready=local)

        def say():
            peer = socket.create_connection(("127.0.0.1", local), timeout=30)
            peer.sendall(b"SSH-2.0-client\r\n")
            return peer
        with say() as peer:
            row = self.waiting(kind="tunnel")[0]
            self.assertIn("onward connection (ssh)", row["text"])
            time.sleep(2)
            self.assertEqual(self.speaker.got, b"")
            self.decide_as_approver("deny", row["id"])
            wait_for(lambda: peer.recv(4096) == b"" or None, 20, 0.1)
        self.assertEqual(self.speaker.got, b"")
        with say():
            row = self.waiting(kind="tunnel")[0]
            self.decide_as_approver("approve", row["id"])
            wait_for(lambda: self.speaker.got == b"SSH-2.0-client\r\n", 20, 0.1)

    def decide_as_approver(self, verb, request):
        """No rule names who decides about the first bytes: whoever has the right to approve."""
        done = self.lab.ssh("admin", verb, request, "--reason", "seen", identity="admin")
        self.assertEqual(done.returncode, 0, done.stderr)

    def test_9_a_restart_of_the_authority_forgets_nothing(self):
        source = self.lab.folder / "restart"
        source.write_bytes(b"over the restart\n")
        target = self.place / "held" / "restarted"
        client = self.sftp(f"put {source} {target}")
        row = self.waiting(kind="file")[0]
        for pid in self.lab.gateway_pids("service authority"):
            os.kill(pid, signal.SIGKILL)
        wait_for(lambda: row["id"].encode() in self.lab.ssh("approver", "requests", identity="approver").stdout, 20, 0.5)
        self.assertIsNone(client.poll())
        self.decide("approve", row["id"])
        client.communicate(timeout=20)
        self.assertEqual(target.read_bytes(), b"over the restart\n")


if __name__ == "__main__":
    unittest.main()
