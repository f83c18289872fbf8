"""A day of 20 local backends, played without waiting, by three clients: the
one that openapi-python-client generates, httpx by HTTP/1.1 and by HTTP/2, and
the example local backend. All verify the server's certificate. Every verdict
is held against a model of what the sysadmin did.

    python clients.py PATH/TO/sitewarden

Started by tests/e2e/clients. Prints what it saw; exit code 1 on any miss.
"""

import datetime
import json
import os
import pathlib
import re
import ssl
import subprocess
import sys
import tempfile
from importlib import import_module

import httpx
from sitewarden_client import AuthenticatedClient, Client
from sitewarden_client import models
from sitewarden_client.api.heartbeat import heartbeat as heartbeat_call
from sitewarden_client.api.login import login as login_call
from sitewarden_client.api.login import me as me_call
from sitewarden_client.api.sites import (
    delete_site, get_site, list_sites, lock_site, register_site, rotate_key, unlock_site, update_site,
)

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "lib"))

from server import TREE, Server, program  # noqa: E402 (its directory is known only now)

ROOT = TREE
PROGRAM = program(sys.argv[1])
FAR = datetime.datetime(2090, 12, 31, tzinfo=datetime.timezone.utc)
PAST = datetime.datetime(2020, 1, 1, tzinfo=datetime.timezone.utc)
misses = []
verdicts = 0


def check(good, what, saw=""):
    if not good:
        misses.append(what)
    print(f"{'ok  ' if good else 'MISS'} {what}{f'  [{saw}]' if saw != '' else ''}", flush=True)


class Backend:
    """One site, what its local backend holds, and what it should hear."""

    def __init__(self, number, registered, send):
        self.number, self.send = number, send
        self.site_id, self.key = str(registered.site_id), registered.secret_key
        self.expires, self.active, self.reason = FAR, True, None
        self.welcome = True  # whether its key is one that works

    def expected(self):
        if not self.welcome:
            return 401, None
        licensed = self.active and datetime.datetime.now(datetime.timezone.utc) < self.expires
        return 200, {
            "licensed": licensed, "locked": self.reason is not None, "lock_reason": self.reason,
            "expires_at": self.expires.strftime("%Y-%m-%dT%H:%M:%SZ"),
        }

    def call(self, hour):
        global verdicts
        status, verdict = self.send(self.site_id, self.key, "2.4.1", hour * 3600)
        verdicts += 1
        want = self.expected()
        if (status, verdict) != want:
            check(False, f"site {self.number} at {hour} h", f"wanted {want}, got {status} {verdict}")


def by_generated(client):
    def send(site_id, key, version, uptime):
        answer = heartbeat_call.sync_detailed(
            client=client, x_site_id=site_id, x_site_key=key,
            body=models.Heartbeat(version=version, uptime_seconds=uptime),
        )
        if answer.status_code != 200:
            assert isinstance(answer.parsed, models.Problem), answer
            return int(answer.status_code), None
        assert list(json.loads(answer.content)) == ["licensed", "locked", "lock_reason", "expires_at"], answer
        verdict = answer.parsed
        return 200, {
            "licensed": verdict.licensed, "locked": verdict.locked, "lock_reason": verdict.lock_reason,
            "expires_at": verdict.expires_at.strftime("%Y-%m-%dT%H:%M:%SZ"),
        }

    return send


def by_httpx(client, version_wanted):
    def send(site_id, key, version, uptime):
        answer = client.post(
            "/api/heartbeat", headers={"X-Site-ID": site_id, "X-Site-Key": key},
            json={"version": version, "uptime_seconds": uptime},
        )
        assert answer.http_version == version_wanted, answer.http_version
        return answer.status_code, answer.json() if answer.status_code == 200 else None

    return send


def every_operation_is_generated():
    spec = json.loads((ROOT / "openapi/openapi.json").read_text())
    operations = [o for path in spec["paths"].values() for o in path.values()]
    for operation in operations:
        module = import_module(
            "sitewarden_client.api."
            + re.sub(r"\W", "_", operation["tags"][0].lower()) + "." + operation["operationId"]
        )
        if not hasattr(module, "sync_detailed"):
            check(False, f"{operation['operationId']} is in the generated client")
    check(True, "every operation is in the generated client", f"{len(operations)} operations")


def day(url, trust, password):
    login = login_call.sync(
        client=Client(base_url=url, verify_ssl=trust),
        body=models.Login(username="sysadmin", password=password),
    )
    admin = AuthenticatedClient(base_url=url, token=login.access_token, verify_ssl=trust)
    check(me_call.sync(client=admin).username == "sysadmin", "log in with the generated client")
    sends = [
        by_generated(Client(base_url=url, verify_ssl=trust)),
        by_httpx(httpx.Client(base_url=url, verify=trust), "HTTP/1.1"),
        by_httpx(httpx.Client(base_url=url, verify=trust, http2=True), "HTTP/2"),
    ]
    backends = []
    for number in range(20):
        registered = register_site.sync(client=admin, body=models.NewSite(
            name=f"Site {number}", owner_name="", contact_email=f"site{number}@example.com",
            license_expires_at=FAR,
        ))
        backends.append(Backend(number, registered, sends[number % 3]))
    check(len({backend.site_id for backend in backends}) == 20, "register 20 sites")

    def everybody(hour):
        before = len(misses)
        for backend in backends:
            backend.call(hour)
        check(len(misses) == before, f"hour {hour}: every verdict as the model says",
              f"{sum(not b.welcome for b in backends)} turned away, {sum(b.reason is not None for b in backends)} locked, "
              f"{sum(b.expected()[1] is not None and not b.expected()[1]['licensed'] for b in backends)} unlicensed")

    def lock(number, reason):
        lock_site.sync(backends[number].site_id, client=admin, body=models.Lock(reason=reason))
        backends[number].reason = reason

    def unlock(number):
        unlock_site.sync(backends[number].site_id, client=admin)
        backends[number].reason = None

    def change(number, **fields):
        site = update_site.sync(backends[number].site_id, client=admin, body=models.SiteChange(**fields))
        backends[number].expires, backends[number].active = site.license_expires_at, site.is_active
        return site

    def rotate(number, hours):
        return rotate_key.sync(
            backends[number].site_id, client=admin, body=models.Rotation(overlap_hours=hours)
        ).secret_key

    def remove(number):
        answer = delete_site.sync_detailed(backends[number].site_id, client=admin)
        assert answer.status_code == 204, answer
        backends[number].welcome = False

    def used(number):
        return str(get_site.sync(backends[number].site_id, client=admin).last_key_used)

    everybody(0)

    for number in range(4):
        lock(number, f"Payment {number} overdue")
    assert change(4, license_expires_at=PAST, allow_past=True).status == models.SiteStatus.EXPIRED
    change(5, license_expires_at=PAST, allow_past=True)
    change(6, is_active=False)
    new_keys = {number: rotate(number, 24) for number in range(8, 12)}
    remove(12)
    remove(13)
    everybody(6)
    check(all(used(number) == "replaced" for number in new_keys), "in the overlap the old keys work, and it shows")

    unlock(0)
    unlock(1)
    lock(2, "Another reason")
    assert change(4, extend_days=30).licensed
    change(6, is_active=True)
    backends[8].key, backends[9].key = new_keys[8], new_keys[9]
    for number in (14, 15):
        new_keys[number] = rotate(number, 0)
        backends[number].welcome = False  # until it is told
    everybody(12)
    check([used(number) for number in range(8, 12)] == ["newest", "newest", "replaced", "replaced"],
          "who has taken the new key shows")

    for number in (14, 15):
        backends[number].key, backends[number].welcome = new_keys[number], True
    unlock(2)
    unlock(3)
    change(5, license_expires_at=FAR)
    remove(10)  # with both keys
    everybody(18)
    backends[10].key = new_keys[10]
    backends[10].call(18)

    left = list_sites.sync(client=admin)
    check(len(left) == 17 and all(site.status == models.SiteStatus.ONLINE for site in left),
          "17 sites are left, all online", f"{len(left)}")
    check(all(site.last_uptime_seconds == 18 * 3600 for site in left), "each with what it reported last")
    check(get_site.sync_detailed(backends[12].site_id, client=admin).status_code == 404, "a removed site is gone")
    return admin, backends[19]


def example(url, room, backend, cacert=True):
    """Runs the example local backend once: its exit code and what it printed."""
    env = {
        "PATH": os.environ["PATH"], "SITEWARDEN_URL": url, "SITEWARDEN_SITE_ID": backend.site_id,
        "SITEWARDEN_SITE_KEY": backend.key, "VERDICT_FILE": str(pathlib.Path(room, "verdict.json")),
    }
    if cacert:
        env["SITEWARDEN_CACERT"] = str(pathlib.Path(room, "data/tls-certificate.pem"))
    ran = subprocess.run(
        [sys.executable, str(ROOT / "examples/local_backend.py"), "--once"], env=env, cwd=room,
        capture_output=True, text=True, timeout=60,
    )
    return ran.returncode, json.loads(ran.stdout)


def main():
    every_operation_is_generated()
    with tempfile.TemporaryDirectory(prefix="sitewarden-clients-") as room:
        server = Server(PROGRAM, room).start()
        try:
            trust, password = server.trust(), server.password
            try:
                httpx.get(f"{server.url}/health")
                check(False, "httpx refuses a certificate that it was not told to trust")
            except httpx.ConnectError as error:
                check("CERTIFICATE" in str(error).upper(), "httpx refuses a certificate that it was not told to trust")
            admin, backend = day(server.url, trust, password)
            code, verdict = example(server.url, room, backend)
            check((code, verdict) == (0, backend.expected()[1]), "the example local backend hears the verdict", verdict)
            lock_site.sync(backend.site_id, client=admin, body=models.Lock(reason="Closed"))
            backend.reason = "Closed"
            code, verdict = example(server.url, room, backend)
            check((code, verdict["lock_reason"]) == (0, "Closed"), "and that it is locked", verdict)
            code, kept = example(server.url, room, backend, cacert=False)
            check((code, kept) == (1, verdict), "without the certificate it keeps the last verdict", code)
        finally:
            code = server.stop()
        check(code == 0, "the server ends well", code)
        code, kept = example(server.url, room, backend)
        check((code, kept) == (1, verdict), "while the server is away it keeps the last verdict", code)
        server.start()
        try:
            code, verdict = example(server.url, room, backend)
            check((code, verdict) == (0, backend.expected()[1]), "when the server is back it hears it again", verdict)
        finally:
            code = server.stop()
        check(code == 0, "the server ends well again", code)
    print(f"clients: {verdicts} heartbeats, " + (f"{len(misses)} missed" if misses else "all as the model says"))
    sys.exit(1 if misses else 0)


if __name__ == "__main__":
    main()
