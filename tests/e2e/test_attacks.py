"""Random attacks on a log that a real gateway recorded: each is found, or said to be not checked. SALLYPORT_ATTACKS says how many (100)."""
import json, os, pathlib, shutil, struct, subprocess, tempfile, time, unittest

import lab as lab_module
from lab import IS_ROOT, Lab, wait_for
from test_clock import with_stepped_clock
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


@unittest.skipUnless(IS_ROOT and shutil.which("patchelf") and shutil.which("cc"), "needs root, patchelf and a C compiler")
class ClockAttacks(unittest.TestCase):
    """The clock is set while a real session is recorded, for all programs or for some of them."""

    def recorded(self, patched, steps, told):
        """A session of three lines, the clock set before the second and third; what verify says, and the Python reader's status."""
        plain = lab_module.BIN
        # The release's session program is linked statically: nothing can be put before its clock. Its journal with a moved clock is among the attacks above.
        if "sallyport-session" in patched and not subprocess.run(["patchelf", "--print-needed", plain / "sallyport-session"], capture_output=True, check=True).stdout.strip():
            self.skipTest("the session program is linked statically, its clock cannot be set; a dynamic build's can")
        programs, clock = with_stepped_clock(plain, patched)
        lab_module.BIN = programs
        self.addCleanup(shutil.rmtree, programs, True)
        try:
            with Lab(config="  checkpoint_every: 1s\n") as lab:
                client = lab.popen(lab.user(), "while read line; do echo got $line; done")
                for number, step in enumerate([0, *steps]):
                    with open(clock, "r+b") as file:
                        file.write(struct.pack("<q", step))
                    if told and number:
                        wait_for(lambda: len(lab.events("clock.stepped")) == number, 20)
                        time.sleep(3)  # the event waits a moment for its place in the journal; the session goes on
                    client.stdin.write(b"%d\n" % number)
                    client.stdin.flush()
                    self.assertEqual(client.stdout.readline(), b"got %d\n" % number)
                client.stdin.close()
                self.assertEqual(client.wait(20), 0)
                lab.wait_event("session.ended")
                lab.stop_gateway()
                with open(clock, "r+b") as file:
                    file.write(bytes(8))
                journal, vkey = lab.folder / "state" / "recorder" / "journal", lab.folder / "run" / "keys" / "checkpoint.vkey"
                done = subprocess.run([plain / "sallyport", "--config", lab.folder / "sallyport.yaml", "-o", "json", "verify", "--journal", journal, "--checkpoint-key", vkey],
                                      capture_output=True, timeout=60)
                reader = subprocess.run(["/usr/bin/python3", ROOT / "docs" / "format" / "sallyport_reader.py", journal, "--vkey", vkey, "--checkpoint", lab.folder / "witness"],
                                        capture_output=True, timeout=120)
                return done.returncode, json.loads(done.stdout), reader
        finally:
            lab_module.BIN = plain

    def test_a_step_that_the_gateway_saw_is_a_notice(self):
        status, report, reader = self.recorded(("sallyport", "sallyport-session"), (3600, -1800), told=True)
        self.assertEqual((status, report["findings"]), (0, []))
        told = [line for line in report["notices"] if "the wall clock was moved" in line and "as the log says" in line]
        self.assertEqual(len(told), 2, report["notices"])
        self.assertEqual(reader.returncode, 0, reader.stderr)

    def test_a_session_whose_clock_is_moved_is_found(self):
        status, report, reader = self.recorded(("sallyport-session",), (7200, 0), told=False)
        self.assertEqual(status, 8)
        [session] = [each["session"] for each in report["sessions"] if each["findings"]]
        found = report["findings"]
        self.assertEqual({(each["kind"], each["session"]) for each in found}, {("clock-moved", session)}, found)
        self.assertIn("moved by 7200", found[0]["text"])
        self.assertGreater(found[0]["first_entry"], 1)
        self.assertIn("T", found[0]["since"])
        self.assertEqual(reader.returncode, 8)
        self.assertIn(f"session {session}: entry {found[0]['first_entry']}: its wall clock was moved", reader.stderr.decode())

    def test_a_recorder_whose_clock_is_moved_is_found(self):
        # The gateway and its log believe another time than the one of the session that was always right.
        status, report, _ = self.recorded(("sallyport",), (-86400,), told=True)
        self.assertEqual(status, 8)
        self.assertEqual({each["kind"] for each in report["findings"]}, {"clock-moved"}, report["findings"])
        self.assertTrue(report["findings"][0]["session"])
        self.assertIn("from the log's", report["findings"][0]["text"])


if __name__ == "__main__":
    unittest.main()
