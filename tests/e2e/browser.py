"""A real Chromium beside a lab: what every suite of the page needs."""
import json, os, pathlib, shutil, subprocess, unittest

from lab import ROOT, Lab, free_port

CHROMIUM = os.environ.get("CHROMIUM") or shutil.which("chromium") or ""
MISSING = ("chromium is not installed" if not CHROMIUM else "node is not installed" if not shutil.which("node") else
           "playwright is not installed (npm ci in admin/web)" if not (ROOT / "admin/web/node_modules/playwright-core").is_dir() else "")


class Chromium:
    """Drives one browser with a profile for each person (web/drive.mjs); for a suite with a `lab`."""

    @classmethod
    def open_browser(cls, base, **environment):
        cls.shots = pathlib.Path(os.environ.get("SALLYPORT_SHOTS", cls.lab.folder / "shots"))
        cls.shots.mkdir(exist_ok=True)
        cls.browser = subprocess.Popen(["node", ROOT / "tests/e2e/web/drive.mjs", base, cls.shots], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                       env={**os.environ, "CHROMIUM": CHROMIUM, **environment}, text=True)
        cls.addClassCleanup(cls.close_browser)

    @classmethod
    def close_browser(cls):
        cls.browser.stdin.close()
        try:
            cls.browser.wait(15)
        except subprocess.TimeoutExpired:
            cls.browser.kill()
            cls.browser.wait()
        cls.browser.stdout.close()

    @classmethod
    def drive(cls, step, **rest):
        cls.browser.stdin.write(json.dumps({"do": step, **rest}) + "\n")
        cls.browser.stdin.flush()
        answer = json.loads(cls.browser.stdout.readline())
        if "failed" in answer:
            raise AssertionError(answer["failed"])
        return answer["ok"]


class Browser(Chromium, unittest.TestCase):
    """A suite sets TARGETS, PEOPLE and policy()."""
    TARGETS = 1
    PEOPLE = ("engineer", "auditor", "admin", "approver")
    CONFIG = ""  # goes on in the section `recording:`

    @classmethod
    def policy(cls, lab):
        return lab.default_policy()

    @classmethod
    def setUpClass(cls):
        port = free_port()
        cls.base = f"https://127.0.0.1:{port}"
        cls.lab = Lab(targets=cls.TARGETS, config=cls.CONFIG + f"admin:\n  listen: [\"127.0.0.1:{port}\"]\n  requests_per_minute: 100000\n", start=False)
        cls.lab.policy_text = lambda: cls.policy(cls.lab)
        cls.addClassCleanup(cls.lab.stop)
        cls.lab.start()
        cls.open_browser(cls.base)
        cls.tokens = {name: json.loads(cls.lab.run_cli("-o", "json", "token", "create", "--for", name, "--name", "web", check=True).stdout)["token"]
                      for name in cls.PEOPLE}
        for person in cls.tokens:
            cls.drive("open", person=person)

    def tearDown(self):
        self.assertEqual(self.drive("wrong"), [])

    def sign_in(self, person):
        text = self.drive("text", person=person)
        if "Your token" in text:
            self.drive("sign_in", person=person, token=self.tokens[person])
            self.drive("see", person=person, text="Sign out")
