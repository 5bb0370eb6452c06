"""The chains of one interface for one IP version: one for each stage and direction, and one for each tier and profile.

    tortie-ni/eth0: established? related? essential? failsafe? invalid?
        ─▶ jump tortie-ni/eth0/t.a ─▶ jump tortie-ni/eth0/t.b ─▶ jump tortie-ni/eth0/p.x ─▶ DROP

A stage's chain is gone to, so that its end returns to whoever had jumped to the dispatch. Allow accepts, which ends the
kernel's chain; in the forward class it sets a mark, because the way out still has to be asked, and the stage looks at
it behind each tier. Deny drops. Pass returns from the tier's chain, and so does whatever no rule of a tier decided,
unless the tier ends with Deny. A tier of many rules has parts of them in chains of their own (`dataplane.parts`). What
a stage goes through, and in which order, is the model's (`model.stages`).

What the kernel's connection tracking makes of packets is close to the model's meaning (`model.conntrack`), and where it
is not, docs/differences.md says so.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from itertools import product
from typing import NamedTuple, assert_never

from tortie.dataplane.iptables import marks
from tortie.dataplane.iptables.marks import Marks
from tortie.dataplane.iptables.matches import TYPE_OFFSET, in_set, joined, match_texts, native_rules, port_texts
from tortie.dataplane.iptables.names import chain, comment
from tortie.dataplane.iptables.sets import AskedSets, KernelSet, failsafe_name
from tortie.dataplane.iptables.table import Chain, ChainRule
from tortie.dataplane.kept_rules import Kept, KeptRules
from tortie.dataplane.parts import Segment, parted, segments_of
from tortie.dataplane.shortcut import shortcuts
from tortie.dataplane.surroundings import Surroundings
from tortie.dataplane.telling import CountKey
from tortie.model.desired import EndpointState
from tortie.model.essential import LISTENER_DISCOVERY, NEIGHBOUR_DISCOVERY, NEIGHBOUR_HOP_LIMIT
from tortie.model.failsafe import FailsafePort
from tortie.model.ipset import AddressSet, IPSet, PortSet
from tortie.model.packet import ICMP, ICMPV6, PORTED, TCP, UDP, Direction, Side
from tortie.model.passage import ANSWERED
from tortie.model.policy import Stage
from tortie.model.rule import Action, Rule
from tortie.model.stages import stage_groups
from tortie.model.verdict import Reason, RuleRef
from tortie.model.walk import Group, RuleList

REJECT, UNTRACKED, DECIDED, ALLOW = (chain(name) for name in ("reject", "untracked", "decided", "allow"))
"""The chains that answer what is denied, that allow in the untracked and pre-DNAT classes, and in the forward class."""
LOG = '-j LOG --log-prefix "tortie-packet: " --log-level 5'
"""No rate limit: upstream's default; a configurable one does not exist yet. Level 5 is `notice`."""


@dataclass(frozen=True, slots=True)
class Place:
    """A stage and direction, the table that it stands in, and what its chains begin with.

    `hop_limit`: that of genuine neighbour discovery where the kernel asks this stage.
    """

    stage: Stage
    direction: Direction
    table: str
    code: str
    hop_limit: int = NEIGHBOUR_HOP_LIMIT


UNTRACKED_IN = Place(Stage.UNTRACKED, Direction.INGRESS, "raw", "ui")
UNTRACKED_OUT = Place(Stage.UNTRACKED, Direction.EGRESS, "raw", "uo")
PRE_DNAT = Place(Stage.PRE_DNAT, Direction.INGRESS, "mangle", "pd")
# The kernel counts the hop before it asks. Source: linux/net/ipv6/ip6_output.c, ip6_forward.
FORWARD_IN = Place(Stage.FORWARD, Direction.INGRESS, "filter", "fi", hop_limit=NEIGHBOUR_HOP_LIMIT - 1)
FORWARD_OUT = Place(Stage.FORWARD, Direction.EGRESS, "filter", "fo", hop_limit=NEIGHBOUR_HOP_LIMIT - 1)
NORMAL_IN = Place(Stage.NORMAL, Direction.INGRESS, "filter", "ni")
NORMAL_OUT = Place(Stage.NORMAL, Direction.EGRESS, "filter", "no")
DEFERRED_OUT = Place(Stage.NORMAL, Direction.EGRESS, "mangle", "do")
"""Normal policy once more, for local packets to translated addresses."""
PLACES = (UNTRACKED_IN, UNTRACKED_OUT, PRE_DNAT, FORWARD_IN, FORWARD_OUT, NORMAL_IN, NORMAL_OUT, DEFERRED_OUT)
_ALWAYS = (Stage.FORWARD, Stage.NORMAL)
"""Stages that every endpoint has: they deny what is invalid even where there is no policy."""


class Plain(NamedTuple):
    """The rules of policy rules that name no set, and the sets of nets that these list."""

    segments: tuple[Segment[ChainRule], ...]
    literal: Mapping[str, KernelSet]


@dataclass(frozen=True, slots=True)
class Piece:
    """What one interface puts into the tables of one IP version. `chains`: by table and name.

    `dispatch`: the chain that its packets go to, by the place's code. `sets`: those its rules name. `kinds`: what the
    IP sets that its rules name were when it was made, None: they did not exist. `plain`: the rules that name no set.
    """

    chains: Mapping[tuple[str, str], Chain]
    dispatch: Mapping[str, str]
    sets: Mapping[str, KernelSet]
    kinds: Mapping[str, type[AddressSet] | type[PortSet] | None]
    plain: Kept[Plain]


Walks = Mapping[Place, Sequence[Group]]
"""What the packets of an endpoint are walked through in each place that it has."""


def walks_of(endpoint: EndpointState) -> Walks:
    """The same for both IP versions."""
    return {
        place: stage_groups(endpoint, place.stage, place.direction)
        for place in PLACES
        if place.stage in _ALWAYS or endpoint.stage(place.stage, place.direction)
    }


def make_piece(
    endpoint: EndpointState,
    walks: Walks,
    version: int,
    around: Surroundings,
    sets: Mapping[str, IPSet],
    bits: Marks,
    before: Kept[Plain],
    *,
    has_instructions: bool,
) -> Piece:
    """The chains of the endpoint's interface. `before`: `plain` of its last piece, if that was of the same bits.
    `has_instructions`: see `matches`.
    """
    making = _Making(endpoint, walks, version, around, AskedSets(sets), bits, KeptRules(before), has_instructions)
    for place in walks:
        making.add_stage(place)
    kinds = {set_id: making.asked.table.kind(set_id) for set_id in sorted(making.set_ids)}
    return Piece(making.chains, making.dispatch, making.asked.all(), kinds, making.plain.kept)


@dataclass(slots=True)
class _Making:
    """A piece on its way."""

    endpoint: EndpointState
    walks: Walks
    version: int
    around: Surroundings
    asked: AskedSets
    bits: Marks
    plain: KeptRules[Plain]
    has_instructions: bool
    chains: dict[tuple[str, str], Chain] = field(default_factory=dict)
    dispatch: dict[str, str] = field(default_factory=dict)
    set_ids: set[str] = field(default_factory=set)

    @property
    def interface(self) -> str:
        return self.endpoint.interface.name

    def add_stage(self, place: Place) -> None:
        """Add the chain of a stage and those of its tiers and profiles."""
        name = chain(place.code, self.interface)
        self.dispatch[place.code] = name
        match place.stage:
            case Stage.UNTRACKED:
                rules = self._untracked(place)
            case Stage.PRE_DNAT:
                rules = self._pre_dnat(place)
            case Stage.FORWARD:
                rules = self._forward(place)
            case Stage.NORMAL:
                rules = self._normal(place)
            case _:
                assert_never(place.stage)
        self.chains[place.table, name] = tuple(rules)

    def _untracked(self, place: Place) -> Iterator[ChainRule]:
        """Accept and return without NOTRACK mean: go on to connection tracking.

        Every packet comes here. In the nft variant those of TCP and UDP, most of them, go another way: to read a port
        is to know that it can be read, and of failsafes only those of their protocol are asked.
        """
        yield from self._essential(place, "-j ACCEPT")
        if not self.has_instructions:
            yield from self._readable(place)
            yield from self._failsafe_ports(place, PORTED)
            yield from self._groups(place)
            return
        walk = chain(place.code, self.interface, "walk")
        if self.version == 4:
            yield self._fragment(place)
        yield from self._shortcuts(place)
        for protocol, word in _QUICK.items():
            name = chain(place.code, self.interface, word)
            self.chains[place.table, name] = (*self._failsafe_ports(place, (protocol,)), ChainRule(f"-g {walk}"))
            yield ChainRule(f"-p {protocol} ! --dport 0 -g {name}")
        yield from self._readable(place)
        yield from self._failsafe_ports(place, PORTED)
        yield ChainRule(f"-g {walk}")
        self.chains[place.table, walk] = tuple(self._groups(place))

    def _pre_dnat(self, place: Place) -> Iterator[ChainRule]:
        yield ChainRule("-m conntrack --ctstate RELATED,ESTABLISHED -j RETURN")
        yield from self._essential(place, "-j ACCEPT")
        yield from self._failsafes(place, "-j RETURN")
        yield from self._invalid(place)
        yield from self._groups(place)

    def _forward(self, place: Place) -> Iterator[ChainRule]:
        yield from self._known(place, f"-g {ALLOW}")
        if place is FORWARD_OUT:
            yield ChainRule(marks.clear(self.bits.allowed))  # it may be that of the way in
        yield from self._essential(place, f"-g {ALLOW}")
        yield from self._invalid(place)
        yield from self._groups(place)
        yield ChainRule(f"-g {ALLOW}", self._counted(place, Reason.FORWARDED))

    def _normal(self, place: Place) -> Iterator[ChainRule]:
        yield from self._known(place, "-j ACCEPT")
        yield from self._essential(place, "-j ACCEPT")
        if self.endpoint.is_beside_workload:  # whether a workload and its host may talk is not the wildcard's to say
            yield ChainRule("-j ACCEPT", self._counted(place, Reason.NO_MATCH))
            return
        yield from self._failsafes(place, "-j ACCEPT", self._counted(place, Reason.FAILSAFE))
        yield from self._invalid(place)
        yield from self._groups(place)

    # ---- policy

    def _shortcuts(self, place: Place) -> Iterator[ChainRule]:
        """They end where one is more than a few instructions: the module that knows lists drops by itself what is too
        short for it, and what comes behind does not count that."""
        for ref, rule in shortcuts(self.walks[place][0].rules, self.around.failsafes, place.direction):
            instructions = native_rules(rule)
            if not instructions:
                return
            for one in instructions:
                yield from self._rule(place, ref, one, self.asked)

    def _groups(self, place: Place) -> Iterator[ChainRule]:
        for group in self.walks[place]:
            sort = f"{_SORT[group.end.policy.kind]}.{group.end.policy.name}"
            rules: list[ChainRule] = []
            for part, made in parted(one for listed in group.lists for one in self._rules(place, listed)):
                name = chain(place.code, self.interface, sort, part)
                # names that are too long are told apart by a hash, which may be the same
                if part and (place.table, name) not in self.chains:
                    self.chains[place.table, name] = made
                    rules.append(ChainRule(f"-j {name}"))
                else:
                    rules += made
            end = [self._deny(place, group.end)] if group.denies else []
            if not rules:
                yield from end
                continue
            name = chain(place.code, self.interface, sort)
            self.chains[place.table, name] = (*rules, *end)
            yield ChainRule(f"-j {name}")
            if place.stage is Stage.FORWARD:
                yield ChainRule(f"{marks.has(self.bits.allowed)} -j RETURN")

    def _rules(self, place: Place, listed: RuleList) -> Sequence[Segment[ChainRule]]:
        """The rules of policy rules."""
        known = self.plain.find(listed, place.code, rejects=self.endpoint.rejects)
        if known is None:
            named = {source.set_id for rule in listed.rules for source in rule.set_sources()}
            asked = self.asked if named else AskedSets({})
            segments = segments_of(
                listed, lambda ref, rule: self._rule(place, ref, rule, asked), partial(_returns, place)
            )
            if named:
                self.set_ids |= named
                return segments
            known = Plain(segments, asked.literal)
            self.plain.add(listed, place.code, known, rejects=self.endpoint.rejects)
        self.asked.literal.update(known.literal)
        return known.segments

    def _rule(self, place: Place, ref: RuleRef, rule: Rule, asked: AskedSets) -> Iterator[ChainRule]:
        """The rules of one policy rule; no packet meets two of them that count."""
        target = self._target(place, rule.action)
        for one in match_texts(rule, self.version, asked, self.bits.scratch, has_instructions=self.has_instructions):
            yield from map(ChainRule, one.before)
            yield ChainRule(joined(one.text, comment(ref), target), self._counted(place, ref))

    def _target(self, place: Place, action: Action) -> str:
        # What hooks behind routing deny cannot be answered, and only the filter table has the target.
        is_answered = self.endpoint.rejects and place.stage in ANSWERED and place.table == "filter"
        match action:
            case Action.ALLOW:
                return _ALLOW[place.stage]
            case Action.DENY:
                return f"-g {REJECT}" if is_answered else "-j DROP"
            case Action.PASS:
                return "-j RETURN"
            case Action.LOG:
                return LOG
            case _:
                assert_never(action)

    def _deny(self, place: Place, ref: RuleRef) -> ChainRule:
        return ChainRule(joined(comment(ref), self._target(place, Action.DENY)), self._counted(place, ref))

    # ---- what stands before policy

    def _known(self, place: Place, accept: str) -> Iterator[ChainRule]:
        """Packets of connections that were allowed; most packets are."""
        for state, reason in (("ESTABLISHED", Reason.ESTABLISHED), ("RELATED", Reason.RELATED)):
            yield ChainRule(f"-m conntrack --ctstate {state} {accept}", self._counted(place, reason))

    def _essential(self, place: Place, accept: str) -> Iterator[ChainRule]:
        """A chain for ICMPv6. Connection tracking leaves neighbour discovery alone, and newer kernels leave more; what
        is not genuine, and opens nothing, is invalid. A packet that untracked policy allowed is never invalid.
        Source: linux/net/netfilter/nf_conntrack_proto_icmpv6.c, noct_valid_new.
        """
        if self.version != 6:
            return
        counted = self._counted(place, Reason.ESSENTIAL_ICMPV6) if place.stage in _ALWAYS else None
        rules = [
            ChainRule(f"{_of_type(kind)} -m hl --hl-eq {place.hop_limit} {accept}", counted)
            for kind in NEIGHBOUR_DISCOVERY
        ]
        rules += [ChainRule(f"{_of_type(kind)} {accept}", counted) for kind in LISTENER_DISCOVERY]
        if self.around.drops_invalid and place.stage is not Stage.UNTRACKED:
            unasked = f"-m conntrack --ctstate UNTRACKED {marks.lacks(self.bits.untracked)} -j DROP"
            invalid = self._counted(place, Reason.INVALID)
            rules += [ChainRule(f"{_of_type(kind)} {unasked}", invalid) for kind in NEIGHBOUR_DISCOVERY]
            rules.append(ChainRule(f"-p {ICMPV6} {_UNASKED} {unasked}", invalid))
        name = chain("es", place.code, self.interface)
        self.chains[place.table, name] = tuple(rules)
        yield ChainRule(f"-p {ICMPV6} -j {name}")
        if place.stage is Stage.FORWARD:
            yield ChainRule(f"-p {ICMPV6} {marks.has(self.bits.allowed)} -j RETURN")

    def _failsafes(self, place: Place, target: str, counted: CountKey | None = None) -> Iterator[ChainRule]:
        """What goes to a failsafe port."""
        if self._listed_failsafes(place, is_reply=False):
            yield ChainRule(f"{self._failsafe_set(place, is_reply=False)} {target}", counted)

    def _failsafe_ports(self, place: Place, protocols: Iterable[int]) -> Iterator[ChainRule]:
        """The same for untracked policy: what goes to a failsafe port or comes back from one, by ports. A set takes
        several times as long.

        It stands behind what shows that ports can be read.
        """
        for is_reply, protocol in product((False, True), protocols):
            mine = [one for one in self._listed_failsafes(place, is_reply=is_reply) if one.protocol == protocol]
            everywhere = {entry.port for entry in mine if entry.net is None or entry.net.length == 0}
            somewhere = {entry.port for entry in mine} - everywhere
            side = Side.SOURCE if is_reply else Side.DESTINATION
            for ports, where in ((everywhere, ""), (somewhere, self._failsafe_set(place, is_reply=is_reply))):
                if ports:
                    texts = port_texts(side, sorted(ports), protocol, has_instructions=self.has_instructions)
                    yield from (ChainRule(joined(text, where, "-j RETURN")) for text in texts)

    def _listed_failsafes(self, place: Place, *, is_reply: bool) -> Sequence[FailsafePort]:
        which = self._which_failsafes(place, is_reply=is_reply)
        listed = self.around.failsafes.inbound if which == "in" else self.around.failsafes.outbound
        return [entry for entry in listed if entry.net is None or entry.net.version == self.version]

    def _failsafe_set(self, place: Place, *, is_reply: bool) -> str:
        which = self._which_failsafes(place, is_reply=is_reply)
        flags = f"{'src' if place.direction is Direction.INGRESS else 'dst'},{'src' if is_reply else 'dst'}"
        return in_set(failsafe_name(which, self.version), flags)

    def _which_failsafes(self, place: Place, *, is_reply: bool) -> str:
        return "in" if (place.direction is Direction.INGRESS) != is_reply else "out"

    def _invalid(self, place: Place) -> Iterator[ChainRule]:
        if not self.around.drops_invalid:
            yield from self._readable(place)  # else what is too short to be read is invalid anyway
            return
        # Silent even where denials are answered: the answer would belong to no connection either.
        yield ChainRule("-m conntrack --ctstate INVALID -j DROP", self._counted(place, Reason.INVALID))

    def _readable(self, place: Place) -> Iterator[ChainRule]:
        """A chain that drops what shows no ports or type though its protocol has them, and fragments.

        Because: a match that cannot read its field may drop the packet by itself, and which rule asks first is chance.
        Such a packet leaves no count, so it is counted by what came to the match less what it let go; what it let go
        asks no further. Connection tracking has joined fragments before, but for those of local sockets that asked it
        not to (IP_NODEFRAG).
        """
        malformed = self._counted(place, Reason.MALFORMED)
        rules = []
        if self.version == 4:
            rules.append(self._fragment(place))
        for protocol in PORTED:
            rules.append(ChainRule(f"-p {protocol}", malformed))
            rules.append(ChainRule(f"-p {protocol} -m multiport --ports 0:65535 -j RETURN", malformed, -1))
        native, foreign = (ICMP, ICMPV6) if self.version == 4 else (ICMPV6, ICMP)
        rules.append(ChainRule(f"-p {native}", malformed))
        rules += [ChainRule(f"-p {native} {text} -j RETURN", malformed, -1) for text in _EVERY_TYPE[self.version]]
        readable = f"{TYPE_OFFSET[self.version]}=0:0xFFFFFFFF"
        if self.version == 6:  # u32 finds it only where no extension headers come before
            readable = f"3&0xFF={foreign}&&{readable}"
        rules.append(ChainRule(f'-p {foreign} -m u32 ! --u32 "{readable}" -j DROP', malformed))
        name = chain("rd", place.code, self.interface)
        self.chains[place.table, name] = tuple(rules)
        yield ChainRule(f"-j {name}")

    def _fragment(self, place: Place) -> ChainRule:
        return ChainRule("-f -j DROP", self._counted(place, Reason.FRAGMENT))

    def _counted(self, place: Place, what: RuleRef | Reason) -> CountKey:
        return CountKey(self.interface, place.direction, what)


_QUICK = {TCP: "tcp", UDP: "udp"}
_EVERY_TYPE = {4: ("-m icmp --icmp-type any",), 6: ("-m icmp6 --icmpv6-type 1", "-m icmp6 ! --icmpv6-type 1")}
_UNASKED = f'-m u32 --u32 "3&0xFF={ICMPV6}&&{TYPE_OFFSET[6]}>>24=130:132,138,141:255"'
_SORT = {"Tier": "t", "Profile": "p", "HostEndpoint": "h", "WorkloadEndpoint": "h"}
_ALLOW = {
    Stage.UNTRACKED: f"-g {UNTRACKED}",
    Stage.PRE_DNAT: f"-g {DECIDED}",
    Stage.FORWARD: f"-g {ALLOW}",
    Stage.NORMAL: "-j ACCEPT",
}


def _returns(place: Place, rule: Rule) -> bool:
    # In the forward class an Allow is a mark; the stage looks for it behind each tier.
    return rule.action is Action.PASS or (rule.action is Action.ALLOW and place.stage is Stage.FORWARD)


def _of_type(kind: int) -> str:
    return f"-p {ICMPV6} -m icmp6 --icmpv6-type {kind}"
