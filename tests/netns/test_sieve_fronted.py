"""Drivers in netfilter's hooks with XDP in front against the evaluator, packet by packet."""

from collections import Counter
from random import Random

import pytest
from contract import FRONTED, MakeDriver
from sieve import Path, sieve
from sifting import INTERFACES, PACKETS, SEED, sifted

from tortie.dataplane.driver import Acceleration

pytestmark = pytest.mark.root

PATHS = (Path.TO_HOST, Path.THROUGH)
"""Those on which packets arrive: XDP sees no others."""


@pytest.mark.parametrize("version", [4, 6])
@pytest.mark.parametrize("path", PATHS, ids=lambda path: path.name.lower())
@pytest.mark.parametrize("make", FRONTED)
def test_t_cor_1_with_xdp_in_front_every_packet_gets_the_same_verdict_and_counts_once(
    make: MakeDriver, path: Path, version: int
) -> None:
    rng = Random(f"front {path.name} {version} {SEED}")
    with sieve(path, INTERFACES, has_frames=True) as made:
        places = Counter(
            one.acceleration
            for driver in sifted(rng, made, make, version, PACKETS // len(PATHS))
            for one in driver.status()
        )
    assert places[Acceleration.XDP] > places.total() / 6, places
