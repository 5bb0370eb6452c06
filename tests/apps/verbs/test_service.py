"""What apply, get and delete do to a datastore."""

import asyncio
import json
from collections.abc import Sequence

import pytest

from apps.documents import ENDPOINT, KUBERNETES, PAIR, POLICY, network_set, policy_in, staged, tier
from tortie.apps.answers import SourceText, WriteAnswer
from tortie.apps.ctl.local import run_now
from tortie.apps.failure import Code, Failure
from tortie.apps.requests import GetQuery, Verb, WriteOptions
from tortie.apps.verbs import service
from tortie.apps.verbs.initial import initialise
from tortie.apps.verbs.stored import is_tiered
from tortie.apps.verbs.writing import ATTEMPTS
from tortie.model.names import BUILT_IN_TIERS
from tortie.resources.kinds import KINDS
from tortie.store.memory import MemoryStore
from tortie.store.protocol import Conflict, Delete, Key, Put, Write


def text(*documents: str, source: str = "test.yaml") -> list[SourceText]:
    return [{"source": source, "text": "\n---\n".join(documents)}]


def apply(store: MemoryStore, *documents: str) -> WriteAnswer:
    return run_now(service.write(store, Verb.APPLY, text(*documents)))


def actions(answer: WriteAnswer) -> list[str]:
    return [change["action"] for change in answer["changes"]]


def stored(store: MemoryStore, kind: str, name: str) -> dict[str, dict[str, object]]:
    entry = run_now(store.get(Key(kind, "", name)))
    body: dict[str, dict[str, object]] = json.loads(entry.value)
    return body


def test_one_apply_is_one_transaction_with_the_built_in_tiers_in_it() -> None:
    store = MemoryStore()
    answer = apply(store, PAIR)
    assert actions(answer) == ["created", "created"]
    assert answer["revision"] == 1
    entries, _ = run_now(store.list("Tier"))
    assert [entry.key.name for entry in entries] == ["default", "kube-admin", "kube-baseline"]


def test_the_same_documents_again_change_nothing() -> None:
    store = MemoryStore()
    first = apply(store, PAIR)
    second = apply(store, PAIR)
    assert actions(second) == ["unchanged", "unchanged"]
    assert first["revision"] == second["revision"]


def test_an_update_keeps_the_identity_and_replaces_labels() -> None:
    store = MemoryStore()
    apply(store, ENDPOINT)
    before = stored(store, "HostEndpoint", "node2-eth0")["metadata"]
    answer = apply(store, ENDPOINT.replace("hep: redis-host", "role: db"))
    after = stored(store, "HostEndpoint", "node2-eth0")["metadata"]
    assert actions(answer) == ["configured"]
    assert after["labels"] == {"role": "db"}
    assert (before["uid"], before["creationTimestamp"]) == (after["uid"], after["creationTimestamp"])


def test_server_set_metadata_of_the_author_is_dropped() -> None:
    store = MemoryStore()
    apply(store, ENDPOINT.replace("{name: node2-eth0,", '{name: node2-eth0, uid: "mine", generation: 4,'))
    metadata = stored(store, "HostEndpoint", "node2-eth0")["metadata"]
    assert metadata["uid"] != "mine"
    assert "generation" not in metadata


def test_a_stale_resource_version_is_a_conflict_and_writes_nothing() -> None:
    store = MemoryStore()
    apply(store, ENDPOINT)
    apply(store, ENDPOINT.replace("redis-host", "other"))
    stale = ENDPOINT.replace("{name: node2-eth0,", '{name: node2-eth0, resourceVersion: "1",')
    with pytest.raises(Failure, match=r"HostEndpoint\(node2-eth0\).*'1' is out of date \(latest: 2\)") as caught:
        apply(store, stale, network_set("s", "10.0.0.0/8"))
    assert caught.value.code is Code.CONFLICT
    assert run_now(store.list("GlobalNetworkSet"))[0] == ()


def test_the_current_resource_version_is_accepted() -> None:
    store = MemoryStore()
    apply(store, ENDPOINT)
    fresh = ENDPOINT.replace("{name: node2-eth0,", '{name: node2-eth0, resourceVersion: "1",').replace("redis", "db")
    assert actions(apply(store, fresh)) == ["configured"]


def test_a_policy_needs_its_tier() -> None:
    store = MemoryStore()
    with pytest.raises(Failure) as caught:
        apply(store, policy_in("security"))
    assert caught.value.code is Code.INVALID
    (problem,) = caught.value.problems
    assert (problem["code"], problem["path"]) == ("TT1903", "spec.tier")
    assert run_now(store.list()) == ((), 0)


def test_a_tier_in_the_same_apply_is_enough_in_any_order() -> None:
    store = MemoryStore()
    assert actions(apply(store, policy_in("security"), tier("security"))) == ["created", "created"]


def test_a_policy_whose_tier_vanished_can_still_be_changed() -> None:
    store = MemoryStore()
    apply(store, policy_in("security"), tier("security"))
    run_now(store.commit([Delete(Key("Tier", "", "security"))]))
    changed = json.loads(policy_in("security"))
    changed["spec"]["order"] = 7
    assert actions(apply(store, json.dumps(changed))) == ["configured"]


def test_a_document_that_is_there_twice_is_refused_with_both_places() -> None:
    with pytest.raises(Failure) as caught:
        apply(MemoryStore(), ENDPOINT, ENDPOINT)
    (problem,) = caught.value.problems
    assert problem["code"] == "TT1902"
    assert "already at test.yaml:1" in problem["text"]


def test_all_files_are_judged_before_anything_is_written() -> None:
    store = MemoryStore()
    files = [*text(PAIR, source="good.yaml"), *text(ENDPOINT.replace("10.0.0.5", "10.0.0.500"), source="bad.yaml")]
    with pytest.raises(Failure) as caught:
        run_now(service.write(store, Verb.APPLY, files))
    assert {"bad.yaml"} == {problem["source"] for problem in caught.value.problems}
    assert run_now(store.list()) == ((), 0)


def test_a_dry_run_writes_nothing_and_says_what_would_change() -> None:
    store = MemoryStore()
    answer = run_now(service.write(store, Verb.APPLY, text(PAIR), WriteOptions(dry_run=True)))
    assert actions(answer) == ["created", "created"]
    assert answer["is_dry_run"]
    assert run_now(store.list()) == ((), 0)


class Meddled(MemoryStore):
    """Somebody else writes the endpoint just before each of the first commits."""

    def __init__(self, times: int) -> None:
        super().__init__()
        self.times = times

    async def commit(self, writes: Sequence[Write]) -> int:
        if self.times:
            self.times -= 1
            value = (await self.get(Key("HostEndpoint", "", "node2-eth0"))).value
            await super().commit([Put(Key("HostEndpoint", "", "node2-eth0"), value.replace(b"10.0.0", b"10.0.1"))])
            await super().commit([Put(Key("HostEndpoint", "", "node2-eth0"), value)])
        return await super().commit(writes)


def test_a_race_without_a_resource_version_is_judged_again() -> None:
    store = Meddled(0)
    apply(store, ENDPOINT)
    store.times = 3
    assert actions(apply(store, ENDPOINT.replace("redis-host", "x"))) == ["configured"]


def test_an_endless_race_ends_as_a_conflict() -> None:
    store = Meddled(0)
    apply(store, ENDPOINT)
    store.times = ATTEMPTS
    with pytest.raises(Conflict):
        apply(store, ENDPOINT.replace("redis-host", "x"))


def test_a_tier_that_is_deleted_between_reading_and_writing_stops_the_policy() -> None:
    class Racing(MemoryStore):
        async def commit(self, writes: Sequence[Write]) -> int:
            if any(write.key.kind == "GlobalNetworkPolicy" for write in writes):
                await service.delete_named(self, "tier", ["security"], WriteOptions(skip=True))
            return await super().commit(writes)

    store = Racing()
    apply(store, tier("security"))
    with pytest.raises(Failure, match="nothing was changed"):
        apply(store, policy_in("security"))


def test_delete_is_all_or_nothing() -> None:
    store = MemoryStore()
    apply(store, network_set("a"), network_set("b"))
    with pytest.raises(Failure, match=r"GlobalNetworkSet\(c\)") as caught:
        run_now(service.delete_named(store, "gns", ["a", "c"]))
    assert caught.value.code is Code.NOT_FOUND
    assert len(run_now(store.list("GlobalNetworkSet"))[0]) == 2
    answer = run_now(service.delete_named(store, "gns", ["a", "c"], WriteOptions(skip=True)))
    assert actions(answer) == ["deleted", "absent"]


def test_delete_by_file_honours_the_resource_version() -> None:
    store = MemoryStore()
    apply(store, ENDPOINT)
    stale = ENDPOINT.replace("{name: node2-eth0,", '{name: node2-eth0, resourceVersion: "9",')
    with pytest.raises(Failure) as caught:
        run_now(service.write(store, Verb.DELETE, text(stale)))
    assert caught.value.code is Code.CONFLICT
    assert actions(run_now(service.write(store, Verb.DELETE, text(ENDPOINT)))) == ["deleted"]


@pytest.mark.parametrize("name", BUILT_IN_TIERS)
def test_a_built_in_tier_cannot_be_deleted(name: str) -> None:
    store = MemoryStore()
    run_now(initialise(store))
    with pytest.raises(Failure, match="it is built in"):
        run_now(service.delete_named(store, "tier", [name]))


def test_a_tier_with_policies_cannot_be_deleted() -> None:
    store = MemoryStore()
    apply(store, tier("security"), policy_in("security"))
    with pytest.raises(Failure, match=r"GlobalNetworkPolicy\(p1\) is in it"):
        run_now(service.delete_named(store, "tier", ["security"]))
    both = text(tier("security"), policy_in("security"))
    assert actions(run_now(service.write(store, Verb.DELETE, both))) == ["deleted", "deleted"]


IN_A_TIER = [
    policy_in("security"),
    json.dumps(
        {
            "apiVersion": "projectcalico.org/v3",
            "kind": "NetworkPolicy",
            "metadata": {"name": "p1", "namespace": "shop"},
            "spec": {"tier": "security"},
        }
    ),
    staged("StagedGlobalNetworkPolicy", "security"),
    staged("StagedNetworkPolicy", "security"),
]


def test_the_kinds_that_are_in_a_tier_are_these() -> None:
    assert sorted(kind.name for kind in KINDS.values() if is_tiered(kind)) == sorted(
        json.loads(each)["kind"] for each in IN_A_TIER
    )


@pytest.mark.parametrize("document", IN_A_TIER)
def test_every_kind_of_policy_needs_its_tier_and_keeps_it(document: str) -> None:
    store = MemoryStore()
    with pytest.raises(Failure) as caught:
        apply(store, document)
    assert [problem["code"] for problem in caught.value.problems] == ["TT1903"]
    apply(store, tier("security"), document)
    with pytest.raises(Failure, match="is in it; delete or move its policies first"):
        run_now(service.delete_named(store, "tier", ["security"]))


def test_a_policy_of_kubernetes_is_stored_as_it_was_written() -> None:
    store = MemoryStore()
    assert actions(apply(store, KUBERNETES)) == ["created", "created"]
    assert actions(apply(store, KUBERNETES)) == ["unchanged", "unchanged"]
    entry = run_now(store.get(Key("KubernetesNetworkPolicy", "shop", "web")))
    assert json.loads(entry.value)["apiVersion"] == "networking.k8s.io/v1"


def test_get_answers_in_the_order_asked_and_names_what_is_missing() -> None:
    store = MemoryStore()
    apply(store, network_set("a", "10.0.0.0/8"), network_set("b"))
    answer = run_now(service.get(store, "gns", GetQuery(name=("b", "zz", "a"), view="wide")))
    assert answer["missing"] == ["zz"]
    assert answer["table"] == {"heading": ["NAME", "NETS"], "rows": [["b", ""], ["a", "10.0.0.0/8"]]}


def test_what_get_shows_can_be_applied_again() -> None:
    store = MemoryStore()
    apply(store, PAIR)
    shown = run_now(service.get(store, "gnp", GetQuery()))["items"]
    assert actions(apply(store, json.dumps(shown))) == ["unchanged"]


def test_initialising_twice_changes_nothing() -> None:
    store = MemoryStore()
    run_now(initialise(store))
    run_now(initialise(store))
    assert run_now(store.list())[1] == 1


def test_an_untracked_allow_without_return_rule_is_warned_of() -> None:
    one_sided = POLICY[: POLICY.index("  egress:")]
    answer = apply(MemoryStore(), one_sided)
    assert len(answer["warnings"]) == 1
    assert "NO_RETURN_RULE" in answer["warnings"][0]


def test_a_return_rule_in_another_policy_of_the_selector_is_enough() -> None:
    store = MemoryStore()
    other = POLICY.replace("name: redis", "name: back")
    apply(store, other)
    one_sided = POLICY[: POLICY.index("  egress:")]
    assert apply(store, one_sided)["warnings"] == []


@pytest.mark.parametrize("kind", ["StagedGlobalNetworkPolicy", "StagedNetworkPolicy", "StagedKubernetesNetworkPolicy"])
def test_who_applies_a_staged_policy_is_told_that_nothing_of_it_is_enforced(kind: str) -> None:
    (warning,) = apply(MemoryStore(), staged(kind))["warnings"]
    assert f"{kind}(" in warning
    assert "staged, not enforced" in warning


def test_who_applies_a_rule_that_cannot_be_converted_is_told_what_becomes_of_it() -> None:
    (warning,) = apply(MemoryStore(), KUBERNETES)["warnings"]
    assert warning.startswith(
        "test.yaml:6: warning: KubernetesClusterNetworkPolicy(guard): egress[0] cannot be converted"
    )


def test_a_whole_policy_is_not_warned_of() -> None:
    assert apply(MemoryStore(), PAIR)["warnings"] == []


def test_an_embedded_store_never_suspends() -> None:
    async def sleeps() -> None:
        await asyncio.sleep(0)

    with pytest.raises(AssertionError):
        run_now(sleeps())


DAMAGED = pytest.mark.parametrize("value", [b"no JSON {", b"[]", b"\xff", b'{"metadata": 1, "spec": []}'])


def damage(store: MemoryStore, kind: str, name: str, value: bytes) -> None:
    run_now(store.commit([Put(Key(kind, "", name), value, None)]))


@DAMAGED
def test_a_damaged_document_hides_none_of_the_others_and_is_named(value: bytes) -> None:
    store = MemoryStore()
    apply(store, PAIR)
    damage(store, "HostEndpoint", "broken", value)
    answer = run_now(service.get(store, "hep", GetQuery()))
    assert [row[0] for row in answer["table"]["rows"]] == ["node2-eth0"]
    assert list(answer["damaged"]) == ["broken"]
    assert "TT1401" in answer["damaged"]["broken"]


def bgp(kind: str, name: str, **spec: object) -> str:
    """A document of Calico of that kind."""
    body = {"apiVersion": "projectcalico.org/v3", "kind": kind, "metadata": {"name": name}, "spec": spec}
    return json.dumps(body)


def as_numbers(store: MemoryStore) -> dict[str, str]:
    """What the table of nodes says of their autonomous systems."""
    answer = run_now(service.get(store, "nodes", GetQuery(view="custom", column=("NAME", "ASN"))))
    return dict(answer["table"]["rows"])


def test_a_node_without_an_as_number_shows_the_one_of_all_nodes_in_parentheses() -> None:
    store = MemoryStore()
    nodes = [
        bgp("Node", "a", bgp={"asNumber": 5}),
        bgp("Node", "b", bgp={"ipv4Address": "10.0.0.1/24"}),
        bgp("Node", "c", bgp={"asNumber": 0}),
        bgp("Node", "d"),
    ]
    apply(store, *nodes)
    assert as_numbers(store) == {"a": "5", "b": "(64512)", "c": "0", "d": ""}
    apply(store, bgp("BGPConfiguration", "default"), bgp("BGPConfiguration", "node.b", listenPort=180))
    assert as_numbers(store)["b"] == "(64512)"
    apply(store, bgp("BGPConfiguration", "default", asNumber="1.10"))
    assert as_numbers(store)["b"] == "(65546)"


@DAMAGED
def test_where_the_number_of_all_nodes_cannot_be_read_it_is_unknown(value: bytes) -> None:
    store = MemoryStore()
    apply(store, bgp("Node", "b", bgp={"ipv4Address": "10.0.0.1/24"}))
    damage(store, "BGPConfiguration", "default", value)
    assert as_numbers(store) == {"b": "(unknown)"}


@DAMAGED
def test_a_damaged_document_is_replaced_by_a_corrected_one(value: bytes) -> None:
    store = MemoryStore()
    damage(store, "GlobalNetworkPolicy", "redis", value)
    damage(store, "GlobalNetworkPolicy", "other", value)
    assert actions(apply(store, policy_in("default", "redis"))) == ["configured"]
    assert stored(store, "GlobalNetworkPolicy", "redis")["metadata"]["uid"]


@DAMAGED
def test_a_damaged_policy_keeps_no_tier_from_being_deleted(value: bytes) -> None:
    store = MemoryStore()
    apply(store, tier("secops"))
    damage(store, "GlobalNetworkPolicy", "broken", value)
    answer = run_now(service.delete_named(store, "tier", ["secops"]))
    assert actions(answer) == ["deleted"]
