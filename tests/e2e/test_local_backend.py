"""When the example local backend calls next, and what it makes of answers.

    python3 -m unittest tests/e2e/test_local_backend.py
"""

import contextlib
import http.server
import io
import json
import pathlib
import subprocess
import sys
import tempfile
import threading
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[2] / "examples"))

import local_backend as backend  # noqa: E402 (its directory is known only now)

LEAST, MIDDLE, MOST = (lambda: 0.0), (lambda: 0.5), (lambda: 1.0)


class NextCall(unittest.TestCase):
    def test_after_an_answer_it_is_six_hours_give_or_take_a_tenth(self):
        waits = [backend.next_call(0, random=draw) / 3600 for draw in (LEAST, MIDDLE, MOST)]
        for wait, hours in zip(waits, (5.4, 6.0, 6.6)):
            self.assertAlmostEqual(wait, hours)

    def test_the_bound_doubles_with_each_failure_up_to_half_an_hour(self):
        bounds = [backend.next_call(failures, random=MOST) for failures in range(1, 10)]
        self.assertEqual(bounds, [30, 60, 120, 240, 480, 960, 1800, 1800, 1800])

    def test_months_of_failures_neither_overflow_nor_wait_longer(self):
        self.assertEqual(backend.next_call(100_000, random=MOST), 1800)

    def test_it_waits_at_least_as_long_as_the_server_asks_and_not_in_step(self):
        self.assertEqual(backend.next_call(1, 600, random=LEAST), 600)
        self.assertEqual(backend.next_call(1, 600, random=MOST), 630)


class RetryAfter(unittest.TestCase):
    def test_it_may_be_seconds(self):
        self.assertEqual(backend.seconds_to_wait("120"), 120)

    def test_it_may_be_a_date(self):
        # RFC 9110, section 5.6.7: this example is 784111777 s after the epoch.
        date = "Sun, 06 Nov 1994 08:49:37 GMT"
        self.assertEqual(backend.seconds_to_wait(date, now=lambda: 784_111_777 - 90), 90)
        self.assertEqual(backend.seconds_to_wait(date, now=lambda: 784_111_777 + 90), 0)

    def test_what_cannot_be_read_asks_for_nothing(self):
        for text in (None, "", "soon", "-5", "1.5"):
            self.assertEqual(backend.seconds_to_wait(text), 0, text)

    def test_it_never_silences_a_site_for_longer_than_the_interval(self):
        self.assertEqual(backend.seconds_to_wait("99999999"), 6 * 3600)


class Checked(unittest.TestCase):
    def test_a_verdict_passes_and_a_newer_field_with_it(self):
        verdict = {"licensed": True, "locked": False, "lock_reason": None, "expires_at": None, "newer": 1}
        self.assertEqual(backend.checked(verdict), verdict)

    def test_what_is_no_verdict_is_refused(self):
        for answer in ([], "x", None, {}, {"licensed": True}, {"licensed": "yes", "locked": False}):
            with self.assertRaises(ValueError):
                backend.checked(answer)


class Answer(http.server.BaseHTTPRequestHandler):
    """Gives what its server was told to, and notes what it was asked."""

    def do_POST(self):
        self.server.asked.append((self.command, self.path, dict(self.headers)))
        self.rfile.read(int(self.headers["Content-Length"]))
        status, headers, body = self.server.answers.pop(0)
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    do_GET = do_POST

    def log_message(self, *_):
        pass


class Calls(unittest.TestCase):
    """Calls to a server that answers as told."""

    def setUp(self):
        self.server = http.server.HTTPServer(("127.0.0.1", 0), Answer)
        self.server.answers, self.server.asked = [], []
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
        self.addCleanup(self.server.server_close)
        self.addCleanup(self.server.shutdown)
        room = tempfile.TemporaryDirectory()
        self.addCleanup(room.cleanup)
        self.file = room.name + "/verdict.json"
        self.backend = self.started()

    def started(self):
        url = f"http://127.0.0.1:{self.server.server_port}/"
        return backend.LocalBackend(url, "the id", "the key", verdict_file=self.file)

    def call(self, status, body=b"", **headers):
        self.server.answers.append((status, headers, body))
        with contextlib.redirect_stderr(io.StringIO()):
            return self.backend.call()

    def lock(self):
        verdict = {"licensed": True, "locked": True, "lock_reason": "Payment overdue", "expires_at": None}
        self.call(200, json.dumps(verdict).encode())
        self.assertFalse(self.backend.may_serve())

    def test_a_new_site_may_work_until_the_first_answer(self):
        self.assertTrue(self.backend.may_serve())

    def test_what_is_no_verdict_changes_nothing_and_is_asked_again_soon(self):
        self.lock()
        portal = b"<html>Welcome! Log in to the hotel network.</html>"
        for status, body in (
            (200, portal),
            (200, b""),
            (200, b"\xff\xfe"),
            (200, b"[" * 60_000),
            (200, b'"' + b"x" * 1_000_000),
            (200, b"{}"),
            (401, b"{}"),
            (500, portal),
        ):
            wait = self.call(status, body)
            self.assertLessEqual(wait, backend.MAX_RETRY_SECONDS, (status, body[:20]))
            self.assertFalse(self.backend.may_serve(), (status, body[:20]))
        self.assertEqual(self.backend.failures, 8)

    def test_a_lock_outlives_a_restart_while_the_server_is_away(self):
        self.lock()
        self.backend = self.started()
        self.assertFalse(self.backend.may_serve())
        self.assertEqual(self.backend.verdict["lock_reason"], "Payment overdue")
        self.call(503)
        self.assertFalse(self.backend.may_serve())

    def test_a_verdict_file_that_is_damaged_is_that_of_a_new_site(self):
        self.lock()
        with open(self.file, "w", encoding="utf-8") as file:
            file.write('{"licensed": tr')
        self.assertTrue(self.started().may_serve())

    def test_the_key_follows_no_redirect(self):
        for status in (301, 302, 303, 307, 308):
            self.call(status, Location="/portal")
        self.assertEqual([path for _, path, _ in self.server.asked], ["/api/heartbeat"] * 5)
        self.assertEqual(self.backend.failures, 5)

    def test_variables_that_are_missing_are_named(self):
        example = pathlib.Path(backend.__file__)
        environment = {"SITEWARDEN_SITE_ID": "x"}
        run = subprocess.run([sys.executable, example], env=environment, capture_output=True, text=True, timeout=60)
        self.assertEqual((run.returncode, run.stderr), (1, "set SITEWARDEN_URL, SITEWARDEN_SITE_KEY\n"))

    def run_example(self, *arguments, **environment):
        environment = {"SITEWARDEN_SITE_ID": "x", "SITEWARDEN_SITE_KEY": "y", **environment}
        example = pathlib.Path(backend.__file__)
        return subprocess.run(
            [sys.executable, example, *arguments], env=environment, capture_output=True, text=True, timeout=60
        )

    def test_a_url_without_a_scheme_is_told_in_one_line(self):
        run = self.run_example("--once", SITEWARDEN_URL="licences.example.com")
        self.assertEqual((run.returncode, run.stderr.count("\n")), (1, 1), run.stderr)
        self.assertIn("SITEWARDEN_URL must begin with https://", run.stderr)

    def test_a_certificate_that_cannot_be_read_is_told_in_one_line(self):
        for file in ("/missing.pem", backend.__file__):
            run = self.run_example("--once", SITEWARDEN_URL="https://licences.example.com", SITEWARDEN_CACERT=file)
            self.assertEqual((run.returncode, run.stderr.count("\n")), (1, 1), run.stderr)
            self.assertIn(f"cannot read the certificate in {file} that SITEWARDEN_CACERT names", run.stderr)

    def test_help_tells_what_it_is_and_calls_nobody(self):
        for flag in ("-h", "--help"):
            run = self.run_example(flag)
            self.assertEqual((run.returncode, run.stderr), (0, ""))
            self.assertIn("SITEWARDEN_URL", run.stdout)


if __name__ == "__main__":
    unittest.main()
