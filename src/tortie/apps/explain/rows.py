"""Outcomes of a study as rows for people: networks, ports, and the names of what a rule refers to. Pure."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import cast

from tortie.apps.explain.answers import NetsAnswer, OutcomeAnswer, SelectionAnswer
from tortie.apps.explain.study import Outcome, Study
from tortie.apps.labelled import Things
from tortie.apps.packets import protocol_name
from tortie.apps.sentences import MEANING, place, shown_index
from tortie.apps.trace.conditions import field_of, set_name
from tortie.apps.trace.origins import Origins
from tortie.model.address import WIDTH, Net
from tortie.model.host import Host
from tortie.model.ipset import NamedPortSet, SelectorSet, SetSource
from tortie.model.matches import PortMatch, SetMatch
from tortie.model.packet import PORTED, Direction, Side
from tortie.model.rule import Rule
from tortie.model.space import PacketSpace, Space
from tortie.model.verdict import Reason, RuleRef

MOST_NETS = 256
"""Networks that an answer names; their number is always told."""
Spans = tuple[tuple[int, int], ...]
_EVERY_PORT = ((0, 65535),)


@dataclass(frozen=True, slots=True)
class Names:
    """What rules of a host refer to, by the names of people, and where rules stand."""

    host: Host
    things: Things
    origins: Origins

    def selections(self, rule: Rule) -> list[SelectionAnswer]:
        """What each set stands for that the rule refers to."""
        found = []
        for match in rule.matches:
            sources: Iterable[SetSource] = ()
            if isinstance(match, SetMatch):
                sources = (match.source,)
            elif isinstance(match, PortMatch):
                sources = match.named
            found += [self._selection(field_of(match), source) for source in sources]
        return found

    def _selection(self, field: str, source: SetSource) -> SelectionAnswer:
        members = self.host.sets.get(source.set_id)
        things: list[str] = []
        match source:
            case SelectorSet(selector):
                things = [str(one) for one in self.things.selected(selector)]
            case NamedPortSet(selector, _, name):
                named = self.things.selected(selector)
                things = [str(one) for one in named if name in (port.name for port in one.ports)]
            case _:
                pass
        networks = None if members is None else len(members)
        return {"field": field, "selector": set_name(source), "things": things, "networks": networks}

    def called(self, ref: RuleRef) -> str:
        """The rule or what decides without being one."""
        return place(ref.tier, str(self.origins.named(ref.policy)), shown_index(ref))


def rows_of(found: Study, direction: Direction, names: Names) -> list[OutcomeAnswer]:
    """The outcomes in the order of the walk, so that the first row that fits a packet is its own, unless a row before
    it says that it is a part only. `direction`: whose addresses people ask for: those of the other end."""
    base = _Values(found.base, direction)
    outcomes = [part for one in found.outcomes for part in _by_protocol(one, found.packets)]
    values = [_Values(one.space, direction) for one in outcomes]
    rest = _rest(values, base)
    later, rows = found.packets.nothing, []
    for number in reversed(range(len(outcomes))):
        one = outcomes[number]
        is_partial = bool(one.space.box() & later & found.base)
        row = {**_row(one, direction, names), **values[number].beside(base, is_rest=number == rest)}
        rows.append({**row, "is_partial": is_partial})
        later |= one.space
    return cast(list[OutcomeAnswer], rows[::-1])


def _by_protocol(one: Outcome, packets: PacketSpace) -> list[Outcome]:
    """The outcome, or one for each protocol where each has ports of its own."""
    protocols = one.space.protocols()
    if len(protocols) == 1 or not _all_ported(protocols) or one.space.ports(Side.DESTINATION) == _EVERY_PORT:
        return [one]
    return [replace(one, space=one.space & packets.protocols(number)) for number, _ in protocols]


def _all_ported(protocols: Spans) -> bool:
    return all(first == last and first in PORTED for first, last in protocols)


class _Values:
    """A set of packets by its fields, each by itself."""

    def __init__(self, space: Space, direction: Direction) -> None:
        remote, near = Side.SOURCE, Side.DESTINATION
        if direction is Direction.EGRESS:
            remote, near = near, remote
        self.remotes = {version: space.addresses(remote, version) for version in (4, 6)}
        self.nears = {version: space.addresses(near, version) for version in (4, 6)}
        self.protocols = space.protocols()
        has_ports = _all_ported(self.protocols)
        self.ports = space.ports(Side.DESTINATION) if has_ports else None
        self.source_ports = space.ports(Side.SOURCE) if has_ports else None

    def beside(self, base: "_Values", *, is_rest: bool) -> dict[str, object]:
        """The fields of a row; what is as in the base does not matter."""
        matters = any(self.nears[version] not in ((), base.nears[version]) for version in (4, 6))
        is_everyone = self.remotes == base.remotes
        return {
            "protocols": None if self.protocols == base.protocols else _shown_protocols(self.protocols),
            "ports": _shown_spans(self.ports, base.ports),
            "source_ports": _shown_spans(self.source_ports, base.source_ports),
            "remotes": _nets(self.remotes, is_everyone=is_everyone, is_rest=is_rest),
            "nears": _nets(self.nears) if matters else None,
        }


def _row(one: Outcome, direction: Direction, names: Names) -> dict[str, object]:
    """What decides."""
    ref = one.rule
    return {
        "verdict": one.verdict.value,
        "stage": one.stage.value,
        "is_tracked": one.is_tracked,
        "is_rejected": one.is_rejected,
        "reason": one.reason.value,
        "because": _because(one, names),
        "tier": "" if ref is None else ref.tier,
        "policy": "" if ref is None else str(names.origins.named(ref.policy)),
        "rule": None if ref is None else shown_index(ref),
        "origin": "" if ref is None else names.origins.place(ref, direction),
        "selections": [] if one.decider is None else names.selections(one.decider),
    }


def _because(one: Outcome, names: Names) -> str:
    if one.rule is not None:
        return names.called(one.rule)
    if one.reason is Reason.FORWARDED:
        return "no policy of the class forward decides, and what it does not deny passes"
    return MEANING[one.reason]


def _nets(found: Mapping[int, Sequence[Net]], *, is_everyone: bool = False, is_rest: bool = False) -> NetsAnswer:
    """Networks as JSON, the first of them by name."""
    nets = [net for version in (4, 6) for net in found[version]]
    shown = [shown_net(net) for net in nets[:MOST_NETS]]
    return {"nets": shown, "count": len(nets), "is_everyone": is_everyone, "is_rest": is_rest}


def shown_net(net: Net) -> str:
    """A single address without its length."""
    return str(net).removesuffix(f"/{WIDTH[net.version]}")


def _shown_spans(spans: Spans | None, base: Spans | None) -> list[str] | None:
    if spans is None or spans == (base or _EVERY_PORT):
        return None
    return [str(first) if first == last else f"{first}:{last}" for first, last in spans]


def _shown_protocols(spans: Spans) -> list[str]:
    """Names of protocols, or stretches of their numbers."""
    return [protocol_name(first) if first == last else f"{first}:{last}" for first, last in spans]


def _rest(values: Sequence[_Values], base: _Values) -> int | None:
    """The row that people call everyone else: more than half of all addresses, none of which another row has."""
    if len(values) < 2 or any(_overlap(values, version) for version in (4, 6)):
        return None
    sizes = [_size(one) for one in values]
    largest = max(range(len(sizes)), key=lambda number: sizes[number])
    return largest if sizes[largest] > _size(base) / 2 and values[largest].remotes != base.remotes else None


def _size(one: _Values) -> float:
    """The share of all addresses, each IP version by itself."""
    return sum(2.0**-net.length for nets in one.remotes.values() for net in nets)


def _overlap(values: Sequence[_Values], version: int) -> bool:
    """Whether two of them have an address in common."""
    width = WIDTH[version]
    stretches = sorted(
        (net.address, net.address | (1 << width - net.length) - 1) for one in values for net in one.remotes[version]
    )
    return any(first[1] >= second[0] for first, second in pairwise(stretches))
