"""The command guard in live terminals: real sshd, real shells and programs, a stock client in a pty."""
import os, shutil, subprocess, tempfile, time, unittest

from lab import Lab, wait_for
from terminal import DelayLine, Terminal, Tmux

GUARD = """    guard:
    - opaque: alert
      rules:
        - {id: rm-data, reason: it removes the data, remedy: Ask for the change to be deployed., programs: [rm], pattern: "^rm .*/data( |$)"}
        - {id: hop, reason: it leads to another host, programs: [ssh, telnet]}
        - {id: reason, verdict: confirm, reason: it changes the clock, programs: [hwclock]}
        - {id: ends, verdict: kill, reason: it makes a file system, programs: [mkfs]}
"""
# A shell of its own making: a line runs at Enter, and no other key of control is obeyed.
STUBBORN = """
import os, tty
tty.setraw(0)
line = b""
os.write(1, b"\\r\\n$ ")
while True:
    key = os.read(0, 1)
    if key == b"\\r":
        os.write(1, b"\\r\\nRAN " + line + b"\\r\\n$ ")
        line = b""
    elif key >= b" ":
        line += key
        os.write(1, key)
"""
DENIED = r"SP-9100 the line was not run"


class Guarded(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.lab = Lab(targets=1, start=False)
        cls.lab.policy_text = cls.policy
        cls.lab.start()
        cls.who = cls.lab.user()

    @classmethod
    def tearDownClass(cls):
        cls.lab.stop()

    @classmethod
    def policy(cls, guard=GUARD, port=None):
        text = cls.lab.default_policy()
        if guard:
            text = text.replace("  - name: administrator\n", guard + "  - name: administrator\n", 1)
        if port:
            text = text.replace(f"port: {cls.lab.targets[0].port}", f"port: {port}")
        return text

    def terminal(self, *command, shell=True):
        t = Terminal(self.lab.ssh_command(self.who, *command, arguments=["-tt"]))
        self.addCleanup(t.close)
        if shell:
            self.prompt(t)
        return t

    def prompt(self, t):
        """A prompt that nothing else prints."""
        t.expect(r"[$#%] $")
        t.line("PS1='$ '\r", r"[\r\n]\$ $")
        t.quiet(0.1)

    def denied(self, t, keys, alive="alive"):
        """The line is denied and the shell goes on."""
        t.line(keys, DENIED)
        t.quiet(0.2)
        self.alive(t, alive)

    def alive(self, t, word="alive"):
        t.line(f"echo {word[:2]}''{word[2:]}\r", rf"\n\r?{word}\r?\n")
        t.quiet(0.1)

    # ------------------------------------------------------------------ shells
    def test_a_denied_line_is_not_run_and_bash_goes_on(self):
        t = self.terminal()
        self.alive(t, "before")
        self.denied(t, "rm -rf /data\r")
        event = self.lab.wait_event("guard.judged", verdict="deny")[-1]
        self.assertEqual((event["decision"], event["code"], event["text"]), ("deny", "SP-9100", "rm -rf /data"))
        self.denied(t, "ls; rm -rf /data\r")
        self.denied(t, "rm -rf /data\n")

    def test_zsh_and_dash(self):
        for shell in (["zsh", "-f", "-i"], ["dash", "-i"]):
            if not shutil.which(shell[0]):
                print(f"skipped: no {shell[0]} on this machine")
                continue
            with self.subTest(shell=shell[0]):
                t = self.terminal(*shell)
                self.denied(t, "rm -rf /data\r")
                self.denied(t, "rm -rf /dat\x7fta\r")
                t.close()

    def test_history_search_completion_and_editing(self):
        t = self.terminal()
        t.line("history -s 'rm -rf /data'\r", r"\n\r?\$ $")
        self.denied(t, "\x1b[A\r")
        t.line("history -s 'rm -rf /data'; history -s ls\r", r"\n\r?\$ $")
        self.denied(t, "\x12rm -rf\r")
        self.denied(t, "mr -rf /data\x1b[H\x1b[C\x14\r")
        self.denied(t, " -rf /data\x01rm\r")
        self.denied(t, "rm -rf /da\x1b[D\x1b[Cta\r")
        t.line("set -o vi\r", r"\n\r?\$ $")
        t.send("rm -rf /dxta")
        t.quiet()
        t.send("\x1b")
        t.quiet()
        t.send("hhra")
        t.quiet()
        t.line("\r", DENIED)
        t.quiet()
        self.alive(t)

    def test_completion_and_lines_that_were_given_up(self):
        t = self.terminal()
        with tempfile.TemporaryDirectory(prefix="sp-tab-", dir="/tmp") as folder:
            os.chmod(folder, 0o755)
            for name in ("data", "one", "or; rm -rf data"):
                open(f"{folder}/{name}", "w").close()
            # What the shell completed is part of the line, also when Enter comes in the same packet.
            self.denied(t, f"rm -rf {folder}/da\t\r")
            t.send(f"rm -rf {folder}/da\t")
            t.quiet()
            t.line("\r", DENIED)
            t.quiet(0.2)
            self.assertTrue(os.path.exists(f"{folder}/data"))
            # What it lists to choose from is no part of it.
            t.line(f"echo {folder}/o\t\t", r"rm -rf data")
            t.quiet()
            t.line("ne\r", rf"\n\r?{folder}/one\r?\n")
            t.quiet(0.2)
            # A shell loses the first keys behind Ctrl-C when they come with it: what runs must be the line that was judged.
            for _ in range(3):
                t.line(f"\x03xrm -rf {folder}/data\r", r"xrm: command not found")
                t.quiet(0.2)
            self.assertTrue(os.path.exists(f"{folder}/data"))
        # What was given up is forgotten, what comes after it is judged.
        for given_up, then in (("rm -rf /data\x03", "echo al''lowed\r"), ("rm -rf /da\x03", "echo al''lowed /data\r")):
            t.line(given_up + then, r"\n\r?allowed")
            t.quiet(0.2)
        for given_up in ("echo fine\x03", "cat <<E\rrm -rf\x03"):
            self.denied(t, given_up + "rm -rf /data\r")
        self.assertNotIn("cannot remove", t.text)

    def test_other_keys_that_run_a_line(self):
        """Ctrl-O runs the line and fetches the next of the history; Ctrl-X Ctrl-E gives it to an editor and runs what comes back."""
        t = self.terminal()
        self.denied(t, "rm -rf /data\x0f")
        self.denied(t, "rm -rf /data\x18\x05")
        # What comes back from the editor is not seen: opaque, and this role is told of it.
        t.line("export EDITOR=true\r", r"[$] $")
        t.quiet()
        t.line("echo ma''de\x18\x05", r"made")
        self.assertTrue(self.lab.wait_event("guard.judged", rule="opaque/unseen-input", verdict="alert"))
        self.alive(t)

    def test_long_lines_wide_characters_blocks_and_here_documents(self):
        t = self.terminal()
        self.denied(t, "echo " + "a" * 150 + " && rm -rf /data\r")
        self.denied(t, "echo 漢字漢字 && rm -rf /data\r")
        t.line("rm -rf \\\r", r"\n\r?> $")
        self.denied(t, "/data\r")
        t.line("for i in /data; do\r", r"\n\r?> $")
        t.line("rm -rf $i\r", f"{DENIED}|> $")
        t.quiet()
        if "SP-9100" not in t.text[-800:]:
            t.line("done\r", DENIED)
        t.quiet()
        self.alive(t)
        t.line("cat <<E\r", r"\n\r?> $")
        t.line("rm -rf /data\r", r"\n\r?> $")
        t.line("E\r", r"\n\r?rm -rf /data\r?\n")
        self.alive(t)

    def test_pastes(self):
        t = self.terminal()
        t.line("echo one\rrm -rf /data\recho thr''ee\r", DENIED)
        t.quiet()
        self.assertNotIn("three", t.text)
        self.alive(t)
        t.line("\x1b[200~echo one\rrm -rf /data\recho thr''ee\r\x1b[201~\r", DENIED)
        t.quiet()
        self.assertNotIn("three", t.text)
        self.alive(t)

    def test_blind_typing_and_secrets(self):
        t = self.terminal()
        t.line("read -s -p 'Word: ' w; echo \"g\"'ot' ${#w}\r", r"Word: $")
        t.line("rm -rf /data\r", r"got 12")
        t.line("stty -echo\r", r"\$ $")
        t.quiet()
        t.line("rm -rf /data\r", DENIED)
        t.quiet()
        t.line("stty echo\r", r"\$ $")
        self.alive(t)
        for event in self.lab.events("guard.judged"):
            if not event.get("shown", True):
                self.assertEqual(event["text"], "")

    # ------------------------------------------------------------------ what programs print
    def test_printing_does_not_switch_it_off(self):
        t = self.terminal()
        for trick in (r"\033[?1049h\033[2;1H", r"\033]133;C\007\033]133;D\007", r"\033[?2004l\033[?1h", r"\033[8m", r"\033]0;vim\007\033[?1049h",
                      r"Password: "):
            with self.subTest(trick=trick):
                t.line(f"printf '{trick}'\r", r"\$ $")
                t.quiet(0.15)
                self.denied(t, "rm -rf /data\r")
                t.line("printf '\\033[?1049l\\033[0m'\r", r"\$ $")
                t.quiet(0.1)

    def test_a_shell_that_resists(self):
        t = self.terminal()
        t.line("stty -isig\r", r"\n\r?\$ $")
        for _ in range(2):
            t.line("rm -rf /data\r", DENIED)
            t.quiet(0.4)
        self.assertNotIn("No such file", t.text)

    def test_a_shell_that_never_lets_go_of_a_line(self):
        """No signal, and none of the keys that empty a line do anything: the Enter is withheld, and in the end the session is closed."""
        with tempfile.NamedTemporaryFile("w", suffix=".py") as program:
            program.write(STUBBORN)
            program.flush()
            os.chmod(program.name, 0o644)
            t = self.terminal()
            t.line(f"python3 {program.name}\r", r"\n\$ $")
            t.line("date\r", r"RAN date\r?\n\$ $")
            t.quiet(0.2)
            since = t.mark()
            t.line("rm -rf /data\r", DENIED)
            t.expect(r"SP-9104 ", since)
            t.wait_end()
        self.assertNotIn("RAN", t.text[since:])

    # ------------------------------------------------------------------ programs
    def test_the_pager_of_man_in_a_real_terminal(self):
        if not all(map(shutil.which, ("man", "less", "tmux"))) or subprocess.run(["man", "-w", "ls"], capture_output=True).returncode != 0:
            self.skipTest("no man page, less or tmux on this machine")
        pane = Tmux(self.lab.ssh_command(self.who, arguments=["-tt"]))
        self.addCleanup(pane.close)
        pane.expect(r"[$#%]$")
        pane.type("PS1='$ '")
        pane.keys("Enter")
        pane.expect(r"\n\$$")
        pane.type("man ls")
        pane.keys("Enter")
        pane.expect(r"LS\(1\)[\s\S]*Manual page ls")
        pane.type("!rm -rf /data")
        pane.keys("Enter")
        pane.expect(DENIED)
        pane.keys("q")
        pane.type("q")
        time.sleep(0.3)
        pane.keys("C-u")
        pane.type("echo al''ive")
        pane.keys("Enter")
        pane.expect(r"\nalive\n")
        self.assertNotIn("cannot remove", pane.screen())

    def test_vim_less_and_man(self):
        t = self.terminal()
        vim = next((p for p in ("vim", "vim.tiny", "vi") if shutil.which(p)), None)
        if vim:
            t.line(f"{vim} -u NONE /tmp/none.txt\r", "~")
            t.quiet()
            t.send("irm -rf /data\r")
            t.quiet()
            self.assertNotIn("SP-9100", t.text)
            t.send("\x1b")
            t.quiet()
            t.line(":!rm -rf /data\r", DENIED)
            t.quiet()
            t.send("\x1b\x1b")
            t.quiet(0.2)
            t.line(":q!\r", r"\$ $")
        else:
            print("skipped: no vim on this machine")
        t.line("less /etc/services\r", "tcp")
        t.quiet(0.2)
        t.line("!rm -rf /data\r", DENIED)
        t.quiet()
        t.line("q", r"\$ $")
        self.alive(t)

    def test_nested_shells_and_python(self):
        t = self.terminal()
        t.line("bash --norc\r", r"\$ $")
        t.quiet(0.2)
        self.denied(t, "rm -rf /data\r")
        t.line("exit\r", r"\$ $")
        t.quiet(0.2)
        t.line("python3 -q\r", ">>> $")
        t.line("import os; os.system('rm -rf /data')\r", DENIED)
        t.quiet()
        t.line("exit()\r", r"\$ $")
        self.alive(t)

    def test_tmux_on_the_target(self):
        if not shutil.which("tmux"):
            self.skipTest("no tmux on this machine")
        t = self.terminal()
        t.line("tmux -L guard -f /dev/null new 'PS1=\"$ \" bash --norc'\r", r"\[0\]|\$ ")
        t.quiet(0.8)
        t.line("rm -rf /data\r", DENIED)
        t.quiet()
        t.send("exit\r")
        t.quiet(0.5)
        self.assertNotIn("No such file", t.text)

    # ------------------------------------------------------------------ verdicts
    def test_a_reason(self):
        t = self.terminal()
        t.line("hwclock --version\r", "SP-9101")
        t.line("ticket 4711\r", r"hwclock from|not found|util-linux")
        event = self.lab.wait_event("guard.judged", verdict="confirm", decision="allow")[-1]
        self.assertEqual(event["person"], "ticket 4711")
        t.quiet()
        t.line("hwclock --version\r", "SP-9101")
        t.line("\x03", "SP-9102")
        t.quiet()
        self.alive(t)

    def test_kill(self):
        t = self.terminal()
        t.line("mkfs /dev/none\r", "SP-9108")
        t.wait_end()
        self.assertNotIn("mkfs.ext2", t.text)

    # ------------------------------------------------------------------ exec
    def test_exec_and_standard_input_of_shells(self):
        done = self.lab.ssh(self.who, "rm -rf /data")
        self.assertEqual(done.returncode, 255)
        self.assertIn(b"SP-9109", done.stderr)
        self.assertEqual(self.lab.ssh(self.who, "echo fine").stdout, b"fine\n")
        done = self.lab.ssh(self.who, "bash -s", input=b"echo one\nrm -rf /data\necho two\n")
        self.assertIn(b"SP-9109", done.stderr)
        self.assertNotIn(b"two", done.stdout)
        done = self.lab.ssh(self.who, "bash -s", input=b"echo one\nfor i in 1 2; do\necho n$i\ndone\necho last", timeout=30)
        self.assertEqual(done.stdout, b"one\nn1\nn2\nlast\n")
        done = self.lab.ssh(self.who, "cat", input=b"rm -rf /data\n")
        self.assertEqual(done.stdout, b"rm -rf /data\n")

    def test_new_rules_reach_a_live_terminal_within_a_second(self):
        t = self.terminal()
        self.alive(t)
        self.lab.apply(self.policy(GUARD.replace("programs: [ssh, telnet]", "programs: [ssh, telnet, whoami]")))
        time.sleep(1)
        self.denied(t, "whoami\r")
        self.lab.apply(self.policy())
        time.sleep(1)
        t.line("whoami\r", rf"\n\r?{self.lab.account}\r?\n")

    def test_wrong_rules_are_named_and_the_old_ones_stay(self):
        t = self.terminal()
        folder = self.lab.folder / "wrong"
        folder.mkdir(exist_ok=True)
        for wrong, said in (('pattern: "^rm ("', "missing"), ('patern: "^rm"', "patern")):
            (folder / "policy.yaml").write_text(self.policy(GUARD.replace('pattern: "^rm .*/data( |$)"', wrong)))
            done = self.lab.run_cli("apply", "-f", folder)
            self.assertNotEqual(done.returncode, 0)
            self.assertRegex((done.stdout + done.stderr).decode(), rf"(?s)policy\.yaml:\d+:\d+.*{said}")
            self.denied(t, "rm -rf /data\r")

    # ------------------------------------------------------------------ delay
    def test_verdicts_are_the_same_at_every_delay(self):
        target = self.lab.targets[0]
        for rtt in (20, 100, 400):
            with self.subTest(rtt=rtt):
                line = DelayLine(target.port, rtt, seed=rtt)
                self.addCleanup(line.close)
                self.lab.apply(self.policy(port=line.port))
                t = self.terminal()
                t.send("echo al''ive\rrm -rf /data\r")
                t.expect(DENIED, seconds=20)
                t.quiet(rtt / 500 + 0.3)
                self.assertIn("alive", t.text)
                since = t.mark()
                t.send("mr -rf /data\x1b[H\x1b[C\x14\r")
                t.expect(DENIED, since, 20)
                t.quiet(rtt / 500 + 0.3)
                since = t.mark()
                t.send("\x1b[A\r")  # the newest line of the history ran before: it is allowed
                t.expect("alive", since, 20)
                t.close()
        self.lab.apply(self.policy())

    def test_the_added_wait_is_bounded(self):
        t = self.terminal()
        waits = []
        for number in range(20):
            word = f"n{number}"
            t.send(f"echo {word[0]}''{word[1:]}")
            t.quiet(0.08)
            begin = time.monotonic()
            t.line("\r", rf"\n\r?{word}\r?\n")
            waits.append(time.monotonic() - begin)
        waits.sort()
        self.assertLess(waits[18], 0.3, waits)


if __name__ == "__main__":
    unittest.main()
