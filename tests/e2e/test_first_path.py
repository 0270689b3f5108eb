"""An engineer with stock OpenSSH reaches a real sshd: shell, exec, streams, status, recording, verification."""
import hashlib, json, os, pathlib, pty, re, select, signal, subprocess, time, unittest

from lab import Lab, IS_ROOT, wait_for


class FirstPath(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.lab = Lab(targets=2)
        cls.who = cls.lab.user()

    @classmethod
    def tearDownClass(cls):
        cls.lab.stop()

    def test_exec_gives_output_and_status(self):
        done = self.lab.ssh(self.who, "echo out; echo err >&2; exit 7")
        self.assertEqual((done.stdout, done.stderr, done.returncode), (b"out\n", b"err\n", 7))

    def test_the_account_name_may_be_left_out_when_one_is_granted(self):
        done = self.lab.ssh("engineer+target2", "id -un")
        self.assertEqual(done.stdout.decode().strip(), self.lab.account, done.stderr)

    def test_standard_input_passes_every_byte(self):
        data = os.urandom(3 << 20)
        done = self.lab.ssh(self.who, "cat", input=data)
        self.assertEqual(hashlib.sha256(done.stdout).hexdigest(), hashlib.sha256(data).hexdigest())

    def test_half_close_lets_the_program_answer_after_end_of_input(self):
        done = self.lab.ssh(self.who, "cat >/dev/null; sleep 0.2; echo late", input=b"x" * 100000)
        self.assertEqual(done.stdout, b"late\n")

    def test_death_by_signal_is_told_as_such(self):
        done = self.lab.ssh(self.who, "kill -TERM $$")
        self.assertEqual(done.returncode, 255)
        events = self.lab.wait_event("channel.closed", exit_signal="TERM")
        self.assertTrue(events)

    def test_permitted_environment_passes_and_other_does_not(self):
        env = dict(os.environ, TEST_GATE="yes", SECRET_GATE="no")
        done = subprocess.run(self.lab.ssh_command(self.who, "echo [$TEST_GATE][$SECRET_GATE]", SendEnv="TEST_GATE SECRET_GATE"),
                              env=env, capture_output=True, stdin=subprocess.DEVNULL, timeout=30)
        self.assertEqual(done.stdout, b"[yes][]\n")

    def test_a_terminal_has_its_size_modes_and_type(self):
        import fcntl, struct, termios
        master, slave = pty.openpty()
        fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", 33, 101, 707, 495))
        modes = termios.tcgetattr(slave)
        modes[0] &= ~termios.IXON
        modes[6][termios.VERASE] = b"\x08"
        termios.tcsetattr(slave, termios.TCSANOW, modes)
        pixels = "python3 -c 'import fcntl,struct,termios; print(struct.unpack(\"4H\", fcntl.ioctl(0, termios.TIOCGWINSZ, bytes(8))))'"
        try:
            done = subprocess.run(self.lab.ssh_command(self.who, f"tty; echo [$TERM]; stty -a; {pixels}", arguments=["-tt"]), stdin=slave, capture_output=True, timeout=30,
                                  env=dict(os.environ, TERM="xterm-256color"))
        finally:
            os.close(master)
            os.close(slave)
        text = done.stdout.decode()
        self.assertRegex(text, r"/dev/pts/\d+")
        for part in ("[xterm-256color]", "rows 33; columns 101", "erase = ^H", "-ixon", "(33, 101, 707, 495)"):
            self.assertIn(part, text)

    def test_every_mode_of_a_terminal_arrives_as_by_plain_ssh(self):
        """All flags that RFC 4254 section 8 can carry and a pty takes, set one way and the other: `stty -a` says the same with and without the gateway."""
        import termios, string
        target = self.lab.targets[0]
        (target.folder / "authorized" / self.lab.account).write_text(self.lab.people["engineer"] + "\n")
        self.addCleanup((target.folder / "authorized" / self.lab.account).write_text, "")
        direct = ["ssh", *self.lab.ssh_options(StrictHostKeyChecking="no", UserKnownHostsFile="/dev/null"), "-tt", "-p", str(target.port), "-l", self.lab.account, target.address]
        by_gateway = self.lab.ssh_command(self.who, arguments=["-tt"])
        flags = {0: "IGNPAR PARMRK INPCK ISTRIP INLCR IGNCR ICRNL IXON IXANY IXOFF IMAXBEL IUCLC", 1: "OPOST ONLCR OCRNL ONOCR ONLRET OLCUC",
                 2: "PARODD", 3: "ISIG ICANON ECHO ECHOE ECHOK ECHONL NOFLSH TOSTOP IEXTEN ECHOCTL ECHOKE PENDIN XCASE"}
        keys = "VINTR VQUIT VERASE VKILL VEOF VEOL VEOL2 VSTART VSTOP VSUSP VREPRINT VWERASE VLNEXT VDISCARD"
        heard = []
        for turn in (0, 1):
            master, slave = pty.openpty()
            self.addCleanup(os.close, master)
            self.addCleanup(os.close, slave)
            modes = termios.tcgetattr(slave)
            for field, names in flags.items():
                for number, name in enumerate(names.split()):
                    bit = getattr(termios, name, 0)
                    modes[field] = modes[field] | bit if (number + turn) % 2 else modes[field] & ~bit
            for number, name in enumerate(keys.split()):
                modes[6][getattr(termios, name)] = bytes([ord(string.ascii_lowercase[number]) - 96 if turn else ord("A") + number])
            modes[4] = modes[5] = termios.B19200 if turn else termios.B9600
            for way in (direct, by_gateway):
                termios.tcsetattr(slave, termios.TCSANOW, modes)  # ssh puts its own there while it runs
                done = subprocess.run([*way, "stty -a"], stdin=slave, capture_output=True, timeout=30)
                self.assertEqual(done.returncode, 0, done.stderr)
                heard.append(done.stdout.decode().lower().split())
        self.assertEqual(heard[0], heard[1])
        self.assertEqual(heard[2], heard[3])
        self.assertGreater(len(set(heard[0]) ^ set(heard[2])), 40)  # the two turns are really different

    def test_a_shell_on_a_terminal_takes_typing_and_a_resize(self):
        master, slave = pty.openpty()
        import fcntl, struct, termios
        fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", 31, 97, 0, 0))
        client = subprocess.Popen(self.lab.ssh_command(self.who, arguments=["-tt"]), stdin=slave, stdout=slave, stderr=slave, start_new_session=True)
        os.close(slave)
        seen = b""

        def read_until(text, seconds=15):
            nonlocal seen
            end = time.monotonic() + seconds
            while text not in seen:
                left = end - time.monotonic()
                self.assertGreater(left, 0, seen[-500:])
                if select.select([master], [], [], left)[0]:
                    seen += os.read(master, 65536)
        os.write(master, b"stty size; echo first-$((40+2))\n")
        read_until(b"first-42")
        self.assertIn(b"31 97", seen)
        fcntl.ioctl(master, termios.TIOCSWINSZ, struct.pack("HHHH", 40, 120, 0, 0))
        os.kill(client.pid, signal.SIGWINCH)
        time.sleep(0.5)
        os.write(master, b"stty size; echo second-$((40+3))\n")
        read_until(b"second-43")
        self.assertIn(b"40 120", seen)
        os.write(master, b"exit 5\n")
        self.assertEqual(client.wait(15), 5)
        os.close(master)

    def test_a_second_program_on_one_channel_is_refused_and_many_channels_share_a_connection(self):
        control = self.lab.folder / "mux"
        master = subprocess.Popen(self.lab.ssh_command(self.who, arguments=["-N", "-M", "-S", str(control)]), stdin=subprocess.DEVNULL)
        try:
            wait_for(control.exists, 15)
            clients = [subprocess.Popen(["ssh", "-F", "/dev/null", "-S", str(control), "x", f"sleep 0.5; echo {i}; cat"], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
                       for i in range(20)]
            for i, client in enumerate(clients):
                out, _ = client.communicate(f"in{i}".encode(), 30)
                self.assertEqual(out, f"{i}\nin{i}".encode())
        finally:
            for _ in range(10):  # OpenSSH may look for a signal just before it comes, and then sleep
                master.terminate()
                try:
                    master.wait(1)
                    break
                except subprocess.TimeoutExpired:
                    pass
            self.assertIsNotNone(master.poll())

    def test_an_unknown_target_is_refused_with_a_readable_message(self):
        done = self.lab.ssh("engineer+deploy+nowhere", "true")
        self.assertEqual(done.returncode, 255)
        self.assertIn(b"SP-2", done.stderr)

    def test_a_stranger_gets_nothing(self):
        self.lab.add_key("stranger")
        done = self.lab.ssh("engineer+deploy+target1", "id", identity="stranger")
        self.assertEqual(done.returncode, 255)
        self.assertIn(b"Permission denied", done.stderr)
        self.assertFalse(done.stdout)

    def test_recordings_are_listed_played_exported_and_verified(self):
        self.lab.ssh(self.who, "echo spoken-$((6*7)); echo woe >&2")
        def ended():
            done = self.lab.run_cli("sessions", "-o", "json", check=True)
            rows = json.loads(done.stdout)
            return [r for r in rows if r["state"] == "complete"]
        wait_for(ended, 15, 0.3)
        rows = ended()
        texts = []
        for row in rows:
            done = self.lab.run_cli("play", row["session"], "--speed", "1000", "--reason", "test")
            texts.append(done.stdout + done.stderr)
        self.assertTrue(any(b"spoken-42" in t for t in texts), texts[:2])
        done = self.lab.run_cli("verify")
        self.assertEqual(done.returncode, 0, done.stdout + done.stderr)


if __name__ == "__main__":
    unittest.main()
