"""A rule: an action and the matches that must all hold."""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum

from tortie.model.ipset import IPSet, SetSource
from tortie.model.matches import Match, PortMatch, SetMatch
from tortie.model.packet import Packet


class Action(Enum):
    """Allow and Deny end the stage, Pass leaves the tier, Log goes on with the next rule."""

    ALLOW = "Allow"
    DENY = "Deny"
    PASS = "Pass"
    LOG = "Log"


@dataclass(frozen=True, slots=True)
class Rule:
    """All matches are ANDed; no match at all holds for every packet."""

    action: Action
    matches: tuple[Match, ...] = ()

    def holds(self, packet: Packet, sets: Mapping[str, IPSet]) -> bool | None:
        """False if any match is false, else None if any is unknown, else True."""
        answer: bool | None = True
        for match in self.matches:
            one = match.holds(packet, sets)
            if one is False:
                return False
            if one is None:
                answer = None
        return answer

    def set_sources(self) -> tuple[SetSource, ...]:
        """Every IP set that the rule refers to."""
        found: list[SetSource] = []
        for match in self.matches:
            if isinstance(match, SetMatch):
                found.append(match.source)
            elif isinstance(match, PortMatch):
                found.extend(match.named)
        return tuple(found)
