"""A person at a terminal: a stock ssh client in a pty, keys in, screen text out. And a delay line for TCP."""
import fcntl, os, pty, random, re, select, shlex, signal, socket, struct, subprocess, tempfile, termios, threading, time


class Terminal:
    def __init__(self, command, columns=80, rows=24, env=None):
        self.pid, self.fd = pty.fork()
        if self.pid == 0:
            os.environ.update({"TERM": "xterm-256color", **(env or {})})
            os.execvp(command[0], [str(part) for part in command])
        fcntl.ioctl(self.fd, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))
        self.text = ""
        self.status = None

    def read(self, seconds=0.05):
        """What came within `seconds`; "" at the end."""
        if not select.select([self.fd], [], [], seconds)[0]:
            return None
        try:
            data = os.read(self.fd, 65536)
        except OSError:
            data = b""
        if data:
            self.text += data.decode(errors="replace")
        return data

    def send(self, keys):
        os.write(self.fd, keys.encode() if isinstance(keys, str) else keys)

    def mark(self):
        return len(self.text)

    def expect(self, pattern, since=0, seconds=15):
        end = time.monotonic() + seconds
        while True:
            found = re.search(pattern, plain(self.text[since:]), re.S)
            if found:
                return found
            if time.monotonic() > end:
                raise AssertionError(f"no {pattern!r} within {seconds} s in:\n{plain(self.text[since:])[-1500:]}")
            if self.read() == b"":
                raise AssertionError(f"the terminal ended before {pattern!r}:\n{plain(self.text[since:])[-1500:]}")

    def line(self, keys, expect, seconds=15):
        """Sends keys, waits for a text that comes after them."""
        since = self.mark()
        self.send(keys)
        return self.expect(expect, since, seconds)

    def quiet(self, seconds=0.3):
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            if self.read(0.02) == b"":
                return

    def wait_end(self, seconds=10):
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            if self.read(0.1) == b"":
                break
        return self.close()

    def close(self):
        if self.status is None:
            try:
                os.kill(self.pid, signal.SIGKILL)
            except OSError:
                pass
            _, self.status = os.waitpid(self.pid, 0)
            os.close(self.fd)
        return self.status


class Tmux:
    """A person in front of a real terminal emulator: tmux here on this side runs the client, keys go in, its screen is read."""

    def __init__(self, command, columns=100, rows=30):
        self.folder = tempfile.mkdtemp(prefix="sp-tmux-", dir="/tmp")
        with open(f"{self.folder}/conf", "w") as conf:
            conf.write("set -g status off\nset -g escape-time 0\nset -g remain-on-exit on\nset -g history-limit 5000\n")
        self.tmux("-f", f"{self.folder}/conf", "new-session", "-d", "-x", str(columns), "-y", str(rows), " ".join(shlex.quote(str(part)) for part in command))

    def tmux(self, *arguments):
        return subprocess.run(["tmux", "-u", "-S", f"{self.folder}/socket", *arguments], check=True, capture_output=True, timeout=20,
                              env={**os.environ, "TERM": "xterm-256color"}).stdout.decode(errors="replace")

    def screen(self):
        """What was shown since the start, without blank rows at its end."""
        return self.tmux("capture-pane", "-p", "-J", "-S", "-").rstrip()

    def type(self, text):
        if text:
            self.tmux("send-keys", "-l", text[:-1] + "\\;" if text.endswith(";") else text)  # tmux ends its own command at a last semicolon

    def keys(self, *names):
        """By name: Enter, Up, C-c, Escape."""
        self.tmux("send-keys", *names)

    def expect(self, pattern, seconds=15):
        end = time.monotonic() + seconds
        while True:
            shown = self.screen()
            found = re.search(pattern, shown, re.S)
            if found:
                return found
            if time.monotonic() > end:
                raise AssertionError(f"no {pattern!r} within {seconds} s on the screen:\n{shown[-2000:]}")
            time.sleep(0.05)

    def clear(self):
        """Forgets what was shown; the row of the cursor stays."""
        self.tmux("send-keys", "-R")
        self.tmux("clear-history")

    def enter(self, text, expect, seconds=15):
        """Types a line and waits for rows that the screen did not have before Enter."""
        self.type(text)
        time.sleep(0.15)
        count = len(re.findall(expect, self.screen(), re.S | re.M))
        self.keys("Enter")
        end = time.monotonic() + seconds
        while len(re.findall(expect, self.screen(), re.S | re.M)) <= count:
            if time.monotonic() > end:
                raise AssertionError(f"no new {expect!r} within {seconds} s after {text!r} on the screen:\n{self.screen()[-2000:]}")
            time.sleep(0.05)

    def close(self):
        try:
            self.tmux("kill-server")
        except subprocess.SubprocessError:
            pass
        subprocess.run(["rm", "-rf", self.folder], check=False)


def plain(text):
    """Without escape sequences."""
    return re.sub(r"\x1b\][^\x07\x1b]*(\x07|\x1b\\)|\x1b\[[0-9;?<>=]*[ -/]*[@-~]|\x1b[()][AB0]|\x1b[=>78c]|[\x00\x07\x0f\x0e]", "", text)


class DelayLine:
    """Forwards TCP with a delay in each direction, jitter of a quarter of it, and packets cut anywhere; order is kept."""

    def __init__(self, port, rtt_ms, seed=1):
        self.to, self.delay = port, rtt_ms / 2000
        self.random = random.Random(seed)
        self.server = socket.create_server(("127.0.0.1", 0))
        self.port = self.server.getsockname()[1]
        self.sockets = []
        threading.Thread(target=self.accept, daemon=True).start()

    def accept(self):
        while True:
            try:
                client, _ = self.server.accept()
            except OSError:
                return
            target = socket.create_connection(("127.0.0.1", self.to))
            for s in (client, target):
                s.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self.sockets += [client, target]
            for a, b in ((client, target), (target, client)):
                threading.Thread(target=self.pump, args=(a, b), daemon=True).start()

    def pump(self, source, sink):
        queue, last, ended = [], 0.0, False
        try:
            while True:
                now = time.monotonic()
                while queue and queue[0][0] <= now:
                    sink.sendall(queue.pop(0)[1])
                if ended and not queue:
                    sink.shutdown(socket.SHUT_WR)
                    return
                wait = max(0, queue[0][0] - now) if queue else None
                if ended:
                    time.sleep(wait)
                    continue
                if not select.select([source], [], [], wait)[0]:
                    continue
                data = source.recv(65536)
                ended = not data
                while data:
                    size = len(data) if self.delay == 0 or len(data) > 4096 else self.random.randint(1, len(data))
                    last = max(last, time.monotonic() + self.delay * self.random.uniform(0.75, 1.25))
                    queue.append((last, data[:size]))
                    data = data[size:]
        except OSError:
            for s in (source, sink):
                s.close()

    def close(self):
        self.server.close()
        for s in self.sockets:
            s.close()
