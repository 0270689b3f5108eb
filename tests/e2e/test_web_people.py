"""The page in a real Chromium, two people at once: joining a moderated session, acts that wait, what every page looks like."""
import pathlib, re, select, subprocess, time, unittest

from browser import MISSING, Browser
from lab import free_port, wait_for
from test_holds import Counting
from test_moderated import JOIN, Client

PLACES = ("/search", "/terminal", "/account", "/invites", "/requests", "/tokens", "/sessions")


@unittest.skipIf(MISSING, MISSING)
class People(Browser):
    TARGETS = 2

    @classmethod
    def policy(cls, lab):
        cls.inside = Counting()
        cls.addClassCleanup(lambda: (cls.inside.shutdown(), cls.inside.server_close()))
        cls.place = lab.folder / "place"
        cls.place.mkdir(exist_ok=True)
        cls.place.chmod(0o777)
        text = lab.default_policy(channels="shell, exec", extra="groups:\n  - {name: seniors, members: [approver]}\n")
        text = text.replace("targets: {labels: {env: lab}}", "targets: {names: [target1]}").replace("  - name: operator\n", "  - name: operator\n    moderation: {moderators: seniors, take_over: true}\n", 1)
        held = (f"  - name: held\n    allow:\n      - {{channels: [exec], targets: {{names: [target2]}}, accounts: [{lab.account}]}}\n"
                f"      - channels: [sftp]\n        targets: {{names: [target2]}}\n        accounts: [{lab.account}]\n        approve: {{approvers: seniors}}\n"
                f"        files: [{{path: {cls.place}, allow: [up, down, change], approve: true}}]\n"
                f"      - channels: [tunnel-local]\n        targets: {{names: [target2]}}\n        accounts: [{lab.account}]\n        approve: {{approvers: seniors}}\n        tunnels: [\"127.0.0.1:{cls.inside.port}\"]\n")
        text = text.replace("  - name: administrator\n", held + "  - {name: watcher, admin: [audit, view]}\n  - name: administrator\n")
        return text.replace("{role: operator, principals: [engineer]}", "{role: operator, principals: [engineer]}\n  - {role: held, principals: [engineer]}\n  - {role: watcher, principals: [approver]}")

    def start(self, *command):
        client = subprocess.Popen(list(map(str, command)), stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        self.addCleanup(lambda: (client.kill(), client.wait(), [f.close() for f in (client.stdin, client.stdout, client.stderr) if f]))
        return client

    def joined(self, told, **me):
        """A session that waited for her, and its name; she is in it."""
        client = Client(self, self.lab.ssh_command(self.lab.user("target1"), arguments=("-tt",)))
        client.shows(b"waiting for one of seniors to join")
        session = JOIN.search(client.text).group(1).decode()
        self.drive("visit", path=f"/sessions/{session}", **me)
        self.drive("press", name="Join the session", **me)
        self.drive("fill", label="Reason (it", value="four eyes", **me)
        self.drive("shot", name="join", **me)
        self.drive("press", name="Join it", **me)
        self.drive("see", text=told, **me)
        return client, session

    def watch(self, seen, **me):
        self.drive("press", role="link", name="Watch it now", **me)
        self.drive("fill", label="Reason", value="four eyes", **me)
        self.drive("key", key="Enter", **me)
        self.drive("on_screen", text=seen, timeout=40000, **me)

    def test_1_a_session_that_waits_is_joined_watched_spoken_to_held_and_left(self):
        me = dict(person="approver")
        self.sign_in("approver")
        client, session = self.joined("You are present in this session", **me)
        client.shows(b"approver has joined this session as its moderator")
        self.assertTrue(self.lab.wait_event("moderation.joined", session=session, by="approver"))
        client.type(b"echo typed-$((40+2))\n")
        client.shows(b"typed-42")
        self.drive("shot", name="present", **me)
        self.assertEqual(self.drive("axe", **me), [])
        # She goes on being there while she watches; the recording shows what the engineer sees.
        self.watch("typed-42", **me)
        client.type(b"echo later-$((50+5))\n")
        self.drive("on_screen", text="later-55", timeout=40000, **me)
        self.drive("see", text="Closing this tab is leaving", **me)
        self.drive("shot", name="watch", **me)
        time.sleep(10)  # longer than a seat lasts that nobody keeps
        self.assertEqual(self.lab.events("moderation.left", session=session), [])
        self.drive("visit", path=f"/sessions/{session}", **me)
        self.drive("press", name="Say something", **me)
        self.drive("fill", label="Text (it is shown", value="look at the load first", **me)
        self.drive("press", name="Say it", **me)
        client.shows(b"look at the load first")
        self.drive("press", name="Hold", exact=True, **me)
        self.drive("fill", label="Reason (it", value="one moment", **me)
        self.drive("press", name="Hold it", **me)
        client.shows(b"holds this session")
        client.type(b"echo held-$((1+1))\n")
        time.sleep(2)
        self.assertNotIn(b"held-2", client.text)
        self.drive("press", name="Let it go on", **me)
        self.drive("fill", label="Reason (it", value="seen", **me)
        self.drive("press", name="Go on", exact=True, **me)
        client.shows(b"held-2")
        self.drive("press", name="Leave the session", **me)
        client.shows(b"SP-9803")
        self.assertNotEqual(client.wait(40), 0)
        self.assertTrue(self.lab.wait_event("moderation.left", session=session, by="approver"))

    def approve(self, what):
        me = dict(person="approver")
        self.sign_in("approver")
        self.drive("visit", path="/requests", **me)
        self.drive("see", text=what, timeout=30000, **me)
        self.drive("press", name="Approve the request of engineer", **me)
        self.drive("fill", label="Reason (it", value="seen with her", **me)
        self.drive("shot", name=f"approve-{what.split('/')[-1][:12]}", **me)
        self.drive("key", key="Enter", **me)

    def test_2_an_upload_waits_for_the_page(self):
        source = self.lab.folder / "up.txt"
        source.write_text("release notes\n")
        batch = self.lab.folder / "batch"
        batch.write_text(f"put {source} {self.place}/notes.txt\n")
        client = self.start("sftp", *self.lab.ssh_options(), "-P", self.lab.port, "-b", batch, f"{self.lab.user('target2')}@127.0.0.1")
        self.approve(f"{self.place}/notes.txt")
        self.assertEqual(client.wait(40), 0)
        self.assertEqual((self.place / "notes.txt").read_text(), "release notes\n")

    def test_3_a_tunnel_waits_for_the_page(self):
        port = free_port()
        self.start("ssh", *self.lab.ssh_options(), "-p", self.lab.port, "-N", "-L", f"{port}:127.0.0.1:{self.inside.port}", f"{self.lab.user('target2')}@127.0.0.1")

        def listens():
            import socket
            with socket.socket() as probe:
                return probe.connect_ex(("127.0.0.1", port)) == 0
        wait_for(listens, 20, 0.2)
        fetch = self.start("curl", "-sS", "--max-time", "60", f"http://127.0.0.1:{port}/")
        time.sleep(1)
        self.approve(f"127.0.0.1:{self.inside.port}")
        self.assertEqual(fetch.communicate(timeout=60)[0], b"inside")

    def test_3b_she_takes_the_keyboard_returns_it_and_ends_the_session(self):
        me = dict(person="approver")
        self.sign_in("approver")
        client, session = self.joined("You may take its keyboard", **me)
        client.type(b"echo mine-$((40+2))\n")
        client.shows(b"mine-42")
        self.watch("mine-42", **me)
        # Without the keyboard what she types goes nowhere.
        self.drive("type", text="echo early-$((1+1))\n", **me)
        self.drive("press", name="Take the keyboard", **me)
        client.shows(b"approver has the keyboard")
        self.drive("see", text="You have the keyboard", **me)
        self.drive("shot", name="keyboard", **me)
        self.assertEqual(self.drive("axe", **me), [])
        client.type(b"echo dropped-$((2+2))\n")
        self.drive("type", text="echo hers-$((50+5))\n", **me)
        client.shows(b"hers-55")
        self.drive("on_screen", text="hers-55", timeout=40000, **me)
        self.assertNotIn(b"early-2", client.text)
        self.assertNotIn(b"dropped-4", client.text)
        self.drive("press", name="Return the keyboard", **me)
        client.shows(b"has returned the keyboard")
        client.type(b"echo again-$((60+6))\n")
        client.shows(b"again-66")
        self.drive("type", text="echo late-$((3+3))\n", **me)
        self.drive("size", width=360, height=800, **me)
        self.assertFalse(self.drive("overflows", **me))
        self.drive("shot", name="keyboard-phone", **me)
        self.drive("size", width=1280, height=800, **me)
        time.sleep(1)
        self.assertNotIn(b"late-6", client.text)
        self.assertEqual([e["by"] for e in self.lab.wait_event("moderation.keyboard_taken", session=session)], ["approver"])
        self.assertTrue(self.lab.wait_event("moderation.keyboard_returned", session=session))
        # A seat is its owner's, and of one session.
        self.drive("visit", path=f"/sessions/{session}", **me)
        self.drive("press", name="End", exact=True, **me)
        self.drive("shot", name="end", **me)
        self.drive("fill", label="Reason (it", value="that was all", **me)
        self.drive("press", name="End it now", **me)
        client.shows(b"SP-2016")
        self.assertNotEqual(client.wait(40), 0)
        ended = self.lab.wait_event("session.end_ordered", session=session)[0]
        self.assertEqual((ended["by"], ended["reason"]), ("approver", "that was all"))

    def test_3c_live_says_holds_and_ends_for_who_may(self):
        held = self.start(*map(str, self.lab.ssh_command(self.lab.user("target2"), "echo up; exec cat")))
        self.assertEqual(held.stdout.readline(), b"up\n")
        # With `audit` alone nothing is offered that would be refused.
        self.sign_in("approver")
        self.drive("visit", path="/", person="approver")
        self.drive("see", text="Running sessions", person="approver")
        self.drive("see", text="target2", person="approver")
        self.assertNotIn("Say something", self.drive("text", person="approver"))
        me = dict(person="admin")
        self.sign_in("admin")
        self.drive("visit", path="/", **me)
        held_before = len(self.lab.events("session.held"))
        self.drive("press", name="Hold the session of engineer on target2", **me)
        self.drive("fill", label="Reason (it", value="one moment", **me)
        self.drive("press", name="Hold it", **me)
        wait_for(lambda: len(self.lab.events("session.held")) > held_before, 10)
        session = self.lab.events("session.held")[-1]["session"]
        self.assertIs(self.lab.admin("GET", f"/v1/sessions/{session}")[1].get("held"), True)
        wait_for(lambda: re.search(r"target2\s+held\b", self.drive("text", **me)), 10)
        held.stdin.write(b"through\n")
        held.stdin.flush()
        self.assertEqual(self.readable(held.stdout, 2), [])
        self.drive("press", name="Let the session of engineer on target2 go on", **me)
        self.drive("fill", label="Reason (it", value="seen", **me)
        self.drive("press", name="Go on", exact=True, **me)
        self.assertEqual(held.stdout.readline(), b"through\n")
        self.assertNotIn("held", self.lab.admin("GET", f"/v1/sessions/{session}")[1])
        wait_for(lambda: re.search(r"target2\s+live\b", self.drive("text", **me)), 10)
        self.drive("shot", name="live-acts", **me)
        self.assertEqual(self.drive("axe", **me), [])
        self.drive("size", width=360, height=800, **me)
        time.sleep(0.5)
        self.drive("shot", name="live-acts-phone", **me)
        self.assertFalse(self.drive("overflows", **me))
        self.drive("size", width=1280, height=800, **me)
        self.drive("press", name="End the session of engineer on target2", **me)
        self.drive("fill", label="Reason (it", value="over", **me)
        self.drive("press", name="End it now", **me)
        self.assertNotEqual(held.wait(30), 0)
        self.assertTrue(self.lab.wait_event("session.end_ordered", session=session, by="admin"))

    @staticmethod
    def readable(stream, seconds):
        return select.select([stream], [], [], seconds)[0]

    def test_4_every_place_is_clean_and_fits_a_phone(self):
        session = self.lab.events("session.ended")[-1]["session"]
        for name, width, scheme in (("light", 1280, "light"), ("dark", 1280, "dark"), ("phone", 360, "dark")):
            self.drive("open", person=name, width=width, scheme=scheme)
            self.drive("sign_in", person=name, token=self.tokens["admin"])
            self.drive("see", person=name, text="Running sessions")
            for place in (*PLACES, f"/sessions/{session}", f"/sessions/{session}/replay", "/nothing"):
                with self.subTest(place=place, look=name):
                    self.drive("visit", person=name, path=place)
                    self.drive("see", person=name, text="Nothing here" if place == "/nothing" else "Same from a terminal")
                    time.sleep(0.5)
                    self.assertEqual(self.drive("axe", person=name), [])
                    self.assertFalse(self.drive("overflows", person=name))
                    self.drive("shot", person=name, name=f"{name}-{'replay' if place.endswith('replay') else 'session' if session in place else place.strip('/')}")


if __name__ == "__main__":
    unittest.main(verbosity=2)
