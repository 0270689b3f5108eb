"""A real PostgreSQL on loopback: TLS with a certificate of its own, passwords by SCRAM, every statement in its log."""
import os, pathlib, pwd, shutil, signal, socket, subprocess, time

ADMIN = ("admin", "admin-throwaway")


def programs():
    found = sorted(pathlib.Path("/usr/lib/postgresql").glob("*/bin/postgres"))
    return found[-1].parent if found else None


def why_not():
    if not programs() or not shutil.which("psql"):
        return "PostgreSQL is not installed: script/bootstrap --test installs it"
    return ""


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


class Postgres:
    def __init__(self, folder):
        self.folder = pathlib.Path(folder)  # every folder above it must be open to others: the server does not run as root
        self.process = None
        self.port = free_port()
        self.user = pwd.getpwnam("postgres" if "postgres" in [entry.pw_name for entry in pwd.getpwall()] else "nobody") if os.geteuid() == 0 else None

    def as_user(self):
        return {"user": self.user.pw_uid, "group": self.user.pw_gid, "extra_groups": []} if self.user else {}

    def run(self, *command, **more):
        done = subprocess.run(command, capture_output=True, text=True, timeout=60, cwd="/", **more)
        if done.returncode != 0:
            raise RuntimeError(f"{command[0]}: {done.stdout[-500:]}{done.stderr[-800:]}")
        return done.stdout

    def make(self):
        self.folder.mkdir()
        self.folder.chmod(0o755)
        self.data = self.folder / "data"
        self.data.mkdir(mode=0o700)
        password = self.folder / "password"
        password.write_text(ADMIN[1])
        if self.user:
            for path in (self.data, password, self.folder):
                os.chown(path, self.user.pw_uid, self.user.pw_gid)
        self.run(programs() / "initdb", "-D", self.data, "-U", ADMIN[0], f"--pwfile={password}", "-A", "scram-sha-256", "-E", "UTF8", "--no-locale", "-N", **self.as_user())
        self.run("openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "30", "-subj", "/CN=localhost",
                 "-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1", "-keyout", self.data / "server.key", "-out", self.data / "server.crt", **self.as_user())
        self.ca = self.folder / "ca.pem"
        shutil.copy(self.data / "server.crt", self.ca)
        self.ca.chmod(0o644)

    def start(self):
        if self.process is None and not self.folder.exists():
            self.make()
        with open(self.folder / "log", "ab") as log:
            self.process = subprocess.Popen([programs() / "postgres", "-D", self.data, "-c", "listen_addresses=127.0.0.1", "-c", f"port={self.port}", "-c", "unix_socket_directories=",
                                             "-c", "shared_buffers=32MB", "-c", "max_connections=30", "-c", "ssl=on", "-c", "fsync=off", "-c", "log_statement=all"],
                                            stdin=subprocess.DEVNULL, stdout=log, stderr=log, cwd="/", start_new_session=True, **self.as_user())
        end = time.monotonic() + 30
        while True:
            try:
                self.sql("SELECT 1")
                return self
            except RuntimeError:
                if time.monotonic() > end or self.process.poll() is not None:
                    raise
                time.sleep(0.1)

    def sql(self, text, database="postgres"):
        return self.run("psql", "-qXAt", "-v", "ON_ERROR_STOP=1", "-h", "127.0.0.1", "-p", str(self.port), "-U", ADMIN[0], "-d", database, "-c", text,
                        env=dict(os.environ, PGPASSWORD=ADMIN[1], PGSSLMODE="require"))

    def make_database(self, name, password):
        self.sql(f"CREATE ROLE {name} LOGIN PASSWORD '{password}'")
        self.sql(f"CREATE DATABASE {name} OWNER {name}")

    def stored(self):
        """Every byte that the server keeps: tables, write-ahead log, its own log."""
        self.sql("CHECKPOINT")
        return b"".join(path.read_bytes() for path in sorted(self.data.rglob("*")) if path.is_file()) + (self.folder / "log").read_bytes()

    def pause(self):
        """Gone, with its connections; start() brings it back."""
        if self.process:
            self.process.send_signal(signal.SIGINT)
            try:
                self.process.wait(20)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()

    def stop(self):
        self.pause()
        self.process = None
        shutil.rmtree(self.folder, ignore_errors=True)
