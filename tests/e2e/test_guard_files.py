"""Scripts that came earlier (scp, sftp, a here-document, an exec request) are judged when a later session of the same person runs them on that
target; and `guard check --as --target` tells the same beforehand."""
import json, subprocess, time, unittest

from lab import Lab
from terminal import Terminal

GUARD = """    guard:
    - opaque: {unseen-file: alert, nested-shell: alert, unseen-input: alert}
      rules:
        - {id: rm-data, reason: it removes the data, remedy: Ask for the change to be deployed., programs: [rm], pattern: "^rm .*/data( |$)"}
"""
EVIL = "#!/bin/sh\n# routine\ncd /\nrm -rf /data\n"
KIND = "#!/bin/sh\necho kind-$((40+2))\n"


class WrittenFiles(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.lab = Lab(targets=2, start=False)
        cls.lab.policy_text = lambda: cls.lab.default_policy().replace("  - name: administrator\n", GUARD + "  - name: administrator\n", 1)
        cls.lab.start()
        cls.who = cls.lab.user()
        cls.away = cls.lab.folder / "away"
        cls.away.mkdir()
        cls.away.chmod(0o777)  # the account on the target may be another one

    @classmethod
    def tearDownClass(cls):
        cls.lab.stop()

    def local(self, name, text):
        path = self.lab.folder / name
        path.write_text(text)
        return path

    def copy(self, program, path, to, *more):
        options = [*self.lab.ssh_options(), "-P", str(self.lab.port)]
        if program == "scp":
            run = subprocess.run(["scp", *more, *options, str(path), f"{self.who}@127.0.0.1:{to}"], capture_output=True, timeout=60)
        else:
            run = subprocess.run(["sftp", "-q", *options, "-b", "-", f"{self.who}@127.0.0.1"], input=f"put {path} {to}\n".encode(), capture_output=True, timeout=60)
        self.assertEqual(run.returncode, 0, run.stderr)

    def refused(self, *command, user=None):
        done = self.lab.ssh(user or self.who, *command)
        self.assertIn(b"SP-9109", done.stderr + done.stdout, (command, done))
        self.assertIn(b"rm-data", done.stderr + done.stdout)

    def runs(self, *command, says=b"kind-42"):
        done = self.lab.ssh(self.who, *command)
        self.assertIn(says, done.stdout, (command, done))

    def test_a_script_that_came_by_sftp(self):
        to = self.away / "by-sftp.sh"
        self.copy("sftp", self.local("a.sh", EVIL), to)
        self.refused("sh", str(to))
        self.refused(f"cd {self.away} && bash ./by-sftp.sh")
        self.refused(f"cat {to} | sh")

    def test_a_script_that_came_by_scp(self):
        for name, how in (("new", ()), ("old", ("-O",))):
            to = self.away / f"by-scp-{name}.sh"
            self.copy("scp", self.local("b.sh", EVIL), to, *how)
            self.refused(f"chmod +x {to}; {to}")

    def test_a_script_in_a_folder(self):
        self.copy("scp", self.local("into.sh", EVIL), str(self.away) + "/", "-O")
        self.refused("sh", str(self.away / "into.sh"))

    def test_a_harmless_script_runs_and_its_new_contents_count(self):
        to = self.away / "kind.sh"
        self.copy("sftp", self.local("c.sh", KIND), to)
        self.runs("sh", str(to))
        self.copy("sftp", self.local("c.sh", EVIL), to)
        self.refused("sh", str(to))
        self.copy("sftp", self.local("c.sh", KIND), to)
        self.runs("sh", str(to))

    def test_a_script_that_an_exec_request_made(self):
        to = self.away / "made.sh"
        done = self.lab.ssh(self.who, f"printf '%s\\n' 'rm -rf /data' > {to}")
        self.assertEqual(done.returncode, 0, done)
        self.refused("sh", str(to))

    def test_a_script_that_a_terminal_made(self):
        to = self.away / "typed.sh"
        t = Terminal(self.lab.ssh_command(self.who, arguments=["-tt"]))
        self.addCleanup(t.close)
        t.expect(r"[$#%] $")
        t.line("PS1='$ '\r", r"[\r\n]\$ $")
        for line in (f"cat > {to} <<'E'\r", "cd /\r"):
            t.line(line, r"> $")
        t.line("rm -rf /data\r", r"> $|SP-9100")
        t.line("E\r", r"\$ $")
        t.line("exit\r", r"exit|logout|closed")
        self.refused("sh", str(to))

    def test_what_was_edited_is_opaque(self):
        to = self.away / "edited.sh"
        self.copy("sftp", self.local("d.sh", EVIL), to)
        done = self.lab.ssh(self.who, f"sed -i s/rm/echo/ {to}")
        self.assertEqual(done.returncode, 0, done)
        before = len(self.lab.events("guard.judged"))
        done = self.lab.ssh(self.who, "sh", str(to))
        self.assertEqual(done.returncode, 0, done)
        self.assertIn(b"-rf /data", done.stdout)
        deadline = time.time() + 10
        while time.time() < deadline and len(self.lab.events("guard.judged")) == before:
            time.sleep(0.1)
        newest = self.lab.events("guard.judged")[-1]
        self.assertIn("unseen-file", json.dumps(newest))

    def test_another_target_and_large_files_are_opaque(self):
        to = self.away / "here.sh"
        self.copy("sftp", self.local("e.sh", KIND), to)
        done = self.lab.ssh(self.lab.user("target2"), "sh", str(to))  # both targets are this machine: the file is there
        self.assertEqual(done.returncode, 0, done)
        large = self.away / "large.sh"
        self.copy("sftp", self.local("f.sh", "#!/bin/sh\n" + "# filler\n" * 4000 + "echo kind-$((40+2))\n"), large)
        self.runs("sh", str(large))
        self.assertTrue(any("unseen-file" in json.dumps(e) for e in self.lab.events("guard.judged")))


class CheckAs(unittest.TestCase):
    """`sallyport guard check --as --target`, against a living gateway and against a folder."""
    @classmethod
    def setUpClass(cls):
        cls.lab = Lab(targets=1, start=False)
        cls.lab.policy_text = lambda: cls.lab.default_policy().replace("  - name: administrator\n", GUARD + "  - name: administrator\n", 1)
        cls.lab.start()

    @classmethod
    def tearDownClass(cls):
        cls.lab.stop()

    def check(self, command, *more):
        done = self.lab.run_cli("-o", "json", "guard", "check", command, "--as", "engineer", "--target", "target1", *more)
        return done, json.loads(done.stdout) if done.stdout.strip().startswith(b"{") else {}

    def test_by_the_gateways_policy(self):
        done, said = self.check("echo x; rm -rf /data")
        self.assertEqual(said.get("verdict"), "deny", done)
        self.assertIn("rm-data", json.dumps(said["findings"]))
        done, said = self.check("rm -rf /var/lib")  # no rule of this role, whatever the packs say
        self.assertEqual(said.get("verdict"), "allow", done)

    def test_by_a_folder(self):
        folder = self.lab.folder / "other-policy"
        folder.mkdir()
        text = self.lab.policy_text().replace("rm-data", "in-the-folder")
        (folder / "policy.yaml").write_text(text)
        done, said = self.check("rm -rf /data", "-f", str(folder))
        self.assertEqual(said.get("verdict"), "deny", done)
        self.assertIn("in-the-folder", json.dumps(said["findings"]))

    def test_nobody_and_nowhere(self):
        done = self.lab.run_cli("guard", "check", "ls", "--as", "nobody", "--target", "target1")
        self.assertNotEqual(done.returncode, 0, done)
        done = self.lab.run_cli("guard", "check", "ls", "--as", "engineer", "--target", "nowhere")
        self.assertNotEqual(done.returncode, 0, done)


if __name__ == "__main__":
    unittest.main()
