"""The API of a lab's gateway over HTTPS, with the certificate that it made for itself."""
import http.client, json, pathlib, ssl


def trust(lab):
    return ssl.create_default_context(cafile=str(next(pathlib.Path(lab.folder / "state").rglob("admin_tls.pem"))))


def ask(port, tls, method, path, body=None, host="127.0.0.1", **headers):
    """(status, headers, the text); `body` becomes JSON, `if_match` the header If-Match."""
    connection = http.client.HTTPSConnection(host, port, context=tls, timeout=30)
    try:
        connection.request(method, path, body=None if body is None else json.dumps(body),
                           headers={"Content-Type": "application/json", **{name.replace("_", "-"): value for name, value in headers.items()}})
        answer = connection.getresponse()
        return answer.status, answer.headers, answer.read()
    finally:
        connection.close()


class AsBrowser:
    """For a suite with `port` and `tls` that calls as a page does: by its own origin, with the cookie and the mark of a session."""

    def call(self, method, path, body=None, session=None, **headers):
        if session:
            headers.update({"Cookie": session[0], "X-CSRF-Token": session[1]})
        status, answered, text = ask(self.port, self.tls, method, path, body, "localhost", **headers)
        return status, answered, json.loads(text)
