"""A sitewarden under test, for scripts: starting it, asking it, stopping it.

    sys.path.insert(0, "…/tests/lib")
    from server import Server, program

    with Server(program(), settings="log.level = 'warn'") as server:
        status, document = server.ask("GET", "/health")

It listens on loopback, on a port that the system gives it, and has a directory
of its own: configuration, data, log. The directory stays while the server is
stopped and started again. This is the one reader of "listening on" in Python;
tests/lib/server.sh is that of the shell, tests/black_box/server.rs that of Rust.
"""

import http.client
import json
import os
import pathlib
import re
import resource
import shutil
import signal
import socket
import ssl
import subprocess
import sys
import tempfile
import threading
import time

TREE = pathlib.Path(__file__).resolve().parents[2]
TARGET = pathlib.Path(os.environ.get("CARGO_TARGET_DIR", TREE / "target"))
# As a build of 0.2 says it, and in the words of one before.
LISTENING = re.compile(r'listening on\W+(?:url\W+)?(https?://[^"\s]+)')
# What holds unless the settings say otherwise.
DEFAULTS = {
    "data_dir": '"data"',
    "listen": '["127.0.0.1:0"]',
    "metrics_listen": '""',
}

# Plain HTTP, and no limit that would keep a load out.
UNLIMITED = """
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


def program(given=None, profile="release"):
    """The program under test: `given`, else $PROGRAM, else the one built last."""
    return pathlib.Path(given or os.environ.get("PROGRAM") or TARGET / profile / "sitewarden").resolve()


def load_generator(*arguments, **options):
    """Runs the load generator: $LOAD_GENERATOR, else the one built last."""
    generator = os.environ.get("LOAD_GENERATOR", TARGET / "release/examples/load-generator")
    return subprocess.run([generator, *map(str, arguments)], check=True, **options)


def start_load_generator(*arguments, **options):
    """Starts it, and does not wait for its end."""
    generator = os.environ.get("LOAD_GENERATOR", TARGET / "release/examples/load-generator")
    return subprocess.Popen([generator, *map(str, arguments)], **options)


def free_port():
    """One that nobody listens on now, for those who have to be told before."""
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


class UnixConnection(http.client.HTTPConnection):
    """To the control socket: sysadmin without a password."""

    def __init__(self, path):
        super().__init__("localhost", timeout=30)
        self.path = str(path)

    def connect(self):
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self.path)


class Server:
    """One directory, and the process that serves it, where it is started.

    `room` is the directory; without one it makes one, which `close` removes.
    `settings` are lines of TOML. `command` is what runs the program, with its
    first arguments (a chroot); `environment` comes on top of ours without what
    configures a sitewarden; `descriptors` is the limit on open files; `on_log`
    is given each line of the log, which is in the file `log` else.
    """

    def __init__(self, program, room=None, settings="", command=None, environment=None, descriptors=None, on_log=None):
        self.program = pathlib.Path(program)
        self.own_room = room is None
        self.room = pathlib.Path(tempfile.mkdtemp(prefix="sitewarden-") if room is None else room)
        self.data = self.room / "data"
        self.database = self.data / "sitewarden.redb"
        self.certificate = self.data / "tls-certificate.pem"
        self.socket = self.data / "control.sock"
        self.config = self.room / "sitewarden.toml"
        self.log = self.room / "log"
        given = {line.split("=")[0].strip() for line in settings.splitlines()}
        defaults = [f"{key} = {value}" for key, value in DEFAULTS.items() if key not in given]
        if command is None:
            self.config.write_text("\n".join([*defaults, settings, ""]))
        self.command_line = command or [self.program, "serve", "--config", self.config]
        self.environment = {key: value for key, value in os.environ.items() if not key.startswith("SITEWARDEN_")}
        self.environment |= environment or {}
        self.descriptors, self.on_log = descriptors, on_log
        self.process = self.url = None

    def __enter__(self):
        self.start()
        return self

    def __exit__(self, *_):
        if self.process.poll() is None:
            self.kill()
        self.close()

    def start(self, wait=True):
        """Starts it, and waits until it listens."""
        limit = lambda: resource.setrlimit(resource.RLIMIT_NOFILE, (self.descriptors,) * 2)
        with open(self.log, "ab") as log:
            self.process = subprocess.Popen(
                self.command_line, cwd=self.room, env=self.environment, text=True, stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE if wait else subprocess.DEVNULL,
                stderr=subprocess.PIPE if self.on_log else log, preexec_fn=limit if self.descriptors else None)
        if self.on_log:
            threading.Thread(target=self._hand_on, args=(self.process.stderr,), daemon=True).start()
        if not wait:
            return self
        for line in self.process.stdout:
            if found := LISTENING.search(line):
                self.url = found[1]
                return self
        sys.exit(f"{self.program} did not start: {self.log.read_text()}")

    def start_and_answer(self):
        """Starts it, and gives the seconds until it answered."""
        began = time.monotonic()
        self.start()
        status, _ = self.ask("GET", "/health")
        assert status == 200, status
        return time.monotonic() - began

    def _hand_on(self, lines):
        for line in lines:
            self.on_log(line)

    @property
    def address(self):
        """Host and port that it listens on."""
        host, port = self.url.split("//")[1].rsplit(":", 1)
        return host, int(port)

    @property
    def port(self):
        return self.address[1]

    @property
    def password(self):
        """Of the first admin, as the first start left it."""
        return (self.data / "initial-admin-password").read_text().strip()

    def trust(self):
        """TLS that trusts this server's own certificate alone."""
        return ssl.create_default_context(cafile=self.certificate)

    def connection(self):
        """A new one, kept from request to request, over whatever it serves."""
        if self.url.startswith("http:"):
            return http.client.HTTPConnection(*self.address, timeout=30)
        return http.client.HTTPSConnection(*self.address, timeout=30, context=self.trust())

    def control(self):
        return UnixConnection(self.socket)

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

    def command(self, *arguments, **options):
        """Runs a command of the program against this server."""
        command = [self.program, *arguments, "--socket", self.socket]
        return subprocess.run(command, capture_output=True, text=True, env=self.environment, timeout=400, **options)

    def add_site(self):
        """Registers a site, and gives its id and key."""
        site = json.loads(self.command(
            "site", "add", "--json", "--name", "Trattoria", "--email", "a@example.com",
            "--expires", "2099-01-01T00:00:00Z", check=True).stdout)
        return site["site_id"], site["secret_key"]

    def memory_mb(self, what="VmRSS"):
        """What it holds in memory, or the most that it held (VmHWM), in MiB."""
        return int(re.search(rf"{what}:\s+(\d+)", self._proc("status"))[1]) / 1024

    def cpu_seconds(self):
        fields = self._proc("stat").rsplit(")", 1)[1].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def _proc(self, name):
        return pathlib.Path(f"/proc/{self.process.pid}/{name}").read_text()

    def kill(self):
        """As a power cut would, but for what the system has not written yet."""
        self.process.kill()
        self.process.wait()
        self._let_go()

    def stop(self):
        """Stops it in good order and gives its exit code."""
        self.process.send_signal(signal.SIGTERM)
        code = self.process.wait(60)
        self._let_go()
        return code

    def _let_go(self):
        if self.process.stdout:
            self.process.stdout.close()

    def close(self):
        """Removes the directory that it made itself."""
        if self.own_room:
            shutil.rmtree(self.room, ignore_errors=True)


def check(program, path):
    """Whether `sitewarden check` calls the file good, and what it says."""
    run = subprocess.run([program, "check", "--json", path], capture_output=True, text=True, timeout=120)
    return run.returncode == 0, json.loads(run.stdout) if run.stdout.strip() else {"reason": run.stderr}


def percentile(values, share):
    values = sorted(values)
    return values[min(len(values) - 1, int(len(values) * share))] if values else 0
