"""Passkeys: a real Chromium with a virtual security key, and a security key in software that lies."""
import base64, hashlib, json, os, shutil, struct, subprocess, time, unittest

from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding, rsa

from browser import MISSING, Chromium
from lab import BIN, Lab, free_port
from over_https import AsBrowser, trust
from test_login import argon2id

FRESH = 6


def b64(data):
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def cbor(value):
    """As much as a COSE key needs."""
    def head(major, number):
        return bytes([major << 5 | number]) if number < 24 else bytes([major << 5 | 24, number]) if number < 256 else bytes([major << 5 | 25]) + struct.pack(">H", number)
    if isinstance(value, int):
        return head(0, value) if value >= 0 else head(1, -1 - value)
    if isinstance(value, bytes):
        return head(2, len(value)) + value
    return head(5, len(value)) + b"".join(cbor(key) + cbor(one) for key, one in value.items())


class SoftKey:
    """A security key without hardware; every part of what it says can be made wrong."""

    def __init__(self, kind="ES256"):
        self.kind, self.id, self.counter = kind, os.urandom(24), 0
        if kind == "ES256":
            self.key = ec.generate_private_key(ec.SECP256R1())
            numbers = self.key.public_key().public_numbers()
            self.cose = {1: 2, 3: -7, -1: 1, -2: numbers.x.to_bytes(32, "big"), -3: numbers.y.to_bytes(32, "big")}
        elif kind == "EdDSA":
            self.key = ed25519.Ed25519PrivateKey.generate()
            raw = self.key.public_key().public_bytes(serialization.Encoding.Raw, serialization.PublicFormat.Raw)
            self.cose = {1: 1, 3: -8, -1: 6, -2: raw}
        else:
            self.key = rsa.generate_private_key(65537, 2048)
            numbers = self.key.public_key().public_numbers()
            self.cose = {1: 3, 3: -257, -1: numbers.n.to_bytes(256, "big"), -2: b"\x01\x00\x01"}

    def sign(self, data):
        if self.kind == "ES256":
            return self.key.sign(data, ec.ECDSA(hashes.SHA256()))
        return self.key.sign(data) if self.kind == "EdDSA" else self.key.sign(data, padding.PKCS1v15(), hashes.SHA256())

    def client_data(self, kind, ask, origin, challenge=None, cross=False, more=""):
        return (f'{{"type":"{kind}","challenge":"{challenge or ask["challenge"]}","origin":"{origin}","crossOrigin":{"true" if cross else "false"}{more}}}').encode()

    def data(self, ask, flags, host=None, counter=None):
        self.counter += 1
        return hashlib.sha256((host or ask["host"]).encode()).digest() + bytes([flags]) + struct.pack(">I", self.counter if counter is None else counter)

    def make(self, ask, origin, name="soft", flags=0x45, host=None, kind="webauthn.create", **lies):
        data = self.data(ask, flags, host, 0) + bytes(16) + struct.pack(">H", len(self.id)) + self.id + cbor(self.cose)
        return {"name": name, "client_data": b64(self.client_data(kind, ask, origin, **lies)), "authenticator_data": b64(data)}

    def show(self, ask, origin, flags=0x05, host=None, counter=None, kind="webauthn.get", **lies):
        client = self.client_data(kind, ask, origin, **lies)
        data = self.data(ask, flags, host, counter)
        return {"id": b64(self.id), "client_data": b64(client), "authenticator_data": b64(data), "signature": b64(self.sign(data + hashlib.sha256(client).digest()))}


def with_passwords(lab, hashed):
    text = lab.default_policy(extra="  - {name: watcher, role: watcher, principals: [auditor]}\n").replace("roles:\n", "roles:\n  - {name: watcher, admin: [audit]}\n", 1)
    for name, enrol in (("engineer", "passkeys"), ("admin", "verified-passkeys"), ("auditor", "keys")):
        text = text.replace(f"{{name: {name}, type: person,", f"{{name: {name}, type: person, password: \"{hashed}\", enrol: [{enrol}],")
    return text


class Software(AsBrowser, unittest.TestCase):
    """Everything that a browser would never send."""

    @classmethod
    def setUpClass(cls):
        cls.port = free_port()
        cls.origin = f"https://localhost:{cls.port}"
        cls.lab = Lab(targets=1, config=f"admin:\n  listen: [\"127.0.0.1:{cls.port}\"]\n  origin: {cls.origin}\n  web_fresh: {FRESH}s\n  requests_per_minute: 100000\n", start=False)
        cls.hash = argon2id(b"correct horse")
        cls.lab.policy_text = lambda: with_passwords(cls.lab, cls.hash)
        cls.addClassCleanup(cls.lab.stop)
        cls.lab.start()
        cls.tls = trust(cls.lab)

    def setUp(self):
        for name in ("engineer", "admin"):
            self.lab.run_cli("principal", "forget", name)

    def begin(self, user):
        status, headers, body = self.call("POST", "/v1/login", {"user": user, "password": "correct horse"})
        self.assertEqual(status, 200, body)
        return headers, body

    def session_of(self, answer):
        status, headers, body = answer
        self.assertEqual((status, body.get("state")), (200, "done"), body)
        return headers["Set-Cookie"].split(";")[0], body["csrf"]

    def ask_login(self, login):
        status, _, ask = self.call("POST", "/v1/login/passkey", {"login": login})
        self.assertEqual(status, 200, ask)
        return ask

    def log_in(self, user, key):
        _, body = self.begin(user)
        if body["state"] == "done":
            return self.session_of(self.call("POST", "/v1/login", {"user": user, "password": "correct horse"}))
        ask = self.ask_login(body["login"])
        return self.session_of(self.call("POST", "/v1/login/passkey", {"login": body["login"], **key.show(ask, self.origin)}))

    def enrol(self, session, key, status=201, **lies):
        ask = self.call("POST", "/v1/passkeys/challenge", {}, session)[2]
        answer = self.call("POST", "/v1/passkeys", key.make(ask, lies.pop("origin", self.origin), **lies), session)
        self.assertEqual(answer[0], status, answer[2])
        return answer[2]

    def test_1_three_algorithms_are_made_and_shown(self):
        session = self.log_in("engineer", None)
        first = None
        for kind in ("ES256", "EdDSA", "RS256"):
            key = SoftKey(kind)
            made = self.enrol(session, key, name=kind)
            self.assertEqual(len(made["recovery_codes"]), 10 if first is None else 0)
            first = first or key
            self.assertEqual(self.call("GET", "/v1/whoami", session=self.log_in("engineer", key))[2]["principal"], "engineer")
            self.assertTrue(self.lab.wait_event("auth.succeeded", via="web", factors="password,passkey"))
        self.enrol(session, first, 403)  # once
        names = [one["name"] for one in self.call("GET", "/v1/passkeys", session=session)[2]["items"]]
        self.assertEqual(names, ["ES256", "EdDSA", "RS256"])
        # They are still there after a restart, with their counters.
        self.lab.stop_gateway()
        self.lab.start_gateway()
        session = self.log_in("engineer", first)
        _, body = self.begin("engineer")
        ask = self.ask_login(body["login"])
        self.assertEqual(self.call("POST", "/v1/login/passkey", {"login": body["login"], **first.show(ask, self.origin, counter=1)})[2]["code"], "SP-9313")
        back = self.lab.wait_event("passkey.counted_back", principal="engineer")[0]
        self.assertEqual((back["decision"], back["code"], back["shown"]), ("deny", "SP-9313", 1))

    def test_2_what_is_made_wrongly_is_not_enrolled(self):
        session = self.log_in("engineer", None)
        key = SoftKey()
        lies = [dict(origin="https://evil.example"), dict(origin=self.origin + ".evil.example"), dict(challenge=b64(os.urandom(32))), dict(kind="webauthn.get"), dict(cross=True), dict(host="evil.example"),
                dict(flags=0x44), dict(flags=0x05)]
        for lie in lies:
            self.assertEqual(self.enrol(session, key, 403, **lie)["code"], "SP-9311", lie)
        key.cose = {1: 2, 3: -7}
        self.assertEqual(self.enrol(session, key, 403)["code"], "SP-9311")
        refused = self.lab.events("enrolment.refused", principal="engineer", code="SP-9311")
        self.assertGreaterEqual(len(refused), len(lies))
        self.assertTrue(all(one["decision"] == "deny" for one in refused))
        # A challenge is good for one answer, of one session.
        ask = self.call("POST", "/v1/passkeys/challenge", {}, session)[2]
        other = self.log_in("engineer", None)
        good = SoftKey().make(ask, self.origin)
        self.assertEqual(self.call("POST", "/v1/passkeys", good, other)[2]["code"], "SP-9304")
        self.assertEqual(self.call("POST", "/v1/passkeys", good, session)[0], 201)
        self.assertEqual(self.call("POST", "/v1/passkeys", good, session)[2]["code"], "SP-9304")
        # No token, nobody whom the policy does not let, nothing old.
        token = json.loads(self.lab.run_cli("-o", "json", "token", "create", "--for", "engineer", "--name", "t", check=True).stdout)["token"]
        self.assertEqual(self.call("POST", "/v1/passkeys/challenge", {}, Authorization="Bearer " + token)[2]["code"], "SP-9314")
        auditor = self.log_in("auditor", None)
        self.assertEqual(self.call("POST", "/v1/passkeys/challenge", {}, auditor)[2]["code"], "SP-9307")
        for wrong in ("=", "A A", "+/", ""):
            body = {**good, "authenticator_data": wrong}
            self.assertEqual(self.call("POST", "/v1/passkeys", body, session)[0], 400, wrong)
        for one in self.call("GET", "/v1/passkeys", session=session)[2]["items"]:
            self.assertEqual(self.call("DELETE", f"/v1/passkeys/{one['id']}", {}, session, If_Match="*")[0], 200)
        time.sleep(FRESH + 0.5)
        self.assertEqual(self.call("POST", "/v1/passkeys/challenge", {}, session)[2]["code"], "SP-9303")

    def test_3_a_login_takes_the_passkey_of_this_person_for_this_login_once(self):
        key, foreign = SoftKey(), SoftKey()
        session = self.log_in("engineer", None)
        codes = self.enrol(session, key)["recovery_codes"]
        admin = self.log_in("admin", None)
        self.enrol(admin, foreign)
        _, body = self.begin("engineer")
        self.assertEqual((body["state"], body["ways"]), ("code", ["code", "passkey"]))
        lies = [dict(origin="https://evil.example"), dict(origin=f"https://localhost:{self.port + 1}"), dict(challenge=b64(os.urandom(32))), dict(kind="webauthn.create"), dict(cross=True), dict(host="evil.example"), dict(flags=0x04)]
        for lie in lies:
            _, body = self.begin("engineer")  # as many wrong ones on one login would end it
            answer = self.call("POST", "/v1/login/passkey", {"login": body["login"], **key.show(self.ask_login(body["login"]), lie.pop("origin", self.origin), **lie)})
            self.assertEqual((answer[0], answer[2]["code"], answer[1]["Set-Cookie"]), (401, "SP-9311", None), lie)
        for shown in (foreign, SoftKey()):
            _, body = self.begin("engineer")
            self.assertEqual(self.call("POST", "/v1/login/passkey", {"login": body["login"], **shown.show(self.ask_login(body["login"]), self.origin)})[2]["code"], "SP-9311")
        _, body = self.begin("engineer")
        wrong = {"login": body["login"], **key.show(self.ask_login(body["login"]), self.origin)}
        wrong["signature"] = b64(SoftKey().sign(b"something else"))
        self.assertEqual(self.call("POST", "/v1/login/passkey", wrong)[2]["code"], "SP-9311")
        self.assertTrue(self.lab.wait_event("auth.attempted", via="web", principal="engineer", method="passkey", code="SP-9311", decision="deny"))
        # One answer for one challenge; a challenge of one login is nothing to another.
        _, one = self.begin("engineer")
        _, two = self.begin("engineer")
        ask, other = self.ask_login(one["login"]), self.ask_login(two["login"])
        self.assertEqual(self.call("POST", "/v1/login/passkey", {"login": two["login"], **key.show(ask, self.origin)})[2]["code"], "SP-9311")
        good = {"login": one["login"], **key.show(ask, self.origin)}
        self.session_of(self.call("POST", "/v1/login/passkey", good))
        self.assertEqual(self.call("POST", "/v1/login/passkey", good)[0], 401)
        self.assertEqual(self.call("POST", "/v1/login/passkey", {"login": "0" * 64})[2]["code"], "SP-9304")
        # A recovery code stands in, once, and is an alarm.
        for expected in (200, 401):
            _, body = self.begin("engineer")
            self.assertEqual(self.call("POST", "/v1/login", {"login": body["login"], "code": codes[0]})[0], expected)
        self.assertTrue(self.lab.wait_event("recovery_code.used", principal="engineer"))

    def test_4_what_the_policy_asks_of_the_device(self):
        admin = self.log_in("admin", None)
        key = SoftKey()
        ask = self.call("POST", "/v1/passkeys/challenge", {}, admin)[2]
        self.assertEqual(ask["verification"], "required")
        self.assertEqual(self.call("POST", "/v1/passkeys", key.make(ask, self.origin, flags=0x41), admin)[2]["code"], "SP-9311")
        self.enrol(admin, key)
        _, body = self.begin("admin")
        self.assertEqual(self.call("POST", "/v1/login/passkey", {"login": body["login"], **key.show(self.ask_login(body["login"]), self.origin, flags=0x01)})[2]["code"], "SP-9311")
        fresh = self.log_in("admin", key)
        # Step-up by it; a key that only touches is not enough there either.
        time.sleep(FRESH + 0.5)
        lock = {"principal": "nobody", "reason": "test"}
        self.assertEqual(self.call("POST", "/v1/locks", lock, fresh)[2]["code"], "SP-9303")
        self.assertEqual([self.call("GET", "/v1/session", session=fresh)[2][field] for field in ("step_up", "passkey")], ["passkey", True])
        ask = self.call("POST", "/v1/session/passkey", {}, fresh)[2]
        self.assertEqual(self.call("POST", "/v1/session/passkey", key.show(ask, self.origin, flags=0x01), fresh)[2]["code"], "SP-9311")
        self.assertEqual(self.call("POST", "/v1/session/passkey", key.show(ask, self.origin), fresh)[2]["code"], "SP-9304")  # that challenge is used
        ask = self.call("POST", "/v1/session/passkey", {}, fresh)[2]
        self.assertEqual(self.call("POST", "/v1/session/passkey", key.show(ask, self.origin), fresh)[0], 200)
        self.assertEqual(self.call("POST", "/v1/locks", lock, fresh)[0], 201)
        self.assertTrue(self.lab.wait_event("auth.proven_again", principal="admin", factor="passkey"))
        # Taken away by an administrator: she is back to what else she has.
        self.lab.run_cli("principal", "forget", "admin", check=True)
        self.assertEqual(self.begin("admin")[1]["state"], "done")

    def test_5_an_address_is_no_origin(self):
        config = self.lab.folder / "sallyport.yaml"
        text = config.read_text()
        for wrong in ("https://127.0.0.1:8443", "http://gateway.example", "https://Gateway.example", "https://gateway.example/page", "https://gateway.example:443"):
            other = self.lab.folder / "wrong.yaml"
            other.write_text(text.replace(self.origin, wrong))
            done = subprocess.run([BIN / "sallyport", "--config", other, "config", "check"],
                                  capture_output=True, text=True, timeout=30)
            self.assertNotEqual(done.returncode, 0, wrong)
            self.assertIn("admin.origin", done.stdout + done.stderr, wrong)


@unittest.skipIf(MISSING or not shutil.which("certutil"), MISSING or "certutil is not installed (libnss3-tools)")
class InBrowser(Chromium, unittest.TestCase):
    """Chromium makes no passkey at an address whose certificate it does not trust: its profile is given the gateway's."""

    @classmethod
    def setUpClass(cls):
        port = free_port()
        cls.base = f"https://localhost:{port}"
        cls.lab = Lab(targets=1, config="", start=False)
        cls.hash = argon2id(b"correct horse")
        made = cls.lab.folder / "tls"
        made.mkdir()
        run = lambda *command: subprocess.run([str(one) for one in command], check=True, capture_output=True, timeout=60)
        run("openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "30", "-subj", "/CN=Lab CA", "-keyout", made / "ca.key", "-out", made / "ca.pem")
        run("openssl", "req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-subj", "/CN=localhost", "-keyout", made / "page.key", "-out", made / "page.csr")
        (made / "names").write_text("subjectAltName=DNS:localhost\nextendedKeyUsage=serverAuth\n")
        run("openssl", "x509", "-req", "-in", made / "page.csr", "-CA", made / "ca.pem", "-CAkey", made / "ca.key", "-days", "30", "-extfile", made / "names", "-out", made / "page.pem")
        home = cls.lab.folder / "home"
        (home / ".pki/nssdb").mkdir(parents=True)
        run("certutil", "-d", f"sql:{home}/.pki/nssdb", "-N", "--empty-password")
        run("certutil", "-d", f"sql:{home}/.pki/nssdb", "-A", "-n", "lab", "-t", "C,,", "-i", made / "ca.pem")
        cls.lab.extra_config = (f"admin:\n  listen: [\"127.0.0.1:{port}\"]\n  origin: {cls.base}\n  web_fresh: {FRESH}s\n  requests_per_minute: 100000\n"
                                f"  tls_certificate: {made}/page.pem\n  tls_key: {made}/page.key\n")
        cls.lab.policy_text = lambda: with_passwords(cls.lab, cls.hash)
        cls.addClassCleanup(cls.lab.stop)
        cls.lab.start()
        cls.open_browser(cls.base, HOME=str(home), SALLYPORT_TRUSTED="1")

    def tearDown(self):
        self.assertEqual(self.drive("wrong"), [])

    def password(self, person):
        self.drive("fill", person=person, label="Name", value=person)
        self.drive("fill", person=person, label="Password", value="correct horse")
        self.drive("key", person=person, key="Enter")

    def test_1_enrol_sign_in_step_up_and_remove(self):
        me = dict(person="admin")
        self.drive("open", **me)
        self.drive("plug_in", **me)
        self.password("admin")
        self.drive("see", text="Running sessions", **me)
        self.drive("visit", path="/account", **me)
        self.drive("see", text="You have no passkey", **me)
        self.assertEqual(self.drive("axe", **me), [])
        self.drive("fill", label="Name of the device", value="blue key", **me)
        self.drive("key", key="Enter", **me)
        self.drive("see", text="Keep these recovery codes", **me)
        self.drive("see", text="blue key", **me)
        self.drive("shot", name="account", **me)
        self.assertEqual(self.drive("axe", **me), [])
        added = self.lab.wait_event("enrolment.changed", what="passkey added")[0]
        self.assertEqual((added["device"], added["algorithm"], added["verified"]), ("blue key", "ES256", True))
        # The next sign-in asks for it.
        self.drive("press", name="Sign out", **me)
        self.password("admin")
        self.drive("see", text="Use a passkey", **me)
        self.drive("shot", name="sign-in-passkey", **me)
        self.assertEqual(self.drive("axe", **me), [])
        self.drive("press", name="Use a passkey", **me)
        self.drive("see", text="Sign out", **me)
        self.assertTrue(self.lab.wait_event("auth.succeeded", via="web", principal="admin", factors="password,passkey"))
        # A change that wants a fresh factor takes it as well, and goes on by itself.
        time.sleep(FRESH + 0.5)
        self.drive("visit", path="/tokens", **me)
        self.drive("fill", label="What it is for", value="after the step", **me)
        self.drive("press", name="Make", exact=True, **me)
        self.drive("see", text="Prove it is you", **me)
        self.drive("shot", name="step-up-passkey", **me)
        self.assertEqual(self.drive("axe", **me), [])
        self.drive("press", name="Use a passkey", **me)
        self.drive("see", text="This is the only time that the token is shown", **me)
        self.assertTrue(self.lab.wait_event("auth.proven_again", principal="admin", factor="passkey"))

    def test_2_a_copy_that_counts_back_is_refused_and_alarmed(self):
        me = dict(person="admin")
        counters = self.drive("counters", **me)
        self.assertGreaterEqual(counters[0], 2)
        self.drive("press", name="Sign out", **me)
        self.drive("count_back", to=1, **me)
        self.password("admin")
        self.drive("press", name="Use a passkey", **me)
        self.drive("see", text="SP-9313", **me)
        self.assertTrue(self.lab.wait_event("passkey.counted_back", principal="admin"))
        self.drive("count_back", to=counters[0] + 5, **me)
        self.drive("press", name="Use a passkey", **me)
        self.drive("see", text="Sign out", **me)
        self.drive("visit", path="/account", **me)
        self.drive("press", name="Remove the passkey blue key", **me)
        self.drive("see", text="You have no passkey", **me)
        self.assertTrue(self.lab.wait_event("enrolment.changed", what="passkey removed"))

    def test_3_a_device_that_cannot_check_its_holder(self):
        """The policy wants it of admin, and not of engineer."""
        for person, wants in (("engineer", False), ("admin2", True)):
            name = person.rstrip("2")
            me = dict(person=person)
            self.drive("open", **me)
            self.drive("plug_in", verifies=False, **me)
            self.drive("fill", label="Name", value=name, **me)
            self.drive("fill", label="Password", value="correct horse", **me)
            self.drive("key", key="Enter", **me)
            self.drive("see", text="Sign out", **me)
            self.drive("visit", path="/account", **me)
            self.drive("fill", label="Name of the device", value="plain key", **me)
            self.drive("key", key="Enter", **me)
            self.drive("see", text="It was left or took too long" if wants else "Keep these recovery codes", timeout=30000, **me)


if __name__ == "__main__":
    unittest.main(verbosity=2)
