#!/usr/bin/env python3
"""Certificates by ACME, end to end, against Debian's pebble.

    tests/e2e/acme.py [path/to/sitewarden]      (default: target/debug/sitewarden)

Needs: apt-get install pebble openssl (pebble brings pebble-challtestsrv).
pebble really connects to check (PEBBLE_VA_ALWAYS_VALID is not set) and rejects
its default share of good nonces. All calls to it pass a proxy of ours that
counts orders and rejected nonces, can offer ARI (RFC 9773; the packaged pebble
does not), and can answer with a rate limit. Prints what it saw; exit code 1 on
any miss; takes about two minutes.
"""
import base64, contextlib, http.client, http.server, json, os, pathlib, re, shutil, signal
import socket, ssl, subprocess, sys, tempfile, threading, time

BINARY = pathlib.Path(sys.argv[1] if len(sys.argv) > 1 else "target/debug/sitewarden").resolve()
DOMAIN = "licences.test"
WORK = pathlib.Path(tempfile.mkdtemp(prefix="sitewarden-acme-"))
misses = []


def say(ok, what, saw=""):
    print(f"{'ok  ' if ok else 'MISS'} {what}" + (f"  [{saw}]" if saw else ""), flush=True)
    if not ok:
        misses.append(what)


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def until(what, seconds, probe):
    """Polls `probe` until it gives something true."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        try:
            found = probe()
            if found:
                return found
        except (OSError, KeyError, ssl.SSLError, http.client.HTTPException):
            pass
        time.sleep(0.1)
    say(False, f"within {seconds} s: {what}")
    raise SystemExit(finish())


def openssl(*args):
    return subprocess.run(["openssl", *args], check=True, capture_output=True, cwd=WORK).stdout.decode()


def make_ca():
    openssl("req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2",
            "-keyout", "ca.key", "-out", "ca.pem", "-subj", "/CN=ACME server CA",
            "-addext", "basicConstraints=critical,CA:TRUE")
    openssl("req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes",
            "-keyout", "acme.key", "-out", "acme.csr", "-subj", "/CN=localhost")
    (WORK / "ext").write_text("subjectAltName=DNS:localhost,IP:127.0.0.1\n")
    openssl("x509", "-req", "-in", "acme.csr", "-CA", "ca.pem", "-CAkey", "ca.key", "-CAcreateserial",
            "-days", "2", "-out", "acme.pem", "-extfile", "ext")


class Acme:
    """pebble, its DNS and the proxy before it."""

    def __init__(self):
        self.port, self.upstream, self.management, self.dns, self.dns_management = (free_port() for _ in range(5))
        self.http, self.tls = free_port(), free_port()
        # Orders that were asked for, made, and made to replace another;
        # requests that pebble had sent again with another nonce.
        self.asked, self.orders, self.replacing, self.rejected_nonces = 0, 0, 0, 0
        self.window = None        # ARI, where set: (start, end) in seconds from now
        self.rate_limited = False
        self.pebble = None
        self.url = f"https://localhost:{self.port}/dir"
        self.dns_server = subprocess.Popen(
            ["pebble-challtestsrv", "-dns01", f"127.0.0.1:{self.dns}", "-http01", "", "-https01", "",
             "-tlsalpn01", "", "-management", f"127.0.0.1:{self.dns_management}",
             "-defaultIPv4", "127.0.0.1", "-defaultIPv6", ""],
            stdout=open(WORK / "dns.log", "ab"), stderr=subprocess.STDOUT)
        self.proxy = None

    def set_address(self, address):
        call = http.client.HTTPConnection("127.0.0.1", self.dns_management, timeout=10)
        call.request("POST", "/set-default-ipv4", json.dumps({"ip": address}))
        assert call.getresponse().status == 200

    def start(self, **config):
        settings = {"listenAddress": f"127.0.0.1:{self.upstream}", "managementListenAddress": f"127.0.0.1:{self.management}",
                    "certificate": str(WORK / "acme.pem"), "privateKey": str(WORK / "acme.key"),
                    "httpPort": self.http, "tlsPort": self.tls, "ocspResponderURL": "",
                    "externalAccountBindingRequired": False, **config}
        (WORK / "pebble.json").write_text(json.dumps({"pebble": settings}))
        env = {k: v for k, v in os.environ.items() if not k.startswith("PEBBLE_")}
        env["PEBBLE_VA_SLEEPTIME"] = "1"    # up to 1 s, not 15, before each check
        env["PEBBLE_AUTHZREUSE"] = "0"      # every order is checked anew
        self.pebble = subprocess.Popen(
            ["pebble", "-config", str(WORK / "pebble.json"), "-dnsserver", f"127.0.0.1:{self.dns}"],
            env=env, stdout=open(WORK / "pebble.log", "ab"), stderr=subprocess.STDOUT)
        until("pebble answers", 20, lambda: self.call("GET", "/dir", self.upstream)[0] == 200)
        root = self.call("GET", "/roots/0", self.management)[1]
        (WORK / "root.pem").write_bytes(root)
        if self.proxy is None:
            self.proxy = Proxy(self)

    def call(self, method, path, port, headers={}, body=None):
        connection = http.client.HTTPSConnection(
            "localhost", port, timeout=30, context=ssl.create_default_context(cafile=WORK / "ca.pem"))
        connection.request(method, path, body, headers)
        answer = connection.getresponse()
        self.last_headers = answer.getheaders()
        return answer.status, answer.read()

    def stop(self):
        if self.proxy:
            self.proxy.close()
            self.proxy = None
        if self.pebble:
            self.pebble.terminate()
            self.pebble.wait()
            self.pebble = None


class Proxy:
    def __init__(self, acme):
        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            log_message = lambda *_: None

            def answer(self, status, headers, body):
                self.send_response(status)
                for name, value in headers:
                    if name.lower() not in ("content-length", "transfer-encoding", "connection", "date"):
                        self.send_header(name, value)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                if self.command != "HEAD":
                    self.wfile.write(body)

            def forward(self):
                length = int(self.headers.get("Content-Length") or 0)
                body = self.rfile.read(length)
                if self.path.startswith("/ari/"):
                    at = lambda s: time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(time.time() + s))
                    start, end = acme.window
                    window = {"suggestedWindow": {"start": at(start), "end": at(end)}}
                    return self.answer(200, [("Retry-After", "3600"), ("Content-Type", "application/json")],
                                       json.dumps(window).encode())
                payload = {}
                is_order = self.command == "POST" and self.path == "/order-plz"
                if is_order:
                    acme.asked += 1
                    encoded = json.loads(body)["payload"]
                    payload = json.loads(base64.urlsafe_b64decode(encoded + "=" * (-len(encoded) % 4)))
                    if acme.rate_limited:
                        problem = {"type": "urn:ietf:params:acme:error:rateLimited", "status": 429,
                                   "detail": "too many certificates already issued"}
                        return self.answer(429, [("Retry-After", "7200"), ("Content-Type", "application/problem+json")],
                                           json.dumps(problem).encode())
                headers = {"Host": self.headers["Host"]}
                if body:
                    headers["Content-Type"] = self.headers["Content-Type"]
                connection = http.client.HTTPSConnection(
                    "localhost", acme.upstream, timeout=30,
                    context=ssl.create_default_context(cafile=WORK / "ca.pem"))
                connection.request(self.command, self.path, body or None, headers)
                answer = connection.getresponse()
                content = answer.read()
                if self.path == "/dir" and acme.window:
                    directory = json.loads(content)
                    directory["renewalInfo"] = f"https://{self.headers['Host']}/ari"
                    content = json.dumps(directory).encode()
                acme.rejected_nonces += answer.status == 400 and b"error:badNonce" in content
                if is_order and answer.status == 201:
                    acme.orders += 1
                    acme.replacing += "replaces" in payload
                if is_order and "replaces" in payload and answer.status == 201:
                    order = json.loads(content)
                    order["replaces"] = payload["replaces"]
                    content = json.dumps(order).encode()
                self.answer(answer.status, answer.getheaders(), content)

            do_GET = do_POST = do_HEAD = forward

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", acme.port), Handler)
        self.server.daemon_threads = True
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(WORK / "acme.pem", WORK / "acme.key")
        self.server.socket = context.wrap_socket(self.server.socket, server_side=True, do_handshake_on_connect=False)
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def close(self):
        self.server.shutdown()
        self.server.server_close()


class Server:
    """sitewarden."""

    def __init__(self, name, acme, tls_port, http_port=None, extra=""):
        self.directory = WORK / name
        self.directory.mkdir(exist_ok=True)
        self.tls_port, self.http_port = tls_port, http_port
        listen = f'http_listen = ["127.0.0.1:{http_port}"]' if http_port else ""
        self.config = self.directory / "sitewarden.toml"
        self.config.write_text(f'''
data_dir = "{self.directory}/data"
listen = ["127.0.0.1:{tls_port}"]
metrics_listen = ""
[log]
format = "json"
level = "debug"
[tls]
mode = "acme"
domains = ["{DOMAIN}"]
contact = "ops@{DOMAIN}"
directory_url = "{acme.url}"
ca_file = "{WORK}/ca.pem"
{listen}
{extra}
''')
        self.log = self.directory / "log"

    def __enter__(self):
        self.process = subprocess.Popen([BINARY, "serve", "--config", self.config],
                                        stdout=open(self.directory / "out", "ab"), stderr=open(self.log, "ab"))
        until("sitewarden listens", 20, lambda: socket.create_connection(("127.0.0.1", self.tls_port), 1).close() or True)
        return self

    def __exit__(self, *_):
        self.process.send_signal(signal.SIGTERM)
        code = self.process.wait(40)
        say(code == 0, "SIGTERM ends it with 0", f"exit code {code}")

    def certificate(self):
        """(issuer, serial) as served, without trust."""
        context = ssl.create_default_context()
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        with socket.create_connection(("127.0.0.1", self.tls_port), 5) as tcp:
            with context.wrap_socket(tcp, server_hostname=DOMAIN) as tls:
                der = tls.getpeercert(True)
        text = subprocess.run(["openssl", "x509", "-inform", "der", "-noout", "-issuer", "-serial"],
                              input=der, capture_output=True, check=True).stdout.decode()
        return re.search(r"issuer=(.*)", text)[1].strip(), re.search(r"serial=(.*)", text)[1]

    def trusted(self):
        """An ordinary client that trusts the CA and checks the name gets an answer."""
        context = ssl.create_default_context(cafile=WORK / "root.pem")
        with socket.create_connection(("127.0.0.1", self.tls_port), 5) as tcp:
            with context.wrap_socket(tcp, server_hostname=DOMAIN) as tls:
                tls.sendall(f"GET /health HTTP/1.1\r\nHost: {DOMAIN}\r\nConnection: close\r\n\r\n".encode())
                answer = b"".join(iter(lambda: tls.recv(65536), b""))
        return answer.startswith(b"HTTP/1.1 200") and b"strict-transport-security" in answer.lower()

    def command(self, *args):
        ended = subprocess.run([BINARY, *args, "--socket", f"{self.directory}/data/control.sock", "--json"],
                               capture_output=True, timeout=400)
        return ended.returncode, (json.loads(ended.stdout) if ended.stdout.strip() else {"stderr": ended.stderr.decode()})

    def status(self):
        return self.command("tls", "status")[1]

    def renew(self):
        return self.command("tls", "renew")

    def logged(self, text):
        return text in self.log.read_text()


def seconds_until(text):
    return (time.mktime(time.strptime(text, "%Y-%m-%dT%H:%M:%SZ")) - time.timezone) - time.time()


def is_ours(certificate):
    return "sitewarden self-signed" in certificate[0]


def tls_alpn_and_the_directory_down(acme):
    print("-- the directory is down at first; then TLS-ALPN-01 on the HTTPS port")
    with Server("alpn", acme, acme.tls) as server:
        until("the failure is told", 30, lambda: server.status()["last_error"])
        say(is_ours(server.certificate()), "the self-signed certificate serves meanwhile", server.certificate()[0])
        status = server.status()
        say("cannot be reached" in status["last_error"], "the status says what is in the way", status["last_error"])
        say(server.logged(status["last_error"].replace('"', '\\"')), "so does the log")
        # A connection from before stays.
        context = ssl.create_default_context()
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        old = http.client.HTTPSConnection("127.0.0.1", acme.tls, context=context, timeout=60)
        old.request("GET", "/health")
        say(old.getresponse().read().startswith(b"{"), "a connection is opened")
        acme.start()
        started = time.monotonic()
        until("it recovers by itself", 100, lambda: not is_ours(server.certificate()))
        say(True, "it recovers by itself", f"after {time.monotonic() - started:.0f} s")
        first = server.certificate()
        say(server.trusted(), "a client that trusts the CA is served, with HSTS", first[0])
        say(acme.orders == 1, "one order was made", f"{acme.orders}")
        old.request("GET", "/health")
        say(old.getresponse().status == 200, "the connection from before goes on")
        until("the error is gone", 5, lambda: server.status()["last_error"] is None)
        status = server.status()
        say(status["names"] == [DOMAIN] and status["mode"] == "acme", "tls status tells the names", status["issuer"])
        lifetime, renewal = seconds_until(status["not_after"]), seconds_until(status["next_renewal"])
        say(0.66 < renewal / lifetime < 0.71, "without ARI it is to be renewed at two thirds", f"{renewal / lifetime:.3f}")
        # A client that asks for the challenge when none is under way.
        context.set_alpn_protocols(["acme-tls/1"])
        try:
            with socket.create_connection(("127.0.0.1", acme.tls), 5) as tcp, \
                    context.wrap_socket(tcp, server_hostname=DOMAIN):
                say(False, "acme-tls/1 is refused while there is no check")
        except (ssl.SSLError, OSError) as error:
            say(True, "acme-tls/1 is refused while there is no check", type(error).__name__)

    with Server("alpn", acme, acme.tls) as server:
        until("it answers", 10, server.trusted)
        say(server.certificate() == first, "after a restart the same certificate serves")
        until("it has looked at the certificate", 10, lambda: server.status()["next_renewal"])
        say(acme.orders == 1, "and nothing was ordered", f"{acme.orders} orders in all")
        code, status = server.renew()
        second = server.certificate()
        say(code == 0 and second != first and server.trusted(), "tls renew gets a new one", status.get("last_error") or second[1])
        acme.stop()
        code, status = server.renew()
        say(code == 1 and "cannot be reached" in status["last_error"], "with the directory down tls renew fails", str(code))
        say(server.certificate() == second and server.trusted(), "and the last good certificate serves")


def http_challenge(acme):
    print("-- HTTP-01 on the plain listener; the HTTPS port is not the one that is checked")
    acme.start()
    acme.orders = 0
    with Server("http", acme, free_port(), acme.http) as server:
        until("there is a certificate", 60, lambda: not is_ours(server.certificate()))
        say(server.trusted() and acme.orders == 1, "HTTP-01 gives a certificate")
        plain = http.client.HTTPConnection("127.0.0.1", acme.http, timeout=10)
        plain.request("GET", "/docs?x=1", headers={"Host": DOMAIN})
        answer = plain.getresponse()
        location = answer.getheader("Location")
        say(answer.status == 308 and location == f"https://{DOMAIN}:{server.tls_port}/docs?x=1",
            "the plain listener redirects all else", f"{answer.status} {location}")
        plain = http.client.HTTPConnection("127.0.0.1", acme.http, timeout=10)
        plain.request("GET", "/.well-known/acme-challenge/guess", headers={"Host": DOMAIN})
        say(plain.getresponse().status == 404, "and knows no token when nothing is checked")
    print("-- HTTP-01 fails (nothing on its port): told, and TLS-ALPN-01 is next")
    with Server("fallback", acme, acme.tls, free_port()) as server:
        until("the failure is told", 60, lambda: server.status()["last_error"])
        error = server.status()["last_error"]
        say(error.startswith("port: ") and "port 80" in error, "the status names the port", error)
        code, status = server.renew()
        say(code == 0 and server.trusted(), "the other way gives a certificate", status.get("last_error") or "")


def what_is_in_the_way(acme):
    print("-- DNS, rate limit")
    acme.set_address("")
    with Server("words", acme, acme.tls) as server:
        until("the failure is told", 60, lambda: server.status()["last_error"])
        error = server.status()["last_error"]
        say(error.startswith("DNS"), "a name without an address", error)
        acme.set_address("127.0.0.1")
        acme.rate_limited = True
        code, status = server.renew()
        error = status["last_error"]
        say(code == 1 and error.startswith("rate limit: "), "a rate limit", error)
        wait = until("the wait is told", 5, lambda: (w := seconds_until(server.status()["next_renewal"])) > 7000 and w)
        say(7000 < wait < 7300, "Retry-After of the server is heeded", f"next try in {wait:.0f} s")
        say(is_ours(server.certificate()), "the self-signed certificate serves")
        asked = acme.asked
    with Server("words", acme, acme.tls) as server:
        status = until("the restarted server knows", 20, lambda: (s := server.status())["last_error"] and s)
        say(status["last_error"] == error and seconds_until(status["next_renewal"]) > 7000 and acme.asked == asked,
            "a restart goes on waiting, and orders nothing", status["next_renewal"])
        acme.rate_limited = False
        code, _ = server.renew()
        say(code == 0 and server.trusted(), "after the limit there is a certificate")


def renewals(acme):
    print("-- renewal at two thirds of a short lifetime")
    acme.stop()
    acme.start(certificateValidityPeriod=30)
    with Server("short", acme, acme.tls) as server:
        until("there is a certificate", 60, lambda: not is_ours(server.certificate()))
        first, begun = server.certificate(), time.monotonic()
        until("it is renewed", 40, lambda: server.certificate() != first)
        took = time.monotonic() - begun
        say(15 <= took <= 30, "it is renewed by itself before it ends", f"after {took:.0f} s of 30 s")
        say(server.trusted(), "and the new one is good")
    acme.stop()
    acme.start()
    print("-- renewal by ARI")
    acme.window = (86400, 2 * 86400)
    with Server("ari", acme, acme.tls) as server:
        until("there is a certificate", 60, lambda: not is_ours(server.certificate()))
        until("the suggestion is taken", 20, lambda: 86300 < seconds_until(server.status()["next_renewal"]) < 2 * 86400)
        say(True, "the suggested window is taken", server.status()["next_renewal"])
        first = server.certificate()
    acme.window, acme.orders, acme.replacing = (-7200, -3600), 0, 0
    with Server("ari", acme, acme.tls) as server:
        # The next word is that all is well, or it would be renewed for ever.
        until("it is renewed at once when the window has passed", 60, lambda: server.certificate() != first)
        acme.window = (86400, 2 * 86400)
        say(True, "it is renewed at once when the window has passed")
        say(acme.replacing >= 1, "and the order names what it replaces", f"{acme.replacing} of {acme.orders}")
    acme.window = None
    print("-- the server has forgotten the account")
    acme.stop()
    acme.start()
    with Server("ari", acme, acme.tls) as server:
        first = server.certificate()
        code, status = server.renew()
        say(code == 0 and server.certificate() != first and server.trusted(), "a new account is made", status.get("last_error") or "")


def external_account(acme):
    print("-- external account binding")
    acme.stop()
    key = base64.urlsafe_b64encode(os.urandom(32)).decode().rstrip("=")
    acme.start(externalAccountBindingRequired=True, externalAccountMACKeys={"kid-1": key})
    (WORK / "eab.key").write_text(key + "\n")
    with Server("no-eab", acme, acme.tls) as server:
        until("the failure is told", 60, lambda: server.status()["last_error"])
        error = server.status()["last_error"]
        say("tls.eab_kid" in error, "without one the status says what to set", error)
    extra = f'eab_kid = "kid-1"\neab_hmac_key_file = "{WORK}/eab.key"'
    with Server("eab", acme, acme.tls, extra=extra) as server:
        until("there is a certificate", 60, lambda: not is_ours(server.certificate()))
        say(server.trusted(), "with one there is a certificate")


def finish():
    if misses:
        print(f"{len(misses)} missed; logs are in {WORK}")
        return 1
    shutil.rmtree(WORK)
    print("all seen")
    return 0


def main():
    make_ca()
    acme = Acme()
    try:
        tls_alpn_and_the_directory_down(acme)
        http_challenge(acme)
        what_is_in_the_way(acme)
        renewals(acme)
        external_account(acme)
        log = (WORK / "pebble.log").read_text()
        say("Configured to reject 5% of good nonces" in log and "ALWAYS_VALID" not in log,
            "pebble really checked, and rejected good nonces", f"{acme.rejected_nonces} of them")
    finally:
        acme.stop()
        acme.dns_server.terminate()
    return finish()


sys.exit(main())
