"""The tables of a host: chains that the kernel's chains jump to, dispatch by interface, and the pieces of all. Pure.

    raw PREROUTING      said in front? ─▶ clear marks ─▶ ui (untracked)  (before connection tracking)
    mangle PREROUTING   ─▶ pd (pre-DNAT)                                 (behind it, before translation)
    filter INPUT        ─▶ ni (normal)
    filter FORWARD      ─▶ fi, then ─▶ fo (forward); rules of others; last: accept what was allowed
    raw OUTPUT          clear marks ─▶ uo
    filter OUTPUT       ─▶ no, unless the address was translated:
    mangle POSTROUTING  ─▶ do of those; clear marks

Where the kernel has IPVS, what it passes on comes from INPUT to OUTPUT: there it meets fi of where it arrived and fo,
in the place of no (`passed_on`).

In FORWARD, rules of others stand between ours: what they drop stays dropped, and what an endpoint allowed is accepted
although the kernel's chain may end with DROP, as it does where containers run.
"""

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from tortie.dataplane.front import Believed
from tortie.dataplane.iptables import marks
from tortie.dataplane.iptables.endpoint import (
    ALLOW,
    DECIDED,
    DEFERRED_OUT,
    FORWARD_IN,
    FORWARD_OUT,
    NORMAL_IN,
    NORMAL_OUT,
    PRE_DNAT,
    REJECT,
    UNTRACKED,
    UNTRACKED_IN,
    UNTRACKED_OUT,
    Piece,
    Place,
    Walks,
    make_piece,
    walks_of,
)
from tortie.dataplane.iptables.listing import Jump
from tortie.dataplane.iptables.marks import Marks, front_marks
from tortie.dataplane.iptables.names import chain
from tortie.dataplane.iptables.sets import KernelSet, failsafe_sets
from tortie.dataplane.iptables.table import TABLES, Chain, ChainRule, Key, Table
from tortie.dataplane.named_sets import SetTable
from tortie.dataplane.passed_on import FEWEST_BITS, Arrivals, arrivals_of
from tortie.dataplane.surroundings import Surroundings
from tortie.model.desired import EndpointState
from tortie.model.ipset import IPSet
from tortie.model.packet import Direction

_ALLOWED, _DEFERRED, _WAY_IN, _WAY_OUT, _PASSED_ON = (
    chain(name) for name in ("allowed", "deferred", "forward-in", "forward-out", "passed-on")
)
_FRONT, _FRONT_ALLOWED, _FRONT_PASSED, _UNSAID = (
    chain(name) for name in ("front", "front-allowed", "front-passed", "not-in-front")
)
ENTRY_TABLE, ENTRY_CHAIN = "filter", chain("INPUT")
"""Where every interface with an endpoint is dispatched from."""
_ANSWER = {4: "icmp-port-unreachable", 6: "icmp6-port-unreachable"}
_HOOKS = {
    "raw": ("PREROUTING", "OUTPUT"),
    "mangle": ("PREROUTING", "POSTROUTING"),
    "filter": ("INPUT", "FORWARD", "OUTPUT"),
}


@dataclass(frozen=True, slots=True)
class Rendering:
    """Everything that should be in the kernel. `interfaces`: those that a packet can meet policy on."""

    tables: Mapping[Key, Table]
    sets: Mapping[str, KernelSet]
    interfaces: frozenset[str]


class Renderer:
    """Endpoint states -> tables. The piece of an interface is kept for as long as everything it depends on is.

    `has_instructions`: see `matches`.
    """

    def __init__(self, bits: Marks, *, appends: bool, has_instructions: bool) -> None:
        self._bits, self._appends, self._has_instructions = bits, appends, has_instructions
        self._pieces: dict[tuple[str, int], tuple[EndpointState, Surroundings, Piece]] = {}

    def render(
        self,
        endpoints: Iterable[EndpointState],
        versions: Collection[int],
        sets: Mapping[str, IPSet],
        around: Surroundings,
        believed: Believed | None = None,
    ) -> Rendering:
        """The tables for those endpoints, in whatever order they come; loopback is never policed.

        `believed`: where what is in front has decided about untracked ingress.
        """
        active = sorted((e for e in endpoints if not e.interface.is_loopback), key=lambda e: e.interface.name)
        wanted: dict[str, KernelSet] = {}
        tables: dict[Key, Table] = {}
        kept: dict[tuple[str, int], tuple[EndpointState, Surroundings, Piece]] = {}
        walks: dict[str, Walks] = {}
        arrivals = arrivals_of(active, self._bits.arrived) if around.has_ipvs and self.tells_arrivals else None
        for version in versions:
            pieces: dict[str, Piece] = {}
            for state in active:
                key = state.interface.name, version
                kept[key] = state, around, self._piece(state, walks, version, sets, around)
                pieces[state.interface.name] = kept[key][2]
                wanted |= kept[key][2].sets
            fronted = {name: parity for name, parity in (believed or {}).items() if name in pieces}
            fixed = _fixed(pieces, version, self._bits, fronted)
            if arrivals is not None:
                _add_passed_on(fixed, pieces, self._bits, arrivals)
            made = _joined(pieces, fixed, appends=self._appends) if pieces else {}
            tables |= {Key(version, table): made.get(table, Table()) for table in TABLES}
        if active:
            failsafes = failsafe_sets(around.failsafes.inbound, around.failsafes.outbound)
            wanted |= {name: one for name, one in failsafes.items() if one.version in versions}
        self._pieces = kept
        return Rendering(tables, wanted, frozenset(state.interface.name for state in active))

    @property
    def tells_arrivals(self) -> bool:
        """Whether the mask has bits to tell where a packet arrived that IPVS passes on."""
        return self._bits.arrived.bit_count() >= FEWEST_BITS

    def pieces(self) -> Mapping[tuple[str, int], Piece]:
        """The pieces of the newest rendering, by interface and IP version."""
        return {name: piece for name, (_, _, piece) in self._pieces.items()}

    def _piece(
        self,
        state: EndpointState,
        walks: dict[str, Walks],
        version: int,
        sets: Mapping[str, IPSet],
        around: Surroundings,
    ) -> Piece:
        name = state.interface.name
        found = self._pieces.get((name, version))
        if found is not None and found[0] == state and found[1] == around and _still_holds(found[2], sets):
            return found[2]
        before = found[2].plain if found is not None else {}
        if name not in walks:
            walks[name] = walks_of(state)
        return make_piece(
            state,
            walks[name],
            version,
            around,
            sets,
            self._bits,
            before,
            has_instructions=self._has_instructions,
        )


def _still_holds(piece: Piece, sets: Mapping[str, IPSet]) -> bool:
    """Whether the sets that its rules name are still there, and those that were not still are not."""
    table = SetTable(sets)
    return all(table.kind(set_id) is kind for set_id, kind in piece.kinds.items())


def _joined(
    pieces: Mapping[str, Piece], fixed: Mapping[str, Mapping[str, Sequence[str]]], *, appends: bool
) -> dict[str, Table]:
    chains: dict[str, dict[str, Chain]] = {
        table: {name: tuple(map(ChainRule, rules)) for name, rules in found.items()} for table, found in fixed.items()
    }
    for piece in pieces.values():
        for (table, name), rules in piece.chains.items():
            chains[table][name] = rules
    return {table: Table(chains[table], tuple(_jumps(table, appends=appends))) for table in TABLES}


def _jumps(table: str, *, appends: bool) -> Iterator[Jump]:
    for hook in _HOOKS[table]:
        yield Jump(hook, f"-j {chain(hook)}", is_last=appends)
    if table == "filter":
        yield Jump("FORWARD", f"-j {_ALLOWED}", is_last=True)


def _arriving(bits: Marks, fronted: Believed, untracked: list[str]) -> dict[str, list[str]]:
    """What packets that arrive meet before connection tracking: `untracked` is the dispatch to the stage.

    Where something is in front, untracked policy was asked there, so that it is not asked here. What nobody can have
    said, or by other tables than these rules go with, counts as nothing said: the packet goes on to the rules.
    """
    enter = chain("PREROUTING")
    if not fronted:
        return {enter: [f"{marks.has(bits.all)} {marks.clear(bits.all)}", *untracked]}
    said = front_marks(bits)
    rules = []
    for name, parity in sorted(fronted.items()):
        rules.append(f"-i {name} {marks.is_value(said.allowed[parity], said.mask)} -g {_FRONT_ALLOWED}")
        rules.append(f"-i {name} {marks.is_value(said.goes_on[parity], said.mask)} -g {_FRONT_PASSED}")
    return {
        enter: [f"{marks.has(bits.all)} -g {_FRONT}", f"-g {_UNSAID}"],
        _FRONT: [*rules, marks.clear(bits.all), f"-g {_UNSAID}"],
        _FRONT_ALLOWED: [marks.put_value(bits.untracked, bits.all), "-j CT --notrack", "-j ACCEPT"],
        _FRONT_PASSED: [marks.clear(bits.all)],
        _UNSAID: untracked,
    }


def _fixed(
    pieces: Mapping[str, Piece], version: int, bits: Marks, fronted: Believed
) -> dict[str, dict[str, list[str]]]:
    """Our chains that are not of one interface."""

    def dispatch(place: Place) -> list[str]:
        option = "-i" if place.direction is Direction.INGRESS else "-o"
        return [f"{option} {name} -g {to}" for name, one in pieces.items() if (to := one.dispatch.get(place.code))]

    enter = f"{marks.has(bits.all)} {marks.clear(bits.all)}"
    decided = bits.untracked | bits.decided
    return {
        "raw": {
            **_arriving(bits, fronted, dispatch(UNTRACKED_IN)),
            chain("OUTPUT"): [enter, *dispatch(UNTRACKED_OUT)],
            UNTRACKED: [marks.put(bits.untracked), "-j CT --notrack", "-j ACCEPT"],
        },
        "mangle": {
            chain("PREROUTING"): [f"{marks.has(bits.untracked)} -j RETURN", *dispatch(PRE_DNAT)],
            DECIDED: [marks.put(bits.decided), "-j ACCEPT"],
            chain("POSTROUTING"): [f"{marks.has(bits.deferred)} -g {_DEFERRED}", enter],
            _DEFERRED: [marks.clear(bits.all), *dispatch(DEFERRED_OUT)],
        },
        "filter": {
            chain("INPUT"): [f"{marks.has(decided)} -j ACCEPT", *dispatch(NORMAL_IN)],
            chain("FORWARD"): [f"{marks.lacks(decided)} -j {_WAY_IN}", f"-j {_WAY_OUT}"],
            _WAY_IN: dispatch(FORWARD_IN),
            _WAY_OUT: dispatch(FORWARD_OUT),
            ALLOW: [marks.put(bits.allowed)],
            _ALLOWED: [f"{marks.has(decided | bits.allowed)} -j ACCEPT"],
            chain("OUTPUT"): [
                f"{marks.has(bits.untracked)} -j ACCEPT",
                f"-m conntrack --ctstate DNAT --ctdir ORIGINAL {marks.put(bits.deferred)}",
                f"{marks.has(bits.deferred)} -j RETURN",
                *dispatch(NORMAL_OUT),
            ],
            REJECT: ["-p tcp -j REJECT --reject-with tcp-reset", f"-j REJECT --reject-with {_ANSWER[version]}"],
        },
    }


def _add_passed_on(
    fixed: dict[str, dict[str, list[str]]], pieces: Mapping[str, Piece], bits: Marks, arrivals: Arrivals
) -> None:
    """What is beside IPVS, added to our chains that are not of one interface."""
    mask = arrivals.mask
    decided = bits.untracked | bits.decided
    has_arrived = marks.has(mask)
    for table, name in (("raw", "PREROUTING"), ("mangle", "POSTROUTING")):
        fixed[table][chain(name)].insert(0, f"{has_arrived} {marks.clear(mask)}")
    # not made here: untracked policy is not asked, and what was decided before holds
    fixed["raw"][chain("OUTPUT")].insert(0, f"{has_arrived} -j RETURN")
    values = {**arrivals.numbered, **dict.fromkeys(arrivals.crowded, arrivals.unnumbered)}
    fixed["filter"][chain("INPUT")][:0] = [
        *(f"-i {name} {marks.put_value(value, mask)}" for name, value in values.items()),
        f"{marks.lacks(mask)} {marks.put_value(arrivals.anywhere, mask)}",
    ]
    fixed["filter"][chain("OUTPUT")].insert(0, f"{has_arrived} -g {_PASSED_ON}")
    fixed["filter"][_PASSED_ON] = [
        *(
            f"{marks.is_value(value, mask | decided)} -j {pieces[name].dispatch[FORWARD_IN.code]}"
            for name, value in arrivals.numbered.items()
        ),
        f"{marks.is_value(arrivals.unnumbered, mask | decided)} -m conntrack ! --ctstate RELATED,ESTABLISHED -j DROP",
        f"-j {_WAY_OUT}",
    ]
