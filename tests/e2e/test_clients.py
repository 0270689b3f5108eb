"""The clients that people really have, each against the gateway."""
import asyncio, hashlib, json, os, pathlib, re, shutil, subprocess, sys, time, unittest

from lab import Lab, free_port, wait_for

sys.path.append("/usr/lib/python3/dist-packages")


def need(*programs):
    missing = [p for p in programs if shutil.which(p) is None]
    return unittest.skipIf(missing, f"not installed: {', '.join(missing)}")


def need_module(name):
    try:
        __import__(name)
        return lambda test: test
    except ImportError as error:
        return unittest.skip(f"python module {name}: {error}")


class Clients(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.lab = Lab(targets=1)
        cls.who = cls.lab.user()
        cls.key = str(cls.lab.folder / "id_engineer")
        cls.port = str(cls.lab.port)
        cls.data = os.urandom(1 << 20)
        (cls.lab.folder / "data").write_bytes(cls.data)
        host_keys = (cls.lab.folder / "run" / "keys" / "host_keys.pub").read_text().splitlines()
        cls.fingerprints = [subprocess.run(["ssh-keygen", "-lf", "-"], input=line.encode(), capture_output=True).stdout.split()[1].decode()
                            for line in host_keys if line.strip()]

    @classmethod
    def tearDownClass(cls):
        cls.lab.stop()

    def run_client(self, *command, input=b"", timeout=60, **more):
        return subprocess.run([str(part) for part in command], input=input, capture_output=True, timeout=timeout, **more)

    def putty_key(self):
        path = self.lab.folder / "engineer.ppk"
        if not path.exists():
            self.run_client("puttygen", self.key, "-O", "private", "-o", path)
        return path

    def putty(self):
        return ["-batch", "-i", self.putty_key(), "-P", self.port, *[part for f in self.fingerprints for part in ("-hostkey", f)]]

    @need("plink", "puttygen")
    def test_plink(self):
        done = self.run_client("plink", *self.putty(), "-l", self.who, "127.0.0.1", "echo from-plink; cat; exit 4", input=b"typed")
        self.assertEqual((done.stdout, done.returncode), (b"from-plink\ntyped", 4), done.stderr)

    @need("psftp", "pscp", "puttygen")
    def test_psftp_and_pscp(self):
        script = self.lab.folder / "psftp"
        script.write_text(f"put {self.lab.folder}/data p.bin\nget p.bin {self.lab.folder}/p.back\nquit\n")
        done = self.run_client("psftp", *self.putty(), "-b", script, f"{self.who}@127.0.0.1")
        self.assertEqual((self.lab.folder / "p.back").read_bytes(), self.data, done.stderr)
        for protocol in ("-sftp", "-scp"):
            done = self.run_client("pscp", *self.putty(), protocol, self.lab.folder / "data", f"{self.who}@127.0.0.1:pscp.bin")
            self.assertEqual(done.returncode, 0, (protocol, done.stderr))
            done = self.run_client("pscp", *self.putty(), protocol, f"{self.who}@127.0.0.1:pscp.bin", self.lab.folder / "pscp.back")
            self.assertEqual((self.lab.folder / "pscp.back").read_bytes(), self.data)

    @need("dbclient", "dropbearconvert")
    def test_dropbear(self):
        key = self.lab.folder / "dropbear.key"
        self.run_client("dropbearconvert", "openssh", "dropbear", self.key, key)
        done = self.run_client("dbclient", "-y", "-y", "-i", key, "-p", self.port, "-l", self.who, "127.0.0.1", "echo from-dropbear; cat", input=b"typed")
        self.assertEqual(done.stdout, b"from-dropbear\ntyped", done.stderr)

    @need_module("paramiko")
    def test_paramiko(self):
        import paramiko
        client = paramiko.SSHClient()
        client.set_missing_host_key_policy(paramiko.AutoAddPolicy())
        client.connect("127.0.0.1", self.lab.port, self.who, key_filename=self.key, look_for_keys=False, allow_agent=False, timeout=20)
        try:
            _, out, err = client.exec_command("echo out; echo err >&2; exit 9", timeout=20)
            self.assertEqual((out.read(), err.read(), out.channel.recv_exit_status()), (b"out\n", b"err\n", 9))
            sftp = client.open_sftp()
            sftp.put(str(self.lab.folder / "data"), "paramiko.bin")
            with sftp.open("paramiko.bin") as file:
                file.prefetch()
                self.assertEqual(file.read(), self.data)
            channel = client.invoke_shell("xterm", 91, 33)
            channel.send(b"stty size; exit\n")
            seen = b""
            while piece := channel.recv(4096):
                seen += piece
            self.assertIn(b"33 91", seen)
        finally:
            client.close()

    @need_module("asyncssh")
    def test_asyncssh(self):
        import asyncssh

        async def go():
            async with asyncssh.connect("127.0.0.1", self.lab.port, username=self.who, client_keys=[self.key], known_hosts=None) as c:
                done = await asyncio.gather(*[c.run(f"echo {i}; exit {i}") for i in range(8)])
                self.assertEqual([(r.stdout, r.exit_status) for r in done], [(f"{i}\n", i) for i in range(8)])
                killed = await c.run("kill -KILL $$")
                self.assertEqual(killed.exit_signal[0], "KILL")
                async with c.start_sftp_client() as sftp:
                    await sftp.put(str(self.lab.folder / "data"), "asyncssh.bin")
                    await sftp.get("asyncssh.bin", str(self.lab.folder / "asyncssh.back"))
                process = await c.create_process("sleep 30")
                await asyncio.sleep(0.5)
                process.send_signal("TERM")
                ended = await asyncio.wait_for(process.wait(), 10)
                self.assertEqual(ended.exit_signal[0], "TERM")
        asyncio.run(asyncio.wait_for(go(), 60))
        self.assertEqual((self.lab.folder / "asyncssh.back").read_bytes(), self.data)

    @need("curl")
    def test_curl_over_libssh2(self):
        if b"sftp" not in self.run_client("curl", "--version").stdout:
            self.skipTest("this curl has no sftp")
        url = f"sftp://{self.who.replace('+', '%2B')}@127.0.0.1:{self.port}/~/curl.bin"
        key = self.lab.folder / "curl_key"
        shutil.copy(self.key, key)
        shutil.copy(self.key + ".pub", str(key) + ".pub")
        self.run_client("ssh-keygen", "-p", "-q", "-m", "PEM", "-N", "", "-f", key)
        done = self.run_client("curl", "-sSk", "--key", key, "--pubkey", f"{key}.pub", "-T", self.lab.folder / "data", url)
        self.assertEqual(done.returncode, 0, done.stderr)
        done = self.run_client("curl", "-sSk", "--key", key, "--pubkey", f"{key}.pub", url)
        self.assertEqual(hashlib.sha256(done.stdout).digest(), hashlib.sha256(self.data).digest(), done.stderr)

    @need("sshfs", "fusermount3")
    def test_sshfs(self):
        if not os.access("/dev/fuse", os.R_OK | os.W_OK):
            self.skipTest("/dev/fuse is not usable here")
        mount = self.lab.folder / "mount"
        mount.mkdir()
        options = ",".join(f"{k}={v}" for k, v in (("IdentityFile", self.key), ("UserKnownHostsFile", self.lab.folder / "known_hosts"), ("BatchMode", "yes"), ("IdentitiesOnly", "yes")))
        done = self.run_client("sshfs", "-p", self.port, "-o", options, f"{self.who}@127.0.0.1:", mount)
        if done.returncode != 0 and b"fuse" in done.stderr.lower():
            self.skipTest(done.stderr.decode().strip())
        self.assertEqual(done.returncode, 0, done.stderr)
        try:
            (mount / "fs.bin").write_bytes(self.data)
            self.assertEqual((mount / "fs.bin").read_bytes(), self.data)
            (mount / "fs.bin").rename(mount / "fs2.bin")
            (mount / "fs2.bin").unlink()
        finally:
            self.run_client("fusermount3", "-u", mount)

    @need("ansible")
    def test_ansible_ping_copy_and_shell(self):
        folder = self.lab.folder / "ansible"
        folder.mkdir()
        arguments = " ".join(map(str, self.lab.ssh_options()))
        (folder / "hosts").write_text(f"t1 ansible_host=127.0.0.1 ansible_port={self.port} ansible_user={self.who} ansible_python_interpreter=/usr/bin/python3 ansible_ssh_common_args='{arguments}'\n")
        (folder / "ansible.cfg").write_text("[defaults]\nhost_key_checking=True\nretry_files_enabled=False\n[ssh_connection]\npipelining=True\n")
        env = dict(os.environ, ANSIBLE_CONFIG=str(folder / "ansible.cfg"), ANSIBLE_LOCAL_TEMP=str(folder / "tmp"), HOME=str(folder), LC_ALL="C.UTF-8")
        for module in (["-m", "ping"], ["-m", "copy", "-a", f"src={self.lab.folder}/data dest=ansible.bin"], ["-m", "shell", "-a", "sha256sum ansible.bin"]):
            done = self.run_client("ansible", "-i", folder / "hosts", "t1", *module, env=env, timeout=120)
            self.assertEqual(done.returncode, 0, (module, done.stdout, done.stderr))
        self.assertIn(hashlib.sha256(self.data).hexdigest().encode(), done.stdout)
        # A refusal reads there as it does in ssh.
        self.addCleanup(self.lab.apply, self.lab.default_policy())
        self.lab.apply(self.lab.default_policy(channels="sftp"))
        for module in (["-m", "ping"], ["-m", "shell", "-a", "id"], ["-m", "copy", "-a", f"src={self.lab.folder}/data dest=refused.bin"]):
            done = self.run_client("ansible", "-i", folder / "hosts", "t1", *module, env=env, timeout=120)
            self.assertNotEqual(done.returncode, 0, module)
            self.assertRegex(done.stdout + done.stderr, rb"SP-2009 this kind of channel is not permitted", module)
        # Programs may run, files may only be fetched. (Without this setting Ansible falls back to `dd` in a program, which is a matter of the guard.)
        env["ANSIBLE_SSH_TRANSFER_METHOD"] = "sftp"
        self.lab.apply(self.lab.default_policy().replace("allow: [up, down, change]", "allow: [down]"))
        done = self.run_client("ansible", "-i", folder / "hosts", "t1", "-m", "shell", "-a", "echo allowed-$((40+2))", env=env, timeout=120)
        self.assertIn(b"allowed-42", done.stdout, done.stderr)
        done = self.run_client("ansible", "-i", folder / "hosts", "t1", "-m", "copy", "-a", f"src={self.lab.folder}/data dest=refused.bin", env=env, timeout=120)
        self.assertNotEqual(done.returncode, 0)
        self.assertRegex(done.stdout + done.stderr, rb"SP-6001")
        self.assertNotEqual(self.lab.ssh(self.who, "ls refused.bin").returncode, 0)

    @need("tmux", "vim.tiny")
    def test_vim_in_a_terminal_driven_by_tmux(self):
        socket = self.lab.folder / "tmux"
        tmux = ["tmux", "-S", str(socket), "-f", "/dev/null"]
        command = " ".join(map(str, self.lab.ssh_command(self.who, arguments=["-tt"])))
        self.run_client(*tmux, "new-session", "-d", "-x", "100", "-y", "30", command)

        def screen():
            return self.run_client(*tmux, "capture-pane", "-p").stdout.decode()
        try:
            wait_for(lambda: "$" in screen(), 20, 0.2)
            self.run_client(*tmux, "send-keys", "vim.tiny -u NONE note", "Enter")
            wait_for(lambda: '"note" [New]' in screen() or "note" in screen() and "~" in screen(), 20, 0.2)
            self.run_client(*tmux, "send-keys", "ihello from vim", "Escape", ":wq", "Enter")
            wait_for(lambda: self.lab.ssh(self.who, "cat note").stdout == b"hello from vim\n", 20, 0.5)
            self.run_client(*tmux, "send-keys", "clear; cat note; echo shown-$((40+2))", "Enter")
            wait_for(lambda: "shown-42" in screen() and "hello from vim" in screen(), 20, 0.2)
        finally:
            self.run_client(*tmux, "kill-server")

    def test_an_editor_that_works_remotely(self):
        """What VS Code Remote does: a bootstrap script over -T, a dynamic forward, many channels, a reconnect."""
        for _ in range(2):
            done = self.lab.ssh(self.who, "bash", input=b"set -e\nmkdir -p .server\necho installed-$((1+1)) | tee .server/v\nuname -s\n", arguments=["-T"])
            self.assertEqual(done.stdout.split(), [b"installed-2", b"Linux"])
        served, proxy = free_port(), free_port()
        (self.lab.folder / "served").mkdir(exist_ok=True)
        (self.lab.folder / "served" / "version").write_text("server-42\n")
        self.lab.apply(self.lab.default_policy(channels="shell, exec, subsystem, sftp, scp, rsync, tunnel-dynamic", extra_rule=f'        tunnels: ["127.0.0.1:{served}"]\n'))
        server = subprocess.Popen([sys.executable, "-m", "http.server", "--bind", "127.0.0.1", "--directory", str(self.lab.folder / "served"), str(served)],
                                  stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        try:
            for attempt in range(2):  # the connection is dropped and made again
                control = self.lab.folder / f"code{attempt}"
                master = self.lab.popen(self.who, "sleep 30", arguments=["-M", "-S", str(control), "-D", f"127.0.0.1:{proxy}"])
                try:
                    wait_for(control.exists, 20)
                    running = [subprocess.Popen(["ssh", "-F", "/dev/null", "-S", str(control), "x", "cat .server/v"], stdout=subprocess.PIPE) for _ in range(10)]
                    self.assertEqual({r.communicate(timeout=30)[0] for r in running}, {b"installed-2\n"})
                    fetched = self.run_client("curl", "-sS", "--retry", "5", "--retry-connrefused", "--socks5", f"127.0.0.1:{proxy}", f"http://127.0.0.1:{served}/version")
                    self.assertEqual(fetched.stdout, b"server-42\n", fetched.stderr)
                finally:
                    master.kill()
                    master.communicate()
        finally:
            server.kill()
            server.wait()
            self.lab.apply(self.lab.default_policy())

    def test_every_kind_of_key_logs_in(self):
        for kind, bits in (("ecdsa", 256), ("ecdsa", 384), ("ecdsa", 521), ("rsa", 3072)):
            path = self.lab.folder / f"id_{kind}{bits}"
            self.run_client("ssh-keygen", "-q", "-t", kind, "-b", bits, "-N", "", "-f", path)
        keys = [self.lab.people["engineer"]] + [(self.lab.folder / f"id_{k}.pub").read_text().strip() for k in ("ecdsa256", "ecdsa384", "ecdsa521", "rsa3072")]
        policy = self.lab.default_policy().replace(json.dumps(self.lab.people["engineer"]), ", ".join(map(json.dumps, keys)), 1)
        self.lab.apply(policy)
        try:
            for kind in ("ecdsa256", "ecdsa384", "ecdsa521", "rsa3072"):
                done = self.lab.ssh(self.who, "echo in", identity=kind)
                self.assertEqual(done.stdout, b"in\n", (kind, done.stderr))
        finally:
            self.lab.apply(self.lab.default_policy())

    @need("ssh-audit")
    def test_ssh_audit_finds_nothing_at_level_fail(self):
        done = self.run_client("ssh-audit", "-n", "-l", "fail", "-p", self.port, "127.0.0.1")
        self.assertIn(done.returncode, (0, 2), done.stderr)  # 2: warnings
        self.assertNotIn("[fail]", done.stdout.decode())


if __name__ == "__main__":
    unittest.main()
