"""The terminal in the page, in a real Chromium: a session like any other; colours, sizes, paste, a lost connection, files, messages, and who may not."""
import base64, re, time, unittest

from browser import MISSING, Browser
from terminal import Terminal
from lab import wait_for

NARROW = """  - name: narrow
    allow:
      - {channels: [shell], targets: all, accounts: [ACCOUNT]}
      - {channels: [sftp], targets: all, accounts: [ACCOUNT], directions: [down], files: [{path: /etc, allow: [down]}]}
  - name: fileless
    allow:
      - {channels: [shell], targets: all, accounts: [ACCOUNT]}
"""
RIGHTS = "  - {name: watcher, admin: [audit, view, lock]}\n  - name: administrator\n"


@unittest.skipIf(MISSING, MISSING)
class WebTerminal(Browser):
    @classmethod
    def policy(cls, lab):
        return (lab.default_policy().replace("  - name: administrator\n", NARROW.replace("ACCOUNT", lab.account) + RIGHTS)
                .replace("{role: operator, principals: [engineer]}", "{role: operator, principals: [engineer]}\n  - {role: watcher, principals: [auditor]}\n"
                         "  - {role: narrow, principals: [auditor]}\n  - {role: fileless, principals: [admin]}"))

    def sessions(self):
        return self.lab.admin("GET", "/v1/sessions?state=live")[1]["sessions"]

    def open(self, person="engineer"):
        self.sign_in(person)
        self.drive("visit", person=person, path="/")
        self.drive("visit", person=person, path="/terminal?target=target1")
        self.drive("press", person=person, name="Open a terminal")

    def type(self, text, person="engineer"):
        self.drive("type", person=person, text=text)

    def ready(self, person="engineer"):
        self.drive("see", person=person, text="connected")
        wait_for(lambda: re.search(r"[$#]", self.drive("screen", person=person)), 20)

    def tearDown(self):
        self.drive("visit", person="engineer", path="/tokens")
        super().tearDown()

    def test_1_a_shell_that_is_decided_guarded_and_recorded(self):
        self.open()
        self.ready()
        row = self.sessions()[0]
        self.assertEqual((row["principal"], row["target"], row["account"]), ("engineer", "target1", self.lab.account))
        self.assertTrue(row["peer"].startswith("127.0.0.1:"), row)
        self.type("printf '\\033[31mr%s\\033[0m gr\\xc3\\xbc\\xc3\\x9fe\\n' ed; stty size\n")
        self.drive("on_screen", person="engineer", text="grüße")
        size = r"(?m)^(\d+) (\d+)\W*$"
        wait_for(lambda: re.search(size, self.drive("screen", person="engineer")), 15)
        rows, columns = map(int, re.search(size, self.drive("screen", person="engineer")).groups())
        self.assertGreater(rows, 10)
        self.assertGreater(columns, 80)
        self.drive("shot", person="engineer", name="terminal")
        self.assertEqual(self.drive("axe", person="engineer"), [])
        self.drive("size", person="engineer", width=700, height=600)
        time.sleep(0.5)
        self.type("clear; stty size\n")
        wait_for(lambda: (found := re.search(size, self.drive("screen", person="engineer"))) and int(found.group(2)) < columns, 15)
        self.drive("size", person="engineer", width=1280, height=800)
        self.type("exit 7\n")
        self.drive("see", person="engineer", text="ended with status 7")
        opened = self.lab.wait_event("web.terminal_opened", session=row["session"])
        self.assertTrue(opened)
        shown = self.lab.run_cli("export", row["session"], "--format", "text", "--reason", "test", check=True).stdout.decode()
        self.assertIn("grüße", shown)

    def test_2_a_lost_connection_goes_on_where_it_was(self):
        self.open()
        self.ready()
        before = self.sessions()[0]["session"]
        self.type("for i in 1 2 3 4 5 6; do echo tick-$i; sleep 0.5; done\n")
        self.drive("on_screen", person="engineer", text="tick-1")
        self.drive("press", person="engineer", name="Connect again")
        self.drive("on_screen", person="engineer", text="tick-6")
        screen = self.drive("screen", person="engineer")
        self.assertEqual([screen.count(f"\ntick-{i}") for i in range(1, 7)], [1] * 6, screen)
        self.assertEqual(self.sessions()[0]["session"], before)
        self.type("echo still-$((40+2))\n")
        self.drive("on_screen", person="engineer", text="still-42")

    def transfer(self, text, timeout=60_000):
        self.drive("see", person="engineer", text=text, timeout=timeout)

    def test_6_files_go_up_and_down_by_the_rules_and_are_recorded(self):
        here = self.lab.folder / "to-send.bin"
        here.write_bytes(bytes(range(256)) * 8000)
        there = self.lab.folder / "there"
        there.mkdir(mode=0o777, exist_ok=True)
        there.chmod(0o777)
        self.open()
        self.ready()
        session = self.sessions()[0]["session"]
        self.drive("files", person="engineer", label="File to upload", paths=[str(here)])
        self.drive("fill", person="engineer", label="Upload to", value=f"{there}/got.bin")
        self.drive("press", person="engineer", name="Upload", exact=True)
        self.transfer("uploaded")
        self.assertEqual((there / "got.bin").read_bytes(), here.read_bytes())
        self.drive("shot", person="engineer", name="terminal-files")
        self.assertEqual(self.drive("axe", person="engineer"), [])
        # What is there stays unless she says otherwise.
        self.drive("press", person="engineer", name="Upload", exact=True)
        self.transfer("not transferred")
        self.drive("fill", person="engineer", label="Download from", value=f"{there}/got.bin")
        saved = self.drive("save_bytes", person="engineer", name="Download")
        self.assertEqual(base64.b64decode(saved), here.read_bytes())
        self.transfer("downloaded")
        self.drive("fill", person="engineer", label="Download from", value=f"{there}/missing")
        self.drive("key", person="engineer", key="Enter")
        self.transfer("No such file")
        self.type("echo the-shell-$((40+2))\n")  # goes on beside it
        self.drive("on_screen", person="engineer", text="the-shell-42")
        files = self.lab.wait_event("file.closed", session=session) if self.lab.events("file.closed", session=session) else self.lab.events(session=session)
        self.assertTrue(any("got.bin" in str(event) for event in files), files)
        self.assertTrue(self.lab.wait_event("channel.decided", session=session, kind="sftp", decision="allow"))

    def test_7_files_that_the_role_does_not_give_are_refused_and_say_why(self):
        here = self.lab.folder / "small.txt"
        here.write_text("small")
        for person, codes in (("auditor", ("SP-60", "SP-6001")), ("admin", ("SP-", "SP-2"))):
            self.open(person)
            self.ready(person)
            self.drive("files", person=person, label="File to upload", paths=[str(here)])
            self.drive("fill", person=person, label="Upload to", value=f"{self.lab.folder}/refused.txt")
            self.drive("press", person=person, name="Upload", exact=True)
            self.drive("see", person=person, text="not transferred")
            self.assertIn(codes[0], self.drive("text", person=person))
            self.assertFalse((self.lab.folder / "refused.txt").exists())
            self.drive("fill", person=person, label="Download from", value="/etc/hostname")
            if person == "auditor":
                self.assertTrue(self.drive("save_bytes", person=person, name="Download"))
            self.drive("visit", person=person, path="/tokens")

    def test_3_what_the_policy_denies_is_denied_here_too(self):
        self.open("approver")
        self.drive("see", person="approver", text="SP-")
        self.drive("shot", person="approver", name="terminal-denied")

    def test_4_a_page_that_is_closed_ends_the_session(self):
        self.open()
        self.ready()
        self.drive("press", person="engineer", name="Close")
        wait_for(lambda: not self.sessions(), 20)

    def test_5_who_watches_says_something_holds_and_ends(self):
        shell = Terminal(self.lab.ssh_command(self.lab.user(), arguments=("-tt",)), columns=80, rows=24)
        shell.expect(r"[$#] ")
        session = self.sessions()[0]["session"]
        self.sign_in("auditor")
        self.drive("visit", person="auditor", path=f"/sessions/{session}")
        self.drive("press", person="auditor", name="Say something")
        self.drive("fill", person="auditor", label="Text (it is", value="please stop at noon")
        self.drive("key", person="auditor", key="Enter")
        shell.expect(r"auditor says: please stop at noon")
        self.drive("press", person="auditor", name="Hold")
        self.drive("fill", person="auditor", label="Reason (it is", value="a question")
        self.drive("key", person="auditor", key="Enter")
        shell.expect(r"auditor holds this session: a question")
        mark = shell.mark()
        shell.send("echo held-$((40+2))\r")
        shell.quiet(1.5)
        self.assertNotIn("held-42", shell.text[mark:])
        self.drive("press", person="auditor", name="Let it go on")
        self.drive("fill", person="auditor", label="Reason (it is", value="answered")
        self.drive("key", person="auditor", key="Enter")
        shell.expect(r"held-42", mark)
        for name in ("session.message_sent", "session.held", "session.released"):
            self.assertTrue(self.lab.wait_event(name), name)
        shell.send("exit\r")
        shell.wait_end()


if __name__ == "__main__":
    unittest.main(verbosity=2)
