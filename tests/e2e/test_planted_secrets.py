"""Values that the vault lent are planted in sessions in many ways; none may stand in any stored byte, log or index. SALLYPORT_PLANTED says how many (24)."""
import base64, concurrent.futures, json, os, random, string, subprocess, unittest

from lab import BIN, Lab, wait_for
from test_replay import Terminal

COUNT = int(os.environ.get("SALLYPORT_PLANTED", "24"))
TARGETS = 4


def made(number, dice):
    """Of many lengths and alphabets; quotes and backslashes are left out, for the shell's sake."""
    letters = (string.ascii_letters + string.digits, string.ascii_lowercase, string.ascii_letters + string.digits + "%+,-./:=@_", string.hexdigits)[number % 4]
    return "".join(dice.choice(letters) for _ in range(dice.choice((8, 9, 12, 16, 20, 32, 64)))) + f"{number:04d}"


class Planted(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.lab = lab = Lab(targets=TARGETS + 1, start=False, config="log:\n  format: json\n  level: debug\n")

        def policy():
            text = lab.default_policy()
            for target in lab.targets[:TARGETS]:
                at = text.index(f"  - name: {target.name}\n")
                text = text[:at] + text[at:].replace("credentials: [certificate]", "credentials: [{password: pw/%s}]" % target.name, 1)
            return text
        lab.policy_text = policy
        lab.start()
        dice = random.Random(20261122)
        cls.values = [made(number, dice) for number in range(COUNT)]
        cls.who = lab.user(lab.targets[TARGETS].name)

    @classmethod
    def tearDownClass(cls):
        cls.lab.stop()

    def lend(self, target, values):
        """Each becomes the target's password for one login. The target refuses it; lent it was."""
        for value in values:
            subprocess.run([BIN / "sallyport", "--config", self.lab.folder / "sallyport.yaml", "secret", "put", f"pw/{target.name}", "--kind", "password"],
                           input=value.encode(), check=True, capture_output=True, timeout=60)
            self.assertNotEqual(self.lab.ssh(self.lab.user(target.name), "true", timeout=120).returncode, 0)

    def sessions(self):
        return json.loads(self.lab.run_cli("-o", "json", "sessions", check=True, timeout=300).stdout)

    def test_none_of_them_stands_anywhere(self):
        lab = self.lab
        with concurrent.futures.ThreadPoolExecutor(TARGETS) as pool:
            list(pool.map(lambda n: self.lend(lab.targets[n], self.values[n::TARGETS]), range(TARGETS)))
        before = len(self.sessions())
        values = self.values
        # A dump of an environment, a configuration read from standard input, an error message, all at once.
        done = lab.ssh(self.who, "cat; echo", input="".join(f"export DB_{n}={v}\nERROR 1045: access denied using password '{v}'\n" for n, v in enumerate(values)).encode(), timeout=300)
        self.assertEqual(done.stdout.count(values[0].encode()), 2)
        # As arguments: mysql -pVALUE, curl -u user:VALUE, redis-cli -a VALUE. They stand in the audit events of commands.
        for value in values[:: max(1, COUNT // 20)]:
            self.assertEqual(lab.ssh(self.who, f"true mysql -u root -p{value} -e 'select 1'; true curl -u admin:{value} x; true redis-cli -a {value} ping").returncode, 0)
        # Written in two pieces with time between them, at every cut from 8 bytes on.
        pieces = "".join(f"printf %s '{v[:8 + n % max(1, len(v) - 8)]}'; sleep 0.03; printf '%s\\n' '{v[8 + n % max(1, len(v) - 8):]}'\n" for n, v in enumerate(values[:200]))
        split = lab.ssh(self.who, "sh", input=pieces.encode(), timeout=300)
        self.assertIn(values[1].encode(), split.stdout)
        # In a terminal: in sight on a command line; out of sight behind a prompt like sudo's; given back by the program.
        person = Terminal(lab.ssh_command(self.who, arguments=["-tt"]), columns=200)
        person.wait(b"$")
        person.type("PS1='# '\r", 0.3)
        for value in values:
            person.type(f": mysql -u x -p{value}\r", 0.02)
        for value in values[:30]:
            person.type("printf '[sudo] password for me: '; read -s secret; echo\r", 0.15)
            person.type(f"{value}\r", 0.1)
            person.type("echo \"got $secret\"\r", 0.1)
        person.wait(f"got {values[min(29, COUNT - 1)]}".encode(), 60)
        person.type("exit\r", 0.5)
        person.close()
        wait_for(lambda: len(self.sessions()) >= before + 4 and all(row["state"] == "complete" for row in self.sessions()[before:]), 60, 0.5)
        lab.run_cli("index", "--reason", "test", check=True, timeout=300)
        heaps = {}
        for top in (lab.folder / "state", lab.shm, lab.folder / "run"):
            for path in top.rglob("*"):
                if path.is_file() and not path.is_symlink() and "vault" not in path.parts:
                    heaps[str(path)] = path.read_bytes()
        heaps["log"] = lab.log().encode()
        heaps["events"] = json.dumps(lab.events()).encode()
        rows = self.sessions()
        heaps["sessions"] = json.dumps(rows).encode()
        for row in rows[before:]:
            for form in ("text", "json", "asciicast"):
                text = lab.run_cli("export", row["session"], "--format", form, "--reason", "test", check=True, timeout=300).stdout
                heaps[f"{row['session']} {form}"] = text
                if form == "json":
                    streams = {}
                    for line in map(json.loads, text.splitlines()):
                        if "base64" in line:
                            key = (line["channel"], line["kind"])
                            streams[key] = streams.get(key, b"") + base64.b64decode(line["base64"])
                    heaps[f"{row['session']} streams"] = b"\0".join(streams.values())
        self.assertTrue(any(b"ERROR 1045" in heap for heap in heaps.values()), "nothing was recorded")
        found = [(value, name) for name, heap in heaps.items() for value in values if value.encode() in heap]
        self.assertEqual(found, [], f"{len(found)} of {COUNT} values stand somewhere")
        searched = lab.run_cli("-o", "json", "search", values[3], "--reason", "test")
        self.assertNotIn(b"ERROR", searched.stdout)
        print(f"\n{COUNT} planted values, {sum(map(len, heaps.values()))} bytes in {len(heaps)} places: none found")
        self.assertEqual(lab.run_cli("verify", "--seals", "--reason", "test", timeout=120).returncode, 0)


if __name__ == "__main__":
    unittest.main()
