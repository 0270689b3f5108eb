"""What is negotiated on the two legs, what a stranger learns from the banner, and targets that a CA vouches for wherever they move."""
import json, socket, struct, subprocess, unittest

from lab import Lab, free_port


def record_of(lab):
    """The newest session's recording as JSON lines: its header and what was said about the target."""
    done = lab.run_cli("export", "last", "--reason", "test", "--format", "json", "--file", "-", check=True)
    return [json.loads(line) for line in done.stdout.decode().splitlines()]


def found(value, key):
    """Every value of `key` anywhere in `value`, JSON within strings included."""
    if isinstance(value, str) and value.startswith("{"):
        try:
            value = json.loads(value)
        except ValueError:
            return []
    if isinstance(value, dict):
        return ([value[key]] if key in value else []) + [hit for other in value.values() for hit in found(other, key)]
    return [hit for other in value for hit in found(other, key)] if isinstance(value, list) else []


def offered_by(lab):
    """The ten lists of the gateway's KEXINIT (RFC 4253 section 7.1), read byte by byte."""
    with socket.create_connection(("127.0.0.1", lab.port), 10) as stranger:
        return kexinit_of(stranger)


def kexinit_of(peer):
    peer.sendall(b"SSH-2.0-reader\r\n")
    stream = peer.makefile("rb")
    stream.readline(256)
    length, padding = struct.unpack(">IB", stream.read(5))
    body = stream.read(length - 1)[:length - 1 - padding]
    if body[0] != 20:
        raise AssertionError(f"message {body[0]} came before KEXINIT")
    at, lists = 17, []
    for _ in range(10):
        size, = struct.unpack_from(">I", body, at)
        lists.append(body[at + 4:at + 4 + size].decode().split(",") if size else [])
        at += 4 + size
    return lists


class Algorithms(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.lab = Lab(targets=2, start=False, config=cls.config)
        cls.addClassCleanup(cls.lab.stop)
        cls.lab.targets[0].extra_config = "KexAlgorithms ecdh-sha2-nistp256,ecdh-sha2-nistp384"
        cls.lab.targets[1].extra_config = "KexAlgorithms curve25519-sha256\nCiphers chacha20-poly1305@openssh.com"
        cls.lab.start()
        cls.old, cls.new = (f"engineer+{cls.lab.account}+target{i}" for i in (1, 2))


class Modern(Algorithms):
    config = ""

    def test_the_banner_names_neither_version_nor_library_nor_system(self):
        with socket.create_connection(("127.0.0.1", self.lab.port), 10) as stranger:
            self.assertEqual(stranger.makefile("rb").readline(256).strip(), b"SSH-2.0-Sallyport")

    def test_what_is_offered_is_this_and_nothing_else(self):
        lists = offered_by(self.lab)
        kex, host, ciphers, _, macs, _, compression, _, languages, _ = lists
        hybrid = ["mlkem768x25519-sha256", "sntrup761x25519-sha512", "sntrup761x25519-sha512@openssh.com"]
        self.assertEqual([name for name in kex if name not in ("ext-info-s", "kex-strict-s-v00@openssh.com")], hybrid + ["curve25519-sha256", "curve25519-sha256@libssh.org"])
        self.assertIn("kex-strict-s-v00@openssh.com", kex)
        self.assertEqual(ciphers, ["aes128-gcm@openssh.com", "aes256-gcm@openssh.com", "chacha20-poly1305@openssh.com", "aes256-ctr", "aes128-ctr"])
        self.assertEqual(macs, ["hmac-sha2-256-etm@openssh.com", "hmac-sha2-512-etm@openssh.com", "hmac-sha2-256", "hmac-sha2-512"])
        self.assertEqual((lists[3], lists[5]), (ciphers, macs))
        self.assertEqual((compression, lists[7], languages), (["none"], ["none"], []))
        self.assertEqual(host, ["ssh-ed25519-cert-v01@openssh.com", "ssh-ed25519", "rsa-sha2-512", "rsa-sha2-256"])

    def test_the_record_says_what_was_negotiated_on_both_legs(self):
        done = self.lab.ssh(self.new, "true", KexAlgorithms="sntrup761x25519-sha512@openssh.com", Ciphers="aes256-gcm@openssh.com")
        self.assertEqual(done.returncode, 0, done.stderr)
        record = record_of(self.lab)
        client, target = found(record, "client_algorithms"), found(record, "algorithms")
        self.assertEqual(len(client), 1, record[:3])
        self.assertRegex(client[0], r"^kex=sntrup761x25519-sha512@openssh.com hostkey=\S*ed25519\S* c2s=aes256-gcm@openssh.com s2c=aes256-gcm@openssh.com")
        self.assertEqual(len(target), 1, record[:6])
        self.assertRegex(target[0], r"^kex=curve25519-sha256 hostkey=\S+ c2s=chacha20-poly1305@openssh.com s2c=chacha20-poly1305@openssh.com")

    def test_nistp_is_refused_by_default_on_both_legs(self):
        offered = self.lab.ssh(self.new, "true", KexAlgorithms="ecdh-sha2-nistp256", LogLevel="INFO")
        self.assertEqual(offered.returncode, 255)
        self.assertIn(b"no matching key exchange method", offered.stderr)
        towards = self.lab.ssh(self.old, "true")
        self.assertEqual(towards.returncode, 255)
        self.assertRegex(towards.stderr, rb"SP-3008 .*ecdh-sha2-nistp256")


class LegacyClients(Algorithms):
    config = "compat: legacy-clients"

    def test_what_is_offered_besides_is_this_and_nothing_else(self):
        kex, host = offered_by(self.lab)[:2]
        self.assertEqual([name for name in kex if "nistp" in name], ["ecdh-sha2-nistp256", "ecdh-sha2-nistp384", "ecdh-sha2-nistp521"])
        self.assertEqual(host, ["ssh-ed25519-cert-v01@openssh.com", "ssh-ed25519", "ecdsa-sha2-nistp256", "rsa-sha2-512", "rsa-sha2-256"])

    def test_nistp_serves_on_both_legs(self):
        done = self.lab.ssh(self.old, "echo reached", KexAlgorithms="ecdh-sha2-nistp256")
        self.assertEqual(done.stdout, b"reached\n", done.stderr)
        record = record_of(self.lab)
        self.assertIn("kex=ecdh-sha2-nistp256 ", found(record, "client_algorithms")[0])
        self.assertIn("kex=ecdh-sha2-nistp256 ", found(record, "algorithms")[0])


class HostCa(unittest.TestCase):
    """The policy knows a CA and a name; the machine changes its key and its address."""

    @classmethod
    def setUpClass(cls):
        cls.lab = Lab(targets=2, start=False, policy=lambda: cls.policy())
        cls.addClassCleanup(cls.lab.stop)
        cls.ca = cls.lab.folder / "fleet_ca"
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", cls.ca], check=True)
        for target in cls.lab.targets:
            cls.certify(target)
        cls.lab.start()
        cls.who = f"engineer+{cls.lab.account}+target1"

    @classmethod
    def certify(cls, target, name=None, ca=None, validity="-5m:+1h"):
        """A host key of its own with a certificate for `name`; sshd shows nothing else."""
        keys = target.folder / "keys"
        keys.mkdir(parents=True, exist_ok=True)
        for old in keys.glob("host_ca_signed*"):
            old.unlink()
        key = keys / "host_ca_signed"
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", key], check=True)
        subprocess.run(["ssh-keygen", "-q", "-s", ca or cls.ca, "-I", "host", "-h", "-n", name or target.name, "-V", validity, f"{key}.pub"], check=True)
        target.extra_config = f"HostKey {key}\nHostCertificate {key}-cert.pub\nHostKeyAlgorithms ssh-ed25519-cert-v01@openssh.com"

    @classmethod
    def policy(cls):
        text = cls.lab.default_policy()
        ca = " ".join((cls.ca.parent / "fleet_ca.pub").read_text().split()[:2])
        for target in cls.lab.targets:
            pinned = ", ".join(json.dumps(key) for key in target.host_keys.values())
            assert pinned in text
            text = text.replace(f"host_keys: [{pinned}]", f"host_cas: [{json.dumps(ca)}]")
        return text

    def restart(self, **changes):
        target = self.lab.targets[0]
        target.stop()
        for name, value in changes.items():
            setattr(target, name, value)
        target.user_ca = (self.lab.folder / "run" / "keys" / "user_ca.pub").read_text()
        target.start()
        target.wait()
        self.lab.apply(self.policy())

    def reach(self):
        return self.lab.ssh(self.who, "echo reached")

    def assert_refused(self):
        done = self.reach()
        self.assertEqual((done.returncode, done.stdout), (255, b""))
        self.assertRegex(done.stderr, rb"SP-\d{4}")

    def test_1_the_certificate_speaks_for_the_name(self):
        self.assertEqual(self.reach().stdout, b"reached\n")

    def test_2_a_new_address_and_a_new_key_are_the_same_machine(self):
        self.certify(self.lab.targets[0])
        self.restart(address="127.0.0.2", port=free_port("127.0.0.2"))
        done = self.reach()
        self.assertEqual(done.stdout, b"reached\n", done.stderr)

    def test_3_another_machine_at_its_address_is_not(self):
        self.certify(self.lab.targets[0], name="target2")
        self.restart()
        self.assert_refused()

    def test_4_nor_is_one_that_another_ca_vouches_for(self):
        other = self.lab.folder / "other_ca"
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", other], check=True)
        self.certify(self.lab.targets[0], ca=other)
        self.restart()
        self.assert_refused()

    def test_5_nor_one_whose_certificate_is_over(self):
        self.certify(self.lab.targets[0], validity="-2h:-1h")
        self.restart()
        self.assert_refused()
        self.certify(self.lab.targets[0])
        self.restart()
        self.assertEqual(self.reach().stdout, b"reached\n")


del Algorithms

if __name__ == "__main__":
    unittest.main()
