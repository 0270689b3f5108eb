"""What the gateway tells things to: a webhook receiver and an SMTP server, on threads, on loopback. Both can be told to fail first."""
import hashlib, hmac, http.server, socketserver, threading


class Webhooks:
    """Keeps (headers, body) of every POST; the first `fail` ones are answered with 503."""

    def __init__(self, fail=0):
        self.got, self.refused, self.left = [], [], fail
        outer = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_POST(self):
                body = self.rfile.read(int(self.headers["Content-Length"]))
                fails = outer.left > 0
                outer.left -= 1
                (outer.refused if fails else outer.got).append((dict(self.headers), body))
                self.send_response(503 if fails else 204)
                self.end_headers()

            def log_message(self, *_):
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}/hook"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def stop(self):
        self.server.shutdown()
        self.server.server_close()


def signature_holds(headers, body, key):
    parts = dict(part.split("=", 1) for part in headers["Sallyport-Signature"].split(","))
    return hmac.compare_digest(parts["v1"], hmac.new(key, parts["t"].encode() + b"." + body, hashlib.sha256).hexdigest())


class Mail:
    """An SMTP server (RFC 5321) that keeps (from, to, text) of each message; the first `fail` ones get 451."""

    def __init__(self, fail=0):
        self.got, self.left = [], fail
        outer = self

        class Handler(socketserver.StreamRequestHandler):
            def say(self, text):
                self.wfile.write(text.encode() + b"\r\n")

            def handle(self):
                sender, to = "", []
                self.say("220 test ESMTP")
                for line in iter(self.rfile.readline, b""):
                    word = line.decode().strip()
                    verb = word.upper()
                    if verb.startswith("EHLO") or verb.startswith("HELO"):
                        self.say("250 test")
                    elif verb.startswith("MAIL FROM:"):
                        if outer.left > 0:
                            outer.left -= 1
                            self.say("451 try again")
                            continue
                        sender = word[10:].split()[0].strip("<>")
                        self.say("250 ok")
                    elif verb.startswith("RCPT TO:"):
                        to.append(word[8:].strip("<> "))
                        self.say("250 ok")
                    elif verb == "DATA":
                        self.say("354 go on")
                        lines = []
                        for part in iter(self.rfile.readline, b".\r\n"):
                            if part == b"":
                                return
                            lines.append(part[1:] if part.startswith(b".") else part)
                        outer.got.append((sender, to, b"".join(lines).decode()))
                        self.say("250 taken")
                    elif verb == "QUIT":
                        self.say("221 bye")
                        return
                    else:
                        self.say("502 no")

        class Server(socketserver.ThreadingTCPServer):
            allow_reuse_address = True
            daemon_threads = True
        self.server = Server(("127.0.0.1", 0), Handler)
        self.url = f"smtp://127.0.0.1:{self.server.server_address[1]}"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def stop(self):
        self.server.shutdown()
        self.server.server_close()
