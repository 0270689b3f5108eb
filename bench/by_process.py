"""CPU of the gateway by process for a number of connections (`bench/run --by-process 200`), and its memory for a number of
shells (`bench/run --shells 200 [--guard]`)."""
import asyncio, os, pathlib, subprocess, time

TICK = os.sysconf("SC_CLK_TCK")


def children_of(root):
    parents = {}
    for entry in os.listdir("/proc"):
        if entry.isdigit():
            try:
                fields = pathlib.Path(f"/proc/{entry}/stat").read_text().rsplit(")", 1)[1].split()
            except OSError:
                continue
            parents.setdefault(int(fields[1]), []).append(int(entry))
    found, todo = [], [root]
    while todo:
        pid = todo.pop()
        found.append(pid)
        todo += parents.get(pid, [])
    return found


def own_cpu(pid):
    """Seconds on a processor of all threads, exact to the nanosecond where the kernel says so."""
    total = 0
    for task in os.listdir(f"/proc/{pid}/task"):
        try:
            total += int(pathlib.Path(f"/proc/{pid}/task/{task}/schedstat").read_text().split()[0])
        except OSError:
            pass
    return total / 1e9


def reaped_cpu(pid):
    fields = pathlib.Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[13]) + int(fields[14])) / TICK


def role_of(pid):
    words = pathlib.Path(f"/proc/{pid}/cmdline").read_bytes().decode(errors="replace").split("\0")
    name = pathlib.Path(words[0]).name if words[0] else "?"
    if name == "sallyport-session":
        return "listener"
    return name if name != "sallyport" else words[2] if words[1] == "service" else "keeper"


def snapshot(root):
    roles = {}
    for pid in children_of(root):
        try:
            role = role_of(pid)
            roles[role] = roles.get(role, 0) + own_cpu(pid)
            if pid != root:
                reaped = "sessions" if role == "listener" else "ended children"
                roles[reaped] = roles.get(reaped, 0) + reaped_cpu(pid)
        except OSError:
            pass
    return roles


def connect(endpoint, count):
    command = ["ssh", "-F", "none", "-o", "BatchMode=yes", "-o", "StrictHostKeyChecking=no", "-o", "UserKnownHostsFile=/dev/null", "-o", "LogLevel=ERROR",
               "-o", "ConnectTimeout=20", "-o", "KexAlgorithms=curve25519-sha256", "-o", "IdentitiesOnly=yes", "-i", endpoint["identity"],
               "-p", str(endpoint["port"]), f"{endpoint['user']}@{endpoint['host']}", "true"]
    for _ in range(count):
        subprocess.run(command, check=True, stdin=subprocess.DEVNULL, timeout=60)


def measure(endpoints, pids, count, rounds=3):
    """Prints the CPU milliseconds per connection of each process, in rounds that take turns; returns the medians of the sums."""
    sums = {name: [] for name in pids}
    for _ in range(rounds):
        for name, pid in pids.items():
            before = snapshot(pid)
            connect(endpoints[name], count)
            time.sleep(1.5)  # rows and events that wait for company
            after = snapshot(pid)
            used = {role: (after[role] - before.get(role, 0)) * 1000 / count for role in after}
            sums[name].append(sum(used.values()))
            print(f"{name:10} {sum(used.values()):6.2f} ms a connection: " + ", ".join(f"{role} {ms:.2f}" for role, ms in sorted(used.items(), key=lambda e: -e[1])), flush=True)
    medians = {name: sorted(values)[len(values) // 2] for name, values in sums.items()}
    print("medians: " + ", ".join(f"{name} {ms:.2f} ms" for name, ms in medians.items()))
    return medians


def pss_of(root):
    total = 0
    for pid in children_of(root):
        try:
            lines = pathlib.Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
        except OSError:
            continue
        total += next((int(line.split()[1]) for line in lines if line.startswith("Pss:")), 0)
    return total


async def open_shell(asyncssh, endpoint):
    connection = await asyncssh.connect(endpoint["host"], int(endpoint["port"]), username=endpoint["user"], known_hosts=None,
                                        client_keys=[endpoint["identity"]], config=None, agent_path=None, connect_timeout=60, login_timeout=90)
    shell = await connection.create_process(term_type="xterm", term_size=(80, 24), encoding=None, request_pty="force")
    for line in (b"PS1='$ '; ls -la /usr/bin | head -60\r", b"printf '\\033[1;32mREA%s\\033[0m\\n' DY\r"):
        shell.stdin.write(line)
    seen = b""
    while b"READY" not in seen:
        part = await asyncio.wait_for(shell.stdout.read(4096), 60)
        if not part:
            raise RuntimeError(f"the shell ended: {seen[-300:]}")
        seen += part
    return connection, shell


async def hold(endpoint, pid, count):
    import asyncssh
    before, opened = pss_of(pid), []
    for start in range(0, count, 4):
        opened += await asyncio.gather(*(open_shell(asyncssh, endpoint) for _ in range(min(4, count - start))))
    await asyncio.sleep(8)  # they rest and give back what they do not need
    after, cpu = pss_of(pid), snapshot(pid)
    await asyncio.sleep(20)
    idle = sum(snapshot(pid).values()) - sum(cpu.values())
    print(f"{count} shells: {(after - before) / count:.0f} KiB PSS a session, idle {idle * 5:.2f} % of a processor")
    for connection, _ in opened:
        connection.close()


def memory(endpoint, pid, count):
    """PSS a session of shells in which something was typed and shown, and their idle CPU."""
    asyncio.run(hold(endpoint, pid, count))
