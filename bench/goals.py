"""The goals that were set for the figures, by figure. Shown, never asserted: machines differ."""

from bench.figures import AboveEmpty, AtLeast, AtMost, Goal, MoreThan, Ratio

VERDICT_NS = AboveEmpty(40)

GOALS: dict[str, tuple[Goal, ...]] = {
    "xdp.allow.1": (AboveEmpty(40, plus="xdp.metadata"),),
    "xdp.ports.1": (VERDICT_NS,),
    "xdp.established": (Ratio("xdp.allow.1", 1.5, plus="xdp.metadata"),),
    "xdp.established6": (Ratio("xdp.allow6.1", 1.5, plus="xdp.metadata"),),
    "xdp.normal.ports.10000": (Ratio("xdp.normal.ports.1", 1.2),),
    "xdp.ports.10000": (Ratio("xdp.ports.1", 1.2),),
    "xdp.nets.1": (VERDICT_NS,),
    "xdp.nets.10000": (Ratio("xdp.nets.1", 1.5),),
    "xdp.nets_mixed.1": (VERDICT_NS,),
    "xdp.nets6.1": (VERDICT_NS,),
    "xdp.sets.1": (VERDICT_NS,),
    "xdp.sets.100": (Ratio("xdp.sets.1", 1.3),),
    "xdp.sets.1000": (Ratio("xdp.sets.1", 1.3),),
    "xdp.sets_ports.1": (VERDICT_NS,),
    "xdp.sets_ports.100": (Ratio("xdp.sets_ports.1", 1.3),),
    "xdp.sets_ports.1000": (Ratio("xdp.sets_ports.1", 1.3),),
    "xdp.members.1000000": (Ratio("xdp.members.100", 1.5),),
    "veth.drop.policy.ratio": (AtLeast(0.85),),
    "veth.drop.policy.random.ratio": (AtLeast(0.50),),
    "redis.untracked.ratio": (AtLeast(0.95), MoreThan("redis.conntrack.ratio")),
    "redis.tracked.ratio": (AtLeast(0.92), MoreThan("redis.conntrack.ratio")),
    "redis.untracked.tc.ratio": (AtLeast(0.95), MoreThan("redis.conntrack.ratio")),
    "redis.tracked.tc.ratio": (AtLeast(0.92), MoreThan("redis.conntrack.ratio")),
    "apply.commit_to_enforced": (AtMost(20),),
    "apply.commit_to_enforced.egress": (AtMost(20),),
    "apply.commit_to_enforced.1000": (AtMost(30),),
    "apply.commit_to_enforced.10000": (AtMost(50),),
    "apply.command_to_enforced": (AtMost(100),),
    "agent.start": (AtMost(700),),
    "agent.rss": (AtMost(110),),
}
