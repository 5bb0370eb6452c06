"""What the two differential tests share: how much of the million pairs each compares, and how a difference is told."""

import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from dissect import dissect
from dressing import JUMBO, ORDINARY, Dressed, told
from shrinking import as_yaml
from strategies import Case
from tortie.model.packet import Packet

SCALE = float(os.environ.get("TORTIE_DIFFERENTIAL_SCALE", "10" if os.environ.get("TORTIE_SOAK") == "1" else "1"))
LONGEST = {"xdp": JUMBO, "tc": ORDINARY}


@dataclass(frozen=True, slots=True)
class Share:
    """Cases of up to about `size` rules behind a door and a back end of the classifier, with so many packets each."""

    door: str
    backend: str
    cases: int
    size: int
    packets: int

    def __str__(self) -> str:
        return f"{self.door} {self.backend}, {self.cases} cases of {self.size} rules"


def scaled(cases: int) -> int:
    """How many, here."""
    return int(cases * SCALE)


def check_known(made: Iterable[Dressed], vlans: frozenset[int]) -> None:
    """Hold what is read from frames to what their maker knows."""
    for one in made:
        if one.known is None:
            continue
        found = dissect(one.data, vlans)
        if isinstance(one.known, Packet) and isinstance(found, Packet):
            assert told(one.known) == told(found), f"frame {one.data.hex()}"
        else:
            assert one.known == found, f"frame {one.data.hex()}"


def report(case: Case, steps: Sequence[str], what: str, where: str) -> str:
    """What a person needs to see of a difference: the policy, the frames up to it, and both verdicts."""
    host = f"addresses {case.addresses}\ntracking {case.tracking}\ninterface {case.endpoint.interface}"
    return "\n".join([f"the programs and the evaluator differ ({where})", as_yaml(case), host, *steps, what])
