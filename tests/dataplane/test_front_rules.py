"""What rules make of something in front: they stay whole, and believe it of its interface and tables alone."""

import pytest
from golden_host import FAILSAFES, MEMBERS, host

from tortie.dataplane.iptables.marks import front_marks, marks_of
from tortie.dataplane.iptables.render import Renderer as IptablesRenderer
from tortie.dataplane.iptables.table import Key
from tortie.dataplane.nftables import marks
from tortie.dataplane.nftables.render import Renderer as NftRenderer
from tortie.dataplane.surroundings import Surroundings

NAME, AROUND, MASK = host().interface.name, Surroundings(FAILSAFES), 0xFFFF0000


@pytest.mark.parametrize("front", [marks.FRONT, front_marks(marks_of(MASK))], ids=["nftables", "iptables"])
def test_each_thing_that_can_be_said_is_a_mark_of_its_own_within_the_mask(front: marks.FrontMarks) -> None:
    assert len(set(front.told)) == 4
    assert all(mark and mark & ~front.mask == 0 for mark in front.told)


@pytest.mark.parametrize("parity", [0, 1])
def test_nft_rules_stay_whole_and_believe_one_interface_and_parity(parity: int) -> None:
    alone = NftRenderer().render([host()], MEMBERS, AROUND, {})
    fronted = NftRenderer().render([host()], MEMBERS, AROUND, {}, {NAME: parity, "gone": parity})
    assert {name for name in fronted.chains if fronted.chains[name] != alone.chains.get(name)} == {
        "front",
        "raw-prerouting",
    }
    believed = [fronted.fixed[name].elements for name in ("front-even", "front-odd")]
    assert believed[parity] == (f'"{NAME}"',) and believed[1 - parity] == ()
    assert fronted.chains["front"].rules[-1] == marks.CLEAR
    assert fronted.chains["raw-prerouting"].rules[1:] == alone.chains["raw-prerouting"].rules[1:]


@pytest.mark.parametrize("parity", [0, 1])
@pytest.mark.parametrize("version", [4, 6])
def test_iptables_rules_stay_whole_and_believe_one_interface_and_parity(version: int, parity: int) -> None:
    renderer, front = (
        IptablesRenderer(marks_of(MASK), appends=False, has_instructions=True),
        front_marks(marks_of(MASK)),
    )
    alone = renderer.render([host()], (4, 6), MEMBERS, AROUND).tables
    fronted = renderer.render([host()], (4, 6), MEMBERS, AROUND, {NAME: parity, "gone": parity}).tables
    assert {key for key in fronted if fronted[key] != alone[key]} == {Key(4, "raw"), Key(6, "raw")}
    before, after = alone[Key(version, "raw")].chains, fronted[Key(version, "raw")].chains
    own = {"tortie-front", "tortie-front-allowed", "tortie-front-passed", "tortie-not-in-front"}
    assert {name for name in after if after[name] != before.get(name)} == {*own, "tortie-PREROUTING"}
    assert after["tortie-not-in-front"] == before["tortie-PREROUTING"][1:]
    texts = [rule.text for rule in after["tortie-front"]]
    for mark in front.told:
        is_believed = mark in (front.allowed[parity], front.goes_on[parity])
        assert any(f"-i {NAME} -m mark --mark {mark:#x}/" in text for text in texts) is is_believed
    assert not any("gone" in text for text in texts)
