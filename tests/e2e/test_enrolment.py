"""Invites, keys and one-time codes that people enrol themselves, recovery codes, login certificates, remembered factors; stock ssh throughout."""
import base64, json, os, pathlib, re, shutil, socket, subprocess, time, unittest, urllib.parse

from lab import BIN, Lab, wait_for
from test_login import needs_paramiko, paramiko, totp


class Enrolment(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.lab = Lab(targets=1, people=("engineer", "admin", "newcomer", "robot"), config="logins:\n  factor_memory: 10m\n", start=False)
        for name in ("laptop", "phone", "other"):
            cls.lab.add_key(name)
            del cls.lab.people[name]
        cls.lab.policy_text = lambda: cls.policy(cls.lab)
        cls.addClassCleanup(cls.lab.stop)
        cls.lab.start()
        cls.steps = {}

    @classmethod
    def policy(cls, lab, enrol="[keys, totp]", rule=""):
        text = lab.default_policy(extra_rule=rule)
        text = re.sub(r"  - \{name: newcomer, type: person, keys: \[[^]]*\]\}", f"  - {{name: newcomer, type: person, enrol: {enrol}}}", text)
        text = text.replace("{name: engineer, type: person,", "{name: engineer, type: person, enrol: [keys, totp],")
        return text.replace("principals: [engineer]", "principals: [engineer, newcomer]")

    def code(self, seed):
        """Each step is taken once: the next one counts as well, after that the clock has to go on."""
        last = self.steps.get(seed, 0)
        wait_for(lambda: int(time.time()) // 30 + 1 > last, 65, 0.5)
        self.steps[seed] = max(int(time.time()) // 30, last + 1)
        return totp(seed, self.steps[seed])

    def gw(self, user, *words, identity="engineer", **more):
        return self.lab.ssh(user, *words, identity=identity, **more)

    def invite(self, name, *more):
        return json.loads(self.lab.run_cli("-o", "json", "principal", "invite", name, *more, check=True).stdout)

    @staticmethod
    def seed_of(text):
        uri = re.search(r"otpauth://\S+", text).group(0)
        return uri, base64.b32decode(urllib.parse.parse_qs(urllib.parse.urlparse(uri).query)["secret"][0])

    def test_1_an_invite_enrols_a_key_and_a_code_once(self):
        made = self.invite("newcomer", "--for", "1h")
        code = made["code"]
        self.assertNotIn(code, self.lab.run_cli("-o", "json", "principal", "invites", check=True).stdout.decode())
        for file in pathlib.Path(self.lab.folder / "state").rglob("*"):
            if file.is_file():
                self.assertNotIn(code.encode(), file.read_bytes(), file)
        self.assertNotEqual(self.gw("newcomer", "whoami", identity="laptop").returncode, 0)
        # With an invite one enrols, and nothing else: no menu, no target, no tunnel, no other verb.
        self.assertIn(b"SP-9306", self.gw(code, "ls", identity="laptop").stderr)
        self.assertNotEqual(self.gw(code, "whoami", identity="laptop").returncode, 0)
        self.assertIn(b"SP-9305", self.gw(code, "123456", identity="laptop").stderr)
        jump = subprocess.run(self.lab.ssh_command(code, identity="laptop", arguments=("-W", "target1:22")), capture_output=True, timeout=30, stdin=subprocess.DEVNULL)
        self.assertNotEqual(jump.returncode, 0)
        self.assertNotIn(b"SSH-2.0", jump.stdout)
        shown = self.gw(code, "enrol", identity="laptop")
        self.assertEqual(shown.returncode, 0, shown.stderr)
        uri, seed = self.seed_of(shown.stdout.decode())
        self.check_picture(shown.stdout.decode(), uri)
        self.assertIn(b"SP-9305", self.gw(code, "000000", identity="laptop").stderr)
        done = self.gw(code, self.code(seed), identity="laptop")
        self.assertEqual(done.returncode, 0, done.stderr)
        type(self).recovery = re.findall(r"^  ((?:[a-z2-7]{4}-){3}[a-z2-7]{4})$", done.stdout.decode(), re.M)
        self.assertEqual(len(self.recovery), 10)
        type(self).seed = seed
        # Once.
        again = self.gw(code, "enrol", identity="laptop")
        self.assertNotEqual(again.returncode, 0)
        self.assertEqual(self.lab.run_cli("principal", "invites", check=True).stdout.count(b"newcomer"), 0)
        event = self.lab.wait_event("enrolment.completed", principal="newcomer")[0]
        self.assertEqual((event["totp"], event["recovery_codes"]), (True, 10))
        self.assertFalse([e for e in self.lab.events() if code in json.dumps(e)])
        # The key counts now, at the gateway and at a target.
        who = self.gw("newcomer", "whoami", identity="laptop")
        self.assertEqual(who.returncode, 0, who.stderr)
        self.assertEqual(self.gw(self.lab.user(principal="newcomer"), "echo in", identity="laptop").stdout, b"in\n")
        self.assertTrue(self.lab.wait_event("auth.attempted", decision="deny", code="SP-9306"))

    def check_picture(self, text, uri):
        if not shutil.which("zbarimg"):
            self.skipTest("zbarimg is not installed (zbar-tools)")
        rows = [re.sub(r"\x1b\[[0-9;]*m", "", line) for line in text.splitlines() if "\u2588" in line]
        modules = []
        for row in rows:
            modules.append([c in "\u2588\u2580" for c in row])
            modules.append([c in "\u2588\u2584" for c in row])
        scale = 4
        body = bytes(255 if white else 0 for row in modules for _ in range(scale) for white in row for _ in range(scale))
        image = self.lab.folder / "qr.pgm"
        image.write_bytes(b"P5 %d %d 255\n" % (len(modules[0]) * scale, len(modules) * scale) + body)
        read = subprocess.run(["zbarimg", "-q", "--raw", image], capture_output=True, timeout=30)
        self.assertEqual(read.stdout.decode().strip(), uri)

    def test_2_people_change_their_own_keys_with_a_fresh_factor(self):
        key = (self.lab.folder / "id_phone.pub").read_text().strip()
        stale = self.gw("newcomer", "keys", "add", key, identity="laptop")
        self.assertIn(b"SP-9308", stale.stderr)
        self.assertIn(b"SP-9305", self.gw("newcomer", "keys", "add", key, "--code", "000000", identity="laptop").stderr)
        code = self.code(self.seed)
        added = self.gw("newcomer", "keys", "add", key, "--code", code, identity="laptop")
        self.assertEqual(added.stdout, b"Added.\n", added.stderr)
        self.assertIn(b"SP-9305", self.gw("newcomer", "keys", "remove", "SHA256:x", "--code", code, identity="laptop").stderr)
        self.assertFalse([e for e in self.lab.events("selfservice.asked") if code in e.get("command", "")])
        self.assertIn(b"(enrolled)", self.gw("newcomer", "keys", identity="phone").stdout)
        # A key of somebody else is not taken; one that the policy lists is not removed here.
        other = (self.lab.folder / "id_admin.pub").read_text().strip()
        self.assertIn(b"SP-7004", self.gw("newcomer", "keys", "add", other, "--code", self.recovery[0], identity="laptop").stderr)
        fingerprint = subprocess.run(["ssh-keygen", "-lf", self.lab.folder / "id_phone.pub"], capture_output=True, check=True).stdout.split()[1].decode()
        client = self.lab.popen(self.lab.user(principal="newcomer"), "echo up; exec cat", identity="phone")
        self.addCleanup(lambda: (client.kill(), client.wait(), client.stdin.close(), client.stdout.close(), client.stderr.close()))
        self.assertEqual(client.stdout.readline(), b"up\n")
        removed = self.gw("newcomer", "keys", "remove", fingerprint, "--code", self.recovery[1], identity="laptop")
        self.assertEqual(removed.stdout, b"Removed.\n", removed.stderr)
        client.wait(10)
        self.assertIn(b"SP-2015", client.stderr.read())
        self.assertNotEqual(self.gw("newcomer", "whoami", identity="phone").returncode, 0)
        # A recovery code is good once.
        self.assertIn(b"SP-9305", self.gw("newcomer", "keys", "remove", fingerprint, "--code", self.recovery[1], identity="laptop").stderr)
        self.assertEqual(len(self.lab.events("recovery_code.used")), 2)
        # What the policy does not give, nobody enrols.
        self.assertNotEqual(self.gw("admin", "keys", "add", key, identity="admin").returncode, 0)
        self.assertTrue(self.lab.wait_event("enrolment.refused", code="SP-9307", decision="deny"))

    def test_2b_a_code_is_enrolled_later_by_who_logs_in_with_a_key(self):
        self.assertIn(b"SP-9305", self.gw("engineer", "enrol", "totp", "123456").stderr)
        self.assertIn(b"SP-9307", self.gw("admin", "enrol", "totp", identity="admin").stderr)
        # One try for each secret that was shown.
        shown = self.gw("engineer", "enrol", "totp")
        self.assertEqual(shown.returncode, 0, shown.stderr)
        wasted = self.seed_of(shown.stdout.decode())[1]
        self.assertIn(b"SP-9305", self.gw("engineer", "enrol", "totp", "000000").stderr)
        self.assertIn(b"SP-9305", self.gw("engineer", "enrol", "totp", self.code(wasted)).stderr)
        seed = self.seed_of(self.gw("engineer", "enrol", "totp").stdout.decode())[1]
        done = self.gw("engineer", "enrol", "totp", self.code(seed))
        self.assertEqual(done.returncode, 0, done.stderr)
        codes = re.findall(r"^  ((?:[a-z2-7]{4}-){3}[a-z2-7]{4})$", done.stdout.decode(), re.M)
        self.assertEqual(len(codes), 10)
        self.assertTrue(json.loads(self.lab.run_cli("-o", "json", "principal", "enrolled", "engineer", check=True).stdout)["totp"])
        # From here on a change wants it.
        key = (self.lab.folder / "id_other.pub").read_text().strip()
        self.assertIn(b"SP-9308", self.gw("engineer", "keys", "add", key).stderr)
        self.assertIn(b"SP-9308", self.gw("engineer", "enrol", "totp").stderr)
        again = self.gw("engineer", "enrol", "totp", "--code", codes[0])
        self.assertEqual(again.returncode, 0, again.stderr)
        self.assertTrue(self.lab.wait_event("enrolment.changed", **{"for": "engineer", "what": "one-time code"}))
        self.lab.run_cli("principal", "forget", "engineer", check=True)
        self.assertEqual(self.gw("engineer", "whoami").returncode, 0)

    def test_3_a_restart_and_the_policy_decide_what_counts(self):
        self.lab.stop_gateway()
        self.lab.start_gateway()
        self.assertEqual(self.gw("newcomer", "whoami", identity="laptop").returncode, 0)
        self.lab.apply(self.policy(self.lab, enrol="[totp]").replace("name: newcomer, type: person,", "name: newcomer, type: person, keys: [" + json.dumps((self.lab.folder / "id_other.pub").read_text().strip()) + "],"))
        self.assertNotEqual(self.gw("newcomer", "whoami", identity="laptop").returncode, 0)
        self.assertEqual(self.gw("newcomer", "whoami", identity="other").returncode, 0)
        self.lab.apply(self.policy(self.lab))
        self.assertEqual(self.gw("newcomer", "whoami", identity="laptop").returncode, 0)

    def test_4_login_gives_a_certificate_that_plain_ssh_uses_and_a_lock_ends_it(self):
        key = self.lab.folder / "id_short"
        options = [part for option in ("UserKnownHostsFile=" + str(self.lab.folder / "known_hosts"), "GlobalKnownHostsFile=/dev/null", "BatchMode=yes", "IdentitiesOnly=yes", "IdentityAgent=none", "ConnectTimeout=20")
                   for part in ("--ssh-option", option)]
        login = lambda *more: self.lab.run_cli("login", "newcomer@127.0.0.1", "-p", self.lab.port, "--key", key, "-i", self.lab.folder / "id_laptop", *options, *more)
        refused = login()
        self.assertNotEqual(refused.returncode, 0)
        self.assertIn(b"SP-9308", refused.stderr)
        self.assertIn(b"SP-9309", login("--for", "20h", "--code", self.recovery[2]).stderr)
        done = login("--for", "1h", "--from", "here", "--code", self.recovery[3])
        self.assertEqual(done.returncode, 0, done.stderr)
        text = subprocess.run(["ssh-keygen", "-Lf", f"{key}-cert.pub"], capture_output=True, check=True).stdout.decode()
        for part in ("login:newcomer", "newcomer\n", "source-address 127.0.0.1", "permit-pty"):
            self.assertIn(part, text)
        ca = re.search(r"Signing CA: \S+ (\S+)", text).group(1)
        self.assertNotIn(ca, subprocess.run(["ssh-keygen", "-lf", self.lab.folder / "run/keys/user_ca.pub"], capture_output=True).stdout.decode())
        ran = self.gw(self.lab.user(principal="newcomer"), "echo by-certificate", identity="short")
        self.assertEqual(ran.stdout, b"by-certificate\n", ran.stderr)
        self.assertTrue(self.lab.wait_event("certificate.issued", principal="newcomer"))
        # It names one person, makes no further certificate, and no target takes it.
        self.assertNotEqual(self.gw("engineer", "whoami", identity="short").returncode, 0)
        self.assertIn(b"SP-9309", self.gw("newcomer", "certificate", (self.lab.folder / "id_phone.pub").read_text().strip(), identity="short").stderr)
        target = self.lab.targets[0]
        direct = subprocess.run(["ssh", *self.lab.ssh_options("short", StrictHostKeyChecking="no"), "-p", str(target.port), "-l", self.lab.account, target.address, "true"], capture_output=True, timeout=30)
        self.assertNotEqual(direct.returncode, 0)
        # The factor of its making is remembered with its true age: a role that wants a fresh one is content.
        self.lab.apply(self.policy(self.lab, rule="        mfa_within: 1h\n"))
        self.assertEqual(self.gw(self.lab.user(principal="newcomer"), "echo fresh", identity="short").stdout, b"fresh\n")
        self.lab.stop_gateway()
        self.lab.start_gateway()
        wait_for(lambda: self.gw(self.lab.user(principal="newcomer"), "echo still", identity="short").stdout == b"still\n", 20, 0.5)
        self.lab.apply(self.policy(self.lab))
        self.lab.run_cli("lock", "set", "--principal", "newcomer", "--reason", "stolen", check=True)
        self.assertNotEqual(self.gw("newcomer", "whoami", identity="short").returncode, 0)
        self.lab.run_cli("lock", "remove", "--principal", "newcomer", check=True)
        self.assertNotEqual(self.gw("newcomer", "whoami", identity="short").returncode, 0)
        self.assertEqual(self.gw("newcomer", "whoami", identity="laptop").returncode, 0)
        self.assertTrue(self.lab.wait_event("certificate.revoked", principal="newcomer"))

    @needs_paramiko
    def test_5_a_second_factor_is_remembered_for_this_key_and_source(self):
        self.lab.apply(self.policy(self.lab, rule="        mfa_within: 1h\n"))
        user = self.lab.user(principal="newcomer")
        # Plain ssh cannot answer in batch mode.
        self.assertNotEqual(self.gw(user, "true", identity="laptop").returncode, 0)
        code = self.recovery[4]  # as good as a one-time code, once
        connection = paramiko.Transport(socket.create_connection(("127.0.0.1", self.lab.port), 10))
        self.addCleanup(connection.close)
        connection.start_client(timeout=20)
        self.assertEqual(connection.auth_publickey(user, paramiko.Ed25519Key.from_private_key_file(str(self.lab.folder / "id_laptop"))), ["keyboard-interactive"])
        connection.auth_interactive(user, lambda title, text, prompts: [code for _ in prompts])
        for _ in range(3):
            ran = self.gw(user, "echo remembered", identity="laptop")
            self.assertEqual(ran.stdout, b"remembered\n", ran.stderr)
        self.lab.run_cli("lock", "set", "--principal", "newcomer", "--reason", "test", check=True)
        self.lab.run_cli("lock", "remove", "--principal", "newcomer", check=True)
        self.assertNotEqual(self.gw(user, "true", identity="laptop").returncode, 0)
        self.lab.apply(self.policy(self.lab))

    def test_6_forgetting_somebody_takes_all_of_it(self):
        self.lab.run_cli("principal", "forget", "newcomer", check=True)
        self.assertNotEqual(self.gw("newcomer", "whoami", identity="laptop").returncode, 0)
        shown = json.loads(self.lab.run_cli("-o", "json", "principal", "enrolled", "newcomer", check=True).stdout)
        self.assertEqual((shown["keys"], shown["totp"], shown["recovery_codes"]), ([], False, 0))
        self.assertTrue(self.lab.wait_event("enrolment.removed"))

    def test_7_invites_end_and_are_for_those_whom_the_policy_names(self):
        self.assertNotEqual(self.lab.run_cli("principal", "invite", "admin").returncode, 0)
        self.assertNotEqual(self.lab.run_cli("principal", "invite", "nobody").returncode, 0)
        short = self.invite("newcomer", "--for", "1s")["code"]
        time.sleep(1.3)
        self.assertNotEqual(self.gw(short, "enrol", identity="other").returncode, 0)
        made = self.invite("newcomer")
        self.lab.run_cli("principal", "uninvite", made["id"], check=True)
        self.assertNotEqual(self.gw(made["code"], "enrol", identity="other").returncode, 0)
        self.assertTrue(self.lab.wait_event("invite.revoked", invite=made["id"]))


if __name__ == "__main__":
    unittest.main(verbosity=2)
