"""Each service as a user of its own, as on a machine where the package is installed: in a mount namespace with a private copy of /etc that has
these users, so that nothing of this machine is changed."""
import http.client, json, os, pathlib, pwd, shutil, signal, socket, struct, subprocess, sys, tempfile, time, unittest

from browser import MISSING, Browser
from lab import BIN, IS_ROOT, Lab, ROOT, free_port, wait_for
from over_https import trust

INSIDE = "SALLYPORT_TEST_HAS_USERS"
USERS = {"service vault": "sallyport-vault", "service authority": "sallyport-authority", "service recorder": "sallyport-recorder",
         "sallyport-session": "sallyport-listener"}


def facts(pid):
    text = pathlib.Path(f"/proc/{pid}/status").read_text()
    return dict(line.split(":\t", 1) for line in text.splitlines() if ":\t" in line)


class ServiceUsers(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.lab = Lab(targets=1)
        cls.who = cls.lab.user()

    @classmethod
    def tearDownClass(cls):
        cls.lab.stop()

    def open_session(self):
        client = self.lab.popen(self.who, "echo up; cat")
        self.addCleanup(lambda: (client.stdin.close(), client.wait(10), client.stdout.close(), client.stderr.close()))
        self.assertEqual(client.stdout.readline(), b"up\n", client.stderr.read() if client.poll() is not None else "")
        return client

    def echoes(self, client):
        client.stdin.write(b"ping\n")
        client.stdin.flush()
        return client.stdout.readline() == b"ping\n"

    def test_each_process_has_its_user_no_groups_and_no_capabilities(self):
        self.open_session()
        for part, user in USERS.items():
            pids = self.lab.gateway_pids(part)
            self.assertGreaterEqual(len(pids), 2 if part == "sallyport-session" else 1)
            for pid in pids:
                status = facts(pid)
                uid = str(pwd.getpwnam(user).pw_uid)
                self.assertEqual(set(status["Uid"].split()), {uid}, (part, status["Uid"]))
                self.assertEqual(set(status["Gid"].split()), {str(pwd.getpwnam(user).pw_gid)})
                self.assertEqual(status["Groups"].split(), [])
                for name in ("CapEff", "CapPrm", "CapInh", "CapAmb"):
                    self.assertEqual(int(status[name], 16), 0, (part, name))

    def test_what_belongs_to_one_service_is_closed_to_the_others(self):
        state = self.lab.folder / "state"
        for folder, owner in ((state / "vault", "sallyport-vault"), (state / "authority", "sallyport-authority"), (state / "recorder", "sallyport-recorder"),
                              (self.lab.shm / "rings", "sallyport-recorder")):
            entry = folder.stat()
            self.assertEqual(pwd.getpwuid(entry.st_uid).pw_name, owner)
            self.assertEqual(entry.st_mode & 0o077, 0, folder)
            for path in folder.rglob("*"):
                self.assertEqual(pwd.getpwuid(path.stat().st_uid).pw_name, owner, path)
        reader = lambda user, path: subprocess.run(["setpriv", f"--reuid={user}", f"--regid={user}", "--clear-groups", "cat", path], capture_output=True).returncode
        key = state / "seal.key"
        for user in USERS.values():
            self.assertEqual(reader(user, key), 0 if user == "sallyport-vault" else 1, (user, "seal.key"))
        for path, owner in ((state / "vault" / "vault.db", "sallyport-vault"), (state / "authority" / "authority.db", "sallyport-authority")):
            for user in USERS.values():
                self.assertEqual(reader(user, path), 0 if user == owner else 1, (user, path))

    def test_the_gateway_works_records_and_heals(self):
        self.assertEqual(self.lab.ssh(self.who, "echo hi").stdout, b"hi\n")
        client = self.open_session()
        for service in ("vault", "authority", "recorder"):
            old = self.lab.gateway_pids(f"service {service}")
            os.kill(old[0], signal.SIGKILL)
            wait_for(lambda: [p for p in self.lab.gateway_pids(f"service {service}") if p not in old], 20)
            self.assertTrue(self.echoes(client), service)
            wait_for(lambda: self.lab.ssh(self.who, "echo new").stdout == b"new\n", 30, 0.5)
        self.assertEqual(self.lab.run_cli("upgrade").returncode, 0)
        wait_for(lambda: "upgrade: done, generation 2" in self.lab.log(), 20)
        self.assertTrue(self.echoes(client))
        done = self.lab.run_cli("verify", "--forget")
        self.assertEqual(done.returncode, 0, done.stdout + done.stderr)
        done = self.lab.run_cli("sessions")
        self.assertIn(b"target1", done.stdout)
        self.assertEqual(self.lab.run_cli("status").returncode, 0)


class Recordings(unittest.TestCase):
    """The page's side (the authority) shows what only the recorder's user may read, through helpers that the keeper starts as that user."""

    @classmethod
    def setUpClass(cls):
        cls.api_port = free_port()
        cls.behind = socket.create_server(("127.0.0.1", 0))
        cls.lab = Lab(targets=1, config=f"  checkpoint_every: 1s\nadmin:\n  listen: [\"127.0.0.1:{cls.api_port}\"]\n", start=False)
        tunnels = f"        tunnels: [\"127.0.0.1:{cls.behind.getsockname()[1]}\"]\n        record: {{bulk: full}}\n"
        cls.lab.policy_text = lambda: cls.lab.default_policy(channels="shell, exec, sftp, tunnel-local", extra_rule=tunnels).replace(
            "bindings:", "  - name: viewer\n    admin: [audit, view, policy]\nbindings:\n  - {role: viewer, principals: [auditor]}\n")
        cls.lab.start()
        cls.tls = trust(cls.lab)
        cls.tokens = {name: json.loads(cls.lab.run_cli("-o", "json", "token", "create", "--for", name, "--name", "t", check=True).stdout)["token"] for name in ("auditor", "engineer")}
        assert cls.lab.ssh(cls.lab.user(), "echo needle-one").returncode == 0
        wait_for(lambda: cls.rows() and cls.rows()[-1]["state"] == "complete", 20, 0.5)
        cls.session = cls.rows()[-1]["session"]

    @classmethod
    def tearDownClass(cls):
        cls.lab.stop()
        cls.behind.close()

    @classmethod
    def rows(cls):
        return json.loads(cls.lab.run_cli("-o", "json", "sessions", check=True).stdout)

    def open(self, method, path, body=None, persona="auditor"):
        connection = http.client.HTTPSConnection("127.0.0.1", self.api_port, timeout=30, context=self.tls)
        self.addCleanup(connection.close)
        connection.request(method, path, json.dumps(body) if body else None, {"Authorization": "Bearer " + self.tokens[persona], "Content-Type": "application/json"})
        return connection.getresponse()

    def call(self, *words, **more):
        answer = self.open(*words, **more)
        return answer.status, answer.read()

    def view(self, session, persona="auditor"):
        status, text = self.call("POST", f"/v1/recordings/{session}/viewings", {"reason": "INC-42"}, persona=persona)
        return status, json.loads(text)

    def helpers(self):
        return [pid for pid in self.lab.gateway_pids("viewing-desk") if "viewing-desk" in pathlib.Path(f"/proc/{pid}/cmdline").read_text(errors="replace").split("\0")[1]]

    def test_a_past_session_is_replayed_by_a_helper_of_the_recorders_user(self):
        wait_for(lambda: self.view(self.session)[1]["badge"]["signed"], 20, 1)
        status, viewing = self.view(self.session)
        self.assertEqual((status, viewing["badge"]["verified"]), (201, True), viewing)
        for kind in ("text", "asciicast"):
            status, text = self.call("GET", f"/v1/viewings/{viewing['id']}/{kind}")
            self.assertEqual((status, b"needle-one" in text), (200, True), text)
        recorder = str(pwd.getpwnam("sallyport-recorder").pw_uid)
        self.assertTrue(self.helpers())
        for pid in self.helpers():
            self.assertEqual(set(facts(pid)["Uid"].split()), {recorder})
            self.assertEqual(facts(pid)["NoNewPrivs"], "1")
        self.assertEqual(self.lab.events("recording.viewed", principal="auditor")[-1]["reason"], "INC-42")
        self.assertEqual(self.view(self.session, "engineer")[0], 403)

    def test_a_running_session_is_followed(self):
        client = self.lab.popen(self.lab.user(), "echo begins; read line; echo ends-here")
        self.addCleanup(lambda: (client.kill(), client.wait(), client.stdin.close(), client.stdout.close(), client.stderr.close()))
        self.assertEqual(client.stdout.readline(), b"begins\n")
        live = [row for row in self.rows() if row["state"] == "live"][-1]["session"]
        status, viewing = self.view(live)
        self.assertEqual(status, 201, viewing)
        answer = self.open("GET", f"/v1/viewings/{viewing['id']}/frames?follow=true")
        self.assertEqual(answer.status, 200)
        client.stdin.write(b"\n")
        client.stdin.flush()
        seen = b""
        until = time.monotonic() + 20
        while b"ends-here" not in seen and time.monotonic() < until:
            seen += answer.read1(65536)
        self.assertIn(b"ends-here", seen)

    def test_search_finds_and_past_decisions_are_made_again(self):
        self.assertEqual(self.lab.run_cli("index", "--reason", "test").returncode, 0)  # by root, in the recorder's folder
        status, text = self.call("POST", "/v1/search", {"text": "needle-one", "reason": "INC-42"})
        self.assertEqual((status, {hit["session"] for hit in json.loads(text)["hits"]}), (200, {self.session}), text)
        self.assertEqual(self.call("POST", "/v1/search", {"text": "needle-one", "reason": "INC-42"}, persona="engineer")[0], 403)
        for path in [self.lab.folder / "state" / "index", *(self.lab.folder / "state" / "index").glob("*.sqlite*")]:
            self.assertEqual(pwd.getpwuid(path.stat().st_uid).pw_name, "sallyport-recorder", path)
        files = [{"name": "policy.yaml", "content": self.lab.policy_text()}]
        status, text = self.call("POST", "/v1/plan", {"files": files, "replay": "24h"})
        plan = json.loads(text)
        self.assertEqual((status, plan.get("replay_problem"), plan["replayed"] > 0, plan["differ"]), (200, None, True, 0), plan)

    def test_a_session_is_exported_as_json_events(self):
        done = self.lab.run_cli("export", self.session, "--format", "json", "--reason", "test")
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertIn("needle-one", "".join(str(json.loads(line)) for line in done.stdout.splitlines()))
        self.assert_the_index_is_the_recorders()

    def test_a_tunnel_is_exported_as_a_capture(self):
        sent = b"through the tunnel " * 3
        before = len(self.rows())
        port = free_port()
        client = subprocess.Popen(self.lab.ssh_command(self.lab.user(), arguments=["-N", "-L", f"{port}:127.0.0.1:{self.behind.getsockname()[1]}"], ExitOnForwardFailure="yes"),
                                  stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        self.addCleanup(lambda: (client.kill(), client.wait()))

        ends = []

        def through():
            try:
                ends.append(socket.create_connection(("127.0.0.1", port), 5))
                return True
            except OSError:
                return False
        wait_for(through, 15)
        self.behind.settimeout(20)
        with ends[0] as near, self.behind.accept()[0] as far:
            near.sendall(sent)
            far.settimeout(20)
            got = b""
            while len(got) < len(sent):
                got += far.recv(100)
        client.terminate()
        client.wait()
        wait_for(lambda: len(self.rows()) > before and self.rows()[-1]["state"] == "complete", 20, 0.5)
        capture = self.lab.folder / "tunnel.pcapng"
        done = self.lab.run_cli("export", self.rows()[-1]["session"], "--format", "pcapng", "--file", capture, "--reason", "test")
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertEqual(capture.read_bytes()[:4], bytes.fromhex("0a0d0d0a"))
        self.assertIn(sent, capture.read_bytes())
        self.assert_the_index_is_the_recorders()

    def assert_the_index_is_the_recorders(self):
        for path in (self.lab.folder / "state" / "index").glob("*.sqlite*"):
            self.assertEqual(pwd.getpwuid(path.stat().st_uid).pw_name, "sallyport-recorder", path)

    def test_a_search_index_elsewhere_is_read_by_the_recorders_user_too(self):
        usual, elsewhere = self.lab.extra_config, self.lab.folder / "elsewhere"
        recorder = pwd.getpwnam("sallyport-recorder")
        elsewhere.mkdir(mode=0o700)  # closed to the authority
        os.chown(elsewhere, recorder.pw_uid, recorder.pw_gid)

        def restart(config):
            self.lab.stop_gateway()
            self.lab.extra_config = config
            self.lab.write_config()
            self.lab.start_gateway()
        self.addCleanup(restart, usual)
        restart(usual + f"search:\n  database: {elsewhere}/lines.sqlite\n")
        asked = {"text": "needle-one", "reason": "INC-42"}
        status, text = self.call("POST", "/v1/search", asked)
        self.assertEqual((status, json.loads(text)["code"]), (404, "SP-9402"), text)
        self.assertEqual(self.lab.run_cli("index", "--reason", "test").returncode, 0)
        status, text = self.call("POST", "/v1/search", asked)
        self.assertEqual((status, {hit["session"] for hit in json.loads(text).get("hits", [])}), (200, {self.session}), text)
        for path in elsewhere.iterdir():
            self.assertEqual(path.stat().st_uid, recorder.pw_uid, path)

    def test_what_root_left_in_the_index_is_given_over_and_nothing_else(self):
        index, mine = self.lab.folder / "state" / "index", self.lab.folder / "of-root"
        for name in ("linked", "hard"):
            (self.lab.folder / f"{name}-of-root").write_text("root's")
        self.lab.stop_gateway()
        (index / "older").mkdir()
        (index / "older" / "names").write_text("left by root")
        (index / "link").symlink_to(self.lab.folder / "linked-of-root")
        os.link(self.lab.folder / "hard-of-root", index / "hard")
        mine.mkdir()
        (mine / "file").write_text("root's")
        (index / "away").symlink_to(mine)
        self.lab.start_gateway()
        recorder = pwd.getpwnam("sallyport-recorder").pw_uid
        for path, owner in ((index / "older", recorder), (index / "older" / "names", recorder), (self.lab.folder / "linked-of-root", 0), (self.lab.folder / "hard-of-root", 0), (mine, 0), (mine / "file", 0)):
            self.assertEqual(path.stat().st_uid, owner, path)
        for path in (index / "link", index / "hard", index / "away"):
            path.unlink()

    def test_a_helper_reads_what_the_keeper_named_whatever_it_is_told(self):
        state, empty = self.lab.folder / "state", self.lab.folder / "empty"
        empty.mkdir(exist_ok=True)
        for journal, found in ((empty, False), (state / "recorder" / "journal", True)):
            ours, theirs = socket.socketpair()
            with ours, theirs:
                # Whoever speaks to it names the real journal; it reads the one of its command line.
                helper = subprocess.Popen(["bash", "-c", f"exec 3<&{theirs.fileno()} \"$@\"", "x", "setpriv", "--reuid=sallyport-recorder", "--regid=sallyport-recorder", "--clear-groups", BIN / "sallyport",
                                           "viewing-desk", journal, self.lab.shm / "rings", self.lab.folder / "run" / "keys" / "checkpoint.vkey", state / "index"], pass_fds=[theirs.fileno()])
                self.addCleanup(lambda helper=helper: (helper.kill(), helper.wait()))
                job = json.dumps({"do": "open", "journal": str(state / "recorder" / "journal"), "index": str(state / "index"), "session": self.session}).encode()
                ours.settimeout(20)
                ours.sendall(struct.pack("<IB", len(job), 1) + job)
                size, part = struct.unpack("<IB", ours.recv(5, socket.MSG_WAITALL))
                told = ours.recv(size, socket.MSG_WAITALL)
                self.assertEqual(part == 20, found, told)  # 20: done; else trouble
        self.assertEqual(list(empty.iterdir()), [])


@unittest.skipIf(MISSING, MISSING)
class InThePage(Browser):
    """The same in a real Chromium: replay, live and search, opened by helpers of the recorder's user."""
    CONFIG = "  checkpoint_every: 1s\n"

    @classmethod
    def policy(cls, lab):
        text = lab.default_policy().replace("  - name: administrator\n", "  - {name: watcher, admin: [audit, view]}\n  - name: administrator\n")
        return text.replace("{role: operator, principals: [engineer]}", "{role: operator, principals: [engineer]}\n  - {role: watcher, principals: [auditor]}")

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        assert cls.lab.ssh(cls.lab.user(), "echo needle-$((40+2)); sleep 1; echo last-$((50+5))").returncode == 0
        wait_for(lambda: cls.rows("complete"), 20, 0.5)
        cls.session = cls.rows("complete")[-1]
        cls.lab.run_cli("index", "--reason", "test", check=True)

    @classmethod
    def rows(cls, state):
        return [row["session"] for row in json.loads(cls.lab.run_cli("-o", "json", "sessions", check=True).stdout) if row["state"] == state]

    def look(self, session):
        me = dict(person="auditor")
        self.sign_in("auditor")
        self.drive("visit", path=f"/sessions/{session}/replay", **me)
        self.drive("fill", label="Reason", value="INC-42", **me)
        self.drive("press", name="Verify and open", **me)
        return me

    def test_1_a_past_session_is_played_and_sought(self):
        me = self.look(self.session)
        self.drive("see", text="verified", **me)
        self.drive("press", name="Play", **me)
        self.drive("on_screen", text="last-55", **me)
        self.drive("slide", label="Moment of the recording", value=500, **me)
        self.assertNotIn("last-55", self.drive("screen", **me))
        self.assertIn("needle-42", self.drive("screen", **me))
        self.drive("click", role="tab", name="Transcript", **me)
        wait_for(lambda: "needle-42" in "".join(self.drive("contents", selector="#tab-panel pre", **me)), 15, 0.3)
        self.drive("shot", name="service-users-replay", **me)
        self.assertEqual(self.drive("axe", **me), [])
        recorder = str(pwd.getpwnam("sallyport-recorder").pw_uid)
        helpers = [pid for pid in self.lab.gateway_pids("viewing-desk") if "viewing-desk" in pathlib.Path(f"/proc/{pid}/cmdline").read_text(errors="replace").split("\0")[1]]
        self.assertTrue(helpers)
        self.assertEqual({uid for pid in helpers for uid in facts(pid)["Uid"].split()}, {recorder})

    def test_2_a_running_session_is_watched(self):
        client = self.lab.popen(self.lab.user(), "echo begins; read line; echo ends-$((60+6)); sleep 30")
        self.addCleanup(lambda: (client.kill(), client.wait(), client.stdin.close(), client.stdout.close(), client.stderr.close()))
        self.assertEqual(client.stdout.readline(), b"begins\n")
        me = self.look(self.rows("live")[-1])
        self.drive("on_screen", text="begins", **me)
        client.stdin.write(b"\n")
        client.stdin.flush()
        self.drive("on_screen", text="ends-66", **me)
        self.drive("shot", name="service-users-live", **me)

    def test_3_search_finds_and_leads_there(self):
        me = dict(person="auditor")
        self.sign_in("auditor")
        self.drive("visit", path="/search", **me)
        self.drive("fill", label="Text", value="needle-42", **me)
        self.drive("fill", label="Reason", value="INC-42", **me)
        self.drive("key", key="Enter", **me)
        self.drive("see", text=f"{self.lab.account}@target1", **me)
        self.drive("shot", name="service-users-search", **me)
        self.drive("press", role="link", name="from 0:0", **me)
        self.assertTrue(self.drive("address", **me).startswith(f"/sessions/{self.session}/replay?"), self.drive("address", **me))


def run_inside():
    """The same program again, in a mount namespace whose /etc has the service users."""
    folder = pathlib.Path(tempfile.mkdtemp(prefix="sp-users-", dir="/tmp"))
    script = (f"set -e\ncp -a /etc {folder}/etc\nmount --bind {folder}/etc /etc\n"
              f"if command -v systemd-sysusers >/dev/null; then systemd-sysusers {ROOT}/deploy/sysusers.conf\n"
              "else for u in vault authority recorder listener; do useradd --system --user-group --no-create-home --shell /usr/sbin/nologin sallyport-$u; done; fi\n"
              "exec \"$@\"\n")
    try:
        return subprocess.run(["unshare", "--mount", "--propagation", "private", "bash", "-c", script, "inside", sys.executable, *sys.argv],
                              env={**os.environ, INSIDE: "1"}).returncode
    finally:
        shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    if not IS_ROOT:
        print("skipped: needs root for services with users of their own")
    elif not os.environ.get(INSIDE):
        sys.exit(run_inside())
    else:
        unittest.main()
