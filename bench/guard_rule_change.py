#!/usr/bin/env python3
"""A change of the guard's rules while many terminals are open: how long until it is live in all of them, and what it costs.

Every session is a stock protocol (asyncssh, one process) to a real gateway and a real sshd with a shell. All shipped packs are in force,
so that the rule set has its real size. Then a rule is added: the CPU time of every process of the gateway is taken before and after, and in
every session the newly forbidden command is typed one second after `policy apply` came back.
`bench/guard_rule_change.py [--sessions 200]`; needs the release build. Memory is what limits the number: about 10 MB a session for sshd and shell.
"""
import argparse, asyncio, pathlib, sys, time

ROOT = pathlib.Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "tests" / "e2e"))
from lab import Lab  # noqa: E402

PACKS = "destructive, hops, privilege, credentials, tampering, persistence, exfiltration, execution, stores, kubernetes, cloud, operations, applications"
GUARD = """    guard:
    - packs: [{packs}]
      opaque: alert
      rules:
        - {{id: extra, reason: it is a test, programs: [{program}]}}
"""


def policy(lab, program):
    return lab.default_policy().replace("  - name: administrator\n", GUARD.format(packs=PACKS, program=program) + "  - name: administrator\n", 1)


def cpu(pids):
    """Seconds of CPU by process, all its threads, to the nanosecond: what one session uses is far below a tick."""
    used = {}
    for pid in pids:
        try:
            used[pid] = sum(int(path.read_text().split()[0]) for path in pathlib.Path(f"/proc/{pid}/task").glob("*/schedstat")) / 1e9
        except OSError:
            pass
    return used


class Shell:
    """One terminal: everything it printed."""
    def __init__(self):
        self.text = ""

    async def open(self, lab, asyncssh):
        self.connection = await asyncssh.connect("127.0.0.1", lab.port, username=lab.user(), client_keys=[str(lab.folder / "id_engineer")], known_hosts=None, agent_path=None)
        self.process = await self.connection.create_process(term_type="xterm", term_size=(80, 24), encoding="utf-8")
        self.reader = asyncio.create_task(self.read())
        while not self.text.rstrip(" ").endswith(("$", "#")):
            await asyncio.sleep(0.02)

    async def read(self):
        while data := await self.process.stdout.read(4096):
            self.text = (self.text + data)[-8000:]

    async def wait(self, what, seconds):
        until = time.monotonic() + seconds
        while what not in self.text and time.monotonic() < until:
            await asyncio.sleep(0.02)
        return what in self.text

    def type(self, keys):
        self.text = ""
        self.process.stdin.write(keys)


async def run(lab, count):
    import asyncssh
    shells = [Shell() for _ in range(count)]
    for at in range(0, count, 10):
        await asyncio.gather(*(shell.open(lab, asyncssh) for shell in shells[at:at + 10]))
    print(f"{count} terminals are open", flush=True)
    await asyncio.gather(*(type_and_wait(shell, "basename before-1\r", "before-1\r\n") for shell in shells))
    await asyncio.sleep(3)
    pids = lab.gateway_pids()
    before = cpu(pids)
    idle_from = time.monotonic()
    await asyncio.sleep(2)
    idle = sum(cpu(pids).values()) - sum(before.values())
    before, begin = cpu(pids), time.monotonic()
    applied = await asyncio.to_thread(lab.apply, policy(lab, "basename"))
    took = time.monotonic() - begin
    await asyncio.sleep(1)
    after = cpu(pids)
    spent = sum(after.get(pid, used) - used for pid, used in before.items())
    most = sorted(((after.get(pid, used) - used, pid) for pid, used in before.items()), reverse=True)[:2]
    denied = 0
    for at in range(0, count, 50):
        denied += sum(await asyncio.gather(*(type_and_wait(shell, "basename after-2\r", "SP-9100") for shell in shells[at:at + 50])))
    print(f"apply took {took:.2f} s; one second later {denied} of {count} sessions deny the new command")
    print(f"CPU of the gateway for it: {spent:.2f} s in {took + 1:.1f} s (idle: {idle / (time.monotonic() - idle_from):.3f} s a second; the busiest process {most[0][0]:.2f} s, the next {most[1][0]:.2f} s)")
    for shell in shells:
        shell.connection.abort()
    return denied == count, applied


async def type_and_wait(shell, keys, what):
    shell.type(keys)
    return await shell.wait(what, 60)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--sessions", type=int, default=200)
    wanted = parser.parse_args()
    with Lab(targets=1, start=False) as lab:
        lab.policy_text = lambda: policy(lab, "nothing-of-that-name")
        lab.start()
        good, _ = asyncio.run(run(lab, wanted.sessions))
    sys.exit(0 if good else 1)


if __name__ == "__main__":
    main()
