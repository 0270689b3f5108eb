"""Passwords and groups of a real OpenLDAP: over TLS only, with its certificate verified; stock ssh and the browser's login alike."""
import json, os, pathlib, re, socket, subprocess, sys, threading, time, unittest

from browser import MISSING, Chromium
from lab import BIN, ROOT, Lab, ended, free_port, wait_for

sys.path.insert(0, str(ROOT / "tests/services"))
from over_https import ask, trust
from slapd import BASE, Slapd, group, make_certificate, person, why_not

PEOPLE = {"newcomer": "ldap horse", "member": "ldap mouse", "crowd": "ldap crowd"}


class Listener:
    """Not a directory: keeps what it is sent, and answers as told."""

    def __init__(self, answer=b""):
        self.answer, self.heard = answer, b""
        self.socket = socket.create_server(("127.0.0.1", 0))
        self.port = self.socket.getsockname()[1]
        self.clients = []
        threading.Thread(target=self.serve, daemon=True).start()

    def serve(self):
        while True:
            try:
                client, _ = self.socket.accept()
            except OSError:
                return
            self.clients.append(client)
            threading.Thread(target=self.hear, args=(client,), daemon=True).start()

    def hear(self, client):
        try:
            while data := client.recv(4096):
                self.heard += data
                client.sendall(self.answer)
        except OSError:
            pass

    def stop(self):
        self.socket.close()
        for client in self.clients:
            client.close()


@unittest.skipIf(why_not(), why_not())
class Directory(Chromium, unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.api_port = free_port()
        cls.lab = Lab(targets=1, people=("engineer", "admin", "newcomer", "member", "crowd"), start=False)
        cls.addClassCleanup(cls.lab.stop)
        # newcomer is in `inner`, `inner` in `middle`, `middle` in `outer`; `circle` and `round` hold each other.
        groups = {"inner": [person("newcomer")], "middle": [group("inner")], "outer": [group("middle")], "circle": [person("member"), group("middle")],
                  "nobody": [f"cn=root,{BASE}"]}
        cls.slapd = Slapd(cls.lab.folder / "slapd")
        cls.addClassCleanup(cls.slapd.stop)
        cls.slapd.start(PEOPLE, groups)
        cls.slapd.change("ldapadd", f"dn: {group('round')}\nobjectClass: groupOfNames\ncn: round\nmember: {group('circle')}\n")
        cls.slapd.members("add", "circle", group("round"))
        cls.slapd.change("ldapadd", f"dn: cn=login,ou=posix,{BASE}\nobjectClass: posixGroup\ncn: login\ngidNumber: 7000\nmemberUid: newcomer\n")
        cls.askpass = cls.lab.folder / "askpass"
        cls.askpass.write_text('#!/bin/sh\necho "$1" >>"$ASKED"\nprintf "%s\\n" "$ANSWER"\n')
        cls.askpass.chmod(0o700)
        cls.use()
        cls.lab.policy_text = lambda: cls.policy(cls.lab)
        cls.lab.start()
        subprocess.run([BIN / "sallyport", "--config", cls.lab.folder / "sallyport.yaml", "secret", "put", "directory/bind", "--kind", "password"],
                       input=cls.slapd.bind_password.encode(), check=True, capture_output=True, timeout=60)

    @classmethod
    def use(cls, url=None, ca=None, **more):
        options = {"url": url or cls.slapd.url, "ca_file": ca or cls.slapd.ca, "bind_dn": cls.slapd.bind_dn, "bind_secret": "directory/bind", "users_base": f"ou=people,{BASE}",
                   "groups_base": f"ou=groups,{BASE}", "groups": '["Outer=operators", "circle=drivers", "nobody=admins"]', "refresh": "1s", "timeout": "2s", **more}
        cls.lab.extra_config = (f"admin:\n  listen: [\"127.0.0.1:{cls.api_port}\"]\ndirectory:\n" + "".join(f"  {key}: {value}\n" for key, value in options.items()))

    @classmethod
    def again(cls, *arguments, **options):
        cls.lab.stop_gateway()
        cls.use(*arguments, **options)
        cls.lab.write_config()
        cls.lab.start_gateway()

    @staticmethod
    def policy(lab):
        text = lab.default_policy()
        key = json.dumps(lab.people["newcomer"])
        text = text.replace(f"{{name: newcomer, type: person, keys: [{key}]}}", f"{{name: newcomer, type: person, keys: [{key}], directory: [groups, password]}}")
        key = json.dumps(lab.people["member"])
        text = text.replace(f"{{name: member, type: person, keys: [{key}]}}", "{name: member, type: person, directory: [password]}\n  - {name: ghost, type: person, directory: [password]}")
        key = json.dumps(lab.people["crowd"])
        text = text.replace(f"{{name: crowd, type: person, keys: [{key}]}}", f"{{name: crowd, type: person, keys: [{key}], directory: [groups, password]}}")
        text = text.replace("targets:\n", "groups:\n  - {name: operators}\n  - {name: drivers}\n  - {name: admins}\ntargets:\n", 1)
        text = text.replace("{role: operator, principals: [engineer]}", "{role: operator, principals: [engineer], groups: [operators]}")
        return text.replace("{role: administrator, principals: [admin]}", "{role: administrator, principals: [admin], groups: [admins]}")

    def by_password(self, user, password, *command, method="password", timeout=60):
        asked = self.lab.folder / f"asked-{time.monotonic_ns()}"
        asked.touch()
        environment = {**os.environ, "SSH_ASKPASS": str(self.askpass), "SSH_ASKPASS_REQUIRE": "force", "DISPLAY": "none", "ASKED": str(asked), "ANSWER": password}
        # The first value of an option counts.
        command = self.lab.ssh_command(user, *command, arguments=("-v",), BatchMode="no", PreferredAuthentications=method, NumberOfPasswordPrompts="1", LogLevel="INFO")
        done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, timeout=timeout, env=environment)
        done.asked = asked.read_text()
        return done

    def whoami(self):
        return self.lab.ssh("newcomer", "whoami", identity="newcomer").stdout.decode()

    def until(self, want):
        wait_for(lambda: want(self.whoami()), 20, 0.3)

    @unittest.skipIf(MISSING, MISSING)
    def test_1_the_page_takes_the_directorys_password(self):
        self.open_browser(f"https://127.0.0.1:{self.api_port}")
        self.drive("open", person="newcomer")
        for password, told in (("not hers", "SP-"), (PEOPLE["newcomer"], "Sign out")):
            self.drive("fill", person="newcomer", label="Name", value="newcomer")
            self.drive("fill", person="newcomer", label="Password", value=password)
            self.drive("press", person="newcomer", name="Log in")
            self.drive("see", person="newcomer", text=told)
        self.drive("shot", person="newcomer", name="directory-login")
        self.drive("visit", person="newcomer", path="/targets")
        self.drive("see", person="newcomer", text="target1")  # by the group that the directory puts her in
        self.assertTrue(self.lab.wait_event("auth.succeeded", via="web", principal="newcomer"))

    def test_1_a_password_and_the_groups_of_the_directory_open(self):
        user = self.lab.user(principal="newcomer")
        for method in ("password", "keyboard-interactive"):
            done = self.by_password(user, PEOPLE["newcomer"], "echo", "by-directory", method=method)
            self.assertEqual(done.stdout, b"by-directory\n", done.stderr)
        self.assertEqual({e["factors"] for e in self.lab.wait_event("auth.succeeded", principal="newcomer")}, {"password"})
        # Three groups deep; a group that no setting names counts for nothing.
        self.assertIn("operators (directory)", self.whoami())
        self.assertIn("drivers (directory)", self.whoami())
        self.assertNotIn("admins", self.whoami())
        self.assertEqual(self.lab.ssh(user, "echo by-key", identity="newcomer").stdout, b"by-key\n")
        # The password of the service account was lent for it, which the vault journalled; no password stands anywhere in the clear.
        lent = 0
        for file in pathlib.Path(self.lab.folder / "state").rglob("*"):
            if file.is_file():
                content = file.read_bytes()
                lent += content.count(b"login by the directory")
                for word in (self.slapd.bind_password, PEOPLE["newcomer"]):
                    self.assertNotIn(word.encode(), content, file)
        self.assertGreaterEqual(lent, 2)

    def test_2_wrong_empty_and_crafted_ones_do_not(self):
        for name, wrong in (("newcomer", "ldap mouse"), ("newcomer", ""), ("member", "ldap horse"), ("newcomer", "x" * 1000), ("newcomer", "*"), ("engineer", "ldap horse"), ("stranger", "ldap horse"), ("newcome*", "ldap horse"),
                            ("newcomer)(uid=*", "ldap horse")):
            done = self.by_password(name, wrong, "whoami")
            self.assertNotEqual(done.returncode, 0, (name, wrong))
            self.assertEqual(done.stdout, b"", (name, wrong))
        self.assertTrue(self.lab.wait_event("auth.attempted", principal="newcomer", decision="deny"))

    def test_3_a_group_that_is_lost_ends_what_it_allowed(self):
        self.until(lambda said: "operators (directory)" in said)
        with self.lab.popen(self.lab.user(principal="newcomer"), "echo here; sleep 60", identity="newcomer") as client:
            self.addCleanup(ended, client)
            self.assertEqual(client.stdout.readline(), b"here\n")
            began = time.monotonic()
            self.slapd.members("replace", "outer", f"cn=root,{BASE}")
            client.wait(30)
            self.assertLess(time.monotonic() - began, 30)
            self.assertNotEqual(client.returncode, 0)
        self.assertNotIn("operators", self.whoami())
        self.assertNotEqual(self.lab.ssh(self.lab.user(principal="newcomer"), "true", identity="newcomer").returncode, 0)
        self.assertTrue(self.lab.wait_event("directory.groups_changed", principal="newcomer", groups="drivers"))
        self.slapd.members("replace", "outer", group("middle"))
        self.until(lambda said: "operators (directory)" in said)

    def test_4_the_browser_asks_the_same(self):
        tls = trust(self.lab)
        tls.check_hostname = False
        for password, wanted in (("wrong", 401), ("", 401), (PEOPLE["member"], 200)):
            status, _, text = ask(self.api_port, tls, "POST", "/v1/login", {"user": "member", "password": password})
            self.assertEqual(status, wanted, text)

    def test_5_groups_by_posix_and_by_member_of_and_how_deep(self):
        self.again(groups_by="posix", groups_base=f"ou=posix,{BASE}", groups='["login=operators"]')
        self.until(lambda said: "operators (directory)" in said and "drivers" not in said)
        self.again(groups_by="member-of")
        self.until(lambda said: "operators (directory)" in said and "drivers (directory)" in said)
        self.again(nested="1")  # outer is two steps above inner
        self.until(lambda said: "operators" not in said)
        self.again()
        self.until(lambda said: "operators (directory)" in said)

    def test_5b_referrals_are_not_followed(self):
        trap = Listener()
        self.addCleanup(trap.stop)
        for entry in (f"uid=ghost,ou=people,{BASE}", f"cn=away,ou=groups,{BASE}", f"ou=elsewhere,{BASE}"):
            name, value = entry.split(",")[0].split("=")
            self.slapd.change("ldapadd", f"dn: {entry}\nobjectClass: referral\nobjectClass: extensibleObject\n{name}: {value}\nref: ldap://127.0.0.1:{trap.port}/{entry}\n")
        # Who stands elsewhere is nobody here; the others are found beside the reference.
        self.assertNotEqual(self.by_password("ghost", "ldap ghost", "whoami").returncode, 0)
        self.assertIn(b"member", self.by_password("member", PEOPLE["member"], "whoami").stdout)
        self.assertIn("operators (directory)", self.whoami())
        self.again(groups_base=f"ou=elsewhere,{BASE}")
        wait_for(lambda: any("not followed" in json.dumps(event) for event in self.lab.events("directory.failed")), 20, 0.3)
        self.again()
        self.until(lambda said: "operators (directory)" in said)
        self.assertEqual((trap.clients, trap.heard), ([], b""))

    def test_5c_what_is_too_much_is_no_word_of_the_directory(self):
        # A large group, with a long name, is but one.
        long, below = "x" * 200, f"ou=groups,{BASE}"
        for letter in "abcd":
            below = f"ou={letter * 200},{below}"
            self.slapd.change("ldapadd", f"dn: {below}\nobjectClass: organizationalUnit\nou: {letter * 200}\n")
        everybody = "".join(f"member: uid=nobody{i},ou=people,{BASE}\n" for i in range(2000)) + f"member: {person('newcomer')}\n"
        self.slapd.change("ldapadd", f"dn: {group('large')}\nobjectClass: groupOfNames\ncn: large\n{everybody}\ndn: cn={long},{below}\nobjectClass: groupOfNames\ncn: {long}\nmember: {person('newcomer')}\n")
        self.again(groups=f'["large=drivers", "{long}=operators"]')
        self.until(lambda said: "operators (directory)" in said and "drivers (directory)" in said)
        # More groups than are read: not the first thousand of them, but no answer. What was known before counts on for who has a key.
        self.slapd.members("add", "outer", person("crowd"))
        self.again()
        user = self.lab.user(principal="crowd")
        self.assertEqual(self.by_password(user, PEOPLE["crowd"], "echo", "before").stdout, b"before\n")
        many = "".join(f"dn: {group(f'g{i}')}\nobjectClass: groupOfNames\ncn: g{i}\nmember: {person('crowd')}\n\n" for i in range(1010))
        self.slapd.change("ldapadd", many)
        for by, said in (("member", "Size limit"), ("member-of", "1000 groups or more")):
            self.again(groups_by=by)
            refused = self.by_password(user, PEOPLE["crowd"], "whoami", method="keyboard-interactive")
            self.assertIn(b"SP-9320", refused.stderr + refused.stdout)
            wait_for(lambda: any(said.lower() in json.dumps(event).lower() for event in self.lab.events("directory.failed")), 20, 0.3)
            self.assertEqual(self.lab.ssh(user, "echo by-key", identity="crowd").stdout, b"by-key\n", by)
        # Nobody else waits for her: the others' groups are still learnt.
        self.slapd.members("delete", "outer", group("middle"))
        self.until(lambda said: "operators" not in said)
        self.slapd.members("add", "outer", group("middle"))
        self.again()
        self.until(lambda said: "operators (directory)" in said)

    def test_6_start_tls_works_and_what_cannot_be_trusted_hears_no_password(self):
        password = PEOPLE["member"]
        self.again(self.slapd.start_tls_url)
        self.assertIn(b"member", self.by_password("member", password, "whoami").stdout)
        # One that does not do StartTLS: an extended response that says so.
        refuses = Listener(bytes.fromhex("300c02010178070a0102 0400 0400".replace(" ", "")))
        self.addCleanup(refuses.stop)
        self.again(f"ldap://127.0.0.1:{refuses.port}")
        done = self.by_password("member", password, "whoami", method="keyboard-interactive")
        self.assertNotEqual(done.returncode, 0)
        self.assertIn(b"SP-9320", done.stderr + done.stdout)
        self.assertIn(b"1.3.6.1.4.1.1466.20037", refuses.heard)
        for secret in (password, self.slapd.bind_password, self.slapd.bind_dn):
            self.assertNotIn(secret.encode(), refuses.heard)
        self.assertTrue(self.lab.wait_event("directory.failed", principal="member", code="SP-9320"))
        # The certificate of another CA, and one of another name.
        other = self.lab.folder / "other"
        other.mkdir()
        make_certificate(other, "localhost")
        self.again(ca=other / "ca.pem")
        self.assertNotEqual(self.by_password("member", password, "whoami").returncode, 0)
        elsewhere = Slapd(self.lab.folder / "elsewhere", "directory.example")
        self.addCleanup(elsewhere.stop)
        elsewhere.start(PEOPLE, {})
        self.again(elsewhere.url, elsewhere.ca)
        self.assertNotEqual(self.by_password("member", password, "whoami").returncode, 0)

    def test_7_a_directory_that_is_away_or_silent_stops_nobody_else(self):
        silent = Listener()
        self.addCleanup(silent.stop)
        self.again(f"ldaps://127.0.0.1:{silent.port}")
        waiting = threading.Thread(target=self.by_password, args=("member", PEOPLE["member"], "whoami"))
        waiting.start()
        self.assertEqual(self.lab.ssh(self.lab.user(), "echo key").stdout, b"key\n")
        waiting.join(60)
        self.assertFalse(waiting.is_alive())
        self.again()
        self.until(lambda said: "operators (directory)" in said)
        self.slapd.stop()
        done = self.by_password("member", PEOPLE["member"], "whoami", method="keyboard-interactive")
        self.assertNotEqual(done.returncode, 0)
        self.assertIn(b"SP-9320", done.stderr + done.stdout)
        # What it said last counts on, for whoever has a key.
        self.assertEqual(self.lab.ssh(self.lab.user(principal="newcomer"), "echo key", identity="newcomer").stdout, b"key\n")
        self.assertFalse([e for e in self.lab.events("auth.attempted") if e.get("reason") == "wrong password" and e["sequence"] > done_at(self.lab)])
        self.slapd.begin()
        self.assertTrue(self.lab.wait_event("directory.recovered", 20))
        self.assertIn(b"member", self.by_password("member", PEOPLE["member"], "whoami").stdout)

    def test_8_settings_that_are_wrong_are_named(self):
        good = self.lab.extra_config
        self.addCleanup(setattr, self.lab, "extra_config", good)
        for wrong, named in (({"url": "http://x"}, "directory.url"), ({"users_base": "people"}, "directory.users_base"), ({"bind_secret": '""'}, "directory.bind_secret"), ({"groups": '["outer"]'}, "directory.groups"),
                             ({"user_filter": "objectClass=person"}, "directory.user_filter"), ({"groups_last": "1s"}, "directory.groups_last")):
            self.use(**wrong)
            file = self.lab.folder / "wrong.yaml"
            file.write_text((self.lab.folder / "sallyport.yaml").read_text().split("admin:")[0] + self.lab.extra_config)
            done = subprocess.run([BIN / "sallyport", "--config", file, "config", "check"], capture_output=True, timeout=30, stdin=subprocess.DEVNULL)
            self.assertEqual(done.returncode, 2, done.stderr)
            self.assertRegex((done.stderr + done.stdout).decode(), rf"wrong.yaml:\d+:\d+: `{re.escape(named)}`")
        doctor = json.loads(self.lab.run_cli("-o", "json", "doctor").stdout)
        rows = {row["check"]: row["result"] for row in (doctor if isinstance(doctor, list) else doctor.get("rows", doctor.get("items")))}
        self.assertEqual(rows["directory"], "ok")


def done_at(lab):
    return max(int(e["sequence"]) for e in lab.events("directory.failed"))


if __name__ == "__main__":
    unittest.main(verbosity=2)
