"""People in a browser: password and one-time code, the cookie and what protects it, fresh factors, ends; over real HTTPS."""
import base64, http.client, json, pathlib, subprocess, time, unittest

from lab import BIN, Lab, free_port
from over_https import ask, trust
from test_login import argon2id, totp

SEED = b"12345678901234567890"


class WebLogin(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.api_port = free_port()
        cls.lab = Lab(targets=1, config=f"admin:\n  listen: [\"127.0.0.1:{cls.api_port}\"]\n  web_fresh: 4s\n  web_idle: 6s\n", start=False)
        cls.hash = argon2id(b"correct horse")
        cls.lab.policy_text = lambda: cls.policy(cls.lab)
        cls.addClassCleanup(cls.lab.stop)
        cls.lab.start()
        cls.put("totp/admin", base64.b32encode(SEED))
        cls.tls = trust(cls.lab)
        cls.step = 0

    @classmethod
    def put(cls, name, value):
        subprocess.run([BIN / "sallyport", "--config", cls.lab.folder / "sallyport.yaml", "secret", "put", name, "--kind", "totp"],
                       input=value, check=True, capture_output=True, timeout=30)

    @classmethod
    def policy(cls, lab):
        text = lab.default_policy()
        text = text.replace("{name: admin, type: person,", f"{{name: admin, type: person, password: \"{cls.hash}\", totp: totp/admin,")
        text = text.replace("{name: engineer, type: person,", f"{{name: engineer, type: person, password: \"{cls.hash}\",")
        return text.replace("{name: auditor, type: person,", f"{{name: auditor, type: person, networks: [10.0.0.0/8], password: \"{cls.hash}\",")

    def call(self, method, path, body=None, cookie="", csrf="", **headers):
        if cookie:
            headers["Cookie"] = "a=b; " + cookie
        if csrf:
            headers["X-CSRF-Token"] = csrf
        status, answered, text = ask(self.api_port, self.tls, method, path, body, **headers)
        return status, answered, json.loads(text)

    @classmethod
    def code(cls):
        """A code of a step that was not used yet: the gateway takes each step once, and the one before and after now."""
        deadline = time.time() + 70
        while time.time() < deadline:
            now = int(time.time()) // 30
            if now > cls.step:
                cls.step = now
                return totp(SEED, now)
            if now == cls.step:
                cls.step = now + 1
                return totp(SEED, now + 1)
            time.sleep(0.5)
        raise AssertionError("no fresh code")

    def log_in(self, user="admin", code=True):
        status, headers, body = self.call("POST", "/v1/login", {"user": user, "password": "correct horse"})
        if code:
            self.assertEqual((status, body["state"], headers["Set-Cookie"]), (200, "code", None), body)
            status, headers, body = self.call("POST", "/v1/login", {"login": body["login"], "code": self.code()})
        self.assertEqual((status, body.get("state")), (200, "done"), body)
        return headers["Set-Cookie"].split(";")[0], body["csrf"], headers, body

    def test_1_password_and_code_open_a_session_that_the_cookie_stands_for(self):
        cookie, csrf, headers, body = self.log_in()
        marks = {part.strip() for part in headers["Set-Cookie"].split(";")[1:]}
        self.assertEqual(marks, {"Path=/", "Secure", "HttpOnly", "SameSite=Strict"})
        self.assertTrue(cookie.startswith("__Host-sallyport="))
        self.assertEqual(headers["Cache-Control"], "no-store")
        self.assertIn("max-age", headers["Strict-Transport-Security"])
        self.assertEqual(headers["Cross-Origin-Opener-Policy"], "same-origin")
        self.assertNotIn(cookie.split("=")[1], json.dumps(body))
        status, _, who = self.call("GET", "/v1/whoami", cookie=cookie)
        self.assertEqual((status, who["principal"]), (200, "admin"))
        self.assertEqual(self.call("GET", "/v1/session", cookie=cookie)[2]["csrf"], csrf)
        event = self.lab.wait_event("auth.succeeded", via="web", principal="admin")[0]
        self.assertEqual(event["factors"], "password,totp")
        # A change needs what only the page was told; another site's page is known by its origin.
        lock = {"principal": "nobody", "reason": "test"}
        for more in ({}, {"csrf": "0" * 64}, {"csrf": csrf, "Origin": "https://evil.example"}, {"csrf": csrf, "Sec_Fetch_Site": "cross-site"}):
            self.assertEqual(self.call("POST", "/v1/locks", lock, cookie, **more)[2]["code"], "SP-9302", more)
        self.assertTrue(self.lab.wait_event("web.forged_request", code="SP-9302"))
        status, _, made = self.call("POST", "/v1/locks", lock, cookie, csrf, Origin=f"https://127.0.0.1:{self.api_port}", Sec_Fetch_Site="same-origin")
        self.assertEqual(status, 201, made)
        self.assertTrue(self.lab.wait_event("lock.set", principal="admin")[0]["web_session"])
        # The secret of the cookie is nowhere but in the browser.
        for file in pathlib.Path(self.lab.folder / "state").rglob("*"):
            if file.is_file():
                self.assertNotIn(cookie.split("=")[1].encode(), file.read_bytes(), file)
        # Signed out is signed out, for whoever kept the cookie.
        self.assertEqual(self.call("DELETE", "/v1/session", cookie=cookie, csrf=csrf)[0], 200)
        status, headers, body = self.call("GET", "/v1/whoami", cookie=cookie)
        self.assertEqual((status, body["code"]), (401, "SP-9301"))
        self.assertIn("Max-Age=0", headers["Set-Cookie"])

    def test_2_an_old_factor_is_not_enough_for_a_change_and_is_given_again(self):
        cookie, csrf, _, _ = self.log_in("engineer", code=False)
        self.assertEqual(self.call("POST", "/v1/tokens", {"name": "t"}, cookie, csrf)[0], 201)
        time.sleep(4.3)
        status, _, body = self.call("POST", "/v1/tokens", {"name": "t"}, cookie, csrf)
        self.assertEqual((status, body["code"]), (403, "SP-9303"))
        # So does a yes to what another person waits for; a no does not.
        said = [self.call("POST", f"/v1/requests/none/{verb}", {"reason": "no"}, cookie, csrf)[:3:2] for verb in ("approve", "deny")]
        self.assertEqual([(status, body["code"]) for status, body in said][0], (403, "SP-9303"))
        self.assertEqual(said[1][0], 404)
        # Joining a session asks for it, too; staying in it does not.
        self.assertEqual(self.call("POST", "/v1/sessions/none/join", {"reason": "four eyes"}, cookie, csrf)[2]["code"], "SP-9303")
        for method in ("POST", "DELETE"):
            self.assertEqual(self.call(method, "/v1/sessions/none/join", {"seat": "none"}, cookie, csrf)[0], 404, method)
        self.assertEqual(self.call("GET", "/v1/session", cookie=cookie)[2]["step_up"], "password")
        self.assertEqual(self.call("POST", "/v1/session/factor", {"factor": "wrong"}, cookie, csrf)[2]["code"], "SP-9305")
        self.assertEqual(self.call("POST", "/v1/session/factor", {"factor": "correct horse"}, cookie, csrf)[0], 200)
        self.assertEqual(self.call("POST", "/v1/tokens", {"name": "t"}, cookie, csrf)[0], 201)
        self.assertTrue(self.lab.wait_event("auth.proven_again", principal="engineer"))
        self.assertTrue(self.lab.wait_event("web.step_up_asked", code="SP-9303", decision="deny"))

    def test_2b_a_certificate_for_who_has_just_logged_in(self):
        self.lab.add_key("short")
        del self.lab.people["short"]
        key = (self.lab.folder / "id_short.pub").read_text().strip()
        cookie, csrf, _, _ = self.log_in("engineer", code=False)
        ask = lambda **more: self.call("POST", "/v1/certificates", {"public_key": key, **more}, cookie, csrf)
        self.assertEqual(self.call("POST", "/v1/certificates", {"public_key": key}, cookie)[2]["code"], "SP-9302")
        for wrong in ({"public_key": "ssh-ed25519 nonsense"}, {"public_key": "x" * 9000}, {"lasts": "20h"}, {"lasts": "soon"}, {"source": "everywhere"}, {"principal": "admin"}):
            self.assertEqual(ask(**wrong)[0], 400, wrong)
        status, _, made = ask(lasts="1h", source="127.0.0.1")
        self.assertEqual(status, 201, made)
        certificate = self.lab.folder / "id_short-cert.pub"
        certificate.write_text(made["certificate"] + "\n")
        said = subprocess.run(["ssh-keygen", "-Lf", certificate], capture_output=True, check=True).stdout.decode()
        for part in ("login:engineer", "source-address 127.0.0.1"):
            self.assertIn(part, said)
        self.assertEqual(said.split("Principals:")[1].split("Critical")[0].split(), ["engineer"])
        self.assertEqual(self.lab.ssh(self.lab.user(), "echo by-certificate", identity="short").stdout, b"by-certificate\n")
        self.assertNotEqual(self.lab.ssh("admin", "whoami", identity="short").returncode, 0)
        self.assertEqual(self.lab.wait_event("certificate.issued", **{"for": "engineer"})[0]["source_address"], "127.0.0.1")
        # Bound to somewhere else it is worth nothing here.
        certificate.write_text(ask(source="10.9.8.0/24")[2]["certificate"] + "\n")
        self.assertNotEqual(self.lab.ssh("engineer", "whoami", identity="short").returncode, 0)
        # A token proves no factor; an old one is none, either.
        token = self.call("POST", "/v1/tokens", {"name": "no factor"}, cookie, csrf)[2]["token"]
        self.assertEqual(self.call("POST", "/v1/certificates", {"public_key": key}, Authorization=f"Bearer {token}")[2]["code"], "SP-9309")
        time.sleep(4.3)
        self.assertEqual(ask()[2]["code"], "SP-9303")

    def test_3_what_is_wrong_opens_nothing_and_is_audited(self):
        for user, password in (("admin", "wrong"), ("nobody", "correct horse"), ("engineer+target1", "correct horse"), ("admin", "")):
            status, headers, body = self.call("POST", "/v1/login", {"user": user, "password": password})
            self.assertEqual((status, headers["Set-Cookie"]), (401, None), (user, body))
        self.assertEqual(self.call("POST", "/v1/login", {"user": "auditor", "password": "correct horse"})[2]["code"], "SP-1010")
        status, _, body = self.call("POST", "/v1/login", {"user": "admin", "password": "correct horse"})
        self.assertEqual(body.get("state"), "code", body)
        wrong = self.call("POST", "/v1/login", {"login": body["login"], "code": "000000"})
        self.assertEqual((wrong[0], wrong[1]["Set-Cookie"]), (401, None))
        self.assertEqual(self.call("POST", "/v1/login", {"login": "0" * 64, "code": "000000"})[2]["code"], "SP-9304")
        self.assertEqual(self.call("POST", "/v1/login", {"user": "admin", "password": "x"}, Origin="https://evil.example")[2]["code"], "SP-9302")
        self.assertEqual(self.lab.admin("POST", "/v1/login", {"user": "admin", "password": "x"})[0], 400)
        self.assertTrue(self.lab.wait_event("auth.attempted", via="web", decision="deny", principal="admin"))
        self.assertEqual(self.call("GET", "/v1/whoami", cookie="__Host-sallyport=" + "0" * 64)[0], 401)

    def follow(self, cookie):
        connection = http.client.HTTPSConnection("127.0.0.1", self.api_port, context=self.tls, timeout=20)
        connection.request("GET", "/v1/requests", headers={"Accept": "text/event-stream", "Cookie": cookie})
        answer = connection.getresponse()
        self.assertEqual((answer.status, answer.headers.get_content_type()), (200, "text/event-stream"))
        self.addCleanup(connection.close)
        return answer

    def rest_of(self, answer, seconds=15):
        """What a stream says until it ends; heartbeats do not keep us."""
        seen, deadline = b"", time.monotonic() + seconds
        while time.monotonic() < deadline and (line := answer.fp.readline()):
            seen += line
        return seen

    def test_3b_what_a_session_had_opened_ends_with_it(self):
        cookie, csrf, _, _ = self.log_in("engineer", code=False)
        stream = self.follow(cookie)
        self.assertEqual(self.call("DELETE", "/v1/session", cookie=cookie, csrf=csrf)[0], 200)
        self.assertIn(b'"SP-7003"', self.rest_of(stream))
        cookie, _, _, _ = self.log_in("engineer", code=False)
        began = time.monotonic()
        self.assertIn(b'"SP-7003"', self.rest_of(self.follow(cookie)))  # nobody asks for anything: idle
        self.assertGreater(time.monotonic() - began, 4)

    def test_3c_a_token_is_no_way_around_the_networks_of_its_principal(self):
        token = self.lab.run_cli("-o", "json", "token", "create", "--for", "auditor", "--name", "t", check=True).stdout
        status, _, body = self.call("GET", "/v1/whoami", Authorization="Bearer " + json.loads(token)["token"])
        self.assertEqual((status, body["code"]), (401, "SP-7020"))
        self.assertTrue(self.lab.wait_event("api.token_refused", code="SP-7020"))

    def test_4_a_lock_and_idle_time_end_it(self):
        cookie, _, _, _ = self.log_in("engineer", code=False)
        self.lab.run_cli("lock", "set", "--principal", "engineer", "--reason", "laptop lost", check=True)
        self.assertEqual(self.call("GET", "/v1/whoami", cookie=cookie)[0], 401)
        self.assertEqual(self.call("POST", "/v1/login", {"user": "engineer", "password": "correct horse"})[2]["code"], "SP-1008")
        self.lab.run_cli("lock", "remove", "--principal", "engineer", check=True)
        cookie, _, _, _ = self.log_in("engineer", code=False)
        time.sleep(6.5)
        self.assertEqual(self.call("GET", "/v1/whoami", cookie=cookie)[2]["code"], "SP-9301")
        self.assertTrue(self.lab.wait_event("web.session_closed", principal="engineer"))


class AbsoluteEnd(WebLogin):
    """However busy, a session in a browser ends after admin.web_lasts."""
    LASTS = 6

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.lab.stop_gateway()
        cls.lab.extra_config = cls.lab.extra_config.replace("  web_idle: 6s\n", f"  web_idle: 30m\n  web_lasts: {cls.LASTS}s\n")
        cls.lab.write_config()
        cls.lab.start_gateway()

    def test_5_a_busy_session_ends_too(self):
        cookie, _, _, body = self.log_in("engineer", code=False)
        began = time.monotonic()
        status = 200
        while status == 200 and time.monotonic() - began < 60:
            time.sleep(0.3)
            status, _, answer = self.call("GET", "/v1/session", cookie=cookie)
        self.assertEqual((status, answer["code"]), (401, "SP-9301"))
        self.assertGreater(time.monotonic() - began, self.LASTS - 1)
        self.assertTrue(self.lab.wait_event("web.session_closed", principal="engineer"))


def load_tests(loader, tests, pattern):
    suite = unittest.TestSuite([loader.loadTestsFromTestCase(WebLogin)])
    suite.addTest(AbsoluteEnd("test_5_a_busy_session_ends_too"))
    return suite


if __name__ == "__main__":
    unittest.main(verbosity=2)
