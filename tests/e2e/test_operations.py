"""For those who run it: completions, manual pages, CSV, curl lines, the wizard, the doctor, reports, metrics."""
import csv, ctypes, io, json, os, pathlib, pty, re, select, shutil, subprocess, tempfile, time, unittest

from lab import BIN, Lab

ROOT = pathlib.Path(__file__).resolve().parents[2]


def run(*words, **more):
    return subprocess.run([BIN / "sallyport", *map(str, words)], stdin=subprocess.DEVNULL, capture_output=True, timeout=30, **more)


def in_terminal(command, answers=(), environment=None, seconds=40):
    """Runs it on a terminal of its own, types each answer after a line that ends with ': '; gives the text and the exit status."""
    pid, fd = pty.fork()
    if pid == 0:
        os.execvpe(str(command[0]), [str(word) for word in command], {**os.environ, "TERM": "xterm", **(environment or {})})
    seen, waiting, deadline = b"", list(answers), time.monotonic() + seconds
    asked = 0
    while time.monotonic() < deadline:
        ready, _, _ = select.select([fd], [], [], 0.5)
        if ready:
            try:
                part = os.read(fd, 4096)
            except OSError:
                break
            if not part:
                break
            seen += part
        if waiting and seen[asked:].endswith(b": "):
            asked = len(seen)
            os.write(fd, waiting.pop(0).encode() + b"\n")
    os.close(fd)
    return seen.decode(), os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


class Alone(unittest.TestCase):
    """What needs no gateway."""

    def setUp(self):
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="sp-ops-", dir="/tmp"))
        self.addCleanup(shutil.rmtree, self.folder, True)

    def test_bash_completes_verbs_options_and_formats(self):
        script = """
source <("$SP" completion bash)
try() { COMP_WORDS=("$SP" "$@"); COMP_CWORD=$#; _sallyport; echo "${COMPREPLY[*]}"; }
try sta
try lock ""
try events --den
try status -o ""
try completion ""
"""
        done = subprocess.run(["bash", "--norc", "-c", script], capture_output=True, timeout=30, env={**os.environ, "SP": str(BIN / "sallyport")})
        lines = done.stdout.decode().splitlines()
        self.assertEqual(lines, ["status", "list remove set", "--denied", "csv json jsonl table", "bash fish zsh"], done.stderr)

    @unittest.skipUnless(shutil.which("zsh"), "zsh is not installed")
    def test_zsh_completes(self):
        script = """
compdef() { :; }
compadd() { shift; print -r -- "$@"; }
_files() { print -r -- FILES; }
source <("$SP" completion zsh)
words=("$SP" lock "") CURRENT=3; _sallyport
words=("$SP" config show --eff) CURRENT=4; _sallyport
words=("$SP" plan -f "") CURRENT=4; _sallyport
"""
        done = subprocess.run(["zsh", "-f", "-c", script], capture_output=True, timeout=30, env={**os.environ, "SP": str(BIN / "sallyport")})
        self.assertEqual(done.stdout.decode().splitlines(), ["list remove set", "--effective", "FILES"], done.stderr)

    @unittest.skipUnless(shutil.which("fish"), "fish is not installed")
    def test_fish_completes(self):
        script = "set PATH $SPDIR $PATH; sallyport completion fish | source; complete -C 'sallyport lock '"
        done = subprocess.run(["fish", "--no-config", "-c", script], capture_output=True, timeout=30, env={**os.environ, "SPDIR": str(BIN), "HOME": str(self.folder)})
        words = {line.split("\t")[0] for line in done.stdout.decode().splitlines()}
        self.assertLessEqual({"set", "list", "remove"}, words, done.stderr)

    def test_every_verb_has_a_manual_page_that_renders(self):
        pages = self.folder / "man"
        self.assertEqual(run("manual", pages).returncode, 0)
        listed = [line.split()[0] for line in run("--help").stdout.decode().splitlines() if re.match(r"  [a-z]+ {2,}[A-Z]", line)]
        self.assertGreater(len(listed), 20)
        self.assertEqual([verb for verb in listed if not (pages / f"sallyport-{verb}.1").exists()], [])
        if not shutil.which("man"):
            self.skipTest("man is not installed")
        for page in ("sallyport", "sallyport-lock", "sallyport-events"):
            shown = subprocess.run(["man", "--warnings", "-E", "ascii", "-l", pages / f"{page}.1"], capture_output=True, timeout=30, env={**os.environ, "MANWIDTH": "100", "MANPAGER": "cat"})
            self.assertEqual((shown.returncode, shown.stderr), (0, b""), page)
            self.assertIn(b"EXIT STATUS", shown.stdout)
        self.assertIn(b"--principal", shown.stdout)
        again = self.folder / "again"
        self.assertEqual(run("manual", again).returncode, 0)
        for page in pages.iterdir():
            self.assertEqual(page.read_bytes(), (again / page.name).read_bytes())

    def test_colours_are_for_terminals_that_want_them(self):
        command = [BIN / "sallyport", "guard", "packs"]
        self.assertNotIn(b"\x1b", run("guard", "packs").stdout)
        self.assertIn("\x1b[1m", in_terminal(command, environment={"NO_COLOR": ""})[0])
        self.assertNotIn("\x1b", in_terminal(command, environment={"NO_COLOR": "1"})[0])
        self.assertNotIn("\x1b", in_terminal(command, environment={"TERM": "dumb", "NO_COLOR": ""})[0])

    def test_the_wizard_asks_and_asks_again(self):
        file = self.folder / "sallyport.yaml"
        answers = [str(self.folder / "state"), str(self.folder / "run"), "127.0.0.1:2299", "gw.example:22", "wax", "file", str(self.folder / "witness"), "", "yes"]
        text, status = in_terminal([BIN / "sallyport", "--config", file, "init"], answers)
        self.assertEqual(status, 0, text)
        self.assertIn("`wax`", text)
        shown = run("--config", file, "config", "show", "--effective").stdout.decode()
        self.assertIn('public_address: "gw.example:22"', shown)
        self.assertIn('listen: ["127.0.0.1:2299"]', shown)
        self.assertIn(f'witness: ["{self.folder}/witness"]', shown)
        self.assertTrue((self.folder / "state" / "vault" / "seal.header").exists())

    def test_the_wizard_writes_nothing_when_told_so(self):
        file = self.folder / "sallyport.yaml"
        text, status = in_terminal([BIN / "sallyport", "--config", file, "init", "--state-dir", self.folder / "s", "--run-dir", self.folder / "r", "--listen", "127.0.0.1:2299"], ["", "", "", "", "no"])
        self.assertNotEqual(status, 0, text)
        self.assertFalse(file.exists())
        text, status = in_terminal([BIN / "sallyport", "--config", file, "init", "--non-interactive", "--state-dir", self.folder / "s", "--run-dir", self.folder / "r"])
        self.assertEqual(status, 0, text)
        self.assertNotIn("?", text)

    def test_output_curl_is_for_verbs_of_the_rest_api(self):
        for words in (["events"], ["serve"], ["sessions"], ["verify"]):
            done = run(*words, "--output-curl")
            self.assertEqual(done.returncode, 2, words)
            self.assertIn(b"--output-curl", done.stderr)

    def test_a_receiver_that_cannot_be_is_refused(self):
        for words in (["--to", "ftp://x"], ["--to", "http://example.org/"], ["--to", "syslog+tls://h:1"], ["--to", "-", "--format", "leef"], ["--to", "-", "--ca", "/nowhere.pem"]):
            with self.subTest(words):
                self.assertEqual(run("audit", "export", "--journal", self.folder, *words).returncode, 2)


class Running(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.lab = Lab(targets=1)
        cls.who = cls.lab.user()
        assert cls.lab.ssh(cls.who, "echo words").returncode == 0
        cls.lab.ssh("nobody+deploy+target1", "true")

    @classmethod
    def tearDownClass(cls):
        cls.lab.stop()

    def ok(self, *words):
        return self.lab.run_cli(*words, check=True).stdout.decode()

    def test_names_in_force_are_completed(self):
        config = ["-c", self.lab.folder / "sallyport.yaml"]
        complete = lambda *words: run("complete", *config, *words).stdout.decode().split()
        self.assertEqual(complete("target", "setup", ""), ["target1"])
        self.assertEqual(complete("get", "target", "tar"), ["target1"])
        self.assertEqual(complete("explain", "--as", "eng"), ["engineer"])
        self.assertEqual(complete("lock", "set", "--target", ""), ["target1"])
        self.assertEqual(complete("reach", "nope"), [])

    def test_every_table_is_csv_as_well(self):
        for words in (["get", "targets"], ["get", "principals"], ["sessions"], ["session", "list"], ["lock", "list"], ["secret", "list"], ["doctor"], ["events"], ["reach", "target1"], ["status"],
                      ["guard", "packs"], ["policy", "list"], ["request", "list"], ["token", "list"]):
            with self.subTest(" ".join(words)):
                text = self.lab.run_cli(*words, "-o", "csv").stdout.decode()
                self.assertTrue(text.endswith("\r\n"))
                rows = list(csv.reader(io.StringIO(text, newline=""), strict=True))
                self.assertEqual({len(row) for row in rows}, {len(rows[0])})
                self.assertNotIn("{", rows[0][0])
        rows = list(csv.DictReader(io.StringIO(self.ok("get", "targets", "-o", "csv"))))
        self.assertEqual([row["name"] for row in rows], ["target1"])

    def test_curl_lines_do_what_the_verbs_do(self):
        line = self.ok("get", "targets", "--output-curl").strip()
        done = subprocess.run(line, shell=True, capture_output=True, timeout=30)
        self.assertEqual(done.returncode, 0, (line, done.stderr))
        self.assertIn(b"target1", done.stdout)
        line = self.ok("lock", "set", "--principal", "auditor", "--reason", "it's a test", "--output-curl").strip()
        self.assertEqual(json.loads(self.ok("lock", "list", "-o", "json")), [], "nothing is changed")
        self.assertEqual(subprocess.run(line, shell=True, capture_output=True, timeout=30).returncode, 0, line)
        self.assertEqual(json.loads(self.ok("lock", "list", "-o", "json"))[0]["reason"], "it's a test")
        self.ok("lock", "remove", "--principal", "auditor")
        put = subprocess.run([BIN / "sallyport", "--config", self.lab.folder / "sallyport.yaml", "secret", "put", "pw/x", "--output-curl"], input=b"hunter22-very-secret\n", capture_output=True, timeout=30)
        self.assertEqual(put.returncode, 0, put.stderr)
        self.assertIn(b"/v1/secrets/pw/x", put.stdout)
        self.assertNotIn(b"hunter22", put.stdout + put.stderr)

    def test_the_doctor_has_twenty_checks_with_remedies(self):
        rows = json.loads(self.lab.run_cli("doctor", "-o", "json").stdout)
        self.assertGreaterEqual(len(rows), 20)
        self.assertEqual(len({row["check"] for row in rows}), len(rows))
        self.assertEqual([row for row in rows if row["result"] != "ok" and not row["remedy"]], [])
        by_name = {row["check"]: row for row in rows}
        for name in ("gateway", "policy", "vault is open", "recorder"):
            self.assertEqual(by_name[name]["result"], "ok", by_name[name])

    def test_the_doctor_says_what_the_kernel_says(self):
        rows = {row["check"]: row for row in json.loads(self.lab.run_cli("doctor", "-o", "json").stdout)}
        # landlock_create_ruleset(NULL, 0, LANDLOCK_CREATE_RULESET_VERSION): the same number on every architecture.
        abi = ctypes.CDLL(None, use_errno=True).syscall(444, None, 0, 1)
        self.assertEqual(rows["landlock"]["result"] == "ok", abi > 0, rows["landlock"])
        if abi > 0:
            self.assertEqual(rows["landlock"]["detail"], f"ABI {abi}")
        yama = pathlib.Path("/proc/sys/kernel/yama/ptrace_scope")
        self.assertEqual(rows["ptrace_scope"]["result"] == "ok", yama.exists() and yama.read_text().strip() != "0", rows["ptrace_scope"])
        self.assertEqual(rows["seccomp"]["result"] == "ok", "kill_process" in pathlib.Path("/proc/sys/kernel/seccomp/actions_avail").read_text().split())
        for name in ("no_new_privs", "mdwe", "not_dumpable", "close_range", "memfd"):
            self.assertIn(name, rows)

    def test_reports_name_an_event_in_every_row(self):
        known = {row["id"] for row in json.loads(self.ok("events", "--limit", "0", "-o", "json"))}
        for name in ("access-review", "privileged-use", "auth-failures"):
            rows = list(csv.DictReader(io.StringIO(self.ok("report", name, "-o", "csv"))))
            self.assertTrue(rows, name)
            self.assertEqual([row for row in rows if row["event_id"] not in known], [], name)
        review = json.loads(self.ok("report", "access-review", "-o", "json"))
        used = [row for row in review if row["principal"] == "engineer" and row["times_used"]]
        self.assertTrue(used and used[0]["target"] == "target1" and used[0]["last_used"])
        self.assertEqual([row for row in json.loads(self.ok("report", "access-review", "--unused", "-o", "json")) if row["times_used"]], [])
        uses = json.loads(self.ok("report", "privileged-use", "--principal", "engineer", "-o", "json"))
        self.assertIn("(sealed; --unseal shows it)", [row["what"] for row in uses])
        self.assertNotIn("echo words", str(uses))
        uses = json.loads(self.ok("report", "privileged-use", "--principal", "engineer", "--unseal", "--reason", "audit", "-o", "json"))
        self.assertIn("echo words", [row["what"] for row in uses])
        self.assertTrue(all(row["result"] not in ("offered", "partial") for row in json.loads(self.ok("report", "auth-failures", "-o", "json"))))
        self.assertEqual(self.lab.run_cli("report", "auth-failures", "--since", "lately").returncode, 2)
        self.assertEqual(self.lab.run_cli("report", "auth-failures", "--since", "1h", "--until", "2h").returncode, 2)

    def test_the_evidence_of_the_compliance_page_can_be_printed(self):
        page = (ROOT / "docs" / "compliance.md").read_text()
        commands = sorted(set(re.findall(r"`sallyport ((?:report|events|sessions|get|verify|doctor|config|status|policy|guard packs|secret list|lock list|reach)[^`]*)`", page)))
        self.assertGreater(len(commands), 10)
        for command in commands:
            with self.subTest(command):
                words = command.replace("TARGET", "target1").split()
                done = self.lab.run_cli(*words)
                self.assertIn(done.returncode, (0, 7) if words[0] == "doctor" else (0,), done.stderr)
                self.assertTrue(done.stdout or words[0] == "events")

    def test_metrics_are_what_prometheus_expects(self):
        line = self.ok("status", "--output-curl").strip().replace("/v1/status", "/metrics")
        text = subprocess.run(line, shell=True, check=True, capture_output=True, timeout=30).stdout
        self.assertIn(b'sallyport_events_total{event="auth.succeeded",decision=""}', text)
        self.assertIn(b"sallyport_ready 1", text)
        names = set(re.findall(rb"^# TYPE (\S+)", text, re.M))
        used = set()
        for file in (ROOT / "deploy" / "prometheus").glob("*.yaml"):
            used |= set(re.findall(r"sallyport_[a-z_]+", file.read_text()))
        used |= set(re.findall(r"sallyport_[a-z_]+", (ROOT / "deploy" / "grafana" / "sallyport.json").read_text()))
        self.assertEqual({name for name in used if name.encode() not in names}, set())
        board = json.loads((ROOT / "deploy" / "grafana" / "sallyport.json").read_text())
        panels = [panel for panel in board["panels"] if panel.get("type") != "row"]
        self.assertTrue(panels and board["title"] and board["schemaVersion"])
        self.assertEqual(len({panel["id"] for panel in panels}), len(panels))
        self.assertEqual([panel["title"] for panel in panels if not all(target.get("expr") for target in panel.get("targets", [{}]))], [])
        if not shutil.which("promtool"):
            self.skipTest("promtool is not installed")
        checked = subprocess.run(["promtool", "check", "metrics"], input=text, capture_output=True, timeout=30)
        self.assertEqual((checked.returncode, checked.stderr), (0, b""))
        for file in (ROOT / "deploy" / "prometheus").glob("*.yaml"):
            checked = subprocess.run(["promtool", "check", "rules", file], capture_output=True, timeout=30)
            self.assertEqual(checked.returncode, 0, checked.stdout + checked.stderr)

    def test_readiness_says_why(self):
        line = self.ok("status", "--output-curl").strip().replace("/v1/status", "/readyz").replace("--fail-with-body ", "")
        ask = lambda: json.loads(subprocess.run(line, shell=True, check=True, capture_output=True, timeout=30).stdout)
        self.assertEqual((ask()["ready"], ask()["reasons"]), (True, []))
        self.ok("vault", "seal")
        try:
            answer = ask()
            self.assertFalse(answer["ready"])
            self.assertEqual([row["check"] for row in answer["reasons"] if row["blocks"]], ["vault"])
        finally:
            self.ok("vault", "unseal")


if __name__ == "__main__":
    unittest.main()
