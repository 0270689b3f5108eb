#!/usr/bin/env python3
"""Real sshd targets on loopback for the tests: `fleet.py start DIR [COUNT]`, `fleet.py stop DIR`, or as a module.

As root each target lives in a mount, PID and UTS namespace of its own with a private copy of /etc and /home, so that it has
accounts of its own (deploy, ops) and nothing of the machine is changed. As an ordinary user the targets are that user's own
sshd processes and the only account is the user. Everything is below DIR; stop ends what start started, by pid.
"""
import json, os, pathlib, pwd, shutil, signal, socket, subprocess, sys, time

SSHD = "/usr/sbin/sshd"
SFTP_SERVER = "/usr/lib/openssh/sftp-server"


def free_port(address="127.0.0.1"):
    with socket.socket() as s:
        s.bind((address, 0))
        return s.getsockname()[1]


def wait_for(what, seconds=15.0, step=0.02):
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if what():
            return
        time.sleep(step)
    raise TimeoutError(f"waited {seconds} s for {what}")


def answers_ssh(address, port):
    try:
        with socket.create_connection((address, port), 1) as s:
            s.settimeout(1)
            return s.recv(4) == b"SSH-"
    except OSError:
        return False


class Target:
    def __init__(self, folder, name, user_ca=None, extra_config=""):
        self.folder = pathlib.Path(folder)
        self.name = name
        self.address = "127.0.0.1"
        self.port = free_port()
        self.user_ca = user_ca
        self.extra_config = extra_config
        self.is_root = os.geteuid() == 0
        self.accounts = ["deploy", "ops"] if self.is_root else [pwd.getpwuid(os.geteuid()).pw_name]
        self.home = "/home" if self.is_root else None
        self.process = None
        self.host_keys = {}

    def start(self):
        f = self.folder
        (f / "keys").mkdir(parents=True, exist_ok=True)
        (f / "principals").mkdir(exist_ok=True)
        (f / "authorized").mkdir(exist_ok=True)
        for kind in ("ed25519", "ecdsa", "rsa"):
            path = f / "keys" / f"host_{kind}"
            if not path.exists():
                subprocess.run(["ssh-keygen", "-q", "-t", kind, "-N", "", "-C", self.name, "-f", path], check=True)
            self.host_keys[kind] = " ".join(pathlib.Path(f"{path}.pub").read_text().split()[:2])
        for account in self.accounts:
            (f / "principals" / account).write_text(f"{account}@{self.name}\n")
            (f / "authorized" / account).touch()
        ca = f / "user_ca.pub"
        ca.write_text(self.user_ca or "")
        config = [self.extra_config,  # sshd takes the first value that it finds
                  f"ListenAddress {self.address}", f"Port {self.port}", "PidFile none", "LogLevel VERBOSE",
                  f"AuthorizedKeysFile {f}/authorized/%u", f"TrustedUserCAKeys {ca}", f"AuthorizedPrincipalsFile {f}/principals/%u",
                  "KbdInteractiveAuthentication no", "PrintMotd no", "StrictModes no", "AcceptEnv LANG LC_* TEST_*",
                  "AllowTcpForwarding yes", "AllowStreamLocalForwarding yes", "AllowAgentForwarding yes", "X11Forwarding no",
                  "PermitTunnel no", "MaxStartups 200:30:400", "MaxSessions 100", "ClientAliveInterval 0", "PermitUserEnvironment no",
                  f"Subsystem sftp {SFTP_SERVER}", "PasswordAuthentication " + ("yes" if self.is_root else "no"),
                  "UsePAM " + ("yes" if self.is_root else "no")]
        for kind in ("ed25519", "ecdsa", "rsa"):
            config.append(f"HostKey {f}/keys/host_{kind}")
        (f / "sshd_config").write_text("\n".join(config) + "\n")
        log = open(f / "log", "ab")
        if self.is_root:
            os.makedirs("/run/sshd", exist_ok=True)
            if not (f / "etc").exists():
                shutil.copytree("/etc", f / "etc", symlinks=True, ignore_dangling_symlinks=True)
            (f / "home").mkdir(exist_ok=True)
            # A file of last logins of its own: useradd of another target would take this one's entry out of the machine's.
            (f / "logins").mkdir(exist_ok=True)
            for name in ("lastlog", "wtmp", "btmp"):
                (f / "logins" / name).touch()
            users = "\n".join(f"getent passwd {a} >/dev/null || useradd -m -s /bin/bash {a}\necho '{a}:{a}-{self.name}-pw' | chpasswd"
                              for a in self.accounts)
            init = f / "init"
            init.write_text(f"""#!/bin/bash
set -e
mount --make-rprivate /
mount --bind {f}/etc /etc
mount --bind {f}/home /home
mount --bind {f}/logins /var/log
hostname {self.name}
echo {self.name} >/etc/hostname
printf '127.0.0.1 localhost {self.name}\\n::1 localhost\\n' >/etc/hosts
{users}
exec {SSHD} -D -e -f {f}/sshd_config
""")
            init.chmod(0o755)
            command = ["unshare", "--mount", "--uts", "--ipc", "--pid", "--fork", "--kill-child", "--mount-proc", str(init)]
        else:
            command = [SSHD, "-D", "-e", "-f", str(f / "sshd_config")]
        self.process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True)
        log.close()

    def wait(self):
        def up():
            if self.process.poll() is not None:
                raise RuntimeError(f"{self.name}: sshd ended: " + (self.folder / "log").read_text()[-2000:])
            return answers_ssh(self.address, self.port)
        wait_for(up, 30)

    def stop(self):
        if self.process and self.process.poll() is None:
            os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait()

    def pids(self):
        """All processes of the target (its sshd and what runs below it), as seen from here."""
        found, children = [], {}
        for entry in os.listdir("/proc"):
            if entry.isdigit():
                try:
                    fields = pathlib.Path(f"/proc/{entry}/stat").read_text().rsplit(")", 1)[1].split()
                except OSError:
                    continue
                children.setdefault(int(fields[1]), []).append(int(entry))
        todo = [self.process.pid]
        while todo:
            pid = todo.pop()
            found.append(pid)
            todo += children.get(pid, [])
        return found

    def running(self, text):
        """Pids of the target's processes whose command line holds `text`."""
        hits = []
        for pid in self.pids():
            try:
                line = pathlib.Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
            except OSError:
                continue
            if text in line:
                hits.append(pid)
        return hits

    def home_of(self, account):
        """Where the account's home is, as seen from outside of the namespace."""
        return self.folder / "home" / account if self.is_root else pathlib.Path.home()


def main():
    if len(sys.argv) < 3 or sys.argv[1] not in ("start", "stop"):
        print(__doc__, file=sys.stderr)
        return 2
    folder = pathlib.Path(sys.argv[2]).resolve()
    if sys.argv[1] == "stop":
        for pid in json.loads((folder / "pids.json").read_text()):
            try:
                os.killpg(pid, signal.SIGKILL)
            except ProcessLookupError:
                pass
        shutil.rmtree(folder, ignore_errors=True)
        return 0
    ca = os.environ.get("USER_CA", "")
    targets = [Target(folder / f"target{i}", f"target{i}", ca) for i in range(1, int(sys.argv[3] if len(sys.argv) > 3 else 1) + 1)]
    for target in targets:
        target.start()
    for target in targets:
        target.wait()
        print(f"{target.name} {target.address}:{target.port} {target.host_keys['ed25519']}")
    (folder / "pids.json").write_text(json.dumps([t.process.pid for t in targets]))
    return 0


if __name__ == "__main__":
    sys.exit(main())
