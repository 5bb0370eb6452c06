"""Requests a second of short connections: without firewall, with connection tracking, and untracked by tortie.

The three take turns, round after round, so that what else the machine does meets them alike. What counts is the median
of the rounds, and for the comparison the median of each round's own ratio.
"""

import csv
import statistics
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import facts
from lab import HOST, Lab, LabError

ROUNDS = 11
REQUESTS = 4_000
SETTLE_S = 0.2
"""What the agent still does after it said that a change is enforced is no part of a packet's cost."""
NONE, TRACKED, UNTRACKED = "no firewall", "conntrack", "untracked"


def requests_per_second(lab: Lab) -> float:
    """Of `redis-benchmark`, a new connection for each request."""
    words = ("-h", HOST, "-t", "set", "-c", "16", "-n", str(REQUESTS), "-k", "0", "--csv")
    said = lab.client.run("redis-benchmark", *words)
    rows = [row for row in csv.reader(said.splitlines()) if row[:1] == ["SET"]]
    if len(rows) != 1:
        raise LabError(f"redis-benchmark did not give a rate: {said}")
    return float(rows[0][1])


@dataclass(frozen=True, slots=True)
class Rates:
    """Requests a second of each round, by what stood in their way."""

    rounds: Mapping[str, list[float]]

    def median(self, name: str) -> float:
        """Of all rounds."""
        return statistics.median(self.rounds[name])

    def ratio(self, name: str, to: str) -> float:
        """The median of what each round says."""
        return statistics.median(one / other for one, other in zip(self.rounds[name], self.rounds[to], strict=True))


def measure(lab: Lab, documents: Path, told: Callable[[str], None]) -> Rates:
    """All rounds; starts and ends with nothing of tortie's enforced, and without a rule that tracks."""
    found: dict[str, list[float]] = {NONE: [], TRACKED: [], UNTRACKED: []}
    for number in range(ROUNDS):
        found[NONE].append(requests_per_second(lab))
        facts.make_kernel_track(lab)
        found[TRACKED].append(requests_per_second(lab))
        lab.must("apply", "-f", documents)
        time.sleep(SETTLE_S)
        found[UNTRACKED].append(requests_per_second(lab))
        lab.must("delete", "-f", documents)
        lab.host.nft("delete table inet track")
        told(f"round {number + 1} of {ROUNDS}: " + ", ".join(f"{name} {of[-1]:,.0f}" for name, of in found.items()))
    return Rates(found)
