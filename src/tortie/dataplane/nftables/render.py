"""The table of a host: base chains, dispatch by interface, and the pieces of all interfaces. Pure.

    raw PREROUTING     said in front? ─▶ clear marks ─▶ untracked-in    (before connection tracking)
    mangle PREROUTING  ─▶ pre-dnat                                      (behind it, before translation)
    INPUT              ─▶ normal-in
    FORWARD            ─▶ forward-in, then in a base chain of its own ─▶ forward-out
    raw OUTPUT         clear marks ─▶ untracked-out
    OUTPUT             ─▶ normal-out, unless the address was translated:
    mangle POSTROUTING ─▶ normal-late of those; clear marks

Accept ends a base chain only, so that an Allow where a forwarded packet arrives leaves it to be asked where it leaves.

Where the kernel has IPVS, what it passes on comes from INPUT to OUTPUT: there it meets forward-in of where it arrived
and forward-out, in the place of normal-out (`passed_on`).

A guard stands behind each dispatch of what every endpoint has: while a table is replaced, packets that are on their way
meet old chains whose verdict maps are already empty (Linux 6.18), and somebody may remove an element. Packets of
interfaces with an endpoint are dropped then. Plain sets still hold while a table goes.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace

from tortie.dataplane.front import Believed
from tortie.dataplane.named_sets import NamedSet, SetTable, summed
from tortie.dataplane.nft_text.failsafes import FixedSet, failsafe_sets, opening_leg, reply_leg
from tortie.dataplane.nftables import marks
from tortie.dataplane.nftables.endpoint import (
    ANSWERING,
    FORWARD_IN,
    FORWARD_OUT,
    NORMAL_IN,
    NORMAL_LATE,
    NORMAL_OUT,
    PLACES,
    PRE_DNAT,
    REJECT,
    UNTRACKED_IN,
    UNTRACKED_OUT,
    Piece,
    Place,
    make_piece,
)
from tortie.dataplane.nftables.names import set_name
from tortie.dataplane.nftables.table import POLICED, Chain, Table
from tortie.dataplane.passed_on import Arrivals, arrivals_of
from tortie.dataplane.surroundings import Surroundings
from tortie.dataplane.telling import CountKey
from tortie.model.desired import EndpointState
from tortie.model.ipset import IPSet
from tortie.model.packet import Direction

_DEFERRED, _PASSED_ON, _FRONT = "deferred", "passed-on", "front"
_FRONTED = ("front-even", "front-odd")
"""Sets of the interfaces that have something in front, by the parity of its tables."""


class Renderer:
    """Endpoint states -> table. The piece of an interface is kept for as long as everything it depends on is."""

    def __init__(self) -> None:
        self._pieces: dict[str, tuple[EndpointState, Surroundings, Piece]] = {}

    def render(
        self,
        endpoints: Iterable[EndpointState],
        sets: Mapping[str, IPSet],
        around: Surroundings,
        known: Mapping[str, NamedSet],
        believed: Believed | None = None,
    ) -> Table:
        """The table for those endpoints, in whatever order they come; loopback is never policed.

        `known`: named sets as they are after the newest changes of members, which need not be summed again.
        `believed`: where what is in front has decided about untracked ingress.
        """
        active = sorted((e for e in endpoints if not e.interface.is_loopback), key=lambda e: e.interface.name)
        pieces = {state.interface.name: self._piece(state, sets, around) for state in active}
        self._pieces = {name: found for name, found in self._pieces.items() if name in pieces}
        if not pieces:
            return Table()
        fronted = {name: parity for name, parity in (believed or {}).items() if name in pieces}
        base = _base_chains(is_fronted=bool(fronted))
        if around.has_ipvs:
            base |= _passed_on(arrivals_of(active, marks.ARRIVED), pieces, base)
        table = _joined(pieces, around, sets, known)
        if not fronted:
            return replace(table, chains={**table.chains, **base})
        lists = {name: _fronted_set(name, parity, fronted) for parity, name in enumerate(_FRONTED)}
        chains = {**table.chains, _FRONT: _what_front_said(), **base}
        return replace(table, chains=chains, fixed={**table.fixed, **lists})

    def pieces(self) -> Mapping[str, Piece]:
        """The pieces of the newest table, by interface."""
        return {name: piece for name, (_, _, piece) in self._pieces.items()}

    def _piece(
        self,
        state: EndpointState,
        sets: Mapping[str, IPSet],
        around: Surroundings,
    ) -> Piece:
        name = state.interface.name
        found = self._pieces.get(name)
        if found is not None and found[0] is state and found[1] == around and _still_holds(found[2], sets):
            return found[2]
        before = found[2].plain if found is not None else {}
        piece = make_piece(state, around, SetTable(sets, naming=set_name, sums=False), before)
        self._pieces[name] = (state, around, piece)
        return piece


def _still_holds(piece: Piece, sets: Mapping[str, IPSet]) -> bool:
    """Whether the sets that its rules name are still there, and those that were not still are not."""
    table = SetTable(sets)
    return all(table.kind(set_id) is kind for set_id, kind in piece.kinds.items())


def _joined(
    pieces: Mapping[str, Piece], around: Surroundings, sets: Mapping[str, IPSet], known: Mapping[str, NamedSet]
) -> Table:
    """Everything but the chains that packets meet first, which come last, because they refer to the others."""
    chains: dict[str, Chain] = {}
    counters: dict[str, CountKey] = {}
    named: dict[str, NamedSet] = {}
    dispatch: dict[str, dict[str, str]] = {place.name: {} for place in (*PLACES, NORMAL_LATE)}
    for interface, piece in pieces.items():
        chains |= piece.chains
        counters |= piece.counters
        named |= piece.named
        for place, chain in piece.dispatch.items():
            dispatch[place][interface] = f"goto {chain}"
    named = {name: known.get(name) or summed(one, sets) for name, one in named.items()}
    legs = [leg(around.failsafes, direction) for leg in (opening_leg, reply_leg) for direction in Direction]
    fixed = {one.name: one for one in failsafe_sets(legs)}
    fixed[POLICED] = FixedSet(POLICED, "type ifname;", tuple(f'"{name}"' for name in pieces))
    chains[REJECT] = ANSWERING
    return Table(chains, counters, dispatch, fixed, named)


def _fronted_set(name: str, parity: int, fronted: Believed) -> FixedSet:
    return FixedSet(name, "type ifname;", tuple(f'"{one}"' for one, its in sorted(fronted.items()) if its == parity))


def _what_front_said() -> Chain:
    """Untracked policy was asked there, so that it is not asked here. What nobody can have said, or by other tables
    than these rules go with, counts as nothing said: the packet goes on to the rules."""
    outcomes = (
        (marks.FRONT.allowed, f"{marks.ONLY_UNTRACKED} notrack accept"),
        (marks.FRONT.goes_on, f"{marks.CLEAR} accept"),
    )
    said = (
        f"{marks.is_value(values[parity], marks.ALL)} iifname @{name} {then}"
        for values, then in outcomes
        for parity, name in enumerate(_FRONTED)
    )
    return Chain((*said, marks.CLEAR))


def _base_chains(*, is_fronted: bool) -> dict[str, Chain]:
    """What packets meet first; last in the table, because they refer to everything else."""
    clear = f"{marks.has(marks.ALL)} {marks.CLEAR}"
    enter = f"{marks.has(marks.ALL)} jump {_FRONT}" if is_fronted else clear
    known = f"{marks.has(marks.UNTRACKED | marks.DECIDED)} accept"
    return {
        _DEFERRED: Chain((marks.CLEAR, *_dispatch("oifname", NORMAL_LATE), _guard("oifname"))),
        "raw-prerouting": _base("prerouting", "raw", (enter, *_dispatch("iifname", UNTRACKED_IN))),
        "raw-output": _base("output", "raw", (clear, *_dispatch("oifname", UNTRACKED_OUT))),
        "mangle-prerouting": _base(
            "prerouting", "mangle", (f"{marks.has(marks.UNTRACKED)} accept", *_dispatch("iifname", PRE_DNAT))
        ),
        "filter-input": _base("input", "filter", (known, *_dispatch("iifname", NORMAL_IN), _guard("iifname"))),
        "filter-forward-in": _base(
            "forward", "filter - 1", (known, *_dispatch("iifname", FORWARD_IN), _guard("iifname"))
        ),
        "filter-forward-out": _base("forward", "filter", (*_dispatch("oifname", FORWARD_OUT), _guard("oifname"))),
        "filter-output": _base(
            "output",
            "filter",
            (
                f"{marks.has(marks.UNTRACKED)} accept",
                f"ct status dnat ct direction original {marks.put(marks.DEFERRED)} accept",
                *_dispatch("oifname", NORMAL_OUT),
                _guard("oifname"),
            ),
        ),
        "mangle-postrouting": _base("postrouting", "mangle", (f"{marks.has(marks.DEFERRED)} goto {_DEFERRED}", clear)),
    }


def _passed_on(arrivals: Arrivals, pieces: Mapping[str, Piece], base: Mapping[str, Chain]) -> dict[str, Chain]:
    """Chains that stand in the place of those that have no IPVS beside them, and one more."""
    has_arrived = marks.has(marks.ARRIVED)
    clear = f"{has_arrived} {marks.clear(marks.ARRIVED)}"
    arriving = [f'iifname "{name}" {marks.put(value)}' for name, value in arrivals.numbered.items()]
    if arrivals.crowded:
        crowded = ", ".join(f'"{name}"' for name in arrivals.crowded)
        arriving.append(f"iifname {{ {crowded} }} {marks.put(arrivals.unnumbered)}")
    arriving.append(f"{marks.is_value(0, marks.ARRIVED)} {marks.put(arrivals.anywhere)}")
    judging = [
        f"{marks.is_value(value, marks.ARRIVED)} goto {pieces[name].dispatch[FORWARD_IN.name]}"
        for name, value in arrivals.numbered.items()
    ]
    untold = 'drop comment "where it arrived cannot be told: too many interfaces with forward policy for the mark"'
    return {
        _PASSED_ON: Chain((*_dispatch("oifname", FORWARD_OUT), _guard("oifname"))),
        "raw-prerouting": _with(base["raw-prerouting"], clear, *base["raw-prerouting"].rules),
        # not made here: untracked policy is not asked, and what was decided before holds
        "raw-output": _with(base["raw-output"], f"{has_arrived} accept", *base["raw-output"].rules),
        "filter-input": _with(base["filter-input"], *arriving, *base["filter-input"].rules),
        "filter-output-arrived": _base(
            "output",
            "filter - 1",
            (
                f"{marks.has(marks.UNTRACKED | marks.DECIDED)} accept",
                *judging,
                "ct state established,related accept",
                f"{marks.is_value(arrivals.unnumbered, marks.ARRIVED)} {untold}",
            ),
        ),
        "filter-output": _with(base["filter-output"], f"{has_arrived} goto {_PASSED_ON}", *base["filter-output"].rules),
        "mangle-postrouting": _with(base["mangle-postrouting"], clear, *base["mangle-postrouting"].rules),
    }


def _with(chain: Chain, *rules: str) -> Chain:
    return Chain(rules, chain.hook)


def _base(hook: str, priority: str, rules: Sequence[str]) -> Chain:
    return Chain(tuple(rules), f"type filter hook {hook} priority {priority}; policy accept;")


def _dispatch(key: str, place: Place) -> tuple[str]:
    return (f"{key} vmap @{place.name}",)


def _guard(key: str) -> str:
    return f'{key} @{POLICED} drop comment "its chains are missing: tortie will put them back"'
