"""`ssh engineer@gateway` on a terminal: the menu of the targets that she may reach, as a person uses it."""
import shutil, unittest

from lab import Lab, wait_for
from terminal import Tmux


@unittest.skipUnless(shutil.which("tmux"), "tmux is not installed")
class MenuOfTargets(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.lab = Lab(targets=3, start=False)
        cls.addClassCleanup(cls.lab.stop)
        cls.lab.policy_text = cls.policy
        cls.lab.start()

    @classmethod
    def policy(cls):
        """The third target is nothing of hers; the second has a label of its own."""
        parts = cls.lab.default_policy().split("    labels: {env: lab}\n")
        return parts[0] + "    labels: {env: lab}\n" + parts[1] + "    labels: {env: lab, part: ranker}\n" + parts[2] + "    labels: {env: elsewhere}\n" + parts[3]

    def menu(self, user="engineer", identity="engineer"):
        screen = Tmux(["sh", "-c", "\"$@\"; echo client ended with $?", "sh", *self.lab.ssh_command(user, arguments=["-tt"], identity=identity)])
        self.addCleanup(screen.close)
        return screen

    def rows(self, screen):
        """What is on the screen now; screen.screen() holds what was there before, too."""
        return screen.tmux("capture-pane", "-p").rstrip().splitlines()

    def ends(self, screen, status):
        screen.expect(f"client ended with {status}")

    def test_it_lists_searches_and_arrives(self):
        screen = self.menu()
        shown = screen.expect(r"Sallyport  engineer  (\d+) of (\d+) targets")
        self.assertEqual(shown.group(1), shown.group(2))
        screen.expect(r"target1 +%s" % self.lab.account)
        screen.expect(r"target2 +%s .*part[=:] ?ranker" % self.lab.account)
        screen.expect("Enter connects")
        self.assertNotIn("target3", screen.screen())
        # Bad input: told, stays, and Enter on nothing goes nowhere.
        screen.type("no such thing")
        screen.expect("Nothing matches")
        screen.expect(r"0 of %s targets" % shown.group(2))
        screen.keys("Enter")
        screen.expect("Nothing matches")
        screen.keys("C-u")
        screen.expect(r"%s of %s targets" % (shown.group(2), shown.group(2)))
        screen.type("RANKER " + self.lab.account)
        screen.expect(r"1 of %s targets" % shown.group(2))
        wait_for(lambda: [row for row in self.rows(screen) if "target2" in row] and not [row for row in self.rows(screen) if "target1" in row], 10)
        screen.keys("Enter")
        screen.expect(r"[$#] ?$")
        screen.enter("echo at-$(hostname)-$(id -un)-$((40+2))", r"at-\S+-%s-42" % self.lab.account)
        if self.lab.targets[0].is_root:
            screen.expect(r"at-target2-")
        self.assertTrue(self.lab.wait_event("channel.decided", kind="shell", decision="allow", target="target2"))
        screen.type("exit 3")
        screen.keys("Enter")
        self.ends(screen, 3)

    def test_arrows_choose_and_a_changed_size_is_followed(self):
        screen = self.menu()
        screen.expect("target2")
        screen.tmux("resize-window", "-x", "60", "-y", "12")
        wait_for(lambda: len(self.rows(screen)) == 12 and "Enter connects" in self.rows(screen)[-1], 10)
        screen.keys("Down", "Down", "Down", "Up", "Down")  # past the end stays at the end
        screen.keys("Enter")
        screen.expect(r"[$#] ?$")
        self.assertTrue(self.lab.wait_event("channel.decided", kind="shell", decision="allow", target="target2"))
        screen.type("exit")
        screen.keys("Enter")
        self.ends(screen, 0)

    def test_leaving_opens_nothing(self):
        for key in ("q", "C-c"):
            before = len(self.lab.events("target.opened")) + len(self.lab.events("channel.decided", kind="shell"))
            screen = self.menu()
            screen.expect("target1")
            screen.keys(key)
            self.ends(screen, 0)
            self.assertEqual(len(self.lab.events("target.opened")) + len(self.lab.events("channel.decided", kind="shell")), before)

    def test_who_has_no_role_is_told(self):
        screen = self.menu("auditor", "auditor")
        screen.expect("0 of 0 targets")
        screen.expect("No target is granted to you. Ask an administrator for a role.")
        screen.keys("Enter")
        screen.keys("q")
        self.ends(screen, 0)


if __name__ == "__main__":
    unittest.main()
