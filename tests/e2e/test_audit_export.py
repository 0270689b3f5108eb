"""Audit events leave for a SIEM: OCSF and CEF, a real rsyslogd over mutual TLS, a webhook; nothing is lost in an outage."""
import hashlib, hmac, http.server, json, os, pathlib, shutil, signal, socket, subprocess, tempfile, threading, time, unittest

from lab import BIN, Lab, ended, wait_for
import rsyslog


class Receiver:
    """A webhook receiver that keeps what it took and can be told to refuse."""

    def __init__(self, port=0):
        self.bodies, self.headers, self.refuse = [], [], 0
        receiver = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_POST(self):
                body = self.rfile.read(int(self.headers["Content-Length"]))
                if receiver.refuse > 0:
                    receiver.refuse -= 1
                    self.send_response(503)
                else:
                    receiver.bodies.append(body)
                    receiver.headers.append(dict(self.headers))
                    self.send_response(204)
                self.end_headers()

            def log_message(self, *_):
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", port), Handler)
        self.port = self.server.server_address[1]
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def events(self):
        return [json.loads(line) for body in list(self.bodies) for line in body.splitlines()]

    def stop(self):
        self.server.shutdown()
        self.server.server_close()


# What OCSF 1.3 says of the classes we use, with the profile `host`: required attributes, of which one at least, all that are known, and activities.
BASE = {"activity_id", "category_uid", "class_uid", "metadata", "severity_id", "time", "type_uid"}
KNOWN = BASE | {"activity_name", "category_name", "class_name", "message", "status_id", "status_code", "status_detail", "unmapped", "actor", "device", "src_endpoint"}
OTHER = {0, 99}
CLASSES = {3001: (3, {"user"}, set(), {"user"}, set(range(1, 13))),
           3002: (3, {"user"}, {"service", "dst_endpoint"}, {"user", "service", "dst_endpoint", "session", "auth_protocol", "auth_protocol_id"}, set(range(1, 6))),
           4007: (4, set(), {"src_endpoint", "dst_endpoint"}, {"dst_endpoint"}, set(range(1, 7))),
           6003: (6, {"actor", "api", "src_endpoint"}, set(), {"api", "dst_endpoint"}, set(range(1, 5)))}
# Objects: all attributes we may use with their types, the required ones, of which one at least.
OBJECTS = {"metadata": ({"version": str, "uid": str, "event_code": str, "sequence": int, "log_name": str, "original_time": str, "profiles": list, "product": dict}, {"version", "product"}, set()),
           "product": ({"name": str, "vendor_name": str, "version": str}, {"vendor_name"}, set()),
           "device": ({"hostname": str, "type_id": int, "type": str}, {"type_id"}, {"hostname"}),
           "actor": ({"user": dict, "session": dict}, set(), {"user", "session"}),
           "user": ({"name": str, "type": str, "type_id": int}, set(), {"name"}),
           "session": ({"uid": str}, set(), {"uid"}),
           "service": ({"name": str}, set(), {"name"}),
           "api": ({"operation": str}, {"operation"}, set()),
           "src_endpoint": ({"ip": str, "hostname": str, "name": str, "port": int}, set(), {"ip", "hostname", "name"}),
           "dst_endpoint": ({"ip": str, "hostname": str, "name": str, "port": int}, set(), {"ip", "hostname", "name"})}


def wrong_in(event):
    """What is wrong with one event by the tables above, as sentences."""
    wrong = []
    if event.get("class_uid") not in CLASSES:
        return [f"class {event.get('class_uid')}"]
    category, required, one_of, more, activities = CLASSES[event["class_uid"]]
    wrong += [f"{name} is missing" for name in (BASE | required) - set(event)]
    wrong += [f"{name} is no attribute of the class" for name in set(event) - KNOWN - more]
    if one_of and not one_of & set(event):
        wrong.append(f"none of {one_of}")
    for name, allowed in (("category_uid", {category}), ("activity_id", activities | OTHER), ("severity_id", set(range(7)) | {99}), ("status_id", {0, 1, 2, 99}),
                          ("type_uid", {event["class_uid"] * 100 + event.get("activity_id", 0)})):
        if name in event and event[name] not in allowed:
            wrong.append(f"{name} is {event[name]}")
    for name in ("activity_id", "status_id", "auth_protocol_id"):
        if event.get(name) == 99 and not event.get({"activity_id": "activity_name", "auth_protocol_id": "auth_protocol"}.get(name)):
            wrong.append(f"{name} is Other, and nothing says what")
    if not isinstance(event.get("time"), int) or not 10**12 < event["time"] < 10**13:
        wrong.append("time is not in milliseconds")

    def look(place, name, thing):
        types, needed, any_of = OBJECTS[name]
        wrong.extend(f"{place}.{key} is missing" for key in needed - set(thing))
        wrong.extend(f"{place}.{key} is unknown" for key in set(thing) - set(types))
        if any_of and not any(thing.get(key) for key in any_of):
            wrong.append(f"{place} has none of {any_of}")
        for key, value in thing.items():
            if key in types and type(value) is not types[key]:
                wrong.append(f"{place}.{key} is a {type(value).__name__}")
            elif value == "":
                wrong.append(f"{place}.{key} is empty")
            elif isinstance(value, dict):
                look(f"{place}.{key}", key, value)
    for name in OBJECTS:
        if isinstance(event.get(name), dict):
            look(name, name, event[name])
        elif name in event:
            wrong.append(f"{name} is no object")
    if not {"actor", "device"}.isdisjoint(event) and "host" not in event.get("metadata", {}).get("profiles", []):
        wrong.append("actor and device need the profile host")
    return wrong


class Export(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.lab = Lab(targets=1)
        assert cls.lab.ssh(cls.lab.user(), "echo one").returncode == 0

    @classmethod
    def tearDownClass(cls):
        cls.lab.stop()

    def setUp(self):
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="sp-export-", dir="/tmp"))
        self.addCleanup(shutil.rmtree, self.folder, True)
        self.cursor = self.folder / "cursor"

    def export(self, *words, **more):
        return self.lab.run_cli("audit", "export", *words, **more)

    def follow(self, *words):
        running = subprocess.Popen([BIN / "sallyport", "--config", self.lab.folder / "sallyport.yaml", "audit", "export", "--cursor", self.cursor, "--follow", *map(str, words)],
                                   stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
        self.addCleanup(ended, running)
        return running

    def ids(self):
        return [row["id"] for row in json.loads(self.lab.run_cli("events", "--limit", "0", "-o", "json", check=True).stdout)]

    def test_a_file_of_ocsf_lines_goes_on_where_it_stopped(self):
        out = self.folder / "out.jsonl"
        words = ["--to", f"file:{out}", "--cursor", self.cursor]
        self.assertEqual(self.export(*words, check=True).returncode, 0)
        first = [json.loads(line) for line in out.read_text().splitlines()]
        self.assertLessEqual({3002, 4007, 6003}, {event["class_uid"] for event in first})
        self.assertEqual(self.lab.ssh(self.lab.user(), "echo two").returncode, 0)
        self.lab.wait_event("session.ended")
        self.export(*words, check=True)
        uids = [json.loads(line)["metadata"]["uid"] for line in out.read_text().splitlines()]
        self.assertEqual(len(uids), len(set(uids)), "nothing twice without a fault")
        self.assertGreater(len(uids), len(first))
        everything = self.ids()
        self.assertEqual(uids, everything[:len(uids)])
        self.cursor.write_text("{}")
        broken = self.export(*words)
        self.assertNotEqual(broken.returncode, 0)
        self.assertIn(b"no cursor", broken.stderr)

    def test_every_event_is_what_the_schema_of_its_class_says(self):
        lab = self.lab
        lab.ssh(lab.user(), "exit 3")
        lab.ssh("nobody+deploy+target1", "true")
        lab.ssh(lab.user(), "true", identity="auditor")
        lab.run_cli("lock", "set", "--principal", "auditor", "--reason", "a test", check=True)
        lab.run_cli("lock", "remove", json.loads(lab.run_cli("lock", "list", "-o", "json", check=True).stdout)[0]["id"])
        lab.run_cli("apply", "-f", lab.folder / "policy", check=True)
        subprocess.run([BIN / "sallyport", "--config", lab.folder / "sallyport.yaml", "secret", "put", "pw/x"], input=b"long-enough-1", capture_output=True, timeout=30, check=True)
        lab.run_cli("sessions", check=True)
        lab.wait_event("secret.put")
        events = [json.loads(line) for line in self.export("--to", "-", check=True).stdout.splitlines()]
        self.assertEqual({event["class_uid"] for event in events}, set(CLASSES))
        self.assertGreater(len(events), 20)
        for event in events:
            with self.subTest(event["metadata"]["event_code"]):
                self.assertEqual(wrong_in(event), [], event)
        # The tables do see what is wrong.
        some = next(event for event in events if event["class_uid"] == 3002)
        for change in ({"user": None}, {"user": {"name": ""}}, {"remote_user": "x"}, {"severity_id": 9}, {"type_uid": 1}, {"time": 17}, {"metadata": {}}, {"activity_id": 77}, {"actor": "x"}):
            spoiled = {key: value for key, value in {**some, **change}.items() if value is not None}
            self.assertNotEqual(wrong_in(spoiled), [], change)

    def test_cef_is_one_line_for_each_event(self):
        lines = self.export("--to", "-", "--format", "cef", check=True).stdout.decode().splitlines()
        self.assertEqual([line for line in lines if not line.startswith("CEF:0|Sallyport|Sallyport|")], [])
        self.assertTrue([line for line in lines if "suser=engineer" in line and "dhost=target1" in line])

    def test_a_webhook_that_is_away_misses_nothing(self):
        key = self.folder / "key"
        key.write_text("sixteen bytes at least\n")
        first = Receiver()
        url = f"http://127.0.0.1:{first.port}/in"
        running = self.follow("--to", url, "--webhook-key-file", key)
        wait_for(lambda: len(first.events()) >= 5, 20, 0.1)
        headers, body = first.headers[0], first.bodies[0]
        stamp, signature = headers["Sallyport-Signature"].split(",")
        self.assertEqual(signature[3:], hmac.new(key.read_text().strip().encode(), stamp[2:].encode() + b"." + body, hashlib.sha256).hexdigest())
        first.refuse = 2
        first_seen = len(first.events())
        self.assertEqual(self.lab.ssh(self.lab.user(), "echo while it refuses").returncode, 0)
        wait_for(lambda: len(first.events()) > first_seen, 20, 0.1)
        first.stop()
        self.assertEqual(self.lab.ssh(self.lab.user(), "echo while it is away").returncode, 0)
        away = self.lab.wait_event("channel.decided", command="echo while it is away")[0]["id"]
        running.kill()  # and the exporter dies as well
        running.wait()
        again = Receiver(first.port)
        self.addCleanup(again.stop)
        self.follow("--to", url, "--webhook-key-file", key)
        seen = lambda: {event["metadata"]["uid"] for event in first.events() + again.events()}
        wait_for(lambda: any(event["metadata"]["uid"] == away for event in again.events()), 30, 0.1)
        self.assertNotIn("while it is away", json.dumps(again.events()), "what was run is sealed")
        everything = self.ids()
        wait_for(lambda: set(everything) <= seen(), 20, 0.2)
        other = self.export("--to", url, "--cursor", self.cursor, "--webhook-key-file", key)
        self.assertEqual(other.returncode, 6, "one cursor, one exporter")

    def test_without_follow_an_absent_receiver_is_a_failure(self):
        with socket.socket() as s:
            s.bind(("127.0.0.1", 0))
            port = s.getsockname()[1]
        self.assertEqual(self.export("--to", f"http://127.0.0.1:{port}/", "--cursor", self.cursor).returncode, 7)
        self.assertFalse(self.cursor.exists())

    @unittest.skipIf(rsyslog.why_not(), rsyslog.why_not())
    def test_a_real_syslog_server_gets_everything_over_mutual_tls_also_after_an_outage(self):
        server = rsyslog.Rsyslog(self.folder / "siem").start()
        self.addCleanup(lambda: server.stop())
        f = server.folder
        to = ["--to", f"syslog+tls://localhost:{server.port}", "--ca", f / "ca.crt"]
        self.assertEqual(self.export(*to).returncode, 2, "without a certificate of ours there is no mutual TLS")
        running = self.follow(*to, "--certificate", f / "client.crt", "--key", f / "client.key")
        wait_for(lambda: len(server.messages()) >= 5, 20, 0.2)
        self.assertEqual({message["app"] for message in server.messages()}, {"sallyport"})
        self.assertIn("auth.succeeded", {message["id"] for message in server.messages()})
        server.process.kill()
        server.process.wait()
        self.assertEqual(self.lab.ssh(self.lab.user(), "echo during the outage").returncode, 0)
        time.sleep(1)
        server.process = subprocess.Popen(["rsyslogd", "-n", "-f", f / "rsyslog.conf", "-i", f / "pid2"], stdin=subprocess.DEVNULL, stdout=server.log, stderr=server.log)
        seen = lambda: {json.loads(message["message"])["metadata"]["uid"] for message in server.messages()}
        everything = self.ids()
        wait_for(lambda: set(everything) <= seen(), 60, 0.3)
        running.send_signal(signal.SIGTERM)
        self.assertEqual(running.wait(10), 130)


if __name__ == "__main__":
    unittest.main()
