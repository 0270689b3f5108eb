"""tmux and screen on the target: what is typed inside them is judged as in a nested terminal, or a role refuses them."""
import shutil, unittest

from lab import Lab
from terminal import Terminal

RULE = """        - {id: rm-data, reason: it removes the data, remedy: Ask for the change to be deployed., programs: [rm], pattern: "^rm .*/data( |$)"}
"""
LETS = "    guard:\n    - opaque: alert\n      rules:\n" + RULE
REFUSES = LETS + """        - {id: no-multiplexer, reason: it opens terminals inside the terminal, remedy: Open another session instead., programs: [tmux, screen]}
"""
DENIED = r"SP-9100"


class Multiplexers(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.lab = Lab(targets=1, start=False)
        cls.lab.policy_text = lambda: cls.policy(LETS)
        cls.lab.start()
        cls.who = cls.lab.user()
        cls.away = cls.lab.folder / "away"
        cls.away.mkdir()
        cls.away.chmod(0o777)  # the account on the target may be another one
        # A quiet setup: a plain prompt, no status line that ticks, sockets of our own.
        (cls.away / "rc").write_text("PS1='$ '\nunset PROMPT_COMMAND HISTFILE\n")
        (cls.away / "tmux.conf").write_text("set -g status off\nset -g default-command 'bash --noprofile --rcfile " + str(cls.away / "rc") + " -i'\nset -g escape-time 0\n")
        (cls.away / "screenrc").write_text("startup_message off\nvbell off\nshell /bin/bash\ndefscrollback 100\naltscreen on\n")

    @classmethod
    def tearDownClass(cls):
        cls.lab.stop()

    @classmethod
    def policy(cls, guard):
        return cls.lab.default_policy().replace("  - name: administrator\n", guard + "  - name: administrator\n", 1)

    def terminal(self):
        t = Terminal(self.lab.ssh_command(self.who, arguments=["-tt"]))
        self.addCleanup(t.close)
        t.expect(r"[$#%] $")
        t.line("PS1='$ '\r", r"[\r\n]\$ $")
        t.quiet(0.1)
        return t

    def inside(self, t, leave):
        """Inside the multiplexer: a denied line is not run, the shell goes on, another line runs."""
        t.quiet(1.0)
        t.line("echo in''side-$((40+2))\r", r"inside-42")
        t.quiet(0.5)
        t.line("echo one; rm -rf /data\r", DENIED)
        t.quiet(0.5)
        t.line("echo ali''ve-$((40+3))\r", r"alive-43")
        t.quiet(0.3)
        t.line(leave, r"\$ ?")

    @unittest.skipUnless(shutil.which("tmux"), "tmux is missing")
    def test_tmux(self):
        t = self.terminal()
        socket = self.away / "tmux.sock"
        t.send(f"tmux -u -S {socket} -f {self.away / 'tmux.conf'} new\r")
        self.inside(t, "exit\r")
        self.assertTrue(any(e for e in self.lab.events("guard.judged") if "rm-data" in str(e)))

    @unittest.skipUnless(shutil.which("tmux"), "tmux is missing")
    def test_tmux_with_two_panes(self):
        t = self.terminal()
        socket = self.away / "tmux2.sock"
        t.send(f"tmux -u -S {socket} -f {self.away / 'tmux.conf'} new\r")
        t.quiet(1.0)
        t.send("\x02%")  # split left and right: the cursor stands in the right half
        t.quiet(1.0)
        t.line("rm -rf /data\r", DENIED)
        t.quiet(0.5)
        t.send("exit\r")
        t.quiet(0.5)
        t.line("exit\r", r"\$ ?")

    @unittest.skipUnless(shutil.which("screen"), "screen is missing")
    def test_screen(self):
        t = self.terminal()
        t.send(f"mkdir -m 700 {self.away}/screens; SCREENDIR={self.away}/screens screen -c {self.away / 'screenrc'} bash --noprofile --rcfile {self.away / 'rc'} -i\r")
        self.inside(t, "exit\r")


class Refused(unittest.TestCase):
    def test_a_role_refuses_them(self):
        with Lab(targets=1, start=False) as lab:
            lab.policy_text = lambda: lab.default_policy().replace("  - name: administrator\n", REFUSES + "  - name: administrator\n", 1)
            lab.start()
            t = Terminal(lab.ssh_command(lab.user(), arguments=["-tt"]))
            self.addCleanup(t.close)
            t.expect(r"[$#%] $")
            for command in ("tmux new", "screen", "exec tmux", "sh -c 'tmux attach'"):
                t.quiet(0.3)
                t.line(command + "\r", DENIED)
            for command in ("tmux new -d", "screen -dmS x top"):
                self.assertIn(b"SP-9109", lab.ssh(lab.user(), command).stderr)


if __name__ == "__main__":
    unittest.main()
