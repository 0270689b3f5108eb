"""The project's own scripts on a machine where something is missing: what they say and how they end."""
import pathlib, shutil, subprocess, tempfile, unittest

from lab import IS_ROOT, ROOT, ordinary_user

MISSING = "sallyport-no-such-package"


class MissingPackages(unittest.TestCase):
    """Neither root nor allowed to sudo, and a package is not there (a copy of the scripts whose list names one more)."""

    @classmethod
    def setUpClass(cls):
        cls.copy = pathlib.Path(tempfile.mkdtemp(prefix="sp-scripts-", dir="/tmp"))
        cls.addClassCleanup(shutil.rmtree, cls.copy, True)
        cls.copy.chmod(0o755)
        shutil.copytree(ROOT / "script", cls.copy / "script")
        shutil.copytree(ROOT / "third_party" / "libssh", cls.copy / "third_party" / "libssh")
        with open(cls.copy / "script" / "packages.txt", "a") as names:
            names.write(MISSING + "\n")
        with open(cls.copy / "script" / "packages-test.txt", "a") as names:
            names.write(MISSING + "-of-tests\n")

    def run_script(self, *command):
        prefix = ordinary_user(self) if IS_ROOT else []
        # A sudo that asks for a password is none.
        return subprocess.run([*prefix, *map(str, command)], stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=60)

    def test_each_command_names_what_to_install_and_ends_with_7(self):
        for script, packages in (("bootstrap", [MISSING]), ("build", [MISSING]), ("demo", [MISSING]), ("test", [MISSING, MISSING + "-of-tests"])):
            done = self.run_script(self.copy / "script" / script)
            self.assertEqual(done.returncode, 7, (script, done.stdout, done.stderr))
            told = [line for line in done.stderr.splitlines() if line.startswith("apt-get install ")]
            self.assertEqual(told, ["apt-get install --no-install-recommends " + " ".join(packages)], script)

    def test_when_nothing_is_missing_nobody_needs_to_be_root(self):
        done = self.run_script(ROOT / "script" / "bootstrap", "--help")
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertIn("Ends with 7 when packages are missing", done.stdout)


if __name__ == "__main__":
    unittest.main()
