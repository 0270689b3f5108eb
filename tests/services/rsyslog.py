"""A real rsyslogd on loopback that takes RFC 5424 over TLS with client certificates and writes one JSON line for each message."""
import json, pathlib, shutil, socket, subprocess, time


def why_not():
    if not shutil.which("rsyslogd"):
        return "rsyslogd is not installed: script/bootstrap --test installs it"
    if not list(pathlib.Path("/usr/lib").glob("*/rsyslog/lmnsd_gtls.so")):
        return "rsyslog-gnutls is not installed: script/bootstrap --test installs it"
    return ""


class Rsyslog:
    def __init__(self, folder):
        self.folder = pathlib.Path(folder)

    def certificate(self, name):
        f = self.folder
        run = lambda *command: subprocess.run(command, check=True, capture_output=True)
        run("openssl", "req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-subj", f"/CN={name}.test", "-keyout", f / f"{name}.key", "-out", f / f"{name}.csr")
        (f / "san").write_text(f"subjectAltName=DNS:{name}.test,DNS:localhost,IP:127.0.0.1\n")
        run("openssl", "x509", "-req", "-in", f / f"{name}.csr", "-CA", f / "ca.crt", "-CAkey", f / "ca.key", "-CAcreateserial", "-days", "30", "-out", f / f"{name}.crt", "-extfile", f / "san")

    def start(self):
        f = self.folder
        f.mkdir(parents=True)
        subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "30", "-subj", "/CN=siem-ca", "-keyout", f / "ca.key", "-out", f / "ca.crt"],
                       check=True, capture_output=True)
        for name in ("server", "client"):
            self.certificate(name)
        with socket.socket() as s:
            s.bind(("127.0.0.1", 0))
            self.port = s.getsockname()[1]
        self.out = f / "out.jsonl"
        self.out.touch()
        (f / "rsyslog.conf").write_text(f"""
global(workDirectory="{f}" defaultNetstreamDriverCAFile="{f}/ca.crt" defaultNetstreamDriverCertFile="{f}/server.crt" defaultNetstreamDriverKeyFile="{f}/server.key")
module(load="imtcp" StreamDriver.Name="gtls" StreamDriver.Mode="1" StreamDriver.AuthMode="x509/name" PermittedPeer=["client.test"])
template(name="line" type="list" option.jsonf="on") {{
  property(outname="pri" name="pri" format="jsonf") property(outname="host" name="hostname" format="jsonf") property(outname="app" name="app-name" format="jsonf")
  property(outname="id" name="msgid" format="jsonf") property(outname="message" name="msg" format="jsonf") }}
ruleset(name="in") {{ action(type="omfile" file="{self.out}" template="line" flushOnTXEnd="on") }}
input(type="imtcp" port="{self.port}" address="127.0.0.1" ruleset="in")
""")
        self.log = open(f / "log", "wb")
        self.process = subprocess.Popen(["rsyslogd", "-n", "-f", f / "rsyslog.conf", "-i", f / "pid"], stdin=subprocess.DEVNULL, stdout=self.log, stderr=self.log)
        for _ in range(200):
            with socket.socket() as s:
                if s.connect_ex(("127.0.0.1", self.port)) == 0:
                    return self
            time.sleep(0.05)
        raise TimeoutError((f / "log").read_text())

    def messages(self):
        return [json.loads(line) for line in self.out.read_text().splitlines() if line]

    def stop(self):
        self.process.kill()
        self.process.wait()
        self.log.close()
