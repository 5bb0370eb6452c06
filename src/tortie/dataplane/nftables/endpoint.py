"""The chains of one interface: one for each stage and direction that it has, and one for each tier and profile in it.

    normal-in/eth0: established? related? essential? failsafe? invalid?
        ─▶ jump normal-in/eth0/tier.a ─▶ jump normal-in/eth0/tier.b ─▶ jump normal-in/eth0/profile.p ─▶ drop

Allow accepts, which ends the base chain and no other; Deny drops; Pass returns from the tier's chain, and so does
whatever no rule of a tier decided, unless the tier ends with Deny. Every chain is referred to once, so that the kernel,
which follows all ways through a table before it takes it, has no more ways than chains. A tier of many rules has parts
of them in chains of their own (`dataplane.parts`).

What the kernel's connection tracking makes of packets is close to the model's meaning (`model.conntrack`), and where it
is not, docs/differences.md says so.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import NamedTuple, assert_never

from tortie.dataplane.kept_rules import Kept, KeptRules
from tortie.dataplane.named_sets import NamedSet, SetTable
from tortie.dataplane.nft_text.actions import statement
from tortie.dataplane.nft_text.failsafes import Leg, failsafe_matches, opening_leg, reply_leg
from tortie.dataplane.nft_text.matches import match_lines
from tortie.dataplane.nftables import marks
from tortie.dataplane.nftables.names import comment, counter_name, path
from tortie.dataplane.nftables.table import Chain
from tortie.dataplane.parts import Segment, parted, segments_of
from tortie.dataplane.shortcut import shortcuts
from tortie.dataplane.surroundings import Surroundings
from tortie.dataplane.telling import CountKey
from tortie.model.desired import EndpointState
from tortie.model.essential import LISTENER_DISCOVERY, NEIGHBOUR_DISCOVERY, NEIGHBOUR_HOP_LIMIT
from tortie.model.ipset import AddressSet, PortSet
from tortie.model.packet import ICMP, ICMPV6, PORTED, Direction
from tortie.model.passage import ANSWERED
from tortie.model.policy import Stage
from tortie.model.rule import Action, Rule
from tortie.model.stages import stage_groups
from tortie.model.verdict import Reason, RuleRef
from tortie.model.walk import Group, RuleList

REJECT = "answer-denied"
"""The chain that answers what is denied, which hooks behind routing cannot."""
ANSWERING = Chain(("meta l4proto tcp reject with tcp reset", "reject with icmpx type port-unreachable"))
_NEIGHBOURS = f"icmpv6 type {NEIGHBOUR_DISCOVERY[0]}-{NEIGHBOUR_DISCOVERY[-1]}"
_LISTENERS = f"icmpv6 type {{ {', '.join(map(str, LISTENER_DISCOVERY))} }}"
_UNASKED = "icmpv6 type { 130-136, 138, 141-255 }"
"""Types that neither ask nor answer, and are no errors."""
_PORTED = f"{{ {', '.join(map(str, PORTED))} }}"
_TYPED = f"{{ {ICMP}, {ICMPV6} }}"
_DISPATCHED = f"{{ {', '.join(map(str, (*PORTED, ICMP, ICMPV6)))} }}"


@dataclass(frozen=True, slots=True)
class Place:
    """A stage and direction, and what its chains begin with; its dispatch map has that name too.

    `allow`: what an Allow does. `hop_limit`: that of genuine neighbour discovery where the kernel asks this stage.
    """

    stage: Stage
    direction: Direction
    name: str
    allow: str = "accept"
    hop_limit: int = NEIGHBOUR_HOP_LIMIT
    rejects: bool = False


_UNTRACKED_ALLOW = f"{marks.put(marks.UNTRACKED)} notrack accept"
UNTRACKED_IN = Place(Stage.UNTRACKED, Direction.INGRESS, "untracked-in", _UNTRACKED_ALLOW)
UNTRACKED_OUT = Place(Stage.UNTRACKED, Direction.EGRESS, "untracked-out", _UNTRACKED_ALLOW)
PRE_DNAT = Place(Stage.PRE_DNAT, Direction.INGRESS, "pre-dnat", f"{marks.put(marks.DECIDED)} accept")
# The kernel counts the hop before it asks. Source: linux/net/ipv6/ip6_output.c, ip6_forward.
FORWARD_IN = Place(Stage.FORWARD, Direction.INGRESS, "forward-in", hop_limit=NEIGHBOUR_HOP_LIMIT - 1)
FORWARD_OUT = Place(Stage.FORWARD, Direction.EGRESS, "forward-out", hop_limit=NEIGHBOUR_HOP_LIMIT - 1)
NORMAL_IN = Place(Stage.NORMAL, Direction.INGRESS, "normal-in")
NORMAL_OUT = Place(Stage.NORMAL, Direction.EGRESS, "normal-out")
NORMAL_LATE = Place(Stage.NORMAL, Direction.EGRESS, "normal-late")
"""Normal egress of local packets to translated addresses, in POSTROUTING; with chains of its own only where denials are
answered."""
PLACES = (UNTRACKED_IN, UNTRACKED_OUT, PRE_DNAT, FORWARD_IN, FORWARD_OUT, NORMAL_IN, NORMAL_OUT)
_ALWAYS = (Stage.FORWARD, Stage.NORMAL)
"""Stages that every endpoint has: they deny what is invalid even where there is no policy."""


class Plain(NamedTuple):
    """The nft rules of policy rules that name no set, and what their counters count."""

    segments: tuple[Segment[str], ...]
    counters: Mapping[str, CountKey]


@dataclass(frozen=True, slots=True)
class Piece:
    """What one interface puts into the table. `dispatch`: the chain that its packets go to, by the map's name.

    `named`: sets without the fingerprints of their members. `kinds`: what the IP sets that its rules name were when it
    was made, None: they did not exist. `plain`: the rules that name no set.
    """

    chains: Mapping[str, Chain]
    counters: Mapping[str, CountKey]
    dispatch: Mapping[str, str]
    named: Mapping[str, NamedSet]
    kinds: Mapping[str, type[AddressSet] | type[PortSet] | None]
    plain: Kept[Plain]


def make_piece(endpoint: EndpointState, around: Surroundings, sets: SetTable, before: Kept[Plain]) -> Piece:
    """The chains of the endpoint's interface. `before`: `plain` of its last piece."""
    making = _Making(endpoint, around, sets, KeptRules(before))
    for place in PLACES:
        if place.stage in _ALWAYS or endpoint.stage(place.stage, place.direction):
            making.add_stage(replace(place, rejects=endpoint.rejects and place.stage in ANSWERED))
    if endpoint.rejects:
        making.add_stage(NORMAL_LATE)
    else:
        making.dispatch[NORMAL_LATE.name] = making.dispatch[NORMAL_OUT.name]
    kinds = {set_id: sets.kind(set_id) for set_id in sorted(making.set_ids)}
    return Piece(making.chains, making.counters, making.dispatch, sets.named, kinds, making.plain.kept)


@dataclass(slots=True)
class _Making:
    """A piece on its way."""

    endpoint: EndpointState
    around: Surroundings
    sets: SetTable
    plain: KeptRules[Plain]
    chains: dict[str, Chain] = field(default_factory=dict)
    counters: dict[str, CountKey] = field(default_factory=dict)
    dispatch: dict[str, str] = field(default_factory=dict)
    set_ids: set[str] = field(default_factory=set)

    @property
    def interface(self) -> str:
        return self.endpoint.interface.name

    def add_stage(self, place: Place) -> None:
        """Add the chain of a stage and those of its tiers and profiles."""
        name = path(place.name, self.interface)
        self.dispatch[place.name] = name
        match place.stage:
            case Stage.UNTRACKED:
                lines = self._untracked(place)
            case Stage.PRE_DNAT:
                lines = self._pre_dnat(place)
            case Stage.FORWARD:
                lines = self._forward(place)
            case Stage.NORMAL:
                lines = self._normal(place)
            case _:
                assert_never(place.stage)
        self.chains[name] = Chain(tuple(lines))

    def _untracked(self, place: Place) -> Iterator[str]:
        """Accept without notrack means: go on to connection tracking."""
        groups = self._walk(place)
        yield from self._fragments(place)
        yield from self._shortcuts(place, groups[0])
        yield from self._essential(place, "accept")
        yield f"jump {self._readable(place)}"
        legs = (opening_leg(self.around.failsafes, place.direction), reply_leg(self.around.failsafes, place.direction))
        yield from (f"{match} accept" for match in failsafe_matches(legs))
        yield from self._groups(place, groups)

    def _pre_dnat(self, place: Place) -> Iterator[str]:
        yield "ct state established,related accept"
        yield from self._essential(place, "accept")
        yield from (f"{match} accept" for match in failsafe_matches((self._opening(place),)))
        yield from self._invalid(place)
        yield from self._groups(place, self._walk(place))

    def _forward(self, place: Place) -> Iterator[str]:
        yield from self._known(place)
        yield from self._essential(place, self._count(place, Reason.ESSENTIAL_ICMPV6, "accept"))
        yield from self._invalid(place)
        yield from self._groups(place, self._walk(place))
        yield self._count(place, Reason.FORWARDED, "accept")

    def _normal(self, place: Place) -> Iterator[str]:
        yield from self._known(place)
        yield from self._essential(place, self._count(place, Reason.ESSENTIAL_ICMPV6, "accept"))
        if self.endpoint.is_beside_workload:  # whether a workload and its host may talk is not the wildcard's to say
            yield self._count(place, Reason.NO_MATCH, "accept")
            return
        accept = self._count(place, Reason.FAILSAFE, "accept")
        yield from (f"{match} {accept}" for match in failsafe_matches((self._opening(place),)))
        yield from self._invalid(place)
        yield from self._groups(place, self._walk(place))

    def _walk(self, place: Place) -> Sequence[Group]:
        return stage_groups(self.endpoint, place.stage, place.direction)

    def _groups(self, place: Place, groups: Iterable[Group]) -> Iterator[str]:
        """What the stage walks a packet through; tiers and profiles that have rules have chains of their own."""
        for group in groups:
            sort = group.end.policy.kind.lower()
            name = path(place.name, self.interface, f"{sort}.{group.end.policy.name}")
            lines: list[str] = []
            for part, rules in parted(one for listed in group.lists for one in self._rules(place, listed)):
                own = path(name, part)
                # names that are too long are told apart by a hash, which may be the same
                lines += self._jump(own, rules) if part and own not in self.chains else rules
            end = [self._deny(place, group.end)] if group.denies else []
            if lines or group.end.policy.kind == "Tier":
                yield from self._jump(name, [*lines, *end])
            else:
                yield from end

    def _jump(self, name: str, lines: Iterable[str]) -> Iterator[str]:
        rules = tuple(lines)
        if rules:
            self.chains[name] = Chain(rules)
            yield f"jump {name}"

    def _rules(self, place: Place, listed: RuleList) -> Sequence[Segment[str]]:
        """The nft rules of policy rules."""
        known = self.plain.find(listed, place.name, rejects=place.rejects)
        if known is None:
            named = {source.set_id for rule in listed.rules for source in rule.set_sources()}
            counters: dict[str, CountKey] = {}
            made = segments_of(listed, lambda ref, rule: self._rule(place, ref, rule, counters), _returns)
            known = Plain(made, counters)
            if named:
                self.set_ids |= named
            else:
                self.plain.add(listed, place.name, known, rejects=place.rejects)
        self.counters.update(known.counters)
        return known.segments

    def _rule(self, place: Place, ref: RuleRef, rule: Rule, counters: dict[str, CountKey]) -> Iterator[str]:
        """The nft rules of one policy rule; no packet meets two of them, so that its counter counts packets."""
        name = counter_name(path(place.name, self.interface), ref)
        counters[name] = CountKey(self.interface, place.direction, ref)
        rest = f"counter name {name} {_statement(place, rule.action)} {comment(ref)}"
        for line in match_lines(rule, is_later=False, table=self.sets):
            yield f"{line.text} {rest}".lstrip()

    def _deny(self, place: Place, ref: RuleRef) -> str:
        return f"counter name {self._counter(place, ref)} {_statement(place, Action.DENY)} {comment(ref)}"

    def _known(self, place: Place) -> Iterator[str]:
        """Packets of connections that were allowed; most packets are."""
        yield f"ct state established {self._count(place, Reason.ESTABLISHED, 'accept')}"
        yield f"ct state related {self._count(place, Reason.RELATED, 'accept')}"

    def _essential(self, place: Place, accept: str) -> Iterator[str]:
        yield f"{_NEIGHBOURS} ip6 hoplimit {place.hop_limit} {accept}"
        yield f"{_LISTENERS} {accept}"

    def _invalid(self, place: Place) -> Iterator[str]:
        if not self.around.drops_invalid:  # else what is too short to be read is invalid anyway
            yield from self._fragments(place)
            yield f"jump {self._readable(place)}"
            return
        # Silent even where denials are answered: the answer would belong to no connection either.
        drop = self._count(place, Reason.INVALID, "drop")
        yield f"ct state invalid {drop}"
        # Connection tracking leaves neighbour discovery alone, and newer kernels leave more; what comes here is not
        # genuine, and opens nothing. A packet that untracked policy allowed is never invalid.
        # Source: linux/net/netfilter/nf_conntrack_proto_icmpv6.c, noct_valid_new.
        yield f"ct state untracked meta mark & {marks.UNTRACKED:#010x} == 0 {_UNASKED} {drop}"

    def _shortcuts(self, place: Place, first: Group) -> Iterator[str]:
        for ref, rule in shortcuts(first.rules, self.around.failsafes, place.direction):
            yield from self._rule(place, ref, rule, self.counters)

    def _fragments(self, place: Place) -> Iterator[str]:
        """Connection tracking has joined them before, but for those of local sockets that asked it not to
        (IP_NODEFRAG)."""
        fragment = self._count(place, Reason.FRAGMENT, "drop")
        yield f"ip frag-off & 0x1fff != 0 {fragment}"
        yield f"frag frag-off != 0 {fragment}"

    def _readable(self, place: Place) -> str:
        """The chain that drops what shows no ports or type though its protocol has them; its name.

        Because: nft ends a rule whose field lies outside the packet, so that a Deny by port would not hold, and an
        Allow behind it would. "& 0 == 0" asks whether the field can be read.
        """
        name = path("readable", place.direction.value, self.interface)
        if name not in self.chains:
            self.chains[name] = Chain(
                (
                    f"meta l4proto {_PORTED} @th,0,32 & 0 == 0 return",
                    f"meta l4proto {_TYPED} @th,0,16 & 0 == 0 return",
                    f"meta l4proto != {_DISPATCHED} return",
                    self._count(place, Reason.MALFORMED, "drop"),
                )
            )
        return name

    def _opening(self, place: Place) -> Leg:
        return opening_leg(self.around.failsafes, place.direction)

    def _count(self, place: Place, reason: Reason, statement: str) -> str:
        return f"counter name {self._counter(place, reason)} {statement}"

    def _counter(self, place: Place, what: RuleRef | Reason) -> str:
        name = counter_name(path(place.name, self.interface), what)
        self.counters[name] = CountKey(self.interface, place.direction, what)
        return name


def _returns(rule: Rule) -> bool:
    return rule.action is Action.PASS


def _statement(place: Place, action: Action) -> str:
    return statement(action, allow=place.allow, deny=f"goto {REJECT}" if place.rejects else "drop")
