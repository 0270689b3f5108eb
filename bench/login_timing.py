#!/usr/bin/env python3
"""Do known and unknown principals take the same time? Measured over the wire, attempt by attempt in turn, medians.

    bench/login_timing.py [ROUNDS]        (programs from $SALLYPORT_BIN, default build/release/bin)

Two questions, each asked of principals that exist and of names that do not: an offered key that is nobody's, and a wrong
password. Every attempt comes from an address of its own, so that the slowing down of failing sources does not take part.
Exit status 1 when a median differs by more than 10 %.
"""
import json, os, pathlib, random, socket, statistics, sys, time

ROOT = pathlib.Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "tests" / "e2e"))
sys.path.append("/usr/lib/python3/dist-packages")
import paramiko  # noqa: E402
from lab import Lab  # noqa: E402
from test_login import argon2id  # noqa: E402

LIMIT = 0.10
NAMES = 40


class Asker:
    def __init__(self, lab):
        self.lab, self.number = lab, 0

    def connect(self):
        self.number += 1
        n = self.number
        peer = socket.create_connection(("127.0.0.1", self.lab.port), 10, source_address=(f"127.9.{n // 250}.{1 + n % 250}", 0))
        peer.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        connection = paramiko.Transport(peer)
        connection.start_client(timeout=20)
        connection.auth_timeout = 30
        return connection


def timed(call):
    begin = time.perf_counter()
    try:
        call()
    except paramiko.SSHException:
        return time.perf_counter() - begin
    raise RuntimeError("an attempt that must fail succeeded")


def main():
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else 150
    known = [f"person{i}" for i in range(NAMES)]
    unknown = [f"nobody{i}" for i in range(NAMES)]
    key = paramiko.ECDSAKey.generate()
    lab = Lab(targets=1, start=False)
    hashes = [argon2id(f"right horse {i}".encode()) for i in range(NAMES)]
    people = "".join(f"  - {{name: {name}, type: person, password: {json.dumps(one)}}}\n" for name, one in zip(known, hashes))
    lab.policy_text = lambda: lab.default_policy().replace("targets:\n", people + "targets:\n", 1).replace(
        "principals: [engineer]", "principals: [engineer, " + ", ".join(known) + "]")
    times = {}
    try:
        lab.start()
        asker = Asker(lab)

        def key_attempt(name):
            # The first request of a connection fixes its user name: each attempt is the first one here.
            connection = asker.connect()
            try:
                return timed(lambda: connection.auth_publickey(f"{name}+{lab.account}+target1", key))
            finally:
                connection.close()

        def password_attempt(name):
            connection = asker.connect()
            try:
                return timed(lambda: connection.auth_password(f"{name}+{lab.account}+target1", "wrong horse", fallback=False))
            finally:
                connection.close()
        for title, attempt in (("offered key", key_attempt), ("wrong password", password_attempt)):
            for i in range(rounds):
                pair = [("known", known[i % NAMES]), ("unknown", unknown[i % NAMES])]
                random.shuffle(pair)
                for who, name in pair:
                    times.setdefault((title, who), []).append(attempt(name))
    finally:
        lab.stop()
    worst = 0.0
    for title in ("offered key", "wrong password"):
        a, b = (statistics.median(times[(title, who)]) for who in ("known", "unknown"))
        differs = abs(a - b) / min(a, b)
        worst = max(worst, differs)
        print(f"{title:15} known {a * 1000:8.2f} ms   unknown {b * 1000:8.2f} ms   differ by {differs * 100:.1f} %")
    print("PASS" if worst <= LIMIT else "FAIL", f"(medians of {rounds} each, limit {LIMIT * 100:.0f} %)")
    return 0 if worst <= LIMIT else 1


if __name__ == "__main__":
    sys.exit(main())
