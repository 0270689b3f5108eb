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
        self.assertEqual([event for event in first if event["type_uid"] != event["class_uid"] * 100 + event["activity_id"]], [])
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
        running.kill()  # and the exporter dies as well
        running.wait()
        again = Receiver(first.port)
        self.addCleanup(again.stop)
        self.follow("--to", url, "--webhook-key-file", key)
        seen = lambda: {event["metadata"]["uid"] for event in first.events() + again.events()}
        wait_for(lambda: any("while it is away" in json.dumps(event) for event in again.events()), 30, 0.1)
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
