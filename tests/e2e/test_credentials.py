"""Secrets that are lent and never shown: passwords and keys of targets, host keys, the vault's seal, plaintext nowhere."""
import os, pathlib, pty, re, select, signal, subprocess, sys, threading, time, unittest

from lab import BIN, IS_ROOT, Lab, ended, wait_for

PASSPHRASE = b"correct horse battery staple"
needs_root = unittest.skipUnless(IS_ROOT, "accounts with passwords of their own need root")


class VaultLab(Lab):
    """target1: deploy by vaulted password, ops by vaulted private key; the secrets are put by the command line."""

    def __init__(self, **more):
        super().__init__(targets=1, policy=lambda: self.secret_policy(), **more)

    def start(self):
        super().start()
        self.store_secrets()

    def secret_policy(self):
        text = self.default_policy()
        text = text.replace("{name: deploy, credentials: [certificate]}", "{name: deploy, credentials: [{password: pw/target1/deploy}]}")
        text = text.replace("{name: ops, credentials: [certificate]}", "{name: ops, credentials: [{key: ssh/target1/ops}]}")
        return text.replace(f"accounts: [{self.account}]", "accounts: [\"*\"]")

    def store_secrets(self):
        self.password = "deploy-target1-pw"
        self.put("pw/target1/deploy", self.password.encode(), "password")
        key = self.folder / "ops_key"
        if not key.exists():
            subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "", "-f", key], check=True)
        self.private_key = key.read_text()
        self.put("ssh/target1/ops", key.read_bytes(), "ssh-key")
        (self.targets[0].folder / "authorized" / "ops").write_text(pathlib.Path(f"{key}.pub").read_text())
        for path in (key, pathlib.Path(f"{key}.pub")):
            path.unlink()  # from here on the vault alone has it

    def put(self, name, value, kind):
        done = subprocess.run([BIN / "sallyport", "--config", self.folder / "sallyport.yaml", "secret", "put", name, "--kind", kind], input=value,
                              capture_output=True, timeout=30)
        assert done.returncode == 0, done.stderr

    def target_log(self):
        return (self.targets[0].folder / "log").read_text(errors="replace")


def places_with(needles, folders):
    """Files below `folders` that hold one of the byte strings."""
    found = []
    for folder in folders:
        for path in pathlib.Path(folder).rglob("*"):
            if not path.is_file() or path.is_symlink():
                continue
            data = path.read_bytes()
            found += [(str(path), needle[:12]) for needle in needles if needle in data]
    return found


@needs_root
class Secrets(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.lab = VaultLab(config="log:\n  level: debug\n")

    @classmethod
    def tearDownClass(cls):
        cls.lab.stop()

    def labels_of(self, user, account):
        before = {e["session"] for e in self.lab.events("session.started")}
        done = self.lab.ssh(user, "id -un", LogLevel="DEBUG3")
        self.assertEqual(done.stdout.decode().strip(), account, done.stderr[-2000:])
        self.assertNotIn(self.lab.password.encode(), done.stderr)
        return ({e["session"] for e in self.lab.events("session.started")} - before).pop()

    def test_a_vaulted_password_logs_in_and_its_lease_ends_with_the_session(self):
        session = self.labels_of(self.lab.user(account="deploy"), "deploy")
        self.assertIn("Accepted password for deploy", self.lab.target_log())
        self.assertTrue(self.lab.wait_event("lease.ended", session=session))
        self.assertTrue(self.lab.wait_event("session.ended", session=session))
        names = [e["name"] for e in self.lab.events(session=session)]
        for name in ("lease.asked", "lease.started", "target.connected", "lease.ended", "session.ended"):
            self.assertIn(name, names)
        started = self.lab.events("lease.started", session=session)[0]
        self.assertEqual((started["kind"], started["secret"]), ("password", "pw/target1/deploy"))

    def test_a_vaulted_private_key_signs_one_login(self):
        session = self.labels_of(self.lab.user(account="ops"), "ops")
        self.assertIn("Accepted publickey for ops", self.lab.target_log())
        self.assertTrue(self.lab.wait_event("lease.ended", session=session))
        self.assertEqual(self.lab.events("lease.started", session=session)[0]["kind"], "key")

    def test_a_lease_lives_as_long_as_its_session(self):
        client = self.lab.popen(self.lab.user(account="deploy"), "echo up; cat")
        self.addCleanup(ended, client)
        self.assertEqual(client.stdout.readline(), b"up\n")
        rows = {row["name"]: row["leases"] for row in self.lab.admin("GET", "/v1/secrets")[1]["secrets"]}
        self.assertEqual(rows["pw/target1/deploy"], 1)
        self.assertEqual(self.lab.run_cli("secret", "delete", "pw/target1/deploy").returncode, 6)
        client.stdin.close()
        client.wait(10)
        wait_for(lambda: {row["name"]: row["leases"] for row in self.lab.admin("GET", "/v1/secrets")[1]["secrets"]}["pw/target1/deploy"] == 0, 10)

    def test_a_wrong_and_a_missing_secret_refuse_with_a_code(self):
        self.lab.put("pw/target1/deploy", b"not the password", "password")
        done = self.lab.ssh(self.lab.user(account="deploy"), "true")
        self.assertIn(b"SP-3007", done.stderr)
        self.assertTrue(self.lab.wait_event("target.login_failed", code="SP-3007"))
        self.lab.put("pw/target1/deploy", self.lab.password.encode(), "password")
        text = self.lab.secret_policy().replace("pw/target1/deploy", "pw/nowhere")
        self.lab.apply(text)
        try:
            done = self.lab.ssh(self.lab.user(account="deploy"), "true")
            self.assertEqual(done.returncode, 255)
            self.assertRegex(done.stderr, b"SP-30(07|10)")
            self.assertTrue(self.lab.wait_event("lease.failed", secret="pw/nowhere"))
        finally:
            self.lab.apply(self.lab.secret_policy())
        self.assertEqual(self.lab.ssh(self.lab.user(account="deploy"), "echo again").stdout, b"again\n")

    def test_no_secret_stands_anywhere_in_plaintext(self):
        canary = b"canary-5d0c1f7e9a"
        self.lab.put("pw/canary", canary, "password")
        for account in ("deploy", "ops"):
            self.assertEqual(self.lab.ssh(self.lab.user(account=account), "true").returncode, 0)
        key_line = self.lab.private_key.splitlines()[3].encode()
        needles = [canary, self.lab.password.encode(), key_line, self.lab.private_key.encode()]
        places = [self.lab.folder / "state", self.lab.folder / "run", self.lab.shm]
        self.assertEqual(places_with(needles, places), [])
        self.assertEqual([n for n in needles if n in (self.lab.folder / "gateway.log").read_bytes()], [])
        self.assertTrue(list((self.lab.folder / "state").rglob("*.db")), "the vault's database was looked at")
        self.assertTrue(places_with([b"pw/canary"], places), "names are not secret: the search itself works")

    def test_a_wrong_host_key_is_alarmed_in_status(self):
        other = self.lab.folder / "other_host"
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", other], check=True)
        key = " ".join((self.lab.folder / "other_host.pub").read_text().split()[:2])
        text = self.lab.secret_policy()
        for real in self.lab.targets[0].host_keys.values():
            text = text.replace(f'"{real}"', f'"{key}"')
        self.lab.apply(text)
        before = len(re.findall("Accepted|Failed|Invalid", self.lab.target_log()))
        try:
            done = self.lab.ssh(self.lab.user(account="deploy"), "true")
            self.assertIn(b"SP-3006", done.stderr)
        finally:
            self.lab.apply(self.lab.secret_policy())
        self.assertEqual(len(re.findall("Accepted|Failed|Invalid", self.lab.target_log())), before, "no authentication byte went there")
        self.assertEqual(self.lab.events("lease.started", secret="pw/target1/deploy", session=self.lab.events("target.hostkey_refused")[-1]["session"]), [])
        status = self.lab.run_cli("status").stdout.decode()
        self.assertRegex(status, r"ALARM .* target\.hostkey_refused: .*target target1.*SP-3006")
        self.assertIn(b"SP-3006", self.lab.run_cli("events", "--alarms").stdout)


class Targets(unittest.TestCase):
    """A machine is brought under the gateway by the commands of the tutorial."""

    def test_scan_add_apply_setup(self):
        with Lab(targets=1) as lab:
            target = lab.targets[0]
            scanned = lab.run_cli("target", "scan", target.address, "--port", target.port, check=True)
            lines = subprocess.run(["ssh-keygen", "-lf", target.folder / "keys" / "host_ed25519.pub"], capture_output=True, check=True).stdout.decode()
            fingerprint = lines.split()[1]
            self.assertIn(fingerprint, scanned.stdout.decode())
            self.assertIn(target.host_keys["ed25519"].split()[1], scanned.stdout.decode())
            folder = lab.folder / "policy"
            text = (folder / "policy.yaml").read_text()
            arguments = ["target", "add", "fresh", "--address", target.address, "--port", target.port, "--account", lab.account, "--label", "env=lab"]
            refused = lab.run_cli(*arguments, "-f", folder)
            self.assertEqual(refused.returncode, 2)
            self.assertIn(fingerprint, refused.stderr.decode())
            self.assertFalse((folder / "target-fresh.yaml").exists())
            lab.run_cli(*arguments, "-f", folder, "--yes", check=True)
            entry = (folder / "target-fresh.yaml").read_text()
            self.assertIn(target.host_keys["ed25519"], entry)
            self.assertEqual(lab.run_cli(*arguments, "-f", folder, "--yes").returncode, 6, "it exists")
            self.assertIn("    allow_networks: [loopback]\n", entry, "it was said to be at a loopback address")
            entry = entry.replace("    allow_networks: [loopback]\n", "")
            (folder / "target-fresh.yaml").write_text(entry)
            lab.run_cli("apply", "-f", folder, check=True)
            setup = lab.run_cli("target", "setup", "fresh", check=True).stdout.decode()
            self.assertIn("TrustedUserCAKeys", setup)
            self.assertIn(f"{lab.account}@fresh", setup)
            done = lab.ssh(lab.user(target="fresh"), "true")
            self.assertIn(b"SP-3005", done.stderr, "loopback is dialled only where the definition names it")
            (folder / "target-fresh.yaml").write_text(entry.replace("    accounts:", "    allow_networks: [loopback]\n    accounts:"))
            lab.run_cli("apply", "-f", folder, check=True)
            done = lab.ssh(lab.user(target="fresh"), "true")
            self.assertIn(b"SP-3007", done.stderr, "its sshd does not know the principal yet")
            with open(target.folder / "principals" / lab.account, "a") as f:
                f.write(f"{lab.account}@fresh\n")
            self.assertEqual(lab.ssh(lab.user(target="fresh"), "echo in").stdout, b"in\n")
            self.assertEqual(text, (folder / "policy.yaml").read_text())
            self.assertEqual(lab.run_cli("target", "scan", "127.0.0.1", "--port", "1").returncode, 7)
            self.assertEqual(lab.run_cli("target", "setup", "nowhere").returncode, 3)


class SealedLab(Lab):
    """Sealed by a passphrase."""

    def __init__(self, **more):
        super().__init__(config="seal:\n  source: passphrase\n", **more)

    def run_cli(self, *arguments, **more):
        if arguments and arguments[0] == "init":
            done = self.with_passphrase(PASSPHRASE, "init")
            assert done.returncode == 0, done.stderr
            return done
        return super().run_cli(*arguments, **more)

    def start_gateway(self):
        """It comes up sealed, says so to who connects, and is opened by hand."""
        def open_it():
            wait_for((self.folder / "run" / "admin.sock").exists, 15)
            command = ["ssh", "-F", "/dev/null", "-o", "BatchMode=yes", "-o", "StrictHostKeyChecking=no", "-o", "UserKnownHostsFile=/dev/null", "-p", str(self.port)]

            def told():
                self.answer_while_sealed = subprocess.run([*command, "engineer@127.0.0.1", "true"], stdin=subprocess.DEVNULL, capture_output=True, timeout=20).stderr
                return b"SP-" in self.answer_while_sealed
            try:
                wait_for(told, 10, 0.3)
            finally:
                self.opened = self.with_passphrase(PASSPHRASE, "vault", "unseal")
        opener = threading.Thread(target=open_it)
        opener.start()
        try:
            super().start_gateway()
        finally:
            opener.join()
        assert self.opened.returncode == 0, self.opened.stderr

    def with_passphrase(self, passphrase, *arguments):
        return subprocess.run([BIN / "sallyport", "--config", self.folder / "sallyport.yaml", *arguments], input=passphrase + b"\n",
                              capture_output=True, timeout=60)

    def vault_files(self):
        return {str(p): p.read_bytes() for p in sorted((self.folder / "state" / "vault").rglob("*")) if p.is_file() and not p.name.endswith(("-shm", "-wal"))}


class Seal(unittest.TestCase):
    def test_sealed_by_a_passphrase(self):
        with SealedLab(targets=1) as lab:
            self.assertIn(b"SP-3011", lab.answer_while_sealed)
            self.assertIn(b"the vault is sealed", lab.answer_while_sealed)
            self.assertEqual(lab.ssh(lab.user(), "echo in").stdout, b"in\n")
            live = lab.popen(lab.user(), "echo up; cat", RekeyLimit="1M")
            self.addCleanup(ended, live)
            self.assertEqual(live.stdout.readline(), b"up\n")
            moving = lab.popen(lab.user(), "echo up; cat >/dev/null", RekeyLimit="1M")
            self.addCleanup(ended, moving)
            self.assertEqual(moving.stdout.readline(), b"up\n")

            lab.run_cli("vault", "seal", check=True)
            status = lab.run_cli("status")
            self.assertEqual(status.returncode, 7)
            self.assertIn(b"sealed", status.stdout)
            self.assertIn(b"sealed", lab.run_cli("vault", "status").stdout)
            live.stdin.write(b"still here\n")
            live.stdin.flush()
            self.assertEqual(live.stdout.readline(), b"still here\n", "live sessions go on")
            refused = lab.ssh(lab.user(), "echo in", timeout=40)
            self.assertEqual((refused.returncode, refused.stdout), (255, b""))
            self.assertIn(b"sealed", refused.stderr)

            # New keys need the host key's signature: the next exchange (here after 1 MiB) ends the session, and an event says why.
            moving.communicate(bytes(2 << 20), timeout=30)
            self.assertEqual(moving.returncode, 255)
            lab.wait_event("client.refused", code="SP-3011", decision="deny", principal="engineer", seconds=20)

            before = lab.vault_files()
            wrong = lab.with_passphrase(b"correct horse battery stable", "vault", "unseal")
            self.assertEqual(wrong.returncode, 4)
            self.assertIn(b"SP-7007", wrong.stderr)
            self.assertEqual(lab.vault_files(), before, "a wrong key writes nothing")
            time.sleep(1.1)  # one attempt a second after a wrong one
            self.assertEqual(lab.with_passphrase(PASSPHRASE, "vault", "unseal").returncode, 0)
            self.assertEqual(lab.ssh(lab.user(), "echo in").stdout, b"in\n")
            names = [e["name"] for e in lab.events()]
            self.assertIn("vault.sealed", names)
            self.assertIn("vault.unsealed", names)
            self.assertTrue(lab.events("client.refused", code="SP-3011", decision="deny"))
            live.stdin.close()
            self.assertEqual(live.wait(10), 0)

    def test_it_comes_back_sealed_and_sessions_that_live_rekey_when_it_is_opened_again(self):
        with SealedLab(targets=1) as lab:
            live = lab.popen(lab.user(), "cat", RekeyLimit="1M")
            self.addCleanup(ended, live)
            block = os.urandom(256 * 1024)

            def pass_through():
                live.stdin.write(block)
                live.stdin.flush()
                got = b""
                while len(got) < len(block):
                    got += live.stdout.read1(len(block) - len(got))
                return got == block
            self.assertTrue(pass_through())
            old = lab.gateway_pids("service vault")
            for pid in old:
                os.kill(pid, signal.SIGKILL)
            wait_for(lambda: [p for p in lab.gateway_pids("service vault") if p not in old], 20)
            wait_for(lambda: b"sealed" in lab.run_cli("vault", "status").stdout, 10, 0.3)
            live.stdin.write(b"x" * 1000)
            live.stdin.flush()
            self.assertEqual(len(live.stdout.read(1000)), 1000, "a live session goes on with what it holds")
            self.assertEqual(lab.with_passphrase(PASSPHRASE, "vault", "unseal").returncode, 0)
            for _ in range(24):  # several rekeyings
                self.assertTrue(pass_through())
            live.stdin.close()
            self.assertEqual(live.wait(10), 0)


@needs_root
class Order(unittest.TestCase):
    """One account with three credentials: each is tried when the one before it was not accepted, and the record says which it was."""

    @classmethod
    def setUpClass(cls):
        cls.lab = VaultLab(start=False)
        cls.addClassCleanup(cls.lab.stop)
        cls.target = cls.lab.targets[0]
        cls.target.extra_config = "LogLevel DEBUG1"
        cls.lab.start()
        key = cls.lab.folder / "deploy_key"
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "", "-f", key], check=True)
        cls.public = pathlib.Path(f"{key}.pub").read_text()
        cls.lab.put("ssh/target1/deploy", key.read_bytes(), "ssh-key")
        cls.policy = cls.lab.secret_policy().replace("credentials: [{password: pw/target1/deploy}]", "credentials: [certificate, {key: ssh/target1/deploy}, {password: pw/target1/deploy}]")
        cls.lab.apply(cls.policy)
        cls.ca = (cls.target.folder / "user_ca.pub").read_text()

    def log_in(self, ca, key):
        """What the target accepted, what the gateway's event says, and the target's log of this login."""
        (self.target.folder / "user_ca.pub").write_text(self.ca if ca else "")
        (self.target.folder / "authorized" / "deploy").write_text(self.public if key else "")
        before, seen = len(self.lab.target_log()), {e["sequence"] for e in self.lab.events("target.connected")}
        done = self.lab.ssh(self.lab.user(account="deploy"), "id -un")
        self.assertEqual(done.stdout, b"deploy\n", done.stderr)
        log = self.lab.target_log()[before:]
        told = [e for e in self.lab.events("target.connected") if e["sequence"] not in seen]
        self.assertEqual(len(told), 1, told)
        return re.findall(r"Accepted (\S+) for deploy .*?(ED25519-CERT|ED25519|ssh2$)", log, re.M), told[0]["credential"], log

    def test_1_the_certificate_comes_first_and_nothing_else_is_shown(self):
        accepted, credential, log = self.log_in(ca=True, key=True)
        self.assertEqual((accepted, credential), ([("publickey", "ED25519-CERT")], "certificate"))
        self.assertNotRegex(log, r"Failed (publickey|password)")
        # Key id and serial name the session; the target's own log leads to its recording.
        session = self.lab.events("target.connected")[-1]["session"]
        accepted_as, = re.findall(r"Accepted publickey for deploy .* ED25519-CERT \S+ ID (.*) \(serial (\d+)\) CA", log)
        self.assertEqual(accepted_as[0], session)
        self.assertGreater(int(accepted_as[1]), 0)

    def test_2_then_the_vaulted_key_bound_to_the_host_key(self):
        accepted, credential, log = self.log_in(ca=False, key=True)
        self.assertEqual((accepted, credential), ([("publickey", "ED25519")], "agent"))
        self.assertNotIn("method password", log)
        # The signature that was accepted covers the target's own host key (PROTOCOL of OpenSSH, section 3.3): this sshd offers it.
        self.assertEqual(re.findall(r"method (\S+)", log.split("Accepted publickey")[0])[-1], "publickey-hostbound-v00@openssh.com")

    def test_3_then_the_vaulted_password(self):
        accepted, credential, log = self.log_in(ca=False, key=False)
        self.assertEqual((accepted, credential), ([("password", "ssh2")], "password"))
        self.assertLess(log.index("method publickey"), log.index("method password"))

    def test_1b_the_principals_of_the_certificate_are_the_targets_own(self):
        principals = self.target.folder / "principals" / "deploy"
        before, policy = principals.read_text(), self.policy
        self.addCleanup(principals.write_text, before)
        self.addCleanup(self.lab.apply, policy)
        credentials = "credentials: [certificate, {key: ssh/target1/deploy}, {password: pw/target1/deploy}]"
        self.lab.apply(policy.replace("{name: deploy, " + credentials, "{name: deploy, principals: [\"of-{target}-as-{account}\"], credentials: [certificate]"))
        self.assertIn("of-target1-as-deploy\n", self.lab.run_cli("target", "setup", "target1", check=True).stdout.decode())
        (self.target.folder / "user_ca.pub").write_text(self.ca)
        done = self.lab.ssh(self.lab.user(account="deploy"), "id -un")
        self.assertIn(b"SP-3007", done.stderr, "the sshd lists deploy@target1 only")
        principals.write_text("of-target1-as-deploy\n")
        self.assertEqual(self.lab.ssh(self.lab.user(account="deploy"), "id -un").stdout, b"deploy\n")

    def test_4_with_none_accepted_nobody_gets_in(self):
        (self.target.folder / "user_ca.pub").write_text("")
        (self.target.folder / "authorized" / "deploy").write_text("")
        self.lab.put("pw/target1/deploy", b"not the password", "password")
        self.addCleanup(self.lab.put, "pw/target1/deploy", self.lab.password.encode(), "password")
        done = self.lab.ssh(self.lab.user(account="deploy"), "id -un")
        self.assertEqual((done.returncode, done.stdout), (255, b""))
        self.assertIn(b"SP-3007", done.stderr)


if __name__ == "__main__":
    unittest.main()
