"""What the eBPF driver refuses for an interface as a whole."""

from dataclasses import replace

import pytest

from tortie.dataplane.ebpf.plan import refusals
from tortie.model.desired import EndpointState, TierPolicies
from tortie.model.endpoint import Interface
from tortie.model.packet import Direction
from tortie.model.policy import Policy, PolicyKey, Profile, Stage, Tier
from tortie.model.selector import ALL

PLAIN = EndpointState(interface=Interface(name="eth0", index=2), endpoint="hep")
TUNNEL = Interface(name="tun0", index=3, has_ethernet=False)


def with_policy(stage: Stage, reason: str | None = None) -> EndpointState:
    key = PolicyKey("GlobalNetworkPolicy", "", "p")
    policy = Policy(key=key, tier="default", order=1.0, selector=ALL, reason_refused=reason)
    return replace(PLAIN, tiers={(stage, Direction.INGRESS): (TierPolicies(Tier("default"), (policy,)),)})


@pytest.mark.parametrize("stage", Stage)
def test_policy_of_all_classes_is_taken_and_a_forward_half_hinders_nobody(stage: Stage) -> None:
    assert refusals(PLAIN) == refusals(with_policy(stage)) == ()


def test_a_wildcard_is_an_endpoint_like_others() -> None:
    assert refusals(replace(with_policy(Stage.NORMAL), is_wildcard=True)) == ()


@pytest.mark.parametrize(
    ("state", "says"),
    [
        (with_policy(Stage.PRE_DNAT, "it matches HTTP"), "(preDNAT): it matches HTTP"),
        (with_policy(Stage.NORMAL, "it matches HTTP"), "it matches HTTP"),
        (replace(PLAIN, profiles=(Profile("p", reason_refused="it matches HTTP"),)), "Profile(p): it matches HTTP"),
        (replace(PLAIN, interface=TUNNEL), "cannot be read yet: remove the endpoint"),
        (replace(PLAIN, interface=TUNNEL, is_wildcard=True), "cannot be read yet: name it in interfaceExclude"),
    ],
)
def test_what_cannot_be_enforced_is_refused_with_its_name_and_a_remedy(state: EndpointState, says: str) -> None:
    (found,) = refusals(state)
    assert says in found
