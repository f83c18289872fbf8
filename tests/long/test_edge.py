"""The simulation of sites whose clocks fail finds what it is there to find.

    python3 -m unittest tests/long/test_edge.py

Each rule of the client that is broken on purpose shows in the figure that is
about it. Needs `cryptography`, as the client does.
"""

import contextlib
import importlib.machinery
import importlib.util
import pathlib
import unittest
from unittest import mock

PATH = str(pathlib.Path(__file__).with_name("edge"))


def load():
    loader = importlib.machinery.SourceFileLoader("simulation", PATH)
    module = importlib.util.module_from_spec(importlib.util.spec_from_loader("simulation", loader))
    loader.exec_module(module)
    return module


simulation = load()
Core = simulation.edge.Core
kept_start = Core.__init__


def by_the_wall(self, mono, wall):
    self.mono, self.time, self.skew = mono, wall, 0


def forgets(self, site_id, pins, kept, mono, wall):
    kept_start(self, site_id, pins, kept, mono, wall)
    if self.lease:
        self.time = self.lease["iat"]


def trusts(self, site_id, pins, kept, mono, wall):
    kept_start(self, site_id, pins, kept, mono, wall)
    if self.lease:
        self.time = max(self.time, wall)


def figures(sites=60, **broken):
    with contextlib.ExitStack() as stack:
        for name, function in broken.items():
            stack.enter_context(mock.patch.object(Core, name, function))
        return simulation.part(0, sites, 7, 200)


class Simulation(unittest.TestCase):
    def test_the_kit_keeps_every_figure_and_the_same_seed_gives_the_same(self):
        seen = figures()
        self.assertEqual({name: seen[name] for name in simulation.NONE_OF}, dict.fromkeys(simulation.NONE_OF, 0))
        self.assertGreater(seen["restarts"], 100)
        self.assertGreater(seen["stopped checks"], 100)
        self.assertEqual(seen, figures())

    def test_time_by_the_tills_clock_stops_sites_wrongly_and_is_gained(self):
        seen = figures(tick=by_the_wall)
        self.assertGreater(seen["stopped while licensed and cut off for less than the grace"], 0)
        self.assertGreater(seen["gained more than the time off"], 0)

    def test_time_forgotten_at_a_restart_is_gained(self):
        self.assertGreater(figures(**{"__init__": forgets})["gained more than the time off"], 0)

    def test_a_clock_that_is_ahead_and_believed_at_a_restart_stops_sites_wrongly(self):
        seen = figures(400, **{"__init__": trusts})
        self.assertGreater(seen["stopped while licensed and cut off for less than the grace"], 0)

    def test_a_lock_that_is_not_obeyed_is_served_too_long(self):
        def ever(self):
            return {"may_serve": self.lease is not None, "why": "licensed", "warning": False}

        seen = figures(decision=ever)
        self.assertGreater(seen["serving later than lock + grace + 6 h + time off"], 0)


if __name__ == "__main__":
    unittest.main()
