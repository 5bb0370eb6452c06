"""Requests a second of short connections: without firewall, with connection tracking, and untracked by tortie.

The three take turns, round after round, so that what else the machine does meets them alike; the median of the rounds
counts.
"""

import csv
import statistics
import time
from collections.abc import Callable, Mapping
from pathlib import Path

import facts
from lab import HOST, Lab, LabError

ROUNDS = 3
REQUESTS = 6_000
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


def measure(lab: Lab, documents: Path, told: Callable[[str], None]) -> Mapping[str, float]:
    """The median of each; starts and ends with nothing of tortie's enforced, and without a rule that tracks.

    Needs: no tracking rule, and none of `documents` applied.
    """
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
    return {name: statistics.median(of) for name, of in found.items()}
