"""A second person in a session, with stock clients: nothing without her, she watches, speaks, holds, types, ends; all ends when she leaves."""
import json, os, re, signal, socket, subprocess, threading, time, unittest

from lab import BIN, Lab, free_port, wait_for

JOIN = re.compile(rb"join ([0-9A-Z]{26})")


class Client:
    """A stock ssh whose output is read while it comes."""

    def __init__(self, case, command):
        self.process = subprocess.Popen(list(map(str, command)), stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        self.seen = {"out": b"", "err": b""}
        for name, pipe in (("out", self.process.stdout), ("err", self.process.stderr)):
            threading.Thread(target=self.read, args=(name, pipe), daemon=True).start()
        case.addCleanup(self.stop)

    def read(self, name, pipe):
        while data := os.read(pipe.fileno(), 65536):
            self.seen[name] += data

    @property
    def text(self):
        return self.seen["out"] + self.seen["err"]

    def shows(self, *words, seconds=25):
        def all_there():
            return all(word in self.text for word in words)
        try:
            wait_for(all_there, seconds, 0.1)
        except Exception:
            raise AssertionError(f"{words} not in {self.text[-3000:]!r}") from None

    def type(self, data):
        self.process.stdin.write(data)
        self.process.stdin.flush()

    def wait(self, seconds=25):
        return self.process.wait(seconds)

    def stop(self):
        self.process.kill()
        self.process.wait()
        for pipe in (self.process.stdin, self.process.stdout, self.process.stderr):
            try:
                pipe.close()
            except OSError:
                pass


class Moderated(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.lab = Lab(targets=1)
        cls.who = cls.lab.user()
        cls.target = cls.lab.targets[0]
        cls.inside = socket.create_server(("127.0.0.1", 0))
        cls.set_policy("{moderators: seniors, take_over: true}")

    @classmethod
    def set_policy(cls, moderation, members="approver, engineer"):
        text = cls.lab.default_policy(channels="shell, exec, sftp, scp, tunnel-local", extra=f"groups:\n  - {{name: seniors, members: [{members}]}}\n",
                                      extra_rule=f"        tunnels: [\"127.0.0.1:{cls.inside.getsockname()[1]}\"]\n")
        cls.lab.apply(text.replace("  - name: operator\n", f"  - name: operator\n    moderation: {moderation}\n"))

    @classmethod
    def tearDownClass(cls):
        cls.inside.close()
        cls.lab.stop()

    def accepted(self):
        return (self.target.folder / "log").read_text().count("Accepted publickey")

    def open(self, *command, arguments=()):
        client = Client(self, self.lab.ssh_command(self.who, *command, arguments=arguments, ServerAliveInterval="1", ServerAliveCountMax="2"))
        client.shows(b"waiting for one of seniors to join")
        return client, JOIN.search(client.text).group(1).decode()

    def join(self, session, person="approver", terminal=True):
        return Client(self, self.lab.ssh_command(person, "join", session, "--reason", "four eyes", identity=person, arguments=("-tt",) if terminal else ()))

    def test_1_exec_waits_for_her_and_the_target_gets_nothing_before(self):
        before = self.accepted()
        client, session = self.open("echo present; sleep 60")
        own = self.lab.ssh("engineer", "join", session, identity="engineer")
        self.assertEqual(own.returncode, 4)
        self.assertIn(b"SP-9802", own.stderr)
        stranger = self.lab.ssh("auditor", "join", session, identity="auditor")
        self.assertIn(b"SP-9802", stranger.stderr)
        request = [r for r in self.lab.admin("GET", "/v1/requests")[1]["requests"] if r["kind"] == "presence" and r["state"] == "pending"][0]
        yes = self.lab.ssh("approver", "approve", request["id"], identity="approver")
        self.assertNotEqual(yes.returncode, 0)
        self.assertIn(b"join", yes.stderr)
        time.sleep(3)
        self.assertEqual(self.accepted(), before)
        moderator = self.join(session)
        client.shows(b"present")
        moderator.shows(b"Ctrl-]", b"present")
        joined = self.lab.wait_event("moderation.joined", session=session, by="approver")[0]
        dialled = self.lab.wait_event("target.dialled", session=session)[0]
        self.assertLess(joined["sequence"], dialled["sequence"])
        # All ends when she leaves.
        moderator.type(b"\x1dq")
        self.assertEqual(moderator.wait(), 0)
        self.assertEqual(client.wait(), 255)
        client.shows(b"SP-9803", b"approver has left")
        self.assertTrue(self.lab.wait_event("moderation.left", session=session, by="approver"))
        self.assertTrue(self.lab.wait_event("session.cut", session=session, code="SP-9803"))

    def test_2_on_a_terminal_she_watches_speaks_holds_types_and_ends(self):
        client, session = self.open(arguments=("-tt",))
        moderator = self.join(session)
        client.shows(b"approver has joined this session as its moderator")
        client.type(b"echo typed-$((40+2))\n")
        client.shows(b"typed-42")
        moderator.shows(b"typed-42")
        moderator.type(b"\x1dmlook at the load first\r")
        client.shows(b"approver says: look at the load first")
        # What is no text is no way to break the session's link to the gateway.
        moderator.type(b"\x1dmno \xff\xfe\x1btext \xc3\r")
        client.shows(b"approver says: no ??????text ???")  # three bytes of a U+FFFD each
        moderator.type(b"\x1dh")
        client.shows(b"approver holds this session")
        client.type(b"echo held-$((1+1))\n")
        time.sleep(2)
        self.assertNotIn(b"held-2", client.text)
        moderator.type(b"\x1dg")
        client.shows(b"held-2")
        moderator.type(b"\x1dt")
        client.shows(b"approver has the keyboard")
        client.type(b"echo from-the-engineer-$((2+2))\n")
        moderator.type(b"echo from-$((50+5))-her\r")
        client.shows(b"from-55-her")
        self.assertNotIn(b"from-the-engineer-4", client.text)
        moderator.type(b"\x1dr")
        client.shows(b"has returned the keyboard")
        client.type(b"echo mine-$((3+3))\n")
        client.shows(b"mine-6")
        moderator.type(b"\x1de")
        client.shows(b"SP-2016", b"approver ended it")
        self.assertEqual(client.wait(), 255)
        for name in ("moderation.keyboard_taken", "moderation.keyboard_returned", "moderation.joined"):
            self.assertTrue(self.lab.events(name, session=session, by="approver"), name)
        # What she did stands in the recording, under her name.
        shown = self.lab.run_cli("export", session, "--format", "json", "--reason", "test").stdout.decode()
        for word in ("keyboard.taken", "keyboard.returned", "moderation.joined"):
            self.assertIn(word, shown)

    def test_3_sftp_and_tunnels_wait_as_well_and_end_with_her(self):
        batch = self.lab.folder / "moderated-batch"
        batch.write_text("pwd\n!sleep 30\npwd\n")
        before = self.accepted()
        client = Client(self, ["sftp", *self.lab.ssh_options(), "-P", self.lab.port, "-b", batch, f"{self.who}@127.0.0.1"])
        client.shows(b"waiting for one of seniors to join")
        session = JOIN.search(client.text).group(1).decode()
        self.assertEqual(self.accepted(), before)
        moderator = self.join(session, terminal=False)
        client.shows(b"Remote working directory")
        moderator.stop()  # her connection breaks: that is leaving, too
        self.assertTrue(self.lab.wait_event("session.cut", session=session, code="SP-9803"))
        local = free_port()
        tunnel = Client(self, self.lab.ssh_command(self.who, arguments=("-N", "-L", f"{local}:127.0.0.1:{self.inside.getsockname()[1]}")))
        request = []

        def asked():
            request[:] = [r for r in self.lab.admin("GET", "/v1/requests")[1]["requests"] if r["kind"] == "presence" and r["state"] == "pending"]
            return request
        wait_for(asked, 20, 0.2)
        session = request[0]["text"].split()[-1]
        self.inside.settimeout(1)
        with self.assertRaises(TimeoutError):
            self.inside.accept()
        moderator = self.join(session[-10:])
        moderator.shows(b"Ctrl-]")
        self.inside.settimeout(20)

        def through():
            try:
                with socket.create_connection(("127.0.0.1", local), timeout=5) as peer:
                    peer.sendall(b"hello")
                    inner, _ = self.inside.accept()
                    with inner:
                        return inner.recv(5) == b"hello"
            except OSError:
                return False
        wait_for(through, 20, 0.5)
        moderator.type(b"\x03")
        self.assertEqual(tunnel.wait(), 255)

    def test_4_a_grace_and_a_second_moderator(self):
        self.set_policy("{moderators: seniors, grace: 8s}")
        self.addCleanup(self.set_policy, "{moderators: seniors, take_over: true}")
        client, session = self.open(arguments=("-tt",))
        first = self.join(session)
        client.shows(b"has joined this session")
        client.type(b"echo begun-$((1+1))\n")
        client.shows(b"begun-2")
        first.type(b"\x1dt")
        first.shows(b"SP-9805")
        first.type(b"\x1dq")
        client.shows(b"this ends in 8 s")
        second = self.join(session)
        second.shows(b"begun-2")
        time.sleep(9)
        client.type(b"echo still-$((2+2))\n")
        client.shows(b"still-4")

    def test_4b_who_may_no_longer_moderate_is_no_longer_there(self):
        client, session = self.open("echo present; sleep 60")
        moderator = self.join(session)
        client.shows(b"present")
        self.addCleanup(self.set_policy, "{moderators: seniors, take_over: true}")
        self.set_policy("{moderators: seniors, take_over: true}", members="engineer")
        self.assertEqual(client.wait(), 255)
        client.shows(b"SP-9803", b"approver has left")
        moderator.shows(b"SP-9802")
        self.assertTrue(self.lab.wait_event("moderation.refused", session=session, by="approver", decision="deny", code="SP-9802"))
        self.assertTrue(self.lab.wait_event("moderation.left", session=session, by="approver"))

    def test_5_nobody_comes_or_a_moderator_says_no_or_the_one_who_waits_gives_up(self):
        self.set_policy("{moderators: seniors, within: 3s}")
        self.addCleanup(self.set_policy, "{moderators: seniors, take_over: true}")
        client, session = self.open("echo in")
        self.assertEqual(client.wait(), 255)
        client.shows(b"SP-9203")
        self.set_policy("{moderators: seniors}")
        client, session = self.open("echo in")
        request = [r for r in self.lab.admin("GET", "/v1/requests")[1]["requests"] if r["kind"] == "presence" and r["state"] == "pending"][0]
        self.assertEqual(self.lab.ssh("approver", "deny", request["id"], "--reason", "not today", identity="approver").returncode, 0)
        self.assertEqual(client.wait(), 255)
        client.shows(b"SP-9202", b"not today")
        client, session = self.open(arguments=("-tt",))
        client.type(b"\x03")
        self.assertEqual(client.wait(), 255)
        self.assertIn(b"SP-7002", self.lab.ssh("approver", "join", session, identity="approver").stderr)

    def test_6_who_may_view_joins_an_unmoderated_session_to_watch(self):
        text = self.lab.default_policy(channels="shell, exec", extra="groups:\n  - {name: seniors, members: [approver]}\n")
        self.lab.apply(text)
        self.addCleanup(self.set_policy, "{moderators: seniors, take_over: true}")
        client = Client(self, self.lab.ssh_command(self.who, arguments=("-tt",)))
        client.type(b"echo alone-$((1+1))\n")
        client.shows(b"alone-2")
        session = self.lab.admin("GET", "/v1/sessions?principal=engineer")[1]["sessions"][0]["session"]
        self.assertIn(b"SP-9802", self.lab.ssh("approver", "join", session, identity="approver").stderr)
        watcher = self.join(session, person="admin")
        watcher.shows(b"alone-2")
        client.shows(b"admin watches this session")
        watcher.type(b"\x1dt")
        watcher.shows(b"SP-9805")
        watcher.type(b"\x1dq")
        watcher.wait()
        client.type(b"echo goes-on-$((3+4))\n")
        client.shows(b"goes-on-7")

    def test_7_by_the_command_line_of_a_person_with_a_token(self):
        client, session = self.open("echo by-api; sleep 60")
        root = self.lab.run_cli("session", "join", session, "--reason", "root is no person")
        self.assertEqual(root.returncode, 4, root.stderr)
        self.assertIn(b"SP-9802", root.stderr)
        token = json.loads(self.lab.run_cli("-o", "json", "token", "create", "--for", "approver", "--name", "seat", check=True).stdout)["token"]
        seat = subprocess.Popen([BIN / "sallyport", "--config", self.lab.folder / "sallyport.yaml", "session", "join", session, "--reason", "from the command line"],
                                stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, env={**os.environ, "SALLYPORT_TOKEN": token})
        self.addCleanup(lambda: (seat.kill(), seat.wait(), seat.stdout.close()))
        client.shows(b"by-api")
        present = self.lab.admin("GET", f"/v1/sessions/{session}/join")[1]["present"]
        self.assertEqual([p["who"] for p in present], ["approver"])
        time.sleep(17)  # longer than a seat stands without a word
        self.assertIsNone(client.process.poll())
        seat.send_signal(signal.SIGINT)
        self.assertEqual(seat.wait(15), 0)
        self.assertEqual(client.wait(), 255)
        client.shows(b"SP-9803")

    def by_token(self, token, method, path, body):
        done = subprocess.run(["curl", "-sS", "--max-time", "30", "--unix-socket", self.lab.folder / "run/admin.sock", "-X", method, "-H", f"Authorization: Bearer {token}", "-H", "Content-Type: application/json", "-d",
                               json.dumps(body), f"http://localhost/v1/sessions/{path}"], capture_output=True, check=True)
        return json.loads(done.stdout)

    def test_8_over_the_api_a_moderator_speaks_holds_and_ends_as_over_ssh(self):
        def token(name, *more):
            return json.loads(self.lab.run_cli("-o", "json", "token", "create", "--for", "approver", "--name", name, *more, check=True).stdout)["token"]
        whole, narrow = token("whole"), token("narrow", "--scope", "audit")
        client, session = self.open(arguments=("-tt",))
        reason = {"reason": "four eyes"}
        # She has no right of an administrator, and is not there yet; and a token that is to read is no second person.
        for path, body in (("message", {"text": "hello"}), ("hold", reason), ("release", reason)):
            self.assertEqual(self.by_token(whole, "POST", f"{session}/{path}", body)["status"], 403, path)
        self.assertEqual(self.by_token(whole, "DELETE", session, reason)["status"], 403)
        self.assertEqual(self.by_token(narrow, "POST", f"{session}/join", reason)["code"], "SP-9802")
        seat = self.by_token(whole, "POST", f"{session}/join", reason)
        self.assertTrue(seat["may_act"], seat)
        client.type(b"echo up-$((40+2))\n")
        client.shows(b"up-42")
        self.assertEqual(self.by_token(narrow, "POST", f"{session}/hold", reason)["status"], 403)
        # The keyboard: of her seat, in her session, with the scope to be a second person; keys of who has it only.
        hers = {"seat": seat["seat"]}
        self.assertTrue(seat["may_take_over"], seat)
        self.assertEqual(self.by_token(whole, "POST", f"{session}/keys", {**hers, "keys": "echo no-$((1+1))\r"})["code"], "SP-9805")
        self.assertEqual(self.by_token(narrow, "POST", f"{session}/keyboard", {**hers, "taken": True})["status"], 404)
        self.assertEqual(self.by_token(whole, "POST", f"{session}/keyboard", {"seat": "01JC3W9M6T5X1Q8Z7R4N2K0HFA", "taken": True})["status"], 404)
        self.assertEqual(self.by_token(whole, "POST", f"01JC3W9M6T5X1Q8Z7R4N2K0HFA/keyboard", {**hers, "taken": True})["status"], 404)
        self.assertTrue(self.by_token(whole, "POST", f"{session}/keyboard", {**hers, "taken": True})["taken"])
        client.shows(b"approver has the keyboard")
        self.assertEqual(self.by_token(narrow, "POST", f"{session}/keys", {**hers, "keys": "echo no-$((1+1))\r"})["status"], 404)
        self.assertTrue(self.by_token(whole, "POST", f"{session}/keys", {**hers, "keys": "echo api-$((50+5))\r"})["typed"])
        client.shows(b"api-55")
        self.assertFalse(self.by_token(whole, "POST", f"{session}/keyboard", {**hers, "taken": False})["taken"])
        client.shows(b"has returned the keyboard")
        self.assertEqual(self.by_token(whole, "POST", f"{session}/keys", {**hers, "keys": "echo no-$((1+1))\r"})["code"], "SP-9805")
        self.assertNotIn(b"no-2", client.text)
        self.assertEqual(self.by_token(whole, "POST", f"{session}/message", {"text": "look twice"}).get("done"), "message")
        client.shows(b"approver says: look twice")
        self.assertEqual(self.by_token(whole, "POST", f"{session}/hold", reason).get("done"), "hold")
        client.shows(b"approver holds this session")
        self.assertEqual(self.by_token(whole, "POST", f"{session}/release", reason).get("done"), "release")
        # The events of one session, and no others.
        events = self.lab.admin("GET", f"/v1/events?limit=4096&session={session}")[1]["events"]
        self.assertIn("moderation.joined", {event["name"] for event in events})
        self.assertEqual({event["session"] or event["fields"]["session"] for event in events}, {session})
        self.assertEqual(self.lab.admin("GET", "/v1/events?session=" + "x" * 65)[0], 400)
        self.assertEqual(self.by_token(whole, "POST", f"{session}/join", {"seat": seat["seat"]})["left"], False)
        self.assertTrue(self.by_token(whole, "DELETE", session, {"reason": "enough"})["ended"])
        self.assertNotEqual(client.wait(), 0)
        client.shows(b"SP-2016")


if __name__ == "__main__":
    unittest.main()
