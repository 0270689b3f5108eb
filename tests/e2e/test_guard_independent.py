"""The command guard on sets by an author who did not read its rules (tests/data/guard): the score, and the goal on the half that nobody tuned on."""
import json, os, subprocess, sys, unittest

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, "..", "data", "guard"))
import more_sets  # noqa: E402
import sets  # noqa: E402

SALLYPORT = os.path.join(os.environ.get("SALLYPORT_BIN", os.path.join(HERE, "..", "..", "build", "release", "bin")), "sallyport")
FLAGGED = ("confirm", "approve", "deny", "kill")


class IndependentSets(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.items = sets.sets()
        lines = "".join(json.dumps({"id": item["id"], "command": item["command"]}) + "\n" for item in cls.items)
        run = subprocess.run([SALLYPORT, "guard", "score"], input=lines.encode(), stdout=subprocess.PIPE, timeout=120, check=True)
        cls.answers = {answer["id"]: answer for answer in map(json.loads, run.stdout.decode().splitlines())}

    def share(self, half, group):
        chosen = [item for item in self.items if item["half"] == half
                  and group == ("benign" if item["kind"] == "benign" else "base" if item["technique"] == "base" else "disguised")]
        verdicts = [self.answers[item["id"]]["verdict"] for item in chosen]
        flagged = 100.0 * sum(v in FLAGGED for v in verdicts) / len(chosen)
        denied = 100.0 * sum(v in ("deny", "kill") for v in verdicts) / len(chosen)
        print(f"{half:6} {group:10} {len(chosen):5} items  flagged {flagged:6.2f} %  denied {denied:6.2f} %")
        return flagged

    def test_every_item_is_answered_and_the_sets_are_large(self):
        self.assertEqual(len(self.items), len(self.answers))
        count = lambda test: sum(1 for item in self.items if test(item))
        self.assertGreaterEqual(count(lambda i: i["technique"] == "base"), 600)
        self.assertGreaterEqual(count(lambda i: i["technique"].startswith("obf:")), 600)
        self.assertGreaterEqual(count(lambda i: i["kind"] == "benign"), 1000)

    def test_the_goal_holds_on_the_half_that_was_kept_aside(self):
        self.assertGreaterEqual(self.share("aside", "base"), 95.0)
        self.assertGreaterEqual(self.share("aside", "disguised"), 92.0)
        self.assertLessEqual(self.share("aside", "benign"), 2.0)

    def test_what_was_reached_on_the_open_half_stays(self):
        self.assertGreaterEqual(self.share("open", "base"), 98.0)
        self.assertGreaterEqual(self.share("open", "disguised"), 97.0)
        self.assertLessEqual(self.share("open", "benign"), 1.0)


class MoreSets(unittest.TestCase):
    """The third to ninth set. The fourth is made of what is rare and near the edge, the benign ones of the seventh are wide (a database of one's own emptied,
    a container of one's own killed); no goal is claimed there, only what was reached is held."""

    @classmethod
    def setUpClass(cls):
        cls.items = {which: more_sets.sets(which) for which in ("third", "fourth", "fifth", "sixth", "seventh", "eighth", "ninth")}
        everything = [item for items in cls.items.values() for item in items]
        lines = "".join(json.dumps({"id": item["id"], "command": item["command"]}) + "\n" for item in everything)
        run = subprocess.run([SALLYPORT, "guard", "score"], input=lines.encode(), stdout=subprocess.PIPE, timeout=120, check=True)
        cls.answers = {answer["id"]: answer for answer in map(json.loads, run.stdout.decode().splitlines())}

    def flagged(self, which, half, kind):
        chosen = [item for item in self.items[which] if item["half"] == half and item["kind"] == kind]
        verdicts = [self.answers[item["id"]]["verdict"] for item in chosen]
        share = 100.0 * sum(v in FLAGGED for v in verdicts) / len(chosen)
        denied = 100.0 * sum(v in ("deny", "kill") for v in verdicts) / len(chosen)
        print(f"{which:6} {half:6} {kind:10} {len(chosen):5} items  flagged {share:6.2f} %  denied {denied:6.2f} %")
        return share

    def test_the_sets_are_large_and_every_item_is_answered(self):
        count = lambda kind: sum(1 for items in self.items.values() for item in items if item["kind"] == kind)
        self.assertGreaterEqual(count("dangerous"), 2300)
        self.assertGreaterEqual(count("disguised"), 1500)
        self.assertGreaterEqual(count("benign"), 1250)
        self.assertEqual(len(self.answers), count("dangerous") + count("disguised") + count("benign"))

    def test_the_halves_that_were_kept_aside(self):
        self.assertGreaterEqual(self.flagged("third", "aside", "dangerous"), 94.0)
        self.assertGreaterEqual(self.flagged("third", "aside", "disguised"), 94.0)
        self.assertLessEqual(self.flagged("third", "aside", "benign"), 1.5)
        self.assertGreaterEqual(self.flagged("fourth", "aside", "dangerous"), 87.5)
        self.assertGreaterEqual(self.flagged("fourth", "aside", "disguised"), 92.0)
        self.assertLessEqual(self.flagged("fourth", "aside", "benign"), 2.0)
        self.assertGreaterEqual(self.flagged("sixth", "aside", "dangerous"), 95.0)
        self.assertGreaterEqual(self.flagged("sixth", "aside", "disguised"), 95.0)
        self.assertLessEqual(self.flagged("sixth", "aside", "benign"), 2.0)
        self.assertGreaterEqual(self.flagged("seventh", "aside", "dangerous"), 93.5)
        self.assertGreaterEqual(self.flagged("seventh", "aside", "disguised"), 92.0)
        self.assertLessEqual(self.flagged("seventh", "aside", "benign"), 3.5)
        self.assertGreaterEqual(self.flagged("eighth", "aside", "dangerous"), 98.0)
        self.assertGreaterEqual(self.flagged("eighth", "aside", "disguised"), 97.0)
        self.assertLessEqual(self.flagged("eighth", "aside", "benign"), 4.5)
        self.assertGreaterEqual(self.flagged("ninth", "aside", "dangerous"), 98.0)
        self.assertGreaterEqual(self.flagged("ninth", "aside", "disguised"), 97.5)
        self.assertLessEqual(self.flagged("ninth", "aside", "benign"), 8.5)

    def test_what_was_reached_on_the_open_halves_stays(self):
        self.assertGreaterEqual(self.flagged("third", "open", "dangerous"), 98.5)
        self.assertGreaterEqual(self.flagged("third", "open", "disguised"), 98.5)
        self.assertLessEqual(self.flagged("third", "open", "benign"), 0.5)
        self.assertGreaterEqual(self.flagged("fourth", "open", "dangerous"), 96.0)
        self.assertGreaterEqual(self.flagged("fourth", "open", "disguised"), 91.0)
        self.assertLessEqual(self.flagged("fourth", "open", "benign"), 1.5)
        self.assertGreaterEqual(self.flagged("fifth", "open", "dangerous"), 98.0)
        self.assertLessEqual(self.flagged("fifth", "open", "benign"), 1.9)
        self.assertGreaterEqual(self.flagged("sixth", "open", "dangerous"), 98.0)
        self.assertGreaterEqual(self.flagged("sixth", "open", "disguised"), 98.0)
        self.assertLessEqual(self.flagged("sixth", "open", "benign"), 1.0)
        self.assertGreaterEqual(self.flagged("seventh", "open", "dangerous"), 98.0)
        self.assertGreaterEqual(self.flagged("seventh", "open", "disguised"), 95.0)
        self.assertLessEqual(self.flagged("seventh", "open", "benign"), 2.5)
        self.assertGreaterEqual(self.flagged("eighth", "open", "dangerous"), 98.0)
        self.assertGreaterEqual(self.flagged("eighth", "open", "disguised"), 96.0)
        self.assertLessEqual(self.flagged("eighth", "open", "benign"), 0.5)
        self.assertGreaterEqual(self.flagged("ninth", "open", "dangerous"), 99.0)
        self.assertGreaterEqual(self.flagged("ninth", "open", "disguised"), 97.0)
        self.assertLessEqual(self.flagged("ninth", "open", "benign"), 4.5)


if __name__ == "__main__":
    unittest.main()
