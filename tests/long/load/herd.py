#!/usr/bin/env python3
"""What a herd does: sites that lost the server, and all come back to it.

    tests/long/load/herd.py [--sites 5000,100000,1000000] [--outages 60,3600,43200]
        [--capacity 1400] [--kind gone|silent|unavailable] [--seed 1]

A simulation of single calls, without a network and without waiting. When a
site calls again is decided by the functions of examples/local_backend.py
themselves, so that this cannot say anything of another client. Each line is
one herd:

- `spread`: the example client; sites had been calling at their own times, and
  only those whose time comes while the server is away notice.
- `together`: the example client; all sites call in the instant in which the
  server goes, such as when they started together.
- `in step`: as `together`, with the same back-off but nothing drawn at random.

The server makes `--capacity` new TLS connections a second, in the order in
which they came, a heartbeat with each. Beyond the connections that it holds
and those that the system keeps for it, it is not there: the client's system
tries to connect again after 1, 3, 7 and 15 s. While it is away it refuses
connections (`gone`), lets them time out (`silent`), or answers 503
(`unavailable`).

Printed are, from the server's return on, the most calls begun in one second,
how long until every site that had failed was answered, and how many calls
failed: not connected in time, timed out, or throttled.
"""

import argparse
import collections
import heapq
import pathlib
import random
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[3] / "examples"))

import local_backend as client  # noqa: E402 (its directory is known only now)

# The server's own limits: limits.max_connections, the queue of listen(2),
# limits.handshake_seconds, limits.heartbeats_per_hour and heartbeat_burst, and
# the Retry-After of a 503.
PLACES, BACKLOG, HANDSHAKE_SECONDS = 4096, 4096, 10
PER_HOUR, BURST = 60, 10
RETRY_AFTER_503 = 2
# When Linux sends a SYN again (tcp(7), tcp_syn_retries), within the client's
# own limit.
SYN_SECONDS = (0, 1, 3, 7, 15)


class Herd:
    """One herd, up to the moment when it has been answered."""

    def __init__(self, sites, outage, capacity, start, kind="gone", seed=1):
        self.outage, self.capacity, self.kind = outage, capacity, kind
        self.random = random.Random(seed)
        self.draws = start != "in step"
        self.failures = [0] * sites
        self.allowed_from = [0.0] * sites  # by GCRA: when the site's burst is whole again
        self.free_at = outage  # when the server has done what it was given
        self.begun = collections.Counter()
        self.answered = self.unconnected = self.timed_out = self.throttled = 0
        self.answered_at = outage
        self.calls = []
        first = (lambda: self.random.random() * client.INTERVAL_SECONDS) if start == "spread" else (lambda: 0.0)
        for site in range(sites):
            at = self._through_the_outage(site, first())
            self.calls.append((at, at, 0, site))
        self.waiting = sum(failures > 0 for failures in self.failures)
        self.failed_sites = self.waiting
        heapq.heapify(self.calls)

    def _draw(self):
        return self.random.random() if self.draws else 1.0

    def _wait(self, site, retry_after=None):
        failures = self.failures[site]
        if failures == 0 and not self.draws:
            return client.next_call(0, random=lambda: 0.5)
        return client.next_call(failures, retry_after, random=self._draw)

    def _through_the_outage(self, site, at):
        """The first call that finds the server there again."""
        lasts = client.TIMEOUT_SECONDS if self.kind == "silent" else 0
        asked = client.seconds_to_wait(RETRY_AFTER_503) if self.kind == "unavailable" else None
        while at < self.outage:
            self.failures[site] += 1
            at += lasts + self._wait(site, asked)
        return at

    def _fail(self, site, at, retry_after=None):
        self.failures[site] += 1
        again = at + self._wait(site, retry_after)
        heapq.heappush(self.calls, (again, again, 0, site))

    def run(self):
        while self.waiting:
            self.run_one()
        return self

    def run_one(self):
        """The next thing that happens."""
        at, begun, attempt, site = heapq.heappop(self.calls)
        if attempt == 0:
            self.begun[int(at)] += 1
        ahead = max(0.0, self.free_at - at) * self.capacity
        if ahead >= PLACES + BACKLOG:
            self._connect_again(begun, attempt, site)
        else:
            self._serve(at, site)

    def _connect_again(self, begun, attempt, site):
        attempt += 1
        if attempt < len(SYN_SECONDS):
            heapq.heappush(self.calls, (begun + SYN_SECONDS[attempt], begun, attempt, site))
        else:
            self.unconnected += 1
            self._fail(site, begun + client.TIMEOUT_SECONDS)

    def _serve(self, connected, site):
        # Whoever gives up meanwhile has cost as much.
        self.free_at = max(self.free_at, connected) + 1 / self.capacity
        accepted = max(connected, self.free_at - PLACES / self.capacity)
        ends = min(connected + client.TIMEOUT_SECONDS, accepted + HANDSHAKE_SECONDS)
        if self.free_at > ends:
            self.timed_out += 1
            self._fail(site, ends)
            return
        now = self.free_at
        step = 3600 / PER_HOUR
        too_early = self.allowed_from[site] - (BURST - 1) * step - now
        if too_early > 0:
            self.throttled += 1
            self._fail(site, now, client.seconds_to_wait(int(too_early) + 1))
            return
        self.allowed_from[site] = max(self.allowed_from[site], now) + step
        self.answered += 1
        if self.failures[site]:
            self.failures[site] = 0
            self.waiting -= 1
            self.answered_at = now
        again = now + self._wait(site)
        heapq.heappush(self.calls, (again, again, 0, site))

    def peak(self):
        return max(self.begun.values(), default=0)

    def seconds(self):
        return self.answered_at - self.outage


def duration(seconds):
    if seconds < 60:
        return f"{seconds:.1f} s"
    return f"{seconds / 60:.1f} min" if seconds < 3600 else f"{seconds / 3600:.1f} h"


def numbers(text):
    return [int(number) for number in text.split(",")]


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sites", type=numbers, default=[5_000, 100_000, 1_000_000])
    parser.add_argument("--outages", type=numbers, default=[60, 3600, 43_200], help="seconds")
    parser.add_argument("--capacity", type=float, default=1400, help="new TLS connections a second")
    parser.add_argument("--kind", choices=["gone", "silent", "unavailable"], default="gone")
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    print("| sites | away for | herd | had failed | most calls in a second | all answered after | not connected | timed out | throttled |")
    print("| ---: | ---: | --- | ---: | ---: | ---: | ---: | ---: | ---: |")
    for sites in options.sites:
        for outage in options.outages:
            for start in ("spread", "together", "in step"):
                herd = Herd(sites, outage, options.capacity, start, options.kind, options.seed).run()
                print(
                    f"| {sites:,} | {duration(outage)} | {start} | {herd.failed_sites:,} | {herd.peak():,} "
                    f"| {duration(herd.seconds())} | {herd.unconnected:,} | {herd.timed_out:,} | {herd.throttled:,} |",
                    flush=True,
                )


if __name__ == "__main__":
    main()
