"""Proof that leaves the gateway: bundles that verify alone, checkpoints at a real syslog server, keys that hand over."""
import base64, json, os, pathlib, shlex, shutil, socket, subprocess, sys, tempfile, threading, time, unittest

from lab import BIN, IS_ROOT, Lab, wait_for
import rsyslog

READER = pathlib.Path(__file__).resolve().parents[2] / "docs" / "format" / "sallyport_reader.py"


class Bundles(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.lab = Lab(config="  checkpoint_every: 1s\n  checkpoint_key_every: 2s\n")
        cls.lab.ssh(cls.lab.user(), "for i in 1 2 3 4 5 6 7 8; do echo needle-$i; sleep 0.7; done")
        cls.lab.ssh(cls.lab.user(), "echo another session")
        time.sleep(3)
        cls.key = cls.lab.folder / "run" / "keys" / "checkpoint.vkey"
        rows = json.loads(cls.lab.run_cli("-o", "json", "sessions").stdout)
        cls.session = sorted(rows, key=lambda row: row["began"])[0]["session"]

    @classmethod
    def tearDownClass(cls):
        cls.lab.stop()

    def bundle(self, name, *more):
        path = self.lab.folder / name
        self.lab.run_cli("export", self.session, "--bundle", "--file", path, "--reason", "test", *more, check=True)
        return path

    def check(self, path, key=None):
        own = self.lab.run_cli("-o", "json", "verify", "--bundle", path, "--checkpoint-key", key or self.key)
        alone = subprocess.run([sys.executable, READER, "--bundle", path, "--vkey", key or self.key], capture_output=True, text=True, timeout=60)
        self.assertEqual(own.returncode == 0, alone.returncode == 0, own.stdout.decode() + own.stderr.decode() + alone.stderr)
        return alone.returncode, json.loads(own.stdout) if own.stdout else None, alone.stdout

    def texts(self, lines):
        return b"".join(base64.b64decode(row["body"]) for row in map(json.loads, lines.splitlines()) if row.get("kind") == "data_out" and "body" in row)

    def test_a_slice_verifies_alone_and_holds_nothing_else(self):
        path = self.bundle("slice", "--from", "1.8", "--to", "4.2")
        status, report, lines = self.check(path)
        self.assertEqual(status, 0, report)
        seen = self.texts(lines)
        self.assertIn(b"needle-4", seen)
        self.assertNotIn(b"needle-1\n", seen)
        self.assertNotIn(b"needle-8", seen)
        self.assertLess(report["proof_bytes"], 4096)
        self.assertNotIn("session_key", path.read_text())

    def test_a_redacted_slice_proves_membership_without_the_bytes(self):
        whole = self.bundle("whole")
        _, _, lines = self.check(whole)
        victim = next(row for row in map(json.loads, lines.splitlines()) if row.get("kind") == "data_out" and b"needle-3" in base64.b64decode(row.get("body", "")))
        data = json.loads(whole.read_text())
        sealed = next(row["entry"] for row in data["entries"] if row["sequence"] == victim["sequence"])
        path = self.bundle("redacted", "--redact", victim["sequence"])
        status, report, lines = self.check(path)
        self.assertEqual((status, report["redacted"]), (0, 1), report)
        self.assertNotIn(b"needle-3", self.texts(lines))
        self.assertIn(b"needle-4", self.texts(lines))
        self.assertNotIn(sealed[80:120], path.read_text())

    def test_every_change_of_a_bundle_is_found(self):
        good = json.loads(self.bundle("good", "--from", "1", "--to", "4").read_text())

        def spoilt(change):
            data = json.loads(json.dumps(good))
            change(data)
            path = self.lab.folder / "spoilt"
            path.write_text(json.dumps(data))
            return self.check(path)[0]

        def flip(row, name):
            raw = bytearray(base64.b64decode(row[name]))
            raw[len(raw) // 2] ^= 1
            row[name] = base64.b64encode(raw).decode()
        self.assertEqual(spoilt(lambda d: None), 0)
        self.assertEqual(spoilt(lambda d: flip(d["entries"][2], "entry")), 8)
        self.assertEqual(spoilt(lambda d: flip(d["proof"], "head")), 8)
        self.assertEqual(spoilt(lambda d: d["entries"].pop(2)), 8)
        self.assertEqual(spoilt(lambda d: d["entries"].pop()), 8)
        self.assertEqual(spoilt(lambda d: d["proof"]["entries"].pop()), 8)
        self.assertEqual(spoilt(lambda d: d["proof"].update(head_leaf=d["proof"]["head_leaf"] + 1)), 8)
        self.assertEqual(spoilt(lambda d: d.update(handovers=[])), 8)
        self.assertEqual(spoilt(lambda d: d["proof"].update(checkpoint=d["proof"]["checkpoint"].replace("\n", "\n1", 1))), 8)

    def test_who_takes_the_gateway_cannot_sign_with_a_destroyed_key(self):
        """The chain of keys: each checkpoint after a handover is signed by the next key, and verify insists on it."""
        done = self.lab.run_cli("-o", "json", "verify", "--checkpoint", self.lab.folder / "witness", "--checkpoint-key", self.key)
        self.assertEqual(done.returncode, 0, done.stdout.decode())
        text = (self.lab.folder / "witness").read_text()
        self.assertGreaterEqual(text.count("next-key "), 1)
        # Two notes' signatures change places: a key that had handed over is no signer any more.
        journal = self.lab.folder / "forged"
        shutil.copytree(self.lab.folder / "state" / "recorder" / "journal", journal)
        path = journal / "00000001.journal"
        self.assertEqual(self.lab.run_cli("verify", "--journal", journal, "--checkpoint-key", text.split("next-key ")[1].split("\n")[0], "--forget").returncode, 8,
                         "a later key does not vouch for what came before it")


class OfflineRecipients(unittest.TestCase):
    def test_recordings_that_only_people_elsewhere_can_open(self):
        with Lab(config="  checkpoint_every: 1s\n  online_replay: false\n") as lab:
            refused = lab.ssh(lab.user(), "echo nobody could read this")
            self.assertNotEqual(refused.returncode, 0, "a session without any recipient")
            for name, kind in (("rsa", ["rsa:2048"]), ("ec", ["ec", "-pkeyopt", "ec_paramgen_curve:P-256"])):
                subprocess.run(["openssl", "req", "-x509", "-newkey", *kind, "-nodes", "-days", "30", "-subj", f"/CN={name}", "-keyout", lab.folder / f"{name}.key",
                                "-out", lab.folder / f"{name}.crt"], check=True, capture_output=True)
                subprocess.run([BIN / "sallyport", "--config", lab.folder / "sallyport.yaml", "secret", "put", f"auditors/{name}", "--kind", "recording-recipient"],
                               input=(lab.folder / f"{name}.crt").read_bytes(), check=True, capture_output=True)
            self.assertEqual(lab.ssh(lab.user(), "echo for the auditors").returncode, 0)
            time.sleep(1.5)
            online = lab.run_cli("export", "last", "--format", "text", "--reason", "test")
            self.assertNotEqual(online.returncode, 0, "the gateway opened what it must not be able to open")
            for name in ("rsa", "ec"):
                done = lab.run_cli("export", "last", "--format", "text", "--recipient-key", lab.folder / f"{name}.key", "--recipient-cert", lab.folder / f"{name}.crt")
                self.assertIn(b"for the auditors", done.stdout, done.stderr)


@unittest.skipIf(rsyslog.why_not(), rsyslog.why_not())
class SyslogWitness(unittest.TestCase):
    def test_checkpoints_reach_a_real_syslog_server_over_tls_and_verify_from_there(self):
        folder = pathlib.Path(tempfile.mkdtemp(prefix="sp-syslog-", dir="/tmp"))
        if os.geteuid() == 0:
            folder.chmod(0o755)
        self.addCleanup(shutil.rmtree, folder, True)
        server = rsyslog.Rsyslog(folder / "siem").start()
        self.addCleanup(server.stop)
        f = server.folder
        with Lab(config=f"  checkpoint_every: 1s\n  checkpoint_key_every: 2s\n  syslog_tls: localhost:{server.port}\n  syslog_tls_ca: {f}/ca.crt\n"
                        f"  syslog_tls_certificate: {f}/client.crt\n  syslog_tls_key: {f}/client.key\n") as lab:
            for i in range(3):
                self.assertEqual(lab.ssh(lab.user(), f"echo {i}").returncode, 0)
                time.sleep(1.2)
            wait_for(lambda: len(server.messages()) >= 3, 15, 0.2)
            first = server.messages()[0]
            self.assertEqual((first["app"], first["id"], first["host"], first["pri"]), ("sallyport", "checkpoint", "lab", "85"))
            seen = lab.folder / "seen.txt"
            seen.write_text("\n".join(message["message"] for message in server.messages()) + "\n")
            done = lab.run_cli("verify", "--checkpoint", seen, "--checkpoint-key", lab.folder / "run" / "keys" / "checkpoint.vkey")
            self.assertEqual(done.returncode, 0, done.stdout.decode())


class KeptCheckpoints(unittest.TestCase):
    """Whoever has looked once notices a log that was put back: `sessions` and `verify` keep the newest checkpoint that they saw in the caller's own folder."""

    def test_a_log_that_was_put_back_is_noticed_by_who_has_looked_since(self):
        with Lab(targets=1, config="  checkpoint_every: 1s\n") as lab:
            key = lab.folder / "run" / "keys" / "checkpoint.vkey"

            def verified(journal, who):
                done = lab.run_cli("verify", "--journal", journal, "--checkpoint-key", key, environment={"XDG_STATE_HOME": str(lab.folder / who)})
                return done.returncode, done.stdout.decode() + done.stderr.decode()
            seen = lambda: (lab.folder / "witness").read_text().count("\n\n") if (lab.folder / "witness").exists() else 0
            older = lab.folder / "older"
            for number in range(2):
                self.assertEqual(lab.ssh(lab.user(), "echo in").stdout, b"in\n")
                before = seen()
                wait_for(lambda: seen() > before + 1, 20, 0.2)
                if not number:
                    shutil.copytree(lab.folder / "state" / "recorder" / "journal", older)
            for who, look in (("by-sessions", ["sessions"]), ("by-verify", ["verify"])):
                lab.run_cli(*look, check=True, environment={"XDG_STATE_HOME": str(lab.folder / who)})
                self.assertTrue([file for file in (lab.folder / who).rglob("*") if file.is_file()], "it keeps what it saw")
                status, told = verified(older, who)
                self.assertEqual(status, 8, told)
                self.assertRegex(told, "roll|checkpoint")
            status, told = verified(older, "somebody-new")
            self.assertEqual(status, 0, told)
            self.assertIn("not checked: roll-back (no outside checkpoint)", told)


class LocalLogLab(Lab):
    """The gateway sees a /dev of its own, in which /dev/log is a socket of this test (syslog(3), RFC 3164)."""

    def start_gateway(self):
        dev = self.folder / "dev"
        dev.mkdir(exist_ok=True)
        self.local = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.local.bind(str(self.folder / "log.sock"))
        os.chmod(self.folder / "log.sock", 0o666)
        self.lines = []
        threading.Thread(target=self.listen_to_log, daemon=True).start()
        d = shlex.quote(str(dev))
        self.gateway_prefix = ["unshare", "--mount", "--propagation", "private", "sh", "-ec",
                               f"mount -t tmpfs -o mode=755 tmpfs {d}; for n in null zero full random urandom tty; do touch {d}/$n; mount --bind /dev/$n {d}/$n; done; "
                               f"mkdir {d}/shm {d}/pts; mount --bind /dev/shm {d}/shm; mount --bind /dev/pts {d}/pts; ln -s pts/ptmx {d}/ptmx; ln -s /proc/self/fd {d}/fd; "
                               f"touch {d}/log; mount --bind {shlex.quote(str(self.folder))}/log.sock {d}/log; mount --rbind {d} /dev; exec \"$@\"", "with-own-dev"]
        super().start_gateway()

    def listen_to_log(self):
        while True:
            try:
                self.lines.append(self.local.recv(65536))
            except OSError:
                return

    def write_config(self):
        super().write_config()
        path = self.folder / "sallyport.yaml"
        path.write_text(path.read_text().replace("  syslog: false\n", "  checkpoint_every: 1s\n"))  # syslog is what it does by itself

    def stop(self):
        super().stop()
        self.local.close()


@unittest.skipUnless(IS_ROOT, "a /dev of its own needs root")
class LocalSyslogWitness(unittest.TestCase):
    def test_checkpoints_reach_the_machines_own_syslog_and_verify_from_there(self):
        with LocalLogLab() as lab:
            for i in range(3):
                self.assertEqual(lab.ssh(lab.user(), f"echo {i}").returncode, 0)
                time.sleep(1.2)
            wait_for(lambda: len(lab.lines) >= 3, 15, 0.2)
            self.assertRegex(lab.lines[0], rb"^<85>\w{3} [ \d]\d [\d:]{8} sallyport\S*: (sallyport: )?checkpoint ")  # authpriv.notice
            seen = lab.folder / "seen.txt"
            seen.write_bytes(b"\n".join(line.rstrip(b"\0") for line in lab.lines) + b"\n")
            key = lab.folder / "run" / "keys" / "checkpoint.vkey"
            done = lab.run_cli("verify", "--checkpoint", seen, "--checkpoint-key", key)
            self.assertEqual(done.returncode, 0, done.stdout.decode())
            self.assertNotIn("not checked: roll-back", done.stdout.decode())
            # Cut behind what syslog has seen: the files alone would pass.
            lab.stop_gateway()
            journal = max((lab.folder / "state" / "recorder" / "journal").glob("*"), key=lambda file: file.stat().st_mtime)
            os.truncate(journal, journal.stat().st_size // 2)
            done = lab.run_cli("verify", "--checkpoint", seen, "--checkpoint-key", key)
            self.assertEqual(done.returncode, 8, done.stdout.decode())


if __name__ == "__main__":
    unittest.main()
