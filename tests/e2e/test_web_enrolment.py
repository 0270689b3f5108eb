"""Invites, ssh keys and one-time codes over HTTPS: what the page does in a real Chromium, and what nobody's page would send."""
import base64, json, pathlib, re, shutil, subprocess, time, unittest, urllib.parse

from browser import MISSING, Browser
from lab import Lab, free_port, wait_for
from over_https import AsBrowser, trust
from test_login import argon2id, totp

PASSWORD = "correct horse"


def with_people(lab, hashed):
    text = lab.default_policy()
    text = re.sub(r"  - \{name: newcomer, type: person, keys: \[[^]]*\]\}", "  - {name: newcomer, display: New Comer, type: person, enrol: [keys, totp]}\n  - {name: second, type: person, enrol: [keys]}\n"
                  "  - {name: third, type: person, enrol: [keys, totp]}", text)
    text = text.replace("{name: engineer, type: person,", f"{{name: engineer, type: person, password: \"{hashed}\", enrol: [keys, totp],")
    text = text.replace("{name: admin, type: person,", f"{{name: admin, type: person, password: \"{hashed}\",")
    return text.replace("principals: [engineer]", "principals: [engineer, newcomer, second]")


def start_lab(suite, port, origin, more):
    lab = Lab(targets=1, people=("engineer", "admin", "newcomer"), config=f"admin:\n  listen: [\"127.0.0.1:{port}\"]\n  origin: {origin}\n{more}", start=False)
    suite.addClassCleanup(lab.stop)
    for name in ("laptop", "phone"):  # keys of nobody yet
        lab.add_key(name)
        del lab.people[name]
    hashed = argon2id(PASSWORD.encode())
    lab.policy_text = lambda: with_people(lab, hashed)
    lab.start()
    return lab


def seed_of(uri):
    return base64.b32decode(urllib.parse.parse_qs(urllib.parse.urlparse(uri).query)["secret"][0])


class Codes:
    """Each step is taken once: the next one counts as well, after that the clock has to go on."""

    def __init__(self):
        self.steps = {}

    def __call__(self, seed):
        last = self.steps.get(seed, 0)
        wait_for(lambda: int(time.time()) // 30 + 1 > last, 65, 0.5)
        self.steps[seed] = max(int(time.time()) // 30, last + 1)
        return totp(seed, self.steps[seed])


class OverHttps(AsBrowser, unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.port = free_port()
        cls.origin = f"https://localhost:{cls.port}"
        cls.lab = start_lab(cls, cls.port, cls.origin, "  web_fresh: 8s\n  requests_per_minute: 1000\n")
        cls.tls = trust(cls.lab)
        cls.code = Codes()

    def invite(self, name, *more):
        return json.loads(self.lab.run_cli("-o", "json", "principal", "invite", name, *more, check=True).stdout)

    def public_key(self, name):
        return (self.lab.folder / f"id_{name}.pub").read_text().strip()

    def look(self, code, path="/v1/invited", **more):
        return self.call("POST", path, {"code": code, **more})

    def said(self, answer):
        """What a caller can tell refusals apart by."""
        status, headers, body = answer
        return status, headers["Content-Type"], headers["Cache-Control"], {key: value for key, value in body.items() if key not in ("request", "instance")}

    def test_1_an_invite_is_used_once_and_every_bad_code_gets_the_same_answer(self):
        made = self.invite("newcomer")
        code = made["code"]
        self.assertEqual(made["link"], f"{self.origin}/invited#{code}")
        unknown = self.said(self.look("invite-aaaaa-aaaaa-aaaaa-aaaaa"))
        self.assertEqual((unknown[0], unknown[3]["code"]), (401, "SP-9306"))
        self.assertEqual(self.said(self.look("no code")), unknown)
        expiring = self.invite("second", "--for", "1s")["code"]
        self.assertEqual(self.look(expiring)[2]["principal"], "second")
        status, headers, welcome = self.look(code)
        self.assertEqual((status, headers["Cache-Control"]), (200, "no-store"), welcome)
        self.assertEqual({key: welcome[key] for key in ("principal", "display", "keys", "one_time_code")}, {"principal": "newcomer", "display": "New Comer", "keys": True, "one_time_code": True})
        shown = self.look(code, "/v1/invited/one-time-code")[2]
        self.assertEqual(self.look(code, "/v1/invited/one-time-code")[2], shown)
        self.assertEqual({len(row) for row in shown["qr"]}, {len(shown["qr"])})
        seed = seed_of(shown["uri"])
        key = self.public_key("laptop")
        wait_for(lambda: not [row for row in json.loads(self.lab.run_cli("-o", "json", "principal", "invites", check=True).stdout) if row["principal"] == "second"], 10, 0.2)
        for path in ("/v1/invited", "/v1/invited/one-time-code", "/v1/invited/enrol"):
            self.assertEqual(self.said(self.look(expiring, path)), unknown)
        # What is brought is judged: a wrong code, no code, no key at all, a key with options, somebody's key.
        for status, wanted, more in ((403, "SP-9305", {"public_key": key, "one_time_code": "000000"}), (403, "SP-9305", {"public_key": key}), (403, "SP-9305", {}),
                                     (400, "SP-7001", {"public_key": "ssh-ed25519 AAAA", "one_time_code": self.code(seed)}), (400, "SP-7001", {"public_key": "command=\"x\" " + key}),
                                     (409, "SP-7004", {"public_key": self.public_key("admin")})):
            answer = self.look(code, "/v1/invited/enrol", **more)
            self.assertEqual((answer[0], answer[2]["code"]), (status, wanted), (more, answer[2]))
        status, headers, done = self.look(code, "/v1/invited/enrol", public_key=key, one_time_code=self.code(seed))
        self.assertEqual((status, headers["Cache-Control"], len(done["recovery_codes"])), (200, "no-store", 10), done)
        for path in ("/v1/invited", "/v1/invited/one-time-code", "/v1/invited/enrol"):
            self.assertEqual(self.said(self.look(code, path)), unknown, "used")
        who = self.lab.ssh("newcomer", "whoami", identity="laptop")
        self.assertEqual(who.returncode, 0, who.stderr)
        event = self.lab.wait_event("enrolment.completed", principal="newcomer")[0]
        self.assertEqual((event["totp"], event["recovery_codes"], event["session"]), (True, 10, "web"))
        refused = self.lab.wait_event("auth.attempted", via="web", method="invite", decision="deny", code="SP-9306")
        self.assertTrue(refused[0]["source"])
        for file in pathlib.Path(self.lab.folder / "state").rglob("*"):
            if file.is_file():
                self.assertNotIn(code.encode(), file.read_bytes(), file)
        # Somebody who is locked is told nothing either.
        locked = self.invite("second")["code"]
        self.lab.run_cli("lock", "set", "--principal", "second", "--reason", "test", check=True)
        self.assertEqual(self.said(self.look(locked)), unknown)

    def test_2_wrong_codes_end_it_and_other_sites_do_not_use_it(self):
        code = self.invite("third")["code"]
        elsewhere = self.call("POST", "/v1/invited", {"code": code}, Origin="https://evil.example")
        self.assertEqual((elsewhere[0], elsewhere[2]["code"]), (403, "SP-9302"))
        elsewhere = self.call("POST", "/v1/invited/enrol", {"code": code}, Sec_Fetch_Site="cross-site")
        self.assertEqual((elsewhere[0], elsewhere[2]["code"]), (403, "SP-9302"))
        local = subprocess.run(["curl", "-s", "--unix-socket", self.lab.folder / "run/admin.sock", "-H", "Content-Type: application/json", "-d", json.dumps({"code": code}), "http://localhost/v1/invited"],
                               capture_output=True, timeout=30)
        self.assertIn(b"SP-7001", local.stdout, local)
        self.assertEqual(self.look(code, "/v1/invited/enrol", one_time_code="123456")[2]["code"], "SP-9305", "nothing was shown yet")
        self.look(code, "/v1/invited/one-time-code")
        said = [self.look(code, "/v1/invited/enrol", one_time_code="000000")[2]["code"] for _ in range(5)]
        self.assertEqual(said, ["SP-9305"] * 4 + ["SP-9306"])
        self.assertEqual(self.look(code)[2]["code"], "SP-9306")
        self.assertTrue(self.lab.wait_event("invite.exhausted", principal="third"))

    def test_3_keys_and_codes_are_changed_with_a_fresh_factor_only(self):
        status, headers, body = self.call("POST", "/v1/login", {"user": "engineer", "password": PASSWORD})
        self.assertEqual((status, body["state"]), (200, "done"), body)
        session = headers["Set-Cookie"].split(";")[0], body["csrf"]
        key = self.public_key("phone")
        forged = self.call("POST", "/v1/own-keys", {"public_key": key}, (session[0], "0" * len(session[1])))
        self.assertEqual((forged[0], forged[2]["code"]), (403, "SP-9302"))
        tried = self.call("POST", "/v1/own-keys?dry_run=true", {"public_key": key}, session)
        self.assertEqual((tried[0], tried[2]["dry_run"]), (201, True), tried[2])
        self.assertEqual(self.call("GET", "/v1/own-keys", None, session)[2]["items"], [])
        added = self.call("POST", "/v1/own-keys", {"public_key": key}, session)
        self.assertEqual(added[0], 201, added[2])
        again = self.call("POST", "/v1/own-keys", {"public_key": key}, session)
        self.assertEqual((again[0], again[2]["code"]), (409, "SP-7004"))
        rows = self.call("GET", "/v1/own-keys", None, session)[2]
        self.assertEqual([row["fingerprint"] for row in rows["items"]], [added[2]["fingerprint"]])
        self.assertEqual(len(rows["in_policy"]), 1)
        self.assertEqual(self.lab.ssh("engineer", "whoami", identity="phone").returncode, 0)
        # Its answer held recovery codes: the same Idempotency-Key is not answered with them again.
        shown = self.call("POST", "/v1/one-time-code", None, session, Idempotency_Key="one")
        self.assertEqual(shown[0], 201, shown[2])
        self.assertEqual(self.call("POST", "/v1/one-time-code", None, session, Idempotency_Key="one")[0], 409)
        place = "/v1/own-keys/" + rows["items"][0]["id"]
        self.assertEqual(self.call("DELETE", place, None, session)[0], 428)
        etag = self.call("GET", place, None, session)[1]["ETag"]
        time.sleep(8.5)
        for method, path, body in (("POST", "/v1/own-keys", {"public_key": key}), ("POST", "/v1/one-time-code", None), ("POST", "/v1/one-time-code/confirm", {"code": "000000"}), ("POST", "/v1/recovery-codes", None),
                                   ("DELETE", place, None)):
            stale = self.call(method, path, body, session, If_Match=etag)
            self.assertEqual((stale[0], stale[2]["code"]), (403, "SP-9303"), path)
        self.assertEqual(self.call("POST", "/v1/session/factor", {"factor": PASSWORD}, session)[0], 200)
        gone = self.call("DELETE", place, None, session, If_Match=etag)
        self.assertEqual((gone[0], gone[2]["removed"]), (200, True), gone[2])
        self.assertNotEqual(self.lab.ssh("engineer", "whoami", identity="phone").returncode, 0)
        self.assertEqual([e["what"] for e in self.lab.events("enrolment.changed", principal="engineer")], ["key added", "key removed"])

    def test_4_guessing_is_limited(self):
        """A tenth of requests_per_minute for each source, sign-ins counted as well."""
        answers = [self.look("no code")[0] for _ in range(101)]
        self.assertEqual(set(answers), {401, 429})
        self.assertEqual(answers[-1], 429)


@unittest.skipIf(MISSING, MISSING)
class InBrowser(Browser):
    @classmethod
    def setUpClass(cls):
        port = free_port()
        cls.base = f"https://localhost:{port}"
        cls.lab = start_lab(cls, port, cls.base, "  requests_per_minute: 100000\n")
        cls.open_browser(cls.base)
        cls.code = Codes()

    def password(self, person):
        self.drive("fill", person=person, label="Name", value=person)
        self.drive("fill", person=person, label="Password", value=PASSWORD)
        self.drive("key", person=person, key="Enter")

    def scan(self, person, name):
        """As an app with a camera does; without zbarimg the line for an app without one is read."""
        self.drive("shot_of", person=person, selector=".qr", name=name)
        self.drive("click_text", person=person, text="The app has no camera")
        typed = base64.b32decode(self.drive("contents", person=person, selector=".seed")[0].replace(" ", ""))
        if shutil.which("zbarimg"):
            read = subprocess.run(["zbarimg", "-q", "--raw", self.shots / f"{name}.png"], capture_output=True, text=True, timeout=30)
            self.assertEqual(seed_of(read.stdout.strip()), typed)
        return typed

    def looks(self, person, name):
        """Clean, and fits a phone, in the light and in the dark."""
        self.assertEqual(self.drive("axe", person=person), [])
        self.drive("shot", person=person, name=name)
        self.drive("size", person=person, width=360, height=800)
        self.assertFalse(self.drive("overflows", person=person), name)
        self.drive("shot", person=person, name=f"{name}-phone")
        self.drive("size", person=person, width=1280, height=900)

    def test_1_an_admin_invites_and_the_invited_enrols(self):
        admin, guest = dict(person="admin"), dict(person="newcomer")
        self.drive("open", **admin)
        self.password("admin")
        self.drive("see", text="Running sessions", **admin)
        self.drive("press", role="link", name="Invites", **admin)
        self.drive("see", text="No invite is open", **admin)
        self.drive("fill", label="Principal", value="nobody-knows", **admin)
        self.drive("key", key="Enter", **admin)
        self.drive("see", text="there is no principal `nobody-knows`", **admin)
        self.drive("fill", label="Principal", value="newcomer", **admin)
        self.drive("key", key="Enter", **admin)
        self.drive("see", text="It is shown this once", **admin)
        link = self.drive("contents", selector=".copy code", **admin)[0]
        code = link.partition("#")[2]
        self.assertEqual(link, f"{self.base}/invited#{code}")
        self.looks("admin", "invites")
        self.drive("open", scheme="dark", **guest)
        self.drive("goto", url=link, **guest)
        self.drive("see", text="Welcome, New Comer", **guest)
        self.assertEqual(self.drive("href", **guest), f"{self.base}/invited")
        seed = self.scan("newcomer", "invited-qr")
        self.drive("fill", label="Your public ssh key", value=(self.lab.folder / "id_laptop.pub").read_text(), **guest)
        self.drive("fill", label="What the app shows", value="000000", **guest)
        self.looks("newcomer", "invited")
        self.drive("press", name="Enrol", **guest)
        self.drive("see", text="SP-9305", **guest)
        self.drive("fill", label="What the app shows", value=self.code(seed), **guest)
        self.drive("press", name="Enrol", **guest)
        self.drive("see", text="Keep these recovery codes", **guest)
        self.assertEqual(len(self.drive("contents", selector=".codes", **guest)[0].split()), 10)
        self.looks("newcomer", "invited-done")
        who = self.lab.ssh("newcomer", "whoami", identity="laptop")
        self.assertEqual(who.returncode, 0, who.stderr)
        self.drive("goto", url=link, **guest)
        self.drive("see", text="SP-9306", **guest)
        self.looks("newcomer", "invited-again")
        self.drive("visit", path="/invites", **admin)
        self.drive("visit", path="/account", **admin)
        self.drive("visit", path="/invites", **admin)
        self.drive("see", text="No invite is open", **admin)

    def test_2_an_engineer_manages_her_keys_and_her_code(self):
        me = dict(person="engineer")
        self.drive("open", **me)
        self.password("engineer")
        self.drive("see", text="Sign out", **me)
        self.drive("visit", path="/account", **me)
        self.drive("see", text="the policy", **me)
        self.drive("fill", label="Public key", value="ssh-rsa nonsense", **me)
        self.drive("press", name="Add the key", **me)
        self.drive("see", text="this is no plain public key line", **me)
        self.drive("fill", label="Public key", value=(self.lab.folder / "id_phone.pub").read_text(), **me)
        self.drive("press", name="Add the key", **me)
        self.drive("see", text="SHA256:", **me)
        self.drive("press", name="Enrol an authenticator app", **me)
        seed = self.scan("engineer", "account-qr")
        self.looks("engineer", "account-code")
        self.drive("fill", label="What the app shows", value="000000", **me)
        self.drive("press", name="Confirm", **me)
        self.drive("see", text="SP-9305", **me)
        self.drive("press", name="Enrol an authenticator app", **me)
        seed = self.scan("engineer", "account-qr-2")
        self.drive("fill", label="What the app shows", value=self.code(seed), **me)
        self.drive("press", name="Confirm", **me)
        self.drive("see", text="These are your recovery codes from now on", **me)
        first = self.drive("contents", selector=".codes", **me)[0].split()
        self.assertEqual(len(first), 10)
        self.looks("engineer", "account-codes")
        self.drive("press", name="New recovery codes", **me)
        wait_for(lambda: self.drive("contents", selector=".codes", **me)[0].split() != first, 15, 0.2)
        self.drive("reload", **me)
        self.drive("see", text="Enrol a new app", **me)
        self.assertEqual(self.drive("contents", selector=".codes", **me), [])
        phone = self.lab.ssh("engineer", "whoami", identity="phone")
        self.assertEqual(phone.returncode, 0, phone.stderr)
        self.drive("press", name="Remove the key", **me)
        wait_for(lambda: self.lab.events("enrolment.changed", what="key removed"), 15, 0.2)
        self.assertNotEqual(self.lab.ssh("engineer", "whoami", identity="phone").returncode, 0)
        # The next sign-in asks for the code.
        self.drive("press", name="Sign out", **me)
        self.password("engineer")
        self.drive("see", text="One-time code", **me)
        self.drive("fill", label="One-time code", value=self.code(seed), **me)
        self.drive("key", key="Enter", **me)
        self.drive("see", text="Sign out", **me)
        # Her old recovery codes count no longer, a new one would: what the page said last is what counts.
        self.assertTrue(self.lab.wait_event("auth.succeeded", via="web", principal="engineer", factors="password,totp"))


if __name__ == "__main__":
    unittest.main(verbosity=2)
