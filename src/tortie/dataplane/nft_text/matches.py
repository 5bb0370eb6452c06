"""One policy rule's matches as nft expressions: its alternatives, those of both IP versions in one line where they are
equal."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import assert_never

from tortie.dataplane.alternatives import (
    ALL_PROTOCOLS,
    PROTOCOL_NUMBERS,
    VERSIONS,
    AmongNets,
    AmongPorts,
    Condition,
    InSet,
    OfType,
    alternatives,
    numbers,
)
from tortie.dataplane.named_sets import SetTable
from tortie.model.packet import Side
from tortie.model.rule import Rule

_FAMILY = {4: "ip", 6: "ip6"}
_ADDRESS_FIELD = {Side.SOURCE: "saddr", Side.DESTINATION: "daddr"}
_LAST_PORT = 65535
_PORT_FIELD = {Side.SOURCE: "sport", Side.DESTINATION: "dport"}


@dataclass(frozen=True, slots=True)
class Line:
    """The match part of one nft rule. `is_sure` False: packets for which the policy rule may or may not hold."""

    text: str
    is_sure: bool


def match_lines(rule: Rule, *, is_later: bool, table: SetTable) -> list[Line]:
    """The nft rules' match parts for one policy rule; no packet meets two of them.

    A later fragment for which a match needs what it does not show gives a line that is not sure.
    """
    return list(_lines(rule, is_later, table) if rule.set_sources() else _plain_lines(rule, is_later))


@lru_cache(maxsize=1 << 15)
def _plain_lines(rule: Rule, is_later: bool) -> tuple[Line, ...]:
    """Those of a rule that names no set. Kept, because one rule of thousands changes at a time."""
    return tuple(_lines(rule, is_later, SetTable({})))


def _lines(rule: Rule, is_later: bool, table: SetTable) -> list[Line]:
    four, six = (
        {
            (one.conditions, one.is_sure): one.protocols
            for one in alternatives(rule, version, table.kind, is_later=is_later)
        }
        for version in VERSIONS
    )
    lines: list[Line] = []
    for key, protocols in four.items():
        lines.append(_line(None if six.get(key) == protocols else 4, protocols, *key, table))
    for key, protocols in six.items():
        if four.get(key) != protocols:
            lines.append(_line(6, protocols, *key, table))
    return lines


def _line(version: int | None, protocols: int, conditions: Iterable[Condition], is_sure: bool, table: SetTable) -> Line:
    expressions = [_expression(condition, table) for condition in _apart(conditions)]
    names_family = any(expression.startswith(("ip ", "ip6 ")) for expression in expressions)
    guards = []
    if version is not None and not names_family:
        guards.append(f"meta nfproto ipv{version}")
    if protocols != ALL_PROTOCOLS:
        guards.append(_protocol_text(protocols))
    return Line(" ".join((*guards, *expressions)), is_sure)


def _apart(conditions: Iterable[Condition]) -> Iterator[Condition]:
    """The conditions, of which at most one is a negated port.

    Because: of `th sport != 1 th dport != 2`, and of sets of one, nft 1.0.6 makes one comparison of both ports, which
    holds where one of them does. Of the second one all other ports are said.
    """
    has_negated = False
    for condition in conditions:
        match condition:
            case AmongPorts(side=side, ranges=((first, last),), negated=True) if first == last:
                if has_negated:
                    others = ((0, first - 1), (first + 1, _LAST_PORT))
                    yield AmongPorts(side, tuple((low, high) for low, high in others if low <= high), negated=False)
                else:
                    yield condition
                has_negated = True
            case _:
                yield condition


def _expression(condition: Condition, table: SetTable) -> str:
    match condition:
        case AmongNets():
            field = f"{_FAMILY[condition.version]} {_ADDRESS_FIELD[condition.side]}"
            return _among(field, list(map(str, condition.nets)), condition.negated)
        case InSet():
            field = f"{_FAMILY[condition.version]} {_ADDRESS_FIELD[condition.side]}"
            if condition.has_ports:
                field += f" . meta l4proto . th {_PORT_FIELD[condition.side]}"
            return f"{field} {'!= ' if condition.negated else ''}@{table.name(condition.set_ids, condition.version)}"
        case AmongPorts():
            texts = [f"{first}-{last}" if first != last else str(first) for first, last in condition.ranges]
            return _among(f"th {_PORT_FIELD[condition.side]}", texts, condition.negated)
        case OfType():
            return _of_type(condition)
        case _:
            assert_never(condition)


def _of_type(condition: OfType) -> str:
    # Raw payload: `icmp type` would tie protocol 1 to IPv4 and 58 to IPv6, which the match does not.
    if condition.code is None:
        field, value = "@th,0,8", condition.type
    else:
        field, value = "@th,0,16", condition.type << 8 | condition.code
    return f"{field} {'!= ' if condition.negated else ''}{value}"


def _among(field: str, values: list[str], negated: bool) -> str:
    text = values[0] if len(values) == 1 else f"{{ {', '.join(values)} }}"
    return f"{field} {'!= ' if negated else ''}{text}"


def _protocol_text(protocols: int) -> str:
    is_short = protocols.bit_count() <= len(PROTOCOL_NUMBERS) // 2
    listed = numbers(protocols if is_short else ALL_PROTOCOLS & ~protocols)
    return _among("meta l4proto", list(map(str, listed)), not is_short)
