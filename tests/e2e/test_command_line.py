"""The command line as a person and as a script meet it: help, formats, exit statuses, typos, explanations."""
import json, os, pathlib, re, shutil, signal, socket, subprocess, tempfile, threading, time, unittest

from lab import BIN, IS_ROOT, Lab, ended, wait_for

# Everything that can be asked for; each is looked at for examples in its help. `service` is the keeper's own.
VERBS = ["serve", "upgrade", "demo", "init", "status", "doctor", "plan", "apply", "get", "explain", "sessions", "play", "export", "events", "verify", "bench",
         "config", "config check", "config show", "lock", "lock set", "lock list", "lock remove", "secret", "secret put", "secret list", "secret delete", "target",
         "target scan", "target add", "target setup", "session", "session list", "session end", "vault", "vault status", "vault seal", "vault unseal"]


def run(*words, **more):
    return subprocess.run([BIN / "sallyport", *map(str, words)], stdin=subprocess.DEVNULL, capture_output=True, timeout=30, **more)


class Words(unittest.TestCase):
    """What needs no gateway."""

    def test_help_of_every_verb_begins_with_examples(self):
        listed = run("--help")
        self.assertEqual(listed.returncode, 0)
        self.assertTrue(listed.stdout.startswith(b"Examples:\n"))
        for verb in VERBS:
            with self.subTest(verb):
                done = run(*verb.split(), "--help")
                self.assertEqual(done.returncode, 0)
                text = done.stdout.decode()
                self.assertTrue(text.startswith("Examples:\n  sallyport "), text[:200])
                self.assertIn("sallyport " + verb, text.split("\n\n")[0])
                self.assertIn("-o,--output", text)
        top = [line.split()[0] for line in listed.stdout.decode().splitlines() if re.match(r"  [a-z]+ {2,}[A-Z]", line)]
        known = {verb.split()[0] for verb in VERBS}
        self.assertEqual([verb for verb in known if verb not in top], [])

    def test_typos_get_a_suggestion(self):
        for words, meant in ((["statsu"], "status"), (["lock", "sett"], "lock set"), (["explian", "SP-2001"], "explain"), (["target", "scna"], "target scan"),
                             (["lock", "set", "--principel", "x", "--reason", "y"], "--principal"), (["events", "--dennied"], "--denied")):
            with self.subTest(" ".join(words)):
                done = run(*words)
                self.assertEqual(done.returncode, 2)
                self.assertIn(f"Did you mean `{'' if meant.startswith('--') else 'sallyport '}{meant}`?", done.stderr.decode())
                self.assertLess(len(done.stderr.splitlines()), 4)
        for words, told in ((["report"], "say which: access-review privileged-use"), (["play", "last", "--speed", "abc"], "`abc` is no number above 0"), (["events", "--limit", "many"], "`many` is not a number")):
            with self.subTest(" ".join(words)):
                done = run(*words)
                self.assertEqual(done.returncode, 2)
                self.assertIn(told, done.stderr.decode())
                self.assertLess(len(done.stderr), 200)
        for words in (["lock"], [], ["status", "-o", "xml"], ["bench"], ["frobnicate"], ["target", "scan", "x", "--port", "99999"], ["events", "--limit", "many"]):
            with self.subTest(" ".join(words)):
                self.assertEqual(run(*words).returncode, 2)

    def test_an_address_may_carry_its_port(self):
        key = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIOuBsrfhN23NjdxB5BZbbp5PV3ojpV0Opn0Oi60fCyFs"
        for given, address, port in (("10.0.0.7", "10.0.0.7", 22), ("10.0.0.7:2222", "10.0.0.7", 2222), ("[fd00::7]:2222", "fd00::7", 2222), ("fd00::7", "fd00::7", 22)):
            with self.subTest(given):
                text = run("target", "add", "recs-1", f"--address={given}", "--account", "deploy", "--host-key", key).stdout.decode()
                self.assertIn(f'address: "{address}"\n    port: {port}\n', text)
        for given in ("10.0.0.7:", "10.0.0.7:99999", "[fd00::7", "-f", "a b"):
            with self.subTest(given):
                done = run("target", "add", "recs-1", f"--address={given}", "--account", "deploy", "--host-key", key)
                self.assertEqual((done.returncode, done.stdout), (2, b""))
                self.assertIn(f"`{given}`".encode(), done.stderr)

    def test_an_unknown_key_is_named_with_its_place(self):
        with Lab(targets=0, start=False) as lab:
            file = lab.folder / "sallyport.yaml"
            file.write_text("node: lab\nlimits:\n  sesions: 10\nlissten: []\n")
            done = run("--config", file, "config", "check")
            self.assertEqual(done.returncode, 2)
            text = done.stderr.decode()
            self.assertIn(f"{file}:3:3: unknown key `limits.sesions`. Did you mean `limits.sessions`?", text)
            self.assertRegex(text, r":4:1:? .*`lissten`.*`listen`")
            file.write_text("node: lab\n")
            self.assertEqual(run("--config", file, "config", "check").returncode, 0)
            self.assertIn(b"login_grace: 30s", run("--config", file, "config", "show", "--effective").stdout)

    def test_output_that_cannot_be_written_is_an_error(self):
        for words in ("explain SP-2001", "--help", "completion bash"):
            with self.subTest(words):
                for closed in (">&-", ">/dev/full"):
                    done = subprocess.run(["sh", "-c", f'exec "$0" {words} {closed}', BIN / "sallyport"], capture_output=True, timeout=30)
                    self.assertEqual(done.returncode, 7, (closed, done.stderr))
                    self.assertIn(b"the output could not be written", done.stderr)

    def test_an_address_in_use_is_told_with_its_holder_and_the_setting(self):
        with socket.create_server(("127.0.0.1", 0)) as held, tempfile.TemporaryDirectory(prefix="sp-held-") as folder:
            address = "127.0.0.1:%d" % held.getsockname()[1]
            rings = set()
            for name in ("a", "b"):
                file = pathlib.Path(folder, name, "sallyport.yaml")
                made = run("--config", file, "init", "--non-interactive", "--state-dir", f"{folder}/{name}/state", "--run-dir", f"{folder}/{name}/run", "--listen", address)
                self.assertEqual(made.returncode, 0, made.stderr)
                rings.update(re.findall(r'ring_dir: "(/dev/shm/.+)"', file.read_text()))
            self.assertEqual(len(rings), 2)  # two gateways of one user do not share their rings
            try:
                done = run("--config", file, "serve")
            finally:
                for ring in rings:
                    shutil.rmtree(ring, True)
            self.assertEqual(done.returncode, 7)
            self.assertRegex(done.stderr.decode(), rf"{re.escape(address)}: .*in use: by \S+ \(pid {os.getpid()}\); .*`listen` in the configuration")

    def test_without_a_gateway_it_is_unavailable(self):
        with Lab(targets=0, start=False) as lab:
            lab.write_config()
            done = lab.run_cli("status")
            self.assertEqual(done.returncode, 7)
            self.assertLess(len(done.stderr.splitlines()), 4)
            self.assertEqual(run("--config", lab.folder / "nowhere.yaml", "status").returncode, 3)
            self.assertEqual(lab.run_cli("events").returncode, 3)


class Running(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.lab = Lab(targets=1)
        cls.who = cls.lab.user()
        assert cls.lab.ssh(cls.who, "echo words").returncode == 0

    @classmethod
    def tearDownClass(cls):
        cls.lab.stop()

    def ok(self, *words):
        return self.lab.run_cli(*words, check=True).stdout.decode()

    def test_formats(self):
        self.assertRegex(self.ok("get", "targets"), r"NAME .*ADDRESS")
        rows = json.loads(self.ok("get", "targets", "-o", "json"))
        self.assertEqual([row["name"] for row in rows], ["target1"])
        lines = self.ok("get", "principals", "-o", "jsonl").splitlines()
        self.assertEqual({json.loads(line)["name"] for line in lines}, set(self.lab.people))
        self.assertEqual(json.loads(self.ok("get", "principal", "engineer", "-o", "json"))["name"], "engineer")
        for kind in ("groups", "roles", "bindings", "locks"):
            json.loads(self.ok("get", kind, "-o", "json"))
        json.loads(self.ok("status", "-o", "json"))
        for words in (["sessions"], ["session", "list"], ["lock", "list"], ["secret", "list"], ["doctor"]):
            self.assertIsInstance(json.loads(self.lab.run_cli(*words, "-o", "json").stdout), list, words)

    def test_sessions_of_a_time(self):
        first = json.loads(self.ok("sessions", "-o", "json"))[0]
        began = first["began"][:19] + "Z"  # cut to its second: a moment before it

        def listed(*words):
            return [row["session"] for row in json.loads(self.ok("sessions", *words, "-o", "json"))]
        self.assertIn(first["session"], listed("--since", "2h"))
        self.assertIn(first["session"], listed("--since", began, "--until", "0s"))
        self.assertNotIn(first["session"], listed("--until", began))
        self.assertEqual(listed("--since", "2099-01-01"), [])
        self.assertIn(first["session"], listed("--since", "yesterday"))
        self.assertNotIn(first["session"], listed("--until", "yesterday"))
        for words, told in ((("--since", "lately"), b"--since: `lately` is no moment"), (("--since", "2h", "--until", "3h"), b"--since is after --until")):
            done = self.lab.run_cli("sessions", *words)
            self.assertEqual((done.returncode, told in done.stderr), (2, True), done.stderr)
        self.assertIn(b"sallyport sessions", self.lab.run_cli("get", "sessions").stderr)

    def test_explain(self):
        self.assertIn("not permitted", self.ok("explain", "SP-2001"))
        self.assertIn("not permitted", self.ok("explain", "2001"))
        allowed = self.ok("explain", "--as", "engineer", "--target", "target1", "--account", self.lab.account, "--channel", "shell")
        self.assertRegex(allowed, "allow")
        denied = self.lab.run_cli("explain", "--as", "auditor", "--target", "target1")
        self.assertEqual(denied.returncode, 4, denied.stderr)
        self.assertRegex(denied.stdout, b"SP-20")
        session = json.loads(self.ok("sessions", "-o", "json"))[0]["session"]
        self.assertIn("engineer", self.ok("explain", session))
        self.assertEqual(self.lab.run_cli("explain", "SP-9999").returncode, 3)
        self.assertEqual(self.lab.run_cli("explain").returncode, 2)
        self.assertEqual(self.lab.run_cli("explain", "--as", "nobody", "--target", "target1").returncode, 4)

    def test_plan_and_apply_twice(self):
        folder = self.lab.folder / "policy"
        self.assertIn("no changes", self.ok("plan", "-f", folder).lower())
        self.assertIn("no changes", self.ok("apply", "-f", folder).lower())
        fresh = self.lab.folder / "other-policy"
        fresh.mkdir(exist_ok=True)
        (fresh / "policy.yaml").write_text(self.lab.default_policy().replace("principals: [engineer]", "principals: [auditor]"))
        plan = self.ok("plan", "-f", fresh)
        self.assertIn("auditor", plan)
        self.assertIn("engineer", plan)
        (fresh / "policy.yaml").write_text(self.lab.default_policy().replace("channels:", "chanels:"))
        done = self.lab.run_cli("apply", "-f", fresh)
        self.assertEqual(done.returncode, 2)
        self.assertRegex(done.stderr.decode() + done.stdout.decode(), r"policy\.yaml:\d+:\d+.*`chanels`.*`channels`")

    def test_exit_statuses(self):
        lab = self.lab
        self.assertEqual(lab.run_cli("status").returncode, 0)
        folder = lab.folder / "guarded-policy"
        folder.mkdir()
        plain, guard = lab.default_policy(), "    guard:\n      - rules:\n          - {id: clock, verdict: approve, reason: it sets the clock, programs: [hwclock]}\n"
        (folder / "policy.yaml").write_text(plain.replace("  - name: administrator\n", guard + "  - name: administrator\n", 1))
        check = ("guard", "check", "-f", folder, "--as", "engineer", "--target", "target1")
        self.assertEqual(lab.run_cli(*check, "date").returncode, 0)
        done = lab.run_cli(*check, "hwclock -w")
        self.assertEqual(done.returncode, 5, done.stdout + done.stderr)
        self.assertEqual(lab.run_cli("apply", "-f", folder, "--plan", "0" * 64).returncode, 6)
        (folder / "policy.yaml").write_text(plain.replace("channels:", "chanels:"))
        self.assertEqual(lab.run_cli("guard", "test", "-f", folder).returncode, 1)
        self.assertEqual(lab.run_cli("lock", "set", "--reason", "whom").returncode, 2)
        self.assertEqual(lab.run_cli("get", "target", "nowhere").returncode, 3)
        self.assertEqual(lab.run_cli("session", "end", "01JC3W9M6T5X1Q8Z7R4N2K0HFA").returncode, 3)
        self.assertEqual(lab.run_cli("play", "01ZZZZ", "--reason", "test").returncode, 3)
        journal = lab.folder / "copy"
        shutil.copytree(lab.folder / "state" / "recorder" / "journal", journal)
        file = sorted(journal.iterdir())[0]
        data = bytearray(file.read_bytes())
        data[len(data) // 2] ^= 1
        file.write_bytes(data)
        self.assertEqual(lab.run_cli("verify", "--journal", journal, "--checkpoint-key", lab.folder / "run" / "keys" / "checkpoint.vkey").returncode, 8)
        following = subprocess.Popen([BIN / "sallyport", "--config", lab.folder / "sallyport.yaml", "events", "--follow", "-o", "jsonl"], stdin=subprocess.DEVNULL,
                                     stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        self.addCleanup(ended, following)
        following.stdout.readline()
        following.send_signal(signal.SIGINT)
        self.assertEqual(following.wait(5), 130)
        self.assertEqual(lab.ssh(self.who, "exit 41").returncode, 41)
        self.assertEqual(lab.ssh("engineer+deploy+nowhere", "true").returncode, 255)

    @unittest.skipUnless(IS_ROOT and shutil.which("setpriv"), "another account needs root")
    def test_an_account_that_is_no_operator_is_denied(self):
        with Lab(targets=1, start=False, config="admin:\n  operators: [engineer]\n") as lab:
            os.chmod(lab.folder, 0o755)
            lab.start()
            os.chmod(lab.folder / "sallyport.yaml", 0o644)
            done = subprocess.run(["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", BIN / "sallyport", "--config", lab.folder / "sallyport.yaml", "status"],
                                  stdin=subprocess.DEVNULL, capture_output=True, timeout=30)
            self.assertEqual(done.returncode, 4, done.stderr)
            self.assertIn(b"SP-7003", done.stderr)

    def test_a_session_is_ended_by_hand_with_a_reason(self):
        live = self.lab.popen(self.who, "echo up; cat")
        self.addCleanup(ended, live)
        self.assertEqual(live.stdout.readline(), b"up\n")
        row = [row for row in json.loads(self.ok("session", "list", "-o", "json")) if row["principal"] == "engineer"][-1]
        begin = time.monotonic()
        self.ok("session", "end", row["session"], "--reason", "the change window is over")
        live.wait(5)
        self.assertLess(time.monotonic() - begin, 2)
        text = live.stderr.read()
        self.assertIn(b"SP-2016", text)
        self.assertIn(b"the change window is over", text)

    def test_bench_measures_any_gateway_against_the_target_itself(self):
        target, options = self.lab.targets[0], " ".join(map(str, self.lab.ssh_options()))
        own = self.lab.folder / "bench_key"
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", own], check=True)
        with open(target.folder / "authorized" / self.lab.account, "a") as lines:
            lines.write(pathlib.Path(f"{own}.pub").read_text())
        direct = f"ssh -F /dev/null -i {own} -o IdentitiesOnly=yes -o IdentityAgent=none -o StrictHostKeyChecking=no -o UserKnownHostsFile=/dev/null -o LogLevel=ERROR -p {target.port} {self.lab.account}@127.0.0.1"
        measured = json.loads(self.ok("bench", "--direct", direct, "--gateway", f"ssh {options} -p {self.lab.port} {self.who}@127.0.0.1", "--rounds", "3", "--parallel", "2", "--mib", "4", "--keys", "5", "-o", "json"))
        self.assertEqual({row["measure"] for row in measured},
                         {"set-up p50 ms", "set-up p99 ms", "connections per second, 2 at once", "down MiB/s", "up MiB/s", "echo p50 ms", "echo p99 ms"})
        for row in measured:
            self.assertTrue(float(row["direct"]) > 0 and float(row["gateway"]) > 0, row)
        self.assertEqual(self.lab.run_cli("bench", "--direct", "ssh -o BatchMode=yes -p 1 127.0.0.1", "--gateway", "ssh -o BatchMode=yes -p 1 127.0.0.1", "--rounds", "1").returncode, 7)

    def test_events_from_the_journal(self):
        mark = f"echo mark{time.time_ns()}"
        self.lab.ssh(self.who, mark)
        self.lab.ssh(self.who, "true", arguments=["-W", "127.0.0.1:9"])
        wait_for(lambda: mark in self.ok("events", "--name", "channel.decided", "--since", "5m", "--unseal", "--reason", "test"), 15)
        rows = json.loads(self.ok("events", "--denied", "--limit", "0", "-o", "json"))
        self.assertTrue(rows and all(row["fields"].get("decision") == "deny" or row["fields"].get("reported", {}).get("decision") == "deny" for row in rows))
        self.assertTrue([row for row in rows if row["fields"].get("code", "").startswith("SP-")])
        session = [row["session"] for row in json.loads(self.ok("events", "--name", "session.", "-o", "json"))][-1]
        self.assertEqual({row["session"] for row in json.loads(self.ok("events", "--session", session, "--limit", "0", "-o", "json"))}, {session})
        self.assertEqual(len(self.ok("events", "--limit", "3", "-o", "jsonl").splitlines()), 3)
        self.assertEqual(self.lab.run_cli("events", "--since", "lately").returncode, 2)
        self.assertEqual(json.loads(self.ok("events", "--since", "2099-01-01", "-o", "json")), [])
        # A gateway that has been started anew still has everything.
        everything = len(json.loads(self.ok("events", "--limit", "0", "-o", "json")))
        self.assertGreater(everything, 10)
        status, page = self.lab.admin("GET", "/v1/events?since=0&limit=10")
        self.assertEqual((status, page["complete"]), (200, True))

    @unittest.skipUnless(shutil.which("openssl"), "openssl is not installed")
    def test_a_recipient_needs_no_gateway_to_open_a_recording(self):
        folder = self.lab.folder
        subprocess.run(["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-keyout", folder / "audit.key", "-out", folder / "audit.pem", "-subj", "/CN=audit",
                        "-days", "2"], check=True, capture_output=True)
        put = subprocess.run([BIN / "sallyport", "--config", folder / "sallyport.yaml", "secret", "put", "recipients/audit", "--kind", "recording-recipient"],
                             input=(folder / "audit.pem").read_bytes(), capture_output=True, timeout=30)
        self.assertEqual(put.returncode, 0, put.stderr)
        self.assertEqual(self.lab.ssh(self.who, "echo for the auditor").returncode, 0)
        keys = ["--recipient-key", folder / "audit.key", "--recipient-cert", folder / "audit.pem"]
        wait_for(lambda: b"for the auditor" in self.lab.run_cli("play", "last", *keys).stdout, 5, 0.3)
        done = self.lab.run_cli("verify", "last", "--seals", *keys)
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertNotIn(b"not checked: seals", done.stdout)
        self.assertEqual(self.lab.run_cli("verify", "--recipient-key", folder / "audit.key").returncode, 2)

    def test_play_follow_and_export(self):
        session = json.loads(self.ok("sessions", "-o", "json"))[0]["session"]
        self.assertEqual(self.lab.run_cli("play", session).returncode, 2, "a reason is asked for")
        self.assertIn("words", self.ok("play", session, "--reason", "test", "--speed", "100"))
        cast = self.lab.folder / "session.cast"
        self.ok("export", session, "--reason", "test", "--file", cast)
        header = json.loads(cast.read_text().splitlines()[0])
        self.assertEqual(header["version"], 2)
        if shutil.which("asciinema") and shutil.which("script"):  # it wants a terminal
            played = subprocess.run(["script", "-qec", f"asciinema cat {cast}", "/dev/null"], stdin=subprocess.DEVNULL, capture_output=True, timeout=30, env={**os.environ, "HOME": str(self.lab.folder)})
            self.assertIn(b"words", played.stdout, played.stderr)
        live = self.lab.popen(self.who, "echo begins; read line; echo ends")
        self.addCleanup(ended, live)
        self.assertEqual(live.stdout.readline(), b"begins\n")
        running = [row for row in json.loads(self.ok("session", "list", "-o", "json")) if row["principal"] == "engineer"][-1]["session"]
        follow = subprocess.Popen([BIN / "sallyport", "--config", self.lab.folder / "sallyport.yaml", "play", running, "--follow", "--reason", "test", "--raw"],
                                  stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        self.addCleanup(ended, follow)
        os.set_blocking(follow.stdout.fileno(), False)
        seen = b""

        def has(text):
            nonlocal seen
            seen += follow.stdout.read() or b""
            return text in seen
        wait_for(lambda: has(b"begins"), 10)
        live.stdin.write(b"\n")
        live.stdin.flush()
        wait_for(lambda: has(b"ends"), 10)
        self.assertEqual(follow.wait(15), 0, follow.stderr.read())
        again = self.lab.run_cli("play", running, "--follow", "--reason", "test", "--raw", timeout=15)
        self.assertEqual((again.returncode, b"ends" in again.stdout), (0, True), again.stderr)

    def test_follow_while_others_read_on_in_the_same_index(self):
        over = threading.Event()

        def list_all():
            while not over.is_set():
                self.lab.run_cli("sessions", "-o", "json")
        others = [threading.Thread(target=list_all) for _ in range(2)]
        for other in others:
            other.start()
        try:
            for _ in range(5):
                live = self.lab.popen(self.who, "for i in 1 2 3 4 5 6 7 8 9 10; do echo $i; sleep 0.05; done; echo ends")
                self.addCleanup(ended, live)
                self.assertEqual(live.stdout.readline(), b"1\n")
                follow = self.lab.run_cli("play", "last", "--follow", "--reason", "test", "--raw")
                self.assertEqual((follow.returncode, follow.stdout.split()), (0, [b"1", b"2", b"3", b"4", b"5", b"6", b"7", b"8", b"9", b"10", b"ends"]), follow.stderr)
        finally:
            over.set()
            for other in others:
                other.join()


if __name__ == "__main__":
    unittest.main()
