"""When the example local backend calls next, and what it makes of answers.

    python3 -m unittest tests/e2e/test_local_backend.py
"""

import pathlib
import sys
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


if __name__ == "__main__":
    unittest.main()
