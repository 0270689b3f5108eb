"""A command that a second person has to agree to (verdict `approve`): a line in a live terminal and an exec request wait, nothing is at the target before the answer."""
import subprocess, time, unittest

from lab import Lab, wait_for
from terminal import Terminal

GUARD = """    guard:
    - rules:
        - {id: made, verdict: approve, reason: it makes a file, programs: [touch]}
"""


class GuardApprovals(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.lab = Lab(targets=1)
        cls.who = cls.lab.user()
        cls.place = cls.lab.folder / "place"
        cls.place.mkdir()
        cls.place.chmod(0o777)
        text = cls.lab.default_policy().replace("  - name: administrator\n", GUARD + "  - name: administrator\n", 1)
        cls.lab.apply(text.replace("admin: [policy, lock, audit, view, secret]", "admin: [policy, lock, audit, view, secret, approve]"))

    @classmethod
    def tearDownClass(cls):
        cls.lab.stop()

    def waiting(self, text):
        """The request that waits for this command, as those who decide see it."""
        rows = []

        def there():
            rows[:] = [row for row in self.lab.admin("GET", "/v1/requests")[1]["requests"] if row["state"] == "pending" and text in row["text"]]
            return rows
        wait_for(there, 20, 0.1)
        self.assertEqual((rows[0]["kind"], rows[0]["principal"]), ("command", "engineer"))
        return rows[0]["id"]

    def decide(self, verb, request):
        done = self.lab.ssh("admin", verb, request, "--reason", "seen with her", identity="admin")
        self.assertEqual(done.returncode, 0, done.stderr)

    def terminal(self):
        t = Terminal(self.lab.ssh_command(self.who, arguments=["-tt"], ServerAliveInterval="1", ServerAliveCountMax="2"))
        self.addCleanup(t.close)
        t.expect(r"[$#] $")
        t.line("PS1='$ '\r", r"[\r\n]\$ $")
        t.quiet(0.1)
        return t

    def alive(self, t):
        t.line("echo al''ive\r", r"\n\r?alive\r?\n")
        t.quiet(0.1)

    def test_1_a_line_in_a_terminal_runs_when_somebody_agreed(self):
        file, t = self.place / "by-line", self.terminal()
        began = t.mark()
        t.line(f"touch {file}\r", "SP-9106")
        request = self.waiting(str(file))
        own = self.lab.ssh("engineer", "approve", request, identity="engineer")
        self.assertIn(b"SP-9205", own.stderr)
        t.quiet(4)  # longer than a client waits that hears nothing
        self.assertFalse(file.exists())
        self.decide("approve", request)
        t.expect("agreed by admin", began)
        wait_for(file.exists, 10, 0.1)
        self.alive(t)
        event = self.lab.wait_event("guard.judged", verdict="approve", decision="allow", text=f"touch {file}")[0]
        self.assertEqual(event["person"], "admin")

    def test_2_a_line_that_is_denied_or_given_up_never_runs(self):
        file, t = self.place / "never", self.terminal()
        t.line(f"touch {file}\r", "SP-9106")
        since = t.mark()
        self.decide("deny", self.waiting(str(file)))
        t.expect("SP-9107 ", since)
        t.expect("admin refused", since)
        t.quiet(0.3)
        self.alive(t)
        since = t.mark()
        t.line(f"touch {file}\r", "SP-9106")
        request = self.waiting(str(file))
        t.expect(r"Ctrl-C gives up", since)
        t.line("\x03", "SP-9107 ")
        t.quiet(0.3)
        self.alive(t)
        self.assertTrue(self.lab.wait_event("request.cancelled", request=request))
        self.assertFalse(file.exists())

    def test_3_an_exec_request_waits_and_what_was_sent_meanwhile_is_kept(self):
        file = self.place / "by-exec"
        client = self.lab.popen(self.who, f"touch {file}; cat", ServerAliveInterval="1", ServerAliveCountMax="2")
        self.addCleanup(lambda: (client.kill(), client.wait(), client.stdin.close(), client.stdout.close(), client.stderr.close()))
        client.stdin.write(b"early\n")
        client.stdin.flush()
        request = self.waiting(str(file))
        time.sleep(4)
        self.assertIsNone(client.poll())
        self.assertFalse(file.exists())
        self.decide("approve", request)
        self.assertEqual(client.stdout.readline(), b"early\n")
        self.assertTrue(file.exists())
        client.stdin.close()
        self.assertEqual(client.wait(10), 0)
        self.assertTrue(self.lab.wait_event("guard.judged", verdict="approve", decision="allow", source="exec"))

    def test_4_an_exec_request_that_is_denied_or_left_never_runs(self):
        file = self.place / "not-by-exec"
        client = self.lab.popen(self.who, f"touch {file}")
        self.addCleanup(lambda: (client.kill(), client.wait(), client.stdin.close(), client.stdout.close(), client.stderr.close()))
        self.decide("deny", self.waiting(str(file)))
        self.assertEqual(client.wait(10), 255)
        self.assertIn(b"SP-9107", client.stderr.read())
        self.assertTrue(self.lab.wait_event("guard.judged", verdict="approve", decision="deny", source="exec"))
        left = self.lab.popen(self.who, f"touch {file}")
        request = self.waiting(str(file))
        left.kill()
        left.wait()
        for stream in (left.stdin, left.stdout, left.stderr):
            stream.close()
        self.assertTrue(self.lab.wait_event("request.cancelled", request=request))
        self.assertFalse(file.exists())

    def test_5_a_yes_lets_one_of_two_like_commands_run(self):
        file = self.place / "twice"
        command = f"touch {file}; echo ran >>{file}"
        control = {"ControlPath": str(self.lab.folder / "twice.sock")}
        clients = [self.lab.popen(self.who, arguments=["-N"], ControlMaster="yes", **control)]
        self.addCleanup(lambda: [(c.kill(), c.wait(), c.stdin.close(), c.stdout.close(), c.stderr.close()) for c in clients])
        wait_for((self.lab.folder / "twice.sock").exists, 20, 0.1)
        pending = lambda: [row for row in self.lab.admin("GET", "/v1/requests")[1]["requests"] if row["state"] == "pending" and str(file) in row["text"]]
        for count in (1, 2):
            clients.append(self.lab.popen(self.who, command, **control))
            wait_for(lambda: len(pending()) == count, 20, 0.1)
        self.decide("approve", self.waiting(str(file)))
        wait_for(file.exists, 10, 0.1)
        time.sleep(1)
        self.assertEqual(file.read_text(), "ran\n")
        self.decide("deny", self.waiting(str(file)))
        wait_for(lambda: all(c.poll() is not None for c in clients[1:]), 10, 0.1)
        self.assertEqual(sorted(c.returncode for c in clients[1:]), [0, 255])
        self.assertEqual(file.read_text(), "ran\n")


if __name__ == "__main__":
    unittest.main()
