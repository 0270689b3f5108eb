"""The page in a real Chromium: signing in, watching and ending sessions, approving, policy, locks; keyboard, contrast, narrow screens."""
import subprocess, unittest

from browser import MISSING, Browser

PLACES = ("/", "/requests", "/sessions", "/targets?target=target1", "/access?principal=engineer&target=target1", "/policy", "/locks", "/secrets", "/tokens", "/audit", "/health")


def policy(lab, approval=True):
    text = lab.default_policy(extra="groups:\n  - {name: seniors, members: [approver]}\n")
    held = "  - name: ondemand\n    approval: {approvers: seniors}\n    allow:\n      - {channels: [exec], targets: {names: [target2]}, accounts: [" + lab.account + "]}\n"
    text = text.replace("  - name: administrator\n", (held if approval else "") + "  - {name: watcher, admin: [audit, view]}\n  - name: administrator\n")
    text = text.replace("targets: {labels: {env: lab}}", "targets: {names: [target1]}")
    return text.replace("{role: operator, principals: [engineer]}", "{role: operator, principals: [engineer]}\n  - {role: watcher, principals: [auditor]}" +
                        ("\n  - {role: ondemand, principals: [engineer]}" if approval else ""))


@unittest.skipIf(MISSING, MISSING)
class Web(Browser):
    TARGETS = 2

    @classmethod
    def policy(cls, lab):
        return policy(lab)

    def connect(self, target="target1", command="echo up; exec cat"):
        client = self.lab.popen(self.lab.user(target), command)
        self.addCleanup(lambda: (client.kill(), client.wait(), client.stdin.close(), client.stdout.close(), client.stderr.close()))
        return client

    def test_1_a_wrong_token_opens_nothing_and_says_so(self):
        self.drive("sign_in", person="admin", token="spt_wrong")
        self.drive("see", person="admin", text="SP-7020")
        self.assertIn("Your token", self.drive("text", person="admin"))
        self.assertEqual(self.drive("axe", person="admin"), [])
        self.sign_in("admin")
        self.drive("see", person="admin", text="Running sessions")

    def test_1_an_engineer_finds_her_targets_and_nothing_is_refused_on_the_way(self):
        self.sign_in("engineer")
        for path in ("/", "/requests", "/terminal", "/tokens", "/account", "/targets"):
            self.drive("visit", person="engineer", path=path)
            self.drive("see", person="engineer", text="Same from a terminal" if path != "/account" else "Account")
        self.drive("see", person="engineer", text="target1")
        shown = self.drive("text", person="engineer")
        self.assertIn("an approval", shown)  # target2, on request
        self.drive("visit", person="engineer", path=f"/targets?target=target1&account={self.lab.account}")
        line = f"ssh -p {self.lab.port} engineer+{self.lab.account}+target1@127.0.0.1"
        self.drive("see", person="engineer", text=line)
        self.drive("shot", person="engineer", name="my-targets")
        self.assertEqual(self.drive("axe", person="engineer"), [])
        self.assertEqual(self.lab.events("api.refused", principal="engineer"), [])
        command, where = line.split()[:3], line.split()[3]
        done = subprocess.run([*command, *self.lab.ssh_options("engineer"), where, "echo copied"], stdin=subprocess.DEVNULL, capture_output=True, timeout=60)
        self.assertEqual((done.returncode, done.stdout), (0, b"copied\n"), done.stderr)

    def test_2_a_running_session_is_seen_and_ended_with_a_reason(self):
        self.sign_in("admin")
        client = self.connect()
        self.assertEqual(client.stdout.readline(), b"up\n")
        self.drive("visit", person="admin", path="/")
        self.drive("press", person="admin", name="End the session of engineer on target1")
        self.drive("fill", person="admin", label="Reason", value="maintenance at noon")
        self.drive("shot", person="admin", name="end-a-session")
        self.drive("press", person="admin", name="End it now")
        client.wait(10)
        self.assertIn(b"maintenance at noon", client.stderr.read())
        self.drive("see", person="admin", text="Nobody is connected")
        self.assertTrue(self.lab.wait_event("session.ended"))
        self.drive("visit", person="admin", path="/sessions?principal=engineer")
        self.drive("see", person="admin", text=f"{self.lab.account}@target1")
        saved = self.drive("save", person="admin", name="Save as CSV")
        self.assertTrue(saved.startswith("Started,Principal,Target,"), saved[:80])
        self.assertIn(f"engineer,{self.lab.account}@target1", saved)

    def test_3_a_waiting_command_is_approved_in_the_page_and_runs(self):
        self.sign_in("approver")
        client = self.connect("target2", "echo approved-and-run")
        # Who watches the gateway sees that it does not go on by itself, and why.
        self.sign_in("auditor")
        self.drive("visit", person="auditor", path="/")
        self.drive("see", person="auditor", text="waits for approval")
        waiting = [row for row in self.lab.admin("GET", "/v1/sessions")[1]["sessions"] if row.get("waiting_for")]
        self.assertEqual([(row["target"], row["waiting_for"], row.get("held")) for row in waiting], [("target2", waiting[0]["waiting_for"], None)])
        self.drive("visit", person="auditor", path=f"/sessions/{waiting[0]['session']}")
        self.drive("see", person="auditor", text="waits for approval")
        self.drive("visit", person="approver", path="/requests")
        self.drive("press", person="approver", name="Approve the request of engineer")
        self.drive("fill", person="approver", label="Reason", value="seen with her")
        self.drive("shot", person="approver", name="approve")
        self.drive("key", person="approver", key="Enter")
        self.assertEqual(client.communicate(timeout=20)[0], b"approved-and-run\n")
        self.assertTrue(self.lab.wait_event("request.approved"))
        self.assertEqual([row for row in self.lab.admin("GET", "/v1/sessions")[1]["sessions"] if row.get("waiting_for")], [])

    def test_4_a_denial_in_the_page_reaches_the_client(self):
        self.sign_in("approver")
        client = self.connect("target2", "echo never")
        self.drive("visit", person="approver", path="/requests")
        self.drive("press", person="approver", name="Deny the request of engineer")
        self.drive("fill", person="approver", label="Reason", value="not before the release")
        self.drive("key", person="approver", key="Enter")
        out, err = client.communicate(timeout=20)
        self.assertEqual(out, b"")
        self.assertIn(b"not before the release", err)

    def test_4_what_turns_a_line_around_is_seen_as_what_it_is(self):
        self.lab.run_cli("lock", "set", "--principal", "nobody9", "--reason", "see a\u202egnp.exe\u2066 \u200b!", check=True)
        self.sign_in("admin")
        self.drive("visit", person="admin", path="/locks")
        self.drive("see", person="admin", text="gnp.exe")
        text = self.drive("text", person="admin")
        self.assertIn("see a\\u202egnp.exe\\u2066 \\u200b!", text)
        self.assertNotRegex(text, "[\u200b\u202a-\u202e\u2066-\u2069]")
        # What is saved or sent back is what there is.
        self.assertIn("see a\u202egnp.exe", self.drive("save", person="admin", name="Save as CSV"))
        self.lab.run_cli("lock", "remove", "--principal", "nobody9", check=True)

    def test_5_what_a_person_may_not_see_is_not_offered_and_refused_by_its_address(self):
        self.sign_in("engineer")
        text = self.drive("text", person="engineer")
        for name in ("Policy", "Secrets", "Locks", "Audit"):
            self.assertNotIn(f"\n{name}\n", text)
        self.drive("visit", person="engineer", path="/audit")
        self.drive("see", person="engineer", text="needs the admin right audit")
        self.drive("visit", person="engineer", path="/sessions/01JC3W9M6T5X1Q8Z7R4N2K0HFA")  # the gateway's own word
        self.drive("see", person="engineer", text="SP-7003")
        self.sign_in("auditor")
        self.drive("visit", person="auditor", path="/audit?decision=deny")
        self.drive("see", person="auditor", text="deny")
        self.assertEqual(self.drive("address", person="auditor"), "/audit?decision=deny")

    def test_6_a_policy_is_checked_planned_and_applied(self):
        self.sign_in("admin")
        folder = self.lab.folder / "web-policy"
        folder.mkdir()
        file = folder / "policy.yaml"
        file.write_text(policy(self.lab).replace("channels:", "chanels:", 1))
        self.drive("visit", person="admin", path="/policy")
        self.drive("files", person="admin", label="Policy files", paths=[str(file)])
        self.drive("press", person="admin", name="Check and plan")
        self.drive("see", person="admin", text="chanels")
        self.assertIn("policy.yaml:", self.drive("text", person="admin"))
        # Tests inside the files are run with the plan; one that fails is named with its place, and nothing can be applied.
        ask = f"who: engineer, target: target1, account: {self.lab.account}, channel: exec, command: ls"
        file.write_text(policy(self.lab, approval=False) + f"tests:\n  - {{name: she may not, {ask}, expect: deny}}\n")
        self.drive("files", person="admin", label="Policy files", paths=[str(file)])
        self.drive("press", person="admin", name="Check and plan")
        self.drive("see", person="admin", text="she may not")
        self.assertRegex(self.drive("text", person="admin"), r"policy\.yaml:\d+:\d+")
        self.assertNotIn("Apply exactly this plan", self.drive("text", person="admin"))
        file.write_text(policy(self.lab, approval=False) + f"tests:\n  - {{name: she may, {ask}, expect: allow}}\n")
        self.drive("files", person="admin", label="Policy files", paths=[str(file)])
        self.drive("press", person="admin", name="Check and plan")
        self.drive("see", person="admin", text="Apply exactly this plan")
        self.assertIn("engineer", self.drive("text", person="admin"))
        self.drive("shot", person="admin", name="plan")
        self.drive("fill", person="admin", label="Reason", value="INC-42")
        self.drive("press", person="admin", name="Apply exactly this plan")
        self.drive("see", person="admin", text="Applied as version")
        refused = self.lab.ssh(self.lab.user("target2"), "true")
        self.assertNotEqual(refused.returncode, 0)
        # What is in force may be taken up again, and so may what was.
        self.drive("visit", person="admin", path="/locks")
        self.drive("visit", person="admin", path="/policy")
        self.drive("press", person="admin", name="edit version 2")
        self.drive("press", person="admin", name="Check and plan")
        self.drive("see", person="admin", text="no changes")
        self.drive("press", person="admin", name="Take version 1 as draft")
        self.drive("press", person="admin", name="Check and plan")
        self.drive("see", person="admin", text="Apply exactly this plan")
        self.drive("shot", person="admin", name="draft")

    def test_7_a_lock_ends_what_runs_and_is_lifted(self):
        self.sign_in("admin")
        client = self.connect()
        self.assertEqual(client.stdout.readline(), b"up\n")
        self.drive("visit", person="admin", path="/locks")
        self.drive("fill", person="admin", label="Principal", value="engineer")
        self.drive("fill", person="admin", label="Reason", value="laptop lost")
        self.drive("press", person="admin", name="Lock", exact=True)
        client.wait(10)
        self.drive("see", person="admin", text="laptop lost")
        self.drive("press", person="admin", name="Lift the lock: laptop lost")
        self.drive("see", person="admin", text="Nothing is locked")
        self.assertEqual(self.lab.ssh(self.lab.user(), "echo back").stdout, b"back\n")

    def test_8_every_place_is_clean_for_axe_in_both_schemes_and_fits_a_phone(self):
        for name, width, scheme in (("light", 1280, "light"), ("dark", 1280, "dark"), ("phone", 360, "light")):
            self.drive("open", person=name, width=width, scheme=scheme)
            self.drive("sign_in", person=name, token=self.tokens["admin"])
            self.drive("see", person=name, text="Running sessions")
            for place in PLACES:
                with self.subTest(place=place, look=name):
                    self.drive("visit", person=name, path=place)
                    self.drive("see", person=name, text="Same from a terminal")
                    self.assertEqual(self.drive("axe", person=name), [])
                    self.assertFalse(self.drive("overflows", person=name))
                    self.drive("shot", person=name, name=f"{name}{place.split('?')[0].replace('/', '-')}")

    def test_9_the_keyboard_is_enough(self):
        self.drive("open", person="keys")
        self.drive("sign_in", person="keys", token=self.tokens["admin"])
        self.drive("see", person="keys", text="Running sessions")
        for wanted in ("Skip to the content", "Sallyport", "Live", "Requests", "Sessions"):
            self.drive("key", person="keys", key="Tab")
            self.assertEqual(self.drive("focused", person="keys"), wanted)
        self.drive("key", person="keys", key="Enter")
        self.drive("see", person="keys", text="Lasted")
        self.assertEqual(self.drive("address", person="keys"), "/sessions")


if __name__ == "__main__":
    unittest.main(verbosity=2)
