"""Conditions of the policy on live sessions, and what happens when they change; a database that was rolled back."""
import base64, datetime, json, os, pathlib, shutil, socket, subprocess, time, unittest, zoneinfo

from lab import BIN, Lab, answers_ssh, ended, wait_for
from test_login import needs_paramiko, paramiko, totp


def copy(source, destination):
    subprocess.run(["cp", "-a", source, destination], check=True)


class Conditions(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.lab = Lab(targets=1)
        cls.who = cls.lab.user()

    @classmethod
    def tearDownClass(cls):
        cls.lab.stop()

    def rule(self, *lines, extra="", channels="shell, exec, sftp, jump"):
        self.lab.apply(self.lab.default_policy(channels=channels, extra_rule="".join(f"        {line}\n" for line in lines), extra=extra))

    def refused(self, code, *command, **more):
        done = self.lab.ssh(self.who, *(command or ("echo in",)), **more)
        self.assertEqual((done.returncode, done.stdout), (255, b""), done.stderr)
        self.assertIn(code.encode(), done.stderr)

    def passes(self, **more):
        done = self.lab.ssh(self.who, "echo in", **more)
        self.assertEqual(done.stdout, b"in\n", done.stderr)

    def open(self, command="echo up; cat", **more):
        client = self.lab.popen(self.who, command, **more)
        self.addCleanup(ended, client)
        self.assertEqual(client.stdout.readline(), b"up\n")
        return client

    def test_the_longest_duration_and_idleness(self):
        self.rule("max_duration: 3s")
        begin = time.monotonic()
        client = self.open("echo up; while :; do echo x; sleep 0.2; done")
        client.stdin.close()
        self.assertEqual(client.wait(10), 255)
        self.assertTrue(2.0 < time.monotonic() - begin < 5.0, time.monotonic() - begin)
        self.assertIn(b"SP-2013", client.stderr.read())

        self.rule("idle_timeout: 3s")
        client = self.open()
        for _ in range(4):  # typing keeps it open
            time.sleep(1)
            client.stdin.write(b"x\n")
            client.stdin.flush()
            self.assertEqual(client.stdout.readline(), b"x\n")
        begin = time.monotonic()
        self.assertEqual(client.wait(10), 255)
        self.assertTrue(2.0 < time.monotonic() - begin < 5.0, time.monotonic() - begin)
        self.assertIn(b"SP-2014", client.stderr.read())

    def test_limits_that_change_are_felt_by_sessions_that_are_open(self):
        self.rule()
        client = self.open()
        time.sleep(1.5)
        self.rule("max_duration: 1s")
        begin = time.monotonic()
        self.assertEqual(client.wait(5), 255)
        self.assertLess(time.monotonic() - begin, 1.0)
        self.assertIn(b"SP-2013", client.stderr.read())
        self.rule()
        client = self.open()
        self.rule("idle_timeout: 2s")
        begin = time.monotonic()
        self.assertEqual(client.wait(6), 255)
        self.assertLess(time.monotonic() - begin, 4.0)
        self.assertIn(b"SP-2014", client.stderr.read())
        self.assertTrue(self.lab.wait_event("session.limits_changed", idle_timeout_s=2))

    def test_the_number_of_sessions_at_once(self):
        self.rule("max_sessions: 2")
        first, _ = self.open(), self.open()
        self.refused("SP-2012")
        first.stdin.close()
        first.wait(10)
        wait_for(lambda: self.lab.ssh(self.who, "echo in").stdout == b"in\n", 5, 0.3)

    def test_hours_in_a_time_zone(self):
        for zone in ("Asia/Kathmandu", "America/St_Johns", "UTC"):
            now = datetime.datetime.now(zoneinfo.ZoneInfo(zone))
            day = now.strftime("%a").lower()
            inside = f"hours: {{days: [{day}], from: \"{max(now.hour - 1, 0):02d}:00\", to: \"{'24:00' if now.hour >= 22 else f'{now.hour + 2:02d}:00'}\", zone: {zone}}}"
            other_day = (now + datetime.timedelta(days=3)).strftime("%a").lower()
            with self.subTest(zone):
                self.rule(inside)
                self.passes()
                self.rule(f"hours: {{days: [{other_day}], zone: {zone}}}")
                self.refused("SP-2007")

    def test_source_networks(self):
        self.rule("networks: [127.0.5.0/24]")
        self.refused("SP-2008")
        self.passes(arguments=["-b", "127.0.5.9"])

    def test_a_grant_that_expires_ends_its_sessions(self):
        text = self.lab.default_policy()
        soon = (datetime.datetime.now(datetime.timezone.utc) + datetime.timedelta(seconds=3)).strftime("%Y-%m-%dT%H:%M:%SZ")
        self.lab.apply(text.replace("{role: operator, principals: [engineer]}", f"{{role: operator, principals: [engineer], expires: {soon}}}"))
        client = self.open()
        self.assertEqual(client.wait(20), 255)
        late = time.time() - datetime.datetime.strptime(soon, "%Y-%m-%dT%H:%M:%SZ").replace(tzinfo=datetime.timezone.utc).timestamp()
        print(f"the session ended {late:.2f} s after its grant", flush=True)
        self.assertTrue(0 <= late < 2, late)
        self.assertIn(b"SP-2026", client.stderr.read())
        self.refused("SP-2026")

    last_step = 0

    @classmethod
    def code(cls, seed):
        """A moment counts once for one person, whatever the secret is."""
        wait_for(lambda: time.time() // 30 > cls.last_step, 31, 0.2)
        cls.last_step = time.time() // 30
        return totp(seed)

    @needs_paramiko
    def test_a_second_factor_grows_old(self):
        seed = os.urandom(20)
        subprocess.run([BIN / "sallyport", "--config", self.lab.folder / "sallyport.yaml", "secret", "put", "totp/engineer", "--kind", "totp"],
                       input=base64.b32encode(seed), check=True, capture_output=True, timeout=30)
        text = self.lab.default_policy(extra_rule="        mfa_within: 5s\n").replace("{name: engineer, type: person,", "{name: engineer, type: person, totp: totp/engineer,")
        self.lab.apply(text)
        connection = paramiko.Transport(socket.create_connection(("127.0.0.1", self.lab.port), 10))
        self.addCleanup(connection.close)
        connection.start_client(timeout=20)
        key = paramiko.Ed25519Key.from_private_key_file(str(self.lab.folder / "id_engineer"))
        self.assertEqual(connection.auth_publickey(self.who, key), ["keyboard-interactive"])
        connection.auth_interactive(self.who, lambda title, text, prompts: [self.code(seed) for _ in prompts])

        def run():
            channel = connection.open_session(timeout=20)
            channel.exec_command("echo in")
            return channel.makefile().read(), channel.makefile_stderr().read()
        self.assertEqual(run()[0], b"in\n")
        time.sleep(6)
        out, err = run()
        self.assertEqual(out, b"")
        self.assertIn(b"SP-2006", err)

    @needs_paramiko
    def test_a_second_factor_given_outside_counts_in_a_jump_while_it_is_fresh(self):
        seed = os.urandom(20)
        subprocess.run([BIN / "sallyport", "--config", self.lab.folder / "sallyport.yaml", "secret", "put", "totp/jumper", "--kind", "totp"],
                       input=base64.b32encode(seed), check=True, capture_output=True, timeout=30)
        self.lab.apply(self.lab.default_policy(channels="exec, jump", extra_rule="        mfa_within: 12s\n").replace("{name: engineer, type: person,", "{name: engineer, type: person, totp: totp/jumper,"))
        key = paramiko.Ed25519Key.from_private_key_file(str(self.lab.folder / "id_engineer"))

        def started(stream):
            connection = paramiko.Transport(stream)
            self.addCleanup(connection.close)
            connection.start_client(timeout=20)
            return connection
        outer = started(socket.create_connection(("127.0.0.1", self.lab.port), 10))
        if not outer.is_authenticated() and outer.auth_publickey("engineer", key) == ["keyboard-interactive"]:
            outer.auth_interactive("engineer", lambda title, text, prompts: [self.code(seed) for _ in prompts])
        proven = time.monotonic()
        inner_stream = lambda: outer.open_channel("direct-tcpip", ("target1", 22), ("127.0.0.1", 1), timeout=20)
        for wrong in (lambda one: one.auth_none(self.lab.account), lambda one: one.auth_password(self.lab.account, "right horse", fallback=False)):
            with self.assertRaises(paramiko.SSHException):
                wrong(started(inner_stream()))
        inner = started(inner_stream())
        self.assertEqual(inner.auth_publickey(self.lab.account, key), [], "the key is asked for again, the code is not")

        def run(command):
            channel = inner.open_session(timeout=20)
            channel.exec_command(command)
            return channel.makefile().read(), channel.makefile_stderr().read()
        self.assertEqual(run("echo in")[0], b"in\n")
        time.sleep(max(0, proven + 13 - time.monotonic()))
        out, err = run("echo in")
        self.assertEqual(out, b"")
        self.assertIn(b"SP-2006", err)
        outer.close()
        wait_for(lambda: not inner.is_active(), 10)

    def test_a_lock_is_felt_within_a_second_through_multiplexing_and_jumps(self):
        self.rule()
        control = self.lab.folder / "lock-mux"
        master = subprocess.Popen(self.lab.ssh_command(self.who, arguments=["-N", "-M", "-S", str(control)]), stdin=subprocess.DEVNULL, stderr=subprocess.PIPE)
        self.addCleanup(ended, master)
        wait_for(control.exists, 15)
        clients = [subprocess.Popen(["ssh", "-F", "/dev/null", "-S", str(control), "x", "echo up; cat"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
                   for _ in range(5)]
        config = self.lab.folder / "jump-config"
        config.write_text(f"Host gw\n  HostName 127.0.0.1\n  Port {self.lab.port}\n  User engineer\nHost target1\n  ProxyJump gw\n  User {self.lab.account}\n"
                          f"Host *\n  IdentityFile {self.lab.folder}/id_engineer\n  IdentitiesOnly yes\n  IdentityAgent none\n  UserKnownHostsFile {self.lab.folder}/known_hosts\n"
                          "  GlobalKnownHostsFile /dev/null\n  BatchMode yes\n")
        clients.append(subprocess.Popen(["ssh", "-F", str(config), "target1", "echo up; cat"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE))
        for client in clients:
            self.addCleanup(ended, client)
            self.assertEqual(client.stdout.readline(), b"up\n")
        self.lab.run_cli("lock", "set", "--principal", "engineer", "--reason", "laptop lost", check=True)
        begin = time.monotonic()
        try:
            for client in clients:
                self.assertNotEqual(client.wait(5), 0)
            self.assertLess(time.monotonic() - begin, 1.0)
            for client in clients[:5]:
                self.assertIn(b"laptop lost", client.stderr.read())
            self.assertEqual(self.lab.ssh(self.who, "echo in").stdout, b"")
        finally:
            self.lab.run_cli("lock", "remove", "--principal", "engineer", check=True)


class RollBack(unittest.TestCase):
    def test_a_database_older_than_the_journal_is_refused(self):
        with Lab(targets=1) as lab:
            self.assertEqual(lab.ssh(lab.user(), "echo in").stdout, b"in\n")
            state = lab.folder / "state" / "authority"
            lab.stop_gateway()
            old = lab.folder / "old"
            copy(state, old)
            lab.start_gateway()
            self.assertEqual(lab.ssh(lab.user(), "echo in").stdout, b"in\n", "a restart is no roll-back")
            lab.run_cli("lock", "set", "--principal", "engineer", "--reason", "gone", check=True)
            self.assertEqual(lab.ssh(lab.user(), "echo in").stdout, b"")
            lab.stop_gateway()
            copy(state, lab.folder / "right")
            shutil.rmtree(state)
            copy(old, state)
            lab.start_gateway()
            done = lab.ssh(lab.user(), "echo in")
            self.assertEqual((done.returncode, done.stdout), (255, b""), "the lock is not in this database: it must open nothing")
            self.assertIn(b"SP-8004", done.stderr)
            status = lab.run_cli("status")
            self.assertEqual(status.returncode, 7)
            self.assertIn(b"older database", status.stdout)
            self.assertRegex(status.stdout, b"ALARM .*database.older_refused")
            change = lab.run_cli("lock", "set", "--principal", "auditor", "--reason", "x")
            self.assertEqual(change.returncode, 6, change.stderr)
            self.assertTrue(lab.wait_event("auth.attempted", code="SP-8004"))
            lab.stop_gateway()
            shutil.rmtree(state)
            copy(lab.folder / "right", state)
            lab.start_gateway()
            self.assertIn(b"SP-", lab.ssh(lab.user(), "echo in").stderr)
            self.assertEqual(lab.run_cli("status").returncode, 0)
            # What cannot be restored better is taken by a word in the configuration.
            lab.stop_gateway()
            shutil.rmtree(state)
            copy(old, state)
            config = lab.folder / "sallyport.yaml"
            text = config.read_text()
            config.write_text(text + "recovery:\n  accept_older_database: true\n")
            lab.start_gateway()
            self.assertEqual(lab.ssh(lab.user(), "echo in").stdout, b"in\n")
            self.assertTrue(lab.wait_event("database.older_accepted"))
            config.write_text(text)
            lab.stop_gateway()
            lab.start_gateway()
            self.assertEqual(lab.ssh(lab.user(), "echo in").stdout, b"in\n", "once accepted it is the database")


if __name__ == "__main__":
    unittest.main()
