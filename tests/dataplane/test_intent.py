"""Which state an interface should enforce."""

from dataclasses import replace

from tortie.dataplane.ebpf.plan import refusals
from tortie.dataplane.intent import Intent
from tortie.model.desired import EndpointState, TierPolicies
from tortie.model.endpoint import Interface
from tortie.model.packet import Direction
from tortie.model.policy import Policy, PolicyKey, Stage, Tier
from tortie.model.selector import ALL

RENAMED = Interface(name="lan0", index=2)
KEY = PolicyKey("GlobalNetworkPolicy", "", "p")
TIER = TierPolicies(Tier("default"), (Policy(key=KEY, tier="default", order=1.0, selector=ALL),))
GOOD = EndpointState(
    interface=Interface(name="eth0", index=2), endpoint="hep", tiers={(Stage.UNTRACKED, Direction.EGRESS): (TIER,)}
)


def test_the_last_good_state_of_a_renamed_interface_has_its_new_name() -> None:
    intent = Intent(refusals)
    intent.take({"eth0": GOOD})
    intent.judge()
    intent.done("eth0", GOOD)
    renamed = replace(RENAMED, has_ethernet=False)
    intent.take({"eth0": None, "lan0": replace(GOOD, interface=renamed)})
    intent.rename({"lan0": "eth0"})
    intent.judge()
    assert set(intent.refused) == {"lan0"}
    assert [state.interface for state in intent.untracked()] == [renamed]


def test_interfaces_that_exchange_names_exchange_their_last_good_states() -> None:
    intent = Intent(refusals)
    other = replace(GOOD, interface=Interface(name="eth1", index=3), tiers={})
    intent.take({"eth0": other, "eth1": GOOD})
    intent.done("eth0", GOOD)
    intent.done("eth1", other)
    intent.rename({"eth0": "eth1", "eth1": "eth0"})
    assert (intent.enforced["eth0"].tiers, intent.enforced["eth1"].tiers) == ({}, GOOD.tiers)
