"""`tortie explain` on a datastore and on an agent; what it prints is in tests/golden/explain."""

import json
from typing import Any

import pytest

from apps.documents import ENDPOINT, PAIR, POLICY
from apps.shell import Shell
from tortie.apps.ctl.commands.explain import SUBJECTS
from tortie.apps.explain import answering

OTHER = POLICY.replace("name: redis", "name: late").replace("order: 9", "order: 10")
WORKLOAD = """\
apiVersion: projectcalico.org/v3
kind: WorkloadEndpoint
metadata: {name: node2-k8s-web-eth0, namespace: shop, labels: {app: web}}
spec: {node: node2, orchestrator: k8s, pod: web, endpoint: eth0, interfaceName: cali1, ipNetworks: [10.8.0.7/32]}
"""


def explained(shell: Shell, *asked: str) -> dict[str, Any]:
    code, out, err = shell("--node", "node2", "explain", *asked, "-o", "json")
    assert (code, err) == (0, "")
    answer: dict[str, Any] = json.loads(out)
    return answer


def test_the_command_and_the_answers_know_the_same_subjects() -> None:
    assert SUBJECTS == answering.SUBJECTS


def test_a_port_is_told_with_who_reaches_it_and_by_which_rule(either: Shell) -> None:
    either("apply", "-f", either.file(PAIR))
    (endpoint,) = explained(either, "port", "6379")["endpoints"]
    path = endpoint["paths"][0]
    allowed, closed = path["outcomes"]
    assert (endpoint["interface"], endpoint["name"], path["path"], path["port"]) == (
        "eth0",
        "node2-eth0",
        "to_host",
        "tcp/6379",
    )
    assert (allowed["verdict"], allowed["is_tracked"], allowed["policy"], allowed["rule"]) == (
        "allow",
        False,
        "GlobalNetworkPolicy(redis)",
        0,
    )
    assert allowed["remotes"]["is_everyone"]
    assert allowed["origin"].startswith("revision ")
    assert (closed["verdict"], closed["reason"], closed["source_ports"]) == (
        "deny",
        "default_deny",
        ["179", "2379:2380", "5473", "6443", "6666:6667"],
    )


def test_rules_are_counted_where_an_agent_counts(either: Shell) -> None:
    either("apply", "-f", either.file(PAIR))
    (policy,) = explained(either, "policy", "redis")["policies"]
    counted = [None, None] if either.socket is None else [7, 0]  # as the reference driver counts
    assert [rule["hits"] for rule in policy["rules"]] == counted
    assert [rule["use"] for rule in policy["rules"]] == ["meets", "meets"]
    (foreseen,) = explained(either, "policy", "redis", "-f", either.file(OTHER))["policies"]
    assert {rule["hits"] for rule in foreseen["rules"]} == {None}


def test_a_rule_that_never_matches_says_who_has_its_packets(either: Shell) -> None:
    either("apply", "-f", either.file(f"{PAIR}---\n{OTHER}"))
    (policy,) = explained(either, "policy", "late")["policies"]
    assert (policy["before"], policy["after"]) == (["GlobalNetworkPolicy(redis)"], [])
    redis = "tier default, GlobalNetworkPolicy(redis), rule 0"
    takers = {"ingress": [redis], "egress": ["failsafes", redis]}
    for rule in policy["rules"]:
        assert (rule["use"], rule["example"]) == ("never", None)
        assert rule["taken_by"] == {"eth0": takers[rule["direction"]]}


def test_an_endpoint_is_told_in_order_and_a_workload_by_its_namespace(either: Shell) -> None:
    either("apply", "-f", either.file(f"{PAIR}---\n{WORKLOAD}"))
    (endpoint,) = explained(either, "endpoint", "node2-eth0")["endpoints"]
    assert [(one["stage"], one["direction"]) for one in endpoint["classes"]] == [
        ("untracked", "ingress"),
        ("normal", "ingress"),
        ("untracked", "egress"),
        ("normal", "egress"),
    ]
    (workload,) = explained(either, "endpoint", "node2-k8s-web-eth0", "-n", "shop")["endpoints"]
    assert (workload["kind"], [path["path"] for path in workload["paths"]]) == (
        "WorkloadEndpoint",
        ["to_workload", "from_workload"],
    )


def test_a_staged_policy_is_told_as_if_it_were_carried_out(either: Shell) -> None:
    staged = POLICY.replace("GlobalNetworkPolicy", "StagedGlobalNetworkPolicy")
    either("apply", "-f", either.file(f"{ENDPOINT}---\n{staged}"))
    answer = explained(either, "policy", "redis")
    assert answer["notes"] == ["StagedGlobalNetworkPolicy(redis) is staged: told as if it were carried out"]
    (policy,) = answer["policies"]
    assert (policy["policy"], policy["rules"][0]["use"]) == ("StagedGlobalNetworkPolicy(redis)", "meets")


def test_an_older_state_and_another_node_can_be_explained(either: Shell) -> None:
    either("apply", "-f", either.file(PAIR))
    revision = json.loads(either("get", "gnp", "redis", "-o", "json")[1])["metadata"]["resourceVersion"]
    either("delete", "gnp", "redis")
    now = explained(either, "port", "6379")["endpoints"][0]["paths"][0]["outcomes"]
    then = explained(either, "port", "6379", "--revision", revision)["endpoints"][0]["paths"][0]["outcomes"]
    assert ([one["verdict"] for one in now], [one["verdict"] for one in then]) == (["deny"], ["allow", "deny"])
    code, out, _ = either("explain", "host", "node3")
    assert (code, "no endpoint is on it" in out) == (0, True)


@pytest.mark.parametrize(
    ("asked", "code", "sentence"),
    [
        (("port", "70000"), 2, "'70000' is no port; write 5432 (TCP)"),
        (("port", "icmp/8"), 2, "'icmp/8' is no port"),
        (("port", "web"), 5, "no endpoint of node node2 has a port named 'web'; write 5432 (TCP)"),
        (("port",), 2, "which port? give its name"),
        (("policy", "rediss"), 5, "no policy is named 'rediss'; did you mean redis?"),
        (("endpoint", "eth0"), 5, "no endpoint is named 'eth0'"),
        (("rule", "1"), 2, "'rule' is not one of"),
    ],
)
def test_what_cannot_be_explained_says_what_can(
    either: Shell, asked: tuple[str, ...], code: int, sentence: str
) -> None:
    either("apply", "-f", either.file(PAIR))
    found, out, err = either("--node", "node2", "explain", *asked)
    assert (found, out) == (code, "")
    assert sentence in err


POD = """\
apiVersion: v1
kind: Pod
metadata: {name: web, namespace: shop, labels: {app: web}}
spec: {nodeName: node2}
status: {phase: Running, podIP: 10.8.0.9}
"""


@pytest.mark.parametrize("name", ["web", "shop/web", "Pod(shop/web)", "shop/node2-k8s-web-eth0"])
@pytest.mark.parametrize("documents", [POD, f"{POD}---\n{WORKLOAD}"])
def test_a_pod_and_its_endpoint_are_one_under_both_names(shell: Shell, name: str, documents: str) -> None:
    (endpoint,) = explained(shell, "endpoint", name, "-f", shell.file(documents))["endpoints"]
    assert (endpoint["kind"], endpoint["name"]) == ("WorkloadEndpoint", "shop/node2-k8s-web-eth0")
