"""What a service manager expects: readiness, reload, watchdog and stop told by sd_notify, sockets handed over, units that verify."""
import os, pathlib, re, shutil, signal, socket, subprocess, tempfile, time, unittest

from lab import BIN, Lab, ROOT, answers_ssh, limit_memory, wait_for

UNITS = ROOT / "deploy" / "systemd"


class Manager:
    """The receiving end of $NOTIFY_SOCKET."""

    def __init__(self, folder):
        self.path = str(folder / "notify")
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.socket.bind(self.path)
        self.lines = []

    def hears(self, line, seconds=20):
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            self.socket.settimeout(max(0.01, end - time.monotonic()))
            try:
                self.lines += self.socket.recv(4096).decode().splitlines()
            except socket.timeout:
                break
            if any(re.fullmatch(line, one) for one in self.lines):
                return True
        return False


class ServiceManager(unittest.TestCase):
    def setUp(self):
        self.lab = Lab(targets=1, start=False, config="sessions: {drain: 1s}\n")
        self.addCleanup(self.lab.stop)

    def test_readiness_reload_watchdog_upgrade_and_stop_are_told(self):
        manager = Manager(self.lab.folder)
        os.environ.update(NOTIFY_SOCKET=manager.path, WATCHDOG_USEC="1000000")
        try:
            self.lab.start()
        finally:
            del os.environ["NOTIFY_SOCKET"], os.environ["WATCHDOG_USEC"]
        self.assertTrue(manager.hears("READY=1"), manager.lines)
        self.assertTrue(manager.hears("STATUS=Serving on .*"), manager.lines)
        manager.lines.clear()
        self.assertTrue(manager.hears("WATCHDOG=1", 3) and manager.hears("WATCHDOG=1", 3))
        manager.lines.clear()
        self.lab.gateway.send_signal(signal.SIGHUP)
        self.assertTrue(manager.hears(r"MONOTONIC_USEC=\d+"), manager.lines)
        self.assertIn("RELOADING=1", manager.lines)
        self.assertTrue(manager.hears("READY=1"), manager.lines)
        manager.lines.clear()
        self.lab.gateway.send_signal(signal.SIGUSR2)
        self.assertTrue(manager.hears("STATUS=Upgraded"), manager.lines)
        manager.lines.clear()
        self.assertTrue(manager.hears("WATCHDOG=1", 3), "the watchdog is not fed after an upgrade")
        # No service got the manager's socket.
        for pid in self.lab.gateway_pids():
            if pid != self.lab.gateway.pid:
                self.assertNotIn(b"NOTIFY_SOCKET", pathlib.Path(f"/proc/{pid}/environ").read_bytes())
        self.lab.gateway.send_signal(signal.SIGTERM)
        self.assertTrue(manager.hears("STOPPING=1"), manager.lines)
        self.assertEqual(self.lab.gateway.wait(20), 0)

    def start_with_socket(self, listening):
        """As systemd does: the socket is descriptor 3, LISTEN_PID is the program's own."""
        log = open(self.lab.folder / "gateway.log", "ab")
        command = 'exec 3<&"$0"; export LISTEN_PID=$$ LISTEN_FDS=1; exec "$@"'
        self.lab.gateway = subprocess.Popen(["bash", "-c", command, str(listening.fileno()), BIN / "sallyport", "--config", self.lab.folder / "sallyport.yaml", "serve"],
                                            stdin=subprocess.DEVNULL, stdout=log, stderr=log, preexec_fn=limit_memory, start_new_session=True,
                                            pass_fds=[listening.fileno()])
        log.close()

    def test_connections_wait_in_a_handed_socket_through_a_restart(self):
        self.lab.start()
        self.lab.stop_gateway()
        listening = socket.create_server(("127.0.0.1", 0), backlog=64)
        listening.set_inheritable(True)
        port = listening.getsockname()[1]
        configured, self.lab.port = self.lab.port, port
        (self.lab.folder / "known_hosts").write_text((self.lab.folder / "known_hosts").read_text().replace(f":{configured} ", f":{port} "))
        self.start_with_socket(listening)
        wait_for(lambda: answers_ssh("127.0.0.1", port), 20)
        self.assertFalse(answers_ssh("127.0.0.1", configured))  # `listen` of the configuration is not used
        self.assertEqual(self.lab.ssh(self.lab.user(), "echo in").stdout, b"in\n")
        self.lab.stop_gateway()
        early = self.lab.popen(self.lab.user(), "echo waited")  # nobody serves, nobody refuses
        time.sleep(0.5)
        self.assertIsNone(early.poll())
        self.start_with_socket(listening)
        output, errors = early.communicate(timeout=40)
        self.assertEqual(output, b"waited\n", errors)
        listening.close()

    @unittest.skipUnless(shutil.which("systemd-socket-activate"), "systemd-socket-activate is not installed")
    def test_the_real_socket_activation_starts_it(self):
        self.lab.start()
        self.lab.stop_gateway()
        log = open(self.lab.folder / "gateway.log", "ab")
        self.lab.gateway = subprocess.Popen(["systemd-socket-activate", "-l", f"127.0.0.1:{self.lab.port}", BIN / "sallyport", "--config",
                                             self.lab.folder / "sallyport.yaml", "serve"], stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                                            start_new_session=True)
        log.close()
        wait_for(lambda: "Listening on" in self.lab.log(), 10)
        self.assertEqual(self.lab.ssh(self.lab.user(), "echo activated", timeout=40).stdout, b"activated\n")

    @unittest.skipUnless(shutil.which("systemd-analyze"), "systemd-analyze is not installed")
    def test_the_units_verify_and_are_hardened(self):
        with tempfile.TemporaryDirectory() as folder:
            folder = pathlib.Path(folder)
            for unit in ("sallyport.service", "sallyport.socket"):
                (folder / unit).write_text((UNITS / unit).read_text().replace("/usr/bin/sallyport", str(BIN / "sallyport")))
            done = subprocess.run(["systemd-analyze", "verify", "--man=no", folder / "sallyport.service", folder / "sallyport.socket"], capture_output=True, text=True)
            self.assertEqual((done.returncode, done.stderr), (0, ""))
            done = subprocess.run(["systemd-analyze", "security", "--offline=true", "--threshold=35", folder / "sallyport.service"], capture_output=True, text=True)
            self.assertEqual(done.returncode, 0, done.stdout[-300:] + done.stderr)
            print(done.stdout.strip().splitlines()[-1], flush=True)


if __name__ == "__main__":
    unittest.main()
