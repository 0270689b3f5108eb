"""Machines of somebody else's that co-sign the log's checkpoints, and a verifier that insists on them."""
import json, pathlib, shutil, subprocess, tempfile, unittest

from lab import BIN, Lab, wait_for


class Witnesses(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.store = pathlib.Path(tempfile.mkdtemp(prefix="sp-store-", dir="/tmp"))
        cls.lab = Lab(config=f"  checkpoint_every: 1s\nstore:\n  url: dir:{cls.store}\n  segment_every: 1s\n")
        cls.vkey = cls.lab.folder / "checkpoint.vkey"
        shutil.copy(cls.lab.folder / "run" / "keys" / "checkpoint.vkey", cls.vkey)
        cls.journal = cls.lab.folder / "state" / "recorder" / "journal"
        cls.keys = {}
        for name in ("north", "south"):
            done = cls.lab.run_cli("witness", "key", "--key", cls.lab.folder / f"{name}.key", "--name", name, check=True)
            cls.keys[name] = done.stdout.decode().strip()

    @classmethod
    def tearDownClass(cls):
        cls.lab.stop()
        shutil.rmtree(cls.store, ignore_errors=True)

    def sign(self, name, *place):
        """As on a machine without any gateway: no configuration, only files and public keys."""
        home = self.lab.folder / f"home-{name}"
        done = subprocess.run([BIN / "sallyport", "-o", "json", "--config", "/nonexistent", "witness", "sign", "--key", self.lab.folder / f"{name}.key", "--into",
                               self.lab.folder / f"{name}.signed", "--state", home, "--checkpoint-key", self.vkey, *map(str, place)],
                              capture_output=True, timeout=60, env={"PATH": "/usr/bin:/bin", "HOME": str(home)})
        return done.returncode, json.loads(done.stdout) if done.stdout.strip() else {}, done.stderr.decode()

    def verify(self, *arguments):
        done = self.lab.run_cli("-o", "json", "verify", "--forget", "--journal", self.journal, "--checkpoint-key", self.vkey, *arguments)
        report = json.loads(done.stdout) if done.stdout.strip() else {}
        return done.returncode, report, [finding["kind"] for finding in report.get("findings", [])]

    def new_session(self, text):
        before = self.verify()[1]["signed_leaves"]
        self.assertEqual(self.lab.ssh(self.lab.user(), f"echo {text}").returncode, 0)
        wait_for(lambda: (lambda report: report["signed_leaves"] > before and report["signed_leaves"] == report["leaves"])(self.verify()[1]), 30)

    def test_1_two_witnesses_sign_one_from_files_one_from_the_store(self):
        self.new_session("first")
        status, north, told = self.sign("north", "--journal", self.journal)
        self.assertEqual((status, north.get("signed"), north.get("witness")), (0, True, "north"), told)
        self.assertEqual(self.sign("north", "--journal", self.journal)[0], 0)

        def south_has_seen():
            status, south, told = self.sign("south", "--store", f"dir:{self.store}")
            return status == 0 and south["leaves"] >= north["leaves"]
        wait_for(south_has_seen, 30)
        both = [argument for name in self.keys for argument in ("--witness-key", self.keys[name], "--checkpoint", self.lab.folder / f"{name}.signed")]
        status, report, kinds = self.verify(*both)
        self.assertEqual((status, kinds, report["witnesses"]), (0, [], 2), report)
        self.assertGreaterEqual(report["witnessed_leaves"], north["leaves"])

    def test_2_a_verifier_insists_on_as_many_as_it_wants(self):
        only_north = ("--witness-key", self.keys["north"], "--checkpoint", self.lab.folder / "north.signed", "--witness-key", self.keys["south"])
        status, report, kinds = self.verify(*only_north)
        self.assertEqual((status, kinds, report["witnesses"]), (8, ["witnesses-missing"], 1), report)
        self.assertEqual(self.verify(*only_north, "--witnesses", "1")[0], 0)
        self.assertEqual(self.verify(*only_north, "--witnesses", "3")[0], 2, "more witnesses than keys")
        self.assertEqual(self.verify("--witness-key", self.vkey, "--checkpoint", self.lab.folder / "north.signed")[0], 2, "the log vouches for itself")
        text = (self.lab.folder / "north.signed").read_text()
        at = text.index("\u2014 north ") + 30
        forged = self.lab.folder / "forged"
        forged.write_text(text[:at] + ("A" if text[at] != "A" else "B") + text[at + 1:])
        self.assertIn("witness-signature", self.verify("--witness-key", self.keys["north"], "--checkpoint", forged)[2])
        # What came after the witnesses is said to be unwitnessed, not called false.
        self.new_session("second")
        status, report, _ = self.verify("--witness-key", self.keys["north"], "--checkpoint", self.lab.folder / "north.signed")
        self.assertEqual(status, 0, report)
        self.assertTrue(any("1 witness signed" in line for line in report["not_checked"]), report["not_checked"])

    def test_3_another_past_is_not_signed(self):
        older = self.lab.folder / "older"
        shutil.copytree(self.journal, older)
        self.new_session("third")
        self.assertEqual(self.sign("north", "--journal", self.journal)[1].get("signed"), True)
        signed = (self.lab.folder / "north.signed").read_text()
        for name, change in (("rolled back", lambda data: data), ("changed", lambda data: data[:len(data) // 2] + bytes([data[len(data) // 2] ^ 1]) + data[len(data) // 2 + 1:])):
            shown = self.lab.folder / name
            shutil.copytree(older if name == "rolled back" else self.journal, shown)
            path = sorted(shown.glob("*.journal"))[0]
            path.write_bytes(change(path.read_bytes()))
            status, _, told = self.sign("north", "--journal", shown)
            self.assertEqual(status, 8, f"{name}: {told}")
            self.assertIn("nothing was signed", told)
        self.assertEqual((self.lab.folder / "north.signed").read_text(), signed)
        # A key is never overwritten, and never guessed.
        self.assertEqual(self.lab.run_cli("witness", "key", "--key", self.lab.folder / "north.key", "--name", "north").returncode, 6)
        self.assertNotEqual(self.lab.run_cli("witness", "sign", "--key", self.vkey, "--into", self.lab.folder / "x", "--journal", self.journal).returncode, 0)
        self.assertFalse((self.lab.folder / "x").exists())


if __name__ == "__main__":
    unittest.main()
