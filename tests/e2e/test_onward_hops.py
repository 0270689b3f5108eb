"""Three sshd in a chain: is a way from one to the next stopped, how fast, and does nothing else raise an alarm?"""
import http.server, os, shutil, socket, socketserver, subprocess, threading, time, unittest

from lab import Lab, free_port, wait_for
from terminal import Terminal

PACK = "    guard: [{packs: [hops]}]\n"


class Answering(socketserver.ThreadingTCPServer):
    """Says `banner`, then one answer for each thing it is told."""
    allow_reuse_address, daemon_threads = True, True

    def __init__(self, banner=b"", answer=b""):
        server = self

        class Handler(socketserver.BaseRequestHandler):
            def handle(self):
                if banner:
                    self.request.sendall(banner)
                while data := self.request.recv(65536):
                    server.seen.append(data)
                    self.request.sendall(answer)
        self.seen = []
        super().__init__(("127.0.0.1", 0), Handler)
        self.port = self.server_address[1]
        threading.Thread(target=self.serve_forever, daemon=True).start()


def say(port, data, seconds=5):
    """What comes back for `data`; b"" when the connection is closed without an answer."""
    with socket.create_connection(("127.0.0.1", port), seconds) as s:
        s.settimeout(seconds)
        try:
            s.sendall(data)
            return s.recv(65536)
        except (ConnectionError, socket.timeout):
            return b""


class OnwardHops(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.services = {"redis": Answering(answer=b"+PONG\r\n"), "postgresql": Answering(answer=b"N"),
                        "vnc": Answering(banner=b"RFB 003.008\n"), "rdp": Answering(answer=b"\x03\0\0\x13"), "proxy": Answering(answer=b"\x05\0"),
                        "telnet": Answering(banner=b"\xff\xfd\x18\xff\xfd\x20login: ")}
        cls.web = http.server.ThreadingHTTPServer(("127.0.0.1", 0), http.server.SimpleHTTPRequestHandler)
        cls.web.RequestHandlerClass.log_message = lambda *_: None
        threading.Thread(target=cls.web.serve_forever, daemon=True).start()
        cls.lab = Lab(targets=3, start=False)
        cls.lab.policy_text = cls.policy
        cls.lab.start()
        cls.who = cls.lab.user()

    @classmethod
    def tearDownClass(cls):
        cls.lab.stop()
        for server in (*cls.services.values(), cls.web):
            server.shutdown()

    @classmethod
    def policy(cls, onward=""):
        ports = [s.port for s in cls.services.values()] + [cls.web.server_address[1]] + [t.port for t in cls.lab.targets]
        text = cls.lab.default_policy(
            channels="shell, exec, sftp, scp, rsync, tunnel-local, tunnel-dynamic",
            extra_rule="        tunnels: [" + ", ".join(f'"127.0.0.1:{p}"' for p in ports) + f"]\n{onward}")
        return text.replace("  - name: administrator\n", PACK + "  - name: administrator\n", 1)

    def tunnel(self, to):
        port = free_port()
        client = subprocess.Popen(self.lab.ssh_command(self.who, arguments=["-N", "-L", f"{port}:127.0.0.1:{to}"], ExitOnForwardFailure="yes"),
                                  stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        self.addCleanup(lambda: (client.kill(), client.wait()))

        def up():
            try:
                socket.create_connection(("127.0.0.1", port), 1).close()
                return True
            except OSError:
                return False
        wait_for(up, 15)
        return port

    def test_every_tool_is_stopped_before_it_runs(self):
        second, third = self.lab.targets[1], self.lab.targets[2]
        tools = {
            "ssh": f"ssh -p {second.port} deploy@127.0.0.1", "scp": f"scp -P {second.port} /etc/hosts deploy@127.0.0.1:/tmp/x",
            "sftp": f"sftp -P {second.port} deploy@127.0.0.1", "rsync": f"rsync -e 'ssh -p {third.port}' /etc/hosts deploy@127.0.0.1:/tmp/",
            "chain": f"ssh -J deploy@127.0.0.1:{second.port} -p {third.port} deploy@127.0.0.1", "nc": f"nc 127.0.0.1 {second.port}",
            "socat": f"socat - TCP:127.0.0.1:{second.port}", "telnet": f"telnet 127.0.0.1 {second.port}", "mosh": "mosh deploy@127.0.0.1",
            "bash": f"exec 3<>/dev/tcp/127.0.0.1/{second.port}",
            "python": f"python3 -c 'import socket; socket.create_connection((\"127.0.0.1\", {second.port}))'",
            "sudo": f"sudo -u ops ssh -p {second.port} 127.0.0.1", "quoted": f"s''sh -p {second.port} deploy@127.0.0.1",
            "base64": "echo c3NoIGRlcGxveUAxMjcuMC4wLjE= | base64 -d | sh"}
        t = Terminal(self.lab.ssh_command(self.who, arguments=["-tt"]))
        self.addCleanup(t.close)
        t.expect(r"[$#] $")
        t.line("PS1='$ '\r", r"\n\r?\$ $")
        t.quiet(0.2)
        before = {x.name: (x.folder / "log").read_text().count("Connection from") for x in (second, third)}
        report = []
        for tool, command in tools.items():
            with self.subTest(tool=tool):
                t.send(command)
                t.quiet(0.2)
                begin = time.monotonic()
                t.line("\r", "SP-91")
                report.append(f"{tool} {1000 * (time.monotonic() - begin):.0f} ms")
                t.quiet(0.3)
                done = self.lab.ssh(self.who, command)
                self.assertEqual(done.returncode, 255)
                self.assertIn(b"SP-9109", done.stderr)
        print("stopped in the terminal, Enter to message: " + ", ".join(report))
        for x in (second, third):
            self.assertEqual((x.folder / "log").read_text().count("Connection from"), before[x.name], "nobody reached " + x.name)

    def test_a_hop_from_a_script_is_seen_on_the_screen(self):
        second = self.lab.targets[1]
        home = self.lab.ssh(self.who, "pwd").stdout.decode().strip()
        key = self.lab.folder / "hop_key"
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", key], check=True)
        (second.folder / "authorized" / self.lab.account).write_text(key.with_suffix(".pub").read_text())
        subprocess.run(self.lab.ssh_command(self.who, f"cat > {home}/k && chmod 600 {home}/k"), input=key.read_bytes(), check=True, capture_output=True)
        options = "-o UserKnownHostsFile=/dev/null"
        with_key = f"{options} -i {home}/k -o IdentitiesOnly=yes -o StrictHostKeyChecking=no -p {second.port} {self.lab.account}@127.0.0.1"
        scripts = {"a question": f"ssh {options} -p {second.port} nobody@127.0.0.1", "a new host key": f"ssh {with_key}", "a banner": f"exec 3<>/dev/tcp/127.0.0.1/{second.port}; head -1 <&3; sleep 9",
                   "a greeting": f"ssh -q {with_key}"}
        subprocess.run(["ssh", "-F", "/dev/null", "-q", *options.split(), "-i", key, "-o", "StrictHostKeyChecking=no", "-p", str(second.port), f"{self.lab.account}@127.0.0.1", "-tt", "exit"],
                       stdin=subprocess.DEVNULL, capture_output=True, timeout=20)  # the next login is greeted with this one
        for sign, script in scripts.items():
            with self.subTest(sign=sign):
                # It lies on the target already: the guard has not seen it being written.
                subprocess.run(self.lab.ssh_command(self.who, f"cat > {home}/go"), input=script.encode() + b"\n", check=True, capture_output=True)
                t = Terminal(self.lab.ssh_command(self.who, arguments=["-tt"]))
                self.addCleanup(t.close)
                t.expect(r"[$#] $")
                t.quiet(0.3)
                begin = time.monotonic()
                t.line("bash ./go\r", "SP-9111")
                print(f"a script's hop by {sign}: {1000 * (time.monotonic() - begin):.0f} ms")
                if sign == "a greeting":
                    t.wait_end()
                    continue
                t.expect(r"SP-9111.*[$#] $")  # the client that was stopped throws away what is typed before it is gone
                t.quiet(2)
                t.line("echo al''ive\r", r"\n\r?alive\r?\n")
                # What only shows such text is left alone.
                t.line(f"cat {home}/go; printf 'SSH-2.0-x\\nLast login: Mon from 10.0.0.9\\n'; echo en''d\r", r"\n\r?end\r?\n")
                t.quiet(0.2)
                t.line("echo al''ive2\r", r"\n\r?alive2\r?\n")

    def test_tunnels_that_lead_onward_are_ended_at_their_first_bytes(self):
        report = []
        ssh = self.tunnel(self.lab.targets[1].port)
        begin = time.monotonic()
        self.assertEqual(say(ssh, b"SSH-2.0-x\r\n"), b"")
        report.append(f"ssh {1000 * (time.monotonic() - begin):.0f} ms")
        for name, first in (("vnc", b""), ("telnet", b""), ("rdp", b"\x03\0\0\x13\x0e\xe0\0\0\0\0\0\x01\0\x08\0\x03\0\0\0"),
                            ("proxy", b"\x05\x01\x00"), ("proxy", b"CONNECT 10.0.0.1:22 HTTP/1.1\r\n\r\n"),
                            ("proxy", b"GET http://10.0.0.1/ HTTP/1.1\r\n\r\n"), ("proxy", b"PROXY TCP4 10.0.0.1 10.0.0.2 1 22\r\n")):
            with self.subTest(name=name):
                port = self.tunnel(self.services[name].port)
                begin = time.monotonic()
                self.assertEqual(say(port, first or b"x"), b"")
                report.append(f"{name} {1000 * (time.monotonic() - begin):.0f} ms")
        print("tunnels ended: " + ", ".join(report))
        seen = {e["protocol"] for e in self.lab.wait_event("tunnel.onward_hop_refused", decision="deny")}
        self.assertEqual(seen, {"ssh", "vnc", "telnet", "rdp", "socks", "http-connect", "http-proxy", "proxy-header"})

    def test_applications_raise_no_alarm(self):
        before = len(self.lab.events("tunnel.onward_hop_refused"))
        web = self.tunnel(self.web.server_address[1])
        redis, postgres = self.tunnel(self.services["redis"].port), self.tunnel(self.services["postgresql"].port)
        for _ in range(20):
            self.assertIn(b"200 OK", say(web, b"GET / HTTP/1.0\r\n\r\n"))
            self.assertEqual(say(redis, b"*1\r\n$4\r\nPING\r\n"), b"+PONG\r\n")
            self.assertEqual(say(redis, b"PING\r\n"), b"+PONG\r\n")
            self.assertEqual(say(postgres, b"\0\0\0\x08\x04\xd2\x16\x2f"), b"N")
        self.assertEqual(len(self.lab.events("tunnel.onward_hop_refused")), before)

    def test_a_role_may_only_be_told(self):
        self.lab.apply(self.policy("        onward: alert\n"))
        port = self.tunnel(self.lab.targets[2].port)
        self.assertTrue(say(port, b"SSH-2.0-x\r\n").startswith(b"SSH-2.0"))
        self.lab.wait_event("tunnel.onward_hop_seen", protocol="ssh")
        self.lab.apply(self.policy())


if __name__ == "__main__":
    unittest.main()
