#!/usr/bin/env python3
"""Stock sftp, scp -O and rsync against real server programs, with a gate in the stream. Usage: transfers.py GATE_PIPE [TEST...]"""
import hashlib
import json
import os
import pathlib
import shutil
import subprocess
import sys
import tempfile
import unittest

GATE = os.path.abspath(sys.argv.pop(1)) if len(sys.argv) > 1 else ""
NEEDED = ["sftp", "scp", "rsync"]
SFTP_SERVER = "/usr/lib/openssh/sftp-server"


def sha256(data):
    return hashlib.sha256(data).hexdigest()


class Transfers(unittest.TestCase):
    def setUp(self):
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="sallyport-gates-"))
        self.addCleanup(shutil.rmtree, self.folder)
        self.here = self.folder / "here"
        self.there = self.folder / "there"
        self.other = self.folder / "other"
        for part in (self.here, self.there, self.other):
            part.mkdir()
        self.events_file = self.folder / "events"

    def run_client(self, words, text=None, **settings):
        environment = dict(os.environ, GATE_EVENTS=str(self.events_file), LC_ALL="C")
        for name, value in settings.items():
            environment["GATE_" + name.upper()] = str(value)
        self.events_file.unlink(missing_ok=True)
        done = subprocess.run(words, input=text, text=True, capture_output=True, env=environment, timeout=120, cwd=self.here)
        self.said = done.stdout + done.stderr
        return done.returncode

    def sftp(self, *commands, **settings):
        return self.run_client(["sftp", "-b", "-", "-D", GATE], "\n".join(commands) + "\n", **settings)

    def scp(self, *words, **settings):
        return self.run_client(["scp", "-O", "-S", GATE, *words], **settings)

    def rsync(self, *words, **settings):
        return self.run_client(["rsync", "-e", GATE, *words], **settings)

    def events(self, name=None):
        if not self.events_file.exists():
            return []
        lines = [json.loads(line) for line in self.events_file.read_text().splitlines()]
        return [line for line in lines if name is None or line["event"] == name]

    def transferred(self, **wanted):
        found = [e for e in self.events("file.transferred") if all(e[k] == v for k, v in wanted.items())]
        self.assertEqual(len(found), 1, (wanted, self.events(), self.said))
        return found[0]

    def rules(self, rights="udc"):
        return f"{self.there}={rights}"

    # ---- sftp

    def test_sftp_moves_30_megabytes_each_way_with_equal_hashes(self):
        data = os.urandom(30_000_001)
        (self.here / "big").write_bytes(data)
        self.assertEqual(self.sftp(f"put big {self.there}/big", f"get {self.there}/big back"), 0, self.said)
        self.assertEqual((self.there / "big").read_bytes(), data)
        self.assertEqual((self.here / "back").read_bytes(), data)
        for direction in ("up", "down"):
            told = self.transferred(direction=direction)
            self.assertEqual((told["path"], told["size"], told["sha256"], told["complete"], told["result"]),
                             (f"{self.there}/big", len(data), sha256(data), True, "ok"))
            self.assertNotIn("ranges", told)

    def test_sftp_survives_any_cut_of_the_stream(self):
        data = os.urandom(70_001)
        (self.here / "f").write_bytes(data)
        for chunk in (1, 7, 13, 1000):
            self.assertEqual(self.sftp(f"put f {self.there}/f", f"get {self.there}/f back", f"ls -l {self.there}", chunk=chunk), 0, self.said)
            self.assertEqual((self.here / "back").read_bytes(), data)
            for direction in ("up", "down"):
                self.assertEqual(self.transferred(direction=direction)["sha256"], sha256(data))

    def test_sftp_empty_file_is_complete(self):
        (self.here / "empty").write_bytes(b"")
        self.assertEqual(self.sftp(f"put empty {self.there}/empty", f"get {self.there}/empty back"), 0, self.said)
        for direction in ("up", "down"):
            told = self.transferred(direction=direction)
            self.assertEqual((told["size"], told["complete"], told["sha256"]), (0, True, sha256(b"")))

    def test_sftp_resume_gives_ranges(self):
        data = os.urandom(3_000_000)
        start = 1_000_000
        (self.there / "far").write_bytes(data)
        (self.here / "near").write_bytes(data)
        (self.here / "far").write_bytes(data[:start])
        (self.there / "near").write_bytes(data[:start])
        self.assertEqual(self.sftp(f"reget {self.there}/far far", f"reput near {self.there}/near"), 0, self.said)
        self.assertEqual((self.here / "far").read_bytes(), data)
        self.assertEqual((self.there / "near").read_bytes(), data)
        for direction in ("up", "down"):
            told = self.transferred(direction=direction)
            self.assertFalse(told["complete"])
            self.assertNotIn("sha256", told)
            self.assertEqual(told["ranges"], [{"offset": start, "length": len(data) - start, "sha256": sha256(data[start:])}])

    def test_sftp_refused_paths_read_permission_denied_and_stay_untouched(self):
        (self.other / "secret").write_text("secret")
        (self.here / "f").write_text("text")
        for command in (f"get {self.other}/secret", f"put f {self.other}/f", f"get {self.there}/../other/secret", f"rm {self.other}/secret",
                        f"mkdir {self.other}/d", f"ls {self.other}", f"rename {self.other}/secret {self.there}/secret",
                        f"symlink {self.other}/secret {self.there}/link", f"ln {self.other}/secret {self.there}/hard",
                        f"symlink ../other/secret {self.there}/link", f"chmod 777 {self.other}/secret"):
            self.assertEqual(self.sftp(command, rules=self.rules()), 1, command)
            self.assertRegex(self.said.lower(), "permission denied|sp-600|not found", command)
            refused = self.events("file.refused")
            self.assertTrue(refused, command)
            self.assertEqual(refused[0]["decision"], "deny")
        self.assertEqual(sorted(p.name for p in self.other.iterdir()), ["secret"])
        self.assertEqual(list(self.there.iterdir()), [])
        self.assertEqual((self.other / "secret").read_text(), "secret")

    def test_sftp_rights_are_apart(self):
        (self.there / "f").write_text("text")
        (self.here / "g").write_text("text")
        get, put, remove = f"get {self.there}/f", f"put g {self.there}/g", f"rm {self.there}/f"
        self.assertEqual([self.sftp(c, rules=self.rules("d")) for c in (get, put, remove)], [0, 1, 1])
        self.assertEqual([self.sftp(c, rules=self.rules("u")) for c in (put, get, remove)], [0, 1, 1])
        self.assertEqual([self.sftp(c, rules=self.rules("c")) for c in (get, put, remove)], [1, 1, 0])

    def test_sftp_changes_are_told_with_both_ends_and_result(self):
        (self.there / "a").write_text("a")
        self.assertEqual(self.sftp(f"rename {self.there}/a {self.there}/b", f"symlink b {self.there}/l", f"ln {self.there}/b {self.there}/h",
                                   f"mkdir {self.there}/d", f"rmdir {self.there}/d", f"chmod 600 {self.there}/b", f"ls {self.there}",
                                   f"-rm {self.there}/none", f"rm {self.there}/h", rules=self.rules()), 0, self.said)
        told = [(e["operation"], e["path"], e.get("other"), e["result"]) for e in self.events("file.changed")]
        there = str(self.there)
        for wanted in (("posix-rename", f"{there}/a", f"{there}/b", "ok"), ("symlink", f"{there}/b", f"{there}/l", "ok"),
                       ("hardlink", f"{there}/b", f"{there}/h", "ok"), ("mkdir", f"{there}/d", None, "ok"), ("rmdir", f"{there}/d", None, "ok"),
                       ("setstat", f"{there}/b", None, "ok"), ("remove", f"{there}/h", None, "ok")):
            self.assertIn(wanted, told)
        self.assertEqual(os.readlink(self.there / "l"), "b")
        self.assertTrue(self.events("file.listed"))

    def test_sftp_relative_paths_are_taken_from_the_home_directory(self):
        (self.here / "f").write_text("text")  # sftp-server starts here
        self.assertEqual(self.sftp("get f back", rules=f"{self.here}=d"), 0, self.said)
        self.assertEqual(self.transferred(direction="down")["path"], f"{self.here}/f")
        self.assertEqual(self.sftp("get f back", rules=f"{self.there}=d"), 1)

    def test_sftp_size_limit_cuts_both_ways(self):
        (self.here / "big").write_bytes(bytes(1_000_000))
        (self.there / "big").write_bytes(bytes(1_000_000))
        (self.here / "fits").write_bytes(bytes(500_000))
        self.assertEqual(self.sftp(f"put big {self.there}/up", max=500_000), 1)
        self.assertFalse(self.transferred(direction="up")["complete"])
        self.assertEqual(self.transferred(direction="up")["result"], "SP-6008")
        self.assertLessEqual((self.there / "up").stat().st_size, 500_000)
        self.assertEqual(self.sftp(f"get {self.there}/big down", max=500_000), 1)
        self.assertEqual(self.transferred(direction="down")["result"], "SP-6008")
        self.assertEqual(self.sftp(f"put fits {self.there}/fits", f"get {self.there}/fits back", max=500_000), 0, self.said)
        self.assertTrue(self.transferred(direction="down")["complete"])

    def test_sftp_new_rules_cut_a_running_transfer(self):
        (self.here / "big").write_bytes(bytes(8_000_000))
        (self.there / "big").write_bytes(bytes(8_000_000))
        settings = dict(rules=self.rules(), new_rules=f"{self.other}=udc", new_rules_after=2_000_000)
        self.assertEqual(self.sftp(f"put big {self.there}/up", **settings), 1)
        self.assertEqual(self.transferred(direction="up")["result"], "SP-6006")
        self.assertLess((self.there / "up").stat().st_size, 4_000_000)
        self.assertEqual(self.sftp(f"get {self.there}/big down", **settings), 1)
        self.assertEqual(self.transferred(direction="down")["result"], "SP-6006")

    def test_sftp_whole_folders(self):
        (self.here / "tree" / "sub").mkdir(parents=True)
        files = {f"tree/{n}": os.urandom(n * 1000) for n in range(20)} | {"tree/sub/x": os.urandom(100_000)}
        for name, data in files.items():
            (self.here / name).write_bytes(data)
        self.assertEqual(self.sftp(f"put -Rp tree {self.there}/tree", f"get -Rp {self.there}/tree back", rules=self.rules()), 0, self.said)
        for name, data in files.items():
            self.assertEqual((self.here / name.replace("tree", "back", 1)).read_bytes(), data)
            for direction in ("up", "down"):
                told = self.transferred(direction=direction, path=f"{self.there}/{name}")
                self.assertEqual((told["sha256"], told["complete"]), (sha256(data), True))

    def test_scp_over_sftp_is_complete_in_place(self):
        data = os.urandom(200_000)
        (self.here / "f").write_bytes(data)
        (self.there / "f").write_bytes(os.urandom(300_000))  # longer: scp writes over it and cuts it
        self.assertEqual(self.run_client(["scp", "-s", "-S", GATE, "f", f"x:{self.there}/f"], rules=self.rules("u")), 0, self.said)
        told = self.transferred(direction="up")
        self.assertEqual((told["complete"], told["sha256"]), (True, sha256(data)), self.events())
        self.assertEqual((self.there / "f").read_bytes(), data)

    # ---- scp -O

    def test_scp_moves_30_megabytes_each_way_with_equal_hashes(self):
        data = os.urandom(30_000_001)
        (self.here / "big").write_bytes(data)
        self.assertEqual(self.scp("big", f"x:{self.there}/big"), 0, self.said)
        told = self.transferred(direction="up", path=f"{self.there}/big")
        self.assertEqual((told["sha256"], told["size"], told["complete"]), (sha256(data), len(data), True))
        self.assertEqual(self.scp(f"x:{self.there}/big", "back"), 0, self.said)
        told = self.transferred(direction="down", path=f"{self.there}/big")
        self.assertEqual((told["sha256"], told["size"], told["complete"]), (sha256(data), len(data), True))
        self.assertEqual((self.here / "back").read_bytes(), data)

    def test_scp_folders_times_and_modes(self):
        (self.here / "tree" / "sub").mkdir(parents=True)
        files = {"tree/a": b"", "tree/b b": os.urandom(70_000), "tree/sub/c": os.urandom(5)}
        for name, data in files.items():
            (self.here / name).write_bytes(data)
        os.utime(self.here / "tree" / "a", (1_000_000_000, 1_000_000_000))
        for chunk in (32768, 3):
            shutil.rmtree(self.there / "tree", ignore_errors=True)
            shutil.rmtree(self.here / "back", ignore_errors=True)
            (self.here / "back").mkdir()
            self.assertEqual(self.scp("-rp", "tree", f"x:{self.there}/", rules=self.rules("u"), chunk=chunk), 0, self.said)
            for name, data in files.items():
                self.assertEqual((self.there / name).read_bytes(), data)
                self.assertEqual(self.transferred(path=f"{self.there}/{name}")["sha256"], sha256(data))
            self.assertEqual((self.there / "tree" / "a").stat().st_mtime, 1_000_000_000)
            self.assertEqual(self.scp("-rp", f"x:{self.there}/tree", "back", rules=self.rules("d"), chunk=chunk), 0, self.said)
            for name, data in files.items():
                self.assertEqual((self.here / "back" / name).read_bytes(), data)
                self.assertEqual(self.transferred(path=f"{self.there}/{name}", direction="down")["sha256"], sha256(data))

    def test_scp_refusals_reach_the_person(self):
        (self.other / "secret").write_text("secret")
        (self.here / "f").write_text("text")
        self.assertNotEqual(self.scp("f", f"x:{self.other}/f", rules=self.rules()), 0)
        self.assertIn("SP-6001", self.said)
        self.assertFalse((self.other / "f").exists())
        self.assertNotEqual(self.scp(f"x:{self.other}/secret", "stolen", rules=self.rules()), 0)
        self.assertIn("SP-6001", self.said)
        self.assertFalse((self.here / "stolen").exists())
        self.assertNotEqual(self.scp("f", f"x:{self.there}/f", rules=self.rules("d")), 0)
        self.assertFalse((self.there / "f").exists())
        self.assertTrue(self.events("file.refused"))

    def test_scp_goes_on_after_a_refused_file(self):
        for name in ("a", "b", "c"):
            (self.here / name).write_text(name)
        rules = f"{self.there}/b=,{self.there}=ud"
        self.assertNotEqual(self.scp("a", "b", "c", f"x:{self.there}/", rules=rules), 0)
        self.assertEqual(sorted(p.name for p in self.there.iterdir()), ["a", "c"])
        (self.there / "b").write_text("b")
        self.assertNotEqual(self.scp("-r", f"x:{self.there}", "back", rules=rules), 0)
        self.assertEqual(sorted(p.name for p in (self.here / "back").iterdir()), ["a", "c"])

    def test_scp_size_limit_and_errors_of_the_target(self):
        (self.here / "f").write_bytes(bytes(1000))
        self.assertNotEqual(self.scp("f", f"x:{self.there}/f", max=999), 0)
        self.assertIn("SP-6008", self.said)
        self.assertNotEqual(self.scp("f", f"x:{self.there}/none/f"), 0)
        self.assertRegex(self.said, "No such file|not a directory|Not a directory")
        self.assertEqual(self.transferred(direction="up")["result"], "failure")
        self.assertNotEqual(self.scp(f"x:{self.there}/none", "back"), 0)
        self.assertIn("No such file", self.said)

    # ---- rsync

    def test_rsync_both_ways_with_facts(self):
        (self.here / "tree").mkdir()
        data = os.urandom(3_000_000)
        (self.here / "tree" / "f").write_bytes(data)
        self.assertEqual(self.rsync("-az", "tree/", f"x:{self.there}/tree/", rules=self.rules("u")), 0, self.said)
        self.assertEqual((self.there / "tree" / "f").read_bytes(), data)
        started, finished = self.events("rsync.started")[0], self.events("rsync.finished")[0]
        self.assertEqual((started["direction"], started["paths"]), ("up", [f"{self.there}/tree/"]))
        self.assertGreater(finished["from_client_bytes"], 2_900_000)
        self.assertEqual(self.rsync("-a", f"x:{self.there}/tree/", "back/", rules=self.rules("d")), 0, self.said)
        self.assertEqual((self.here / "back" / "f").read_bytes(), data)
        self.assertEqual(self.events("rsync.started")[0]["direction"], "down")

    def test_rsync_stream_hashes_are_those_of_what_passed(self):
        (self.there / "f").write_bytes(os.urandom(100_000))
        self.assertEqual(self.rsync("--list-only", f"x:{self.there}/"), 0, self.said)
        finished = self.events("rsync.finished")[0]
        self.assertGreater(finished["from_target_bytes"], 0)
        self.assertEqual(len(finished["from_target_sha256"]), 64)

    def test_rsync_links_out_of_the_tree_are_left_out_where_rules_apply(self):
        (self.here / "tree").mkdir()
        (self.here / "tree" / "f").write_text("text")
        os.symlink("f", self.here / "tree" / "inside")
        os.symlink("/etc/passwd", self.here / "tree" / "outside")
        self.rsync("-a", "tree/", f"x:{self.there}/", rules=self.rules())
        self.assertEqual(sorted(p.name for p in self.there.iterdir()), ["f", "inside"], self.said)
        self.assertIn("--safe-links", self.events("rsync.started")[0]["command"])
        self.assertEqual(self.rsync("-a", "tree/", f"x:{self.there}/"), 0, self.said)
        self.assertTrue((self.there / "outside").is_symlink())

    def test_rsync_refusals(self):
        (self.here / "f").write_text("text")
        (self.other / "secret").write_text("secret")
        for words in (["-a", "f", f"x:{self.other}/"], ["-a", f"x:{self.other}/", "back/"], ["-a", "--delete", "./", f"x:{self.there}/"],
                      ["-a", "-M--log-file=/tmp/x", "f", f"x:{self.there}/"], ["-a", f"--backup-dir={self.other}", "-b", "f", f"x:{self.there}/"],
                      ["-a", "-s", "f", f"x:{self.there}/"], ["-aR", "f", f"x:{self.there}/"]):
            self.assertNotEqual(self.rsync(*words, rules=self.rules("ud")), 0, words)
            self.assertTrue(self.events("rsync.refused"), words)
        self.assertEqual(sorted(p.name for p in self.other.iterdir()), ["secret"])
        self.assertEqual(list(self.there.iterdir()), [])
        self.assertEqual(self.rsync("-a", "--delete", "./", f"x:{self.there}/", rules=self.rules()), 0, self.said)


if __name__ == "__main__":
    missing = [name for name in NEEDED if shutil.which(name) is None] + ([] if os.path.exists(SFTP_SERVER) else [SFTP_SERVER])
    if missing:
        print("skipped: not installed:", " ".join(missing))
        sys.exit(77)
    unittest.main(verbosity=2)
