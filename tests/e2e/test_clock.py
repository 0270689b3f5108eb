"""The wall clock steps while sessions live: what is over is over at once, and what was over stays so. Hours across the change to and from
summer time. The programs get a clock of their own (tests/services/stepped_clock.c); the machine's is left alone."""
import datetime, json, pathlib, shutil, struct, subprocess, tempfile, time, unittest

import lab as lab_module
from lab import IS_ROOT, ROOT, ended, wait_for


def with_stepped_clock(programs, patched=("sallyport",)):
    """A copy of the programs; the time of the `patched` ones is the machine's plus what `clock` holds; (folder, clock)."""
    folder = pathlib.Path(tempfile.mkdtemp(prefix="sp-clock-", dir="/tmp"))
    folder.chmod(0o755)
    clock = folder / "clock"
    clock.write_bytes(bytes(8))
    subprocess.run(["cc", "-O1", "-shared", "-fPIC", f'-DOFFSET_FILE="{clock}"', "-o", folder / "clock.so", ROOT / "tests" / "services" / "stepped_clock.c"], check=True)
    for name in ("sallyport", "sallyport-session"):
        shutil.copy2(programs / name, folder / name)
    for name in patched:
        subprocess.run(["patchelf", "--add-needed", folder / "clock.so", folder / name], check=True)
    return folder, clock


@unittest.skipUnless(IS_ROOT and shutil.which("patchelf") and shutil.which("cc"), "needs root, patchelf and a C compiler")
class Clock(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        from test_credentials import VaultLab  # its targets take a key from the vault, which knows no dates
        cls.programs, cls.clock = with_stepped_clock(lab_module.BIN)
        lab_module.BIN = cls.programs
        import test_credentials
        test_credentials.BIN = cls.programs
        cls.lab = VaultLab()
        cls.who = cls.lab.user(account="ops")

    @classmethod
    def tearDownClass(cls):
        cls.lab.stop()
        shutil.rmtree(cls.programs, ignore_errors=True)

    def step_to(self, moment):
        """`moment`: seconds from the machine's time, or a UTC moment."""
        if isinstance(moment, str):
            moment = datetime.datetime.fromisoformat(moment).replace(tzinfo=datetime.timezone.utc).timestamp() - time.time()
        with open(self.clock, "r+b") as file:
            file.write(struct.pack("<q", round(moment)))

    def open(self):
        client = self.lab.popen(self.who, "echo up; cat")
        self.addCleanup(ended, client)
        self.assertEqual(client.stdout.readline(), b"up\n", client.stderr.read() if client.poll() is not None else b"")
        return client

    def lets_in(self):
        done = self.lab.ssh(self.who, "echo in")
        return done.stdout == b"in\n" or done.stderr.split(b" ")[1].decode()

    # The clock of decisions never goes back: these run in this order.
    def test_1_a_step_ends_what_is_over_and_a_step_back_revives_nothing(self):
        begin = datetime.datetime.now(datetime.timezone.utc)
        expires = (begin + datetime.timedelta(seconds=600)).strftime("%Y-%m-%dT%H:%M:%SZ")
        plain = self.lab.secret_policy()
        role = "{role: operator, principals: [engineer]}"
        self.assertIn(role, plain)
        self.lab.apply(plain.replace(role, f"{{role: operator, principals: [engineer], expires: {expires}}}"))
        live = self.open()
        self.step_to(900)
        self.assertEqual(live.wait(10), 255)
        self.assertIn(b"SP-2026", live.stderr.read())
        forward = self.lab.wait_event("clock.stepped")[-1]
        self.assertTrue(forward["alarm"])
        self.assertTrue(890 < forward["by_ms"] / 1000 < 910, forward)
        self.step_to(0)
        wait_for(lambda: len(self.lab.events("clock.stepped")) == 2, 10)
        self.assertLess(self.lab.events("clock.stepped")[-1]["by_ms"], -890_000)
        self.assertEqual(self.lets_in(), "SP-2026")
        self.lab.apply(plain)
        self.assertIs(self.lets_in(), True)

    def test_1b_a_step_back_revives_no_certificate(self):
        ca = self.lab.folder / "corp_ca"
        key = self.lab.add_key("dated")
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", ca], check=True)
        subprocess.run(["ssh-keygen", "-q", "-s", ca, "-I", "dated", "-n", "engineer", "-V", "-1m:+30m", f"{key}.pub"], check=True, capture_output=True)
        text = " ".join(pathlib.Path(f"{ca}.pub").read_text().split()[:2])
        del self.lab.people["dated"]  # nobody has the bare key: only its certificate opens
        plain = self.lab.secret_policy()
        self.lab.apply(plain + f"trusted_user_cas:\n  - {{name: corp, key: {json.dumps(text)}}}\n")

        def gets_in():
            done = self.lab.ssh(self.who, "echo in", identity="dated")
            self.assertIn((done.returncode, done.stdout), ((0, b"in\n"), (255, b"")), done.stderr)
            return done.returncode == 0
        self.assertTrue(gets_in())
        for moment in (2400, 0):
            self.step_to(moment)
            wait_for(lambda: abs(sum(e["by_ms"] for e in self.lab.events("clock.stepped")) - moment * 1000) < 60_000, 10)
            self.assertFalse(gets_in(), moment)
            self.assertIs(self.lets_in(), True, "the engineer's own key has no end")
        refused = self.lab.wait_event("auth.attempted", decision="deny", reason="certificate has expired")
        self.assertEqual(len(refused), 2)
        self.lab.apply(plain)

    def hours(self, text):
        rule = f"        accounts: [\"*\"]\n"
        plain = self.lab.secret_policy()
        self.assertIn(rule, plain)
        self.lab.apply(plain.replace(rule, rule + f"        hours: {text}\n", 1))

    def test_2_the_hour_that_summer_time_skips(self):
        self.step_to("2027-03-28T00:59:30")  # 01:59:30 in Berlin; half a minute later it is 03:00
        self.hours('{from: "01:00", to: "02:30", zone: Europe/Berlin}')
        live = self.open()
        self.step_to("2027-03-28T00:59:56")
        time.sleep(1.5)
        self.assertIsNone(live.poll())
        begin = time.monotonic()
        self.assertEqual(live.wait(15), 255)
        self.assertTrue(0.5 < time.monotonic() - begin < 6, time.monotonic() - begin)
        self.assertIn(b"SP-2007", live.stderr.read())
        self.assertEqual(self.lets_in(), "SP-2007")

    def test_3_the_hour_that_comes_twice(self):
        self.step_to("2027-10-31T00:20:00")  # 02:20 in Berlin, for the first time
        self.hours('{from: "01:00", to: "02:30", zone: Europe/Berlin}')
        self.assertIs(self.lets_in(), True)
        self.step_to("2027-10-31T00:40:00")  # 02:40
        self.assertEqual(self.lets_in(), "SP-2007")
        self.step_to("2027-10-31T01:10:00")  # 02:10, for the second time
        self.assertIs(self.lets_in(), True)
        self.step_to("2027-10-31T01:31:00")
        self.assertEqual(self.lets_in(), "SP-2007")


if __name__ == "__main__":
    unittest.main()
