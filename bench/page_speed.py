#!/usr/bin/env python3
"""How long the pages take in a real Chromium with 10,000 sessions in the database: bench/page_speed.py [--sessions N] [--rounds N].

Prints p50 and p95 of the time from the click to the painted page, for each page, and of the API answer behind the list of sessions."""
import argparse, pathlib, sqlite3, sys, time

ROOT = pathlib.Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "tests" / "e2e"))
from browser import MISSING, Browser  # noqa: E402

PAGES = ("/", "/sessions", "/sessions?principal=engineer", "/requests", "/targets", "/access", "/audit", "/health", "/search")
ALPHABET = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"


def label(milliseconds, number):
    text = ""
    for value, length in ((milliseconds, 10), (number, 16)):
        part = ""
        for _ in range(length):
            part = ALPHABET[value % 32] + part
            value //= 32
        text += part
    return text


def fill(database, count):
    """Copies of one real session, each with a label and times of its own."""
    link = sqlite3.connect(database)
    columns = [row[1] for row in link.execute("PRAGMA table_info(sessions)")]
    row = dict(zip(columns, link.execute("SELECT * FROM sessions WHERE ended_us > 0 LIMIT 1").fetchone()))
    now = int(time.time() * 1000)
    for i in range(count):
        at = now - 86_400_000 - i * 1000
        one = {**row, "label": label(at, i), "started_us": at * 1000, "ended_us": at * 1000 + 30_000_000}
        link.execute(f"INSERT INTO sessions ({', '.join(one)}) VALUES ({', '.join('?' * len(one))})", list(one.values()))
    link.commit()
    return link.execute("SELECT count(*) FROM sessions").fetchone()[0]


def spread(values):
    values = sorted(values)
    return values[len(values) // 2], values[min(len(values) - 1, int(len(values) * 0.95))]


def main():
    asked = argparse.ArgumentParser()
    asked.add_argument("--sessions", type=int, default=10_000)
    asked.add_argument("--rounds", type=int, default=40)
    options = asked.parse_args()
    if MISSING:
        print("skipped:", MISSING)
        return
    try:
        Browser.setUpClass()
        lab = Browser.lab
        lab.ssh(lab.user(), "true")
        lab.wait_event("session.ended")
        time.sleep(1)
        lab.stop_gateway()
        database = next(p for p in (lab.folder / "state" / "authority").iterdir() if p.suffix in (".db", ".sqlite", ".sqlite3"))
        print("sessions in the database:", fill(database, options.sessions))
        lab.start_gateway()
        Browser.tokens["admin"] = Browser.tokens["admin"]
        Browser("tearDown").sign_in("admin")
        for page in PAGES:
            times = [Browser.drive("timed_visit", person="admin", path=page) for _ in range(options.rounds)]
            p50, p95 = spread(times)
            print(f"{page:32} p50 {p50:7.1f} ms   p95 {p95:7.1f} ms")
        for limit in (200, 10_000):
            times = []
            for _ in range(options.rounds):
                begin = time.monotonic()
                rows = lab.admin("GET", f"/v1/sessions?state=all&limit={limit}")[1]["sessions"]
                times.append((time.monotonic() - begin) * 1000)
            p50, p95 = spread(times)
            print(f"GET /v1/sessions, {len(rows):5} rows       p50 {p50:7.1f} ms   p95 {p95:7.1f} ms")
    finally:
        Browser.doClassCleanups()


if __name__ == "__main__":
    main()
