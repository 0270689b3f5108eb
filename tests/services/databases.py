#!/usr/bin/env python3
"""Real Redis, PostgreSQL and MariaDB servers on loopback for the tests, each in a folder of its own: `Redis(folder).start()`, `.stop()`.

No durability, fixed passwords, nothing of the machine is changed: for tests only. The Debian packages stand in script/packages-test.txt;
why_not() says what is missing. As root PostgreSQL and MariaDB run as the user `nobody`.
"""
import glob, os, pathlib, pwd, shutil, signal, socket, subprocess, time


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


class Server:
    programs = []
    name = ""

    def __init__(self, folder):
        self.folder = pathlib.Path(folder) / self.name
        self.port = free_port()
        self.process = None

    @classmethod
    def find(cls, program):
        """Debian keeps PostgreSQL's programs out of the way."""
        found = shutil.which(program, path=os.environ["PATH"] + ":/usr/sbin")
        return found or next(iter(sorted(glob.glob(f"/usr/lib/postgresql/*/bin/{program}"), reverse=True)), None)

    @classmethod
    def why_not(cls):
        missing = [program for program in cls.programs if not cls.find(program)]
        return f"{cls.name} is not installed (no {', '.join(missing)}): script/bootstrap --test installs it" if missing else ""

    def user(self):
        """For programs that refuse to run as root."""
        if os.geteuid() != 0:
            return {}
        nobody = pwd.getpwnam("nobody")
        for path in (self.folder, *self.folder.rglob("*")):
            os.chown(path, nobody.pw_uid, nobody.pw_gid)
        return {"user": nobody.pw_uid, "group": nobody.pw_gid, "extra_groups": []}

    def run(self, *command, **more):
        return subprocess.run([str(part) for part in command], check=True, capture_output=True, timeout=60, cwd="/", **more)

    def spawn(self, *command, **more):
        log = open(self.folder / "log", "ab")
        self.process = subprocess.Popen([str(part) for part in command], stdin=subprocess.DEVNULL, stdout=log, stderr=log, cwd="/", start_new_session=True, **more)
        log.close()
        end = time.monotonic() + 40
        while time.monotonic() < end:
            if self.process.poll() is not None:
                raise RuntimeError(f"{self.name} ended: " + (self.folder / "log").read_text()[-2000:])
            try:
                socket.create_connection(("127.0.0.1", self.port), 1).close()
                return self
            except OSError:
                time.sleep(0.05)
        raise TimeoutError(f"{self.name} does not listen")

    def stop(self):
        if self.process and self.process.poll() is None:
            os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait()


class Redis(Server):
    name, programs = "redis", ["redis-server", "redis-cli"]

    def start(self):
        self.folder.mkdir(parents=True, exist_ok=True)
        return self.spawn(self.find("redis-server"), "--bind", "127.0.0.1", "--port", self.port, "--save", "", "--appendonly", "no", "--dir", self.folder)


class Postgres(Server):
    name, programs = "postgresql", ["initdb", "postgres", "psql"]
    password = "pg-throwaway"

    def start(self):
        self.folder.mkdir(parents=True, exist_ok=True)
        self.folder.chmod(0o755)
        (self.folder / "password").write_text(self.password)
        self.run(self.find("initdb"), "-D", self.folder / "data", "-U", "admin", "--pwfile", self.folder / "password", "-A", "scram-sha-256", "-E", "UTF8", "--no-locale", "-N", **self.user())
        return self.spawn(self.find("postgres"), "-D", self.folder / "data", "-p", self.port, "-c", "listen_addresses=127.0.0.1", "-c", "unix_socket_directories=",
                          "-c", "fsync=off", "-c", "shared_buffers=16MB", **self.user())


class MariaDb(Server):
    name, programs = "mariadb", ["mariadbd", "mariadb-install-db", "mariadb"]
    password = "my-throwaway"

    def start(self):
        self.folder.mkdir(parents=True, exist_ok=True)
        self.folder.chmod(0o755)
        data = self.folder / "data"
        self.run(self.find("mariadb-install-db"), "--no-defaults", f"--datadir={data}", "--auth-root-authentication-method=normal", "--skip-test-db",
                 *(["--user=nobody"] if os.geteuid() == 0 else []))
        (self.folder / "init.sql").write_text(f"CREATE USER 'admin'@'%' IDENTIFIED BY '{self.password}';\nGRANT ALL ON *.* TO 'admin'@'%';\nCREATE DATABASE app;\n")
        return self.spawn(self.find("mariadbd"), "--no-defaults", f"--datadir={data}", f"--port={self.port}", "--bind-address=127.0.0.1", f"--socket={self.folder}/socket",
                          f"--init-file={self.folder}/init.sql", "--innodb-buffer-pool-size=8M", "--skip-name-resolve", f"--pid-file={self.folder}/pid", **self.user())
