"""A gateway, its targets and its people in one throw-away folder: the ground on which every end-to-end test stands.

    with Lab(targets=2) as lab:
        assert lab.ssh("engineer+deploy+target1", "echo hi").stdout == b"hi\\n"

The programs under test come from $SALLYPORT_BIN (default build/release/bin). Real sshd, real clients, loopback only.
"""
import base64, json, os, pathlib, pwd, resource, shutil, signal, subprocess, sys, tempfile, time

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tests" / "services"))
from fleet import Target, answers_ssh, free_port, wait_for  # noqa: E402

BIN = pathlib.Path(os.environ.get("SALLYPORT_BIN", ROOT / "build" / "release" / "bin")).resolve()
MEMORY_LIMIT = 8 << 30  # address space of each gateway process; a leak ends a test instead of the machine
IS_ROOT = os.geteuid() == 0


def limit_memory():
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY_LIMIT, MEMORY_LIMIT))


def ended(client):
    """Kills a client and closes its pipes, whatever state it is in."""
    client.kill()
    client.wait()
    for pipe in (client.stdin, client.stdout, client.stderr):
        try:
            if pipe:
                pipe.close()
        except OSError:
            pass


def ordinary_user(test, name="stranger", uid=54321):
    """A command that runs what follows it as somebody who is in /etc/passwd for it alone, with a home of her own."""
    folder = pathlib.Path(tempfile.mkdtemp(prefix="sp-user-", dir="/tmp"))
    test.addCleanup(shutil.rmtree, folder, True)
    folder.chmod(0o755)
    home = folder / "home"
    home.mkdir(mode=0o700)
    os.chown(home, uid, uid)
    for file, line in (("passwd", f"{name}:x:{uid}:{uid}::{home}:/bin/bash"), ("group", f"{name}:x:{uid}:")):
        (folder / file).write_text(pathlib.Path("/etc", file).read_text().rstrip("\n") + f"\n{line}\n")
    become = f"mount --bind {folder}/passwd /etc/passwd; mount --bind {folder}/group /etc/group; cd {home}; exec setpriv --reuid={uid} --regid={uid} --clear-groups env HOME={home} USER={name} \"$@\""
    return ["unshare", "--mount", "--propagation", "private", "sh", "-ec", become, "become"]


class Lab:
    def __init__(self, targets=1, people=("engineer", "auditor", "admin", "approver"), config="", policy=None, start=True, listen=()):
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="sp-e2e-", dir="/tmp"))
        self.shm = pathlib.Path(tempfile.mkdtemp(prefix="sp-e2e-", dir="/dev/shm"))
        if IS_ROOT:
            self.folder.chmod(0o755)
            self.shm.chmod(0o755)
        self.port = free_port()
        self.extra_config = config
        self.gateway_env = {}
        self.gateway_prefix = []  # a command that ends in exec of what follows it
        self.listen = [f"127.0.0.1:{self.port}", *(address.format(port=self.port) for address in listen)]
        self.people = {}
        self.gateway = None
        self.known_pids = set()
        self.targets = [Target(self.folder / f"target{i}", f"target{i}") for i in range(1, targets + 1)]
        self.account = self.targets[0].accounts[0] if targets else pwd.getpwuid(os.geteuid()).pw_name
        self.policy_text = policy
        for name in people:
            self.add_key(name)
        if start:
            try:
                self.start()
            except BaseException:
                self.stop()
                raise

    # ------------------------------------------------------------------ life
    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.stop()

    def start(self):
        for target in self.targets:
            target.start()
        self.write_config()
        self.run_cli("init", check=True)
        self.start_gateway()
        ca = (self.folder / "run" / "keys" / "user_ca.pub").read_text()
        for target in self.targets:
            (target.folder / "user_ca.pub").write_text(ca)
            target.wait()
        self.apply(self.policy_text() if callable(self.policy_text) else self.policy_text or self.default_policy())
        host_keys = (self.folder / "run" / "keys" / "host_keys.pub").read_text()
        lines = [f"[127.0.0.1]:{self.port} " + " ".join(line.split()[:2]) for line in host_keys.splitlines() if line.strip()]
        host_ca = (self.folder / "run" / "keys" / "host_ca.pub").read_text().split()
        lines.append("@cert-authority * " + " ".join(host_ca[:2]))
        (self.folder / "known_hosts").write_text("\n".join(lines) + "\n")

    def start_without_policy(self):
        self.write_config()
        self.run_cli("init", check=True)
        self.start_gateway()

    def write_config(self):
        (self.folder / "sallyport.yaml").write_text(
            f"node: lab\nstate_dir: {self.folder}/state\nrun_dir: {self.folder}/run\nring_dir: {self.shm}/rings\n"
            f"listen: {json.dumps(self.listen)}\nrecording:\n  syslog: false\n  min_free: 1MiB\n"
            f"  witness: [{self.folder}/witness]\n{self.extra_config}\n")

    def start_gateway(self):
        log = open(self.folder / "gateway.log", "ab")
        self.gateway = subprocess.Popen([*self.gateway_prefix, BIN / "sallyport", "--config", self.folder / "sallyport.yaml", "serve"],
                                        stdin=subprocess.DEVNULL, stdout=log, stderr=log, preexec_fn=limit_memory, start_new_session=True,
                                        env={**os.environ, **self.gateway_env})
        log.close()

        def up():
            if self.gateway.poll() is not None:
                raise RuntimeError("the gateway ended:\n" + self.log()[-4000:])
            return answers_ssh("127.0.0.1", self.port) and (self.folder / "run" / "keys" / "user_ca.pub").exists()
        wait_for(up, 20)

    def stop_gateway(self, how=signal.SIGTERM, seconds=15):
        if self.gateway:
            self.gateway_pids()
        if self.gateway and self.gateway.poll() is None:
            self.gateway.send_signal(how)
            try:
                self.gateway.wait(seconds)
            except subprocess.TimeoutExpired:
                pass
        if self.gateway:
            for pid in self.known_pids:
                try:
                    if str(BIN) in os.readlink(f"/proc/{pid}/exe"):
                        os.kill(pid, signal.SIGKILL)
                except OSError:
                    pass
            self.gateway.wait()
        self.gateway = None

    def stop(self):
        try:
            self.stop_gateway(seconds=1)  # sessions that a test left would be waited for; nobody looks at them any more
        finally:
            for target in self.targets:
                target.stop()
            if os.environ.get("SALLYPORT_KEEP_LAB"):
                print(f"lab kept in {self.folder}", file=sys.stderr)
            else:
                shutil.rmtree(self.folder, ignore_errors=True)
                shutil.rmtree(self.shm, ignore_errors=True)

    def log(self):
        return (self.folder / "gateway.log").read_text(errors="replace")

    def gateway_pids(self, part=""):
        """The keeper and everything below it; `part` selects by command line. Zombies do not count."""
        children, lines = {}, {}
        for entry in os.listdir("/proc"):
            if not entry.isdigit():
                continue
            try:
                fields = pathlib.Path(f"/proc/{entry}/stat").read_text().rsplit(")", 1)[1].split()
                lines[int(entry)] = pathlib.Path(f"/proc/{entry}/cmdline").read_bytes().decode(errors="replace").replace("\0", " ")
            except OSError:
                continue
            if fields[0] != "Z":
                children.setdefault(int(fields[1]), []).append(int(entry))
        found, todo = [], [self.gateway.pid] if self.gateway else []
        while todo:
            pid = todo.pop()
            found.append(pid)
            todo += children.get(pid, [])
        self.known_pids |= set(found)
        return [pid for pid in found if part in lines.get(pid, "")]

    # ------------------------------------------------------------------ people and policy
    def add_key(self, name, kind="ed25519"):
        path = self.folder / f"id_{name}"
        if not path.exists():
            subprocess.run(["ssh-keygen", "-q", "-t", kind, "-N", "", "-C", name, "-f", path], check=True)
        self.people[name] = pathlib.Path(f"{path}.pub").read_text().strip()
        return path

    def default_policy(self, channels="shell, exec, subsystem, sftp, scp, rsync", extra_rule="", extra_target="", extra=""):
        people = "\n".join(f"  - {{name: {name}, type: person, keys: [{json.dumps(key)}]}}" for name, key in self.people.items())
        targets = ""
        for target in self.targets:
            keys = ", ".join(json.dumps(key) for key in target.host_keys.values())
            accounts = ", ".join(f"{{name: {a}, credentials: [certificate]}}" for a in target.accounts)
            targets += (f"  - name: {target.name}\n    address: {target.address}\n    port: {target.port}\n    allow_networks: [loopback]\n"
                        f"    labels: {{env: lab}}\n    host_keys: [{keys}]\n    accounts: [{accounts}]\n{extra_target}")
        files = "        directions: [up, down]\n        files: [{path: /, allow: [up, down, change]}]\n" if {"sftp", "scp", "rsync"} & set(channels.split(", ")) else ""
        return (f"principals:\n{people}\ntargets:\n{targets}roles:\n  - name: operator\n    allow:\n      - channels: [{channels}]\n"
                f"        targets: {{labels: {{env: lab}}}}\n        accounts: [{self.account}]\n{files}        env: [LANG, \"LC_*\", \"TEST_*\"]\n{extra_rule}"
                f"  - name: administrator\n    admin: [policy, lock, audit, view, secret]\n"
                f"bindings:\n  - {{role: operator, principals: [engineer]}}\n  - {{role: administrator, principals: [admin]}}\n{extra}")

    def apply(self, text):
        folder = self.folder / "policy"
        folder.mkdir(exist_ok=True)
        (folder / "policy.yaml").write_text(text)
        return self.run_cli("apply", "-f", folder, check=True)

    def run_cli(self, *arguments, check=False, timeout=60, environment=None, **more):
        done = subprocess.run([BIN / "sallyport", "--config", self.folder / "sallyport.yaml", *map(str, arguments)],
                              stdin=subprocess.DEVNULL, capture_output=True, timeout=timeout,
                              env={**os.environ, "XDG_STATE_HOME": str(self.folder / "home-state"), **(environment or {})}, **more)
        if check and done.returncode != 0:
            raise RuntimeError(f"sallyport {arguments}: exit {done.returncode}\n{done.stdout.decode()}\n{done.stderr.decode()}\n--- log\n{self.log()[-3000:]}")
        return done

    # ------------------------------------------------------------------ clients
    def ssh_options(self, identity="engineer", **more):
        options = {"IdentityFile": self.folder / f"id_{identity}", "IdentitiesOnly": "yes", "UserKnownHostsFile": self.folder / "known_hosts",
                   "GlobalKnownHostsFile": "/dev/null", "StrictHostKeyChecking": "yes", "BatchMode": "yes", "LogLevel": "ERROR",
                   "IdentityAgent": "none", "ConnectTimeout": "20", **more}
        return ["-F", "/dev/null"] + [part for key, value in options.items() for part in ("-o", f"{key}={value}")]

    def user(self, target="target1", principal="engineer", account=None):
        return f"{principal}+{account or self.account}+{target}"

    def ssh_command(self, user, *command, identity="engineer", arguments=(), **options):
        return ["ssh", *self.ssh_options(identity, **options), *arguments, "-p", str(self.port), "-l", user, "127.0.0.1", *command]

    def ssh(self, user, *command, input=b"", timeout=60, identity="engineer", arguments=(), **options):
        return subprocess.run(self.ssh_command(user, *command, identity=identity, arguments=arguments, **options),
                              input=input, capture_output=True, timeout=timeout)

    def popen(self, user, *command, **more):
        return subprocess.Popen(self.ssh_command(user, *command, **more), stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE)

    # ------------------------------------------------------------------ what was audited
    def admin(self, method, path, body=None):
        """One call of the admin API over its unix socket: (status, JSON)."""
        import http.client, socket
        connection = http.client.HTTPConnection("localhost", timeout=30)
        connection.sock = socket.socket(socket.AF_UNIX)
        connection.sock.settimeout(30)
        connection.sock.connect(str(self.folder / "run" / "admin.sock"))
        connection.request(method, path, body=None if body is None else json.dumps(body), headers={"Content-Type": "application/json"})
        answer = connection.getresponse()
        text = answer.read()
        connection.close()
        return answer.status, json.loads(text) if text else None

    def unsealed(self, event, among):
        """With the command texts that only recipients read (docs/format/journal.md section 6.1)."""
        if not isinstance(event.get("sealed"), str):  # the seal of the vault is a yes or no
            return event
        from cryptography.hazmat.primitives.ciphers.aead import AESGCM
        key_id, text = event["sealed"].split(":")
        keys = self.__dict__.setdefault("text_keys", {})
        if key_id not in keys:
            wrapped = [e["fields"]["wrapped"] for e in among if e["name"] == "audit.text_key" and e["fields"]["key"] == key_id]
            if not wrapped:
                return event
            status, answer = self.admin("POST", "/v1/events/key", {"reason": "test", "wrapped": wrapped[0]})
            if status != 200:
                return event
            keys[key_id] = bytes.fromhex(answer["key"])
        raw = base64.b64decode(text)
        bound = f"sallyport audit texts 1\n{key_id}\n{event['name']}\n{event['session']}\n".encode()
        return {**event, **json.loads(AESGCM(keys[key_id]).decrypt(raw[:12], raw[12:], bound))}

    def events(self, name=None, **fields):
        found, since = [], 0
        while True:
            status, page = self.admin("GET", f"/v1/events?since={since}&limit=1000")
            if status != 200:
                raise RuntimeError(f"events: {status} {page}")
            rows = page["events"] if isinstance(page, dict) else page
            if not rows:
                break
            found += rows
            newest = max(int(e["number"]) for e in rows)  # what `since` counts
            if newest <= since or len(rows) < 1000:
                break
            since = newest
        flat = [self.unsealed({**e, **e.get("fields", {}), **e.get("fields", {}).get("reported", {})}, found) for e in found if name is None or e.get("name") == name]
        return [e for e in flat if (name is None or e.get("name") == name) and all(e.get(k) == v for k, v in fields.items())]

    def wait_event(self, name, seconds=10, **fields):
        found = []

        def there():
            found[:] = self.events(name, **fields)
            return found
        wait_for(there, seconds, 0.2)
        return found
