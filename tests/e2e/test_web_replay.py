"""Recordings in the page, in a real Chromium: a reason first, what was verified, play and seek, commands, transcript, files, search, watching."""
import time, unittest

from browser import MISSING, Browser
from terminal import Terminal

RIGHTS = "  - {name: watcher, admin: [audit, view]}\n  - name: administrator\n"


@unittest.skipIf(MISSING, MISSING)
class WebReplay(Browser):
    CONFIG = "  checkpoint_every: 1s\n"

    @classmethod
    def policy(cls, lab):
        return (lab.default_policy().replace("  - name: administrator\n", RIGHTS)
                .replace("{role: operator, principals: [engineer]}", "{role: operator, principals: [engineer]}\n  - {role: watcher, principals: [auditor]}"))

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        lab = cls.lab
        shell = Terminal(lab.ssh_command(lab.user(), arguments=("-tt",)), columns=100, rows=30)
        shell.expect(r"[$#] ")
        shell.send("PS1='$ '\r")
        shell.expect(r"\n\r?\$ $")
        shell.line("printf '\\033[32mgreen %s\\033[0m\\n' apples\r", r"green apples")
        time.sleep(3)
        shell.line("echo second-$((20+3))-line\r", r"second-23-line")
        shell.send("exit\r")
        shell.wait_end()
        done = lab.ssh(lab.user(), "echo to-output; echo to-error >&2; exit 3")
        assert done.returncode == 3, done.stderr
        time.sleep(1.2)  # `started` has seconds: the order of the three is told by it
        folder = lab.folder / "up"
        folder.mkdir()
        (folder / "report.txt").write_text("numbers\n")
        import subprocess
        subprocess.run(["sftp", *lab.ssh_options(), "-P", str(lab.port), "-b", "-", f"{lab.user()}@127.0.0.1"], cwd=folder,
                       input=f"put report.txt /tmp/sallyport-web-{lab.port}.txt\nrm /tmp/sallyport-web-{lab.port}.txt\n".encode(), capture_output=True, timeout=60, check=True)
        rows = lab.admin("GET", "/v1/sessions?state=all")[1]["sessions"]
        cls.ids = [row["session"] for row in sorted(rows, key=lambda row: row["started"]) if row["principal"] == "engineer"]
        cls.shell, cls.command, cls.files = cls.ids
        lab.run_cli("index", "--reason", "the page's tests", check=True)
        time.sleep(2.5)  # a checkpoint covers all of it

    def look(self, person, session, more=""):
        self.sign_in(person)
        self.drive("visit", person=person, path=f"/sessions/{session}/replay{more}")
        self.drive("fill", person=person, label="Reason", value="INC-42")
        self.drive("press", person=person, name="Verify and open")

    def test_1_a_recording_is_verified_played_and_sought(self):
        self.sign_in("auditor")
        self.drive("visit", person="auditor", path=f"/sessions/{self.shell}")
        self.drive("click", person="auditor", role="link", name="Replay it")
        self.drive("see", person="auditor", text="Looking at a recording is an event")
        self.drive("shot", person="auditor", name="replay-reason")
        self.drive("fill", person="auditor", label="Reason", value="INC-42")
        self.drive("press", person="auditor", name="Verify and open")
        self.drive("see", person="auditor", text="verified")
        text = self.drive("text", person="auditor")
        self.assertIn("under head", text)
        event = self.lab.wait_event("recording.viewed", session=self.shell)
        self.assertTrue(event)
        self.drive("click", person="auditor", role="tab", name="Lines")
        self.drive("click", person="auditor", role="button", name="second-23-line")
        self.drive("on_screen", person="auditor", text="green apples")
        self.drive("shot", person="auditor", name="replay-seek")
        self.drive("slide", person="auditor", label="Moment of the recording", value=0)
        self.assertNotIn("green apples", self.drive("screen", person="auditor"))
        self.drive("choose", person="auditor", label="Speed", value="16")
        self.drive("press", person="auditor", name="Play")
        self.drive("on_screen", person="auditor", text="second-23-line")
        self.drive("shot", person="auditor", name="replay-played")
        self.drive("click", person="auditor", role="tab", name="Transcript")
        self.drive("see", person="auditor", text="green apples")
        self.assertEqual(self.drive("axe", person="auditor"), [])

    def test_2_a_command_without_a_terminal_shows_both_streams(self):
        self.look("auditor", self.command)
        self.drive("press", person="auditor", name="Play")
        self.drive("on_screen", person="auditor", text="to-error")
        self.assertIn("to-output", self.drive("screen", person="auditor"))
        self.drive("see", person="auditor", text="standard error in red")
        self.drive("click", person="auditor", role="tab", name="Commands")
        self.drive("see", person="auditor", text="echo to-output; echo to-error")
        self.drive("shot", person="auditor", name="replay-exec")

    def test_3_files_are_listed_and_saved(self):
        self.look("auditor", self.files, "?tab=Files")
        self.drive("see", person="auditor", text=f"sallyport-web-{self.lab.port}.txt")
        saved = self.drive("save", person="auditor", name="Save as CSV")
        self.assertIn("sha256", saved.splitlines()[0])
        self.drive("shot", person="auditor", name="replay-files")

    def test_4_a_hit_opens_its_recording_at_that_second(self):
        self.sign_in("auditor")
        self.drive("visit", person="auditor", path="/search?q=second-23-line")
        self.drive("fill", person="auditor", label="Reason", value="INC-42")
        self.drive("key", person="auditor", key="Enter")
        self.drive("see", person="auditor", text="second-23-line")
        self.drive("shot", person="auditor", name="search")
        self.assertEqual(self.drive("axe", person="auditor"), [])
        self.drive("click", person="auditor", role="link", name="from 0:")
        self.assertIn("/replay?channel=", self.drive("address", person="auditor"))
        self.drive("fill", person="auditor", label="Reason", value="INC-42")
        self.drive("press", person="auditor", name="Verify and open")
        self.drive("on_screen", person="auditor", text="second-23-line")
        self.assertTrue(self.lab.wait_event("recording.searched"))

    def test_5_who_may_not_look_is_refused_in_words(self):
        self.look("engineer", self.shell)
        self.drive("see", person="engineer", text="SP-7003")
        self.assertNotIn("green apples", self.drive("text", person="engineer"))

    def test_6_a_running_session_is_watched_as_it_happens(self):
        shell = Terminal(self.lab.ssh_command(self.lab.user(), arguments=("-tt",)), columns=80, rows=24)
        shell.expect(r"[$#] ")
        session = self.lab.admin("GET", "/v1/sessions?state=live")[1]["sessions"][0]["session"]
        self.look("auditor", session)
        self.drive("see", person="auditor", text="live")
        shell.line("echo watched-$((40+2))\r", r"watched-42")
        self.drive("on_screen", person="auditor", text="watched-42")
        self.drive("shot", person="auditor", name="watch")
        shell.send("exit\r")
        shell.wait_end()

    def test_7_a_phone_and_the_dark_are_fine(self):
        self.drive("open", person="phone", width=360, scheme="dark")
        self.tokens["phone"] = self.tokens["auditor"]
        self.drive("see", person="phone", text="Your token")
        for session in (self.shell, self.files):
            self.look("phone", session)
            self.drive("see", person="phone", text="verified")
            self.assertEqual(self.drive("axe", person="phone"), [])
            self.assertFalse(self.drive("overflows", person="phone"))
        self.drive("shot", person="phone", name="replay-phone")


if __name__ == "__main__":
    unittest.main(verbosity=2)
