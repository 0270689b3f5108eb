"""OpenID providers on loopback, for tests only: the real one (npm oidc-provider), and a bent one that signs what a test wants."""
import base64, fcntl, html, http.client, http.cookiejar, http.server, json, os, pathlib, re, shutil, ssl, subprocess, threading, time, urllib.error, urllib.parse, urllib.request

from fleet import free_port, wait_for

HERE = pathlib.Path(__file__).resolve().parent / "oidc"
CLIENT, SECRET = "gateway", "a throw-away secret of the tests"


def missing():
    """Why the real provider cannot run here; empty: it can. Its package is fetched once, exactly as the lockfile names it."""
    if not shutil.which("node") or not shutil.which("npm"):
        return "node and npm are not installed"
    with open(HERE / "package.json") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if (HERE / "node_modules/oidc-provider").is_dir():
            return ""
        try:
            done = subprocess.run(["npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund"], cwd=HERE, capture_output=True, timeout=180)
        except subprocess.TimeoutExpired:
            return "npm ci did not end"
        return "" if done.returncode == 0 else "oidc-provider cannot be fetched (npm ci in tests/services/oidc)"


def certificate(folder, name="oidc"):
    pem, key = folder / f"{name}.pem", folder / f"{name}.key"
    subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "30", "-subj", "/CN=localhost",
                    "-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1", "-keyout", key, "-out", pem], check=True, capture_output=True, timeout=30)
    return pem, key


class Provider:
    """The real one. `accounts` may be changed at any time with set()."""

    def __init__(self, folder, redirect_uri, accounts, port=None):
        self.folder = pathlib.Path(folder)
        self.folder.mkdir(parents=True, exist_ok=True)
        self.port, self.redirect_uri, self.process = port or free_port(), redirect_uri, None
        self.issuer = f"https://localhost:{self.port}"
        self.ca, self.key = certificate(self.folder)
        self.folder.chmod(0o755)
        self.accounts = accounts
        self.set()

    def set(self, **accounts):
        self.accounts.update(accounts)
        fresh = self.folder / "accounts.new"
        fresh.write_text(json.dumps(self.accounts))
        fresh.rename(self.folder / "accounts.json")

    def start(self):
        log = open(self.folder / "provider.log", "ab")
        self.process = subprocess.Popen(["node", HERE / "provider.mjs", str(self.port), self.redirect_uri, self.ca, self.key, self.folder / "accounts.json"],
                                        stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True)
        log.close()

        def up():
            if self.process.poll() is not None:
                raise RuntimeError((self.folder / "provider.log").read_text()[-2000:])
            try:
                urllib.request.urlopen(self.issuer + "/.well-known/openid-configuration", context=ssl.create_default_context(cafile=self.ca), timeout=5).close()
                return True
            except OSError:
                return False
        wait_for(up, 60)

    def stop(self):
        if self.process and self.process.poll() is None:
            self.process.terminate()
            try:
                self.process.wait(10)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
        self.process = None


class Visitor:
    """A person's browser without a screen: follows, keeps cookies, fills the provider's forms."""

    def __init__(self, *cas):
        self.tls = ssl.create_default_context()
        for ca in cas:
            self.tls.load_verify_locations(ca)
        self.cookies = http.cookiejar.CookieJar()

        class Stay(urllib.request.HTTPRedirectHandler):
            def redirect_request(self, *_):
                return None
        self.opener = urllib.request.build_opener(urllib.request.HTTPSHandler(context=self.tls), urllib.request.HTTPCookieProcessor(self.cookies), Stay)

    def call(self, url, form=None, until=()):
        """(address, status, text) of where it ends; stops in front of an address that begins with one of `until`."""
        for _ in range(20):
            data = None if form is None else urllib.parse.urlencode(form).encode()
            try:
                answer = self.opener.open(urllib.request.Request(url, data=data), timeout=20)
            except urllib.error.HTTPError as error:
                answer = error
            with answer:
                status, text, to = answer.status, answer.read().decode(errors="replace"), answer.headers.get("Location")
            if status not in (301, 302, 303, 307) or not to:
                return url, status, text
            url, form = urllib.parse.urljoin(url, to), None
            if any(url.startswith(one) for one in until):
                return url, status, ""
        raise AssertionError("the redirects do not end")

    def submit(self, where, text, until=(), **values):
        """Sends the first form of the page, with its hidden fields."""
        action = re.search(r'<form[^>]*action="([^"]+)"', text)
        fields = {name: html.unescape(value) for name, value in re.findall(r'<input type="hidden" name="([^"]+)" value="([^"]*)"', text)}
        to = urllib.parse.urljoin(where, html.unescape(action.group(1))) if action else where
        return self.call(to, {**fields, **values}, until)

    def sign_in(self, where, account, secret, until=()):
        where, status, text = self.call(where, until=until)
        if "The provider" in text:
            where, status, text = self.submit(where, text, until, account=account, secret=secret)
        return where, status, text

    def use_code(self, full_address, account, secret, answer=None):
        """The device flow's page: the code is in the address; confirm, sign in."""
        where, status, text = self.call(full_address)
        for _ in range(6):
            if "<form" not in text:
                break
            if "The provider" in text:
                where, status, text = self.submit(where, text, account=account, secret=secret)
            elif "<title>Confirm" in text and answer == "no":
                return self.submit(where, text, abort="yes")
            else:
                where, status, text = self.submit(where, text)
        return where, status, text


def b64(data):
    return base64.urlsafe_b64encode(data if isinstance(data, bytes) else json.dumps(data).encode()).rstrip(b"=").decode()


class BentProvider:
    """Speaks enough of the protocol, and says whatever a test puts into `bend`: a function from the right token's parts to the ones to send."""

    def __init__(self, folder):
        from cryptography.hazmat.primitives.asymmetric import ec, rsa
        self.folder = pathlib.Path(folder)
        self.folder.mkdir(parents=True, exist_ok=True)
        self.folder.chmod(0o755)
        self.ca, key = certificate(self.folder, "bent")
        self.keys = {"one": ec.generate_private_key(ec.SECP256R1()), "two": ec.generate_private_key(ec.SECP256R1()), "rsa": rsa.generate_private_key(65537, 2048)}
        self.published, self.nonces, self.fetched, self.bend, self.discovery, self.slow, self.huge = ["one", "rsa"], {}, 0, None, {}, 0, False
        bent = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def log_message(self, *_):
                pass

            def say(self, body, status=200):
                data = body if isinstance(body, bytes) else json.dumps(body).encode()
                self.send_response(status)
                self.send_header("content-type", "application/json")
                self.send_header("content-length", str(len(data)))
                self.end_headers()
                try:
                    self.wfile.write(data)
                except OSError:
                    pass

            def do_GET(self):
                time.sleep(bent.slow)
                if self.path == "/.well-known/openid-configuration":
                    return self.say({"issuer": bent.issuer, "authorization_endpoint": bent.issuer + "/auth", "token_endpoint": bent.issuer + "/token",
                                     "jwks_uri": bent.issuer + "/keys", "device_authorization_endpoint": bent.issuer + "/device", **bent.discovery})
                if self.path == "/keys":
                    bent.fetched += 1
                    return self.say(b"x" * 400_000 if bent.huge else {"keys": [bent.public(name) for name in bent.published]})
                self.say({"error": "not here"}, 404)

            def do_POST(self):
                form = dict(urllib.parse.parse_qsl(self.rfile.read(int(self.headers["content-length"])).decode()))
                if self.path == "/device":
                    return self.say({"device_code": "d", "user_code": "ABCD-EFGH", "verification_uri": bent.issuer + "/enter", "expires_in": 600, "interval": 1})
                if self.path != "/token" or form.get("code") not in (None, "good"):
                    return self.say({"error": "invalid_grant"}, 400)
                self.say({"access_token": "an access token", "token_type": "Bearer", "id_token": bent.token()})
        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        tls.load_cert_chain(self.ca, key)
        self.server.socket = tls.wrap_socket(self.server.socket, server_side=True)
        self.issuer = f"https://localhost:{self.server.server_port}"
        threading.Thread(target=self.server.serve_forever, args=(0.1,), daemon=True).start()

    def public(self, name):
        numbers = self.keys[name].public_key().public_numbers()
        if name == "rsa":
            return {"kty": "RSA", "kid": name, "use": "sig", "n": b64(numbers.n.to_bytes(256, "big")), "e": b64(numbers.e.to_bytes(3, "big"))}
        return {"kty": "EC", "crv": "P-256", "kid": name, "use": "sig", "alg": "ES256", "x": b64(numbers.x.to_bytes(32, "big")), "y": b64(numbers.y.to_bytes(32, "big"))}

    def sign(self, name, header, claims):
        from cryptography.hazmat.primitives import hashes
        from cryptography.hazmat.primitives.asymmetric import ec, padding, utils
        data = f"{b64(header)}.{b64(claims)}"
        if name == "rsa":
            pss = padding.PSS(padding.MGF1(hashes.SHA256()), 32) if header["alg"] == "PS256" else padding.PKCS1v15()
            return data + "." + b64(self.keys[name].sign(data.encode(), pss, hashes.SHA256()))
        r, s = utils.decode_dss_signature(self.keys[name].sign(data.encode(), ec.ECDSA(hashes.SHA256())))
        return data + "." + b64(r.to_bytes(32, "big") + s.to_bytes(32, "big"))

    def token(self):
        now = int(time.time())
        header = {"alg": "ES256", "kid": "one"}
        claims = {"iss": self.issuer, "aud": CLIENT, "sub": "s-1", "exp": now + 300, "iat": now, "auth_time": now, "preferred_username": "engineer", "nonce": self.nonces.get("now", "")}
        sign = self.sign
        if self.bend:
            return self.bend(header, claims, sign)
        return sign("one", header, claims)

    def stop(self):
        self.server.shutdown()
        self.server.server_close()
