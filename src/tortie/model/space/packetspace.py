"""From the words of policy to sets of packets: nets, ports, protocols, matches, rules, failsafes."""

from collections.abc import Iterable, Mapping, Sequence
from functools import cached_property
from typing import assert_never

from tortie.model.address import Net
from tortie.model.essential import LISTENER_DISCOVERY, NEIGHBOUR_DISCOVERY
from tortie.model.failsafe import FailsafePort
from tortie.model.ipset import IPSet, PortSet
from tortie.model.matches import IcmpMatch, Match, NetMatch, PortMatch, ProtocolMatch, SetMatch, VersionMatch
from tortie.model.packet import ICMP, ICMPV6, PORTED, Side
from tortie.model.rule import Rule
from tortie.model.space.addresses import Atom, Interval, classify
from tortie.model.space.atoms import ANY_PORT, atoms_of, set_atoms
from tortie.model.space.diagram import NOTHING, otherwise
from tortie.model.space.fields import ADDRESS, PORT, Field, Ground
from tortie.model.space.sample import USUAL
from tortie.model.space.space import Likely, Space, where


class PacketSpace:
    """The space of all packets, as some rules tell them apart.

    `sets`: what rules refer to; one that is missing is empty. `rules`: all that will be asked about. `nets`: groups of
    networks that will be asked about beside them, on either side.

    The spaces of one object share their parts, so that joining and comparing them is fast; it keeps all of them.
    """

    def __init__(
        self, sets: Mapping[str, IPSet], rules: Iterable[Rule] = (), nets: Iterable[Sequence[Net]] = ()
    ) -> None:
        atoms = atoms_of(rules, sets, nets)
        self.ground = Ground(
            {field: classify(version, atoms[side], usual=USUAL[field]) for (side, version), field in ADDRESS.items()}
        )
        self.nothing = Space(self.ground, NOTHING)
        self.everything = Space(self.ground, self.ground.inside)
        self.later_fragments = where(self.ground, Field.IS_LATER, [(1, 1)])
        self._sets = sets
        self._likely: dict[tuple[str, Side], Likely] = {}
        self._matches: dict[Match, Likely] = {}

    def version(self, version: int) -> Space:
        """Packets of that IP version (4 or 6)."""
        return where(self.ground, Field.IS_IPV6, [(int(version == 6), int(version == 6))])

    def protocols(self, *numbers: int) -> Space:
        """Packets of one of those protocols."""
        return where(self.ground, Field.PROTOCOL, [(number, number) for number in numbers])

    def nets(self, side: Side, nets: Sequence[Net]) -> Space:
        """Packets whose address on that side is in one of the nets.

        Raises: ValueError for nets that no rule names and that were not said when this was made.
        """
        return self._atom(side, tuple(nets))

    def ports(self, side: Side, ranges: Iterable[Interval]) -> Space:
        """Packets that show a port on that side, and one of those."""
        return self.ported & where(self.ground, PORT[side], ranges)

    def icmp(self, kinds: Iterable[int], code: int | None = None) -> Space:
        """Packets of ICMP or ICMPv6 that show their type, and one of those; and the code, unless None."""
        found = self._icmp & where(self.ground, Field.ICMP_TYPE, [(kind, kind) for kind in kinds])
        return found if code is None else found & where(self.ground, Field.ICMP_CODE, [(code, code)])

    def failsafes(self, entries: Iterable[FailsafePort], *, port: Side, remote: Side) -> Space:
        """Packets whose port on the one side an entry names, and whose address on the other it is open for."""
        return self.union(
            self.protocols(entry.protocol)
            & self.ports(port, [(entry.port, entry.port)])
            & (self.everything if entry.net is None else self.nets(remote, (entry.net,)))
            for entry in entries
        )

    @cached_property
    def ported(self) -> Space:
        """Packets that show their ports."""
        return self.protocols(*PORTED) - self.later_fragments

    @cached_property
    def essential(self) -> Space:
        """The packets that pass before every class (essential.py)."""
        neighbours = self.icmp(NEIGHBOUR_DISCOVERY) & where(self.ground, Field.HAS_FULL_HOP_LIMIT, [(1, 1)])
        return (neighbours | self.icmp(LISTENER_DISCOVERY)) & self.version(6) & self.protocols(ICMPV6)

    def union(self, spaces: Iterable[Space]) -> Space:
        """Everything that is in one of many spaces."""
        return Space(self.ground, self.ground.diagrams.fold(otherwise, (space.diagram for space in spaces)))

    def rule(self, rule: Rule, meant: Space | None = None) -> Likely:
        """The packets that the rule holds for; of later fragments also those where nobody can tell.

        `meant`: the packets that matter; None: all.
        """
        found = _certain(self.everything if meant is None else meant)
        for match in rule.matches:
            if not found.maybe:
                break
            one = self.match(match)
            found = Likely(found.surely & one.surely, found.maybe & one.maybe)
        return found

    def match(self, match: Match) -> Likely:
        """The packets that the match holds for; made once for each match."""
        found = self._matches.get(match)
        if found is None:
            found = self._matches[match] = self._match(match)
        return found

    def _match(self, match: Match) -> Likely:
        match match:
            case VersionMatch():
                return _certain(self.version(match.version))
            case ProtocolMatch():
                return self._signed(_certain(self.protocols(match.protocol)), negated=match.negated)
            case NetMatch():
                return self._signed(_certain(self.nets(match.side, match.nets)), negated=match.negated)
            case SetMatch():
                return self._signed(self._set(match.source.set_id, match.side), negated=match.negated)
            case IcmpMatch():
                shown = self.icmp([match.type], match.code)
                hidden = self.protocols(ICMP, ICMPV6) & self.later_fragments
                return self._signed(Likely(shown, shown | hidden), negated=match.negated)
            case PortMatch():
                return self._signed(self._port_match(match), negated=match.negated)
            case _:
                assert_never(match)

    @cached_property
    def _icmp(self) -> Space:
        return self.protocols(ICMP, ICMPV6) - self.later_fragments

    def _signed(self, likely: Likely, *, negated: bool) -> Likely:
        return Likely(self.everything - likely.maybe, self.everything - likely.surely) if negated else likely

    def _port_match(self, match: PortMatch) -> Likely:
        """Ranges and names, either; any later fragment of a protocol with ports may be in a range."""
        shown = self.ports(match.side, match.ranges)
        hidden = self.protocols(*PORTED) & self.later_fragments if match.ranges else self.nothing
        named = [
            self._set(source.set_id, match.side)
            for source in match.named
            if isinstance(self._sets.get(source.set_id), PortSet)
        ]
        return Likely(
            self.union([shown, *(one.surely for one in named)]),
            self.union([shown, hidden, *(one.maybe for one in named)]),
        )

    def _set(self, set_id: str, side: Side) -> Likely:
        """The packets whose address, or whose address, protocol and port, is a member; made once for each set."""
        found = self._likely.get((set_id, side))
        if found is None:
            found = self._likely[set_id, side] = self._members(set_id, side)
        return found

    def _members(self, set_id: str, side: Side) -> Likely:
        members = self._sets.get(set_id)
        if not isinstance(members, PortSet):
            return _certain(self.nothing if members is None else self._atom(side, set_id))
        shown, hidden = [], []
        for atom in set_atoms(set_id, members):
            _, protocol, port = atom
            known = self.protocols(protocol) & self._atom(side, atom)
            if port == ANY_PORT:
                hidden.append(known & self.later_fragments)
            else:
                shown.append(known & self.ports(side, [(port, port)]))
        surely = self.union(shown)
        return Likely(surely, surely | (self.union(hidden) & self.protocols(*PORTED)))

    def _atom(self, side: Side, atom: Atom) -> Space:
        below = []
        for version in (4, 6):
            field = ADDRESS[side, version]
            classes = self.ground.classes[field].of_atom.get(atom)
            if classes is None:
                raise ValueError(f"{atom} was not named when the space was made")
            below.append(where(self.ground, field, [(number, number) for number in classes]).diagram)
        return Space(self.ground, self.ground.diagrams.node(Field.IS_IPV6, (0, 1), below))


def _certain(space: Space) -> Likely:
    return Likely(space, space)
