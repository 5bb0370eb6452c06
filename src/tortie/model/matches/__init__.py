"""One condition on a packet; one file per match type, joined here into the closed union `Match`.

`holds(packet, sets)` answers True, False, or None: a later fragment lacks the ports that the match asks for, so the
answer is unknown. A set id that is not in `sets` is an empty set.
"""

from tortie.model.matches.icmp import IcmpMatch
from tortie.model.matches.net import NetMatch
from tortie.model.matches.port import PortMatch, PortRange
from tortie.model.matches.protocol import ProtocolMatch
from tortie.model.matches.set import SetMatch
from tortie.model.matches.version import VersionMatch

Match = VersionMatch | ProtocolMatch | IcmpMatch | NetMatch | SetMatch | PortMatch

__all__ = ["IcmpMatch", "Match", "NetMatch", "PortMatch", "PortRange", "ProtocolMatch", "SetMatch", "VersionMatch"]
