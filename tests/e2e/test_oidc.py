"""Single sign-on by OpenID Connect: the real provider with stock ssh, our CLI and a real Chromium; and one that lies."""
import json, os, re, signal, subprocess, threading, time, unittest, urllib.parse

from browser import MISSING, Chromium
from lab import BIN, Lab, ended, free_port, wait_for
from test_login import argon2id
from oidc import BentProvider, CLIENT, Provider, SECRET, Visitor, b64, missing
from over_https import ask, trust

CALLBACK = "/v1/login/oidc/callback"
ACCOUNTS = {
    "engineer": {"password": "e", "claims": {"preferred_username": "engineer", "groups": ["idp-ops", "everybody"]}},
    "admin": {"password": "a", "claims": {"preferred_username": "admin", "groups": []}, "amr": ["pwd", "otp"]},
    "stranger": {"password": "s", "claims": {"preferred_username": "stranger", "groups": ["idp-ops"]}},
}


def settings(issuer, ca, secret, api_port, more=""):
    return (f"admin:\n  listen: [\"127.0.0.1:{api_port}\"]\n  requests_per_minute: 100000\noidc:\n  issuer: {issuer}\n  client_id: {CLIENT}\n  client_secret_file: {secret}\n"
            f"  redirect_uri: https://127.0.0.1:{api_port}{CALLBACK}\n  ca_file: {ca}\n  group_map: [idp-ops=ops]\n  second_factor_amr: [otp]\n{more}")


def policy(lab):
    text = lab.default_policy().replace("{role: operator, principals: [engineer]}", "{role: operator, groups: [ops]}")
    return text + "groups:\n  - {name: ops, members: []}\n"


class Web:
    """The gateway's own API over HTTPS, as a browser's page calls it."""

    def __init__(self, lab, port):
        self.port = port
        self.tls = trust(lab)

    def call(self, method, path, body=None, **headers):
        status, answered, text = ask(self.port, self.tls, method, path, body, **headers)
        return status, answered, json.loads(text) if text.startswith(b"{") else text

    def begin(self, body=None, **headers):
        status, headers, body = self.call("POST", "/v1/login/oidc", body or {}, **headers)
        if status != 200:
            return body["code"], ""
        return body["location"], headers["Set-Cookie"].split(";")[0]

    def come_back(self, path, *cookies):
        """(where the page is sent, the session's cookie or "")"""
        status, headers, _ = self.call("GET", path, Cookie="; ".join(cookies))
        if status != 303:
            raise AssertionError(status)
        cookie = headers["Set-Cookie"]
        return headers["Location"], cookie.split(";")[0] if cookie else ""


class Shared:
    @classmethod
    def make_lab(cls, **more):
        cls.api_port = free_port()
        cls.op_port = free_port()
        cls.lab = Lab(targets=1, start=False)
        cls.addClassCleanup(cls.lab.stop)
        secret = cls.lab.folder / "client_secret"
        secret.write_text(SECRET + "\n")
        cls.op = Provider(cls.lab.folder / "op", f"https://127.0.0.1:{cls.api_port}{CALLBACK}", json.loads(json.dumps(ACCOUNTS)), cls.op_port)
        cls.addClassCleanup(cls.op.stop)
        cls.op.start()
        cls.lab.extra_config = settings(cls.op.issuer, cls.op.ca, secret, cls.api_port, **more)
        cls.lab.policy_text = lambda: policy(cls.lab)
        cls.lab.start()
        cls.web = Web(cls.lab, cls.api_port)

    def begin_ssh(self, user, *command, **options):
        """ssh that signs on; waits until it shows where."""
        client = self.lab.popen(user, *command, BatchMode="no", LogLevel="INFO", PubkeyAuthentication="no", PreferredAuthentications="keyboard-interactive", NumberOfPasswordPrompts="1", **options)
        self.addCleanup(ended, client)
        client.stdin.close()
        client.shown = b""

        def read():
            for line in iter(client.stderr.readline, b""):
                client.shown += line
        threading.Thread(target=read, daemon=True).start()
        return client

    def shown_address(self, client):
        wait_for(lambda: b"(or open " in client.shown or client.poll() is not None, 30)
        found = re.search(rb"\(or open (\S+)\)", client.shown)
        self.assertTrue(found, client.shown)
        return found.group(1).decode()

    def sign_on(self, user, *command, account="engineer", answer=None):
        client = self.begin_ssh(user, *command)
        Visitor(self.op.ca).use_code(self.shown_address(client), account, ACCOUNTS[account]["password"], answer)
        try:
            client.wait(40)
        except subprocess.TimeoutExpired:
            self.fail(client.shown)
        out = client.stdout.read()
        time.sleep(0.2)
        return client.returncode, out.decode(), client.shown.decode()


@unittest.skipIf(missing(), missing())
class SignOn(Shared, unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.make_lab()

    def test_1_ssh_shows_where_waits_and_goes_on(self):
        # By key alone the policy gives her nothing: she is in no group of it.
        self.assertIn(b"SP-2020", self.lab.ssh(self.lab.user(), "echo hi").stderr)
        status, out, shown = self.sign_on("engineer", "whoami")
        self.assertEqual(status, 0, shown)
        self.assertRegex(out, r"groups +ops \(directory\)")
        self.assertRegex(out, r"proven by +sign-on")
        self.assertRegex(shown, r"open https://localhost:\d+/device and enter the code [A-Z]{4}-[A-Z]{4}")
        begun = self.lab.wait_event("sign_on.begun", via="ssh", user="engineer")[0]
        proven = self.lab.wait_event("sign_on.proven", principal="engineer", decision="allow")[0]
        self.assertEqual((proven["groups"], proven["second_factor"], proven["amr"], proven["session"]), ("ops", False, "pwd", begun["session"]))
        self.assertEqual(self.lab.wait_event("auth.succeeded", principal="engineer", method="sign-on")[0]["factors"], "sign-on")
        # What the provider said counts for her other logins, too, until it says something else.
        self.assertEqual(self.lab.ssh(self.lab.user(), "echo hi").stdout, b"hi\n")
        self.assertEqual(self.sign_on(self.lab.user(), "echo hello")[:2], (0, "hello\n"))

    def test_2_a_group_that_is_gone_ends_what_runs(self):
        self.sign_on("engineer", "whoami")
        live = self.lab.popen(self.lab.user(), "sleep 60")
        self.addCleanup(ended, live)
        self.lab.wait_event("channel.decided", 20, decision="allow", kind="exec")
        self.op.set(engineer={"password": "e", "claims": {"preferred_username": "engineer", "groups": ["everybody"]}})
        self.addCleanup(self.op.set, engineer=ACCOUNTS["engineer"])
        self.assertEqual(self.sign_on("engineer", "whoami")[0], 0)
        self.assertNotEqual(live.wait(10), 0)
        self.assertIn(b"SP-2", live.stderr.read())
        self.assertTrue(self.lab.wait_event("directory.groups_changed", principal="engineer", directory="oidc"))
        self.assertIn(b"SP-2020", self.lab.ssh(self.lab.user(), "echo hi").stderr)

    def test_3_who_signs_on_as_somebody_else_or_says_no_is_refused(self):
        status, _, shown = self.sign_on("engineer", "whoami", account="admin")
        self.assertNotEqual(status, 0)
        self.assertIn("SP-9703", shown)
        self.assertTrue(self.lab.wait_event("auth.attempted", code="SP-9703", decision="deny", user="engineer"))
        status, _, shown = self.sign_on("engineer", "whoami", answer="no")
        self.assertNotEqual(status, 0)
        self.assertIn("SP-9705", shown)
        self.assertTrue(self.lab.wait_event("sign_on.refused", code="SP-9705", decision="deny", via="ssh"))
        # Nobody of that name in the policy: the same words, the same way there, a refusal at its end.
        status, _, shown = self.sign_on("stranger", "whoami", account="stranger")
        self.assertNotEqual(status, 0)
        self.assertIn("SP-9703", shown)
        self.assertTrue(self.lab.wait_event("sign_on.refused", code="SP-9703", named="stranger"))

    def test_4_the_command_line_gets_a_certificate(self):
        key = self.lab.folder / "id_sso"
        words = [BIN / "sallyport", "login", "engineer@127.0.0.1", "-p", str(self.lab.port), "--sso", "--key", key]
        for option in (f"UserKnownHostsFile={self.lab.folder}/known_hosts", "StrictHostKeyChecking=yes", "GlobalKnownHostsFile=/dev/null", "ConnectTimeout=20"):
            words += ["--ssh-option", option]
        client = subprocess.Popen(words, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        self.addCleanup(ended, client)
        client.shown = b""

        def read():
            for line in iter(client.stderr.readline, b""):
                client.shown += line
        threading.Thread(target=read, daemon=True).start()
        Visitor(self.op.ca).use_code(self.shown_address(client), "engineer", "e")
        self.assertEqual(client.wait(40), 0, client.shown)
        self.assertIn("-cert-v01", (self.lab.folder / "id_sso-cert.pub").read_text())
        self.lab.people["sso"] = ""
        self.addCleanup(self.lab.people.pop, "sso")
        self.assertEqual(self.lab.ssh(self.lab.user(), "echo cert", identity="sso").stdout, b"cert\n")

    def test_5_a_browser_comes_back_with_a_session_of_its_own(self):
        visitor = Visitor(self.op.ca)
        location, binding = self.web.begin()
        query = dict(urllib.parse.parse_qsl(urllib.parse.urlsplit(location).query))
        self.assertEqual((query["code_challenge_method"], query["response_type"], query["client_id"]), ("S256", "code", CLIENT))
        back, _, _ = visitor.sign_in(location, "engineer", "e", until=[f"https://127.0.0.1:{self.api_port}{CALLBACK}"])
        path = back.split(str(self.api_port), 1)[1]
        # Another browser that is sent there is not signed on as her; nor is one with a cookie of its own sign-on.
        self.assertEqual(self.web.come_back(path), ("/?sign_on=SP-9704", ""))
        self.assertEqual(self.web.come_back(path, self.web.begin()[1]), ("/?sign_on=SP-9704", ""))
        self.assertTrue(self.lab.wait_event("sign_on.refused", code="SP-9704", via="web", decision="deny"))
        to, cookie = self.web.come_back(path, binding, "__Host-sallyport=" + "0" * 64)
        self.assertEqual(to, "/?sign_on=done")
        self.assertTrue(cookie.startswith("__Host-sallyport=") and "0" * 64 not in cookie, cookie)
        self.assertEqual(self.web.come_back(path, binding), ("/?sign_on=SP-9704", ""))
        status, _, session = self.web.call("GET", "/v1/session", Cookie=cookie)
        self.assertEqual((status, session["principal"], session["method"], session["step_up"]), (200, "engineer", "sign-on", "sign-on"))
        # To prove herself again she must show herself again, and only the page may ask.
        self.assertEqual(self.web.begin({"again": True}, Cookie=cookie)[0], "SP-9301")
        location, binding = self.web.begin({"again": True}, Cookie=cookie, X_CSRF_Token=session["csrf"])
        self.assertIn("prompt=login", location)
        back, _, _ = visitor.sign_in(location, "engineer", "e", until=[f"https://127.0.0.1:{self.api_port}{CALLBACK}"])
        self.assertEqual(self.web.come_back(back.split(str(self.api_port), 1)[1], binding)[0], "/?sign_on=done")
        self.assertTrue(self.lab.wait_event("auth.proven_again", principal="engineer", factor="sign-on"))
        location, binding = self.web.begin({"again": True}, Cookie=cookie, X_CSRF_Token=session["csrf"])
        back, _, _ = Visitor(self.op.ca).sign_in(location, "admin", "a", until=[f"https://127.0.0.1:{self.api_port}{CALLBACK}"])
        self.assertEqual(self.web.come_back(back.split(str(self.api_port), 1)[1], binding)[0], "/?sign_on=SP-9703")
        # Out: here, and the page is told where the provider's own sign-out is.
        status, _, out = self.web.call("DELETE", "/v1/session", Cookie=cookie, X_CSRF_Token=session["csrf"])
        self.assertEqual(status, 200)
        self.assertTrue(out["provider"].startswith(self.op.issuer + "/session/end?client_id=gateway&post_logout_redirect_uri="), out)
        self.assertEqual(self.web.call("GET", "/v1/session", Cookie=cookie)[0], 401)

    def test_6_somebody_unknown_a_foreign_page_and_nonsense_are_refused(self):
        location, binding = self.web.begin()
        back, _, _ = Visitor(self.op.ca).sign_in(location, "stranger", "s", until=[f"https://127.0.0.1:{self.api_port}{CALLBACK}"])
        self.assertEqual(self.web.come_back(back.split(str(self.api_port), 1)[1], binding), ("/?sign_on=SP-9703", ""))
        self.assertEqual(self.web.call("POST", "/v1/login/oidc", {}, Origin="https://evil.example")[2]["code"], "SP-9302")
        for path in (CALLBACK, CALLBACK + "?state=x&code=y", CALLBACK + "?error=access_denied&state=" + "a" * 1000, CALLBACK + "?state=%22%3Cscript%3E&code=x"):
            self.assertEqual(self.web.come_back(path, binding), ("/?sign_on=SP-9704", ""), path)
        location, binding = self.web.begin()
        state = urllib.parse.parse_qs(urllib.parse.urlsplit(location).query)["state"][0]
        self.assertEqual(self.web.come_back(f"{CALLBACK}?state={state}&error=access_denied", binding), ("/?sign_on=SP-9705", ""))
        location, binding = self.web.begin()
        state = urllib.parse.parse_qs(urllib.parse.urlsplit(location).query)["state"][0]
        self.assertEqual(self.web.come_back(f"{CALLBACK}?state={state}&code=x&iss=https://evil.example", binding), ("/?sign_on=SP-9702", ""))
        for method, path, status in (("GET", "/v1/login/oidc/x", 404), ("POST", CALLBACK, 405), ("PUT", "/v1/login/oidc", 405)):
            self.assertEqual(self.web.call(method, path, {} if method != "GET" else None)[0], status, path)
        self.assertEqual(self.lab.admin("GET", "/v1/login/oidc")[0], 400)

    def test_7_a_provider_that_is_away_stops_nobody_else(self):
        doctor = json.loads(self.lab.run_cli("-o", "json", "doctor").stdout)
        rows = {row["check"]: row for row in (doctor if isinstance(doctor, list) else doctor["rows"])}
        self.assertEqual(rows["identity provider"]["result"], "ok", rows["identity provider"])
        self.sign_on("engineer", "whoami")
        self.op.stop()
        self.addCleanup(self.op.start)
        client = self.begin_ssh("engineer", "whoami")
        self.assertNotEqual(client.wait(60), 0)
        wait_for(lambda: b"SP-9701" in client.shown, 5)
        self.assertTrue(self.lab.wait_event("sign_on.refused", code="SP-9701", decision="deny", via="ssh"))
        self.assertEqual(self.lab.ssh(self.lab.user(), "echo by key").stdout, b"by key\n")
        doctor = json.loads(self.lab.run_cli("-o", "json", "doctor").stdout)
        rows = {row["check"]: row for row in (doctor if isinstance(doctor, list) else doctor["rows"])}
        self.assertNotEqual(rows["identity provider"]["result"], "ok")

    def test_8_offered_by_address_and_not_for_ever(self):
        if not self.op.process:
            self.op.start()
        secret = self.lab.folder / "client_secret"
        old = self.lab.extra_config, self.lab.policy_text

        def again(extra, text):
            self.lab.stop_gateway()
            self.lab.extra_config, self.lab.policy_text = extra, text
            self.lab.write_config()
            self.lab.start_gateway()
            self.lab.apply(text())
        self.addCleanup(again, *old)
        hashed = argon2id(b"correct horse")
        again(settings(self.op.issuer, self.op.ca, secret, self.api_port, "  ssh: offer\n  principal_domain: example.test\n  groups_last: 12s\n"),
              lambda: policy(self.lab).replace("{name: engineer, type: person,", "{name: engineer, type: person, factors: 2, enrol: [totp],").replace("{name: admin, type: person,", f"{{name: admin, type: person, password: \"{hashed}\","))
        mailed = {"password": "e", "claims": {"preferred_username": "engineer@example.test", "groups": ["idp-ops"]}}
        self.op.set(engineer=mailed, admin={"password": "a", "claims": {"preferred_username": "admin@example.test.evil", "groups": []}})
        self.addCleanup(self.op.set, **{name: ACCOUNTS[name] for name in ("engineer", "admin")})
        askpass = self.lab.folder / "askpass"
        askpass.write_text('#!/bin/sh\necho "$1" >>"$ASKED"\nprintf "%s\\n" "$ANSWER"\n')
        askpass.chmod(0o700)
        asked = self.lab.folder / "asked"

        def begin(user, *command, answer="", **options):
            asked.write_text("")
            line = self.lab.ssh_command(user, *command, BatchMode="no", LogLevel="INFO", NumberOfPasswordPrompts="1", **options)
            client = subprocess.Popen(line, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                                      env={**os.environ, "SSH_ASKPASS": str(askpass), "SSH_ASKPASS_REQUIRE": "force", "DISPLAY": "none", "ASKED": str(asked), "ANSWER": answer})
            self.addCleanup(ended, client)
            client.shown = b""

            def read():
                for line in iter(client.stderr.readline, b""):
                    client.shown += line
            threading.Thread(target=read, daemon=True).start()
            return client
        interactive = {"PubkeyAuthentication": "no", "PreferredAuthentications": "keyboard-interactive"}
        # A password is asked for; who gives it needs no provider, who gives none is sent there.
        client = begin("admin", "whoami", answer="correct horse", **interactive)
        self.assertEqual(client.wait(40), 0, client.shown)
        self.assertIn("Password (none: sign on by browser):", asked.read_text())
        self.assertNotIn(b"(or open ", client.shown)
        client = begin("admin", "whoami", **interactive)
        Visitor(self.op.ca).use_code(self.shown_address(client), "admin", "a")
        self.assertNotEqual(client.wait(40), 0)
        self.assertIn("is not of example.test", self.lab.wait_event("sign_on.refused", code="SP-9703", named="admin@example.test.evil")[0]["reason"])
        # Two factors: a sign-on alone is one, with her key it is two.
        client = begin("engineer", "whoami", **interactive)
        Visitor(self.op.ca).use_code(self.shown_address(client), "engineer", "e")
        self.assertNotEqual(client.wait(40), 0)
        self.assertEqual(client.stdout.read(), b"")
        self.assertTrue(self.lab.wait_event("sign_on.proven", principal="engineer", named="engineer@example.test"))
        client = begin(self.lab.user(), "echo two", PreferredAuthentications="publickey,keyboard-interactive")
        Visitor(self.op.ca).use_code(self.shown_address(client), "engineer", "e")
        self.assertEqual(client.wait(40), 0, client.shown)
        self.assertEqual(client.stdout.read(), b"two\n")
        self.assertEqual(set(self.lab.wait_event("auth.succeeded", principal="engineer", factors="key,sign-on")[-1]["factors"].split(",")), {"key", "sign-on"})
        # What the provider said of her groups is forgotten after groups_last, and ends what runs.
        client = begin(self.lab.user(), "sleep 100", PreferredAuthentications="publickey,keyboard-interactive")
        Visitor(self.op.ca).use_code(self.shown_address(client), "engineer", "e")
        self.assertNotEqual(client.wait(60), 0)
        wait_for(lambda: b"SP-2" in client.shown, 5)

    def test_9_plain_http_only_on_this_machine_and_only_when_asked_for(self):
        secret = self.lab.folder / "client_secret"
        base = (self.lab.folder / "sallyport.yaml").read_text().split("admin:")[0]

        def check(issuer, more=""):
            file = self.lab.folder / "plain.yaml"
            file.write_text(base + settings(issuer, self.op.ca, secret, self.api_port, more))
            done = subprocess.run([BIN / "sallyport", "--config", file, "config", "check"], capture_output=True, timeout=30, stdin=subprocess.DEVNULL)
            return done.returncode, (done.stderr + done.stdout).decode()
        for issuer, more, words in (("http://localhost:9", "", "oidc.plain_loopback allows"), ("http://idp.example.test", "  plain_loopback: true\n", "must be https://"),
                                    ("http://127.0.0.1.example.test", "  plain_loopback: true\n", "must be https://"), ("http://localhost@idp.example.test", "  plain_loopback: true\n", "without user")):
            status, said = check(issuer, more)
            self.assertEqual(status, 2, (issuer, said))
            self.assertIn("oidc.issuer", said)
            self.assertIn(words, said)
        for issuer in ("http://localhost:9", "http://127.0.0.1:9", "http://[::1]:9"):
            self.assertEqual(check(issuer, "  plain_loopback: true\n")[0], 0, issuer)


@unittest.skipIf(missing() or MISSING, missing() or MISSING)
class Page(Shared, Chromium, unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.make_lab()
        cls.base = f"https://127.0.0.1:{cls.api_port}"
        cls.open_browser(cls.base)

    def go(self, person, account, secret):
        self.drive("open", person=person)
        self.drive("press", person=person, name="Single sign-on")
        self.drive("see", person=person, text="The provider")
        self.drive("fill", person=person, label="Account", value=account)
        self.drive("fill", person=person, label="Secret", value=secret)
        self.drive("press", person=person, name="Go on")

    def test_1_in_a_real_browser(self):
        self.go("admin", "admin", "a")
        self.drive("see", person="admin", text="Sign out")
        self.assertNotIn("sign_on", self.drive("address", person="admin"))
        event = self.lab.wait_event("auth.succeeded", via="web", principal="admin")[0]
        self.assertEqual(event["factors"], "sign-on")
        self.assertTrue(self.lab.wait_event("sign_on.proven", principal="admin", second_factor=True))
        self.drive("press", person="admin", name="Sign out")
        self.drive("see", person="admin", text="Sign out here too")
        # Somebody of the provider whom the policy does not know.
        self.go("stranger", "stranger", "s")
        self.drive("see", person="stranger", text="this identity is nobody here")
        self.assertEqual(self.drive("axe", person="stranger"), [])
        wrong = [one for one in self.drive("wrong") if self.op.issuer not in one]
        self.assertEqual(wrong, [])


class Lies(unittest.TestCase):
    """Right in every way but one: that one is a refusal."""

    @classmethod
    def setUpClass(cls):
        cls.api_port = free_port()
        cls.lab = Lab(targets=0, start=False)
        cls.addClassCleanup(cls.lab.stop)
        secret = cls.lab.folder / "client_secret"
        secret.write_text(SECRET + "\n")
        cls.op = BentProvider(cls.lab.folder / "bent")
        cls.addClassCleanup(cls.op.stop)
        cls.lab.extra_config = settings(cls.op.issuer, cls.op.ca, secret, cls.api_port)
        cls.lab.policy_text = lambda: "principals:\n  - {name: engineer, type: person, keys: [" + json.dumps(cls.lab.people["engineer"]) + "]}\ngroups:\n  - {name: ops, members: []}\n"
        cls.lab.start()
        cls.web = Web(cls.lab, cls.api_port)

    def afresh(self):
        """The helpers know nothing any more; new ones are started when they are needed."""
        for pid in self.lab.gateway_pids("oidc-desk"):
            os.kill(pid, signal.SIGKILL)
        wait_for(lambda: not self.lab.gateway_pids("oidc-desk"), 10)
        time.sleep(0.3)

    def attempt(self, bend=None):
        location, binding = self.web.begin()
        if location.startswith("SP-"):
            return location
        query = dict(urllib.parse.parse_qsl(urllib.parse.urlsplit(location).query))
        self.op.nonces["now"], self.op.bend = query["nonce"], bend
        to, cookie = self.web.come_back(f"{CALLBACK}?code=good&state={query['state']}", binding)
        self.assertEqual(bool(cookie), to.endswith("done"))
        return to.rsplit("=", 1)[1]

    def test_1_each_lie_is_refused_and_audited(self):
        self.assertEqual(self.attempt(), "done")

        def claims(**change):
            def bend(header, right, sign):
                return sign("one", header, {k: v for k, v in {**right, **change}.items() if v is not None})
            return bend

        def other_header(name="one", **change):
            return lambda header, right, sign: sign(name, {k: v for k, v in {**header, **change}.items() if v is not None}, right)

        def unsigned(header, right, _):
            return f"{b64({'alg': 'none'})}.{b64(right)}."

        def hmac_by_public_key(header, right, _):
            import hashlib, hmac
            data = f"{b64({'alg': 'HS256', 'kid': 'one'})}.{b64(right)}"
            return data + "." + b64(hmac.new(json.dumps(self.op.public("one")).encode(), data.encode(), hashlib.sha256).digest())

        def claims_changed_after(header, right, sign):
            head, _, signature = sign("one", header, right).split(".")
            return f"{head}.{b64({**right, 'sub': 'another'})}.{signature}"

        def key_in_token(header, right, sign):
            return sign("two", {**header, "kid": "one", "jwk": self.op.public("two")}, right)

        now = int(time.time())
        lies = {
            "audience": claims(aud="another"), "two audiences": claims(aud=[CLIENT, "another"]), "party": claims(azp="another"), "issuer": claims(iss="https://evil.example"),
            "expired": claims(exp=now - 120), "too early": claims(nbf=now + 600), "future": claims(iat=now + 600), "old": claims(iat=now - 7200), "no exp": claims(exp=None),
            "nonce": claims(nonce="of another sign-on"), "no nonce": claims(nonce=None), "at_hash": claims(at_hash="AAAAAAAAAAAAAAAAAAAAAA"), "long ago": claims(auth_time=now - 86400), "no auth_time": claims(auth_time=None),
            "no name": claims(preferred_username=None), "none": unsigned, "HS256": hmac_by_public_key, "changed": claims_changed_after, "its own key": key_in_token,
            "other key": other_header("two"), "RS256 with P-256": other_header(alg="RS256"), "crit": other_header(crit=["b64"]), "garbage": lambda *_: "not.a.token", "empty": lambda *_: "", "huge": lambda *_: "a" * 100_000,
        }
        for name, bend in lies.items():
            self.assertEqual(self.attempt(bend), "SP-9702", name)
        refused = self.lab.wait_event("sign_on.refused", code="SP-9702", decision="deny", via="web")
        self.assertEqual(len(refused), len(lies))
        self.assertEqual({"PS256": self.attempt(other_header("rsa", alg="PS256", kid="rsa")), "RS256": self.attempt(other_header("rsa", alg="RS256", kid="rsa"))}, {"PS256": "done", "RS256": "done"})
        self.assertEqual(self.attempt(claims(aud=[CLIENT, "another"], azp=CLIENT, exp=now - 30)), "done")
        self.assertEqual(self.attempt(claims(preferred_username="Engineer; rm")), "SP-9703")

    def test_2_a_new_key_is_fetched_but_not_at_will(self):
        self.afresh()
        self.assertEqual(self.attempt(), "done")
        before = self.op.fetched
        self.addCleanup(setattr, self.op, "published", self.op.published)
        self.op.published = ["two", "rsa"]
        new_key = lambda header, right, sign: sign("two", {**header, "kid": "two"}, right)
        unknown = lambda header, right, sign: sign("one", {**header, "kid": "nobody's"}, right)
        self.assertEqual(self.attempt(new_key), "done")
        self.assertEqual([self.attempt(unknown) for _ in range(3)], ["SP-9702"] * 3)
        self.assertEqual(self.op.fetched, before + 1)

    def test_3_answers_are_bounded_and_the_discovery_is_believed_only_so_far(self):
        for discovery in ({"issuer": "https://evil.example"}, {"authorization_endpoint": "http://evil.example/"}, {"token_endpoint": "file:///etc/passwd"}, {"jwks_uri": ""}):
            self.op.discovery = discovery
            self.afresh()
            self.assertEqual(self.attempt(), "SP-9702", discovery)
        self.op.discovery, self.op.huge = {}, True
        self.afresh()
        self.assertEqual(self.attempt(), "SP-9702")
        self.op.huge, self.op.slow = False, 12
        self.afresh()
        begin = time.monotonic()
        self.assertEqual(self.attempt(), "SP-9701")
        self.assertLess(time.monotonic() - begin, 25)
        self.op.slow = 0
        self.afresh()
        self.assertEqual(self.attempt(), "done")


if __name__ == "__main__":
    unittest.main()
