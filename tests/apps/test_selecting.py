"""What a selector matches among documents: effective labels, and reasons."""

import json

import pytest

from apps.documents import ENDPOINT, PAIR, network_set
from tortie.apps.answers import SelectorAnswer
from tortie.apps.ctl.local import run_now
from tortie.apps.decoding import decode_files
from tortie.apps.failure import Code, Failure
from tortie.apps.labelled import SELECTED
from tortie.apps.requests import Verb
from tortie.apps.selecting import parsed, select, select_stored
from tortie.apps.verbs import service
from tortie.calc.inheritance import of_network_set
from tortie.resources.kinds import KINDS
from tortie.store.memory import MemoryStore
from tortie.store.protocol import Key, Put


def document(kind: str, name: str, spec: dict[str, object], labels: dict[str, str]) -> str:
    metadata = {"name": name, "labels": labels}
    return json.dumps({"apiVersion": "projectcalico.org/v3", "kind": kind, "metadata": metadata, "spec": spec})


def endpoint(name: str, labels: dict[str, str], *profiles: str) -> str:
    return document("HostEndpoint", name, {"node": "node1", "interfaceName": "eth0", "profiles": [*profiles]}, labels)


def profile(name: str, labels: dict[str, str]) -> str:
    return document("Profile", name, {"labelsToApply": labels}, {})


def answer(expression: str, *documents: str) -> SelectorAnswer:
    files = [{"source": f"{number}.yaml", "text": text} for number, text in enumerate(documents)]
    return select(decode_files(files), parsed(expression))  # type: ignore[arg-type]


def test_own_labels_come_before_those_of_profiles_in_their_order() -> None:
    found = answer(
        'role == "web" && zone == "first"',
        endpoint("a", {"role": "web"}, "missing", "one", "two"),
        profile("two", {"zone": "second", "more": "yes"}),
        profile("one", {"zone": "first", "role": "db"}),
    )
    (one,) = found["matches"]
    assert one["labels"] == {
        "role": {"value": "web", "profile": None},
        "zone": {"value": "first", "profile": "one"},
        "more": {"value": "yes", "profile": "two"},
    }
    assert found["others"] == []


def test_every_other_thing_says_which_term_fails_and_what_it_found() -> None:
    found = answer('role == "web"', endpoint("a", {"role": "db"}), network_set("s", "10.0.0.0/8"), PAIR)
    assert found["matches"] == []
    assert {one["name"]: one["why_not"] for one in found["others"]} == {
        "a": ['role == "web": role is "db"'],
        "s": ['role == "web": role is absent'],
        "node2-eth0": ['role == "web": role is absent'],
    }


def test_policies_and_profiles_are_nothing_that_a_selector_matches() -> None:
    found = answer("all()", PAIR, profile("p", {}))
    assert [one["kind"] for one in found["matches"]] == ["HostEndpoint"]


def test_a_label_that_nothing_has_is_probably_another_one() -> None:
    assert answer('rolle == "web"', endpoint("a", {"role": "web"}))["hints"] == [
        "nothing has a label 'rolle'; did you mean role?"
    ]
    assert answer('role == "db"', endpoint("a", {"role": "web"}))["hints"] == []


def test_a_selector_that_is_none_is_a_usage_error_with_its_column() -> None:
    with pytest.raises(Failure, match="invalid selector: column 5") as caught:
        parsed("a ==")
    assert caught.value.code is Code.USAGE


def test_a_damaged_document_hides_none_of_the_others() -> None:
    store = MemoryStore()
    run_now(service.write(store, Verb.APPLY, [{"source": "a.yaml", "text": ENDPOINT}]))
    run_now(store.commit([Put(Key("GlobalNetworkSet", "", "broken"), b"{", 0)]))
    found = run_now(select_stored(store, "all()"))
    assert [one["name"] for one in found["matches"]] == ["node2-eth0"]
    assert [*found["damaged"]] == ["GlobalNetworkSet(broken)"]


def test_network_sets_with_a_namespace_have_its_labels() -> None:
    assert of_network_set("", {"a": "b"}) == ({"a": "b"}, ())
    labels, parents = of_network_set("prod", {"a": "b", "projectcalico.org/namespace": "lie"})
    assert labels == {"a": "b", "projectcalico.org/namespace": "prod"}
    assert parents == ("kns.prod",)


def kubernetes(kind: str, name: str, labels: dict[str, str], **body: object) -> str:
    metadata = {"name": name, "labels": labels} | ({} if kind == "Namespace" else {"namespace": "prod"})
    return json.dumps({"apiVersion": "v1", "kind": kind, "metadata": metadata, **body})


def test_pods_have_the_labels_of_their_namespace_and_account_and_a_profile_is_stronger() -> None:
    spec = {"nodeName": "node1", "serviceAccountName": "robot"}
    web = kubernetes("Pod", "web", {"app": "web"}, spec=spec, status={"podIP": "10.65.0.2"})
    done = kubernetes("Pod", "done", {"app": "web"}, spec=spec, status={"podIP": "10.65.0.3", "phase": "Succeeded"})
    namespace, account = kubernetes("Namespace", "prod", {"env": "live"}), kubernetes("ServiceAccount", "robot", {})
    live = 'pcns.env == "live" && pcsa.projectcalico.org/name == "robot"'
    found = answer(live, web, done, namespace, account)
    assert [(one["kind"], one["name"]) for one in found["matches"]] == [("Pod", "web")]
    assert found["matches"][0]["labels"]["pcns.env"] == {"value": "live", "profile": "kns.prod"}
    found = answer(live, profile("kns.prod", {"pcns.env": "dead"}), web, account, namespace)
    assert [one["name"] for one in found["others"]] == ["web"]


def test_workloads_and_sets_of_a_namespace_have_its_labels_and_say_nothing_else_of_it() -> None:
    workload = {
        "apiVersion": "projectcalico.org/v3",
        "kind": "WorkloadEndpoint",
        "metadata": {"namespace": "prod", "labels": {"a": "b", "pcns.env": "lie"}},
        "spec": {
            "orchestrator": "k8s",
            "node": "node1",
            "pod": "web",
            "endpoint": "eth0",
            "interfaceName": "cali0",
            "serviceAccountName": "robot",
            "profiles": ["kns.prod"],
        },
    }
    network_set = {
        "apiVersion": "projectcalico.org/v3",
        "kind": "NetworkSet",
        "metadata": {"name": "office", "namespace": "prod"},
        "spec": {"nets": ["10.0.0.0/8"]},
    }
    namespace = profile("kns.prod", {"pcns.env": "live"})
    found = answer('pcns.env == "live"', json.dumps(workload), json.dumps(network_set), namespace)
    labels = {one["kind"]: {key: each["value"] for key, each in one["labels"].items()} for one in found["matches"]}
    assert labels == {
        "WorkloadEndpoint": {
            "a": "b",
            "pcns.env": "live",
            "projectcalico.org/namespace": "prod",
            "projectcalico.org/orchestrator": "k8s",
            "projectcalico.org/serviceaccount": "robot",
        },
        "NetworkSet": {"pcns.env": "live", "projectcalico.org/namespace": "prod"},
    }


def test_every_kind_with_endpoints_or_networks_is_looked_at() -> None:
    suffixes = ("Endpoint", "NetworkSet")
    assert {kind for kind in KINDS if kind.endswith(suffixes)} <= set(SELECTED)
