"""A table as a value, the script that makes it anew, and the one that turns one table into another. Pure.

Both scripts are one transaction. A change touches only the chains whose rules differ, and of maps and sets only the
elements that came or went; counters that stay keep their counts. Every table carries the digest of its state as the
name of an empty chain, by which an agent that starts knows it.
"""

import hashlib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import NamedTuple

from tortie.dataplane.named_sets import NamedSet, members_of
from tortie.dataplane.nft_text.changes import stands_alone
from tortie.dataplane.nft_text.failsafes import FixedSet
from tortie.dataplane.nft_text.listing import DIGEST_PREFIX
from tortie.dataplane.nft_text.sets import elements_of, format_element, kernel_elements, set_text, type_text
from tortie.dataplane.telling import CountKey
from tortie.kernel.nftbatch import Batch
from tortie.model.address import Net
from tortie.model.ipset import AddressSet, IPSet, Member

_DIGEST_CHARACTERS = 24
TABLE = "tortie-policy"
"""The eBPF driver's table has another name: both are there where one driver takes the other's place."""
POLICED = "policed"
"""The set of interfaces with an endpoint."""
IN_TABLE = f"inet {TABLE}"
REMOVE = f"table {IN_TABLE} {{\n}}\ndelete table {IN_TABLE}\n"
"""Removes the table, also where there is none."""


def quiet_script(chains: Iterable[str]) -> str:
    """Has packets meet no rule of these base chains any more; the table can go then, and no packet notices."""
    return "".join(f"flush chain {IN_TABLE} {name}\n" for name in chains)


@dataclass(frozen=True, slots=True)
class Chain:
    """Rules in nft's text; a base chain has a hook."""

    rules: tuple[str, ...]
    hook: str = ""


class ElementChange(NamedTuple):
    """Members of a named set that go and come; `is_refill`: of one that was made anew, so that this is not known."""

    gone: tuple[Member, ...] = ()
    come: tuple[Member, ...] = ()
    is_refill: bool = False


@dataclass(frozen=True)
class Table:
    """Everything in it, by name. `dispatch`: verdict maps from interface to verdict. No chains: there is no table."""

    chains: Mapping[str, Chain] = field(default_factory=dict)
    counters: Mapping[str, CountKey] = field(default_factory=dict)
    dispatch: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    fixed: Mapping[str, FixedSet] = field(default_factory=dict)
    named: Mapping[str, NamedSet] = field(default_factory=dict)

    @property
    def rule_count(self) -> int:
        """How many rules the kernel lists."""
        return sum(len(chain.rules) for chain in self.chains.values())

    @cached_property
    def digest(self) -> str:
        """Names the state, members of sets included; empty where there is no table."""
        if not self.chains:
            return ""
        made = hashlib.sha256()
        for part in (
            sorted(self.chains.items()),
            sorted(self.counters),
            sorted((name, sorted(verdicts.items())) for name, verdicts in self.dispatch.items()),
            sorted(self.fixed.items()),
            sorted((name, type_text(one), one.fingerprint) for name, one in self.named.items()),
        ):
            made.update(repr(part).encode())
        return made.hexdigest()[:_DIGEST_CHARACTERS]

    @property
    def interfaces(self) -> frozenset[str]:
        """Interfaces that a packet can meet policy on."""
        return frozenset(interface for verdicts in self.dispatch.values() for interface in verdicts)


def whole_script(table: Table, sets: Mapping[str, IPSet]) -> str:
    """Replaces whatever table there is by this one."""
    if not table.chains:
        return REMOVE
    blocks = [f"\tchain {DIGEST_PREFIX}{table.digest} {{\n\t}}"]
    blocks += [f"\tcounter {name} {{\n\t}}" for name in table.counters]
    blocks += [set_text(*one) for one in table.fixed.values()]
    blocks += [
        set_text(name, type_text(one), elements_of(one, members_of(one, sets))) for name, one in table.named.items()
    ]
    blocks += [_map_text(name, verdicts) for name, verdicts in table.dispatch.items()]
    blocks += [_chain_text(name, chain) for name, chain in table.chains.items()]
    return f"{REMOVE}table {IN_TABLE} {{\n" + "\n".join(blocks) + "\n}\n"


def change_script(old: Table, new: Table, elements: Mapping[str, ElementChange], sets: Mapping[str, IPSet]) -> str:
    """Turns the old table into the new one; empty where they are the same.

    `elements`: what goes and comes in the named sets that both have.
    """
    if not old.chains or not new.chains:
        return whole_script(new, sets) if old.chains or new.chains else ""
    commands = [*_additions(old, new, sets), *_rules(old, new)]
    for name, fixed in new.fixed.items():
        if name in old.fixed:
            commands += _fixed_elements(name, old.fixed[name].elements, fixed.elements)
    for name, change in elements.items():
        if name in old.named and name in new.named:
            commands += _element("delete", name, map(format_element, change.gone))
            commands += _element("add", name, map(format_element, change.come))
    for name, verdicts in new.dispatch.items():
        before = old.dispatch.get(name, {})
        commands += _element("delete", name, (f'"{one}"' for one in before if before[one] != verdicts.get(one)))
        pairs = (f'"{one}" : {verdict}' for one, verdict in verdicts.items() if before.get(one) != verdict)
        commands += _element("add", name, pairs)
    commands += _removals(old, new)
    if old.digest != new.digest:
        commands.append(f"delete chain {IN_TABLE} {DIGEST_PREFIX}{old.digest}")
        commands.append(f"add chain {IN_TABLE} {DIGEST_PREFIX}{new.digest}")
    return "".join(f"{command}\n" for command in commands)


def differ_in_members(old: Table, new: Table) -> bool:
    """Whether nothing but the members of named sets differs."""
    if old.named.keys() != new.named.keys() or not old.chains:
        return False
    return all(type_text(old.named[name]) == type_text(one) for name, one in new.named.items()) and old == replace(
        new, named=old.named
    )


def goes_without_nft(named: NamedSet, change: ElementChange, sets: Mapping[str, IPSet]) -> bool:
    """Whether that change of a set is one of single elements, which nobody else's depend on.

    Because: the kernel takes out the two ends of an interval one by one. Those of a single address belong to no other.
    """
    if named.has_ports:
        return True
    (members,) = (sets[set_id] for set_id in named.set_ids)
    assert isinstance(members, AddressSet)
    return all(isinstance(net, Net) and net.is_host and stands_alone(net, members) for net in change.gone)


def member_batch(old: Table, new: Table, elements: Mapping[str, ElementChange]) -> Batch:
    """The change of members between tables that differ in nothing else."""
    batch = Batch(TABLE)
    for name, change in elements.items():
        # Old ones first: a wider net may take the place of those inside it, and intervals must not overlap.
        batch.delete_elements(name, kernel_elements(change.gone))
        batch.add_elements(name, kernel_elements(change.come))
    if old.digest != new.digest:
        batch.delete_chain(f"{DIGEST_PREFIX}{old.digest}")
        batch.add_chain(f"{DIGEST_PREFIX}{new.digest}")
    return batch


def _additions(old: Table, new: Table, sets: Mapping[str, IPSet]) -> Iterator[str]:
    """Everything that rules may refer to, before any rule does."""
    for name in new.counters.keys() - old.counters.keys():
        yield f"add counter {IN_TABLE} {name}"
    for name in new.fixed.keys() - old.fixed.keys():
        one = new.fixed[name]
        yield f"add set {IN_TABLE} {name} {{ {one.type_text} }}"
        yield from _element("add", name, one.elements)
    for name in new.named.keys() - old.named.keys():
        named = new.named[name]
        yield f"add set {IN_TABLE} {name} {{ {type_text(named)} }}"
        yield from _element("add", name, elements_of(named, members_of(named, sets)))
    for name in new.dispatch.keys() - old.dispatch.keys():
        yield f"add map {IN_TABLE} {name} {{ type ifname : verdict; }}"
    for name, chain in new.chains.items():
        if name not in old.chains:
            yield f"add chain {IN_TABLE} {name}" + (f" {{ {chain.hook} }}" if chain.hook else "")


def _rules(old: Table, new: Table) -> Iterator[str]:
    for name, chain in new.chains.items():
        before = old.chains.get(name)
        if before is not None and before.rules == chain.rules:
            continue
        if before is not None:
            yield f"flush chain {IN_TABLE} {name}"
        for rule in chain.rules:
            yield f"add rule {IN_TABLE} {name} {rule}"


def _removals(old: Table, new: Table) -> Iterator[str]:
    """What nothing refers to any more: rules first, since they refer to the rest."""
    gone = [name for name in old.chains if name not in new.chains]
    for name in gone:
        yield f"flush chain {IN_TABLE} {name}"
    for name in old.dispatch.keys() - new.dispatch.keys():
        yield f"delete map {IN_TABLE} {name}"
    for name in gone:
        yield f"delete chain {IN_TABLE} {name}"
    for name in (*(old.fixed.keys() - new.fixed.keys()), *(old.named.keys() - new.named.keys())):
        yield f"delete set {IN_TABLE} {name}"
    for name in old.counters.keys() - new.counters.keys():
        yield f"delete counter {IN_TABLE} {name}"


def _fixed_elements(name: str, before: tuple[str, ...], after: tuple[str, ...]) -> Iterator[str]:
    # Old ones first: a wider net may take the place of those inside it, and intervals must not overlap.
    kept = set(before) & set(after)
    yield from _element("delete", name, (one for one in before if one not in kept))
    yield from _element("add", name, (one for one in after if one not in kept))


def _element(verb: str, name: str, elements: Iterable[str]) -> Iterator[str]:
    listed = ", ".join(elements)
    if listed:
        yield f"{verb} element {IN_TABLE} {name} {{ {listed} }}"


def _map_text(name: str, verdicts: Mapping[str, str]) -> str:
    pairs = ", ".join(f'"{interface}" : {verdict}' for interface, verdict in verdicts.items())
    filled = f"\n\t\telements = {{ {pairs} }}" if pairs else ""
    return f"\tmap {name} {{\n\t\ttype ifname : verdict;{filled}\n\t}}"


def _chain_text(name: str, chain: Chain) -> str:
    lines = [chain.hook] if chain.hook else []
    return "\n".join((f"\tchain {name} {{", *(f"\t\t{line}" for line in (*lines, *chain.rules)), "\t}"))
