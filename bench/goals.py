"""The goals that were set for the figures, by figure. Shown, never asserted: machines differ."""

from bench.figures import AboveEmpty, AtLeast, AtMost, Goal, MoreThan, Ratio
from bench.modes import KINDS, MODES
from fleet_changes import CHANGES, TOUCHES_MORE

DATAPLANES = ("ebpf", "nftables", "iptables", "nftables.front", "iptables.front")
VERDICT_NS = AboveEmpty(40)

GOALS: dict[str, tuple[Goal, ...]] = {
    "xdp.allow.1": (AboveEmpty(40, plus="xdp.metadata"),),
    "xdp.ports.1": (AboveEmpty(29),),
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
    "xdp.members.100000": (Ratio("xdp.members.100", 1.5),),
    "xdp.members.1000000": (Ratio("xdp.members.100", 1.5),),
    "xdp.members_random.100000": (Ratio("xdp.members_random.100", 3),),
    "xdp.mixed.1000": (AboveEmpty(60),),
    "xdp.classes.10000": (Ratio("xdp.classes.1", 1.3),),
    "members.restore.ratio": (AtMost(0.5),),
    **{f"dataplane.change.1000.{name}": (AtMost(100),) for name in DATAPLANES},
    **{f"dataplane.accept.{new}{name}.ratio": (AtLeast(1),) for name in DATAPLANES for new in ("", "new.")},
    "veth.drop.policy.ratio": (AtLeast(0.85),),
    "veth.drop.policy.random.ratio": (AtLeast(0.50),),
    "redis.untracked.ratio": (AtLeast(0.95), MoreThan("redis.conntrack.ratio")),
    "redis.tracked.ratio": (AtLeast(0.92), MoreThan("redis.conntrack.ratio")),
    "redis.untracked.tc.ratio": (AtLeast(0.95), MoreThan("redis.conntrack.ratio")),
    "redis.tracked.tc.ratio": (AtLeast(0.92), MoreThan("redis.conntrack.ratio")),
    # decision 33: where only untracked policy has XDP, both sides pay what a veth pair takes for it
    **{
        f"modes.{name}.{kind}.ratio{'.pass' if mode.is_in_front else ''}": (AtLeast(1),)
        for name, mode in MODES.items()
        for kind in KINDS
    },
    "apply.commit_to_enforced": (AtMost(20),),
    "apply.commit_to_enforced.egress": (AtMost(20),),
    "apply.commit_to_enforced.1000": (AtMost(30),),
    "apply.commit_to_enforced.10000": (AtMost(50),),
    "apply.command_to_enforced": (AtMost(100),),
    "agent.start": (AtMost(700),),
    "agent.rss": (AtMost(110),),
    "cli.get": (AtMost(60),),
    "cli.get.file": (AtMost(60),),
    "cli.apply": (AtMost(100),),
    "cli.apply.file": (AtMost(100),),
    "cli.validate": (AtMost(150),),
    "cli.validate.1000": (AtMost(2_000),),
    "cli.lint.1000": (AtMost(5_000),),
    "store.load.10000": (AtMost(10_000),),
    "store.list.10000": (AtMost(2_000),),
    "cli.apply.file.10000": (Ratio("cli.apply.file", 1.2),),
    "selector.adversarial.worst": (AtMost(10),),
    "test.1000": (AtMost(2_000),),
    "fleet.view": (AtMost(30),),
    "fleet.memory": (AtMost(600),),
    **{f"fleet.change.{name}": (AtMost(10),) for name in CHANGES},
    **{f"fleet.change.{name}.p99": (AtMost(10),) for name in CHANGES},
    **{f"fleet.change.{name}.ratio": (AtMost(2),) for name in CHANGES.keys() - TOUCHES_MORE},
    "fleet.agent.start": (AtMost(30_000),),
    "fleet.agent.rss": (AtMost(600),),
    "fleet.agent.hwm": (AtMost(600),),
    "fleet.agent.policy": (AtMost(50),),
    "fleet.agent.label": (AtMost(20),),
    "fleet.agent.address": (AtMost(20),),
    "fleet.agent.net": (AtMost(50),),
}
