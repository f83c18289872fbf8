#!/usr/bin/env python3
"""Floods of logins against the real binary: what they take of memory, and
whether an admin gets in meanwhile.

    tests/hostile/logins.py [path/to/sitewarden]    (default: target/release/sitewarden)

Prints the figures and fails when one is missed. Uses loopback only: the
logins come from addresses of their own in 127.0.0.0/8, so that the limit for
each address does not hide what thousands of addresses could do. Takes about
two minutes.
"""
import asyncio, collections, concurrent.futures, contextlib, json, multiprocessing, pathlib, re, resource, signal, ssl, subprocess, sys, tempfile, time

BINARY = pathlib.Path(sys.argv[1] if len(sys.argv) > 1 else "target/release/sitewarden").resolve()
LOGINS, AT_A_TIME = 2000, 100
GUESSERS, SECONDS, ADMINS = 110, 30, 20
PATIENCE = 20         # seconds for any answer
misses = []


def figure(ok, text):
    print(f"{'ok  ' if ok else 'MISS'} {text}", flush=True)
    if not ok:
        misses.append(text)


class Server:
    def __init__(self):
        self.directory = pathlib.Path(tempfile.mkdtemp(prefix="sitewarden-logins-"))
        config = self.directory / "sitewarden.toml"
        config.write_text(f'data_dir = "{self.directory}/data"\nlisten = ["127.0.0.1:0"]\nmetrics_listen = ""\n'
                          '[log]\nlevel = "warn"\n')
        self.process = subprocess.Popen([BINARY, "serve", "--config", config], stdout=subprocess.PIPE,
                                        stderr=open(self.directory / "log", "wb"))
        for line in self.process.stdout:
            if match := re.search(rb"https://127.0.0.1:(\d+)", line):
                self.port = int(match[1])
                break
        self.password = (self.directory / "data/initial-admin-password").read_text().strip()
        self.cafile = str(self.directory / "data/tls-certificate.pem")

    def stop(self):
        self.process.send_signal(signal.SIGTERM)
        figure(self.process.wait(40) == 0, "ends with 0 on SIGTERM")

    def memory_mb(self, what="VmRSS"):
        status = pathlib.Path(f"/proc/{self.process.pid}/status").read_text()
        return int(re.search(rf"{what}:\s+(\d+)", status)[1]) / 1024

    def forget_peak(self):
        pathlib.Path(f"/proc/{self.process.pid}/clear_refs").write_text("5")


def trust(cafile):
    return ssl.create_default_context(cafile=cafile)


async def login(port, context, password, source):
    """One login on a connection of its own: the status, or 0 without an answer."""
    body = json.dumps({"username": "sysadmin", "password": password}).encode()
    request = (f"POST /api/auth/login HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
               f"Content-Length: {len(body)}\r\nConnection: close\r\n\r\n").encode() + body
    with contextlib.suppress(OSError, TimeoutError, ValueError):
        async with asyncio.timeout(PATIENCE):
            reader, writer = await asyncio.open_connection(
                "127.0.0.1", port, ssl=context, server_hostname="localhost", local_addr=(source, 0))
            writer.write(request)
            answer = await reader.read()
            writer.close()
            return int(answer[9:12])
    return 0


def close_together(index):
    """The next address of a few networks: 127.1.0.0/16 and what follows."""
    return f"127.{1 + index // 62500}.{index // 250 % 250}.{index % 250 + 1}"


def far_apart(index):
    """The next address that has as few neighbours as there can be."""
    return f"127.{1 + index % 254}.{index // 254 % 250}.{index // 63500 + 1}"


async def memory():
    server = Server()
    context, idle, counts = trust(server.cafile), server.memory_mb(), collections.Counter()
    server.forget_peak()
    numbers = iter(range(LOGINS))

    async def client():
        for number in numbers:
            right = number % 4 == 0
            password = server.password if right else f"guess {number}"
            counts[right, await login(server.port, context, password, far_apart(number))] += 1

    begun = time.monotonic()
    await asyncio.gather(*(client() for _ in range(AT_A_TIME)))
    took = time.monotonic() - begun
    peak = server.memory_mb("VmHWM")
    await asyncio.sleep(3)
    after = server.memory_mb()
    rights = LOGINS // 4
    figure(counts == {(True, 200): rights, (False, 401): LOGINS - rights},
           f"{LOGINS} logins from {LOGINS} addresses, {AT_A_TIME} at a time, in {took:.0f} s: {rights} right ones passed, "
           f"{LOGINS - rights} wrong ones did not ({dict(counts)})")
    figure(peak - idle <= 60, f"memory: {idle:.1f} MB before, {peak:.1f} MB at the peak: {peak - idle:.1f} more (at most 60)")
    figure(after - idle <= 45, f"memory: {after:.1f} MB three seconds later: {after - idle:.1f} more (at most 45)")
    server.stop()


def admin(port, cafile, password):
    """Logs in again and again, each time from an address that was never seen:
    statuses and seconds. In a process of its own, which the guessers do not
    slow down."""
    context, results = trust(cafile), []

    async def all_logins():
        for number in range(ADMINS):
            begun = time.monotonic()
            status = await login(port, context, password, f"127.0.{number}.77")
            took = time.monotonic() - begun
            results.append((status, took))
            await asyncio.sleep(max(0, (SECONDS - 4) / ADMINS - took))

    asyncio.run(all_logins())
    return results


async def guessing(addresses):
    server = Server()
    context, counts = trust(server.cafile), collections.Counter()
    end, numbers = time.monotonic() + SECONDS, iter(range(10_000_000))

    async def guesser():
        while time.monotonic() < end:
            number = next(numbers)
            counts[await login(server.port, context, f"guess {number}", addresses(number))] += 1

    guessers = [asyncio.create_task(guesser()) for _ in range(GUESSERS)]
    await asyncio.sleep(2)
    loop = asyncio.get_running_loop()
    logins = await loop.run_in_executor(ADMIN, admin, server.port, server.cafile, server.password)
    still = time.monotonic() < end
    await asyncio.gather(*guessers)
    passed, slowest = [status for status, _ in logins].count(200), max(took for _, took in logins)
    name = addresses.__name__.replace("_", " ")
    figure(still, f"guessers {name}: they went on to the end")
    figure(passed == ADMINS, f"guessers {name}: {GUESSERS} clients, {sum(counts.values())} guesses in {SECONDS} s ({dict(counts)}); "
                             f"the right password from a clean address passed {passed} of {ADMINS} times")
    figure(slowest <= 2, f"guessers {name}: it took {slowest:.2f} s at most (at most 2)")
    server.stop()


async def main():
    resource.setrlimit(resource.RLIMIT_NOFILE, (resource.getrlimit(resource.RLIMIT_NOFILE)[1],) * 2)
    await memory()
    await guessing(close_together)
    await guessing(far_apart)
    print(f"{len(misses)} missed" if misses else "all met")
    return 1 if misses else 0


if __name__ == "__main__":
    ADMIN = concurrent.futures.ProcessPoolExecutor(1, multiprocessing.get_context("spawn"))
    sys.exit(asyncio.run(main()))
