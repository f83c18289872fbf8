#!/usr/bin/env python3
"""Requests that do not end and answers that nobody takes, over HTTP/2, against
the real binary.

    tests/long/hostile/unread.py [path/to/sitewarden]    (default: target/release/sitewarden)

256 connections ask 64 things each: logins with bodies of 65 KB, whose answers
are not taken (a window of zero), or whose bodies lack their end. Once from a
single address, and once from 256. Prints the figures and fails when one is
missed: the memory at its peak above that at rest, and whether an honest site's
heartbeats pass. Uses loopback only; takes about two minutes.
"""
import asyncio, json, pathlib, re, resource, ssl, struct, sys, time

import slow
from slow import HEARTBEAT, Server, figure, misses, source

CONNECTIONS, STREAMS = 256, 64
MOST_MB = 60
HOLD = 5                # seconds that the attack is held at its height
DATA, HEADERS, RST_STREAM, SETTINGS, GOAWAY, WINDOW_UPDATE = 0, 1, 3, 4, 7, 8
UNKNOWN = json.dumps({f"f{index}": 0 for index in range(6000)}, separators=(",", ":")).encode()[:65000]


def frame(kind, flags, stream, payload=b""):
    return len(payload).to_bytes(3) + bytes([kind, flags]) + struct.pack(">I", stream) + payload


def text(name, value):
    """A header line as a literal without indexing (RFC 7541, section 6.2.2)."""
    return b"\x00" + bytes([len(name)]) + name + bytes([len(value)]) + value


LOGIN = b"\x83\x87" + text(b":path", b"/api/auth/login") + text(b":authority", b"localhost") + text(b"content-type", b"application/json")


class Client:
    """One connection that takes no answer."""

    def __init__(self, server, address, finish):
        self.server, self.address, self.finish = server, address, finish
        self.window, self.windows = 65535, {}
        self.first, self.gone, self.more = 65535, False, asyncio.Event()
        self.outcomes = {"answered": 0, "refused": 0}

    async def run(self, stop):
        context = ssl.create_default_context(cafile=self.server.directory / "data/tls-certificate.pem")
        context.set_alpn_protocols(["h2"])
        try:
            reader, writer = await asyncio.open_connection(
                "127.0.0.1", self.server.port, ssl=context, server_hostname="localhost",
                local_addr=(self.address, 0), ssl_handshake_timeout=60)
        except OSError:
            self.gone = True
            return
        reading = asyncio.create_task(self.read(reader, writer))
        writer.write(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + frame(SETTINGS, 0, 0, struct.pack(">HI", 4, 0)))
        try:
            for index in range(STREAMS):
                if self.gone:
                    break
                await self.ask(writer, 2 * index + 1)
            await stop.wait()
        except OSError:
            pass
        writer.close()
        reading.cancel()

    async def ask(self, writer, stream):
        self.windows[stream] = self.first
        writer.write(frame(HEADERS, 4, stream, LOGIN))
        left = UNKNOWN
        while left and stream in self.windows and not self.gone:
            room = min(self.window, self.windows[stream], 16384, len(left))
            if room == 0:
                self.more.clear()
                try:
                    await asyncio.wait_for(self.more.wait(), 20)
                except TimeoutError:
                    return
                continue
            part, left = left[:room], left[room:]
            self.window -= room
            self.windows[stream] -= room
            ends = self.finish and not left
            writer.write(frame(DATA, 1 if ends else 0, stream, part))
            await writer.drain()
            await asyncio.sleep(0)

    async def read(self, reader, writer):
        try:
            while True:
                head = await reader.readexactly(9)
                payload = await reader.readexactly(int.from_bytes(head[:3]))
                kind, flags, stream = head[3], head[4], struct.unpack(">I", head[5:])[0]
                if kind == SETTINGS and not flags & 1:
                    for at in range(0, len(payload), 6):
                        name, value = struct.unpack(">HI", payload[at:at + 6])
                        if name == 4:
                            self.first = value
                    writer.write(frame(SETTINGS, 1, 0))
                elif kind == WINDOW_UPDATE:
                    more = struct.unpack(">I", payload)[0]
                    if stream == 0:
                        self.window += more
                    elif stream in self.windows:
                        self.windows[stream] += more
                elif kind == HEADERS:
                    self.outcomes["answered"] += 1
                    if not self.finish:
                        self.windows.pop(stream, None)
                elif kind == RST_STREAM:
                    self.outcomes["refused"] += 1
                    self.windows.pop(stream, None)
                elif kind == GOAWAY:
                    self.gone = True
                self.more.set()
        except (OSError, asyncio.IncompleteReadError, asyncio.CancelledError):
            self.gone = True
            self.more.set()


def peak_mb(server):
    status = pathlib.Path(f"/proc/{server.process.pid}/status").read_text()
    return int(re.search(r"VmHWM:\s+(\d+)", status)[1]) / 1024


async def attack(what, finish, addresses):
    server = Server(settings="")
    assert await server.ask(server.heartbeat_head + HEARTBEAT) == 200
    at_rest, stop = server.memory_mb(), asyncio.Event()
    clients = [Client(server, source(index if addresses > 1 else 0), finish) for index in range(CONNECTIONS)]
    running = [asyncio.create_task(client.run(stop)) for client in clients]
    statuses, end = [], time.monotonic() + HOLD + 20
    while time.monotonic() < end:
        statuses.append(await server.ask(server.heartbeat_head + HEARTBEAT))
        await asyncio.sleep(0.25)
    peak = peak_mb(server)
    stop.set()
    await asyncio.wait(running, timeout=20)
    answered = sum(client.outcomes["answered"] for client in clients)
    refused = sum(client.outcomes["refused"] for client in clients)
    above = peak - at_rest
    name = f"{what}, {CONNECTIONS} connections from {addresses} address{'es' if addresses > 1 else ''}"
    figure(above <= MOST_MB, f"{name}: {above:.0f} MB above {at_rest:.0f} MB at the peak (at most {MOST_MB}); {answered} answered, {refused} refused as streams")
    figure(statuses.count(200) == len(statuses), f"{name}: {statuses.count(200)} of {len(statuses)} heartbeats passed")
    server.stop()


async def main():
    resource.setrlimit(resource.RLIMIT_NOFILE, (resource.getrlimit(resource.RLIMIT_NOFILE)[1],) * 2)
    for addresses in [1, CONNECTIONS]:
        await attack("answers not taken", True, addresses)
        await attack("bodies without end", False, addresses)
    print(f"{len(misses)} missed" if misses else "all met")
    return 1 if misses else 0


if __name__ == "__main__":
    sys.exit(asyncio.run(main()))
