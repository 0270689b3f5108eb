"""Marks of a shell's integration (OSC 133) as a second witness: exit statuses and starts that nobody entered are written down, and nothing
that prints marks changes a verdict."""
import unittest

from lab import Lab
from terminal import Terminal

GUARD = """    guard:
    - opaque: alert
      marks: true
      rules:
        - {id: rm-data, reason: it removes the data, remedy: Ask for the change to be deployed., programs: [rm], pattern: "^rm .*/data( |$)"}
        - {id: noted, verdict: alert, reason: it is noted, programs: [basename]}
"""
# What bash needs: a mark before each command (PS0), and behind it the status (PROMPT_COMMAND) and the prompt.
INTEGRATION = r"""PS1='$ '
PS0='\e]133;C\a'
PROMPT_COMMAND='printf "\033]133;D;%s\007\033]133;A\007" "$?"'
unset HISTFILE
"""


class Marks(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.lab = Lab(targets=1, start=False)
        cls.lab.policy_text = lambda: cls.lab.default_policy().replace("  - name: administrator\n", GUARD + "  - name: administrator\n", 1)
        cls.lab.start()
        (cls.lab.folder / "rc").write_text(INTEGRATION)

    @classmethod
    def tearDownClass(cls):
        cls.lab.stop()

    def setUp(self):
        self.t = Terminal(self.lab.ssh_command(self.lab.user(), f"bash --noprofile --rcfile {self.lab.folder / 'rc'} -i", arguments=["-tt"]))
        self.addCleanup(self.t.close)
        self.t.expect(r"\$ $")
        self.t.quiet(0.3)

    def line(self, text, says):
        self.t.line(text + "\r", says)
        self.t.quiet(0.3)

    def test_the_exit_status_of_a_noted_line(self):
        self.line("basename /x/first-1; (exit 7)", r"\n\r?first-1\r")
        self.lab.wait_event("guard.finished", status=7)
        self.line("basename /x/second-2", r"\n\r?second-2\r")
        self.lab.wait_event("guard.finished", status=0)
        self.assertFalse(self.lab.events("guard.finished", status=1))

    def test_printed_marks_switch_nothing_off(self):
        forged = r"printf '\033]133;A\007\033]133;B\007\033]133;C\007\033]133;D;0\007'"
        self.line(f"for i in 1 2 3; do {forged}; done; echo for''ged", r"forged")
        self.line("rm -rf /data", r"SP-9100")
        self.line(f"echo al''ive; {forged}", r"alive")
        self.line("true; rm -rf /data", r"SP-9100")

    def test_a_start_that_nobody_entered(self):
        self.line("""bind '"\\C-xz":"echo hid\\C-v\\C-v-$((40+2))\\C-m"'""", r"\$ $")
        self.t.send("\x18z")
        self.t.expect(r"42\r?\n")
        self.t.quiet(0.5)
        self.assertTrue(any("marks/unseen-command" in str(e) for e in self.lab.events("guard.judged")))


if __name__ == "__main__":
    unittest.main()
