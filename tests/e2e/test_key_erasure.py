"""Keys of recordings: erased, wrapped anew, given to recipients; legal hold; RFC 3161 time stamps of checkpoints by `openssl ts`."""
import base64, hashlib, json, os, pathlib, shutil, subprocess, tempfile, unittest

from lab import BIN, Lab, wait_for
import tsa


class Base(unittest.TestCase):
    config = ""

    @classmethod
    def setUpClass(cls):
        cls.lab = Lab(config=cls.config)

    @classmethod
    def tearDownClass(cls):
        cls.lab.stop()

    def cli(self, *words, code=0):
        done = self.lab.run_cli(*words)
        self.assertEqual(done.returncode, code, done.stdout + done.stderr)
        return done

    def record(self, text):
        before = len(self.sessions())
        self.assertEqual(self.lab.ssh(self.lab.user(), f"echo {text}").returncode, 0)
        wait_for(lambda: len(self.sessions()) > before and self.sessions()[-1]["state"] == "complete", 15)
        return self.sessions()[-1]["session"]

    def sessions(self):
        return json.loads(self.cli("-o", "json", "sessions").stdout)

    def text_of(self, session, *more, code=0):
        return self.cli("export", session, "--format", "stdout", "--reason", "test", *more, code=code)

    def events(self, name):
        return [json.loads(line) for line in self.cli("-o", "jsonl", "events", "--name", name, "--limit", "0").stdout.splitlines()]

    def journal_bytes(self):
        return b"".join(path.read_bytes() for path in sorted((self.lab.folder / "state" / "recorder" / "journal").glob("*.journal")))

    def verified(self, *more):
        return json.loads(self.cli("-o", "json", "verify", *more).stdout)

    def recipient(self, name):
        folder = self.lab.folder
        subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "30", "-subj", f"/CN={name}",
                        "-keyout", folder / f"{name}.key", "-out", folder / f"{name}.pem"], check=True, capture_output=True)
        with open(folder / f"{name}.pem", "rb") as certificate:
            subprocess.run([BIN / "sallyport", "--config", folder / "sallyport.yaml", "secret", "put", f"recipients/{name}", "--kind", "recording-recipient"],
                           stdin=certificate, check=True, capture_output=True, timeout=30)
        return folder / f"{name}.key", folder / f"{name}.pem"


class KeptInTheVault(Base):
    config = "  checkpoint_every: 1s\n  keys: vault\n"

    def test_an_erased_key_leaves_an_unreadable_session_in_a_whole_log(self):
        gone, stays = self.record("must-be-forgotten"), self.record("stays-readable")
        self.assertEqual(self.text_of(gone).stdout, b"must-be-forgotten\n")
        missing = self.lab.run_cli("recording", "erase", gone)
        self.assertNotEqual(missing.returncode, 0, "erased without a reason")
        # What is under legal hold is not erased.
        self.cli("recording", "hold", gone, "--reason", "case 4711")
        self.assertEqual([row["session"] for row in json.loads(self.cli("-o", "json", "recording", "holds").stdout)], [gone])
        held = self.lab.run_cli("recording", "erase", gone, "--reason", "request 12")
        self.assertIn(b"SP-4303", held.stderr)
        self.assertTrue([event for event in self.events("recording.erase_refused") if event["fields"]["decision"] == "deny"])
        self.assertEqual(self.text_of(gone).stdout, b"must-be-forgotten\n")
        self.cli("recording", "release", gone, "--reason", "case closed")
        self.cli("recording", "release", gone, "--reason", "again", code=3)
        self.cli("index", "--reason", "test")
        found = lambda text: json.loads(self.lab.run_cli("-o", "json", "search", text, "--reason", "test").stdout or "[]")
        self.assertEqual({row["session"] for row in found("must-be-forgotten")}, {gone})
        before = self.journal_bytes()
        self.cli("recording", "erase", gone, "--reason", "request 12")
        self.assertEqual(found("must-be-forgotten"), [])
        self.assertEqual({row["session"] for row in found("stays-readable")}, {stays})
        self.assertTrue(self.journal_bytes().startswith(before), "the journal was touched")
        # Unreadable, by its own name; the other one as before.
        refused = self.lab.run_cli("export", gone, "--format", "stdout", "--reason", "test")
        self.assertNotEqual(refused.returncode, 0)
        self.assertIn(b"SP-4301", refused.stderr)
        self.assertNotIn(b"must-be-forgotten", refused.stdout)
        self.assertEqual(self.text_of(stays).stdout, b"stays-readable\n")
        self.assertEqual([event["session"] for event in self.events("recording.key_erased")], [gone])
        self.assertEqual(self.events("recording.erased")[0]["fields"]["reason"], "request 12")
        self.cli("recording", "erase", gone, "--reason", "again", code=3)
        # The chain is whole, and verify says what became of that session.
        report = self.verified()
        self.assertEqual({row["session"]: row["erased"] for row in report["sessions"]}[gone], True)
        self.assertEqual({row["session"]: row["erased"] for row in report["sessions"]}[stays], False)
        self.assertIn("erased", self.cli("verify").stdout.decode())
        # Not in the vault's database either, nor in its log.
        state = self.lab.folder / "state" / "vault"
        self.assertFalse([path for path in state.iterdir() if path.is_file() and b"must-be-forgotten" in path.read_bytes()])
        # It stays gone through a restart.
        self.lab.stop_gateway()
        self.lab.start_gateway()
        self.assertIn(b"SP-4301", self.lab.run_cli("export", gone, "--format", "stdout", "--reason", "test").stderr)
        self.assertEqual(self.text_of(stays).stdout, b"stays-readable\n")

    def test_new_recipients_read_old_sessions_after_rewrapping(self):
        session = self.record("for-the-new-recipient")
        key, certificate = self.recipient("late")
        offline = ("--recipient-key", key, "--recipient-cert", certificate)
        without = self.lab.run_cli("export", session, "--format", "stdout", *offline)
        self.assertNotEqual(without.returncode, 0)
        self.assertIn(b"wrapped-key", without.stderr)
        early = self.lab.folder / "early.cms"
        self.cli("recording", "wrapped-key", session, "--file", early, "--reason", "test")
        self.assertNotEqual(self.lab.run_cli("export", session, "--format", "stdout", *offline, "--wrapped-key", early).returncode, 0, "read before it was wrapped to her")
        before = self.journal_bytes()
        self.cli("recording", "rewrap", "--all", "--reason", "new recipient")
        self.assertTrue(self.journal_bytes().startswith(before), "segments were touched")
        late = self.lab.folder / "late.cms"
        self.cli("recording", "wrapped-key", session, "--file", late, "--reason", "test")
        self.assertEqual(self.lab.run_cli("export", session, "--format", "stdout", *offline, "--wrapped-key", late).stdout, b"for-the-new-recipient\n")
        # By other means than the program.
        plain = subprocess.run(["openssl", "cms", "-decrypt", "-inform", "DER", "-in", late, "-recip", certificate, "-inkey", key], capture_output=True, timeout=30)
        self.assertEqual(len(plain.stdout), 32, plain.stderr)
        self.assertEqual(self.text_of(session).stdout, b"for-the-new-recipient\n")
        self.assertIn(session, [event["session"] for event in self.events("recording.key_rewrapped")])

    def test_the_vaults_own_recipient_is_rotated_without_touching_segments(self):
        old, left = self.record("before-the-rotation"), self.record("left-behind")
        self.lab.run_cli("index", "--reason", "test")  # says that a session of another test was erased
        key_of = lambda session, name: (self.cli("recording", "wrapped-key", session, "--file", self.lab.folder / name, "--reason", "test"), (self.lab.folder / name).read_bytes())[1]
        wrapped = key_of(old, "old.cms")
        [certificate] = list((self.lab.folder / "state").rglob("recipient.pem"))
        first, before = certificate.read_bytes(), self.journal_bytes()
        self.cli("secret", "put", "recipients/own", "--kind", "recording-recipient", "--generate")
        wait_for(lambda: certificate.read_bytes() != first, 10)
        young = self.record("after-the-rotation")
        # Both open; the new one's key is wrapped to the new certificate alone.
        self.assertEqual(self.text_of(old).stdout, b"before-the-rotation\n")
        self.assertEqual(self.text_of(young).stdout, b"after-the-rotation\n")
        serials = lambda data: {line.split()[1] for line in subprocess.run(["openssl", "cms", "-cmsout", "-print", "-inform", "DER"], input=data, capture_output=True,
                                                                           timeout=30).stdout.splitlines() if b"serialNumber:" in line}
        was, now = serials(wrapped), serials(key_of(young, "young.cms"))
        self.assertEqual((len(was - now), len(now - was)), (1, 1), (was, now))
        self.cli("recording", "rewrap", old, "--reason", "rotation")
        self.assertNotEqual(key_of(old, "anew.cms"), wrapped)
        self.assertTrue(self.journal_bytes().startswith(before), "segments were touched")
        # The old private half goes: what was not wrapped anew is lost, the rest is read, searched and proven as before, also after a restart.
        self.cli("secret", "delete", "recipients/own")
        for again in (False, True):
            if again:
                self.lab.stop_gateway()
                self.lab.start_gateway()
            self.assertEqual(self.text_of(old).stdout, b"before-the-rotation\n")
            self.assertEqual(self.text_of(young).stdout, b"after-the-rotation\n")
            self.assertNotEqual(self.lab.run_cli("export", left, "--format", "stdout", "--reason", "test").returncode, 0)
        hits = json.loads(self.cli("-o", "json", "search", "before-the-rotation", "--reason", "test").stdout)
        self.assertEqual({row["session"] for row in hits}, {old})
        self.assertEqual(self.verified()["findings"], [])
        self.assertTrue(self.journal_bytes().startswith(before))

    def test_only_the_right_for_it_may(self):
        status, answer = self.lab.admin("POST", "/v1/recordings/01JC3W9M6T5X1Q8Z7R4N2K0HFA/erase", {"wrapped": "AAAA"})
        self.assertEqual((status, answer["code"]), (400, "SP-7005"), answer)


class KeptInTheRecording(Base):
    config = "  checkpoint_every: 1s\n"

    def test_what_stands_in_the_recording_cannot_be_erased_but_wrapped_anew(self):
        session = self.record("stands-in-itself")
        refused = self.lab.run_cli("recording", "erase", session, "--reason", "request 12")
        self.assertIn(b"SP-4302", refused.stderr)
        self.assertEqual(self.text_of(session).stdout, b"stands-in-itself\n")
        key, certificate = self.recipient("second")
        self.cli("recording", "rewrap", session, "--reason", "second recipient")
        wrapped = self.lab.folder / "second.cms"
        self.cli("recording", "wrapped-key", session, "--file", wrapped, "--reason", "test")
        self.assertEqual(self.lab.run_cli("export", session, "--format", "stdout", "--recipient-key", key, "--recipient-cert", certificate, "--wrapped-key", wrapped).stdout,
                         b"stands-in-itself\n")
        self.assertEqual(self.verified()["findings"], [])


@unittest.skipIf(shutil.which("openssl") is None, "openssl is not installed")
class TimeStamps(unittest.TestCase):
    def test_checkpoints_are_stamped_and_verify_checks_the_stamps(self):
        work = pathlib.Path(tempfile.mkdtemp(prefix="sp-tsa-", dir="/tmp"))
        work.chmod(0o755)
        self.addCleanup(shutil.rmtree, work, True)
        authority, other = tsa.Tsa(work / "tsa"), tsa.Tsa(work / "other")
        self.addCleanup(authority.stop)
        self.addCleanup(other.stop)
        with Lab(config=f"  checkpoint_every: 1s\n  timestamp_url: {authority.url}\n  timestamp_ca: {authority.ca}\n  timestamp_every: 1s\n") as lab:
            for number in range(3):
                self.assertEqual(lab.ssh(lab.user(), f"echo {number}; sleep 1.2").returncode, 0)
            events = lambda name: [json.loads(line) for line in lab.run_cli("-o", "jsonl", "events", "--name", name, "--limit", "0").stdout.splitlines()]
            wait_for(lambda: len(events("checkpoint.timestamped")) >= 2, 15)
            report = json.loads(lab.run_cli("-o", "json", "verify").stdout)
            self.assertEqual(report["findings"], [])
            self.assertGreaterEqual(report["timestamps"], 2)
            self.assertGreater(report["stamped_leaves"], 0)
            # The same by openssl alone: the token is of that checkpoint's note as it stands in the journal.
            stamp = events("checkpoint.timestamped")[0]["fields"]
            journal = b"".join(path.read_bytes() for path in sorted((lab.folder / "state" / "recorder" / "journal").glob("*.journal")))
            at = journal.find(f"lab\n{stamp['size']}\n".encode())
            size = int.from_bytes(journal[at - 16:at - 12], "little")
            note = journal[at:at + size]
            self.assertEqual(hashlib.sha256(note).hexdigest(), stamp["sha256"])
            (work / "note").write_bytes(note)
            (work / "token").write_bytes(base64.b64decode(stamp["token"]))
            alone = subprocess.run(["openssl", "ts", "-verify", "-data", work / "note", "-in", work / "token", "-token_in", "-CAfile", authority.ca], capture_output=True, text=True)
            self.assertIn("Verification: OK", alone.stdout + alone.stderr)
            # Somebody else's authority is not this one.
            wrong = lab.run_cli("-o", "json", "verify", "--stamp-ca", other.ca)
            self.assertEqual(wrong.returncode, 8)
            self.assertIn("timestamp-wrong", wrong.stdout.decode())
            # Without its certificate they are said to be not checked.
            bare = json.loads(lab.run_cli("-o", "json", "verify", "--journal", lab.folder / "state" / "recorder" / "journal", "--checkpoint-key", lab.folder / "run" / "keys" / "checkpoint.vkey",
                                          "--forget").stdout)
            self.assertTrue([line for line in bare["not_checked"] if "time stamp" in line], bare["not_checked"])
            # An authority that is away is said once, and holds nothing back.
            authority.refuse = True
            self.assertEqual(lab.ssh(lab.user(), "echo still; sleep 1.5").returncode, 0)
            wait_for(lambda: events("checkpoint.timestamp_failed"), 15)


if __name__ == "__main__":
    unittest.main()
