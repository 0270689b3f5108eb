"""The keeper in front of the real services: upgrade under load, kill -9, reload, and the demo."""
import os, pathlib, re, signal, subprocess, threading, time, unittest

from lab import BIN, IS_ROOT, Lab, ordinary_user, wait_for


class Life(unittest.TestCase):
    def setUp(self):
        self.lab = Lab(targets=1)
        self.addCleanup(self.lab.stop)
        self.who = self.lab.user()

    def counting_session(self, seconds):
        session = self.lab.popen(self.who, f"for i in $(seq {seconds * 10}); do echo $i; sleep 0.1; done; echo end")
        self.assertEqual(session.stdout.readline(), b"1\n")
        return session

    def test_an_upgrade_refuses_no_connection_and_ends_no_session(self):
        session = self.counting_session(12)
        keeper = self.lab.gateway.pid
        failures, done, stop = [], [], threading.Event()

        def log_in():
            while not stop.is_set():
                result = self.lab.ssh(self.who, "echo ok")
                (done if result.stdout == b"ok\n" else failures).append(result.stderr)

        clients = [threading.Thread(target=log_in) for _ in range(2)]
        for client in clients:
            client.start()
        for generation in (2, 3):
            time.sleep(0.7)
            self.assertEqual(self.lab.run_cli("upgrade").returncode, 0)
            wait_for(lambda: f"upgrade: done, generation {generation}" in self.lab.log(), 20)
        time.sleep(0.5)
        stop.set()
        for client in clients:
            client.join()
        self.assertEqual(failures, [])
        self.assertGreater(len(done), 4)
        self.assertEqual(self.lab.gateway.pid, keeper)
        self.assertIsNone(self.lab.gateway.poll())
        output, errors = session.communicate(timeout=40)
        self.assertEqual(output.split()[-2:], [b"120", b"end"], errors)
        self.assertEqual(session.returncode, 0)

    def test_no_process_outlives_a_killed_keeper_by_thirty_seconds(self):
        session = self.counting_session(60)
        pids = self.lab.gateway_pids()
        self.assertGreaterEqual(len(pids), 6)  # keeper, four services, one session
        os.kill(self.lab.gateway.pid, signal.SIGKILL)
        self.lab.gateway.wait()

        def alive():
            return [p for p in pids if pathlib.Path(f"/proc/{p}/exe").exists() and str(BIN) in os.readlink(f"/proc/{p}/exe")]
        wait_for(lambda: not alive(), 30)
        session.communicate(timeout=10)
        self.assertEqual(session.returncode, 255)
        # And the next one starts on the same state.
        self.lab.start_gateway()
        self.assertEqual(self.lab.ssh(self.who, "echo again").stdout, b"again\n")
        self.assertEqual(self.lab.run_cli("verify").returncode, 0)

    def test_sigterm_ends_sessions_after_their_time_with_a_reason(self):
        self.lab.stop_gateway()
        self.lab.extra_config = "sessions: {drain: 2s}"
        self.lab.write_config()
        self.lab.start_gateway()
        session = self.counting_session(60)
        began = time.monotonic()
        self.lab.gateway.send_signal(signal.SIGTERM)
        refused = self.lab.ssh(self.who, "echo no")
        self.assertEqual(refused.returncode, 255)
        self.assertEqual(self.lab.gateway.wait(20), 0)
        self.assertLess(time.monotonic() - began, 10)
        session.communicate(timeout=10)
        self.assertEqual(session.returncode, 255)

    def test_a_reload_takes_what_is_right_and_refuses_what_is_wrong(self):
        self.lab.extra_config = "limits: {auth_atempts: 3}"
        self.lab.write_config()
        self.lab.gateway.send_signal(signal.SIGHUP)
        wait_for(lambda: "Did you mean `limits.auth_attempts`?" in self.lab.log(), 10)
        self.assertEqual(self.lab.run_cli("config", "check").returncode, 2)
        self.lab.extra_config = "limits: {auth_attempts: 3}"
        self.lab.write_config()
        self.lab.gateway.send_signal(signal.SIGHUP)
        wait_for(lambda: "configuration reloaded" in self.lab.log(), 10)
        self.assertEqual(self.lab.ssh(self.who, "echo still").stdout, b"still\n")


class Demo(unittest.TestCase):
    def run_demo(self, prefix=()):
        began = time.monotonic()
        demo = subprocess.Popen([*prefix, BIN / "sallyport", "demo"], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL, text=True)
        lines = []
        try:
            while not lines or "plan -f" not in lines[-1]:
                lines.append(demo.stdout.readline())
                self.assertTrue(lines[-1], "".join(lines))
            took = time.monotonic() - began
            self.assertLessEqual(len(lines), 25)
            folder = re.search(r"/\S*sallyport-demo-\w+", "".join(lines)).group()
            ssh = [*prefix, "ssh", "-F", f"{folder}/ssh_config"]
            run = lambda *command: subprocess.run(command, capture_output=True, text=True, timeout=60, stdin=subprocess.DEVNULL)
            self.assertEqual(run(*ssh, "recs-1", "echo $SALLYPORT_TARGET").stdout, "recs-1\n")
            self.assertEqual(run(*ssh, "jump-recs-2", "echo $SALLYPORT_TARGET").stdout, "recs-2\n")
            denied = run(*ssh, "train-1", "true")
            self.assertEqual(denied.returncode, 255)
            self.assertIn("SP-2009", denied.stderr)
            cli = [*prefix, f"{folder}/sp"]
            self.assertIn("shell", run(*cli, "explain", "--as", "engineer", "--target", "train-1").stdout)
            self.assertIn("recs-1", run(*cli, "sessions").stdout)
            self.assertEqual(run(*cli, "verify", "--forget").returncode, 0)
            self.assertEqual(run(*cli, "lock", "set", "--principal", "engineer", "--reason", "lost").returncode, 0)
            self.assertEqual(run(*ssh, "recs-1", "true").returncode, 255)
        finally:
            # Through sudo or setpriv the signal goes to the program itself.
            demo.send_signal(signal.SIGINT)
            demo.communicate(timeout=20)
        self.assertEqual(demo.returncode, 0)
        self.assertFalse(pathlib.Path(folder).exists())
        self.assertFalse(re.search(folder, subprocess.run(["ps", "axww"], capture_output=True, text=True).stdout))
        return took

    def test_the_demo_works_and_leaves_nothing(self):
        took = self.run_demo()
        self.assertLess(took, 3 if os.getloadavg()[0] < 3 else 15)

    @unittest.skipUnless(IS_ROOT, "needs root to become somebody else")
    def test_the_demo_works_for_an_ordinary_user(self):
        self.run_demo(ordinary_user(self))


if __name__ == "__main__":
    unittest.main()
