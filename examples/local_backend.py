#!/usr/bin/env python3
"""A local backend's side of sitewarden, to copy from. Standard library only.

It calls every 6 hours, a little earlier or later each time so that sites do
not call in step; after a failure sooner, waiting longer each time, or as long
as the server asks. The last verdict is kept on disk and holds until there is
a new one, over a restart too: a server that is away never stops a site, and
what is no verdict (the page of a captive portal) counts as no answer.

    SITEWARDEN_URL=https://licences.example.com SITEWARDEN_SITE_ID=… \\
    SITEWARDEN_SITE_KEY=… ./local_backend.py

SITEWARDEN_CACERT names a file with the certificate to trust, where the
system's authorities do not vouch for it; VERDICT_FILE where the verdict is
kept (default: verdict.json). With --once it calls once, and ends with 0 when
it got an answer; --help prints this.
"""

import email.utils
import http.client
import json
import os
import random
import ssl
import sys
import time
import urllib.error
import urllib.request

VERSION = "2.4.1"
INTERVAL_SECONDS = 6 * 3600
JITTER = 0.1  # of the interval, to either side
FIRST_RETRY_SECONDS = 30
MAX_RETRY_SECONDS = 1800
MAX_RETRY_AFTER_SECONDS = INTERVAL_SECONDS  # no server's mistake silences a site for longer
TIMEOUT_SECONDS = 30
MAX_ANSWER_BYTES = 65536  # a verdict has some 200; a page of somebody else's may have no end

# Until the first answer ever, a new site may work.
FIRST_VERDICT = {"licensed": True, "locked": False, "lock_reason": None, "expires_at": None}


def next_call(failures, retry_after=None, random=random.random):
    """Seconds until the next call, after so many failures in a row.

    All of a fleet fail at once when the server is away: the wait is drawn at
    random up to a bound that doubles ("full jitter"), so that they do not come
    back at once. That is added to what the server asks for, so that those whom
    it told the same do not either.
    """
    if failures == 0:
        return INTERVAL_SECONDS * (1 + JITTER * (2 * random() - 1))
    # The exponent is bounded too: a server may be away for months.
    bound = min(MAX_RETRY_SECONDS, FIRST_RETRY_SECONDS * 2 ** min(failures - 1, 16))
    return (retry_after or 0) + bound * random()


def seconds_to_wait(retry_after, now=time.time):
    """What a Retry-After header asks for: seconds or an HTTP date (RFC 9110,
    section 10.2.3), 0 to 6 hours; 0 when it says nothing that can be read."""
    try:
        seconds = int(retry_after)
    except (TypeError, ValueError):
        try:
            seconds = email.utils.parsedate_to_datetime(retry_after).timestamp() - now()
        except (TypeError, ValueError):
            return 0
    return min(max(seconds, 0), MAX_RETRY_AFTER_SECONDS)


def checked(verdict):
    """The verdict, if it is one: something between us and the server may
    answer 200 with a page of its own."""
    if not isinstance(verdict, dict) or not all(isinstance(verdict.get(f), bool) for f in ("licensed", "locked")):
        raise ValueError("the answer is not a verdict")
    return verdict


class NoRedirects(urllib.request.HTTPRedirectHandler):
    """The server never redirects a heartbeat. Who else does would be sent the
    site's key."""

    def redirect_request(self, *_):
        return None


class LocalBackend:
    def __init__(self, url, site_id, site_key, cacert=None, verdict_file="verdict.json"):
        self.url = url.rstrip("/") + "/api/heartbeat"
        self.headers = {"Content-Type": "application/json", "X-Site-ID": site_id, "X-Site-Key": site_key}
        tls = urllib.request.HTTPSHandler(context=ssl.create_default_context(cafile=cacert))
        self.open = urllib.request.build_opener(tls, NoRedirects).open
        self.verdict_file = verdict_file
        self.started = time.monotonic()
        self.failures = 0
        self.verdict = self._kept_verdict()

    def may_serve(self):
        """What the rest of the backend asks: may this site work?"""
        return self.verdict["licensed"] and not self.verdict["locked"]

    def call(self):
        """Sends one heartbeat. Returns the seconds until the next."""
        body = {"version": VERSION, "uptime_seconds": int(time.monotonic() - self.started)}
        request = urllib.request.Request(self.url, json.dumps(body).encode(), self.headers)
        retry_after = None
        try:
            with self.open(request, timeout=TIMEOUT_SECONDS) as answer:
                self._keep(checked(json.loads(answer.read(MAX_ANSWER_BYTES))))
            self.failures = 0
        except urllib.error.HTTPError as error:
            self.failures += 1
            retry_after = seconds_to_wait(error.headers.get("Retry-After"))
            print(f"the server answered {error.code}; keeping the last verdict", file=sys.stderr)
        except (OSError, ValueError, RecursionError, http.client.HTTPException) as error:
            self.failures += 1
            print(f"no answer ({error}); keeping the last verdict", file=sys.stderr)
        return next_call(self.failures, retry_after)

    def _kept_verdict(self):
        try:
            with open(self.verdict_file, encoding="utf-8") as file:
                return checked(json.load(file))
        except (OSError, ValueError, RecursionError):
            return dict(FIRST_VERDICT)

    def _keep(self, verdict):
        self.verdict = verdict
        # Whole or not at all: the power may fail at any time.
        beside = self.verdict_file + ".new"
        with open(beside, "w", encoding="utf-8") as file:
            json.dump(verdict, file)
            file.flush()
            os.fsync(file.fileno())
        os.replace(beside, self.verdict_file)


def main():
    if {"-h", "--help"} & set(sys.argv[1:]):
        print(__doc__.strip())
        return
    needed = ("SITEWARDEN_URL", "SITEWARDEN_SITE_ID", "SITEWARDEN_SITE_KEY")
    missing = [name for name in needed if not os.environ.get(name)]
    if missing:
        sys.exit("set " + ", ".join(missing))
    url, cacert = os.environ["SITEWARDEN_URL"], os.environ.get("SITEWARDEN_CACERT") or None
    if not url.lower().startswith(("https://", "http://")):
        sys.exit(f"SITEWARDEN_URL must begin with https://, as in https://licences.example.com: {url} does not")
    try:
        backend = LocalBackend(
            url,
            os.environ["SITEWARDEN_SITE_ID"],
            os.environ["SITEWARDEN_SITE_KEY"],
            cacert,
            os.environ.get("VERDICT_FILE", "verdict.json"),
        )
    except OSError as error:  # ssl.SSLError is one: a file that holds no certificate
        sys.exit(f"cannot read the certificate in {cacert} that SITEWARDEN_CACERT names: {error.strerror or error}")
    while True:
        wait = backend.call()
        print(json.dumps(backend.verdict), flush=True)
        if "--once" in sys.argv[1:]:
            sys.exit(0 if backend.failures == 0 else 1)
        time.sleep(wait)


if __name__ == "__main__":
    main()
