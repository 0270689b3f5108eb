"""Random attacks on a log that a real gateway recorded: each is found, or said to be not checked. SALLYPORT_ATTACKS says how many (100)."""
import os, pathlib, shutil, subprocess, tempfile, unittest

from lab import Lab
import vault_contents

ROOT = pathlib.Path(__file__).resolve().parents[2]
ATTACKER = pathlib.Path(os.environ.get("SALLYPORT_UNIT_RECORDER", ROOT / "build" / "dev" / "bin" / "unit_recorder"))


@unittest.skipIf(vault_contents.AESGCM is None, "python3-cryptography is not installed")
@unittest.skipUnless(ATTACKER.exists(), f"{ATTACKER} is not built")
class Attacks(unittest.TestCase):
    def test_each_is_found_or_said_to_be_not_checked(self):
        rounds = os.environ.get("SALLYPORT_ATTACKS", "100")
        work = pathlib.Path(tempfile.mkdtemp(prefix="sp-attacks-", dir="/tmp"))
        self.addCleanup(shutil.rmtree, work, True)
        with Lab(config="  checkpoint_every: 1s\n") as lab:
            for number in range(6):
                self.assertEqual(lab.ssh(lab.user(), f"for i in 1 2 3 4 5; do echo session {number} line $i; sleep 0.3; done").returncode, 0)
            lab.stop_gateway()
            shutil.copytree(lab.folder / "state" / "recorder" / "journal", work / "journal")
            shutil.copy(lab.folder / "witness", work / "witness")
            shutil.copy(lab.folder / "run" / "keys" / "checkpoint.vkey", work / "vkey")
            seed = vault_contents.contents(lab.folder / "state")["sallyport/checkpoint"]
        done = subprocess.run([ATTACKER, "[real-log]"], capture_output=True, text=True, timeout=540 if int(rounds) <= 1000 else 3500,
                              env={**os.environ, "SALLYPORT_ATTACKS": rounds, "SALLYPORT_ATTACK_LOG": str(work / "journal"), "SALLYPORT_ATTACK_VKEY": str(work / "vkey"),
                                   "SALLYPORT_ATTACK_NOTES": str(work / "witness"), "SALLYPORT_ATTACK_SEED_HEX": seed.hex()})
        print("\n" + done.stdout.strip())
        self.assertEqual(done.returncode, 0, done.stdout[-3000:] + done.stderr[-1500:])
        self.assertIn(f"{rounds} attacks", done.stdout)


if __name__ == "__main__":
    unittest.main()
