"""Who gets in: passwords, one-time codes, two factors, certificates, machines, counted attempts."""
import base64, ctypes, hashlib, hmac, json, os, pathlib, struct, subprocess, sys, time, unittest

from lab import BIN, Lab, wait_for

sys.path.append("/usr/lib/python3/dist-packages")
try:
    import paramiko
except ImportError:
    paramiko = None
needs_paramiko = unittest.skipIf(paramiko is None, "python3-paramiko is not installed")


def argon2id(password):
    library = ctypes.CDLL("libargon2.so.1")
    encoded = ctypes.create_string_buffer(256)
    salt = os.urandom(16)
    status = library.argon2id_hash_encoded(ctypes.c_uint32(2), ctypes.c_uint32(19456), ctypes.c_uint32(1), password, ctypes.c_size_t(len(password)),
                                           salt, ctypes.c_size_t(16), ctypes.c_size_t(32), encoded, ctypes.c_size_t(256))
    assert status == 0, status
    return encoded.value.decode()


def totp(secret, step=None):
    step = int(time.time()) // 30 if step is None else step
    digest = hmac.new(secret, struct.pack(">Q", step), hashlib.sha1).digest()
    at = digest[-1] & 15
    return f"{(struct.unpack('>I', digest[at:at + 4])[0] & 0x7fffffff) % 1000000:06d}"


class Login(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.lab = Lab(targets=1, start=False)
        cls.ca = cls.lab.folder / "corp_ca"
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", cls.ca], check=True)
        cls.hash = argon2id(b"right horse")
        cls.seed = os.urandom(20)
        cls.lab.add_key("bot")
        cls.lab.policy_text = cls.policy
        cls.lab.start()
        cls.put_secret("totp/two", base64.b32encode(cls.seed), "totp")

    @classmethod
    def tearDownClass(cls):
        cls.lab.stop()

    @classmethod
    def put_secret(cls, name, value, kind):
        subprocess.run([BIN / "sallyport", "--config", cls.lab.folder / "sallyport.yaml", "secret", "put", name, "--kind", kind], input=value,
                       check=True, capture_output=True, timeout=30)

    @classmethod
    def policy(cls):
        lab = cls.lab
        engineer = json.dumps(lab.people["engineer"])
        text = lab.default_policy()
        people = (f"  - {{name: pass, type: person, password: {json.dumps(cls.hash)}}}\n"
                  f"  - {{name: two, type: person, keys: [{engineer}], totp: totp/two}}\n"
                  f"  - {{name: cert, type: person}}\n"
                  f"  - {{name: robot, type: machine, keys: [{json.dumps(lab.people['bot'])}], networks: [127.0.0.0/8], commands: [\"echo fixed words\"]}}\n"
                  f"  - {{name: faraway, type: machine, keys: [{json.dumps(lab.people['admin'])}], networks: [192.0.2.0/24], commands: [\"true\"]}}\n")
        # Keys belong to one principal: two's is the engineer's, who therefore leaves.
        lines = [line for line in text.splitlines() if not line.startswith("  - {name: engineer") and not line.startswith("  - {name: admin,") and not line.startswith("  - {name: bot")]
        text = "\n".join(lines) + "\n"
        text = text.replace("targets:\n", people + "targets:\n", 1).replace("principals: [engineer]", "principals: [pass, cert, robot, faraway]").replace("principals: [admin]", "principals: [auditor]")
        text += "  - {role: careful, principals: [two]}\n"
        text = text.replace("bindings:\n", "  - name: careful\n    allow:\n      - channels: [exec]\n        targets: {labels: {env: lab}}\n"
                            f"        accounts: [{lab.account}]\n        mfa_within: 15m\nbindings:\n", 1)
        key = " ".join(pathlib.Path(f"{cls.ca}.pub").read_text().split()[:2])
        return text + f"trusted_user_cas:\n  - {{name: corp, key: {json.dumps(key)}}}\n"

    # ------------------------------------------------------------- passwords and codes
    def transport(self):
        import socket
        connection = paramiko.Transport(socket.create_connection(("127.0.0.1", self.lab.port), 10))
        connection.start_client(timeout=20)
        self.addCleanup(connection.close)
        return connection

    def run_on(self, connection, command):
        channel = connection.open_session(timeout=20)
        channel.exec_command(command)
        out = b""
        while piece := channel.recv(4096):
            out += piece
        return out

    @needs_paramiko
    def test_a_right_password_opens_and_a_wrong_or_huge_one_does_not(self):
        user = self.lab.user(principal="pass")
        connection = self.transport()
        connection.auth_password(user, "right horse", fallback=False)
        self.assertEqual(self.run_on(connection, "echo in"), b"in\n")
        for wrong in ("wrong horse", "", "x" * 5000):
            with self.assertRaises(paramiko.AuthenticationException):
                self.transport().auth_password(user, wrong, fallback=False)

    @needs_paramiko
    def test_two_factors_and_a_code_is_used_once_ever(self):
        user = self.lab.user(principal="two")
        key = paramiko.Ed25519Key.from_private_key_file(str(self.lab.folder / "id_engineer"))
        code = totp(self.seed)

        def attempt(answer):
            connection = self.transport()
            left = connection.auth_publickey(user, key)
            self.assertEqual(left, ["keyboard-interactive"])
            self.assertFalse(connection.is_authenticated())
            connection.auth_interactive(user, lambda title, text, prompts: [answer for _ in prompts])
            return connection
        self.assertEqual(self.run_on(attempt(code), "echo in"), b"in\n")
        with self.assertRaises(paramiko.AuthenticationException):
            attempt(code)
        with self.assertRaises(paramiko.AuthenticationException):
            attempt("000000")

    @needs_paramiko
    def test_a_changed_user_name_ends_the_connection(self):
        connection = self.transport()
        key = paramiko.Ed25519Key.from_private_key_file(str(self.lab.folder / "id_engineer"))
        self.assertEqual(connection.auth_publickey(self.lab.user(principal="two"), key), ["keyboard-interactive"])
        with self.assertRaises((paramiko.SSHException, EOFError)):
            connection.auth_password(self.lab.user(principal="pass"), "right horse", fallback=False)
        wait_for(lambda: not connection.is_active(), 5)

    @needs_paramiko
    def test_attempts_are_counted(self):
        connection = self.transport()
        refused = 0
        for _ in range(12):
            try:
                connection.auth_publickey(self.lab.user(principal="pass"), paramiko.ECDSAKey.generate())
            except paramiko.AuthenticationException:
                refused += 1
            except (paramiko.SSHException, EOFError):
                break
        self.assertLessEqual(refused, 6)
        wait_for(lambda: not connection.is_active(), 5)

    def test_known_and_unknown_principals_look_alike(self):
        seen = []
        for principal in ("pass", "nobody-at-all"):
            done = self.lab.ssh(self.lab.user(principal=principal), "true", identity="auditor", LogLevel="DEBUG1")
            seen.append([line for line in done.stderr.decode().splitlines() if "Authentications that can continue" in line or "Permission denied" in line])
            seen[-1] = [line.split(": ", 1)[1] if "denied" in line else line for line in seen[-1]]
        self.assertEqual(seen[0], seen[1])

    # ------------------------------------------------------------- certificates
    def certify(self, *options, principals="cert", name="cert_key"):
        key = self.lab.folder / f"id_{name}"
        for path in (key, pathlib.Path(f"{key}.pub"), pathlib.Path(f"{key}-cert.pub")):
            path.unlink(missing_ok=True)
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", key], check=True)
        subprocess.run(["ssh-keygen", "-q", "-s", self.ca, "-I", name, *(["-n", principals] if principals else []), *options, f"{key}.pub"], check=True, capture_output=True)
        return self.lab.ssh(self.lab.user(principal="cert"), "echo in", identity=name)

    def test_certificates_of_a_trusted_authority(self):
        self.assertEqual(self.certify("-V", "-1m:+5m").stdout, b"in\n")
        for title, options, principals in (("another principal", ["-V", "-1m:+5m"], "auditor"), ("no principal", ["-V", "-1m:+5m"], None),
                                           ("expired", ["-V", "-10m:-5m"], "cert"), ("a host certificate", ["-h", "-V", "-1m:+5m"], "cert"),
                                           ("elsewhere", ["-O", "source-address=192.0.2.1/32"], "cert"),
                                           ("unknown option", ["-O", "critical:open-sesame@example.org=1"], "cert")):
            with self.subTest(title):
                done = self.certify(*options, principals=principals)
                self.assertEqual((done.stdout, done.returncode), (b"", 255))
        self.assertEqual(self.certify("-O", "source-address=127.0.0.0/8").stdout, b"in\n")
        done = self.certify("-O", "force-command=echo forced")
        self.assertEqual(done.stdout, b"forced\n", done.stderr)

    def test_what_a_certificate_forbids_is_refused_and_audited(self):
        self.certify("-O", "clear", "-V", "-1m:+5m", name="bare_key")
        done = self.lab.ssh(self.lab.user(principal="cert"), identity="bare_key", arguments=["-W", "127.0.0.1:9"], LogLevel="INFO")
        self.assertIn(b"SP-2022", done.stderr)
        self.assertTrue(self.lab.wait_event("relay.refused", code="SP-2022", request="direct-tcpip"))

    def test_a_revoked_certificate_opens_nothing(self):
        lab = self.lab
        self.assertEqual(self.certify("-V", "-1m:+5m", "-z", "4711", name="revoked_key").stdout, b"in\n")
        krl = lab.folder / "policy" / "revoked.krl"
        subprocess.run(["ssh-keygen", "-q", "-k", "-f", krl, "-s", f"{self.ca}.pub", lab.folder / "id_revoked_key-cert.pub"], check=True)
        text = self.policy().replace("{name: corp,", "{name: corp, krl: revoked.krl,")
        try:
            lab.apply(text)
            done = lab.ssh(lab.user(principal="cert"), "echo in", identity="revoked_key")
            self.assertEqual((done.returncode, done.stdout), (255, b""))
            self.assertTrue(lab.wait_event("auth.attempted", reason="the certificate is revoked", decision="deny"))
            self.assertEqual(self.certify("-V", "-1m:+5m", "-z", "4712", name="other_key").stdout, b"in\n")
        finally:
            krl.unlink()
            lab.apply(self.policy())

    def test_a_certificate_of_another_authority_is_refused(self):
        other = self.lab.folder / "other_ca"
        if not other.exists():
            subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", other], check=True)
        right, type(self).ca = self.ca, other
        try:
            self.assertEqual(self.certify("-V", "-1m:+5m").stdout, b"")
        finally:
            type(self).ca = right

    # ------------------------------------------------------------- machines
    def test_a_machine_runs_exactly_its_commands_from_its_networks(self):
        user = self.lab.user(principal="robot")
        self.assertEqual(self.lab.ssh(user, "echo fixed words", identity="bot").stdout, b"fixed words\n")
        for command in ("echo fixed words; id", "echo  fixed words", "id"):
            done = self.lab.ssh(user, command, identity="bot")
            self.assertEqual(done.stdout, b"", command)
            self.assertIn(b"SP-2017", done.stderr)
        done = self.lab.ssh(self.lab.user(principal="faraway"), "true", identity="admin")
        self.assertEqual(done.returncode, 255)


if __name__ == "__main__":
    unittest.main()
