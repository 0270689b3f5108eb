"""What was run stands in audit events only sealed; it is replayed by who may read it, and counted for everybody else."""
import http.client, json, pathlib, ssl, subprocess, sys, unittest

sys.path.append(str(pathlib.Path(__file__).resolve().parents[2] / "docs" / "format"))
import sallyport_reader  # noqa: E402
from lab import BIN, Lab, free_port, wait_for

MARK = b"payroll-marker-7f3a"


def new_recipient(lab):
    """Options that name its key and certificate; it is a recording recipient from now on."""
    key, certificate = lab.folder / "auditor.key", lab.folder / "auditor.pem"
    subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-keyout", key, "-out", certificate, "-days", "30", "-subj", "/CN=auditor"],
                   check=True, capture_output=True)
    subprocess.run([BIN / "sallyport", "--config", lab.folder / "sallyport.yaml", "secret", "put", "recipients/auditor", "--kind", "recording-recipient"],
                   input=certificate.read_bytes(), check=True, capture_output=True)
    return "--recipient-key", str(key), "--recipient-cert", str(certificate)


def events_of(lab):
    """All audit events as they stand in the journal's files. (A recording's own facts, docs/format/journal.md section 1, are not among them.)"""
    return b"".join(payload for kind, payload in sallyport_reader.frames(lab.folder / "state" / "recorder" / "journal") if kind == 2)


class SealedDecisions(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.port = free_port()
        cls.lab = Lab(targets=1, config=f"admin:\n  listen: [\"127.0.0.1:{cls.port}\"]\n", start=False)
        cls.lab.policy_text = lambda: cls.policy()
        cls.lab.start()
        certificate = next(pathlib.Path(cls.lab.folder / "state").rglob("admin_tls.pem"))
        cls.tls = ssl.create_default_context(cafile=str(certificate))
        cls.tokens = {name: json.loads(cls.lab.run_cli("-o", "json", "token", "create", "--for", name, "--name", "test", check=True).stdout)["token"] for name in ("auditor", "approver")}

    @classmethod
    def tearDownClass(cls):
        cls.lab.stop()

    @classmethod
    def policy(cls, denied="labbreak*"):
        roles = "  - name: writer\n    admin: [policy, audit]\n  - name: reader\n    admin: [policy, audit, view]\nbindings:\n  - {role: writer, principals: [approver]}\n  - {role: reader, principals: [auditor]}"
        return (cls.lab.default_policy(channels="shell, exec").replace("  - name: administrator\n", f"    guard: [{{deny: [\"{denied}\"]}}]\n  - name: administrator\n", 1)
                .replace("bindings:", roles, 1))

    def call(self, who, path, body):
        connection = http.client.HTTPSConnection("127.0.0.1", self.port, timeout=60, context=self.tls)
        connection.request("POST", path, json.dumps(body), {"Authorization": "Bearer " + self.tokens[who], "Content-Type": "application/json"})
        answer = connection.getresponse()
        text = answer.read()
        connection.close()
        return answer.status, json.loads(text)

    def plan(self, who):
        status, plan = self.call(who, "/v1/plan", {"files": [{"name": "policy.yaml", "content": self.policy("echo*")}], "replay": "1d"})
        self.assertEqual(status, 200, plan)
        self.assertNotIn("replay_problem", plan)
        return plan

    def cli_events(self, *options):
        return self.lab.run_cli("-o", "jsonl", "events", "--limit", "0", *options).stdout

    def test_1_nothing_that_was_run_stands_in_an_audit_event_in_the_clear(self):
        lab = self.lab
        self.assertEqual(lab.ssh(lab.user(), "echo payroll-marker-7f3a").stdout, MARK + b"\n")
        self.assertIn(b"SP-9", lab.ssh(lab.user(), "labbreak payroll-marker-7f3a").stderr)
        wait_for(lambda: self.cli_events("--name", "guard.judged") and self.cli_events("--name", "session.ended").count(b"\n") >= 2, 20)
        events = events_of(lab)
        self.assertIn(b"channel.decided", events)
        self.assertIn(b"guard.judged", events)
        self.assertNotIn(MARK, events)
        # Who may is shown it, and that is an event of its own.
        shown = [json.loads(line) for line in self.cli_events("--unseal", "--reason", "INC-42").splitlines()]
        decided = [row["fields"]["command"] for row in shown if row["name"] == "channel.decided" and "command" in row["fields"]]
        self.assertEqual(decided, ["echo payroll-marker-7f3a", "labbreak payroll-marker-7f3a"])
        self.assertEqual([row["fields"]["reported"]["text"] for row in shown if row["name"] == "guard.judged"], ["labbreak payroll-marker-7f3a"])
        self.assertTrue(lab.wait_event("audit.texts_read", reason="INC-42"))
        self.assertIn(b"audit.text_key_unwrapped", self.cli_events())
        refused = lab.run_cli("events", "--unseal")
        self.assertEqual(refused.returncode, 2, refused.stderr)

    def test_2_a_plan_replays_what_its_reader_may_unseal_and_counts_the_rest(self):
        reads = self.plan("auditor")
        self.assertEqual((reads["sealed"], reads["not_replayed"]), (0, 0), reads["text"])
        self.assertIn(("command", "echo payroll-marker-7f3a", "allow", "deny"), {(row["act"], row["command"], row["was"], row["would_be"]) for row in reads["differing"]})
        denials = len(self.lab.events("audit.texts_read"))
        blind = self.plan("approver")
        self.assertEqual((blind["sealed"], blind["not_replayed"]), (2, 2), blind["text"])
        self.assertIn("2 decisions not replayed (sealed).", blind["text"])
        self.assertNotIn("payroll-marker", json.dumps(blind))
        self.assertEqual(len(self.lab.events("audit.texts_read")), denials)
        # Nor is the key given to her.
        wrapped = self.lab.events("audit.text_key")[0]["wrapped"]
        self.assertEqual(self.call("approver", "/v1/events/key", {"reason": "INC-42", "wrapped": wrapped})[0], 403)
        self.assertEqual(self.call("auditor", "/v1/events/key", {"reason": "", "wrapped": wrapped})[1]["code"], "SP-7005")
        status, answer = self.call("auditor", "/v1/events/key", {"reason": "INC-42", "wrapped": wrapped})
        self.assertEqual((status, len(answer["key"])), (200, 64))
        # The key of texts is no way to a recording's key, nor the other way round.
        session = json.loads(self.lab.run_cli("-o", "json", "sessions", check=True).stdout)[-1]["session"]
        self.assertEqual(self.call("auditor", f"/v1/recordings/{session}/key", {"reason": "INC-42", "wrapped": wrapped})[0], 400)
        own = json.loads(self.lab.run_cli("-o", "json", "policy", "check-history", check=True).stdout)
        self.assertEqual((own["differ"], own["sealed"]), (0, 0), own)

    def test_3_a_new_recipient_reads_what_comes_from_then_on_without_the_gateway(self):
        lab = self.lab
        ways = new_recipient(lab)
        self.assertEqual(lab.ssh(lab.user(), "echo for-the-auditor").returncode, 0)
        self.assertTrue(lab.wait_event("channel.decided", command="echo for-the-auditor"))
        self.assertEqual(len(lab.events("audit.text_key")), 2)
        shown = lab.run_cli("-o", "jsonl", "events", "--limit", "0", "--unseal", *ways)
        self.assertIn(b"echo for-the-auditor", shown.stdout)
        self.assertNotIn(MARK, shown.stdout)  # of before: not for her
        self.assertIn(b"commands stay sealed", shown.stderr)
        draft = lab.folder / "draft"
        draft.mkdir()
        (draft / "policy.yaml").write_text(self.policy("echo*"))
        text = lab.run_cli("plan", "-f", draft, "--replay", "1d", *ways, check=True).stdout
        self.assertIn(b"2 decisions not replayed (sealed).", text)

    def test_4_without_online_replay_the_gateway_itself_opens_none(self):
        with Lab(targets=1, config="  online_replay: false\n") as lab:
            ways = new_recipient(lab)
            self.assertEqual(lab.ssh(lab.user(), "echo payroll-marker-7f3a").stdout, MARK + b"\n")
            self.assertTrue(lab.wait_event("session.ended"))
            self.assertNotIn(MARK, events_of(lab))
            told = lab.run_cli("-o", "json", "policy", "check-history")
            self.assertEqual((json.loads(told.stdout)["sealed"], json.loads(told.stdout)["differ"]), (1, 0), told)
            self.assertIn(b"commands stay sealed", told.stderr)
            with_key = json.loads(lab.run_cli("-o", "json", "policy", "check-history", *ways, check=True).stdout)
            self.assertEqual((with_key["sealed"], with_key["differ"]), (0, 0), with_key)


if __name__ == "__main__":
    unittest.main()
