"""Recordings go into a real object store (Ceph RGW) while sessions run; outages, locks, wrong keys; proof from the store alone."""
import http.client, http.server, json, os, pathlib, re, shutil, signal, struct, subprocess, sys, threading, time, unittest

import lab as lab_module
from lab import wait_for
import rgw
import store_suite

KEEP = "3d"


class Faulty(threading.Thread):
    """A proxy in front of the store: passes, answers an error or late, loses answers, or forgets locks."""
    def __init__(self, upstream):
        super().__init__(daemon=True)
        self.mode, self.seen, proxy = "pass", 0, self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def log_message(self, *_):
                pass

            def serve(self):
                body = self.rfile.read(int(self.headers.get("content-length", 0)))
                proxy.seen += 1
                if proxy.mode == "forgetful" and self.command == "PUT":  # the same object, without its lock, and no word about it
                    path, _, query = self.path.partition("?")
                    kept = {name.lower(): value for name, value in self.headers.items() if name.lower() in ("if-none-match", "x-amz-meta-sha256", "x-amz-acl", "content-type")}
                    status, data, _ = rgw.S3(upstream, rgw.WRITER).call("PUT", path, query, body, kept)
                    return self.say(status, data)
                if proxy.mode.isdigit():
                    text = b"<Error><Code>SlowDown</Code><Message>made by the test</Message></Error>"
                    return self.say(int(proxy.mode), text)
                connection = http.client.HTTPConnection("127.0.0.1", upstream, timeout=20)
                connection.putrequest(self.command, self.path, skip_host=True, skip_accept_encoding=True)
                for name, value in self.headers.items():
                    connection.putheader(name, f"127.0.0.1:{proxy.port}" if name.lower() == "host" else value)
                connection.endheaders(body or None)
                answer = connection.getresponse()
                data = answer.read()
                if proxy.mode == "slow":
                    time.sleep(2)
                if proxy.mode == "lose" and self.command == "PUT":
                    self.close_connection = True
                    return
                self.say(answer.status, data, answer.getheaders())

            def say(self, status, data, headers=()):
                self.send_response_only(status)
                for name, value in headers:
                    if name.lower() not in ("content-length", "transfer-encoding", "connection"):
                        self.send_header(name, value)
                length = next((value for name, value in headers if name.lower() == "content-length"), str(len(data)))
                self.send_header("content-length", length if self.command == "HEAD" else str(len(data)))
                self.end_headers()
                if self.command != "HEAD":
                    self.wfile.write(data)
            do_GET = do_PUT = do_POST = do_HEAD = do_DELETE = serve
        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.port = self.server.server_port
        self.start()

    def run(self):
        self.server.serve_forever(0.1)


@unittest.skipIf(store_suite.WHY_NOT, store_suite.WHY_NOT)
class ObjectStore(store_suite.StoreSuite):
    def shipped_journal(self, bucket):
        """Byte count of the journal as it stands in the store, by key names alone."""
        spans = sorted({tuple(int(n) for n in part.split(".")[0].split("-")) for part in
                        (key.rsplit("/", 1)[1] for key in self.s3.keys_of(bucket, "gateway/lab/journal/00000001/"))})
        end = 0
        for begin, until in spans:
            self.assertEqual(begin, end, f"lost or doubled: {spans}")
            end = until
        return end

    def journal_bytes(self, lab):
        return (lab.folder / "state" / "recorder" / "journal" / "00000001.journal").stat().st_size

    def wait_shipped(self, lab, bucket, seconds=20):
        wait_for(lambda: self.shipped_journal(bucket) == self.journal_bytes(lab), seconds, 0.2)

    def verify(self, lab, *more, **options):
        environment = dict(os.environ, XDG_CACHE_HOME=str(lab.folder / "cache"), XDG_STATE_HOME=str(lab.folder / "kept"))
        return subprocess.run([lab_bin(), "--config", lab.folder / "sallyport.yaml", "-o", "json", "verify", *more], env=environment,
                              capture_output=True, text=True, timeout=60, **options)

    def test_a_session_is_in_the_store_while_it_runs_and_proven_from_there(self):
        lab = self.lab("while-running", more=f"  retention: {KEEP}\n", endpoint=self.store.endpoint_tls, recording="  checkpoint_every: 1s\n  checkpoint_key_every: 2s\n")
        client = subprocess.Popen(lab.ssh_command(lab.user(), "for i in 1 2 3 4 5 6 7 8; do echo line $i; sleep 0.5; done"), stdout=subprocess.PIPE, stdin=subprocess.DEVNULL)
        time.sleep(2.5)
        self.assertIsNone(client.poll())
        self.assertGreater(self.shipped_journal("while-running"), 4096, "nothing in the store while the session runs")
        out, _ = client.communicate(timeout=20)
        self.assertIn(b"line 8", out)
        time.sleep(2.5)
        self.wait_shipped(lab, "while-running")
        keys = self.s3.keys_of("while-running", "gateway/lab/journal/")
        self.assertTrue(all(part.rsplit(".", 2)[1] == "1of1" for part in keys), keys[:3])
        # The lock is really there, as the store itself says.
        _, headers = self.s3.must("HEAD", "/while-running/" + keys[0])
        self.assertEqual(headers["x-amz-object-lock-mode"], "GOVERNANCE")
        done = self.verify(lab, "--store", "configured")
        self.assertEqual(done.returncode, 0, done.stdout[-1500:] + done.stderr[-500:])
        report = json.loads(done.stdout)
        self.assertGreater(report["outside_leaves"], 0, "no checkpoint object in the store")
        # The gateway's own disk is gone: the store alone still plays.
        environment = dict(os.environ, XDG_CACHE_HOME=str(lab.folder / "cache"))
        played = subprocess.run([lab_bin(), "--config", lab.folder / "sallyport.yaml", "export", "last", "--format", "text", "--store", "configured", "--reason", "test"],
                                env=environment, capture_output=True, text=True, timeout=60)
        self.assertIn("line 8", played.stdout, played.stderr)
        # An object changed or gone in the store is found. The lock is lifted for that, as its owner may.
        victim = keys[len(keys) // 2]
        _, headers = self.s3.must("HEAD", "/while-running/" + victim)
        self.s3.must("DELETE", "/while-running/" + victim, query="versionId=" + headers["x-amz-version-id"], headers={"x-amz-bypass-governance-retention": "true"})
        gone = self.verify(lab, "--store", "configured")
        self.assertEqual(gone.returncode, 8, gone.stdout[-800:])
        self.assertIn("store-parcel-missing", gone.stdout)
        # The python reader follows the handed-over checkpoint keys through the node's own files.
        reader = pathlib.Path(__file__).resolve().parents[2] / "docs" / "format" / "sallyport_reader.py"
        alone = subprocess.run([sys.executable, reader, lab.folder / "state" / "recorder" / "journal", "--vkey", lab.folder / "run" / "keys" / "checkpoint.vkey",
                                "--checkpoint", lab.folder / "witness"], capture_output=True, text=True, timeout=60)
        self.assertEqual(alone.returncode, 0, alone.stderr)
        text = (lab.folder / "witness").read_text()
        self.assertGreaterEqual(text.count("next-key "), 1, "the checkpoint key did not hand over")

    def test_the_store_away_slow_or_angry_loses_and_doubles_nothing(self):
        proxy = Faulty(self.store.port)
        lab = self.lab("outages", endpoint=f"http://127.0.0.1:{proxy.port}")
        for mode in ("500", "503", "lose", "403"):
            proxy.mode, seen = mode, proxy.seen
            self.assertEqual(lab.ssh(lab.user(), f"echo during {mode}").returncode, 0)
            wait_for(lambda: proxy.seen > seen + (0 if mode == "403" else 1), 15)
        # Each answer comes two seconds late: no session waits for it.
        proxy.mode, seen, slow = "slow", proxy.seen, []
        for number in range(4):
            began = time.monotonic()
            self.assertEqual(lab.ssh(lab.user(), f"echo slow {number}").returncode, 0)
            slow.append(time.monotonic() - began)
        wait_for(lambda: proxy.seen > seen + 1, 20)
        self.assertLess(min(slow), 2, slow)
        self.store.stop_gateway()
        proxy.mode = "pass"
        self.assertEqual(lab.ssh(lab.user(), "echo store is down").returncode, 0, "sessions go on while the store is away")
        wait_for(lambda: lab_events(lab, "store.unreachable"), 20, 0.2)
        for pid in lab.gateway_pids("service shipper"):
            os.kill(pid, signal.SIGKILL)
        self.store.start_gateway()
        self.wait_shipped(lab, "outages", 60)
        self.assertEqual(self.verify(lab, "--store", "configured").returncode, 0)

    def test_kill_9_of_everything_again_and_again(self):
        lab = self.lab("killed", more="  segment: 4096\n")
        for round_ in range(4):
            client = subprocess.Popen(lab.ssh_command(lab.user(), "head -c 60000 /dev/urandom | od; sleep 0.3"), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, stdin=subprocess.DEVNULL)
            time.sleep(0.4 + round_ * 0.17)
            for pid in lab.gateway_pids("service recorder" if round_ % 2 else "service shipper"):
                os.kill(pid, signal.SIGKILL)
            client.wait(20)
        self.wait_shipped(lab, "killed", 40)
        self.assertEqual(self.verify(lab, "--store", "configured").returncode, 0)

    def test_a_full_spool_ends_sessions_and_refuses_new_ones(self):
        lab = self.lab("full-spool", writer=(rgw.WRITER[0], "wrong"), more="  spool: 192KiB\n")
        held = subprocess.Popen(lab.ssh_command(lab.user(), "head -c 130000 /dev/urandom; for i in $(seq 200); do sleep 0.3; head -c 3000 /dev/urandom; done"),
                                stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, stdin=subprocess.DEVNULL)
        _, err = held.communicate(timeout=40)
        self.assertNotEqual(held.returncode, 0, "the session outlived the spool")
        refused = lab.ssh(lab.user(), "echo not recorded")
        self.assertNotEqual(refused.returncode, 0)
        self.assertIn(b"SP-4", refused.stderr + err)
        events = lab_events(lab, "store.unreachable")
        self.assertIn("secret key is not the one", json.dumps(events))
        warned = [event["percent"] for event in lab_events(lab, "store.spool_warning")]
        self.assertEqual([next((level for level in (95, 90, 80) if percent >= level), 0) for percent in warned], [80, 90, 95], warned)
        self.assertTrue(lab_events(lab, "store.spool_full"))
        # The right key is put in place: all arrives, sessions are served again.
        self.credentials("full-spool.w", rgw.WRITER)
        for pid in lab.gateway_pids("service shipper"):
            os.kill(pid, signal.SIGKILL)
        wait_for(lambda: lab.ssh(lab.user(), "echo again").returncode == 0, 30, 1)
        self.wait_shipped(lab, "full-spool", 30)
        self.assertEqual(self.verify(lab, "--store", "configured").returncode, 0)

    def test_a_full_bucket_is_named_and_caught_up(self):
        lab = self.lab("quota")
        self.store.quota("quota", 1)
        self.assertEqual(lab.ssh(lab.user(), "echo full").returncode, 0)
        wait_for(lambda: "full" in json.dumps(lab_events(lab, "store.unreachable")) or "Quota" in json.dumps(lab_events(lab, "store.unreachable")), 30, 0.5)
        self.store.quota("quota", -1)
        self.wait_shipped(lab, "quota", 60)

    def test_a_store_that_cannot_lock_is_refused_by_name_and_doctor_says_so(self):
        lab = self.lab("no-lock", lock=False, more=f"  retention: {KEEP}\n")
        wait_for(lambda: lab_events(lab, "store.refused"), 20, 0.5)
        refused = lab.ssh(lab.user(), "echo not held")
        self.assertNotEqual(refused.returncode, 0, "a session whose recording nobody holds")
        doctor = lab.run_cli("-o", "json", "doctor")
        rows = {row["check"]: row for row in json.loads(doctor.stdout)}
        bad = [row for name, row in rows.items() if name.startswith("store: ") and row["result"] == "MISSING"]
        self.assertTrue(bad, rows)

    def test_a_store_that_forgets_locks_in_silence_is_refused_with_that_reason(self):
        proxy = Faulty(self.store.port)
        proxy.mode = "forgetful"
        lab = self.lab("forgetful", endpoint=f"http://127.0.0.1:{proxy.port}", more=f"  retention: {KEEP}\n")
        wait_for(lambda: lab_events(lab, "store.refused"), 20, 0.5)
        self.assertIn("ignored its lock", json.dumps(lab_events(lab, "store.refused")))

        def reason_given():  # what the recorder found out may come a moment after its event
            refused = lab.ssh(lab.user(), "echo not held")
            self.assertNotEqual(refused.returncode, 0)
            return b"SP-4102" in refused.stderr

        wait_for(reason_given, 20, 0.5)

    def test_the_credential_of_the_recorder_can_only_write(self):
        lab = self.lab("only-write", more=f"  retention: {KEEP}\n")
        self.assertEqual(lab.ssh(lab.user(), "echo written").returncode, 0)
        self.wait_shipped(lab, "only-write")
        key = "/only-write/" + self.s3.keys_of("only-write", "gateway/lab/journal/")[0]
        body, headers = self.s3.must("GET", key)
        version = "versionId=" + headers["x-amz-version-id"]
        stolen = self.store.s3(rgw.WRITER)
        for method, path, query, more in (("GET", key, "", {}), ("HEAD", key, "", {}), ("GET", key, version, {}), ("DELETE", key, "", {}), ("DELETE", key, version, {}),
                                          ("DELETE", key, version, {"x-amz-bypass-governance-retention": "true"}), ("GET", "/only-write", "list-type=2", {}), ("GET", "/only-write", "versions=", {}),
                                          ("DELETE", "/only-write", "", {}), ("PUT", "/only-write", "policy=", {})):
            status, _, _ = stolen.call(method, path, query, headers=more, body=b"{}" if method == "PUT" else b"")
            self.assertEqual(status, 403, (method, path, query))
        # This store puts a newer version over it all the same: the one under lock stands, and what lies over it is found.
        status, _, headers = stolen.call("PUT", key, body=b"other", headers={"if-none-match": "*", "x-amz-acl": "bucket-owner-full-control"})
        self.assertIn(status, (200, 412))
        self.assertEqual(self.s3.must("GET", key, query=version)[0], body, "what was shipped stands")
        if status == 200:
            done = self.verify(lab, "--store", "configured")
            self.assertEqual(done.returncode, 8, done.stderr)
            self.s3.must("DELETE", key, query="versionId=" + headers["x-amz-version-id"])
        self.assertEqual(self.verify(lab, "--store", "configured").returncode, 0)

    @unittest.skipUnless(shutil.which("patchelf") and shutil.which("cc"), "needs patchelf and a C compiler")
    def test_a_clock_that_differs_is_named_with_its_seconds(self):
        from test_clock import with_stepped_clock
        usual = lab_module.BIN
        programs, clock = with_stepped_clock(usual)
        self.addCleanup(shutil.rmtree, programs, ignore_errors=True)
        self.addCleanup(setattr, lab_module, "BIN", usual)
        lab_module.BIN = programs
        clock.write_bytes(struct.pack("<q", -3600))
        lab = self.lab("skewed")
        wait_for(lambda: lab_events(lab, "store.unreachable"), 20, 0.5)  # its own events want to go there
        said = json.dumps(lab_events(lab, "store.unreachable"))
        found = re.search(r"the clocks differ by (\d+) s \(this machine is behind\): set the clock", said)
        self.assertTrue(found and 3590 <= int(found[1]) <= 3660, said)
        self.assertEqual(self.shipped_journal("skewed"), 0)
        with open(clock, "r+b") as file:
            file.write(bytes(8))
        self.wait_shipped(lab, "skewed", 30)

    def test_expired_recordings_may_go_and_nothing_else(self):
        lab = self.lab("expired", targets=2, more="  retention: 1h\n  retention_rules: [\"target:target2=12s\"]\n", recording="  checkpoint_every: 1s\n")
        self.assertEqual(lab.ssh("engineer+target1", "echo long").returncode, 0)
        self.assertEqual(lab.ssh("engineer+target2", "echo short").returncode, 0)
        self.wait_shipped(lab, "expired")

        def until(key):
            return self.s3.must("HEAD", "/expired/" + key)[1]["x-amz-object-lock-retain-until-date"][:19]
        keys = self.s3.keys_of("expired", "gateway/lab/journal/")
        hour = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(time.time() + 600))
        short = [key for key in keys if until(key) < hour]
        self.assertTrue(short and len(short) < len(keys), keys)

        def remove(key):
            version = self.s3.must("HEAD", "/expired/" + key)[1]["x-amz-version-id"]
            return self.s3.call("DELETE", "/expired/" + key, "versionId=" + version)[0]
        self.assertEqual(remove(short[0]), 403, "still held")
        wait_for(lambda: lab_events(lab, "retention.expired"), 40, 0.5)
        before = lab_events(lab, "recording.retention")
        self.assertEqual(len(before), 2, before)
        expired = max(event["until_us"] for event in lab_events(lab, "retention.expired"))
        wait_for(lambda: all(time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime()) > until(key) for key in short), 40, 0.5)
        self.assertTrue(before and expired > 0)
        for key in short:
            self.assertEqual(remove(key), 204, "its time has ended: nobody need bypass anything")
        wait_for(lambda: self.verify(lab, "--store", "configured").returncode == 0, 30, 1)
        report = json.loads(self.verify(lab, "--store", "configured").stdout)
        self.assertIn("its time to be kept has ended", json.dumps(report["notices"]))
        self.assertFalse(report["findings"], report["findings"])
        # Removal before its time is a finding, whatever was announced.
        long = next(key for key in keys if key not in short)
        self.assertEqual(remove(long), 403)
        version = self.s3.must("HEAD", "/expired/" + long)[1]["x-amz-version-id"]
        self.s3.must("DELETE", "/expired/" + long, query="versionId=" + version, headers={"x-amz-bypass-governance-retention": "true"})
        self.assertEqual(self.verify(lab, "--store", "configured").returncode, 8)

    def test_doctor_finds_a_good_store_good(self):
        lab = self.lab("good", more=f"  retention: {KEEP}\n")
        doctor = lab.run_cli("-o", "json", "doctor")
        rows = {row["check"]: row["result"] for row in json.loads(doctor.stdout)}
        self.assertEqual({name: rows.get("store: " + name) for name in ("write", "read back", "lock", "no delete")},
                         {"write": "ok", "read back": "ok", "lock": "ok", "no delete": "ok"}, doctor.stdout)

    def test_each_target_and_each_role_has_its_own_time_to_be_kept(self):
        lab = self.lab("classes", targets=2, more=f"  retention: {KEEP}\n  retention_rules: [\"target:target2=30d\", \"role:pay*=60d\"]\n")
        role = f"  - {{name: payments, allow: [{{channels: [exec], targets: all, accounts: [{lab.account}]}}]}}\n"
        lab.apply(lab.default_policy(extra="  - {role: payments, principals: [approver]}\n").replace("bindings:\n", role + "bindings:\n"))
        self.assertEqual(lab.ssh("engineer+target1", "echo short").returncode, 0)
        self.assertEqual(lab.ssh("engineer+target2", "echo long").returncode, 0)
        self.assertEqual(lab.ssh("approver+target1", "echo longest", identity="approver").returncode, 0)
        time.sleep(2)
        self.wait_shipped(lab, "classes")
        days = set()
        for key in self.s3.keys_of("classes", "gateway/lab/journal/"):
            _, headers = self.s3.must("HEAD", "/classes/" + key)
            until = headers["x-amz-object-lock-retain-until-date"][:10]
            days.add(round((time.mktime(time.strptime(until, "%Y-%m-%d")) - time.time()) / 86400))
        # Everything else of the log is kept as long as the longest.
        self.assertTrue(any(d <= 3 for d in days) and any(29 <= d <= 31 for d in days) and any(d >= 59 for d in days), days)
        principals = {event["session"]: event["principal"] for event in lab_events(lab, "auth.succeeded")}
        keeps = {name: set() for name in principals.values()}
        for event in lab_events(lab, "recording.retention"):
            keeps[principals[event["session"]]].add(int(event["keep_seconds"]) // 86400)
        self.assertEqual(keeps["approver"], {60}, keeps)
        self.assertIn(30, keeps["engineer"])
        self.assertNotIn(60, keeps["engineer"])
        self.assertEqual(self.verify(lab, "--store", "configured").returncode, 0)


def lab_bin():
    from lab import BIN
    return BIN / "sallyport"


def lab_events(lab, name):
    """From the journal itself: what the recorder says of its own is nobody else's to tell."""
    found = []
    for path in sorted((lab.folder / "state" / "recorder" / "journal").glob("*.journal")):
        data, at = path.read_bytes(), 64
        while at + 24 <= len(data):
            _, _, size, kind, _ = struct.unpack_from("<IIIIQ", data, at)
            payload = data[at + 24:at + 24 + size]
            if kind == 2 and len(payload) == size:
                label, length, _, text = struct.unpack_from("<BHHI", payload, 51)
                rest = payload[60 + label:]
                if rest[:length].decode() == name:
                    found.append({"session": payload[60:60 + label].decode(), **json.loads(rest[length:length + text])})
            at += 24 + size
    return found


if __name__ == "__main__":
    unittest.main()
