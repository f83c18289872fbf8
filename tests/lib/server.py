"""A sitewarden under test: starting, stopping, asking. Loopback only."""

import http.client
import json
import os
import signal
import socket
import subprocess
import time

REPO = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
BINARY = os.environ.get("DURABILITY_BINARY", os.path.join(REPO, "target/release/sitewarden"))
LOAD = os.environ.get("DURABILITY_LOAD", os.path.join(REPO, "target/release/examples/load-generator"))

CONFIG = """
data_dir = "{data}"
listen = ["127.0.0.1:0"]
[tls]
mode = "off"
[log]
level = "{level}"
format = "json"
[limits]
max_connections_per_address = 0
heartbeats_per_hour = 0
failed_heartbeats_per_minute = 0
[backup]
every_minutes = 1
"""


class UnixConnection(http.client.HTTPConnection):
    """To the control socket: sysadmin without a password."""

    def __init__(self, path):
        super().__init__("localhost", timeout=30)
        self.path = path

    def connect(self):
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self.path)


class Server:
    def __init__(self, home, level="info"):
        self.home = home
        self.data = os.path.join(home, "data")
        self.database = os.path.join(self.data, "sitewarden.redb")
        self.log = os.path.join(home, "log")
        self.config = os.path.join(home, "sitewarden.toml")
        with open(self.config, "w") as file:
            file.write(CONFIG.format(data=self.data, level=level))
        self.process = None
        self.port = None

    def start(self):
        """Starts it and returns the seconds until it answered."""
        began = time.monotonic()
        log = open(self.log, "ab")
        self.process = subprocess.Popen(
            [BINARY, "serve", "--config", self.config], stdout=subprocess.PIPE, stderr=log
        )
        log.close()
        for line in self.process.stdout:
            said = json.loads(line)
            if said["message"] == "listening on":
                self.port = int(said["url"].rsplit(":", 1)[1])
                break
        else:
            raise SystemExit(f"it did not start: see {self.log}")
        status, _ = self.ask("GET", "/health")
        assert status == 200, status
        return time.monotonic() - began

    def connection(self):
        return http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)

    def control(self):
        return UnixConnection(os.path.join(self.data, "control.sock"))

    def ask(self, method, path, body=None, connection=None, headers=None):
        """Status and document of one request; on a connection of its own."""
        own = connection or self.connection()
        headers = dict(headers or {})
        if body is not None:
            body = json.dumps(body)
            headers["Content-Type"] = "application/json"
        own.request(method, path, body, headers)
        answer = own.getresponse()
        text = answer.read()
        if connection is None:
            own.close()
        return answer.status, json.loads(text) if text else None

    def kill(self):
        self.process.kill()
        self.process.wait()

    def stop(self):
        self.process.send_signal(signal.SIGTERM)
        assert self.process.wait(60) == 0


def check(path):
    """Whether `sitewarden check` calls the file good, and what it says."""
    run = subprocess.run([BINARY, "check", "--json", path], capture_output=True, text=True, timeout=120)
    return run.returncode == 0, json.loads(run.stdout) if run.stdout.strip() else {"reason": run.stderr}


def percentile(values, share):
    values = sorted(values)
    return values[min(len(values) - 1, int(len(values) * share))] if values else 0
