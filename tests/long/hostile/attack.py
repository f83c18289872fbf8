"""What the attacks share: a server with short limits, an honest site that goes
on sending heartbeats meanwhile, and the figures that are held against bounds.

Loopback only: attackers come from addresses of their own in 127.0.0.0/8, so
that the limit for each address does not hide what thousands could do.
"""

import asyncio
import concurrent.futures
import json
import multiprocessing
import os
import pathlib
import resource
import ssl
import sys
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[2] / "lib"))

import server  # noqa: E402 (its directory is known only now)

LIMIT = 10            # seconds: every time limit of the server
PATIENCE = 20         # seconds for any answer
HEARTBEAT = json.dumps({"version": "1.0", "uptime_seconds": 1}).encode()
LIMITS = """
[log]
level = "warn"
[limits]
handshake_seconds = {limit}
header_seconds = {limit}
body_seconds = {limit}
write_seconds = {limit}
idle_seconds = {idle}
heartbeats_per_hour = 0
"""
misses = []
honest = None         # a process of its own, which the attackers do not slow down


def figure(ok, text):
    print(f"{'ok  ' if ok else 'MISS'} {text}", flush=True)
    if not ok:
        misses.append(text)


def run(attacks):
    """Runs them with as many descriptors as there may be, and ends the script
    with 1 when a figure was missed."""
    global honest
    resource.setrlimit(resource.RLIMIT_NOFILE, (resource.getrlimit(resource.RLIMIT_NOFILE)[1],) * 2)
    honest = concurrent.futures.ProcessPoolExecutor(1, multiprocessing.get_context("spawn"))
    asyncio.run(attacks())
    print(f"{len(misses)} missed" if misses else "all met")
    sys.exit(1 if misses else 0)


class Attacked(server.Server):
    """A server with a site, whose heartbeats show whether it is well."""

    def __init__(self, settings=None, idle=LIMIT, descriptors=None):
        settings = LIMITS.format(limit=LIMIT, idle=idle) if settings is None else settings
        program = server.program(sys.argv[1] if len(sys.argv) > 1 else None)
        super().__init__(program, settings=settings, descriptors=descriptors)
        self.start()
        self.tls = self.trust()
        site_id, key = self.add_site()
        self.heartbeat_head = (f"POST /api/heartbeat HTTP/1.1\r\nHost: localhost\r\nX-Site-ID: {site_id}\r\n"
                               f"X-Site-Key: {key}\r\nContent-Type: application/json\r\n"
                               f"Content-Length: {len(HEARTBEAT)}\r\nConnection: close\r\n\r\n").encode()

    def end(self):
        figure(self.stop() == 0, "ends with 0 on SIGTERM")
        self.close()

    async def exchange(self, request, source="127.0.0.1"):
        """One request on a connection of its own: the status, or 0 without an answer."""
        return await exchange(self.port, self.tls, request, source)

    async def heartbeat(self):
        return await self.exchange(self.heartbeat_head + HEARTBEAT)

    async def heartbeats(self, seconds):
        """A steady stream, 20 a second: sorted times in ms, failures."""
        call = (steady, self.port, str(self.certificate), self.heartbeat_head + HEARTBEAT, seconds)
        return await asyncio.get_running_loop().run_in_executor(honest, *call)


def login(password):
    body = json.dumps({"username": "sysadmin", "password": password}).encode()
    return (f"POST /api/auth/login HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
            f"Content-Length: {len(body)}\r\nConnection: close\r\n\r\n").encode() + body


async def exchange(port, context, request, source):
    try:
        async with asyncio.timeout(PATIENCE):
            reader, writer = await asyncio.open_connection(
                "127.0.0.1", port, ssl=context, server_hostname="localhost", local_addr=(source, 0))
            writer.write(request)
            answer = await reader.read()
            writer.close()
            return int(answer[9:12])
    except (OSError, TimeoutError, ValueError):
        return 0


def steady(port, cafile, request, seconds):
    context = ssl.create_default_context(cafile=cafile)
    times, failed = [], 0

    async def one():
        nonlocal failed
        begun = time.monotonic()
        try:
            async with asyncio.timeout(PATIENCE):
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
