"""Requests a second of short connections: without firewall, behind the kernel's connection tracking, and by tortie.

They take turns, round after round, so that what else the machine does meets them alike. What counts is the median
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
from report import Claim, Report

ROUNDS = 5
REQUESTS = 5_000
SETTLE_S = 4.5
"""What the agent still does after it said that a change is enforced is no part of a packet's cost: where it had nothing
to enforce before, its next look at the kernel, up to 3 s later, has the verifier load the programs that policy would
need if it grew. That takes a CPU for up to a second, as long as a few thousand requests do."""
NONE, CONNTRACK, UNTRACKED, TRACKED = "no firewall", "conntrack", "untracked", "tracked"
WAYS = {UNTRACKED: "untracked in XDP", TRACKED: "tracked, locked down"}
SLOWEST = {UNTRACKED: 0.6, TRACKED: 0.5}
"""How much of no firewall must be reached. The medians are above these by a third, less where the machine does other
things too, and a claim that fails by chance is worth nothing."""


def requests_per_second(lab: Lab) -> float:
    """Of `redis-benchmark`, a new connection for each request."""
    words = ("-h", HOST, "-t", "set", "-c", "16", "-n", str(REQUESTS), "-k", "0", "--csv")
    said = lab.client.run("taskset", "--cpu-list", str(facts.load_cpu()), "redis-benchmark", *words)
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


def measure(lab: Lab, documents: Mapping[str, Path], told: Callable[[str], None]) -> Rates:
    """All rounds, `documents` being what tortie enforces in some; starts and ends with nothing enforced or tracked."""
    found: dict[str, list[float]] = {NONE: [], CONNTRACK: [], **{name: [] for name in documents}}
    for number in range(ROUNDS):
        found[NONE].append(requests_per_second(lab))
        facts.make_kernel_track(lab)
        found[CONNTRACK].append(requests_per_second(lab))
        lab.host.nft("delete table inet track")
        lab.host.run("conntrack", "-F")  # or tortie would take thousands of dead connections over
        for name, path in documents.items():
            lab.must("apply", "-f", path)
            time.sleep(SETTLE_S)
            found[name].append(requests_per_second(lab))
            lab.must("delete", "-f", path)
        told(f"round {number + 1} of {ROUNDS}: " + ", ".join(f"{name} {of[-1]:,.0f}" for name, of in found.items()))
    return Rates(found)


def compare(lab: Lab, report: Report, documents: Mapping[str, Path]) -> None:
    """What tortie enforces, by `UNTRACKED` or `TRACKED`, beside the machine without it."""
    rates = measure(lab, documents, report.note)
    for name in documents:
        ratio = rates.ratio(name, NONE)
        report.claim(
            Claim(
                name=f"requests/s, a new connection for each: {WAYS[name]}",
                before=f"{rates.median(NONE):,.0f} without firewall, {rates.median(CONNTRACK):,.0f} with conntrack",
                after=f"{rates.median(name):,.0f}",
                evidence=f"{ratio:.2f} of no firewall, {rates.ratio(name, CONNTRACK):.2f} of conntrack; "
                f"medians of {ROUNDS} interleaved rounds of {REQUESTS:,}; noisy: 10% mean little",
                holds=ratio >= SLOWEST[name],
                expected=f"at least {SLOWEST[name]} of no firewall",
            )
        )
