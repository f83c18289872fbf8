#!/usr/bin/env python3
"""More idle connections than there are places, from a few addresses, against
the real binary, while an honest site sends heartbeats.

    tests/long/hostile/idle.py [path/to/sitewarden]    (default: target/release/sitewarden)

4,300 connections from 18 addresses finish their handshake and say nothing;
the limits are the default ones (4,096 places, 256 for an address, 75 seconds).
As one is closed another comes, up to 100 a second. Prints the figures and
fails when one is missed. Uses loopback only; needs `ulimit -n` of 10,000 for
itself; takes about two minutes.
"""
import asyncio, concurrent.futures, multiprocessing, resource, ssl, sys

import slow
from slow import Server, connections, figure, misses, p99

IDLE, ADDRESSES, PLACES = 4300, 18, 4096


class Idle:
    def __init__(self, server, index):
        self.server, self.local = server, (f"127.0.9.{index % ADDRESSES + 1}", 0)
        self.closed = False

    async def run(self):
        writer = None
        try:
            reader, writer = await asyncio.open_connection(
                "127.0.0.1", self.server.port, ssl=self.server.tls, server_hostname="localhost",
                local_addr=self.local, limit=1024, ssl_handshake_timeout=60)
            await reader.read()
        except (OSError, ssl.SSLError, asyncio.IncompleteReadError):
            pass
        if writer:
            writer.close()
        self.closed = True


async def main():
    resource.setrlimit(resource.RLIMIT_NOFILE, (resource.getrlimit(resource.RLIMIT_NOFILE)[1],) * 2)
    server = Server(idle=75)
    alone, failed_alone = await server.heartbeats(10)
    held, tasks, index, full = [], set(), 0, asyncio.Event()

    async def keep_up():
        nonlocal index
        while True:
            held[:] = [idle for idle in held if not idle.closed]
            for _ in range(min(10 if full.is_set() else 40, IDLE - len(held))):
                idle = Idle(server, index)
                index += 1
                held.append(idle)
                task = asyncio.create_task(idle.run())
                tasks.add(task)
                task.add_done_callback(tasks.discard)
            await asyncio.sleep(0.1)

    keeper = asyncio.create_task(keep_up())
    async with asyncio.timeout(120):
        while connections(server) < PLACES - 100 or index < IDLE:
            await asyncio.sleep(0.5)
    full.set()
    present = connections(server)
    among, failed = await server.heartbeats(10)
    memory = server.memory_mb()
    keeper.cancel()
    for task in list(tasks):
        task.cancel()
    ratio = p99(among) / p99(alone)
    name = f"{IDLE} idle from {ADDRESSES} addresses ({present} held at once, {index} came)"
    figure(failed == 0 and failed_alone == 0, f"{name}: {len(among)} heartbeats, {failed} failed")
    figure(ratio <= 5, f"{name}: p99 {p99(among):.1f} ms, alone {p99(alone):.1f} ms: {ratio:.1f} times (at most 5)")
    print(f"     memory {memory:.0f} MB")
    server.stop()
    print(f"{len(misses)} missed" if misses else "all met")
    return 1 if misses else 0


if __name__ == "__main__":
    slow.HONEST = concurrent.futures.ProcessPoolExecutor(1, multiprocessing.get_context("spawn"))
    sys.exit(asyncio.run(main()))
