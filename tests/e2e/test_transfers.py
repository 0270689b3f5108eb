"""sftp, scp of both protocols, rsync, git and bulk under rekeying, with the evidence each leaves."""
import hashlib, os, pathlib, re, subprocess, time, unittest

from lab import Lab, wait_for


def sha(data):
    return hashlib.sha256(data).hexdigest()


class Transfers(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.lab = Lab(targets=1)
        cls.who = cls.lab.user()
        cls.home = cls.lab.targets[0].home_of(cls.lab.account)
        cls.data = os.urandom(5 << 20)
        cls.local = cls.lab.folder / "data.bin"
        cls.local.write_bytes(cls.data)

    @classmethod
    def tearDownClass(cls):
        cls.lab.stop()

    def scp(self, *arguments, **options):
        return subprocess.run(["scp", *self.lab.ssh_options(**options), "-P", str(self.lab.port), *arguments], capture_output=True,
                              stdin=subprocess.DEVNULL, timeout=60)

    def remote(self, path):
        return f"{self.who}@127.0.0.1:{path}"

    def sftp(self, batch, *arguments):
        script = self.lab.folder / "batch"
        script.write_text(batch)
        return subprocess.run(["sftp", *self.lab.ssh_options(), "-P", str(self.lab.port), "-b", str(script), *arguments, f"{self.who}@127.0.0.1"],
                              capture_output=True, stdin=subprocess.DEVNULL, timeout=60)

    def transferred(self, **fields):
        return self.lab.wait_event("file.transferred", sha256=sha(self.data), **fields)

    def test_sftp_up_and_down_with_hashes(self):
        back = self.lab.folder / "back.bin"
        done = self.sftp(f"put {self.local} up.bin\nls -l up.bin\nget up.bin {back}\nrename up.bin new.bin\nrm new.bin\n")
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertEqual(back.read_bytes(), self.data)
        self.assertTrue(self.transferred(direction="up", complete=True))
        self.assertTrue(self.transferred(direction="down", complete=True))

    def test_what_is_moved_in_part_is_told_with_its_range(self):
        back = self.lab.folder / "resumed.bin"
        begin = 300_000
        back.write_bytes(self.data[:begin])
        done = self.sftp(f"put {self.local} resumed.bin\nget -a resumed.bin {back}\n")  # the stock client fetches what it lacks
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertEqual(back.read_bytes(), self.data)
        here = lambda: [e for e in self.lab.events("file.transferred") if e["path"].endswith("/resumed.bin")]  # those of other tests may still come
        wait_for(lambda: len(here()) == 2, 10)
        up, down = sorted(here(), key=lambda e: e["direction"], reverse=True)
        self.assertEqual((up["direction"], up["complete"], up["sha256"]), ("up", True, sha(self.data)))
        self.assertEqual((down["direction"], down["complete"]), ("down", False))
        self.assertEqual(down["ranges"], [{"offset": begin, "length": len(self.data) - begin, "sha256": sha(self.data[begin:])}])

    def test_scp_over_sftp(self):
        back = self.lab.folder / "back-s.bin"
        self.assertEqual(self.scp("-s", str(self.local), self.remote("scp-s.bin")).returncode, 0)
        self.assertEqual(self.scp("-s", self.remote("scp-s.bin"), str(back)).returncode, 0)
        self.assertEqual(back.read_bytes(), self.data)

    def test_scp_of_old(self):
        back = self.lab.folder / "back-o.bin"
        done = self.scp("-O", str(self.local), self.remote("scp-o.bin"))
        self.assertEqual(done.returncode, 0, done.stderr)
        done = self.scp("-O", self.remote("scp-o.bin"), str(back))
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertEqual(back.read_bytes(), self.data)
        self.assertTrue(self.transferred(direction="up"))

    def test_rsync_both_ways(self):
        tree = self.lab.folder / "tree"
        (tree / "deep").mkdir(parents=True, exist_ok=True)
        (tree / "deep" / "a").write_bytes(self.data[:100_000])
        (tree / "b").write_bytes(b"b" * 1000)
        shell = " ".join(["ssh", *map(str, self.lab.ssh_options()), "-p", str(self.lab.port)])
        done = subprocess.run(["rsync", "-az", "-e", shell, f"{tree}/", self.remote("tree/")], capture_output=True, timeout=60)
        self.assertEqual(done.returncode, 0, done.stderr)
        back = self.lab.folder / "tree-back"
        done = subprocess.run(["rsync", "-a", "-e", shell, self.remote("tree/"), f"{back}/"], capture_output=True, timeout=60)
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertEqual((back / "deep" / "a").read_bytes(), self.data[:100_000])
        self.assertTrue(self.lab.wait_event("rsync.finished"))

    def test_git_clone_and_push(self):
        repo = self.lab.folder / "repo"
        env = dict(os.environ, GIT_SSH_COMMAND=" ".join(["ssh", *map(str, self.lab.ssh_options()), "-p", str(self.lab.port)]),
                   GIT_AUTHOR_NAME="a", GIT_AUTHOR_EMAIL="a@a", GIT_COMMITTER_NAME="a", GIT_COMMITTER_EMAIL="a@a", GIT_CONFIG_GLOBAL="/dev/null")
        done = self.lab.ssh(self.who, "rm -rf project.git; git init -q --bare project.git")
        self.assertEqual(done.returncode, 0, done.stderr)
        subprocess.run(["git", "clone", "-q", f"ssh://{self.who}@127.0.0.1:{self.lab.port}/~/project.git", repo], env=env, check=True, capture_output=True, timeout=60)
        (repo / "f").write_bytes(self.data[:50_000])
        for command in (["add", "f"], ["commit", "-qm", "one"], ["push", "-q", "origin", "HEAD:main"]):
            subprocess.run(["git", "-C", repo, *command], env=env, check=True, capture_output=True, timeout=60)
        done = self.lab.ssh(self.who, "git -C project.git rev-parse main")
        self.assertRegex(done.stdout.decode(), r"^[0-9a-f]{40}")

    def bulk(self, mib, limit):
        code = f"import os,hashlib,sys\nh=hashlib.sha256()\nfor i in range({mib}*4):\n b=os.urandom(1<<18); h.update(b); sys.stdout.buffer.write(b)\nsys.stderr.write(h.hexdigest())"
        done = self.lab.ssh(self.who, f"python3 -c '{code}'", timeout=240, RekeyLimit=limit)
        self.assertEqual(len(done.stdout), mib << 20)
        self.assertEqual(sha(done.stdout), done.stderr.decode().strip()[-64:])
        up = os.urandom(1 << 20) * mib
        done = self.lab.ssh(self.who, "sha256sum", input=up, timeout=240, RekeyLimit=limit)
        self.assertEqual(done.stdout.split()[0].decode(), sha(up))

    def test_256_mib_each_way_under_rekeying(self):
        self.bulk(256, "16M")

    def test_32_mib_each_way_under_dense_rekeying(self):
        self.bulk(32, "1M")

    def test_file_rules_limit_what_may_be_moved(self):
        lab = self.lab
        home = f"/home/{lab.account}" if lab.targets[0].is_root else str(pathlib.Path.home())
        lab.ssh(self.who, "mkdir -p in out; echo secret > out/s; echo x > other")
        try:
            lab.apply(lab.default_policy().replace("files: [{path: /, allow: [up, down, change]}]",
                                                   f"files: [{{path: {home}/in, allow: [up]}}, {{path: {home}/out, allow: [down]}}]"))
            done = self.sftp(f"put {self.local} in/ok.bin\n")
            self.assertEqual(done.returncode, 0, done.stderr)
            done = self.sftp(f"get out/s {lab.folder}/s\n")
            self.assertEqual(done.returncode, 0, done.stderr)
            for batch in (f"put {self.local} out/no.bin\n", "get other /dev/null\n", "rm out/s\n", "rename out/s in/s\n", f"put {self.local} in/../no.bin\n"):
                done = self.sftp(batch)
                self.assertNotEqual(done.returncode, 0, batch)
                self.assertRegex(done.stderr.decode(), r"(?m)^sallyport: SP-60\d\d ", batch)  # why, which OpenSSH's sftp does not show of the answer itself
            done = self.sftp("-get other /dev/null\n-get other /dev/null\n-rm out/s\n-ls\n")
            self.assertEqual(sorted(re.findall(r"SP-\d+", done.stderr.decode())), ["SP-6001", "SP-6002"], done.stderr)  # each reason once
            done = subprocess.run(["scp", *lab.ssh_options(), "-P", str(lab.port), str(self.local), self.remote("out/no.bin")], capture_output=True, timeout=60)
            self.assertNotEqual(done.returncode, 0)
            self.assertRegex(done.stderr.decode(), r"(?m)^sallyport: SP-60\d\d ")
            self.assertEqual(lab.ssh(self.who, "cat out/s; ls no.bin in/s out/no.bin").stdout, b"secret\n")
        finally:
            lab.apply(lab.default_policy())


if __name__ == "__main__":
    unittest.main()
