"""Classes of addresses: nobody who is told apart shares one, and nobody who is not has two."""

from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from strategies import random_address, random_nets
from tortie.model.address import WIDTH, parse_net
from tortie.model.space.addresses import classify, joined, nets_of


def intervals(version: int, *texts: str) -> list[tuple[int, int]]:
    nets = (parse_net(text, strict=True) for text in texts)
    return [(net.address, net.address | (1 << WIDTH[version] - net.length) - 1) for net in nets]


@settings(max_examples=100, deadline=None)
@given(st.builds(Random, st.integers(0, 2**32)), st.sampled_from((4, 6)))
def test_two_addresses_are_in_one_class_where_the_same_atoms_have_them(rng: Random, version: int) -> None:
    atoms = {f"atom-{number}": random_nets(rng, version, 6) for number in range(rng.randrange(6))}
    found = classify(version, atoms, ())

    def having(address: int) -> frozenset[str]:
        return frozenset(name for name, nets in atoms.items() if any(net.contains(version, address) for net in nets))

    by_class = [having(example) for example in found.examples]
    assert len(set(by_class)) == len(by_class)
    for number, example in enumerate(found.examples):
        assert found.of(example) == number
    for address in (random_address(rng, version) for _ in range(50)):
        assert having(address) == by_class[found.of(address)]
    for name, nets in atoms.items():
        ends = ((net.address, net.address | (1 << WIDTH[version] - net.length) - 1) for net in nets)
        assert found.addresses(found.of_atom[name]) == joined(ends)


def test_the_example_of_a_class_is_a_usual_address_or_one_that_a_host_may_have() -> None:
    atoms = {"ten": [parse_net("10.0.0.0/8", strict=True)], "low": [parse_net("0.0.0.0/8", strict=True)]}
    found = classify(4, atoms, (0xCB007109, 0x0A000009))
    assert [found.examples[found.of(address)] for address in (0, 0x0A112233, 0xFFFFFFFF)] == [1, 0x0A000009, 0xCB007109]


@pytest.mark.parametrize(
    ("version", "nets"),
    [(4, ("10.0.0.0/8",)), (4, ("0.0.0.0/0",)), (4, ("10.0.0.1/32", "10.0.0.2/31")), (6, ("2001:db8::/32", "::/128"))],
)
def test_intervals_of_addresses_are_told_as_the_fewest_nets(version: int, nets: tuple[str, ...]) -> None:
    found = nets_of(version, joined(intervals(version, *nets)))
    assert sorted(map(str, found)) == sorted(nets)


def test_intervals_that_touch_are_one() -> None:
    assert joined([(5, 9), (0, 4), (11, 12), (6, 7)]) == ((0, 9), (11, 12))
