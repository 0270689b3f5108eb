"""A real RFC 3161 time stamping authority on loopback: `openssl ts` behind HTTP. For tests only."""
import http.server, pathlib, subprocess, threading


class Tsa:
    def __init__(self, folder):
        self.folder = pathlib.Path(folder)
        self.folder.mkdir(parents=True, exist_ok=True)
        self.ca, self.stamped, self.refuse = self.folder / "ca.pem", 0, False
        (self.folder / "extensions").write_text("[tsa]\nextendedKeyUsage=critical,timeStamping\nbasicConstraints=critical,CA:FALSE\n")
        (self.folder / "ts.cnf").write_text(f"""[tsa]
default_tsa = one
[one]
dir = {self.folder}
serial = $dir/serial
signer_cert = $dir/tsa.pem
signer_key = $dir/tsa.key
certs = $dir/ca.pem
signer_digest = sha256
default_policy = 1.2.3.4.1
digests = sha256
accuracy = secs:1
ordering = no
tsa_name = yes
ess_cert_id_alg = sha256
""")
        (self.folder / "serial").write_text("01\n")
        run = self.run
        run("req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "30", "-subj", "/CN=test time CA", "-keyout", "ca.key", "-out", "ca.pem")
        run("req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-subj", "/CN=test TSA", "-keyout", "tsa.key", "-out", "tsa.csr")
        run("x509", "-req", "-in", "tsa.csr", "-CA", "ca.pem", "-CAkey", "ca.key", "-CAcreateserial", "-days", "30", "-extfile", "extensions", "-extensions", "tsa", "-out", "tsa.pem")
        tsa = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def log_message(self, *_):
                pass

            def do_POST(self):
                query = self.rfile.read(int(self.headers["content-length"]))
                if tsa.refuse or self.headers["content-type"] != "application/timestamp-query":
                    return self.send_error(503)
                (tsa.folder / "query").write_bytes(query)
                tsa.run("ts", "-reply", "-config", "ts.cnf", "-queryfile", "query", "-out", "answer")
                answer = (tsa.folder / "answer").read_bytes()
                tsa.stamped += 1
                self.send_response(200)
                self.send_header("content-type", "application/timestamp-reply")
                self.send_header("content-length", str(len(answer)))
                self.end_headers()
                self.wfile.write(answer)
        self.server = http.server.HTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}/stamp"
        threading.Thread(target=self.server.serve_forever, args=(0.1,), daemon=True).start()

    def run(self, *words):
        subprocess.run(["openssl", *words], cwd=self.folder, check=True, capture_output=True, timeout=30)

    def stop(self):
        self.server.shutdown()
        self.server.server_close()
