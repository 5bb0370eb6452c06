"""Sets of packets, exact, and what policy decides about all packets at once. No packet is tried here.

    addresses ─▶ fields, diagram ─▶ Space ─▶ PacketSpace ─▶ deciding: a walk ─┬─▶ reach: each rule of it
                                                                              └─▶ passing: the way through a host

`model/walk.py`, `stages.py` and `passage.py` say what a verdict is; what stands here has to say the same of every
packet, and a property test holds the two together. Groups of rules to ask about come from `stages.stage_groups`.
"""

from tortie.model.space.packetspace import PacketSpace as PacketSpace
from tortie.model.space.passing import Crossing as Crossing
from tortie.model.space.passing import Outcomes as Outcomes
from tortie.model.space.reach import RuleReach as RuleReach
from tortie.model.space.reach import reach as reach
from tortie.model.space.space import Likely as Likely
from tortie.model.space.space import Space as Space
from tortie.model.space.staging import Fate as Fate
