"""The Debian package: built by CPack, installed by dpkg into overlays of /usr, /etc and /var in a mount namespace of its own, served from there
with service users, removed again. This machine keeps nothing of it."""
import os, pathlib, pwd, shutil, signal, stat, subprocess, sys, tempfile, time, unittest

from lab import IS_ROOT, Lab, ROOT, wait_for
import lab as lab_module

INSIDE = "SALLYPORT_TEST_PACKAGE"
BUILD = ROOT / "build" / "release"
SERVICES = ("vault", "authority", "recorder", "listener")


def run(*command, **more):
    return subprocess.run(command, capture_output=True, text=True, timeout=300, **more)


class Package(unittest.TestCase):
    """Inside of the namespace; the tests build on each other in the order of their names."""

    @classmethod
    def setUpClass(cls):
        cls.package = os.environ[INSIDE]
        cls.lab = Lab(targets=1, start=False)
        cls.lab.folder.joinpath("empty").mkdir()
        lab_module.BIN = pathlib.Path("/usr/bin")

    @classmethod
    def tearDownClass(cls):
        cls.lab.stop()

    def test_1_it_says_what_it_is(self):
        fields = run("dpkg-deb", "--field", self.package).stdout
        for field in ("Package: sallyport", "Depends: ", "Maintainer: ", "Section: net", "Description: "):
            self.assertIn(field, fields)
        listing = run("dpkg-deb", "--contents", self.package).stdout
        for path in ("./usr/bin/sallyport", "./usr/bin/sallyport-session", "./usr/bin/sp -> sallyport", "./usr/lib/systemd/system/sallyport.service",
                     "./usr/lib/systemd/system/sallyport.socket", "./usr/lib/sysusers.d/sallyport.conf", "./usr/lib/tmpfiles.d/sallyport.conf",
                     "./etc/sallyport/sallyport.yaml", "./usr/share/doc/sallyport/copyright", "./usr/share/doc/sallyport/libssh/patches"):
            self.assertIn(path, listing)
        for line in listing.splitlines():
            self.assertTrue(line.split()[1] == "root/root", line)
            self.assertNotRegex(line.split()[0], "^-.*s|^[^l]....w|^[^l].......w", line)

    def test_2_dpkg_installs_it_and_makes_the_users(self):
        done = run("dpkg", "-i", self.package)
        self.assertEqual(done.returncode, 0, done.stdout + done.stderr)
        for service in SERVICES:
            entry = pwd.getpwnam(f"sallyport-{service}")
            self.assertEqual(entry.pw_shell.rsplit("/", 1)[1], "nologin")
        self.assertIn("sallyport", run("sallyport", "--version").stdout)
        self.assertEqual(run("dpkg", "--verify", "sallyport").stdout, "")
        self.assertEqual(run("sallyport", "config", "check").returncode, 0)
        done = run("systemd-analyze", "verify", "--man=no", "/usr/lib/systemd/system/sallyport.service")
        self.assertNotIn("sallyport.service:", done.stderr)

    def test_3_it_serves_with_its_own_configuration_and_users(self):
        configuration = pathlib.Path("/etc/sallyport/sallyport.yaml")
        text = configuration.read_text().replace('"0.0.0.0:2222"', f'"127.0.0.1:{self.lab.port}"').replace('  - "[::]:2222"\n', "")
        self.assertIn(str(self.lab.port), text)
        configuration.write_text(text)
        done = run("systemd-tmpfiles", "--create", "sallyport.conf")
        self.assertEqual(done.returncode, 0, done.stderr)
        # The lab's helpers look below its folder: let them see the places of the package.
        lab = self.lab
        lab.write_config = lambda: None
        shutil.rmtree(lab.folder / "empty")
        (lab.folder / "sallyport.yaml").symlink_to(configuration)
        (lab.folder / "run").symlink_to("/run/sallyport")
        (lab.folder / "state").symlink_to("/var/lib/sallyport")
        lab.start()
        self.assertEqual(lab.ssh(lab.user(), "echo packaged").stdout, b"packaged\n")
        users = {pwd.getpwuid(os.stat(f"/proc/{pid}").st_uid).pw_name for pid in lab.gateway_pids()}
        status = {pathlib.Path(f"/proc/{pid}/status").read_text().split("\nUid:\t")[1].split()[0] for pid in lab.gateway_pids()}
        self.assertEqual(status, {"0"} | {str(pwd.getpwnam(f"sallyport-{s}").pw_uid) for s in SERVICES}, users)
        self.assertTrue(pathlib.Path("/var/log/sallyport").stat().st_uid == pwd.getpwnam("sallyport-recorder").pw_uid)
        wait_for(lambda: any(pathlib.Path("/var/log/sallyport").iterdir()), 90, 0.5)  # a checkpoint was witnessed outside the state directory
        done = lab.run_cli("verify", "--forget")
        self.assertEqual(done.returncode, 0, done.stdout + done.stderr)
        self.assertEqual(stat.S_IMODE(pathlib.Path("/var/lib/sallyport").stat().st_mode), 0o711)
        lab.stop_gateway()

    def test_4_removing_it_keeps_the_evidence(self):
        done = run("dpkg", "--remove", "sallyport")
        self.assertEqual(done.returncode, 0, done.stdout + done.stderr)
        self.assertFalse(pathlib.Path("/usr/bin/sallyport").exists())
        self.assertTrue(any(pathlib.Path("/var/lib/sallyport/recorder/journal").iterdir()))
        self.assertTrue(pathlib.Path("/etc/sallyport/sallyport.yaml").exists())


def run_inside():
    folder = pathlib.Path(tempfile.mkdtemp(prefix="sp-package-", dir="/tmp"))
    try:
        made = run("cpack", "--config", BUILD / "CPackConfig.cmake", "-B", folder / "out")
        packages = list((folder / "out").glob("*.deb"))
        if made.returncode != 0 or len(packages) != 1:
            print(made.stdout[-2000:], made.stderr[-2000:], "cpack made no package", sep="\n")
            return 1
        print(f"{packages[0].name}: {packages[0].stat().st_size >> 10} KiB", flush=True)
        script = "set -e\n"
        for place in ("usr", "etc", "var", "run"):
            for part in ("upper", "work"):
                (folder / place / part).mkdir(parents=True)
            script += f"mount -t overlay overlay -o lowerdir=/{place},upperdir={folder}/{place}/upper,workdir={folder}/{place}/work /{place}\n"
        script += 'exec "$@"\n'
        return subprocess.run(["unshare", "--mount", "--propagation", "private", "bash", "-c", script, "inside", sys.executable, *sys.argv],
                              env={**os.environ, INSIDE: str(packages[0])}).returncode
    finally:
        shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    if not IS_ROOT or not shutil.which("dpkg") or not (BUILD / "CPackConfig.cmake").exists():
        print("skipped: needs root, dpkg and a release build")
    elif not os.environ.get(INSIDE):
        sys.exit(run_inside())
    else:
        unittest.main()
