"""A hundred live sessions through the death of each process of the gateway, and what a death leaves behind."""
import os, pathlib, signal, time, unittest

from lab import BIN, IS_ROOT, Lab, wait_for

COUNT = int(os.environ.get("SALLYPORT_LIVE_SESSIONS", "100"))


def is_ours(pid):
    try:
        return str(BIN) in os.readlink(f"/proc/{pid}/exe")
    except OSError:
        return False


def our_processes():
    return {int(entry) for entry in os.listdir("/proc") if entry.isdigit() and is_ours(int(entry))}


class Hundred(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.others = our_processes()  # of another gateway on this machine
        cls.lab = Lab(targets=1, config="sessions: {drain: 10s}\n")
        cls.who = cls.lab.user()
        # Ten connections at a time, each with its own session process; ControlMaster would make them one.
        cls.clients = []
        while len(cls.clients) < COUNT:
            fresh = [cls.lab.popen(cls.who, "echo up; exec cat") for _ in range(min(10, COUNT - len(cls.clients)))]
            for client in fresh:
                assert client.stdout.readline() == b"up\n", client.stderr.read()
            cls.clients += fresh

    @classmethod
    def tearDownClass(cls):
        for client in cls.clients:
            client.kill()
            client.communicate()
        cls.lab.stop()

    def all_echo(self, what):
        for client in self.clients:
            client.stdin.write(b"ping\n")
            client.stdin.flush()
        dead = [number for number, client in enumerate(self.clients) if client.stdout.readline() != b"ping\n"]
        self.assertEqual(dead, [], what)

    def new_one_works(self):
        wait_for(lambda: self.lab.ssh(self.who, "echo new", timeout=40).stdout == b"new\n", 40, 0.5)

    def listener(self):
        found = [pid for pid in self.lab.gateway_pids("sallyport-session") if f"PPid:\t{self.lab.gateway.pid}\n" in pathlib.Path(f"/proc/{pid}/status").read_text()]
        listeners = [pid for pid in found if pathlib.Path(f"/proc/{pid}/comm").read_text().strip() == "sp-listener"]
        self.assertEqual(len(listeners), 1, found)
        return listeners[0]

    def newest_session(self):
        return self.lab.events("session.started")[-1]

    # Each test leaves one hundred (less the one it killed) to the next: unittest runs them in the order of their names.
    def test_1_through_the_death_of_one_session_process(self):
        victim = self.lab.popen(self.who, "echo up; exec cat")
        self.assertEqual(victim.stdout.readline(), b"up\n")
        os.kill(self.newest_session()["pid"], signal.SIGKILL)
        self.assertEqual(victim.wait(10), 255)
        victim.communicate()
        self.all_echo("a session process")

    def test_2_through_the_deaths_of_vault_authority_and_recorder(self):
        for service in ("vault", "authority", "recorder"):
            old = self.lab.gateway_pids(f"service {service}")
            os.kill(old[0], signal.SIGKILL)
            wait_for(lambda: [p for p in self.lab.gateway_pids(f"service {service}") if p not in old], 20)
            self.all_echo(service)
            self.new_one_works()
            self.all_echo(service)

    def test_3_a_crash_is_an_event_and_nobody_of_its_source_is_served_before_the_fork_server_is_new(self):
        layout = lambda: [line.split()[0] for line in pathlib.Path(f"/proc/{self.listener()}/maps").read_text().splitlines()][:3] if IS_ROOT else []
        before = layout()
        victim = self.lab.popen(self.who, "echo up; exec cat")
        self.assertEqual(victim.stdout.readline(), b"up\n")
        session = self.newest_session()
        os.kill(session["pid"], signal.SIGSEGV)
        self.assertEqual(victim.wait(10), 255)
        victim.communicate()
        crashed = self.lab.wait_event("session.crashed", signal=int(signal.SIGSEGV))
        self.assertEqual(crashed[-1]["session"], session["session"])
        self.assertTrue(crashed[-1]["alarm"])
        # Whoever gets in first, gets in from the new image.
        deadline = time.monotonic() + 30
        while self.lab.ssh(self.who, "echo in", timeout=40).stdout != b"in\n":
            self.assertLess(time.monotonic(), deadline)
            time.sleep(0.2)
        self.assertIn("executing the fork server anew", self.lab.log())
        if before:
            self.assertNotEqual(layout(), before)
        self.all_echo("SIGSEGV")

    def test_4_through_the_death_of_the_listener_and_its_sessions_can_still_be_ended(self):
        stubborn = self.lab.popen(self.who, "echo up; exec cat")
        self.assertEqual(stubborn.stdout.readline(), b"up\n")
        pid = self.newest_session()["pid"]
        os.kill(self.listener(), signal.SIGKILL)
        self.all_echo("listener")
        self.new_one_works()
        self.all_echo("listener")
        # One that obeys, and one that cannot: it is stopped, and killed by a listener that did not fork it.
        obedient = self.clients.pop()
        os.kill(pid, signal.SIGSTOP)
        labels = {}
        for row in self.lab.events("session.started"):
            labels[row["pid"]] = row["session"]
        stopped = labels[pid]
        done = self.lab.admin("DELETE", f"/v1/sessions/{stopped}", {"reason": "does not obey"})
        self.assertIn(done[0], (200, 202, 204), done)
        wait_for(lambda: not pathlib.Path(f"/proc/{pid}").exists() or " Z " in pathlib.Path(f"/proc/{pid}/stat").read_text(), 20)
        stubborn.communicate(timeout=10)
        obedient.kill()
        obedient.communicate()
        self.all_echo("after an end by force")

    def test_5_no_process_is_left_thirty_seconds_after_the_keeper(self):
        # The sessions of the listener that was killed are init's children now: they are known by their program.
        pids = our_processes() - self.others
        self.assertGreater(len(pids), COUNT // 2)
        os.kill(self.lab.gateway.pid, signal.SIGKILL)
        self.lab.gateway.wait()

        def left():
            found = []
            for pid in pids:
                try:
                    state = pathlib.Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0]
                except OSError:
                    continue
                if state != "Z" and is_ours(pid):
                    found.append(pid)
            return found
        began = time.monotonic()
        wait_for(lambda: not left(), 30, 0.5)
        print(f"all of {len(pids)} processes were gone {time.monotonic() - began:.1f} s after the keeper", flush=True)


if __name__ == "__main__":
    unittest.main()
