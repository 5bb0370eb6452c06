"""The four classes of policy at one endpoint for all packets at once: `stages.py` over the whole space.

Each gives a map from packets to their fate; packets that the stage lets go on are not in it.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import cast

from tortie.model.conntrack import Relation
from tortie.model.desired import EndpointState
from tortie.model.host import Host
from tortie.model.packet import Direction, Side
from tortie.model.passage import ANSWERED
from tortie.model.policy import Stage
from tortie.model.space.deciding import Decision, walk_all
from tortie.model.space.diagram import NOTHING, Diagram, Diagrams, Leaf, Merge, otherwise, within, without
from tortie.model.space.packetspace import PacketSpace
from tortie.model.space.space import Space
from tortie.model.stages import KNOWN, stage_groups
from tortie.model.verdict import Reason, RuleRef, Verdict

_IN, _OUT = Direction.INGRESS, Direction.EGRESS
_FAR = {_IN: Side.SOURCE, _OUT: Side.DESTINATION}
"""The side of a packet that is not this host's."""


@dataclass(frozen=True, slots=True)
class Fate:
    """What becomes of a packet, and what decided: as `Passage`, without the visits. `verdict` is Allow or Deny."""

    verdict: Verdict
    reason: Reason
    rule: RuleRef | None = None
    is_tracked: bool = True
    is_rejected: bool = False

    def then(self, later: "Fate") -> "Fate":
        """The fate of a packet that met with this one first and would meet with the later one."""
        if Verdict.DENY in (self.verdict, later.verdict):
            return self if self.verdict is Verdict.DENY else later
        decides = self if self.rule is not None and later.rule is None else later
        return Fate(Verdict.ALLOW, decides.reason, decides.rule, self.is_tracked and later.is_tracked)


@dataclass(frozen=True, slots=True)
class Staging:
    """The stages of one host. `meant`: the packets that matter; what is said of others means nothing."""

    host: Host
    packets: PacketSpace
    meant: Space

    def untracked(self, endpoint: EndpointState, direction: Direction) -> Diagram:
        """The untracked stage, which failsafes and their replies skip."""
        failsafes = self.host.failsafes
        replies = failsafes.outbound if direction is _IN else failsafes.inbound
        legs = self.packets.failsafes(replies, port=Side.SOURCE, remote=_FAR[direction])
        return self.join(
            without, self._walk(endpoint, Stage.UNTRACKED, direction), (self._opens(direction) | legs).diagram
        )

    def pre_dnat(self, endpoint: EndpointState, relation: Relation | None) -> Diagram:
        """The pre-DNAT stage of what arrives, for an endpoint with such policy."""
        if relation in KNOWN:
            return NOTHING
        walked = self._tracked(endpoint, Stage.PRE_DNAT, _IN, relation)
        return self.join(without, walked, self._opens(_IN).diagram)

    def forward(self, endpoint: EndpointState | None, direction: Direction, relation: Relation | None) -> Diagram:
        """The forward stage, which always decides; where there is no endpoint, there is none."""
        if endpoint is None:
            return NOTHING
        if relation in KNOWN:
            return self.everything(Verdict.ALLOW, KNOWN[relation])
        walked = self._tracked(endpoint, Stage.FORWARD, direction, relation)
        return self.join(otherwise, walked, self.everything(Verdict.ALLOW, Reason.FORWARDED))

    def normal(self, endpoint: EndpointState, direction: Direction, relation: Relation | None) -> Diagram:
        """The normal stage, which always decides."""
        if relation in KNOWN:
            return self.everything(Verdict.ALLOW, KNOWN[relation])
        walked = self._tracked(endpoint, Stage.NORMAL, direction, relation)
        if endpoint.is_workload:
            return walked
        opened = self.join(within, self.everything(Verdict.ALLOW, Reason.FAILSAFE), self._opens(direction).diagram)
        return self.join(otherwise, opened, walked)

    def _tracked(
        self, endpoint: EndpointState, stage: Stage, direction: Direction, relation: Relation | None
    ) -> Diagram:
        """The walk of a stage that connection tracking stands before, for packets that open no known connection."""
        if relation is Relation.INVALID and self.host.tracking.drops_invalid:
            return self.everything(Verdict.DENY, Reason.INVALID, is_rejected=self.host.rejects and stage in ANSWERED)
        return self._walk(endpoint, stage, direction)

    def _walk(self, endpoint: EndpointState, stage: Stage, direction: Direction) -> Diagram:
        walked = walk_all(stage_groups(endpoint, stage, direction), self.packets, self.meant)
        answers = self.host.rejects and stage in ANSWERED
        is_tracked = stage is not Stage.UNTRACKED

        def fate(value: object) -> Fate:
            made = cast(Decision, value)
            is_denied = made.verdict is Verdict.DENY
            return Fate(made.verdict, made.reason, made.rule, is_tracked and not is_denied, answers and is_denied)

        return self.packets.ground.diagrams.relabel(walked, fate)

    def _opens(self, direction: Direction) -> Space:
        """The packets to failsafe ports."""
        entries = self.host.failsafes.inbound if direction is _IN else self.host.failsafes.outbound
        return self.packets.failsafes(entries, port=Side.DESTINATION, remote=_FAR[direction])

    def essential(self, met: Diagram) -> Diagram:
        """The same, with what passes before every class."""
        passes = self.everything(Verdict.ALLOW, Reason.ESSENTIAL_ICMPV6)
        essential = self.join(within, passes, self.packets.essential.diagram)
        return self.join(otherwise, essential, met)

    def everything(self, verdict: Verdict, reason: Reason, *, is_rejected: bool = False) -> Leaf:
        """Every packet, with that fate."""
        is_tracked = verdict is Verdict.ALLOW
        return self.packets.ground.diagrams.leaf(Fate(verdict, reason, is_tracked=is_tracked, is_rejected=is_rejected))

    def join(self, how: Merge, one: Diagram, other: Diagram) -> Diagram:
        """Two maps as one."""
        return self.packets.ground.diagrams.merge(how, one, other)

    def row(self, stages: Iterable[Diagram]) -> Diagram:
        """Stages one after another: the first denial counts, else the last rule that allows."""
        return self.packets.ground.diagrams.fold(_in_a_row, stages)

    def allowed(self, met: Diagram) -> Diagram:
        """The part of a map whose packets it allows."""

        def kept(value: object) -> object:
            return value if cast(Fate, value).verdict is Verdict.ALLOW else None

        return self.packets.ground.diagrams.relabel(met, kept)


def _in_a_row(diagrams: Diagrams, one: Diagram, other: Diagram) -> Diagram | None:
    """First this stage, then that one (a `Merge`)."""
    if one is NOTHING or other is NOTHING:
        return other if one is NOTHING else one
    if isinstance(one, Leaf):
        fate = cast(Fate, one.value)
        if fate.verdict is Verdict.DENY:
            return one
        if isinstance(other, Leaf):
            return diagrams.leaf(fate.then(cast(Fate, other.value)))
    return None
