"""Bits of the mark that say where a packet arrived that IPVS passes on, and tables with and without them."""

from dataclasses import replace

import pytest
from golden_host import FAILSAFES, MEMBERS, host

from tortie.dataplane.iptables.marks import marks_of
from tortie.dataplane.iptables.render import Renderer as IptablesRenderer
from tortie.dataplane.iptables.table import Key
from tortie.dataplane.nft_egress import DEFAULT_MARK_BIT
from tortie.dataplane.nftables import marks as nftables_marks
from tortie.dataplane.nftables.render import Renderer as NftablesRenderer
from tortie.dataplane.passed_on import arrivals_of
from tortie.dataplane.surroundings import Surroundings
from tortie.model.desired import EndpointState
from tortie.model.endpoint import Interface
from tortie.model.packet import Direction
from tortie.model.policy import Stage
from tortie.model.tables import DEFAULT_MASK

BESIDE = Surroundings(FAILSAFES, has_ipvs=True)


def judging(count: int) -> list[EndpointState]:
    """Endpoints with forward ingress policy, and one more without."""
    made = [replace(host(), interface=Interface(name=f"eth{number}", index=number + 2)) for number in range(count)]
    assert all(one.stage(Stage.FORWARD, Direction.INGRESS) for one in made)
    return [*made, EndpointState(interface=Interface(name="open", index=99), endpoint="open")]


@pytest.mark.parametrize("mask", [0x3, 0xE0000000, 0x5010, marks_of(DEFAULT_MASK).arrived])
def test_values_are_within_the_mask_and_tell_each_interface_from_every_other(mask: int) -> None:
    room = 2 ** mask.bit_count() - 3
    found = arrivals_of(judging(room + 2), mask)
    values = [*found.numbered.values(), found.anywhere, found.unnumbered]
    assert len(set(values)) == len(values) == room + 2 and all(value and value & ~mask == 0 for value in values)
    assert sorted([*found.numbered, *found.crowded]) == sorted(f"eth{number}" for number in range(room + 2))
    assert len(found.crowded) == 2


def test_one_bit_cannot_tell() -> None:
    with pytest.raises(ValueError, match="fewer than 2 bits"):
        arrivals_of(judging(1), 0x10)


def test_no_driver_uses_the_bits_of_another() -> None:
    bits = marks_of(DEFAULT_MASK)
    theirs = nftables_marks.ALL | nftables_marks.ARRIVED | DEFAULT_MARK_BIT
    assert bits.arrived.bit_count() == 3
    assert (bits.all | bits.arrived).bit_count() == 8 and (bits.all | bits.arrived) & theirs == 0
    assert nftables_marks.ALL & nftables_marks.ARRIVED == 0


@pytest.mark.parametrize("believed", [{}, {"eth0": 0, "eth1": 1}])
def test_rules_of_each_driver_enter_and_leave_with_clear_marks_beside_ipvs(believed: dict[str, int]) -> None:
    states = judging(6)
    table = NftablesRenderer().render(states, MEMBERS, BESIDE, {}, believed)
    clear = nftables_marks.clear(nftables_marks.ARRIVED)
    for name in ("raw-prerouting", "mangle-postrouting"):
        first, *others = table.chains[name].rules
        assert clear in first and any(nftables_marks.CLEAR in rule or "jump front" in rule for rule in others)
    assert ("front" in table.chains) == bool(believed)
    assert sum("goto forward-in/" in rule for rule in table.chains["filter-output-arrived"].rules) == 5
    bits = marks_of(DEFAULT_MASK)
    tables = (
        IptablesRenderer(bits, appends=False, has_instructions=True)
        .render(states, (4, 6), MEMBERS, BESIDE, believed)
        .tables
    )
    for version in (4, 6):
        for table_name, chain in (("raw", "tortie-PREROUTING"), ("mangle", "tortie-POSTROUTING")):
            (first, *rest) = (rule.text for rule in tables[Key(version, table_name)].chains[chain])
            assert f"--set-xmark 0x0/{bits.arrived:#x}" in first
            assert any(f"--set-xmark 0x0/{bits.all:#x}" in rule or "-g tortie-front" in rule for rule in rest)
        rules = tables[Key(version, "filter")].chains["tortie-passed-on"]
        assert [rule.text.split()[-1] for rule in rules] == [
            *(f"tortie-fi/eth{number}" for number in range(5)),
            "DROP",
            "tortie-forward-out",
        ]


def test_a_mask_without_bits_for_it_makes_the_tables_of_a_host_without_ipvs() -> None:
    narrow = IptablesRenderer(marks_of(0x3F), appends=False, has_instructions=True)
    assert not narrow.tells_arrivals
    beside, alone = (narrow.render(judging(1), (4, 6), MEMBERS, around) for around in (BESIDE, Surroundings(FAILSAFES)))
    assert beside.tables == alone.tables
