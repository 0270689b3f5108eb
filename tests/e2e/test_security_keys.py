"""Security keys (sk-ssh-ed25519, sk-ecdsa) with the stock client and a key in software (tests/services/security_key.c)."""
import json, os, pathlib, shutil, subprocess, unittest

from lab import ROOT, Lab

COMPILER = shutil.which("cc") or shutil.which("gcc")


@unittest.skipUnless(COMPILER, "a C compiler is needed for the key in software")
class SecurityKeys(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.lab = Lab(targets=1, start=False)
        cls.addClassCleanup(cls.lab.stop)
        cls.provider = cls.lab.folder / "security_key.so"
        subprocess.run([COMPILER, "-O1", "-shared", "-fPIC", "-o", cls.provider, ROOT / "tests" / "services" / "security_key.c", "-lcrypto"], check=True)
        cls.lines = {}
        for name, kind, options in (("touch_ed25519", "ed25519-sk", []), ("touch_ecdsa", "ecdsa-sk", []), ("careful", "ed25519-sk", []), ("strict", "ed25519-sk", [])):
            cls.enrol(name, kind, options)
        cls.lab.policy_text = cls.policy
        cls.lab.start()

    @classmethod
    def enrol(cls, name, kind, options):
        path = cls.lab.folder / f"id_{name}"
        subprocess.run(["ssh-keygen", "-q", "-t", kind, "-N", "", "-C", name, "-w", cls.provider, "-f", path, *options], check=True, stdin=subprocess.DEVNULL)
        cls.lines[name] = pathlib.Path(f"{path}.pub").read_text().strip()

    @classmethod
    def policy(cls):
        text = cls.lab.default_policy()
        people = "".join(f"  - {{name: {name}, type: person, keys: [{json.dumps(line)}]}}\n"
                         for name, line in (("fay", cls.lines["touch_ed25519"]), ("gil", cls.lines["strict"]), ("eve", cls.lines["touch_ecdsa"]), ("vera", "verify-required " + cls.lines["careful"])))
        text = text.replace("targets:\n", people + "targets:\n", 1)
        text = text.replace("roles:\n", f"roles:\n  - name: careful\n    allow: [{{channels: [exec], targets: {{labels: {{env: lab}}}}, accounts: [{cls.lab.account}], security_key: true}}]\n", 1)
        text = text.replace("principals: [engineer]", "principals: [fay, eve, vera]")
        return text.replace("bindings:\n", "bindings:\n  - {role: careful, principals: [engineer, gil]}\n", 1)

    def log_in(self, principal, key, **environment):
        return subprocess.run(self.lab.ssh_command(self.lab.user(principal=principal), "echo in", identity=key, SecurityKeyProvider=self.provider,
                                                   NumberOfPasswordPrompts="0"),
                              stdin=subprocess.DEVNULL, capture_output=True, timeout=40, env={**os.environ, **environment})

    def test_a_touched_key_opens(self):
        for principal, key, kind in (("fay", "touch_ed25519", "sk-ssh-ed25519"), ("eve", "touch_ecdsa", "sk-ecdsa")):
            with self.subTest(key):
                done = self.log_in(principal, key)
                self.assertEqual(done.stdout, b"in\n", done.stderr)
                fingerprint = subprocess.run(["ssh-keygen", "-lf", self.lab.folder / f"id_{key}.pub"], capture_output=True).stdout.decode().split()[1]
                self.assertTrue(self.lab.wait_event("auth.succeeded", principal=principal, fingerprint=fingerprint))

    def test_a_key_that_nobody_touched_is_refused(self):
        for principal, key in (("fay", "touch_ed25519"), ("eve", "touch_ecdsa")):
            with self.subTest(key):
                done = self.log_in(principal, key, SK_TEST_PRESENT="0")
                self.assertEqual((done.returncode, done.stdout), (255, b""))
                found = self.lab.wait_event("auth.attempted", principal=principal, result="refused", reason="the security key was not touched")
                self.assertEqual(found[-1]["decision"], "deny")

    def test_user_verification_where_the_policy_asks_for_it(self):
        done = self.log_in("vera", "careful")
        self.assertEqual((done.returncode, done.stdout), (255, b""))
        self.assertTrue(self.lab.wait_event("auth.attempted", principal="vera", reason="the security key did not verify its user"))
        self.assertEqual(self.log_in("vera", "careful", SK_TEST_VERIFIED="1").stdout, b"in\n")

    def test_a_rule_for_security_keys_opens_to_no_other_key(self):
        self.assertEqual(self.log_in("gil", "strict").stdout, b"in\n")
        done = self.log_in("engineer", "engineer")
        self.assertEqual(done.stdout, b"")
        self.assertNotEqual(done.returncode, 0)
        self.assertIn(b"SP-9310", done.stderr)
        self.assertTrue(self.lab.wait_event("auth.succeeded", principal="engineer"))  # who she is stands; what she may does not
        refused = [e for e in self.lab.events(code="SP-9310") if e.get("principal") == "engineer"]
        self.assertIn("deny", {e.get("decision") for e in refused})

    def test_another_principals_security_key_opens_nothing(self):
        done = self.log_in("fay", "touch_ecdsa")
        self.assertEqual((done.returncode, done.stdout), (255, b""))


if __name__ == "__main__":
    unittest.main()
