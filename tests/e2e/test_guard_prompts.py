"""Prompts inside the shell: real psql, mariadb, redis-cli and python against real servers, a person in front of tmux. What is typed there is judged by
the packs for statements; a prompt that nobody knows is opaque."""
import pathlib, re, shutil, subprocess, sys, tempfile, time, unittest

from lab import Lab
from terminal import Tmux

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "services"))
from databases import MariaDb, Postgres, Redis  # noqa: E402

GUARD = """    guard:
    - packs: [stores, destructive]
      opaque: alert
"""
DENIED = r"SP-9100"


@unittest.skipUnless(shutil.which("tmux"), "tmux is missing")
class Prompts(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.folder = pathlib.Path(tempfile.mkdtemp(prefix="sp-prompts-", dir="/tmp"))
        cls.folder.chmod(0o755)
        cls.servers = {}
        cls.lab = Lab(targets=1, start=False)
        cls.lab.policy_text = lambda: cls.lab.default_policy().replace("  - name: administrator\n", GUARD + "  - name: administrator\n", 1)
        cls.lab.start()
        cls.who = cls.lab.user()

    @classmethod
    def tearDownClass(cls):
        cls.lab.stop()
        for server in cls.servers.values():
            server.stop()
        shutil.rmtree(cls.folder, ignore_errors=True)

    def server(self, kind):
        if kind.why_not():
            self.skipTest(kind.why_not())
        if kind not in self.servers:
            self.servers[kind] = kind(self.folder)
            self.servers[kind].start()
        return self.servers[kind]

    def terminal(self):
        t = Tmux(self.lab.ssh_command(self.who, arguments=["-tt"]))
        self.addCleanup(t.close)
        t.expect(r"[$#] ?$")
        t.enter("PS1='shell> '; export PAGER=cat HISTFILE=", r"^shell> ?$")
        return t

    def denied(self, t, text):
        """Typed and denied; the event names the text."""
        t.enter(text, DENIED)
        time.sleep(0.4)

    def alive(self, t):
        t.enter("echo al''ive", r"^alive$")

    def test_psql(self):
        pg = self.server(Postgres)
        t = self.terminal()
        t.enter(f"psql -X -h 127.0.0.1 -p {pg.port} -U admin postgres", r"Password for user admin: ?$")
        t.enter(pg.password, r"^postgres=# ?$")
        self.assertNotIn(pg.password, t.screen())
        t.enter("create table kept as select 7 as seven;", r"^SELECT 1$")
        t.enter("select seven*6 as answer from kept;", r"^ +42$")
        self.denied(t, "drop table kept;")
        t.enter("select count(*)+100 from kept;", r"^ +101$")
        # Over two lines: what matters is the statement.
        t.enter("update kept", r"^postgres-# ?$")
        self.denied(t, "set seven = 8;")
        t.keys("C-c")
        time.sleep(0.3)
        t.enter("select sum(seven)+200 from kept;", r"^ +207$")
        t.enter("update kept", r"^postgres-# ?$")
        t.enter("set seven = 7", r"^postgres-# ?$")
        t.enter("where seven = 7;", r"^UPDATE 1$")
        self.denied(t, "delete from kept;")
        t.enter("delete from kept where seven = 8;", r"^DELETE 0$")
        self.denied(t, "\\! rm -rf /etc/nosuch")
        self.denied(t, "\\copy kept to program 'rm -rf /etc/nosuch'")
        t.enter("\\! echo out''side", r"^outside$")
        # From the history, changed on the way.
        t.type("select 'drop table kept';")
        t.keys("Enter")
        time.sleep(0.5)
        t.keys("Up")
        time.sleep(0.3)
        t.keys("C-a")
        for _ in range(8):
            t.keys("DC")
        t.keys("C-e")
        for _ in range(2):
            t.keys("BSpace")
        time.sleep(0.3)
        self.denied(t, ";")
        t.enter("select count(*)+300 from kept;", r"^ +301$")
        t.enter("\\q", r"^shell> ?$")
        self.alive(t)
        self.denied(t, "rm -rf /etc/nosuch")
        texts = [e["text"] for e in self.lab.events("guard.judged", verdict="deny")]
        self.assertIn("drop table kept;", texts)
        self.assertFalse([text for text in texts if pg.password in text])

    def test_mariadb(self):
        my = self.server(MariaDb)
        t = self.terminal()
        t.enter(f"mariadb -h 127.0.0.1 -P {my.port} -u admin -p app", r"Enter password: ?$")
        t.enter(my.password, r"^MariaDB \[app\]> ?$")
        t.enter("create table kept (seven int); insert into kept values (7);", r"Query OK, 1 row")
        self.denied(t, "drop database app;")
        if not t.screen().endswith("shell>"):  # Ctrl-C may end the client, or not
            t.enter("select seven*6 from kept;", r"\|\s+42 \|")
            self.denied(t, "system rm -rf /etc/nosuch")
        if t.screen().endswith("shell>"):
            t.enter(f"mariadb -h 127.0.0.1 -P {my.port} -u admin -p app", r"Enter password: ?$")
            t.enter(my.password, r"^MariaDB \[app\]> ?$")
        t.enter("update kept", r"^ +-> ?$")
        self.denied(t, "set seven = 8;")
        if not t.screen().endswith("shell>"):
            t.enter("exit", r"^shell> ?$")
        self.alive(t)
        done = subprocess.run(["mariadb", "-h", "127.0.0.1", "-P", str(my.port), "-u", "admin", f"-p{my.password}", "app", "-BNe", "select seven from kept"],
                              capture_output=True, timeout=20)
        self.assertEqual(done.stdout, b"7\n", done.stderr)

    def test_redis_cli(self):
        redis = self.server(Redis)

        def call(*words):
            return subprocess.run(["redis-cli", "-p", str(redis.port), *words], capture_output=True, timeout=20).stdout.decode().strip()
        t = self.terminal()
        prompt = rf"^127\.0\.0\.1:{redis.port}> ?$"
        for orders in ("flushall", "FLUSHDB async", "config set dir /root/.ssh", "debug segfault"):
            t.enter(f"redis-cli -p {redis.port}", prompt)
            t.enter("set kept 7", r"^OK\n" + prompt[1:])
            self.denied(t, orders)
            if not t.screen().endswith("shell>"):
                t.enter("exit", r"^shell> ?$")
            self.assertEqual(call("get", "kept"), "7")
        t.enter(f"redis-cli -p {redis.port}", prompt)
        t.enter("config get maxmemory", r'^2\) "0"\n' + prompt[1:])
        t.enter("get kept", r'^"7"\n' + prompt[1:])
        t.enter("exit", r"^shell> ?$")
        self.alive(t)

    def test_python(self):
        t = self.terminal()
        t.enter("/usr/bin/python3 -q", r"^>>> ?$")
        t.enter("print(6 * 7)", r"^42$")
        t.enter("import os", r"^>>> ?$")
        self.denied(t, "os.system('rm -rf /etc/nosuch')")
        t.enter("for n in range(1):", r"^\.\.\. ?$")
        t.enter("    print(n + 43)", r"^\.\.\. ?$")
        t.enter("", r"^43$")
        self.denied(t, "import shutil; shutil.rmtree('/etc/nosuch')")
        t.enter("from os import system as go", r"^>>> ?$")
        self.denied(t, "go('rm -rf /etc/nosuch')")
        t.enter("where = '/etc/nosuch'", r"^>>> ?$")
        self.denied(t, "shutil.rmtree(where)")
        t.enter("exit()", r"^shell> ?$")
        self.alive(t)

    @unittest.skipUnless(shutil.which("gdb"), "gdb is missing")
    def test_a_prompt_that_nobody_knows_is_opaque(self):
        t = self.terminal()
        t.enter("gdb -q -nx", r"^\(gdb\) ?$")
        t.enter("print 6 * 7", r"^\$1 = 42$")
        event = self.lab.wait_event("guard.judged", text="print 6 * 7")[-1]
        self.assertEqual((event["rule"], event["verdict"]), ("opaque/nested-shell", "alert"))
        t.enter("quit", r"^shell> ?$")
        self.alive(t)


if __name__ == "__main__":
    unittest.main()
