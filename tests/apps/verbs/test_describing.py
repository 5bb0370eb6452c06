"""What describe says of each sort of resource."""

import asyncio
import json

import pytest

from apps.documents import ENDPOINT, PAIR, POLICY, network_set, policy_in, tier
from tortie.apps.answers import DescriptionAnswer, EnforcedAnswer
from tortie.apps.ctl.local import run_now
from tortie.apps.kinds import find_kind
from tortie.apps.requests import GetQuery, Verb
from tortie.apps.verbs import service
from tortie.apps.verbs.describing import AT_ONCE, describe, no_turn
from tortie.store.memory import MemoryStore

PROFILE = json.dumps(
    {
        "apiVersion": "projectcalico.org/v3",
        "kind": "Profile",
        "metadata": {"name": "base"},
        "spec": {"labelsToApply": {"hep": "profiles-lose", "zone": "a"}},
    }
)
WORLD = (
    ENDPOINT.replace("node: node2,", "node: node2, profiles: [base, gone],"),
    POLICY.replace("TCP, destination", "TCP, source: {selector: set == 'a'}, destination"),
    PROFILE,
    network_set("a", "10.0.0.0/8"),
    network_set("b"),
    tier("security", 5),
    policy_in("security", "first"),
)


def described(word: str, name: str, enforced: EnforcedAnswer | None = None) -> DescriptionAnswer:
    store = MemoryStore()
    run_now(service.write(store, Verb.APPLY, [{"source": "t", "text": "\n---\n".join(WORLD)}]))
    (one,) = run_now(describe(store, find_kind(word), GetQuery(name=(name,)), enforced, no_turn))["items"]
    return one


@pytest.mark.parametrize(
    ("word", "name", "relations"),
    [
        (
            "gnp",
            "redis",
            {
                "Selects": ["HostEndpoint(node2-eth0)"],
                "Order in tier default": ["GlobalNetworkPolicy(redis)"],
                "Its rules select": ["GlobalNetworkSet(a)"],
            },
        ),
        (
            "hep",
            "node2-eth0",
            {
                "Labels with those of profiles": ["hep=redis-host", "zone=a"],
                "Selected by": [
                    "GlobalNetworkPolicy(first) (untracked, tier security)",
                    "GlobalNetworkPolicy(redis) (untracked, tier default)",
                ],
                "Profiles that do not exist": ["gone"],
            },
        ),
        ("gns", "a", {"Selected by rules of": ["GlobalNetworkPolicy(redis)"]}),
        ("gns", "b", {"Selected by rules of": []}),
        ("tier", "security", {"Policies, in order": ["GlobalNetworkPolicy(first)"]}),
        ("profile", "base", {"Listed by": ["HostEndpoint(node2-eth0)"]}),
    ],
)
def test_a_resource_is_described_with_what_it_has_to_do_with(
    word: str, name: str, relations: dict[str, list[str]]
) -> None:
    assert {one["title"]: one["things"] for one in described(word, name)["relations"]} == relations


WORKLOAD = """\
apiVersion: projectcalico.org/v3
kind: WorkloadEndpoint
metadata: {name: node2-k8s-web-eth0, namespace: shop, labels: {hep: redis-host}}
spec: {node: node2, orchestrator: k8s, pod: web, endpoint: eth0, interfaceName: cali1, ipNetworks: [10.8.0.7/32]}
"""


def test_workloads_are_selected_and_described_like_hosts() -> None:
    store = MemoryStore()
    run_now(service.write(store, Verb.APPLY, [{"source": "t", "text": f"{PAIR}\n---\n{WORKLOAD}"}]))
    (policy,) = run_now(describe(store, find_kind("gnp"), GetQuery(), None, no_turn))["items"]
    (workload,) = run_now(describe(store, find_kind("wep"), GetQuery(namespace="shop"), None, no_turn))["items"]
    workload_name = "WorkloadEndpoint(shop/node2-k8s-web-eth0)"
    assert policy["relations"][0] == {"title": "Selects", "things": ["HostEndpoint(node2-eth0)", workload_name]}
    selected_by = {"title": "Selected by", "things": ["GlobalNetworkPolicy(redis) (untracked, tier default)"]}
    assert selected_by in workload["relations"]


def test_what_the_agent_says_is_among_the_warnings() -> None:
    enforced: EnforcedAnswer = {
        "node": "node2",
        "revision": 1,
        "is_current": True,
        "refused": {"eth0": ["GlobalNetworkPolicy(redis) is too large"]},
        "failed": {},
        "interfaces": [],
        "endpoints": [{"endpoint": "node2-eth0", "interfaces": [], "problem": "this host has no interface eth0"}],
        "policies": {"GlobalNetworkPolicy(redis)": "tier gone does not exist"},
        "invalid": {},
        "apply_ms": 0.0,
        "wait_ms": 0.0,
    }
    found = described("gnp", "redis", enforced)["warnings"]
    assert found[-2:] == ["tier gone does not exist", "refused on eth0: GlobalNetworkPolicy(redis) is too large"]
    assert described("hep", "node2-eth0", enforced)["warnings"] == ["this host has no interface eth0"]


def test_a_policy_among_many_is_shown_with_its_neighbours() -> None:
    store = MemoryStore()
    names = [f"p{number:02}" for number in range(40)]
    documents = "\n---\n".join([tier("t"), *(policy_in("t", name) for name in names)])
    run_now(service.write(store, Verb.APPLY, [{"source": "t", "text": documents}]))
    found = run_now(describe(store, find_kind("gnp"), GetQuery(), None, no_turn))["items"]
    places = [each["relations"][1] for each in found]
    assert [each["title"] for each in places[:2]] == ["Order in tier t, 1 of 40", "Order in tier t, 2 of 40"]
    assert places[0]["things"] == [f"GlobalNetworkPolicy({name})" for name in names[:10]]
    assert places[20]["things"] == [f"GlobalNetworkPolicy({name})" for name in names[11:30]]
    assert places[39]["things"] == [f"GlobalNetworkPolicy({name})" for name in names[30:]]


def test_lint_warns_in_a_description_too() -> None:
    store = MemoryStore()
    one_sided = PAIR[: PAIR.index("  egress:")]
    run_now(service.write(store, Verb.APPLY, [{"source": "t", "text": one_sided}]))
    (one,) = run_now(describe(store, find_kind("gnp"), GetQuery(), None, no_turn))["items"]
    assert one["warnings"][0].startswith("doNotTrack policy allows ingress but has no egress rule")


def test_others_have_their_turn_while_many_documents_are_read() -> None:
    store = MemoryStore()
    sets = [network_set(f"set-{number}") for number in range(10 * AT_ONCE)]
    run_now(service.write(store, Verb.APPLY, [{"source": "t", "text": "\n---\n".join([*sets, POLICY])}]))

    async def turns() -> int:
        """How often somebody else ran while one policy was described."""
        count, is_over = 0, False

        async def other() -> None:
            nonlocal count
            while not is_over:
                count += 1
                await asyncio.sleep(0)

        task = asyncio.create_task(other())
        await describe(store, find_kind("gnp"), GetQuery(), None, lambda: asyncio.sleep(0))
        is_over = True
        await task
        return count

    assert asyncio.run(turns()) >= 10
