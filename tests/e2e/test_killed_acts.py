"""The authority is killed at each of its steps from an administrator's order to the answer: whatever came of it, the journal says so.
Every intent gets its outcome, and the outcome is what really is: done and in force, or given up and not."""
import json, pathlib, shutil, subprocess, time, unittest

from lab import IS_ROOT, Lab, wait_for

STEPS = ("pwrite64", "fdatasync", "sendmsg")  # what is written to the database, what is made durable, what other processes are told
OUTCOMES = ("lock.set", "policy.applied", "admin.failed", "admin.abandoned")


@unittest.skipUnless(IS_ROOT and shutil.which("strace"), "needs root and strace")
class KilledActs(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.lab = Lab(targets=1)

    @classmethod
    def tearDownClass(cls):
        cls.lab.stop()

    def authority(self):
        found = self.lab.gateway_pids("service authority")
        return found[0] if found else None

    def killed_at(self, call, step, *order):
        """Runs the order; at its `step`th system call of that kind the authority dies by SIGKILL. (was it killed, status of the order)."""
        pid = self.authority()
        tracer = subprocess.Popen(["strace", "-qq", "-f", "-o", "/dev/null", "-e", f"trace={call}", "-e", f"inject={call}:signal=SIGKILL:when={step}", "-p", str(pid)],
                                  stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        try:
            wait_for(lambda: "TracerPid:\t0\n" not in pathlib.Path(f"/proc/{pid}/status").read_text(), 10, 0.02)
            status = self.lab.run_cli(*order).returncode
        finally:
            tracer.kill()  # the kernel lets go of what it traced
            tracer.wait(10)

        def answers():
            return self.authority() not in (None, pid if killed else None) and self.lab.run_cli("status").returncode == 0
        time.sleep(0.05)
        killed = self.authority() != pid
        wait_for(answers, 30, 0.2)
        return killed, status

    def journal(self):
        """All events; the authority itself remembers only those since its start."""
        rows = [json.loads(line) for line in self.lab.run_cli("events", "--limit", "0", "-o", "jsonl", check=True).stdout.splitlines()]
        return [{"name": row["name"], **row["fields"]} for row in rows]

    def outcome_of(self, act, before):
        """The name of the one outcome of the one intent that came after `before`; None when there was no intent."""
        intents = [e for e in self.journal() if e["name"] == "admin.intended" and e["intent"] not in before and e["act"] == act]
        self.assertLessEqual(len(intents), 1)
        if not intents:
            return None
        found = lambda: [e["name"] for e in self.journal() if e["name"] in OUTCOMES and e.get("intent") == intents[0]["intent"]]
        wait_for(found, 10, 0.2)
        # Killed between the outcome and forgetting the intent, the next start tells it again: the same one.
        self.assertEqual(len(set(found())), 1, found())
        return found()[0]

    def rounds(self, act, order, is_in_force, calls=STEPS):
        seen = {}
        for call in calls:
            step, killed = 0, True
            while killed:
                step += 1
                self.assertLess(step, 20, f"the order never came through ({call})")
                killed = self.one_round(act, order, is_in_force, call, step, seen)
            self.assertGreater(step, 2, call)
        for (outcome, _), steps in seen.items():
            print(f"{act}: {outcome or 'no intent'} after {' '.join(steps)}", flush=True)
        return seen

    def one_round(self, act, order, is_in_force, call, step, seen):
        mark = f"{call}-{step}"
        before = {e["intent"] for e in self.journal() if e["name"] == "admin.intended"}
        killed, status = self.killed_at(call, step, *order(mark))
        outcome, done = self.outcome_of(act, before), is_in_force(mark)
        with self.subTest(step=mark, killed=killed, status=status, outcome=outcome):
            self.assertEqual(done, outcome in ("lock.set", "policy.applied"))
            if status == 0:
                self.assertTrue(done, "it was said to be done")
        seen.setdefault((outcome, done), []).append(mark)
        if not killed:
            self.assertEqual(status, 0)
        return killed

    def test_a_lock_that_is_set(self):
        locked = lambda mark: any(row.get("account") == mark for row in json.loads(self.lab.run_cli("lock", "list", "-o", "json", check=True).stdout))
        seen = self.rounds("lock.set", lambda mark: ("lock", "set", "--account", mark, "--reason", "round"), locked)
        self.assertIn(("admin.abandoned", False), seen, "killed between intent and effect")

    def test_a_policy_that_is_applied(self):
        folder = self.lab.folder / "orders"
        folder.mkdir()

        def order(mark):
            (folder / "policy.yaml").write_text(self.lab.default_policy(extra=f"groups:\n  - {{name: {mark}, members: [engineer]}}\n"))
            return "apply", "-f", folder
        in_force = lambda mark: f'"{mark}"' in self.lab.run_cli("get", "groups", "-o", "json").stdout.decode()
        self.rounds("policy.apply", order, in_force, ("fdatasync", "sendmsg"))


if __name__ == "__main__":
    unittest.main()
