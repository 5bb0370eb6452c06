"""Sets whose members come packed are those that they would be with a value for each: in the calculation, in drivers and
in the records of the classifier."""

from collections.abc import Mapping

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tortie.calc import members as calculation
from tortie.calc.members import Contribution, SetMembers
from tortie.dataplane import sets as drivers
from tortie.dataplane.ebpf.members import members_of
from tortie.dataplane.ebpf.terms import SetAtom
from tortie.dataplane.sets import Sets
from tortie.model.address import WIDTH, Net
from tortie.model.desired import SetChange
from tortie.model.ipset import AddressSet, IPSet, SelectorSet
from tortie.model.nets import Nets
from tortie.model.selector import parse_selector

SOURCES = [SelectorSet(parse_selector(text)) for text in ("a == '1'", "has(a)")]
NAMES = ("one", "two", "three")


def net(version: int, number: int, length: int) -> Net:
    width = WIDTH[version]
    length = min(length, width)
    return Net(version, number << (width - 8) >> (width - length) << (width - length), length)


nets = st.builds(net, st.sampled_from((4, 6)), st.integers(0, 20), st.sampled_from((0, 1, 8, 24, 32, 128)))
few_nets = st.frozensets(nets, max_size=8)
steps = st.one_of(
    st.tuples(st.just("contribute"), st.sampled_from(NAMES), st.sampled_from(("1", "2")), few_nets),
    st.tuples(st.just("withdraw"), st.sampled_from(NAMES)),
    st.tuples(st.just("acquire"), st.sampled_from(SOURCES)),
    st.tuples(st.just("release"), st.sampled_from(SOURCES)),
    st.tuples(st.just("flush")),
)


class History:
    """The same steps in calculations that pack all sets, and none; and in what drivers keep of either."""

    def __init__(self, few: int, patience: int) -> None:
        self.few, self.patience = few, patience
        self.members, self.sets = SetMembers(), Sets()
        self.contributors, self.references = set[str](), dict.fromkeys(SOURCES, 0)

    def take(self, step: tuple[object, ...]) -> Mapping[str, SetChange | None] | None:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(calculation, "_FEW", self.few)
            patch.setattr(calculation, "_PATIENCE", self.patience)
            patch.setattr(drivers, "_FEW", 2)
            match step:
                case ("contribute", str(name), label, frozenset() as found):
                    contribution = Contribution(Nets(found))
                    self.members.set_contributor(("networkset", "", name), {"a": str(label)}, (), contribution)
                    self.contributors.add(name)
                case ("withdraw", str(name)) if name in self.contributors:
                    self.contributors.discard(name)
                    self.members.remove_contributor(("networkset", "", name))
                case ("acquire", SelectorSet() as source):
                    self.references[source] += 1
                    self.members.acquire(source)
                case ("release", SelectorSet() as source) if self.references[source]:
                    self.references[source] -= 1
                    self.members.release(source)
                case ("flush",):
                    changes = self.members.flush()
                    for set_id, change in changes.items():
                        self.sets.change(set_id, change)
                    return changes
        return None


def values(sets: Mapping[str, IPSet]) -> dict[str, frozenset[Net]]:
    return {set_id: one.members for set_id, one in sets.items() if isinstance(one, AddressSet)}


@given(st.lists(steps, max_size=40), st.sampled_from((0, 3)), st.sampled_from((2, 1_000)))
def test_histories_end_alike_packed_or_not(history: list[tuple[object, ...]], few: int, patience: int) -> None:
    packed, simple = History(few, patience), History(1 << 30, 0)
    for step in [*history, ("flush",)]:
        told, expected = packed.take(step), simple.take(step)
        if told is not None and expected is not None:
            assert {set_id: change is None for set_id, change in told.items()} == {
                set_id: change is None for set_id, change in expected.items()
            }
        assert values(packed.members.flushed()) == values(simple.members.flushed())
        assert values(packed.sets) == values(simple.sets)
    for set_id, one in packed.sets.items():
        other = simple.sets[set_id]
        assert one == other and other == one and len(one) == len(other)
        assert members_of(SetAtom(set_id), one) == members_of(SetAtom(set_id), other)


@given(few_nets, few_nets, few_nets)
def test_packed_networks_change_as_sets_do(start: frozenset[Net], come: frozenset[Net], gone: frozenset[Net]) -> None:
    changed = Nets(start).changed(come, gone)
    expected = (start - gone) | come
    assert frozenset(changed) == expected and changed == Nets(expected) and len(changed) == len(expected)
    for one in start | come | gone:
        assert (one in changed) is (one in expected) is AddressSet(changed).has(one)
    assert "10.0.0.1" not in changed
    for version, address in ((4, 5 << 24), (6, 5 << 120)):
        assert AddressSet(changed).contains(version, address) is AddressSet(expected).contains(version, address)
