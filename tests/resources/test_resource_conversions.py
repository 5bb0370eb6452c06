"""Kubernetes' policies and what is enforced for them, side by side in `conversions/`."""

import json
from pathlib import Path
from typing import Any

import pytest
import yaml
from resource_text import document, lowered, read, refuse

from tortie.model.packet import Direction
from tortie.model.policy import Policy, PolicyKey
from tortie.model.rule import Action, Rule
from tortie.resources import clusterconversion, kubernetesconversion
from tortie.resources.codec import decode_stored, lower
from tortie.resources.kinds import KINDS
from tortie.resources.policylowering import lower_global, lower_namespaced
from tortie.resources.problems import InvalidDocument

FOLDER = Path(__file__).parent / "conversions"


def cases(kind: str) -> list[Any]:
    """The documents of the file of that kind."""
    text = (FOLDER / f"{kind.lower()}.yaml").read_text(encoding="utf-8")
    return [pytest.param(each, id=each["case"]) for each in yaml.safe_load_all(text)]


def kubernetes(kind: str, spec: object) -> str:
    """A document of the kind as JSON."""
    metadata = {"name": "thing", **({"namespace": "ns"} if KINDS[kind].is_namespaced else {})}
    return json.dumps(
        {"apiVersion": KINDS[kind].api_version, "kind": KINDS[kind].word, "metadata": metadata, "spec": spec}
    )


def check_remarks(expected: list[str], remarks: tuple[str, ...]) -> None:
    """Each remark begins as it should."""
    assert [remark[: len(begin)] for remark, begin in zip(remarks, expected, strict=True)] == expected


@pytest.mark.parametrize("case", cases("KubernetesNetworkPolicy"))
def test_a_network_policy_of_kubernetes_becomes_one_of_calico(case: dict[str, Any]) -> None:
    spec, remarks = kubernetesconversion.convert(case["kubernetes"], "ns")
    assert spec == case["calico"]
    check_remarks(case.get("remarks", []), remarks)
    text = kubernetes("KubernetesNetworkPolicy", case["kubernetes"])
    if not case.get("is_valid", True):
        refuse(text)
        value = lower(decode_stored(text.encode()))
    else:
        value = lowered(text)
    assert isinstance(value, Policy)
    key = PolicyKey("KubernetesNetworkPolicy", "ns", "thing")
    assert (value.key, value.remarks) == (key, remarks)
    # What stands beside it is a document that means the same.
    calico = read(document("NetworkPolicy", case["calico"], namespace="ns"))
    same = lower_namespaced(key, calico.spec)
    assert (value.selector, value.ingress, value.egress) == (same.selector, same.ingress, same.egress)
    assert value.governs == {Direction(each.lower()) for each in case["calico"]["types"]}
    assert (value.tier, value.order) == ("default", 1000)


@pytest.mark.parametrize("case", cases("KubernetesClusterNetworkPolicy"))
def test_a_cluster_network_policy_becomes_a_global_one(case: dict[str, Any]) -> None:
    spec, remarks = clusterconversion.convert(case["kubernetes"])
    assert spec == case["calico"]
    check_remarks(case.get("remarks", []), remarks)
    text = kubernetes("KubernetesClusterNetworkPolicy", case["kubernetes"])
    if not case.get("is_valid", True):
        refuse(text)
        value = lower(decode_stored(text.encode()))
    else:
        value = lowered(text)
    assert isinstance(value, Policy)
    key = PolicyKey("KubernetesClusterNetworkPolicy", "", "thing")
    assert (value.key, value.remarks) == (key, remarks)
    calico = read(document("GlobalNetworkPolicy", case["calico"]))
    same = lower_global(key, calico.spec)
    assert (value.selector, value.ingress, value.egress) == (same.selector, same.ingress, same.egress)
    assert value.governs == {Direction(each.lower()) for each in case["calico"]["types"]}


@pytest.mark.parametrize(
    "spec",
    [
        {"tier": "Middle", "priority": 1, "subject": {"namespaces": {}}},
        {"tier": "Admin", "priority": 1},
        {"tier": "Admin", "priority": 1, "subject": {}},
        {"tier": "Admin", "priority": 1, "subject": {"namespaces": {}, "pods": {"podSelector": {}}}},
        {"tier": "Admin", "subject": {"namespaces": {}}},
    ],
)
def test_a_cluster_network_policy_without_tier_or_subject_counts_as_absent_and_says_so(spec: object) -> None:
    with pytest.raises(InvalidDocument):
        lower(decode_stored(kubernetes("KubernetesClusterNetworkPolicy", spec).encode()))


@pytest.mark.parametrize(
    "spec",
    [
        {"podSelector": {"matchLabels": {"a b": "c"}}},
        {"podSelector": {}, "policyTypes": ["Sideways"]},
        {"podSelector": {}, "ingress": {}},
        {"podSelector": {}, "sideways": []},
    ],
)
def test_a_network_policy_of_which_nobody_knows_what_it_is_about_counts_as_absent_and_says_so(spec: object) -> None:
    with pytest.raises(InvalidDocument):
        lower(decode_stored(kubernetes("KubernetesNetworkPolicy", spec).encode()))


def test_converted_policies_never_select_a_host_endpoint() -> None:
    labels = {"app": "web", "projectcalico.org/namespace": "ns"}
    for kind, spec in (
        ("KubernetesNetworkPolicy", {"podSelector": {}}),
        ("KubernetesClusterNetworkPolicy", {"tier": "Admin", "priority": 1, "subject": {"namespaces": {}}}),
    ):
        value = lowered(kubernetes(kind, spec))
        assert isinstance(value, Policy)
        assert not value.selector.matches(labels)
        assert value.selector.matches({**labels, "projectcalico.org/orchestrator": "k8s"})


def test_a_rule_that_denies_everything_has_no_matches() -> None:
    spec = {"tier": "Admin", "priority": 1, "subject": {"namespaces": {}}}
    value = lowered(
        kubernetes("KubernetesClusterNetworkPolicy", {**spec, "egress": [{"action": "Pass", "to": [{"nodes": {}}]}]})
    )
    assert isinstance(value, Policy)
    assert value.egress == (Rule(Action.DENY, ()),)
