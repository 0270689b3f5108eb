"""The policy as resources of the REST API: every kind made, read, changed and taken away; states, pages, four eyes, secrets that are read."""
import json, threading, unittest, urllib.parse

from lab import Lab, free_port, wait_for
from over_https import ask, trust


HOST_KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIGO3vw9ipin6pgGtk1TT9Zrxvv1t8xpevk+qLAGqHFmZ"


class PolicyResources(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.port = free_port()
        cls.lab = Lab(targets=1, people=("engineer", "approver", "admin", "auditor"), policy=None, start=False,
                      config=f"admin:\n  listen: [\"127.0.0.1:{cls.port}\"]\n  requests_per_minute: 100000\n")
        cls.lab.policy_text = lambda: "# Written by hand: keep this line.\n" + cls.lab.default_policy().replace(
            "admin: [policy, lock, audit, view, secret]", "admin: [policy, lock, audit, view, secret, approve, reveal]")
        cls.lab.start()
        cls.tls = trust(cls.lab)
        cls.tokens = {name: json.loads(cls.lab.run_cli("-o", "json", "token", "create", "--for", name, "--name", "test", check=True).stdout)["token"] for name in ("admin", "approver", "auditor")}

    @classmethod
    def tearDownClass(cls):
        cls.lab.stop()

    def call(self, method, path, body=None, who="admin", **headers):
        status, answered, text = ask(self.port, self.tls, method, path, body, Authorization="Bearer " + self.tokens[who], **headers)
        return status, json.loads(text) if text else None, answered

    def good(self, method, path, body=None, status=200, **headers):
        got, value, answer_headers = self.call(method, path, body, **headers)
        self.assertEqual(got, status, (method, path, value))
        return value, answer_headers

    def versions(self):
        return self.good("GET", "/v1/policy")[0]["versions"]

    def test_a_whole_access_is_made_by_rest_alone_and_taken_away(self):
        lab, good = self.lab, self.good
        who = lab.user(principal="auditor")
        self.assertNotEqual(lab.ssh(who, "true", identity="auditor").returncode, 0)
        before = self.versions()[0]["version"]
        good("POST", "/v1/groups", {"definition": {"name": "visitors", "members": ["auditor"]}, "reason": "INC-7"}, 201)
        role = {"name": "visit", "allow": [{"channels": ["exec"], "targets": {"names": ["target1"]}, "accounts": [lab.account]}]}
        made, headers = good("POST", "/v1/roles", {"definition": role, "reason": "INC-7"}, 201, Idempotency_Key="r1")
        again, _ = good("POST", "/v1/roles", {"definition": role, "reason": "INC-7"}, 201, Idempotency_Key="r1")
        self.assertEqual(again, made)
        self.assertTrue(made["applied"])
        self.assertEqual(self.call("POST", "/v1/roles", {"definition": role})[0], 409)
        self.assertEqual(headers["ETag"], good("GET", "/v1/roles/visit")[1]["ETag"])
        # A change that is only tried says what it would do and does nothing.
        bound = {"definition": {"role": "visit", "groups": ["visitors"]}, "reason": "INC-7"}
        tried, _ = good("PUT", "/v1/bindings/visitors-visit?dry_run=true", bound, 201)
        self.assertTrue(tried["dry_run"])
        self.assertEqual([row["principal"] for row in tried["access"]], ["auditor"])
        self.assertIn("exec", tried["access"][0]["gains"])
        self.assertNotEqual(lab.ssh(who, "true", identity="auditor").returncode, 0)
        good("PUT", "/v1/bindings/visitors-visit", bound, 201)
        self.assertEqual(lab.ssh(who, "echo in", identity="auditor").stdout, b"in\n")
        version = self.versions()[0]
        self.assertEqual((version["version"], version["by"], version["reason"]), (before + 3, "admin", "INC-7"))
        # The binding has the id that it was made with; what it says may change.
        value, headers = good("GET", "/v1/bindings/visitors-visit")
        self.assertEqual(value["definition"], {"name": "visitors-visit", "role": "visit", "groups": ["visitors"]})
        self.assertEqual(self.call("PUT", "/v1/bindings/visitors-visit", bound)[0], 428)
        self.assertEqual(self.call("PUT", "/v1/bindings/visitors-visit", bound, If_Match='"other"')[0], 412)
        self.assertEqual(self.call("PUT", "/v1/bindings/elsewhere", bound, If_Match="*")[0], 412)
        narrowed = {"definition": {"role": "visit", "principals": ["approver"]}}
        _, later = good("PUT", "/v1/bindings/visitors-visit", narrowed, If_Match=headers["ETag"])
        self.assertEqual(self.call("PUT", "/v1/bindings/visitors-visit", narrowed, If_Match=headers["ETag"])[0], 412)
        self.assertNotEqual(lab.ssh(who, "true", identity="auditor").returncode, 0)
        # What others lean on does not go, and the answer says where they stand.
        status, problem, _ = self.call("DELETE", "/v1/roles/visit", If_Match="*")
        self.assertEqual((status, problem["code"]), (400, "SP-7001"))
        self.assertIn("visit", problem["errors"][0]["message"])
        good("DELETE", "/v1/bindings/visitors-visit", None, If_Match=later["ETag"])
        good("DELETE", "/v1/roles/visit", {"reason": "over"}, If_Match="*")
        good("DELETE", "/v1/groups/visitors", None, If_Match="*")
        self.assertEqual(self.call("GET", "/v1/groups/visitors")[0], 404)
        files = good("GET", f"/v1/policy/{self.versions()[0]['version']}")[0]["files"]
        self.assertTrue(any(file["content"].startswith("# Written by hand: keep this line.\n") for file in files))

    def test_every_kind_and_the_parts_of_a_definition(self):
        lab, good = self.lab, self.good
        good("PUT", "/v1/principals/cyd", {"definition": {"type": "person", "display": "Cyd: of \"elsewhere\"\n"}}, 201)
        self.assertEqual(good("GET", "/v1/principals/cyd")[0]["display"], "Cyd: of \"elsewhere\"\n")
        good("POST", "/v1/targets", {"definition": {"name": "spare", "address": "192.0.2.9", "host_keys": [HOST_KEY], "labels": {"env": "none", "yes": "no"}, "accounts": [{"name": "root"}]}}, 201)
        good("PUT", "/v1/accounts/deploy@spare", {"definition": {"credentials": [{"password": "targets/spare"}]}}, 201)
        good("PUT", "/v1/accounts/root@spare", {"definition": {"credentials": ["certificate"]}}, If_Match="*")
        good("DELETE", "/v1/accounts/root@spare", None, If_Match="*")
        target = good("GET", "/v1/targets/spare")[0]
        self.assertEqual(target["accounts"], ["deploy"])
        self.assertEqual(target["labels"], {"env": "none", "yes": "no"})
        self.assertEqual(target["definition"]["accounts"], [{"name": "deploy", "credentials": [{"password": "targets/spare"}]}])
        self.assertEqual(self.call("PUT", "/v1/accounts/deploy@nowhere", {"definition": {}})[0], 404)
        guard = {"guard": [{"packs": ["destructive"], "deny": ["labbreak*"]}]}
        good("PUT", "/v1/guard-rules/operator", {"definition": guard}, 201)
        done = lab.ssh(lab.user(), "labbreak now")
        self.assertIn(b"SP-9", done.stderr)
        self.assertEqual(good("GET", "/v1/guard-rules/operator")[0]["definition"], guard)
        self.assertEqual(lab.ssh(lab.user(), "echo fine").stdout, b"fine\n")
        good("DELETE", "/v1/guard-rules/operator", None, If_Match="*")
        self.assertNotIn(b"SP-9", lab.ssh(lab.user(), "labbreak now").stderr)
        rows = good("GET", "/v1/certificate-authorities")[0]["certificate-authorities"]
        own = [row for row in rows if row["id"] == "gateway/users"]
        good("POST", "/v1/certificate-authorities", {"definition": {"name": "partner", "key": own[0]["key"]}}, 201)
        self.assertEqual(good("GET", "/v1/certificate-authorities/partner")[0]["definition"]["key"], own[0]["key"])
        good("DELETE", "/v1/certificate-authorities/partner", None, If_Match="*")
        for kind, name in (("targets", "spare"), ("principals", "cyd")):
            good("DELETE", f"/v1/{kind}/{name}", None, If_Match="*")

    def test_a_wrong_definition_is_refused_with_its_place_and_nothing_is_applied(self):
        before = self.versions()[0]["version"]
        for kind, definition, pointer in (
                ("principals", {"name": "x", "colour": "red"}, "/definition/colour"),
                ("principals", {"name": "X Y"}, "/definition/name"),
                ("targets", {"name": "x", "address": "not a host!", "port": 70000}, "/definition/port"),
                ("roles", {"name": "x", "allow": [{"channels": ["shel"], "targets": "all", "accounts": ["*"]}]}, "/definition/allow/0/channels/0"),
                ("roles", {"name": "x", "admin": ["everything"]}, "/definition/admin/0"),
                ("bindings", {"name": "x", "role": "nobody-has-this", "principals": ["admin"]}, "/definition/role"),
                ("groups", {"name": "x", "members": [None]}, "/definition/members/0")):
            status, problem, _ = self.call("POST", f"/v1/{kind}", {"definition": definition})
            self.assertEqual((status, problem["code"]), (400, "SP-7001"), (kind, problem))
            self.assertIn(pointer, [error["pointer"] for error in problem["errors"]])
        self.assertEqual(self.call("POST", "/v1/groups", {"definition": {}})[1]["errors"][0]["pointer"], "/definition/name")
        self.assertEqual(self.call("PUT", "/v1/groups/a", {"definition": {"name": "b"}})[1]["errors"][0]["pointer"], "/definition/name")
        self.assertEqual(self.call("PUT", "/v1/groups/a", {"definition": {}}, who="auditor")[0], 403)
        refused = self.lab.wait_event("api.refused", principal="auditor")[-1]
        self.assertEqual((refused["call"], refused["decision"], refused["code"]), ("PUT /v1/groups/a", "deny", "SP-7003"))
        self.assertEqual(self.versions()[0]["version"], before)

    def test_edits_at_the_same_time_conflict_or_both_stand(self):
        names = [f"p{i}" for i in range(12)]
        results = {}

        def make(name):
            results[name] = self.call("PUT", f"/v1/principals/{name}", {"definition": {}})[0]
        threads = [threading.Thread(target=make, args=(name,)) for name in names]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        self.assertLessEqual(set(results.values()), {201, 409}, results)
        self.assertIn(201, results.values())
        there = {row["name"] for row in self.good("GET", "/v1/principals")[0]["principals"]}
        self.assertEqual({name for name in names if results[name] == 201}, there & set(names))

    def test_lists_come_in_pages(self):
        for name in ("zz1", "zz2", "zz3"):
            self.call("PUT", f"/v1/groups/{name}", {"definition": {}})
        whole = [row["id"] for row in self.good("GET", "/v1/principals")[0]["principals"]]
        seen, cursor = [], ""
        while True:
            page = self.good("GET", "/v1/principals?limit=2" + (f"&cursor={cursor}" if cursor else ""))[0]
            self.assertLessEqual(len(page["principals"]), 2)
            seen += [row["id"] for row in page["principals"]]
            cursor = urllib.parse.quote(page["next"])
            if not cursor:
                break
        self.assertEqual(seen, whole)
        self.assertEqual(whole, sorted(whole))
        for kind in ("groups", "targets", "roles", "bindings", "accounts", "locks", "tokens", "secrets", "policy", "nodes", "checkpoints"):
            self.assertIn("next", self.good("GET", f"/v1/{kind}?limit=1")[0], kind)
        self.assertEqual(self.call("GET", "/v1/roles?cursor=*")[0], 400)
        self.assertEqual(self.call("GET", "/v1/roles?limit=0")[0], 400)

    def test_a_value_is_read_by_its_own_right_with_a_reason(self):
        self.good("PUT", "/v1/secrets/db/root", {"value": "open sesame"})
        self.assertEqual(self.call("POST", "/v1/secrets/db/root/value", {})[0], 400)
        self.assertEqual(self.call("POST", "/v1/secrets/db/root/value", {"reason": ""})[1]["code"], "SP-7005")
        self.assertEqual(self.call("POST", "/v1/secrets/db/root/value", {"reason": "INC-8"}, who="auditor")[0], 403)
        self.assertEqual(self.call("POST", "/v1/secrets/db/none/value", {"reason": "INC-8"})[0], 404)
        value, headers = self.good("POST", "/v1/secrets/db/root/value", {"reason": "INC-8"}, Idempotency_Key="v1")
        self.assertEqual((value["value"], headers["Cache-Control"]), ("open sesame", "no-store"))
        self.assertEqual(self.call("POST", "/v1/secrets/db/root/value", {"reason": "INC-8"}, Idempotency_Key="v1")[0], 409)
        read = self.lab.wait_event("secret.value_read", secret="db/root")[0]
        self.assertEqual((read["principal"], read["reason"]), ("admin", "INC-8"))
        # The vault itself wrote the lease down, before it gave the value, and its end.
        def leases():
            lines = [line for name in ("lease.started", "lease.ended") for line in self.lab.run_cli("-o", "jsonl", "events", "--name", name).stdout.splitlines()]
            return [line for line in lines if b"reading" in line and b"db/root" in line]
        wait_for(lambda: len(leases()) == 2, 20)
        self.assertNotIn("open sesame", json.dumps(self.lab.events()))
        self.assertEqual(self.good("GET", "/v1/secrets/db/root")[0].get("value"), None)
        self.good("PUT", "/v1/secrets/db/key", {"kind": "ssh-key", "generate": True})
        self.assertGreaterEqual(self.call("POST", "/v1/secrets/db/key/value", {"reason": "INC-8"})[0], 400)

    def test_health_nodes_and_checkpoints(self):
        health = self.good("GET", "/v1/health")[0]
        self.assertTrue(health["ready"])
        self.assertEqual({check["name"] for check in health["checks"]}, {"recorder", "vault", "policy", "database", "trouble"})
        node = self.good("GET", "/v1/nodes")[0]["nodes"][0]
        self.assertEqual(self.good("GET", "/v1/nodes/" + node["id"])[0]["health"]["state"], "serving")
        wait_for(lambda: self.good("GET", "/v1/checkpoints")[0]["checkpoints"], 20)
        newest = self.good("GET", "/v1/checkpoints")[0]["checkpoints"][0]
        self.assertTrue(newest["size"].isdigit() and newest["root"] and "\u2014" in newest["note"], newest)


class FourEyes(unittest.TestCase):
    def test_a_change_waits_for_another_person_who_saw_exactly_it(self):
        port = free_port()
        lab = Lab(targets=1, people=("engineer", "approver", "admin"), policy=None, start=False,
                  config=f"admin:\n  listen: [\"127.0.0.1:{port}\"]\n  policy_four_eyes: true\n  requests_per_minute: 100000\n")
        self.addCleanup(lab.stop)

        def policy():
            text = lab.default_policy().replace("admin: [policy, lock, audit, view, secret]", "admin: [policy, audit, approve]\n  - {name: second, admin: [approve, audit]}")
            return text.replace("bindings:\n", "bindings:\n  - {role: second, principals: [approver]}\n")
        lab.policy_text = policy
        lab.start()
        self.lab, self.port = lab, port
        self.tls = trust(lab)
        self.tokens = {name: json.loads(lab.run_cli("-o", "json", "token", "create", "--for", name, "--name", "test", check=True).stdout)["token"] for name in ("admin", "approver")}
        call = lambda *given, **named: PolicyResources.call(self, *given, **named)
        wanted = {"definition": {"members": ["engineer"]}, "reason": "INC-9"}
        status, waiting, _ = call("PUT", "/v1/groups/new", wanted)
        self.assertEqual((status, waiting["applied"]), (202, False), waiting)
        self.assertEqual(call("PUT", "/v1/groups/new", wanted)[1]["request"], waiting["request"])
        self.assertEqual(call("GET", "/v1/groups/new")[0], 404)
        request = "/v1/requests/" + waiting["request"]
        shown = call("GET", request, who="approver")[1]
        self.assertEqual((shown["kind"], shown["principal"]), ("policy", "admin"))
        self.assertIn("+ group new", shown["text"])
        self.assertEqual(call("POST", request + "/approve", {})[0], 403)  # nobody approves herself
        self.assertTrue(lab.wait_event("request.decision_refused", code="SP-9205"))
        self.assertEqual(call("POST", request + "/approve", {"reason": "seen"}, who="approver")[0], 200)
        # Another change than the approved one waits anew.
        self.assertEqual(call("PUT", "/v1/groups/other", wanted)[0], 202)
        status, applied, _ = call("PUT", "/v1/groups/new", wanted)
        self.assertEqual((status, applied["applied"]), (201, True), applied)
        self.assertEqual(call("GET", "/v1/groups/new")[0], 200)
        # Used once: the same again is a change of nothing; another one waits.
        self.assertEqual(call("DELETE", "/v1/groups/new", None, If_Match="*")[0], 202)
        folder = lab.folder / "draft"
        folder.mkdir()
        (folder / "policy.yaml").write_text(policy() + "groups: [{name: by-cli}]\n")
        done = lab.run_cli("apply", "-f", folder)
        self.assertIn(b"waiting for another person's approval", done.stdout)
        self.assertEqual(call("GET", "/v1/groups/by-cli")[0], 404)


if __name__ == "__main__":
    unittest.main()
