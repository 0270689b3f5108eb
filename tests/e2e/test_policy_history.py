"""The policy's time machine: plans with a hash, tests, idle rules, past decisions made again, versions, rollback, who could reach what."""
import json, os, pathlib, shutil, subprocess, time, unittest

from lab import Lab, free_port, wait_for


class PolicyHistory(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.lab = Lab(targets=1)

    @classmethod
    def tearDownClass(cls):
        cls.lab.stop()

    def draft(self, name, text):
        folder = self.lab.folder / name
        folder.mkdir(exist_ok=True)
        (folder / "policy.yaml").write_text(text)
        return folder

    def test_real_decisions_are_made_again_and_a_draft_shows_what_would_differ(self):
        lab = self.lab
        who = lab.user()
        self.assertEqual(lab.ssh(who, "echo one").stdout, b"one\n")
        self.assertNotEqual(lab.ssh(lab.user(account="nobody-here"), "true").returncode, 0)
        lab.run_cli("lock", "set", "--principal", "engineer", "--reason", "test", check=True)
        self.assertNotEqual(lab.ssh(who, "true").returncode, 0)
        lab.run_cli("lock", "remove", "--principal", "engineer", check=True)
        self.assertEqual(lab.ssh(who, "echo two").stdout, b"two\n")
        history = json.loads(lab.run_cli("-o", "json", "policy", "check-history", check=True).stdout)
        self.assertGreaterEqual(history["decisions"], 4)
        self.assertEqual((history["differ"], history["not_replayed"]), (0, 0), history)
        narrower = self.draft("narrower", lab.default_policy(channels="shell, sftp"))
        plan = json.loads(lab.run_cli("-o", "json", "plan", "-f", narrower, "--replay", "1d", check=True).stdout)
        commands = [row["command"] for row in plan["differing"]]
        self.assertEqual(commands, ["echo one", "echo two"], plan["differing"])
        self.assertEqual({(row["was"], row["would_be"]) for row in plan["differing"]}, {("allow", "deny")})
        text = lab.run_cli("plan", "-f", narrower, "--replay", "1d", check=True).stdout
        self.assertIn(b"2 differ", text)
        self.assertIn(b"loses exec", text)
        self.assertNotIn(b"not replayed", text)
        # A command of which the event holds the beginning alone cannot be judged again: counted, and said.
        self.assertEqual(lab.ssh(who, ": " + "x" * 17000).returncode, 0)
        self.assertTrue(lab.wait_event("channel.decided", command_truncated=True))
        text = lab.run_cli("plan", "-f", narrower, "--replay", "1d", check=True).stdout
        self.assertIn(b"2 differ", text)
        self.assertIn(b"1 decisions not replayed (without their whole input).", text)
        status, plan = lab.admin("POST", "/v1/plan", {"files": [{"name": "policy.yaml", "content": lab.default_policy(channels="shell, sftp")}], "replay": "1d"})
        self.assertEqual((status, plan["not_replayed"]), (200, 1), plan)

    def test_only_the_plan_that_was_shown_is_applied(self):
        lab = self.lab
        first = self.draft("first", lab.default_policy(channels="shell, exec"))
        second = self.draft("second", lab.default_policy(channels="exec"))
        shown = json.loads(lab.run_cli("-o", "json", "plan", "-f", first, check=True).stdout)["plan"]
        lab.run_cli("apply", "-f", second, check=True)
        late = lab.run_cli("apply", "-f", first, "--plan", shown)
        self.assertEqual(late.returncode, 6, late.stderr)
        self.assertIn(b"not the plan that was shown", late.stderr)
        shown = json.loads(lab.run_cli("-o", "json", "plan", "-f", first, check=True).stdout)["plan"]
        done = json.loads(lab.run_cli("-o", "json", "apply", "-f", first, "--plan", shown, check=True).stdout)
        self.assertTrue(done["applied"])
        again = json.loads(lab.run_cli("-o", "json", "apply", "-f", first, check=True).stdout)
        self.assertEqual((again["applied"], again["no_changes"]), (False, True))

    def test_a_policy_that_fails_its_own_tests_is_refused_with_the_place(self):
        lab = self.lab
        base = lab.default_policy()
        good = base + f"tests:\n  - {{name: she may, who: engineer, target: target1, account: {lab.account}, channel: exec, expect: allow}}\n"
        folder = self.draft("tested", good)
        plan = json.loads(lab.run_cli("-o", "json", "plan", "-f", folder, check=True).stdout)
        self.assertEqual((plan["tests"], plan["rules"], plan["rules_tested"]), (1, 1, 1))
        (folder / "policy.yaml").write_text(good.replace("expect: allow", "expect: deny"))
        refused = lab.run_cli("apply", "-f", folder)
        self.assertEqual(refused.returncode, 2)
        self.assertIn(b"she may", refused.stderr)
        self.assertIn(b"policy.yaml:", refused.stderr)
        idle = base.replace("  - name: administrator\n", f"  - name: unused\n    allow: [{{channels: [shell], targets: all, accounts: [{lab.account}]}}]\n  - name: administrator\n")
        self.assertIn(b"dead: nobody has the role", lab.run_cli("plan", "-f", self.draft("idle", idle), check=True).stdout)

    def test_versions_are_listed_compared_and_taken_back(self):
        lab = self.lab
        lab.apply(lab.default_policy(channels="exec"))
        before = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
        old = json.loads(lab.run_cli("-o", "json", "policy", "list", check=True).stdout)[0]["version"]
        time.sleep(1.1)
        lab.apply(lab.default_policy(channels="exec").replace("  - {role: operator, principals: [engineer]}\n", "  - {role: operator, principals: [approver]}\n"))
        new = json.loads(lab.run_cli("-o", "json", "policy", "list", check=True).stdout)[0]["version"]
        diff = lab.run_cli("policy", "diff", old, new, check=True).stdout
        self.assertIn(b"engineer on target1", diff)
        self.assertIn(b"approver on target1", diff)
        self.assertEqual([row["principal"] for row in json.loads(lab.run_cli("-o", "json", "reach", "target1", check=True).stdout)], ["approver"])
        then = json.loads(lab.run_cli("-o", "json", "reach", "target1", "--at", before, check=True).stdout)
        self.assertEqual([row["principal"] for row in then], ["engineer"])
        self.assertNotEqual(lab.ssh(lab.user(), "true").returncode, 0)
        lab.run_cli("policy", "rollback", old, "--reason", "wrong people", check=True)
        self.assertEqual(lab.ssh(lab.user(), "echo back").stdout, b"back\n")
        self.assertIn("rollback to version", json.loads(lab.run_cli("-o", "json", "policy", "list", check=True).stdout)[0]["reason"])
        lab.run_cli("apply", "-f", lab.folder / "policy", "--reason", "MR 118", check=True)
        self.assertEqual(json.loads(lab.run_cli("-o", "json", "policy", "list", check=True).stdout)[0]["reason"], "MR 118")
        self.assertEqual(lab.run_cli("policy", "show", 999).returncode, 3)

    def test_an_ansible_inventory_becomes_targets(self):
        lab = self.lab
        ca = (lab.folder / "run" / "keys" / "host_ca.pub").read_text().strip()
        listed = {"_meta": {"hostvars": {"web1": {"ansible_host": "192.0.2.1", "ansible_port": 2222, "ansible_user": "deploy"}, "db1": {}, "win": {"ansible_connection": "winrm"}}},
                  "all": {"children": ["web", "db", "ungrouped"]}, "web": {"hosts": ["web1", "win"]}, "db": {"hosts": ["db1"], "vars": {"ansible_user": "postgres"}}}
        (lab.folder / "inventory.json").write_text(json.dumps(listed))
        (lab.folder / "hosts.ini").write_text("[web]\nnode[01:03] ansible_user=deploy ; \n[db]\ndb1 ansible_host=192.0.2.9 ansible_port=22 ansible_user=root\n[prod:children]\nweb\n".replace(" ; ", ""))
        folder = self.draft("fleet", lab.default_policy())
        done = lab.run_cli("target", "import", lab.folder / "inventory.json", "--host-ca", ca, "-f", folder)
        self.assertEqual(done.returncode, 0, done.stderr)
        text = (folder / "inventory.yaml").read_text()
        self.assertIn('address: "192.0.2.1"\n    port: 2222', text)
        self.assertIn("name: postgres", text)
        self.assertNotIn("win", text)
        plan = lab.run_cli("plan", "-f", folder)
        self.assertEqual(plan.returncode, 0, plan.stderr)
        self.assertIn(b"+ target web1", plan.stdout)
        ini = lab.run_cli("target", "import", lab.folder / "hosts.ini", "--host-ca", ca, check=True).stdout.decode()
        self.assertEqual(ini.count("- name: node0"), 3)
        self.assertIn("group_prod", ini)
        # The same again changes nothing; a dry run says what is new, other and gone, and writes nothing.
        again = lab.run_cli("target", "import", "--ansible", lab.folder / "inventory.json", "--host-ca", ca, "-f", folder, check=True).stdout
        self.assertIn(b"nothing to change", again)
        other = dict(listed, db={"hosts": ["db2"]})
        other["_meta"] = {"hostvars": {"web1": {"ansible_host": "192.0.2.7", "ansible_user": "deploy"}, "db2": {"ansible_user": "postgres"}, "win": {"ansible_connection": "winrm"}}}
        (lab.folder / "later.json").write_text(json.dumps(other))
        tried = lab.run_cli("target", "import", "--ansible", lab.folder / "later.json", "--host-ca", ca, "-f", folder, "--dry-run", check=True).stdout
        self.assertEqual(tried.decode().splitlines()[:3], ["+ db2", "~ web1", "- db1"])
        self.assertEqual((folder / "inventory.yaml").read_text(), text)
        # A static YAML inventory, and the same one through the real ansible-inventory, are the same targets.
        (lab.folder / "hosts.yaml").write_text("---\nall:\n  vars: {ansible_user: deploy}\n  hosts:\n    lone.example:\n  children:\n    web:\n      hosts:\n        node[1:3].example: {ansible_port: 2022}\n"
                                               "        win: {ansible_connection: winrm}\n    prod:\n      children: {web: {}}\n      vars: {ansible_user: ops}\n")
        static = lab.run_cli("target", "import", "--ansible", lab.folder / "hosts.yaml", "--host-ca", ca, check=True).stdout.decode()
        self.assertEqual([line.split()[-1] for line in static.splitlines() if line.startswith("  - name:")], ["lone.example", "node1.example", "node2.example", "node3.example"])
        self.assertEqual(static.count("port: 2022"), 3)
        self.assertIn("group_prod", static)
        if shutil.which("ansible-inventory"):
            env = dict(os.environ, HOME=str(lab.folder), ANSIBLE_LOCAL_TEMP=str(lab.folder / "tmp"), LC_ALL="C.UTF-8")
            real = subprocess.run(["ansible-inventory", "-i", str(lab.folder / "hosts.yaml"), "--list"], capture_output=True, env=env, timeout=120, check=True).stdout
            (lab.folder / "real.json").write_bytes(real)
            listed_by_ansible = lab.run_cli("target", "import", "--ansible", lab.folder / "real.json", "--host-ca", ca, check=True).stdout.decode()
            self.assertEqual(listed_by_ansible, static)
        else:
            print("skip: ansible-inventory is not installed")
        (lab.folder / "bad.yaml").write_text("all:\n  hosts: [a, b]\n")
        self.assertIn(b"line 2", lab.run_cli("target", "import", "--ansible", lab.folder / "bad.yaml", "--host-ca", ca).stderr)
        (lab.folder / "bad.ini").write_text("[web\nx\n")
        self.assertIn(b"line 1", lab.run_cli("target", "import", lab.folder / "bad.ini", "--host-ca", ca).stderr)
        self.assertIn(b"--host-ca", lab.run_cli("target", "import", lab.folder / "hosts.ini").stderr)


class WholeHistory(unittest.TestCase):
    """Channels, files, tunnels and commands: the policy over its own history, and a draft over it, by CLI and by REST."""

    def policy(self, denied="labbreak*", more="", up="up, down"):
        lab = self.lab
        text = lab.default_policy(channels="exec, sftp, tunnel-local", extra_rule=more)
        text = text.replace("files: [{path: /, allow: [up, down, change]}]", f"files: [{{path: {self.home}/out, allow: [{up}]}}]\n        tunnels: [\"127.0.0.1:{self.echo_port}\"]")
        return text.replace("  - name: administrator", f"    guard: [{{deny: [\"{denied}\"]}}]\n  - name: administrator", 1)

    def sftp(self, *lines):
        batch = self.lab.folder / "batch"
        batch.write_text("".join(f"-{line}\n" for line in lines))
        command = ["sftp", *self.lab.ssh_options("engineer"), "-P", str(self.lab.port), "-o", f"User={self.lab.user()}", "-b", str(batch), "127.0.0.1"]
        return subprocess.run(command, capture_output=True, timeout=60)

    def test_the_policy_over_its_own_history_and_a_draft_over_it(self):
        self.echo_port = free_port()
        lab = self.lab = Lab(targets=1)
        self.addCleanup(lab.stop)
        home = self.home = lab.targets[0].home_of(lab.account)
        (lab.folder / "data").write_text("data")
        lab.apply(self.policy())
        self.assertEqual(lab.ssh(lab.user(), "rm -rf out; mkdir out").returncode, 0)
        self.assertEqual(lab.ssh(lab.user(), "echo quiet").stdout, b"quiet\n")
        self.assertIn(b"SP-9", lab.ssh(lab.user(), "labbreak now").stderr)
        self.assertNotEqual(lab.ssh(lab.user(), arguments=["-W", "127.0.0.1:1"]).returncode, 0)
        moved = self.sftp(f"put {lab.folder}/data {home}/out/up", f"get {home}/out/up {lab.folder}/back", f"get /etc/passwd {lab.folder}/stolen", f"put {lab.folder}/data {home}/elsewhere")
        self.assertEqual(((home / "out/up").exists(), (lab.folder / "back").exists(), (lab.folder / "stolen").exists(), (home / "elsewhere").exists()), (True, True, False, False), moved)
        for name, count in (("guard.judged", 1), ("file.opened", 2), ("file.refused", 2), ("channel.closed", 3)):
            # In the journal, from which the past is read: what sessions report gets there within a tenth of a second.
            wait_for(lambda: lab.run_cli("-o", "jsonl", "events").stdout.count(b'"' + name.encode() + b'"') >= count, 20)
        own = json.loads(lab.run_cli("-o", "json", "policy", "check-history", check=True).stdout)
        self.assertEqual((own["differ"], own["not_replayed"]), (0, 0), own)
        self.assertGreaterEqual(own["decisions"], 10)
        draft = self.policy(denied="echo*", up="down")
        status, plan = lab.admin("POST", "/v1/plan", {"files": [{"name": "policy.yaml", "content": draft}], "replay": "1d"})
        self.assertEqual(status, 200, plan)
        self.assertNotIn("replay_problem", plan)
        self.assertTrue(plan["replay_complete"])
        self.assertEqual({(row["act"], row["command"] if row["act"] == "command" else row["path"], row["was"], row["would_be"]) for row in plan["differing"]},
                         {("command", "echo quiet", "allow", "deny"), ("command", "labbreak now", "deny", "allow"), ("write", f"{home}/out/up", "allow", "deny")})
        self.assertIn("3 differ", plan["text"])
        self.assertEqual(lab.admin("POST", "/v1/plan", {"files": [{"name": "policy.yaml", "content": draft}], "replay": "long"})[0], 400)

        # The trace of the engine: every rule with its place, and the first thing that was missing.
        status, why = lab.admin("GET", "/v1/explain?principal=engineer&target=target1&channel=shell")
        self.assertEqual((status, why["allowed"]), (200, False))
        step = why["steps"][0]
        self.assertEqual((step["role"], step["list"], step["index"], step["file"], step["matched"]), ("operator", "allow", 0, "policy.yaml", False))
        self.assertIn("channels:", draft.splitlines()[step["line"] - 1])
        self.assertTrue(step["why_not"] and step["bound_at"].startswith("policy.yaml:"), step)
        text = lab.run_cli("explain", "--as", "engineer", "--target", "target1", "--channel", "shell").stdout.decode()
        self.assertIn(f"policy.yaml:{step['line']}", text)
        self.assertIn(step["why_not"], text)


if __name__ == "__main__":
    unittest.main()
