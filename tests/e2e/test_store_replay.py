"""Recordings that live in a real object store (Ceph RGW) only: local files leave the disk, replay reads ranges; other ways to address the store; legal hold."""
import json, os, subprocess, time, unittest

from lab import BIN, wait_for
import store_suite


@unittest.skipIf(store_suite.WHY_NOT, store_suite.WHY_NOT)
class StoreReplay(store_suite.StoreSuite):
    segment_every = "300ms"
    recording = "  checkpoint_every: 1s\n"

    def cli(self, lab, *words, **more):
        environment = dict(os.environ, XDG_CACHE_HOME=str(lab.folder / "cache"), XDG_STATE_HOME=str(lab.folder / "kept"))
        return subprocess.run([BIN / "sallyport", "--config", lab.folder / "sallyport.yaml", *words], env=environment, capture_output=True, timeout=60, **more)

    def journal(self, lab):
        return sorted(int(path.name[:8]) for path in (lab.folder / "state" / "recorder" / "journal").glob("*.journal"))

    def sessions(self, lab, *words):
        done = self.cli(lab, "-o", "json", "sessions", *words)
        self.assertEqual(done.returncode, 0, done.stderr)
        return json.loads(done.stdout)

    def screen_at(self, lab, session, at, *words):
        """Seconds from the start of the program to the first bytes of a screen."""
        environment = dict(os.environ, XDG_CACHE_HOME=str(lab.folder / "cache"), XDG_STATE_HOME=str(lab.folder / "kept"))
        began = time.monotonic()
        play = subprocess.Popen([BIN / "sallyport", "--config", lab.folder / "sallyport.yaml", "play", session, "--at", str(at), "--reason", "test", *words],
                                env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        first = os.read(play.stdout.fileno(), 65536)
        took = time.monotonic() - began
        play.kill()
        said = play.stderr.read()
        play.stdout.close()
        play.stderr.close()
        play.wait()
        self.assertIn(b"\x1b[H", first[:64], said)
        return took

    def fill(self, lab, megabytes):
        done = lab.ssh(lab.user(), f"head -c {megabytes}000000 /dev/urandom | base64 -w 100")
        self.assertEqual(done.returncode, 0, done.stderr[-300:])

    def test_local_files_leave_and_the_store_replays_by_ranges(self):
        lab = self.lab("ranges", recording="  checkpoint_every: 1s\n  roll: 1MiB\n", more="  local_bytes: 1MiB\n")
        shell = subprocess.Popen(lab.ssh_command(lab.user(), arguments=["-tt"]), stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        for number in range(1, 9):
            shell.stdin.write(f"clear; echo marker-{number}-here; head -c 60000 /dev/urandom | base64 -w 70\n".encode())
            shell.stdin.flush()
            time.sleep(0.6)
        shell.stdin.write(b"exit\n")
        shell.stdin.flush()
        shell.wait(20)
        shell.stdin.close()
        session = self.sessions(lab)[-1]["session"]
        wait_for(lambda: self.sessions(lab, session)[0]["state"] == "complete", 15)
        indexed = self.cli(lab, "index", "--reason", "test")
        self.assertEqual(indexed.returncode, 0, indexed.stderr)
        self.assertEqual(self.journal(lab)[0], 1)
        near = sorted(self.screen_at(lab, session, at) for at in (1, 2, 3, 4))
        self.fill(lab, 6)
        wait_for(lambda: self.journal(lab)[0] > 2, 60, 0.5)
        kept = self.journal(lab)
        self.assertGreaterEqual(len(kept), 2)
        self.assertTrue([event for event in events_of(self, lab, "journal.local_removed") if event["fields"]["first_file"] == 1], "removed without a word")
        # The session's own files are gone from here; listing needs none of them, playing reads them from the store.
        self.assertIn(session, [row["session"] for row in self.sessions(lab)])
        far = sorted(self.screen_at(lab, session, at) for at in (1, 2, 3, 4, 2.5, 3.5))
        print(f"\nplay --at, start of the program to screen: local {near[len(near) // 2] * 1000:.0f} ms, from the store {far[len(far) // 2] * 1000:.0f} ms")
        self.assertLess(far[len(far) // 2], 3, "slow even for a loaded machine")
        whole = self.cli(lab, "export", session, "--format", "text", "--reason", "test")
        self.assertEqual(whole.returncode, 0, whole.stderr)
        for number in range(1, 9):
            self.assertIn(f"marker-{number}-here".encode(), whole.stdout)
        self.assertIn(b"verified:", whole.stderr)
        hits = json.loads(self.cli(lab, "-o", "json", "search", "marker-5-here", "--reason", "test").stdout)
        self.assertIn(session, [hit["session"] for hit in hits])
        # What was removed is missing without the store, and everything is right with it.
        verified = self.cli(lab, "-o", "json", "verify")
        self.assertEqual(verified.returncode, 0, verified.stdout[-1500:] + verified.stderr[-500:])
        # An auditor's own machine: nothing but the store, and nothing of it is kept here but names and the index.
        cache = lab.folder / "cache"
        text = self.cli(lab, "export", session, "--format", "text", "--reason", "test", "--store", "configured")
        self.assertEqual(text.returncode, 0, text.stderr)
        self.assertIn(b"marker-7-here", text.stdout)
        self.assertFalse([path for path in cache.rglob("*.journal")], "the journal was copied")
        # The gateway goes on where it was, without its old files.
        lab.stop_gateway()
        lab.start_gateway()
        self.assertEqual(lab.ssh(lab.user(), "echo after").stdout, b"after\n")
        # A changed object is found when its bytes are wanted.
        victim = self.s3.keys_of("ranges", "gateway/lab/journal/00000001/")[2]
        body, headers = self.s3.must("GET", "/ranges/" + victim)
        changed = bytearray(body)
        changed[len(changed) // 2] ^= 1
        self.s3.must("PUT", "/ranges/" + victim, body=bytes(changed))
        bad = self.cli(lab, "export", session, "--format", "text", "--reason", "test")
        self.assertEqual(bad.returncode, 8, bad.stderr)


    def test_a_legal_hold_is_set_in_the_store_shown_and_released(self):
        lab = self.lab("holds", more="  retention: 2s\n")
        self.assertEqual(lab.ssh(lab.user(), "echo evidence").returncode, 0)
        wait_for(lambda: self.sessions(lab) and self.sessions(lab)[-1]["state"] == "complete", 15)
        session = self.sessions(lab)[-1]["session"]
        wait_for(lambda: len(self.s3.keys_of("holds", "gateway/lab/journal/")) >= 2, 15)
        time.sleep(1)
        done = self.cli(lab, "-o", "json", "recording", "hold", session, "--reason", "case 4711")
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertGreaterEqual(json.loads(done.stdout)["objects"], 1)
        keys = self.s3.keys_of("holds", "gateway/lab/journal/")
        status = {key: self.s3.must("HEAD", "/holds/" + key)[1].get("x-amz-object-lock-legal-hold", "OFF") for key in keys}
        held = [key for key in keys if status[key] == "ON"]
        self.assertEqual(len(held), json.loads(done.stdout)["objects"], status)
        self.assertTrue(lab.events("recording.held", session=session) or events_of(self, lab, "recording.held"))
        # Its time is over, it cannot be removed all the same; what is under no hold can.
        time.sleep(2.5)
        _, headers = self.s3.must("HEAD", "/holds/" + held[0])
        refused, _, _ = self.s3.call("DELETE", "/holds/" + held[0], query="versionId=" + headers["x-amz-version-id"])
        self.assertEqual(refused, 403)
        shown = json.loads(self.cli(lab, "-o", "json", "recording", "holds").stdout)
        self.assertEqual([(row["session"], row["reason"]) for row in shown], [(session, "case 4711")])
        # A session that is live: what is still to come of it is held on its way.
        live = subprocess.Popen(lab.ssh_command(lab.user(), "for i in $(seq 40); do echo more $i; sleep 0.25; done"), stdout=subprocess.DEVNULL, stdin=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        wait_for(lambda: [row for row in self.sessions(lab) if row["state"] == "live"], 10)
        running = [row for row in self.sessions(lab) if row["state"] == "live"][0]["session"]
        held_live = self.cli(lab, "-o", "json", "recording", "hold", running, "--reason", "case 4712")
        self.assertEqual(held_live.returncode, 0, held_live.stderr)
        time.sleep(2)
        late = [key for key in self.s3.keys_of("holds", "gateway/lab/journal/") if key not in keys]
        self.assertTrue([key for key in late[-4:] if self.s3.must("HEAD", "/holds/" + key)[1].get("x-amz-object-lock-legal-hold") == "ON"], late)
        live.kill()
        live.wait()
        for one in (session, running):
            released = self.cli(lab, "recording", "release", one, "--reason", "case closed")
            self.assertEqual(released.returncode, 0, released.stderr)
        self.assertEqual(self.s3.must("HEAD", "/holds/" + held[0])[1].get("x-amz-object-lock-legal-hold", "OFF"), "OFF")
        self.s3.must("DELETE", "/holds/" + held[0], query="versionId=" + headers["x-amz-version-id"])

    def test_a_store_that_cannot_hold_is_named(self):
        lab = self.lab("cannot", lock=False)
        self.assertEqual(lab.ssh(lab.user(), "echo x").returncode, 0)
        wait_for(lambda: self.sessions(lab) and self.sessions(lab)[-1]["state"] == "complete", 15)
        done = self.cli(lab, "recording", "hold", "last", "--reason", "case")
        self.assertNotEqual(done.returncode, 0)
        self.assertIn(b"no object lock", done.stderr)

    def test_virtual_host_addresses_and_large_objects_in_parts(self):
        # BUCKET.s3.localhost: the name goes into the host, certificate and signature included.
        lab = self.lab("by-name", endpoint=self.store.endpoint_names, recording="  checkpoint_every: 1s\n  roll: 64MiB\n",
                       more="  addressing: virtual-host\n  segment: 24MiB\n")
        (lab.folder / "sallyport.yaml").write_text((lab.folder / "sallyport.yaml").read_text().replace("segment_every: 300ms", "segment_every: 20s"))
        lab.stop_gateway()
        lab.start_gateway()
        self.fill(lab, 12)
        self.fill(lab, 12)
        lab.stop_gateway()
        sizes = {key: int(self.s3.must("HEAD", "/by-name/" + key)[1]["content-length"]) for key in self.s3.keys_of("by-name", "gateway/lab/journal/")}
        self.assertGreater(max(sizes.values()), 9 * 1024 * 1024, sizes)
        tags = [self.s3.must("HEAD", "/by-name/" + key)[1]["etag"] for key, size in sizes.items() if size > 9 * 1024 * 1024]
        self.assertTrue(all("-" in tag for tag in tags), f"not in parts: {tags}")
        done = self.cli(lab, "-o", "json", "verify", "--store", "configured")
        self.assertEqual(done.returncode, 0, done.stdout[-800:] + done.stderr[-500:])
        self.assertEqual(json.loads(done.stdout)["findings"], [])


def events_of(case, lab, name):
    done = case.cli(lab, "-o", "jsonl", "events", "--name", name, "--limit", "0")
    case.assertEqual(done.returncode, 0, done.stderr)
    return [json.loads(line) for line in done.stdout.splitlines()]


if __name__ == "__main__":
    unittest.main()
