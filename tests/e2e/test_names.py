"""A target that is defined by a name: asked for once, every address of the answer judged, and what was judged is what is dialled."""
import shutil, socket, struct, threading, unittest

from lab import IS_ROOT, Lab

DNS = "127.0.53.77"  # any loopback address of its own: the resolver of the gateway's mount namespace alone


class Answers(threading.Thread):
    """A DNS server whose A records are what `answers` gives for the n-th question about a name."""

    def __init__(self):
        super().__init__(daemon=True)
        self.answers = {}
        self.asked = []
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.socket.bind((DNS, 53))
        self.start()

    def run(self):
        while True:
            try:
                question, who = self.socket.recvfrom(4096)
            except OSError:
                return
            at, labels = 12, []
            while size := question[at]:
                labels.append(question[at + 1:at + 1 + size].decode().lower())
                at += 1 + size
            kind, = struct.unpack(">H", question[at + 1:at + 3])
            name = ".".join(labels)
            records = []
            if kind == 1:
                self.asked.append(name)
                records = self.answers.get(name, lambda n: [])(self.asked.count(name))
            head = question[:2] + struct.pack(">HHHHH", 0x8180 if name in self.answers else 0x8183, 1, len(records), 0, 0)
            body = b"".join(b"\xc0\x0c" + struct.pack(">HHIH", 1, 1, 0, 4) + socket.inet_aton(address) for address in records)
            self.socket.sendto(head + question[12:at + 5] + body, who)


class Trap(threading.Thread):
    """Listens where nobody may be sent, and counts who comes."""

    def __init__(self, address, port):
        super().__init__(daemon=True)
        self.came = 0
        self.socket = socket.create_server((address, port))
        self.start()

    def run(self):
        while True:
            try:
                peer = self.socket.accept()[0]
            except OSError:
                return
            self.came += 1
            peer.close()


@unittest.skipUnless(IS_ROOT and shutil.which("unshare"), "needs root for a mount namespace and port 53")
class Names(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.dns = Answers()
        cls.addClassCleanup(cls.dns.socket.close)
        cls.lab = Lab(targets=1, start=False)
        cls.addClassCleanup(cls.lab.stop)
        resolv = cls.lab.folder / "resolv.conf"
        resolv.write_text(f"nameserver {DNS}\noptions attempts:1 timeout:5\n")
        switch = cls.lab.folder / "nsswitch.conf"
        switch.write_text("passwd: files\ngroup: files\nhosts: dns\n")
        cls.lab.gateway_prefix = ["unshare", "--mount", "sh", "-c", f"mount --bind {resolv} \"$(readlink -f /etc/resolv.conf)\" && "
                                  f"mount --bind {switch} /etc/nsswitch.conf && exec \"$@\"", "sh"]
        cls.lab.start()
        cls.who = cls.lab.user()
        # What answers in the target's stead, were it dialled: it has the target's port on another loopback address.
        cls.trap = Trap("127.0.99.1", cls.lab.targets[0].port)
        cls.addClassCleanup(cls.trap.socket.close)

    def definition(self, name, networks="[loopback]"):
        target = self.lab.targets[0]
        text = self.lab.default_policy()
        self.assertIn(f"    address: {target.address}\n", text)
        self.lab.apply(text.replace(f"    address: {target.address}\n", f"    address: {name}\n").replace("allow_networks: [loopback]", f"allow_networks: {networks}"))

    def test_a_name_is_asked_for_once_and_what_was_judged_is_dialled(self):
        # The first answer is the target; from the second on it is somewhere else.
        self.dns.answers["changing.test"] = lambda n: ["127.0.0.1"] if n == 1 else ["127.0.99.1"]
        self.definition("changing.test")
        done = self.lab.ssh(self.who, "echo in")
        self.assertEqual(done.stdout, b"in\n", done.stderr)
        self.assertEqual(self.dns.asked.count("changing.test"), 1)
        self.assertEqual(self.trap.came, 0)
        # The trap does stand where the second answer leads: the next session asks anew and is sent there.
        self.assertEqual(self.lab.ssh(self.who, "echo in").returncode, 255)
        self.assertEqual(self.dns.asked.count("changing.test"), 2)
        self.assertEqual(self.trap.came, 1)

    def test_every_address_of_an_answer_is_judged(self):
        self.dns.answers["several.test"] = lambda n: ["169.254.169.254", "0.0.0.0", "224.0.0.1", "127.0.0.1"]
        self.definition("several.test")
        done = self.lab.ssh(self.who, "echo in")
        self.assertEqual(done.stdout, b"in\n", done.stderr)

    def test_a_name_that_leads_home_is_refused(self):
        came = self.trap.came
        for name, addresses, networks, why in (("loop.test", ["127.0.99.1"], "[]", "a loopback address"),
                                               ("link.test", ["169.254.169.254"], "[loopback]", "a link-local address"),
                                               ("both.test", ["169.254.169.254", "127.0.99.1"], "[]", "a l")):
            with self.subTest(name):
                self.dns.answers[name] = lambda n, addresses=addresses: addresses
                self.definition(name, networks)
                done = self.lab.ssh(self.who, "echo in")
                self.assertEqual((done.returncode, done.stdout), (255, b""))
                self.assertIn(b"SP-3005", done.stderr)
                found = [e for e in self.lab.wait_event("target.dial_failed", code="SP-3005") if why in e["why"] and any(a in e["why"] for a in addresses)]
                self.assertTrue(found)
        self.assertEqual(self.trap.came, came)

    def test_a_name_that_leads_to_the_gateways_own_listener_is_refused(self):
        self.dns.answers["own.test"] = lambda n: ["127.0.0.1"]
        text = self.lab.default_policy().replace(f"    address: {self.lab.targets[0].address}\n", "    address: own.test\n")
        self.lab.apply(text.replace(f"    port: {self.lab.targets[0].port}\n", f"    port: {self.lab.port}\n"))
        done = self.lab.ssh(self.who, "echo in")
        self.assertIn(b"SP-3005", done.stderr)
        self.assertTrue([e for e in self.lab.wait_event("target.dial_failed", code="SP-3005") if "own listener" in e["why"]])

    def test_a_name_without_an_address_is_told(self):
        self.definition("nowhere.test")
        done = self.lab.ssh(self.who, "echo in")
        self.assertIn(b"SP-3004", done.stderr)


if __name__ == "__main__":
    unittest.main()
