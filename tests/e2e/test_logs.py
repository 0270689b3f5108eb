"""The service log as JSON: every line of a gateway's life is one object with a documented event; the level holds; nothing secret."""
import json, os, pathlib, re, signal, subprocess, unittest

from lab import BIN, Lab, ROOT, wait_for

STAMP = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z")
DOCUMENTED = dict(re.findall(r"^\| `([a-z]+\.[a-z_]+)` \| (debug|info|warn|error) \|", (ROOT / "docs" / "reference" / "logs.md").read_text(), re.M))
PROCESSES = {"keeper", "vault", "authority", "recorder", "shipper", "listener", "session"}


class Logs(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.lab = Lab(targets=1, config="log:\n  format: json\n  level: debug\n")
        cls.who = cls.lab.user()

    @classmethod
    def tearDownClass(cls):
        cls.lab.stop()

    def lines(self):
        return [json.loads(line) for line in self.lab.log().splitlines()]

    def has(self, event, **fields):
        return lambda: any(line["event"] == event and all(line[k] == v for k, v in fields.items()) for line in self.lines())

    def configure(self, text):
        self.lab.extra_config = text
        self.lab.write_config()
        self.lab.gateway.send_signal(signal.SIGHUP)

    def test_every_line_of_a_life_is_an_object_with_a_documented_event(self):
        lab = self.lab
        self.assertEqual(lab.ssh(self.who, "echo hi").stdout, b"hi\n")
        self.assertNotEqual(lab.ssh("nobody+deploy+target1", "true").returncode, 0)
        secret = "correct-horse-battery-staple"
        stored = subprocess.run([BIN / "sallyport", "--config", lab.folder / "sallyport.yaml", "secret", "put", "pw/target1/deploy"], input=secret.encode(), capture_output=True, timeout=30)
        self.assertEqual(stored.returncode, 0, stored.stderr)
        wait_for(self.has("keeper.serving", level="info", process="keeper"), 10)
        # A session process that dies, a service that dies, a configuration that is wrong, one that is right, a second generation.
        client = lab.popen(self.who, "echo up; cat")
        self.addCleanup(lambda: (client.kill(), client.wait(), client.stdin.close(), client.stdout.close(), client.stderr.close()))
        self.assertEqual(client.stdout.readline(), b"up\n")
        listener = lab.gateway_pids("sallyport-session")
        sessions = [pid for pid in listener if int(pathlib.Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[1]) in listener]
        os.kill(sessions[-1], signal.SIGSEGV)
        wait_for(self.has("session.died", level="error", process="listener"), 20)
        old = lab.gateway_pids("service authority")[0]
        os.kill(old, signal.SIGKILL)
        wait_for(self.has("service.died", level="warn", process="keeper"), 20)
        wait_for(lambda: lab.ssh(self.who, "echo again").stdout == b"again\n", 30, 0.5)
        self.configure("log:\n  format: json\n  levle: debug\n")
        wait_for(self.has("config.refused", level="error"), 20)
        refused = next(line for line in self.lines() if line["event"] == "config.refused")
        self.assertIn("\n", refused["message"])
        self.configure("log:\n  format: json\n  level: debug\nlimits:\n  auth_attempts: 7\n")
        wait_for(self.has("config.reloaded"), 20)
        self.assertEqual(lab.run_cli("upgrade").returncode, 0)
        wait_for(self.has("upgrade.done"), 40)
        self.assertEqual(lab.ssh(self.who, "echo after").stdout, b"after\n")
        # From here on only what is wrong; the log says nothing about a session that goes well.
        self.configure("log:\n  format: json\n  level: error\n")
        wait_for(lambda: lab.ssh(self.who, "echo quiet").stdout == b"quiet\n", 20, 0.5)
        size = len(self.lines())
        for pid in lab.gateway_pids("service authority"):
            os.kill(pid, signal.SIGKILL)
        wait_for(lambda: lab.ssh(self.who, "echo back").stdout == b"back\n", 30, 0.5)
        lines = self.lines()
        self.assertEqual([line for line in lines[size:] if line["level"] != "error"], [])
        for line in lines:
            with self.subTest(line=line):
                self.assertEqual(list(line), ["ts", "level", "process", "event", "message"])
                self.assertRegex(line["ts"], STAMP)
                self.assertIn(line["process"], PROCESSES)
                self.assertEqual(DOCUMENTED.get(line["event"]), line["level"])
        self.assertGreaterEqual({line["process"] for line in lines}, {"keeper", "listener"})
        self.assertGreaterEqual({line["event"] for line in lines}, {"service.started", "service.ready", "session.died", "listener.renewed", "upgrade.begun"})
        self.assertNotIn(secret, lab.log())  # test_planted_secrets looks for lent and typed ones

    def test_what_a_service_says_carries_its_own_name_and_event(self):
        with Lab(targets=0, start=False, config="log:\n  format: json\npolicy_dir: /nowhere/policy\n") as lab:
            lab.start_without_policy()
            lines = lambda: [json.loads(line) for line in lab.log().splitlines()]
            wait_for(lambda: any(line["event"] == "authority.policy_refused" and line["process"] == "authority" for line in lines()), 20)
            wait_for(lambda: any(line["event"] == "vault.memory_unlocked" and line["process"] == "vault" for line in lines()) or any(line["event"] == "keeper.serving" for line in lines()), 20)


if __name__ == "__main__":
    unittest.main()
