"""What happens to live sessions: locks, policy changes, deaths of every process of the gateway, vanished clients."""
import os, pathlib, signal, subprocess, threading, time, unittest

from lab import Lab, wait_for


def moment_of(event):
    """When it was made, in seconds since 1970: the time in its ULID, exact to a millisecond."""
    return sum("0123456789ABCDEFGHJKMNPQRSTVWXYZ".index(letter) << (5 * (9 - place)) for place, letter in enumerate(event["id"][:10])) / 1000


class Ends:
    """Notes for each client when it ended."""

    def __init__(self, clients):
        self.times = [None] * len(clients)
        self.watchers = [threading.Thread(target=self.watch, args=(number, client), daemon=True) for number, client in enumerate(clients)]
        for watcher in self.watchers:
            watcher.start()

    def watch(self, number, client):
        client.wait()
        self.times[number] = time.time()

    def after(self, moment, seconds=10):
        """How long after `moment` the last one ended."""
        for watcher in self.watchers:
            watcher.join(max(0, moment + seconds - time.time()))
        return max(float("inf") if at is None else at - moment for at in self.times)


class Live(unittest.TestCase):
    def setUp(self):
        self.lab = Lab(targets=1)
        self.addCleanup(self.lab.stop)
        self.who = self.lab.user()

    def open_session(self, command="echo up; cat", **more):
        client = self.lab.popen(self.who, command, **more)
        self.addCleanup(lambda: (client.kill(), client.wait(), client.stdin.close(), client.stdout.close(), client.stderr.close()))
        self.assertEqual(client.stdout.readline(), b"up\n", client.poll())
        return client

    def is_alive(self, client, text=b"ping\n"):
        client.stdin.write(text)
        client.stdin.flush()
        return client.stdout.readline() == text

    def test_a_lock_ends_live_sessions_within_a_second_with_a_reason(self):
        for what, name, code, then in (("principal", "engineer", "SP-2003", "SP-1008"), ("target", "target1", "SP-2004", "SP-2004"), ("account", self.lab.account, "SP-2005", "SP-2005")):
            with self.subTest(locked=what):
                client = self.open_session()
                ends = Ends([client])
                self.lab.run_cli("lock", "set", f"--{what}", name, "--reason", "test", check=True)
                took = ends.after(moment_of(self.lab.events("admin.intended")[-1]))
                print(f"a session ended {took:.3f} s after the intention to lock its {what} stood in the journal")
                self.assertLess(took, 1)
                self.assertEqual(client.returncode, 255)
                self.assertIn(code, client.stderr.read().decode())
                done = self.lab.ssh(self.who, "true")
                self.assertEqual(done.returncode, 255)
                self.assertIn(then, done.stderr.decode())
                self.lab.run_cli("lock", "remove", f"--{what}", name, check=True)

    def test_a_policy_that_takes_access_away_ends_the_session(self):
        client = self.open_session()
        text = self.lab.default_policy().replace("  - {role: operator, principals: [engineer]}\n", "")
        self.lab.apply(text)
        client.wait(5)
        self.assertIn(b"SP-20", client.stderr.read())

    def test_a_policy_change_reaches_every_channel_of_a_master_and_what_came_by_a_jump(self):
        self.lab.apply(self.lab.default_policy(channels="shell, exec, sftp, jump"))
        place = self.lab.folder / "mux"
        keys = self.lab.ssh_options()
        master = subprocess.Popen(self.lab.ssh_command(self.who, arguments=("-M", "-N", "-S", str(place))), stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
        self.addCleanup(lambda: (master.kill(), master.wait(), master.stderr.close()))
        wait_for(place.exists, 20)
        hop = " ".join(["ssh", *keys, "-p", str(self.lab.port), "-W", "%h:%p", "engineer@127.0.0.1"])
        commands = [["ssh", "-S", str(place), "-o", "BatchMode=yes", "x", "echo up; cat"]] * 3 + [["ssh", *keys, "-o", "ProxyCommand=" + hop, f"{self.lab.account}@target1", "echo up; cat"]]
        clients = []
        for command in commands:
            client = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
            self.addCleanup(lambda client=client: (client.kill(), client.wait(), client.stdin.close(), client.stdout.close(), client.stderr.close()))
            said = client.stdout.readline()
            self.assertEqual(said, b"up\n", said or client.stderr.read())
            clients.append(client)
        for client in clients:
            self.assertTrue(self.is_alive(client))
        ends = Ends([*clients, master])
        self.lab.apply(self.lab.default_policy().replace("  - {role: operator, principals: [engineer]}\n", ""))
        took = ends.after(moment_of(self.lab.events("admin.intended")[-1]))
        print(f"a master, three channels of it and one behind a jump ended {took:.3f} s after the intention to change the policy stood in the journal")
        self.assertLess(took, 1)
        self.assertEqual([client.returncode != 0 for client in clients], [True] * 4)
        self.assertIn(b"SP-20", master.stderr.read() + b"".join(client.stderr.read() for client in clients))

    def test_no_byte_of_a_running_scp_or_rsync_arrives_after_a_lock_or_a_rule_that_takes_it_away(self):
        source = self.lab.folder / "source.bin"
        source.write_bytes(os.urandom(8 << 20))
        options = [*map(str, self.lab.ssh_options()), "-o", f"Port={self.lab.port}"]
        commands = {"scp": ["scp", "-O", "-l", "4000", *options], "rsync": ["rsync", "--bwlimit=500", "--inplace", "-e", "ssh " + " ".join(options)]}
        acts = {"lock": (lambda: self.lab.run_cli("lock", "set", "--principal", "engineer", "--reason", "test", check=True),
                         lambda: self.lab.run_cli("lock", "remove", "--principal", "engineer", check=True)),
                "rule": (lambda: self.lab.apply(self.lab.default_policy(channels="shell, exec")), lambda: self.lab.apply(self.lab.default_policy()))}
        for tool, command in commands.items():
            for name, (act, undo) in acts.items():
                with self.subTest(tool=tool, act=name):
                    arrived = self.lab.targets[0].home_of(self.lab.account) / f"arrived-{tool}-{name}"
                    size = lambda: arrived.stat().st_size if arrived.exists() else 0
                    client = subprocess.Popen([*command, str(source), f"{self.who}@127.0.0.1:{arrived.name}"], stdout=subprocess.PIPE, stderr=subprocess.PIPE)
                    try:
                        wait_for(lambda: size() > 500_000, 20)
                        act()
                        time.sleep(1)
                        stopped = size()
                        error = client.communicate(timeout=20)[1]
                        self.assertEqual(size(), stopped)
                        self.assertLess(stopped, source.stat().st_size)
                        self.assertNotEqual(client.returncode, 0)
                        self.assertIn(b"SP-2003" if name == "lock" else b"SP-2009", error)
                    finally:
                        client.kill()
                        client.communicate()
                        undo()

    def test_a_killed_session_process_ends_that_session_only_also_on_the_target(self):
        target = self.lab.targets[0]
        second = self.open_session()
        sshds = set(target.running("sshd"))
        marker = f"sleep 4{os.getpid() % 1000}"
        # On a terminal: sshd hangs up on it. Without one OpenSSH leaves a program alone that neither reads nor writes.
        first = self.open_session(f"stty -onlcr; echo up; {marker}; true", arguments=["-tt"])
        wait_for(lambda: target.running(marker))
        self.assertGreater(set(target.running("sshd")), sshds)
        pid = self.lab.wait_event("session.started")[-1]["pid"]
        self.assertIn(pid, self.lab.gateway_pids())
        os.kill(pid, signal.SIGKILL)
        first.wait(10)
        wait_for(lambda: not target.running(marker), 10)
        wait_for(lambda: set(target.running("sshd")) == sshds, 10)
        self.assertTrue(self.is_alive(second))
        self.assertTrue(self.lab.wait_event("session.ended", signal=9))

    def kill_service(self, name):
        pids = self.lab.gateway_pids(f"service {name}")
        self.assertTrue(pids, name)
        for pid in pids:
            os.kill(pid, signal.SIGKILL)
        return pids

    def test_live_sessions_survive_the_death_of_vault_authority_and_recorder(self):
        clients = [self.open_session() for _ in range(10)]
        for service in ("vault", "authority", "recorder"):
            old = self.kill_service(service)
            wait_for(lambda: [p for p in self.lab.gateway_pids(f"service {service}") if p not in old], 20)
            for client in clients:
                self.assertTrue(self.is_alive(client), service)

            def works():
                try:
                    return self.lab.ssh(self.who, "echo new", timeout=20).stdout == b"new\n"
                except subprocess.TimeoutExpired:
                    return False
            wait_for(works, 30, 0.5)
            for client in clients:
                self.assertTrue(self.is_alive(client), service)
        for client in clients:
            client.stdin.close()
            self.assertEqual(client.wait(10), 0)
        done = self.lab.run_cli("verify")
        self.assertEqual(done.returncode, 0, done.stdout + done.stderr)

    def test_nothing_of_a_killed_client_stays_on_the_target(self):
        marker = f"sleep 5{os.getpid() % 1000}"
        client = self.open_session(f"echo up; {marker}; true")
        target = self.lab.targets[0]
        wait_for(lambda: target.running(marker))
        client.kill()
        wait_for(lambda: not target.running(marker), 10)

    def test_no_orphan_is_left_when_the_keeper_is_killed(self):
        self.open_session()
        pids = self.lab.gateway_pids()
        self.assertGreater(len(pids), 5)
        os.kill(self.lab.gateway.pid, signal.SIGKILL)

        def gone():
            left = []
            for pid in pids:
                try:
                    state = pathlib.Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0]
                except OSError:
                    continue
                if state != "Z":
                    left.append(pid)
            return not left
        wait_for(gone, 45, 0.5)

    def test_a_changed_host_key_is_refused_before_login(self):
        target = self.lab.targets[0]
        wrong = self.lab.folder / "wrong"
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", wrong], check=True)
        key = " ".join((self.lab.folder / "wrong.pub").read_text().split()[:2])
        text = self.lab.default_policy()
        for real in target.host_keys.values():
            text = text.replace(f'"{real}"', f'"{key}"')
        self.lab.apply(text)
        before = (target.folder / "log").read_text().count("Accepted publickey")
        done = self.lab.ssh(self.who, "echo in")
        self.assertNotIn(b"in\n", done.stdout)
        self.assertIn(b"SP-3006", done.stderr)
        self.assertEqual((target.folder / "log").read_text().count("Accepted publickey"), before)
        self.assertTrue(self.lab.wait_event("target.hostkey_refused"))

    def test_a_dead_and_a_silent_target_give_clear_messages(self):
        import socket
        silent = socket.create_server(("127.0.0.1", 0))
        closed = socket.create_server(("127.0.0.1", 0))
        dead_port = closed.getsockname()[1]
        closed.close()
        for port, code in ((dead_port, b"SP-300"), (silent.getsockname()[1], b"SP-3001")):
            text = self.lab.default_policy().replace(f"port: {self.lab.targets[0].port}", f"port: {port}")
            self.lab.apply(text)
            begin = time.monotonic()
            done = self.lab.ssh(self.who, "true", timeout=30)
            self.assertIn(code, done.stderr)
            self.assertLess(time.monotonic() - begin, 14)
        silent.close()


if __name__ == "__main__":
    unittest.main()
