#!/usr/bin/env python3
"""Writes leases.json: the test vectors that every client kit runs.

    examples/edge/vectors/make.py >examples/edge/vectors/leases.json

What is expected of each step is written here by hand, not taken from a kit.
The keys are made from small numbers: they protect nothing. Signatures are
deterministic (RFC 6979), so that writing it again changes nothing. Needs
`cryptography` 43 or later.
"""

import base64
import hashlib
import hmac
import json
import time

from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, utils

TYPE = "vnd.sitewarden.lease+jwt"
SITE, OTHER = "6f9619ff-8b86-4011-b42d-00c04fc964ff", "0d9e3b52-7c55-4a0f-9a54-3b6a6f1d2c11"
NONCE, T, H = "vector-nonce-0123456789", 1_900_000_000, 3600
GRACE = 168 * H


def b64(raw):
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


def iso(at):
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(at))


def compact(value):
    return json.dumps(value, separators=(",", ":"), sort_keys=False)


class Key:
    def __init__(self, number):
        self.private = ec.derive_private_key(number, ec.SECP256R1())
        n = self.private.public_key().public_numbers()
        point = {"crv": "P-256", "kty": "EC", "x": b64(n.x.to_bytes(32, "big")), "y": b64(n.y.to_bytes(32, "big"))}
        self.kid = b64(hashlib.sha256(compact(point).encode()).digest())
        self.jwk = {**point, "kid": self.kid, "use": "sig", "alg": "ES256"}

    def pem(self):
        return self.private.public_key().public_bytes(
            serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
        )

    def sign(self, data):
        r, s = utils.decode_dss_signature(
            self.private.sign(data, ec.ECDSA(hashes.SHA256(), deterministic_signing=True))
        )
        return r.to_bytes(32, "big") + s.to_bytes(32, "big")


A, B, C = Key(1001), Key(1002), Key(1003)  # pinned, the next, a stranger's


def claims(iat=T, **more):
    said = {"iss": "licences.example.com", "sub": SITE, "iat": iat, "exp": iat + GRACE, "nonce": NONCE,
            "licensed": True, "locked": False, "lock_reason": None, "expires_at": "2031-01-01T00:00:00Z",
            "features": [], "rev": 7, "next_heartbeat_at": iso(iat + 6 * H)}  # fmt: skip
    said.update(more)
    return {name: value for name, value in said.items() if value is not ...}


def lease(said=None, key=A, **header):
    head = {"alg": "ES256", "typ": TYPE, "kid": key.kid, **header}
    signed = b64(compact(head).encode()) + "." + b64(compact(said or claims()).encode())
    return signed + "." + b64(key.sign(signed.encode()))


def flipped(text, part, byte, bit=0):
    parts = text.split(".")
    raw = bytearray(base64.urlsafe_b64decode(parts[part] + "=="))
    raw[byte] ^= 1 << bit
    parts[part] = b64(bytes(raw))
    return ".".join(parts)


def hs256(said, secret, **header):
    signed = b64(compact({"alg": "HS256", "typ": TYPE, "kid": A.kid, **header}).encode()) + "." + b64(compact(said).encode())
    return signed + "." + b64(hmac.new(secret, signed.encode(), hashlib.sha256).digest())


def unsigned(said):
    return b64(compact({"alg": "none", "typ": TYPE, "kid": A.kid}).encode()) + "." + b64(compact(said).encode()) + "."


def see(time, why="licensed", warning=False, refused=None, applied=None):
    return {"may_serve": why == "licensed", "why": why, "warning": warning, "refused": refused, "time": time,
            "applied": applied}  # fmt: skip


def start(wall=T):
    return {"event": "start", "mono": 0, "wall": wall, "expect": see(wall, "no_lease")}


def step(event, mono, wall, expect):
    return {"event": event, "mono": mono, "wall": wall, "expect": expect}


def answer(text, mono, wall, expect, nonce=NONCE):
    return {"event": "answer", "lease": text, "nonce": nonce, "mono": mono, "wall": wall, "expect": expect}


def good():
    first = answer(lease(), 10, T, see(T))
    yield "licensed", [start(), first]
    yield "no lease yet", [start(), step("tick", 3600, T + 3600, see(T + 3600, "no_lease"))]
    locked = lease(claims(locked=True, lock_reason="unpaid", rev=8))
    yield "locked, and it stays so past the grace", [
        start(), answer(locked, 10, T, see(T, "locked")),
        step("tick", 10 + 2 * GRACE, T, see(T + 2 * GRACE, "locked"))]  # fmt: skip
    yield "unlocked by a newer lease", [
        start(), answer(locked, 10, T, see(T, "locked")),
        answer(lease(claims(T + 60, rev=9)), 70, T + 60, see(T + 60))]  # fmt: skip
    yield "unlicensed", [start(), answer(lease(claims(licensed=False)), 10, T, see(T, "unlicensed"))]
    window = lease(claims(lock_at=iso(T + 10 * H), lock_until=iso(T + 20 * H), lock_reason="unpaid"))
    yield "a lock begins and ends offline", [
        start(), answer(window, 0, T, see(T)),
        step("tick", 10 * H - 1, T, see(T + 10 * H - 1)),
        step("tick", 10 * H, T, see(T + 10 * H, "locked")),
        step("tick", 20 * H - 1, T, see(T + 20 * H - 1, "locked")),
        step("tick", 20 * H, T, see(T + 20 * H))]  # fmt: skip
    yield "a lock that is on ends at its time", [
        start(), answer(lease(claims(locked=True, lock_at=iso(T - H), lock_until=iso(T + H))), 0, T, see(T, "locked")),
        step("tick", H, T, see(T + H))]  # fmt: skip
    announcing = lease(claims(next_jwk=B.jwk))
    yield "the next key is adopted, over a restart too", [
        start(), answer(lease(claims(), B), 5, T, see(T + 5, "no_lease", refused="kid")),
        answer(announcing, 10, T, see(T)),
        answer(lease(claims(T + 6 * H), B), 10 + 6 * H, T, see(T + 6 * H)),
        step("restart", 0, T + 13 * H, see(T + 13 * H)),
        answer(lease(claims(T + 14 * H), B), 3600, T + 8 * H, see(T + 14 * H))]  # fmt: skip
    yield "a next key signed by a stranger is not adopted", [
        start(), answer(lease(claims(next_jwk=B.jwk), C), 10, T, see(T + 10, "no_lease", refused="kid")),
        answer(lease(claims(), B), 20, T, see(T + 20, "no_lease", refused="kid"))]  # fmt: skip
    yield "restart after a night", [start(), first, step("restart", 0, T + 8 * H, see(T + 8 * H))]
    yield "clock set back while running: time goes on", [
        start(), first, step("tick", 10 + 100 * H, T - 1000 * H, see(T + 100 * H, warning=True)),
        step("tick", 10 + GRACE, T - 1000 * H, see(T + GRACE, "offline"))]  # fmt: skip
    yield "clock set back over a restart: time stands where it was", [
        start(), first, step("tick", 10 + 100 * H, T + 100 * H, see(T + 100 * H, warning=True)),
        step("restart", 0, T - 1000 * H, see(T + 100 * H, warning=True)),
        step("tick", 68 * H, T, see(T + GRACE, "offline"))]  # fmt: skip
    yield "clock set forward while running: time goes on, over a restart too", [
        start(), first, step("tick", 10 + H, T + 9000 * H, see(T + H)),
        step("restart", 0, T + 9002 * H, see(T + 3 * H))]  # fmt: skip
    yield "clock set forward while off: stopped, until a fresh lease", [
        start(), first, step("restart", 0, T + 9000 * H, see(T + 9000 * H, "offline")),
        answer(lease(claims(T + H)), 60, T + 9000 * H + 60, see(T + H))]  # fmt: skip
    yield "a clock that was behind is put right over a restart", [
        start(T - 9000 * H), answer(lease(), 10, T - 9000 * H, see(T)),
        step("restart", 0, T + 2 * H, see(T + 2 * H))]  # fmt: skip
    yield "a clock that is always behind", [
        start(T - 9000 * H), answer(lease(), 10, T - 9000 * H, see(T)),
        step("tick", 10 + H, T - 8999 * H, see(T + H)),
        step("restart", 0, T - 8990 * H, see(T + H))]  # fmt: skip
    yield "the till's clock is behind the server's", [start(T - 500 * H), answer(lease(), 10, T - 500 * H, see(T))]
    yield "grace: warning from half of it, then the end", [
        start(), first,
        step("tick", 10 + GRACE // 2 - 1, T, see(T + GRACE // 2 - 1)),
        step("tick", 10 + GRACE // 2, T, see(T + GRACE // 2, warning=True)),
        step("tick", 10 + GRACE - 1, T, see(T + GRACE - 1, warning=True)),
        step("tick", 10 + GRACE, T, see(T + GRACE, "offline"))]  # fmt: skip
    yield "a revision is echoed once applied", [
        start(), first, {"event": "apply", "expect": see(T, applied=7)},
        answer(lease(claims(T + H, rev=8)), 10 + H, T + H, see(T + H, applied=7)),
        {"event": "apply", "expect": see(T + H, applied=8)},
        step("restart", 0, T + H, see(T + H, applied=8))]  # fmt: skip
    yield "the same iat again is taken", [start(), first, answer(lease(claims(rev=8)), 20, T, see(T))]


def bad():
    fine = lease()
    for part, byte in ((0, 0), (1, 40), (1, 90), (2, 0), (2, 31), (2, 32), (2, 63)):
        why = "form" if part == 0 else "signature"
        yield f"bit flip in part {part}, byte {byte}", flipped(fine, part, byte), why
    yield "alg none", unsigned(claims()), "alg"
    yield "HS256 with the public key", hs256(claims(), A.pem()), "alg"
    yield "HS256 with the public key, called ES256", hs256(claims(), A.pem(), alg="ES256"), "signature"
    yield "a stranger's signature under our kid", lease(key=C, kid=A.kid), "signature"
    yield "our signature under a stranger's kid", lease(kid=C.kid), "kid"
    yield "no kid", lease(kid=None), "kid"
    yield "another site's", lease(claims(sub=OTHER)), "sub"
    yield "typ of a plain token", lease(typ="JWT"), "typ"
    yield "over when made", lease(claims(exp=T - 1)), "exp"
    yield "another request's nonce", lease(claims(nonce="vector-nonce-9876543210")), "nonce"
    yield "no nonce", lease(claims(nonce=...)), "nonce"
    yield "an admin's token", hs256({"sub": "admin", "iat": T, "exp": T + 900}, b"k" * 32, typ="JWT", kid=None), "alg"
    yield "a critical extension", lease(crit=["exp"]), "form"
    yield "licensed as text", lease(claims(licensed="true")), "claims"
    yield "lock_at as a number", lease(claims(lock_at=T)), "claims"
    yield "lock_until as any text", lease(claims(lock_until="tomorrow")), "claims"
    yield "no exp", lease(claims(exp=...)), "claims"
    yield "padding", fine + "==", "form"
    yield "a portal's page", "<html><title>Welcome</title></html>", "form"
    yield "nothing", "", "form"


def cases():
    for name, steps in good():
        yield {"name": name, "steps": steps}
    for name, text, why in bad():
        steps = [start(), answer(text, 10, T, see(T + 10, "no_lease", refused=why)), answer(lease(), 20, T, see(T))]
        # Nor does it change what a kept lease says.
        steps.append(answer(text, 30, T, see(T + 10, refused=why)))
        yield {"name": "refused: " + name, "steps": steps}
    older = lease(claims(T - 60, licensed=True))
    locked = lease(claims(locked=True))
    yield {"name": "refused: older than the kept one", "steps": [
        start(), answer(locked, 10, T, see(T, "locked")), answer(older, 20, T, see(T + 10, "locked", refused="iat"))]}  # fmt: skip


def waits():
    """Failures in a row, the server's Retry-After, the draw from 0 to 1, and the seconds to wait."""
    for given in (
        (0, None, 0.0, 19440), (0, None, 0.5, 21600), (0, None, 1.0, 23760),
        (0, 20000, 0.3, 20000), (0, 1, 0.3, 300), (0, 10**8, 0.3, 86400),
        (1, None, 1.0, 30), (2, None, 1.0, 60), (2, None, 0.5, 30), (7, None, 1.0, 1800), (100000, None, 1.0, 1800),
        (1, 600, 0.5, 615), (1, 0, 0.0, 300), (1, 10**8, 0.0, 86400),
    ):  # fmt: skip
        yield dict(zip(("failures", "retry_after", "draw", "expect"), given))


def document():
    return {"site_id": SITE, "pins": {"keys": [A.jwk]}, "cases": list(cases()), "waits": list(waits())}


if __name__ == "__main__":
    print(json.dumps(document(), indent=1))
