"""That the simulation of herds counts right, where the sum can be done by hand.

    python3 -m unittest tests/long/load/test_herd.py
"""

import importlib.machinery
import importlib.util
import pathlib
import unittest

LOADER = importlib.machinery.SourceFileLoader("herd", str(pathlib.Path(__file__).with_name("herd")))
herd = importlib.util.module_from_spec(importlib.util.spec_from_loader("herd", LOADER))
LOADER.exec_module(herd)


class InStep(unittest.TestCase):
    def test_all_that_the_server_can_hold_are_answered_one_after_the_other(self):
        # They fail at 0 and at 30 s, and wait for 60 s more.
        run = herd.Herd(5_000, 60, 1_000, "in step").run()
        self.assertEqual((run.peak(), run.failed_sites), (5_000, 5_000))
        self.assertAlmostEqual(run.seconds(), 30 + 5)
        self.assertEqual((run.unconnected, run.timed_out, run.throttled), (0, 0, 0))

    def test_beyond_what_the_server_can_hold_only_those_who_connect_in_15_s_are_answered(self):
        run = herd.Herd(100_000, 60, 1_000, "in step")
        while not run.unconnected:
            run.run_one()
        self.assertAlmostEqual(run.answered, herd.PLACES + herd.BACKLOG + 15 * 1_000, delta=1)

    def test_a_server_too_slow_for_its_places_has_handshakes_time_out(self):
        run = herd.Herd(5_000, 60, 300, "in step")
        while run.calls[0][0] < 91:
            run.run_one()
        # 4,096 places at 300 a second are more than 10 s of handshakes.
        self.assertEqual(run.answered, 300 * herd.HANDSHAKE_SECONDS)
        self.assertEqual(run.timed_out, 2_000)


class AtRandom(unittest.TestCase):
    def test_the_same_seed_gives_the_same_herd_and_another_another(self):
        results = [herd.Herd(1_000, 60, 1_000, "together", seed=seed).run().seconds() for seed in (1, 1, 2)]
        self.assertEqual(results[0], results[1])
        self.assertNotEqual(results[0], results[2])

    def test_sites_that_call_at_their_own_times_notice_an_outage_when_theirs_comes(self):
        run = herd.Herd(21_600, 600, 1_000, "spread")
        self.assertAlmostEqual(run.failed_sites, 600, delta=100)

    def test_it_ends_when_every_site_that_failed_has_been_answered(self):
        run = herd.Herd(2_000, 3_600, 1_000, "together").run()
        self.assertEqual(sum(failures > 0 for failures in run.failures), 0)
        self.assertLess(run.seconds(), herd.client.MAX_RETRY_SECONDS + 1)


class Kinds(unittest.TestCase):
    def test_a_server_that_lets_connections_time_out_is_asked_less_often(self):
        failures = {
            kind: sum(herd.Herd(500, 600, 1_000, "together", kind).failures)
            for kind in ("gone", "silent", "unavailable")
        }
        self.assertLess(failures["silent"], failures["gone"])
        self.assertLess(failures["unavailable"], failures["gone"])

    def test_a_site_that_calls_again_and_again_is_throttled_after_its_burst(self):
        run = herd.Herd(1, 60, 1_000, "together")
        for _ in range(herd.BURST + 3):
            run._serve(100.0, 0)
        self.assertEqual((run.answered, run.throttled), (herd.BURST, 3))


if __name__ == "__main__":
    unittest.main()
