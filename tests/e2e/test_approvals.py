"""Asking and approving with real clients: in advance, while connecting, one channel only; N of M; never oneself; ends."""
import os, re, signal, subprocess, time, unittest

from lab import Lab, wait_for

ID = re.compile(rb"request ([0-9A-Z]{26})")


def policy(lab, approval, **more):
    text = lab.default_policy(extra="groups:\n  - {name: seniors, members: [approver, auditor]}\n", **more)
    return text.replace("  - name: operator\n", f"  - name: operator\n    approval: {approval}\n")


class Approvals(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.lab = Lab(targets=1)
        cls.who = cls.lab.user()
        cls.target = cls.lab.targets[0]

    @classmethod
    def tearDownClass(cls):
        cls.lab.stop()

    def bare(self, person, *words):
        return self.lab.ssh(person, *words, identity=person)

    def accepted(self):
        return (self.target.folder / "log").read_text().count("Accepted publickey")

    def wait_line(self, client):
        line = client.stderr.readline()
        self.assertIn(b"waiting for the approval", line)
        return ID.search(line).group(1).decode()

    def open_waiting(self, *command, **more):
        client = self.lab.popen(self.who, *command, **more)
        self.addCleanup(lambda: (client.kill(), client.wait(), client.stdin.close(), client.stdout.close(), client.stderr.close()))
        return client, self.wait_line(client)

    def test_a_request_in_advance_is_approved_over_ssh_and_ends_with_its_time(self):
        lab = self.lab
        lab.apply(policy(lab, "{approvers: seniors, lasts: 1h}"))
        asked = self.bare("engineer", "request", "target1", "--for", "5s", "--reason", "INC-42 disk full")
        self.assertEqual(asked.returncode, 0, asked.stderr)
        request = asked.stdout.split(b"\n")[1].split()[0].decode()
        self.assertIn(b"INC-42 disk full", asked.stdout)
        again = self.bare("engineer", "request", "target1", "--reason", "INC-42")
        self.assertIn(b"SP-9206", again.stderr)
        own = self.bare("engineer", "approve", request)
        self.assertIn(b"SP-9205", own.stderr)
        foreign = self.bare("admin", "approve", request)
        self.assertIn(b"SP-9205", foreign.stderr)
        self.assertEqual(len(lab.wait_event("request.decision_refused", request=request)), 2)
        self.assertIn(request.encode(), self.bare("approver", "requests").stdout)
        done = self.bare("approver", "approve", request[-8:], "--reason", "go on")
        self.assertEqual(done.returncode, 0, done.stderr)
        begin = time.monotonic()
        client = lab.popen(self.who, "echo up; cat")
        self.assertEqual(client.stdout.readline(), b"up\n")
        client.wait(12)
        self.assertLess(time.monotonic() - begin, 9)
        self.assertIn(b"SP-9201", client.stderr.read())
        client.stdin.close(), client.stdout.close(), client.stderr.close()
        self.assertTrue(lab.wait_event("request.ended", request=request))
        nothing = self.bare("auditor", "request", "target1", "--reason", "x")
        self.assertIn(b"SP-9207", nothing.stderr)
        self.assertIn(b"reason", self.bare("engineer", "request", "target1").stderr)

    def test_what_one_writes_cannot_pass_for_the_gateways_own_lines(self):
        lab = self.lab
        lab.apply(policy(lab, "{approvers: seniors, lasts: 1h}"))
        asked = self.bare("engineer", "request target1 --reason all fine\n  yes       auditor: I looked\u202eevil\u009d52;c;eA==\u009c")
        self.assertEqual(asked.returncode, 0, asked.stderr)
        request = asked.stdout.split(b"\n")[1].split()[0].decode()
        for text in (asked.stdout, self.bare("approver", "requests").stdout):
            self.assertIn(b"I looked", text)
            self.assertFalse([line for line in text.split(b"\n") if line.startswith(b" yes")], text)
            self.assertFalse([mark for mark in ("\u202e", "\u009d", "\u009c") if mark.encode() in text], text)
        listed = lab.run_cli("request", "list", check=True).stdout + lab.run_cli("-o", "json", "request", "list", check=True).stdout
        self.assertIn(b"I looked", listed)
        self.assertFalse([mark for mark in ("\u202e", "\u009d", "\u009c") if mark.encode() in listed], listed)
        self.assertEqual(self.bare("engineer", "cancel", request).returncode, 0)

    def test_a_session_waits_for_two_of_three_and_the_target_gets_nothing_before(self):
        lab = self.lab
        lab.apply(policy(lab, "{approvers: seniors, count: 2}"))
        before = self.accepted()
        client, request = self.open_waiting("cat", ServerAliveInterval="1", ServerAliveCountMax="2")
        client.stdin.write(b"early\n")
        client.stdin.flush()
        self.assertEqual(self.bare("approver", "approve", request).returncode, 0)
        twice = self.bare("approver", "approve", request)
        self.assertIn(b"SP-9206", twice.stderr)
        time.sleep(5)
        self.assertEqual(self.accepted(), before)
        self.assertIsNone(client.poll())
        self.assertEqual(self.bare("auditor", "approve", request).returncode, 0)
        self.assertEqual(client.stdout.readline(), b"early\n")
        self.assertEqual(self.accepted(), before + 1)
        client.stdin.close()
        self.assertEqual(client.wait(10), 0)
        self.assertTrue(lab.wait_event("request.ended", request=request))
        created = lab.events("request.created", request=request)[0]
        granted = [e for e in lab.events("request.approved", request=request) if e["state"] == "approved"]
        dialled = lab.events("target.dialled", session=created["waiting_session"])
        self.assertLess(created["sequence"], granted[0]["sequence"])
        self.assertLess(granted[0]["sequence"], dialled[0]["sequence"])

    def test_two_sessions_that_wait_for_the_same_access(self):
        lab = self.lab
        # Good for one session: each asks for itself.
        lab.apply(policy(lab, "{approvers: seniors}"))
        first, request = self.open_waiting("echo first")
        second, other = self.open_waiting("echo second")
        self.assertNotEqual(request, other)
        self.assertEqual(self.bare("approver", "approve", other).returncode, 0)
        self.assertEqual((second.wait(20), second.stdout.read()), (0, b"second\n"))
        self.assertIsNone(first.poll())
        self.assertEqual(self.bare("approver", "approve", request).returncode, 0)
        self.assertEqual((first.wait(20), first.stdout.read()), (0, b"first\n"))
        # Good for a time: one request, and what it gives is there for both. Each is told once.
        lab.apply(policy(lab, "{approvers: seniors, lasts: 1h}"))
        first, request = self.open_waiting("echo first")
        second, other = self.open_waiting("echo second")
        self.assertEqual(request, other)
        self.assertEqual(self.bare("approver", "approve", request).returncode, 0)
        self.assertEqual((first.wait(20), first.stdout.read()), (0, b"first\n"))
        self.assertEqual((second.wait(20), second.stdout.read()), (0, b"second\n"))
        self.assertNotIn(b"waiting for the approval", first.stderr.read())

    def test_a_denial_and_a_lapse_and_a_vanished_client(self):
        lab = self.lab
        lab.apply(policy(lab, "{approvers: seniors, within: 3s}"))
        client, request = self.open_waiting("echo in")
        self.assertEqual(self.bare("approver", "deny", request, "--reason", "not today").returncode, 0)
        self.assertEqual(client.wait(5), 255)
        text = client.stderr.read()
        self.assertIn(b"SP-9202", text)
        self.assertIn(b"not today", text)
        self.assertEqual(client.stdout.read(), b"")
        client, request = self.open_waiting("echo in")
        self.assertEqual(client.wait(8), 255)
        self.assertIn(b"SP-9203", client.stderr.read())
        self.assertTrue(lab.events("request.expired", request=request, code="SP-9203"))
        lab.apply(policy(lab, "{approvers: seniors}"))
        client, request = self.open_waiting("echo in")
        client.kill()
        self.assertTrue(lab.wait_event("request.cancelled", request=request))
        self.assertIn(b"SP-7002", self.bare("approver", "approve", request).stderr)

    def test_on_a_terminal_a_line_lives_and_ctrl_c_gives_up(self):
        lab = self.lab
        lab.apply(policy(lab, "{approvers: seniors}"))
        client = lab.popen(self.who, arguments=("-tt",))
        self.addCleanup(lambda: (client.kill(), client.wait(), client.stdin.close(), client.stdout.close(), client.stderr.close()))
        os.set_blocking(client.stdout.fileno(), False)
        seen = b""

        def shows(text):
            nonlocal seen
            seen += client.stdout.read() or b""
            return text in seen
        wait_for(lambda: shows(b"waiting 0:03"), 10, 0.1)
        request = ID.search(seen).group(1).decode()
        self.assertEqual(self.bare("approver", "approve", request).returncode, 0)
        client.stdin.write(b"echo now-$((40+2))\n")
        client.stdin.flush()
        wait_for(lambda: shows(b"now-42"), 10, 0.1)
        client.stdin.write(b"exit\n")
        client.stdin.flush()
        self.assertEqual(client.wait(10), 0)
        second = lab.popen(self.who, arguments=("-tt",))
        self.addCleanup(lambda: (second.kill(), second.wait(), second.stdin.close(), second.stdout.close(), second.stderr.close()))
        os.set_blocking(second.stdout.fileno(), False)
        wait_for(lambda: b"waiting 0:01" in (second.stdout.read() or b""), 10, 0.5)
        second.stdin.write(b"\x03")
        second.stdin.flush()
        self.assertEqual(second.wait(5), 255)

    def test_only_the_channel_on_request_waits_and_survives_a_restart_of_the_authority(self):
        lab = self.lab
        text = lab.default_policy(channels="exec", extra="groups:\n  - {name: seniors, members: [approver]}\n")
        text = text.replace("  - name: administrator\n", "  - name: files\n    approval: {approvers: seniors}\n    allow:\n"
                            "      - {channels: [sftp], targets: {labels: {env: lab}}, accounts: [\"*\"]}\n  - name: administrator\n")
        text = text.replace("        directions: [up, down]\n        files: [{path: /, allow: [up, down, change]}]\n", "")
        text = text.replace("bindings:\n", "bindings:\n  - {role: files, principals: [engineer]}\n")
        lab.apply(text)
        self.assertEqual(lab.ssh(self.who, "echo plain").stdout, b"plain\n")
        batch = lab.folder / "batch"
        batch.write_text("pwd\n")
        client = subprocess.Popen(["sftp", *lab.ssh_options(), "-P", str(lab.port), "-b", str(batch), f"{self.who}@127.0.0.1"],
                                  stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        request = self.wait_line(client)
        for pid in lab.gateway_pids("service authority"):
            os.kill(pid, signal.SIGKILL)
        wait_for(lambda: self.bare("approver", "requests").stdout.count(request.encode()) == 1, 20, 0.5)
        self.assertIsNone(client.poll())
        self.assertEqual(self.bare("approver", "approve", request).returncode, 0)
        out, error = client.communicate(timeout=20)
        self.assertEqual(client.returncode, 0, error)
        self.assertIn(b"Remote working directory", out)


if __name__ == "__main__":
    unittest.main()
