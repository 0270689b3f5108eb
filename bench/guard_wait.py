#!/usr/bin/env python3
"""What the command guard adds: from Enter to the first output of a line, and from start to end of an exec, with guard rules and
without, side by side. Real sshd, a stock client in a pty. `bench/guard_wait.py [--lines 100] [--rtt MS]`; needs the release build.
"""
import argparse, pathlib, statistics, sys, time

ROOT = pathlib.Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "tests" / "e2e"))
from lab import Lab  # noqa: E402
from terminal import DelayLine, Terminal  # noqa: E402
from test_guard_terminal import GUARD  # noqa: E402


def lines(lab, count, recalled):
    t = Terminal(lab.ssh_command(lab.user(), arguments=["-tt"]))
    t.expect(r"[$#] $")
    t.line("PS1='$ '\r", r"\n\r?\$ $")
    t.quiet(0.5)
    waits = []
    for number in range(count):
        word = f"w{number}"
        if recalled:  # the line is built by editing in the middle: the keys alone do not tell it
            t.send(f"ehco {word[0]}''{word[1:]}\x01\x06\x06\x14")
        else:
            t.send(f"echo {word[0]}''{word[1:]}")
        t.quiet(0.12)
        since, begin = t.mark(), time.monotonic()
        t.send("\r")
        while word not in t.text[since:]:
            t.read(1)
        waits.append((time.monotonic() - begin) * 1000)
        t.quiet(0.03)
    t.close()
    return waits


def execs(lab, count):
    took = []
    for _ in range(count):
        begin = time.monotonic()
        assert lab.ssh(lab.user(), "true").returncode == 0
        took.append((time.monotonic() - begin) * 1000)
    return took


def p(values, part):
    return sorted(values)[min(len(values) - 1, int(len(values) * part))]


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--lines", type=int, default=100)
    parser.add_argument("--rtt", type=float, default=0)
    wanted = parser.parse_args()
    with Lab(targets=1, start=True) as lab:
        plain = lab.default_policy()
        line = None
        if wanted.rtt:
            line = DelayLine(lab.targets[0].port, wanted.rtt)
            plain = plain.replace(f"port: {lab.targets[0].port}", f"port: {line.port}")
        guarded = plain.replace("  - name: administrator\n", GUARD + "  - name: administrator\n", 1)
        found = {"off": {"typed": [], "edited": [], "exec": []}, "on": {"typed": [], "edited": [], "exec": []}}
        for _ in range(2):  # interleaved
            for name, policy in (("off", plain), ("on", guarded)):
                lab.apply(policy)
                found[name]["typed"] += lines(lab, wanted.lines // 2, False)
                found[name]["edited"] += lines(lab, wanted.lines // 2, True)
                found[name]["exec"] += execs(lab, wanted.lines // 4)
        print(f"round trip to the target {wanted.rtt:g} ms, {wanted.lines} lines of each kind; milliseconds")
        for kind, limit in (("typed", 60 + wanted.rtt), ("edited", 60 + wanted.rtt), ("exec", 5)):
            off, on = found["off"][kind], found["on"][kind]
            added = p(on, 0.95) - p(off, 0.95)
            print(f"{kind:7} off p50 {statistics.median(off):7.1f} p95 {p(off, .95):7.1f}   on p50 {statistics.median(on):7.1f} p95 {p(on, .95):7.1f}"
                  f"   added p50 {statistics.median(on) - statistics.median(off):6.1f} p95 {added:6.1f}   limit {limit:g} {'PASS' if added <= limit else 'FAIL'}")
        if line:
            line.close()


if __name__ == "__main__":
    main()
