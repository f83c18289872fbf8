#!/usr/bin/env python3
"""Slow clients, too few descriptors and a password guesser, against the real
binary, while an honest site sends heartbeats.

    tests/long/hostile/slow.py [path/to/sitewarden]    (default: target/release/sitewarden)

Prints the figures and fails when one is missed. Uses loopback only: every
slow connection comes from an address of its own in 127.0.0.0/8, so that the
limit for each address does not hide what 2,000 addresses could do. Needs
`ulimit -n` of 5,000 for itself; takes about three minutes.
"""
import asyncio, concurrent.futures, json, multiprocessing, os, pathlib, re, resource, signal, socket, ssl, subprocess, sys, tempfile, time

BINARY = pathlib.Path(sys.argv[1] if len(sys.argv) > 1 else "target/release/sitewarden").resolve()
SLOW = 2000
LIMIT = 10            # seconds: every time limit below
misses = []
HEARTBEAT = json.dumps({"version": "1.0", "uptime_seconds": 1}).encode()


def figure(ok, text):
    print(f"{'ok  ' if ok else 'MISS'} {text}", flush=True)
    if not ok:
        misses.append(text)


class Server:
    def __init__(self, descriptors=None, settings="", idle=LIMIT):
        self.directory = pathlib.Path(tempfile.mkdtemp(prefix="sitewarden-hostile-"))
        config = self.directory / "sitewarden.toml"
        config.write_text(f'''
data_dir = "{self.directory}/data"
listen = ["127.0.0.1:0"]
metrics_listen = ""
[log]
level = "warn"
[limits]
handshake_seconds = {LIMIT}
header_seconds = {LIMIT}
body_seconds = {LIMIT}
write_seconds = {LIMIT}
idle_seconds = {idle}
heartbeats_per_hour = 0
{settings}
''')
        limit = (lambda: resource.setrlimit(resource.RLIMIT_NOFILE, (descriptors, descriptors))) if descriptors else None
        self.process = subprocess.Popen([BINARY, "serve", "--config", config], stdout=subprocess.PIPE,
                                        stderr=open(self.directory / "log", "wb"), preexec_fn=limit)
        for line in self.process.stdout:
            if match := re.search(rb"https://127.0.0.1:(\d+)", line):
                self.port = int(match[1])
                break
        self.password = (self.directory / "data/initial-admin-password").read_text().strip()
        self.tls = ssl.create_default_context(cafile=self.directory / "data/tls-certificate.pem")
        self.socket = self.directory / "data/control.sock"
        site = subprocess.run([BINARY, "site", "add", "--socket", self.socket, "--json", "--name", "A", "--email",
                               "a@example.com", "--expires", "2099-01-01T00:00:00Z"], capture_output=True, check=True)
        site = json.loads(site.stdout)
        site = site[0] if isinstance(site, list) else site
        self.heartbeat_head = (f"POST /api/heartbeat HTTP/1.1\r\nHost: localhost\r\nX-Site-ID: {site['site_id']}\r\n"
                               f"X-Site-Key: {site['secret_key']}\r\nContent-Type: application/json\r\n"
                               f"Content-Length: {len(HEARTBEAT)}\r\nConnection: close\r\n\r\n").encode()

    def stop(self):
        self.process.send_signal(signal.SIGTERM)
        figure(self.process.wait(40) == 0, "ends with 0 on SIGTERM")

    def memory_mb(self):
        status = pathlib.Path(f"/proc/{self.process.pid}/status").read_text()
        return int(re.search(r"VmRSS:\s+(\d+)", status)[1]) / 1024

    def cpu_seconds(self):
        fields = pathlib.Path(f"/proc/{self.process.pid}/stat").read_text().rsplit(")", 1)[1].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    async def ask(self, request, source="127.0.0.1"):
        """One request on a connection of its own: the status, or 0 without an answer."""
        try:
            async with asyncio.timeout(20):
                reader, writer = await asyncio.open_connection(
                    "127.0.0.1", self.port, ssl=self.tls, server_hostname="localhost", local_addr=(source, 0))
                writer.write(request)
                answer = await reader.read()
                writer.close()
                return int(answer[9:12])
        except (OSError, TimeoutError, ValueError):
            return 0

    async def heartbeats(self, seconds):
        """A steady stream, 20 a second: sorted times in ms, failures. Sent by a
        process of its own, which the slow clients do not slow down."""
        cafile = str(self.directory / "data/tls-certificate.pem")
        call = (steady, self.port, cafile, self.heartbeat_head + HEARTBEAT, seconds)
        return await asyncio.get_running_loop().run_in_executor(HONEST, *call)


def steady(port, cafile, request, seconds):
    context = ssl.create_default_context(cafile=cafile)
    times, failed = [], 0

    async def one():
        nonlocal failed
        begun = time.monotonic()
        try:
            async with asyncio.timeout(20):
                reader, writer = await asyncio.open_connection(
                    "127.0.0.1", port, ssl=context, server_hostname="localhost")
                writer.write(request)
                failed += not (await reader.read()).startswith(b"HTTP/1.1 200")
                writer.close()
        except (OSError, TimeoutError):
            failed += 1
        times.append((time.monotonic() - begun) * 1000)

    async def stream():
        running = []
        for _ in range(int(seconds * 20)):
            running.append(asyncio.create_task(one()))
            await asyncio.sleep(0.05)
        await asyncio.gather(*running)

    asyncio.run(stream())
    return sorted(times), failed


def p99(times):
    return times[min(len(times) - 1, int(len(times) * 0.99))]


def source(index):
    return f"127.{1 + index // 60000}.{index // 250 % 240 + 1}.{index % 250 + 1}"


class Slow:
    """One slow connection."""

    def __init__(self, server, kind, index):
        self.server, self.kind, self.index = server, kind, index
        self.closed = False

    async def run(self, stop):
        try:
            await self.hold(stop)
        except (OSError, ssl.SSLError, asyncio.IncompleteReadError):
            pass
        self.closed = True

    async def hold(self, stop):
        local = (source(self.index), 0)
        if self.kind == "stalled handshake":
            reader, writer = await asyncio.open_connection("127.0.0.1", self.server.port, local_addr=local)
            await self.drip(reader, writer, b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc", stop)
            return
        reader, writer = await asyncio.open_connection(
            "127.0.0.1", self.server.port, ssl=self.server.tls, server_hostname="localhost", local_addr=local,
            limit=1024, ssl_handshake_timeout=30)
        if self.kind == "slow read":
            writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            writer.transport.pause_reading()
            for _ in range(8):
                writer.write(b"GET /docs/swagger-ui-bundle.js HTTP/1.1\r\nHost: x\r\n\r\n")
            await stop.wait()
            # Whatever comes now, the end does too.
            writer.transport.resume_reading()
            while await reader.read(65536):
                pass
            return
        if self.kind == "slow head":
            await self.drip(reader, writer, b"GET /health HTTP/1.1\r\nHost: x\r\nX-A: ", stop)
        else:
            head = self.server.heartbeat_head.replace(b"Connection: close\r\n", b"")
            await self.drip(reader, writer, head, stop)

    async def drip(self, reader, writer, beginning, stop):
        """One byte a second until told to stop, then silence until closed."""
        writer.write(beginning)
        end = asyncio.create_task(reader.read())
        while not stop.is_set() and not end.done():
            await asyncio.wait([end, asyncio.create_task(stop.wait())], timeout=1, return_when=asyncio.FIRST_COMPLETED)
            if not end.done() and not stop.is_set():
                writer.write(b"x")
        await end


async def slow_clients(kind):
    server = Server()
    alone, failed_alone = await server.heartbeats(10)
    stop, held, tasks, index = asyncio.Event(), [], set(), 0

    async def keep_up():
        """As each is closed, another comes, so that there are always as many."""
        nonlocal index
        while not stop.is_set():
            living = [slow for slow in held if not slow.closed]
            held[:] = living
            for _ in range(min(50, SLOW - len(living))):
                slow = Slow(server, kind, index)
                index += 1
                held.append(slow)
                task = asyncio.create_task(slow.run(stop))
                tasks.add(task)
                task.add_done_callback(tasks.discard)
            await asyncio.sleep(0.1)

    keeper = asyncio.create_task(keep_up())
    while len([s for s in held if not s.closed]) < SLOW * 0.95:
        await asyncio.sleep(0.1)
    among, failed = await server.heartbeats(10)
    memory = server.memory_mb()
    stop.set()
    await keeper
    begun = time.monotonic()
    while connections(server) > 0 and time.monotonic() - begun < 3 * LIMIT:
        await asyncio.sleep(0.2)
    gone = time.monotonic() - begun
    for task in list(tasks):
        task.cancel()
    ratio = p99(among) / p99(alone)
    figure(failed == 0 and failed_alone == 0, f"{kind}: {len(among)} heartbeats among {SLOW}, {failed} failed ({index} slow ones came)")
    figure(ratio <= 5, f"{kind}: p99 {p99(among):.1f} ms, alone {p99(alone):.1f} ms: {ratio:.1f} times (at most 5)")
    figure(memory < 150, f"{kind}: memory {memory:.0f} MB (under 150)")
    figure(gone <= 2 * LIMIT, f"{kind}: all gone {gone:.1f} s after they stopped (at most {2 * LIMIT})")
    server.stop()


def connections(server):
    """Established connections that the server holds, by /proc/net/tcp."""
    port = f":{server.port:04X}"
    rows = pathlib.Path("/proc/net/tcp").read_text().splitlines()[1:]
    inodes = {row.split()[9] for row in rows if row.split()[1].endswith(port) and row.split()[3] != "0A"}
    held = 0
    for link in os.scandir(f"/proc/{server.process.pid}/fd"):
        try:
            target = os.readlink(link.path)
        except OSError:
            continue
        held += target.startswith("socket:[") and target[8:-1] in inodes
    return held


async def few_descriptors():
    server = Server(descriptors=256)
    sockets = []
    for index in range(1000):
        s = socket.socket()
        s.setblocking(False)
        s.bind((source(index), 0))
        try:
            s.connect(("127.0.0.1", server.port))
        except BlockingIOError:
            pass
        sockets.append(s)
    await asyncio.sleep(1)
    before, begun = server.cpu_seconds(), time.monotonic()
    waiting = time.monotonic() + LIMIT - 4
    answered = subprocess.run([BINARY, "site", "list", "--socket", server.socket, "--json"], capture_output=True)
    while time.monotonic() < waiting:
        await asyncio.sleep(0.1)
    share = 100 * (server.cpu_seconds() - before) / (time.monotonic() - begun)
    figure(answered.returncode == 0, "256 descriptors, 1,000 connections: the control socket answers")
    figure(share < 20, f"256 descriptors, 1,000 connections: {share:.1f} % of a core while they wait (under 20)")
    for s in sockets:
        s.close()
    begun = time.monotonic()
    while await server.ask(server.heartbeat_head + HEARTBEAT) != 200:
        await asyncio.sleep(0.05)
    took = time.monotonic() - begun
    figure(took <= 1, f"256 descriptors: a heartbeat is answered {took:.2f} s after they left (at most 1)")
    server.stop()


async def guesser():
    server = Server()

    def login(password):
        body = json.dumps({"username": "sysadmin", "password": password}).encode()
        return (f"POST /api/auth/login HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
                f"Content-Length: {len(body)}\r\nConnection: close\r\n\r\n").encode() + body

    wrong, right, running = [], [], []

    async def note(into, request, source):
        into.append(await server.ask(request, source))

    for tick in range(200):
        running.append(asyncio.create_task(note(wrong, login(f"guess {tick}"), "127.0.0.66")))
        if tick % 10 == 5:
            running.append(asyncio.create_task(note(right, login(server.password), "127.0.0.77")))
        await asyncio.sleep(0.05)
    await asyncio.gather(*running)
    count = {status: wrong.count(status) for status in sorted(set(wrong))}
    figure(right.count(200) == len(right) == 20, f"guesser: 20 wrong logins a second for 10 s ({count}); the right one from elsewhere passed {right.count(200)} of {len(right)} times")
    server.stop()


async def main():
    resource.setrlimit(resource.RLIMIT_NOFILE, (resource.getrlimit(resource.RLIMIT_NOFILE)[1],) * 2)
    for kind in ["stalled handshake", "slow head", "slow body", "slow read"]:
        await slow_clients(kind)
    await few_descriptors()
    await guesser()
    print(f"{len(misses)} missed" if misses else "all met")
    return 1 if misses else 0


if __name__ == "__main__":
    HONEST = concurrent.futures.ProcessPoolExecutor(1, multiprocessing.get_context("spawn"))
    sys.exit(asyncio.run(main()))
