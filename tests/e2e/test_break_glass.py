"""Break-glass with stock ssh and ssh-keygen: made, signed, opened once, told to every sink; without database; refused when anything is wrong."""
import json, os, pathlib, shutil, signal, sqlite3, subprocess, time, unittest

from lab import ROOT, Lab, wait_for
from receivers import Mail, Webhooks

APPROVERS = {"alice": "ed25519", "bob": "ecdsa", "carol": "rsa"}


class BreakGlass(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.hooks, cls.mail = Webhooks(), Mail()
        cls.addClassCleanup(cls.hooks.stop)
        cls.addClassCleanup(cls.mail.stop)
        cls.lab = lab = Lab(targets=2, start=False)
        cls.addClassCleanup(lab.stop)
        for name, kind in {**APPROVERS, "mallory": "ed25519"}.items():
            lab.add_key(name, kind)
        # A hardware key, in software; without a compiler its approver signs by an ordinary one.
        cls.provider = lab.folder / "security_key.so"
        if shutil.which("cc"):
            subprocess.run(["cc", "-O1", "-shared", "-fPIC", "-o", cls.provider, ROOT / "tests" / "services" / "security_key.c", "-lcrypto"], check=True)
            subprocess.run(["ssh-keygen", "-q", "-t", "ed25519-sk", "-N", "", "-w", cls.provider, "-f", lab.folder / "id_dave"], check=True, stdin=subprocess.DEVNULL)
            lab.people["dave"] = (lab.folder / "id_dave.pub").read_text().strip()
        else:
            lab.add_key("dave")
        approvers = "".join(f"    - {{name: {name}, keys: [{json.dumps(lab.people.pop(name))}]}}\n" for name in (*APPROVERS, "dave"))
        lab.people.pop("mallory")
        # The engineer herself is an approver of other people's envelopes.
        approvers += f"    - {{name: engineer, keys: [{json.dumps(lab.people['engineer'])}]}}\n"
        key = lab.folder / "webhook.key"
        key.write_text("a key of more than sixteen bytes\n")
        lab.extra_config = (f"notify:\n  webhooks: [\"{cls.hooks.url}\"]\n  webhook_key_file: {key}\n  smtp: {cls.mail.url}\n  smtp_plain: true\n"
                            f"  smtp_from: gateway@example.org\n  smtp_to: [security@example.org]\n  retry: 200ms\n")
        lab.policy_text = lambda: lab.default_policy().replace("principals: [engineer]}", "principals: [auditor]}") + \
            f"break_glass:\n  needed: 2\n  max_validity: 90d\n  max_lasts: 2h\n  approvers:\n{approvers}"
        lab.start()
        cls.count = 0
        cls.state = next((lab.folder / "state").rglob("authority.db")).parent

    def make(self, *more, sign=("dave", "bob"), approvers=("alice", "bob", "carol", "dave"), lasts="1h", until="30d"):
        type(self).count += 1
        path = self.lab.folder / f"e{self.count}.envelope"
        words = [w for name in approvers for w in ("--approver", name)]
        done = self.lab.run_cli("-o", "json", "glass", "make", path, "--principal", "engineer", "--key", self.lab.folder / "id_engineer.pub", "--target", "target1",
                                "--account", self.lab.account, *words, "--until", until, "--lasts", lasts, "--reason", "INC-7", *more)
        self.assertEqual(done.returncode, 0, done.stderr)
        made = json.loads(done.stdout)
        for name in sign:
            self.sign(path, name)
        return path, made["id"], made["codes"]

    def sign(self, path, name):
        done = self.lab.run_cli("glass", "sign", path, "--key", self.lab.folder / f"id_{name}", environment={"SSH_SK_PROVIDER": str(self.provider)})
        self.assertEqual(done.returncode, 0, done.stderr)

    def add(self, path):
        return self.lab.run_cli("glass", "add", path)

    def glass(self, *words, identity="engineer"):
        return self.lab.ssh("engineer" if identity == "engineer" else identity, "glass", *words, identity=identity)

    def reach(self, target="target1", command="echo reached"):
        return self.lab.ssh(self.lab.user(target), command)

    def refused(self, done, code, **fields):
        self.assertNotEqual(done.returncode, 0)
        self.assertIn(code.encode(), done.stderr)
        self.assertTrue(self.lab.wait_event("glass.refused", code=code, decision="deny", **fields), (code, fields))

    def test_1_made_signed_opened_once_and_told_everywhere(self):
        path, number, codes = self.make()
        self.assertNotIn(codes["alice"].encode(), path.read_bytes())
        listed = self.lab.run_cli("glass", "show", path).stdout
        self.assertIn(number.encode(), listed)
        self.assertEqual(self.add(path).returncode, 0)
        self.assertIn(b"ready", self.lab.run_cli("glass", "list").stdout)
        drilled = self.lab.run_cli("glass", "drill", number)
        self.assertEqual(drilled.returncode, 0, drilled.stdout + drilled.stderr)
        self.assertIn(b"It would open", self.glass("drill", number).stdout)
        self.assertNotEqual(self.reach().returncode, 0)  # no role lets her
        self.refused(self.glass("open", number, codes["alice"]), "SP-9905", envelope=number)
        self.refused(self.glass("open", number, codes["alice"], codes["alice"].lower()), "SP-9905", envelope=number)
        opened = self.glass("open", number, codes["alice"], codes["carol"])
        self.assertEqual(opened.returncode, 0, opened.stderr)
        self.assertIn(b"+target1@gateway", opened.stdout)
        self.assertEqual(self.reach().stdout, b"reached\n")
        self.assertNotEqual(self.reach("target2").returncode, 0)
        session = self.lab.wait_event("target.decided", decision="allow", rule=f"break-glass envelope {number}")[0]["session"]
        event = self.lab.wait_event("glass.opened", envelope=number, alarm=True, codes_of="alice,carol")[0]
        for text in (e for e in self.lab.events() if e["name"].startswith(("glass.", "selfservice."))):
            for code in codes.values():
                self.assertNotIn(code, json.dumps(text))
        wait_for(lambda: any(json.loads(body)["event"] == "glass.opened" and number in json.loads(body)["text"] for _, body in self.hooks.got), 20, 0.2)
        wait_for(lambda: any("ALARM" in text and number in text for _, _, text in self.mail.got), 20, 0.2)
        status = self.lab.admin("GET", "/v1/status")[1]
        self.assertTrue(any(a["name"] == "glass.opened" for a in status["newest_alarms"]), status)
        played = self.lab.run_cli("export", session, "--format", "text", "--reason", "test")
        self.assertIn(b"reached", played.stdout, played.stderr)
        self.refused(self.glass("open", number, codes["alice"], codes["bob"]), "SP-9904", envelope=number)
        revoked = self.lab.run_cli("glass", "revoke", number, "--reason", "over")
        self.assertEqual(revoked.returncode, 0, revoked.stderr)
        self.assertNotEqual(self.reach().returncode, 0)
        self.assertEqual(event["principal"], "engineer")

    def test_2_what_is_wrong_is_refused_with_code_and_event(self):
        lab = self.lab
        few, number, _ = self.make(sign=("alice",))
        self.refused(self.add(few), "SP-9902", envelope=number)
        own, number, _ = self.make(sign=("alice", "engineer"), approvers=("alice", "bob"))
        self.refused(self.add(own), "SP-9902", envelope=number)
        twice, number, _ = self.make(sign=("alice",))
        self.assertIn(b"counts once", lab.run_cli("glass", "sign", twice, "--key", lab.folder / "id_alice").stderr)
        block = twice.read_text()[twice.read_text().index("-----BEGIN"):]
        twice.write_text(twice.read_text() + block)
        self.refused(self.add(twice), "SP-9902", envelope=number)
        changed, number, _ = self.make()
        changed.write_text(changed.read_text().replace("target: target1", "target: target2"))
        self.refused(self.add(changed), "SP-9902", envelope=number)
        unknown, number, _ = self.make(sign=("alice", "mallory"))
        self.refused(self.add(unknown), "SP-9902", envelope=number)
        other, number, _ = self.make(sign=("alice",))
        text = other.read_text()
        plain = lab.folder / "plain"
        plain.write_text(text[:text.index("-----BEGIN")])
        subprocess.run(["ssh-keygen", "-q", "-Y", "sign", "-n", "file", "-f", lab.folder / "id_bob", plain], check=True, stdin=subprocess.DEVNULL, capture_output=True)
        other.write_text(text + pathlib.Path(f"{plain}.sig").read_text())
        self.refused(self.add(other), "SP-9902", envelope=number)
        long, number, _ = self.make(until="200d")
        self.refused(self.add(long), "SP-9902", envelope=number)
        garbage = lab.folder / "garbage"
        garbage.write_text("sallyport-break-glass 1\nid: x\n")
        self.assertIn(b"line 2", self.add(garbage).stderr)
        # Signed by ssh-keygen alone, without the product.
        stock, number, codes = self.make(sign=())
        text = stock.read_text()
        for name in ("bob", "carol"):
            subprocess.run(["ssh-keygen", "-q", "-Y", "sign", "-n", "break-glass@sallyport", "-f", lab.folder / f"id_{name}", stock], check=True, stdin=subprocess.DEVNULL, capture_output=True)
            text += pathlib.Path(f"{stock}.sig").read_text()
            os.unlink(f"{stock}.sig")
        stock.write_text(text)
        self.assertEqual(self.add(stock).returncode, 0)
        self.refused(self.glass("open", number, codes["alice"], codes["bob"], identity="auditor"), "SP-9901")
        short, late, late_codes = self.make(until="5s")
        self.assertEqual(self.add(short).returncode, 0)
        for _ in range(3):
            self.refused(self.glass("open", number, "AAAA-AAAA-AAAA-AAAA-AAAA", codes["bob"]), "SP-9905", envelope=number)
        self.refused(self.glass("open", number, codes["alice"], codes["bob"]), "SP-9906", envelope=number)
        wait_for(lambda: b"expired" in self.lab.run_cli("glass", "list").stdout, 20, 0.5)
        self.refused(self.glass("open", late, late_codes["alice"], late_codes["bob"]), "SP-9903", envelope=late)
        with open(self.state / "glass" / f"{number}.envelope", "r+b") as file:
            file.seek(60)
            byte = file.read(1)
            file.seek(60)
            file.write(bytes([byte[0] ^ 1]))
        self.restart()
        self.refused(self.glass("open", number, codes["alice"], codes["bob"]), "SP-9901")

    def restart(self, damage=None):
        self.lab.stop_gateway()
        if damage:
            damage(self.state / "authority.db")
        self.lab.start_gateway()

    def test_3_without_database_and_never_twice(self):
        lab = self.lab
        path, number, codes = self.make()
        _, second, more = made = self.make()
        for one in (path, made[0]):
            self.assertEqual(self.add(one).returncode, 0)
        _, third, last = kept = self.make()
        self.assertEqual(self.add(kept[0]).returncode, 0)
        backup = lab.folder / "backup"
        shutil.copytree(self.state / "glass", backup)
        saved = lab.folder / "saved.db"
        lab.stop_gateway()
        shutil.copy(self.state / "authority.db", saved)
        for extra in ("-wal", "-shm"):
            if os.path.exists(self.state / f"authority.db{extra}"):
                os.unlink(self.state / f"authority.db{extra}")
        database = self.state / "authority.db"
        # Corrupt.
        database.write_bytes(b"this is no database" * 1000)
        lab.start_gateway()
        self.assertTrue(lab.wait_event("database.unavailable", 20, alarm=True))
        self.assertIn(b"SP-9907", lab.ssh("auditor", "ls", identity="auditor").stderr)
        self.assertIn(b"SP-9907", lab.ssh(lab.user(principal="auditor"), "true", identity="auditor").stderr)
        self.assertNotEqual(self.reach().returncode, 0)
        opened = self.glass("open", number, codes["bob"], codes["carol"])
        self.assertEqual(opened.returncode, 0, opened.stderr)
        self.assertEqual(self.reach().stdout, b"reached\n")
        self.assertNotEqual(self.reach("target2").returncode, 0)
        self.assertTrue(lab.wait_event("glass.opened", envelope=number, alone=True))
        for pid in lab.gateway_pids("service authority"):
            os.kill(pid, signal.SIGKILL)
        wait_for(lambda: self.reach().stdout == b"reached\n", 30, 0.5)  # what was opened goes on
        self.refused(self.glass("open", number, codes["bob"], codes["carol"]), "SP-9904", envelope=number)
        lab.stop_gateway()
        # Missing, and the folder of envelopes put back from before the opening.
        database.unlink()
        shutil.rmtree(self.state / "glass")
        shutil.copytree(backup, self.state / "glass")
        lab.start_gateway()
        self.assertTrue(lab.wait_event("database.older_refused", 20))
        wait_for(lambda: b"SP-9904" in self.glass("open", number, codes["bob"], codes["carol"]).stderr, 20, 0.5)
        opened = self.glass("open", second, more["alice"], more["carol"])
        self.assertEqual(opened.returncode, 0, opened.stderr)
        self.assertEqual(self.reach().stdout, b"reached\n")
        lab.stop_gateway()
        # Locked by somebody else.
        shutil.copy(saved, database)
        for extra in ("-wal", "-shm"):
            if os.path.exists(f"{database}{extra}"):
                os.unlink(f"{database}{extra}")
        holder = sqlite3.connect(database, isolation_level=None)
        self.addCleanup(holder.close)
        holder.execute("PRAGMA locking_mode=EXCLUSIVE")
        holder.execute("BEGIN EXCLUSIVE")
        lab.start_gateway()
        opened = self.glass("open", third, last["alice"], last["bob"])
        self.assertEqual(opened.returncode, 0, opened.stderr)
        self.assertEqual(self.reach().stdout, b"reached\n")
        # No recorder, no break-glass.
        holder.execute("ROLLBACK")
        holder.close()
        self.restart()
        wait_for(lambda: lab.ssh("auditor", "whoami", identity="auditor").returncode == 0, 20, 0.5)
        path, number, codes = self.make("--drill")
        self.assertEqual(self.add(path).returncode, 0)
        pids = lab.gateway_pids("service recorder")
        for pid in pids:
            os.kill(pid, signal.SIGSTOP)
        try:
            self.assertNotEqual(self.lab.ssh("engineer", "glass", "open", number, codes["bob"], codes["carol"], timeout=90).returncode, 0)
        finally:
            for pid in pids:
                os.kill(pid, signal.SIGCONT)


if __name__ == "__main__":
    unittest.main()
