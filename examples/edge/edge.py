#!/usr/bin/env python3
"""A local backend's side of leases, to copy from. Needs `cryptography`.

`Core` decides, and touches neither network, disk nor clock; the rest feeds it.
The same core is in edge.mjs, edge.go and Edge.java, under the same names, and
all are held to vectors/leases.json. docs/edge.md tells the rules.

    SITEWARDEN_URL=https://licences.example.com SITEWARDEN_SITE_ID=… \\
    SITEWARDEN_SITE_KEY=… SITEWARDEN_JWKS=jwks.json ./edge.py [--once]

SITEWARDEN_JWKS names the file of pinned keys (a copy of /.well-known/jwks.json),
SITEWARDEN_CACERT one with the certificate to trust, LEASE_FILE where the lease is
kept (default: lease.json). `edge.py vectors FILE` runs the test vectors.
"""

import base64
import calendar
import hashlib
import json
import os
import random
import secrets
import ssl
import sys
import time
import urllib.error
import urllib.request

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, utils

VERSION = "2.4.1"
TYPE = "vnd.sitewarden.lease+jwt"
INTERVAL, JITTER = 6 * 3600, 0.1
FIRST_RETRY, MAX_RETRY = 30, 1800
LEAST_WAIT, MOST_WAIT = 300, 86400  # what a Retry-After may ask for
TIMEOUT, MAX_ANSWER_BYTES = 30, 65536
TICK, SAVE_EVERY, CLOCK_JUMP = 60, 3600, 60


class Refused(Exception):
    """The text is no lease for us; the argument says which rule it broke."""


def decode(part):
    raw = base64.urlsafe_b64decode(part + "=" * (-len(part) % 4))
    if base64.urlsafe_b64encode(raw).rstrip(b"=").decode() != part:
        raise ValueError("not canonical base64url")
    return raw


def thumbprint(jwk):  # RFC 7638
    text = json.dumps({k: jwk[k] for k in ("crv", "kty", "x", "y")}, separators=(",", ":"))
    return base64.urlsafe_b64encode(hashlib.sha256(text.encode()).digest()).rstrip(b"=").decode()


def opened(text, keys):
    """The claims of a lease that one of the keys signed (RFC 7515)."""
    try:
        head, payload, signature = text.split(".")
        header, claims, raw = json.loads(decode(head)), json.loads(decode(payload)), decode(signature)
        if not isinstance(header, dict) or not isinstance(claims, dict) or "crit" in header:
            raise ValueError("not a lease")
    except (ValueError, AttributeError, RecursionError):
        raise Refused("form") from None
    if header.get("alg") != "ES256":
        raise Refused("alg")
    if header.get("typ") != TYPE:
        raise Refused("typ")
    if not isinstance(header.get("kid"), str) or header["kid"] not in keys:
        raise Refused("kid")
    try:
        jwk = keys[header["kid"]]
        x, y = (int.from_bytes(decode(jwk[name]), "big") for name in "xy")
        key = ec.EllipticCurvePublicNumbers(x, y, ec.SECP256R1()).public_key()
        if len(raw) != 64:
            raise ValueError("not 64 bytes")
        der = utils.encode_dss_signature(int.from_bytes(raw[:32], "big"), int.from_bytes(raw[32:], "big"))
        key.verify(der, f"{head}.{payload}".encode(), ec.ECDSA(hashes.SHA256()))
    except (InvalidSignature, ValueError):
        raise Refused("signature") from None
    kinds = {"licensed": bool, "locked": bool, "iat": int, "exp": int, "rev": int}
    if not all(type(claims.get(name)) is kind for name, kind in kinds.items()):
        raise Refused("claims")
    try:
        for name in ("lock_at", "lock_until"):  # times as text, like all of the server's but iat and exp
            if claims.get(name) is not None:
                claims[name] = calendar.timegm(time.strptime(claims[name], "%Y-%m-%dT%H:%M:%SZ"))
    except (TypeError, ValueError):
        raise Refused("claims") from None
    return claims


class Core:
    """What this site may do, and since when it knows. Times are seconds since
    1970: `wall` is the till's clock, `mono` one that nobody can set."""

    def __init__(self, site_id, pins, kept, mono, wall):
        self.site_id, self.mono = site_id, mono
        self.keys = {thumbprint(jwk): jwk for jwk in pins["keys"]}
        self.announced, self.text, self.lease = [], None, None
        self.time, self.skew, self.applied = wall, 0, None
        if not isinstance(kept, dict):
            return
        try:
            for text in kept["announced"]:
                self._adopt(text, opened(text, self.keys))
            claims = opened(kept["lease"], self.keys)
            if claims.get("sub") == site_id:
                # The till's clock counts for no less than the last known time, and
                # less what it was ahead when last looked at.
                self.time = max(kept["time"], claims["iat"], wall - max(0, kept["skew"]))
                self.text, self.lease, self.applied = kept["lease"], claims, kept["applied"]
                self.skew = wall - self.time
        except (Refused, KeyError, TypeError):
            pass  # somebody wrote it who is not the server: as if there were none

    def tick(self, mono, wall):
        """Time goes on by `mono` alone. How far the till's clock is off is only noted."""
        self.time += max(0, mono - self.mono)
        self.mono, self.skew = mono, wall - self.time

    def answer(self, text, nonce, mono, wall):
        """A lease has come, for a request with this nonce. None, or why it is refused."""
        self.tick(mono, wall)
        try:
            claims = opened(text, self.keys)
            if claims.get("sub") != self.site_id:
                raise Refused("sub")
            if claims.get("nonce") != nonce:
                raise Refused("nonce")
            if self.lease and claims["iat"] < self.lease["iat"]:
                raise Refused("iat")
            if claims["exp"] <= claims["iat"]:
                raise Refused("exp")
        except Refused as refused:
            return str(refused)
        self._adopt(text, claims)
        self.text, self.lease = text, claims
        self.time, self.skew = claims["iat"], wall - claims["iat"]
        return None

    def _adopt(self, text, claims):
        jwk = claims.get("next_jwk")
        if not isinstance(jwk, dict) or jwk.get("kty") != "EC" or jwk.get("crv") != "P-256":
            return
        if all(isinstance(jwk.get(name), str) for name in "xy") and thumbprint(jwk) not in self.keys:
            self.keys[thumbprint(jwk)] = jwk
            self.announced.append(text)

    def apply(self):
        """The till does what `decision` says, and the lease is on disk."""
        self.applied = self.lease["rev"] if self.lease else None

    def decision(self):
        lease, now = self.lease, self.time
        if lease is None:
            return {"may_serve": False, "why": "no_lease", "warning": False}
        begun = lease["locked"] or (lease.get("lock_at") is not None and now >= lease["lock_at"])
        over = lease.get("lock_until") is not None and now >= lease["lock_until"]
        if begun and not over:
            why = "locked"
        elif not lease["licensed"]:
            why = "unlicensed"
        else:
            why = "licensed" if now < lease["exp"] else "offline"
        warning = why == "licensed" and 2 * (now - lease["iat"]) >= lease["exp"] - lease["iat"]
        return {"may_serve": why == "licensed", "why": why, "warning": warning}

    def kept(self):
        """What is to be on disk."""
        return {"lease": self.text, "announced": self.announced, "time": self.time, "skew": self.skew,
                "applied": self.applied}  # fmt: skip


def next_call(failures, retry_after=None, draw=random.random):
    """Seconds until the next call, after so many failures in a row."""
    asked = None if retry_after is None else min(max(retry_after, LEAST_WAIT), MOST_WAIT)
    if failures == 0:
        return asked if asked is not None else INTERVAL * (1 + JITTER * (2 * draw() - 1))
    return (asked or 0) + min(MAX_RETRY, FIRST_RETRY * 2 ** min(failures - 1, 16)) * draw()


def read(file):
    try:
        with open(file, encoding="utf-8") as f:
            return json.load(f)
    except (OSError, ValueError):
        return None


def save(file, kept):
    """Whole or not at all, and for nobody else to read."""
    beside = file + ".new"
    with open(os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w", encoding="utf-8") as f:
        json.dump(kept, f)
        f.flush()
        os.fsync(f.fileno())
    os.replace(beside, file)


def monotonic():
    # Where there is one, the clock that also counts while the machine sleeps.
    return int(time.clock_gettime(time.CLOCK_BOOTTIME) if hasattr(time, "CLOCK_BOOTTIME") else time.monotonic())


class NoRedirects(urllib.request.HTTPRedirectHandler):
    def redirect_request(self, *_):
        return None  # who redirects a heartbeat would be sent the site's key


def call(opener, url, site_id, key, core, started):
    """One heartbeat: the text of the lease, its nonce, and Retry-After; raises OSError without an answer."""
    nonce = secrets.token_urlsafe(24)
    headers = {"Content-Type": "application/json", "Accept": "application/" + TYPE, "X-Lease-Nonce": nonce,
               "X-Site-ID": site_id, "X-Site-Key": key}  # fmt: skip
    if core.applied is not None:
        headers["X-Verdict-Revision"] = str(core.applied)
    body = json.dumps({"version": VERSION, "uptime_seconds": monotonic() - started}).encode()
    request = urllib.request.Request(url.rstrip("/") + "/api/heartbeat", body, headers)
    with opener.open(request, timeout=TIMEOUT) as answer:
        return answer.read(MAX_ANSWER_BYTES).decode("ascii", "replace"), nonce, answer.headers.get("Retry-After")


def main():
    env = os.environ
    url, site_id, key = env["SITEWARDEN_URL"], env["SITEWARDEN_SITE_ID"], env["SITEWARDEN_SITE_KEY"]
    file, pins = env.get("LEASE_FILE", "lease.json"), read(env["SITEWARDEN_JWKS"])
    if pins is None:
        sys.exit("SITEWARDEN_JWKS must name a file of pinned keys: a copy of the server's /.well-known/jwks.json")
    tls = urllib.request.HTTPSHandler(context=ssl.create_default_context(cafile=env.get("SITEWARDEN_CACERT") or None))
    opener = urllib.request.build_opener(tls, NoRedirects)
    started = monotonic()
    core = Core(site_id, pins, read(file), started, int(time.time()))
    failures, due, saved = 0, started, started
    while True:
        if monotonic() >= due:
            retry_after = None
            try:
                text, nonce, retry_after = call(opener, url, site_id, key, core, started)
                refused = core.answer(text, nonce, monotonic(), int(time.time()))
                if refused:
                    raise ValueError("it is no lease for this site: " + refused)
                save(file, core.kept())
                print(json.dumps(core.decision()), flush=True)  # here the till obeys
                core.apply()
                save(file, core.kept())
                failures = 0
            except urllib.error.HTTPError as error:
                failures, retry_after = failures + 1, error.headers.get("Retry-After")
                print(f"the server answered {error.code}; the kept lease holds", file=sys.stderr)
            except (OSError, ValueError, urllib.error.URLError) as error:
                failures += 1
                print(f"no lease ({error}); the kept one holds", file=sys.stderr)
            asked = int(retry_after) if (retry_after or "").isdecimal() else None
            due = monotonic() + next_call(failures, asked)
            if "--once" in sys.argv:
                if failures:
                    print(json.dumps(core.decision()))
                sys.exit(1 if failures else 0)
        time.sleep(min(TICK, max(1, due - monotonic())))
        before = core.skew
        core.tick(monotonic(), int(time.time()))
        print(json.dumps(core.decision()), flush=True)  # and here: a lock may have begun
        if monotonic() - saved >= (TICK if failures else SAVE_EVERY) or abs(core.skew - before) >= CLOCK_JUMP:
            saved = monotonic()
            try:
                save(file, core.kept())
            except OSError as error:
                print(f"cannot keep the lease: {error}", file=sys.stderr)


def vectors(path):
    """Runs the test vectors: 0 when all of them hold."""
    document, failed = read(path), 0
    for case in document["cases"]:
        core = None
        for number, step in enumerate(case["steps"]):
            refused, event, mono, wall = None, step["event"], step.get("mono"), step.get("wall")
            if event in ("start", "restart"):
                kept = json.loads(json.dumps(core.kept())) if event == "restart" else None
                core = Core(document["site_id"], document["pins"], kept, mono, wall)
            elif event == "tick":
                core.tick(mono, wall)
            elif event == "answer":
                refused = core.answer(step["lease"], step["nonce"], mono, wall)
            elif event == "apply":
                core.apply()
            seen = {**core.decision(), "refused": refused, "time": core.time, "applied": core.applied}
            if seen != step["expect"]:
                failed += 1
                print(f"{case['name']}, step {number}: {seen}, not {step['expect']}", file=sys.stderr)
    for wait in document["waits"]:
        seen = next_call(wait["failures"], wait["retry_after"], lambda: wait["draw"])
        if abs(seen - wait["expect"]) > 0.001:
            failed += 1
            print(f"{wait}: {seen}", file=sys.stderr)
    print(f"{len(document['cases'])} cases, {failed} steps failed")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(vectors(sys.argv[2]) if sys.argv[1:2] == ["vectors"] else main())
