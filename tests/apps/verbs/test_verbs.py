"""What create, replace, delete and get do to a datastore, over kinds of every sort."""

import json
import sys
from typing import Any

import pytest

from apps.documents import ENDPOINT, PAIR, network_set, policy_in, tier
from tortie.apps import decoding
from tortie.apps.answers import WriteAnswer
from tortie.apps.ctl.local import run_now
from tortie.apps.failure import Code, Failure
from tortie.apps.requests import GetQuery, Verb, WriteOptions
from tortie.apps.verbs import deleting, initial, service, writing
from tortie.apps.verbs.initial import initialise
from tortie.resources import codec
from tortie.resources.kinds import KINDS, WORDS
from tortie.store.memory import MemoryStore
from tortie.store.protocol import Key, Put

LOADED = (deleting, writing)
"""Loaded when they are needed, and here already, so that the fixtures find them."""


def write(store: MemoryStore, verb: Verb, *documents: str, **options: Any) -> WriteAnswer:
    files = [{"source": "t.yaml", "text": "\n---\n".join(documents)}]
    return run_now(service.write(store, verb, files, WriteOptions(**options)))  # type: ignore[arg-type]


def actions(answer: WriteAnswer) -> list[str]:
    return [change["action"] for change in answer["changes"]]


def refused(code: Code, verb: Verb, store: MemoryStore, *documents: str, **options: Any) -> Failure:
    """The failure; nothing was written."""
    before = run_now(store.list())
    with pytest.raises(Failure) as caught:
        write(store, verb, *documents, **options)
    assert caught.value.code is code
    assert run_now(store.list()) == before
    return caught.value


def with_version(document: str, version: str) -> str:
    return document.replace("{name:", f'{{resourceVersion: "{version}", name:')


def test_create_makes_all_or_none() -> None:
    store = MemoryStore()
    assert actions(write(store, Verb.CREATE, network_set("a"))) == ["created"]
    failure = refused(Code.CONFLICT, Verb.CREATE, store, network_set("a"), network_set("b"), network_set("c"))
    assert "resource already exists: GlobalNetworkSet(a); nothing was changed: use apply" in failure.message


def test_create_can_leave_what_exists() -> None:
    store = MemoryStore()
    write(store, Verb.CREATE, network_set("a", "10.0.0.0/8"))
    answer = write(store, Verb.CREATE, network_set("a"), network_set("b"), skip=True)
    assert actions(answer) == ["unchanged", "created"]
    (shown,) = run_now(service.get(store, "gns", GetQuery(name=("a",))))["items"]
    assert shown["spec"] == {"nets": ["10.0.0.0/8"]}


@pytest.mark.parametrize("is_stored", [False, True])
def test_create_takes_no_resource_version(is_stored: bool) -> None:
    store = MemoryStore()
    if is_stored:
        write(store, Verb.CREATE, ENDPOINT)
    failure = refused(Code.INVALID, Verb.CREATE, store, with_version(ENDPOINT, "99"))
    (problem,) = failure.problems
    assert (problem["code"], problem["path"]) == ("TT1906", "metadata.resourceVersion")
    assert "must not be set for a Create request; remove it" in problem["text"]


def test_an_apply_of_nothing_writes_nothing() -> None:
    store = MemoryStore()
    write(store, Verb.APPLY, "", skip_empty=True)
    assert run_now(store.list()) == ((), 0)


def test_replace_needs_all_to_exist() -> None:
    store = MemoryStore()
    write(store, Verb.CREATE, network_set("a"))
    failure = refused(Code.NOT_FOUND, Verb.REPLACE, store, network_set("a", "10.0.0.0/8"), network_set("b"))
    assert "GlobalNetworkSet(b); nothing was changed: use apply or create" in failure.message
    assert actions(write(store, Verb.REPLACE, network_set("a", "10.0.0.0/8"))) == ["configured"]


def test_replace_honours_a_resource_version() -> None:
    store = MemoryStore()
    write(store, Verb.CREATE, ENDPOINT)
    changed = ENDPOINT.replace("redis", "db")
    assert "'7' is out of date" in refused(Code.CONFLICT, Verb.REPLACE, store, with_version(changed, "7")).message
    assert actions(write(store, Verb.REPLACE, with_version(changed, "1"))) == ["configured"]


def test_an_update_keeps_the_status_that_agents_wrote() -> None:
    store = MemoryStore()
    write(store, Verb.CREATE, tier("t"))
    key = Key("Tier", "", "t")
    body = json.loads(run_now(store.get(key)).value) | {"status": {"conditions": []}, "x": 1}
    body["status"]["conditions"].append({"type": "Ready", "status": "True"})
    run_now(store.commit([Put(key, json.dumps(body).encode())]))
    write(store, Verb.APPLY, tier("t", 7))
    after = json.loads(run_now(store.get(key)).value)
    assert (after["spec"]["order"], after["status"]) == (7, body["status"])


def test_documents_are_answered_as_they_were_and_are() -> None:
    store = MemoryStore()
    write(store, Verb.APPLY, network_set("a"), network_set("b"))
    (change,) = write(store, Verb.APPLY, network_set("a", "10.0.0.0/8"), dry_run=True, documents=True)["changes"]
    before, after = change["before"], change["after"]
    assert before is not None
    assert after is not None
    assert before["metadata"]["resourceVersion"] == "1"  # type: ignore[index]
    assert (before["spec"], after["spec"]) == ({}, {"nets": ["10.0.0.0/8"]})
    (change,) = write(store, Verb.APPLY, network_set("b"), documents=True)["changes"]
    assert change["before"] == change["after"]
    (change,) = write(store, Verb.DELETE, network_set("b"), documents=True)["changes"]
    assert change["before"] is not None
    assert change["after"] is None
    (change,) = write(store, Verb.CREATE, network_set("c"), documents=True)["changes"]
    assert change["before"] is None


def test_a_dry_run_of_a_delete_deletes_nothing() -> None:
    store = MemoryStore()
    write(store, Verb.APPLY, PAIR)
    before = run_now(store.list())
    assert actions(write(store, Verb.DELETE, PAIR, dry_run=True)) == ["deleted", "deleted"]
    assert "gnp" not in refused(Code.NOT_FOUND, Verb.DELETE, store, network_set("x"), dry_run=True).message
    assert before == run_now(store.list())


NODE = """
{apiVersion: projectcalico.org/v3, kind: Node, metadata: {name: n1}}
---
{apiVersion: projectcalico.org/v3, kind: HostEndpoint, metadata: {name: n1-eth0}, spec: {node: n1, interfaceName: eth0}}
---
{apiVersion: projectcalico.org/v3, kind: HostEndpoint, metadata: {name: n2-eth0}, spec: {node: n2, interfaceName: eth0}}
---
{apiVersion: projectcalico.org/v3, kind: BGPPeer, metadata: {name: rack}, spec: {node: n1, peerIP: 192.0.2.1}}
---
{apiVersion: projectcalico.org/v3, kind: FelixConfiguration, metadata: {name: node.n1}, spec: {}}
---
{apiVersion: projectcalico.org/v3, kind: IPPool, metadata: {name: pool}, spec: {cidr: 10.0.0.0/16}}
---
{apiVersion: projectcalico.org/v3, kind: BlockAffinity, metadata: {name: a},
 spec: {state: confirmed, node: n1, type: host, cidr: 10.0.1.0/26}}
---
{apiVersion: projectcalico.org/v3, kind: BlockAffinity, metadata: {name: b},
 spec: {state: confirmed, node: n2, type: host, cidr: 10.1.0.0/26}}
---
{apiVersion: projectcalico.org/v3, kind: BlockAffinity, metadata: {name: c},
 spec: {state: confirmed, node: n1, type: virtual, cidr: 10.0.2.0/26}}
"""


@pytest.mark.parametrize(
    ("kind", "name", "gone"),
    [
        (
            "Node",
            "n1",
            {"Node(n1)", "BlockAffinity(a)", "BGPPeer(rack)", "HostEndpoint(n1-eth0)", "FelixConfiguration(node.n1)"},
        ),
        ("IPPool", "pool", {"IPPool(pool)", "BlockAffinity(a)", "BlockAffinity(c)"}),
    ],
)
def test_what_is_nothing_without_a_resource_goes_with_it_and_is_told(kind: str, name: str, gone: set[str]) -> None:
    store = MemoryStore()
    resources, _ = codec.decode_text(NODE, "node")
    run_now(
        store.commit([Put(decoding.key_of(one), codec.encode(one), 0) for one in resources])
    )  # address management writes some
    before = {str(entry.key) for entry in run_now(store.list())[0]}
    document = f"{{apiVersion: projectcalico.org/v3, kind: {kind}, metadata: {{name: {name}}}, spec: {{}}}}"
    if kind == "IPPool":
        document = document.replace("spec: {}", "spec: {cidr: 10.0.0.0/16}")
    answer = write(store, Verb.DELETE, document)
    assert {f"{one['kind']}({one['name']})" for one in answer["changes"]} == gone
    assert before - {str(entry.key) for entry in run_now(store.list())[0]} == gone


def test_empty_files_are_refused_unless_they_may_be() -> None:
    store = MemoryStore()
    (problem,) = refused(Code.INVALID, Verb.APPLY, store, "# nothing").problems
    assert problem["code"] == "TT1901"
    assert write(store, Verb.APPLY, "# nothing", skip_empty=True, dry_run=True)["changes"] == []


def test_tiers_are_listed_in_their_order() -> None:
    store = MemoryStore()
    write(store, Verb.APPLY, tier("late", 2_000_000), tier("early", 5))
    answer = run_now(service.get(store, "tier", GetQuery()))
    assert [row[0] for row in answer["table"]["rows"]] == ["early", "kube-admin", "default", "late", "kube-baseline"]


def test_the_profile_that_exists_without_a_document_is_shown_and_cannot_be_changed() -> None:
    name = "projectcalico-default-allow"
    store = MemoryStore()
    for query in (GetQuery(), GetQuery(name=(name,))):
        (document,) = run_now(service.get(store, "profile", query))["items"]
        assert document["spec"] == {"ingress": [{"action": "Allow"}], "egress": [{"action": "Allow"}]}
    with pytest.raises(Failure, match="provided by tortie and cannot be changed; nothing was changed"):
        run_now(service.delete_named(store, "profile", [name]))
    failure = refused(Code.INVALID, Verb.APPLY, store, json.dumps({**document, "metadata": {"name": name}}))
    assert "cannot be changed" in failure.problems[0]["text"]


def test_a_list_as_kubectl_prints_it_is_read_item_by_item() -> None:
    items = [json.loads(network_set("a")), json.loads(policy_in("default"))]
    mixed = {"apiVersion": "v1", "kind": "List", "metadata": {"resourceVersion": ""}, "items": items}
    assert actions(write(MemoryStore(), Verb.APPLY, json.dumps(mixed))) == ["created", "created"]
    assert actions(write(MemoryStore(), Verb.APPLY, json.dumps([*items, {**mixed, "items": []}]))) == ["created"] * 2


@pytest.mark.parametrize(
    ("broken", "code"),
    [({"items": None}, "TT1102"), ({"item": []}, "TT1101"), ({"items": [{"kind": "Tier"}]}, "TT1012")],
)
def test_a_broken_list_of_kubectl_is_refused(broken: dict[str, object], code: str) -> None:
    mixed = {"apiVersion": "v1", "kind": "List", "items": [], **broken}
    failure = refused(Code.INVALID, Verb.APPLY, MemoryStore(), json.dumps(mixed))
    assert code in {problem["code"] for problem in failure.problems}


@pytest.fixture
def fake_kinds(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two kinds more: one in namespaces, and one that people cannot write."""
    sets = KINDS["GlobalNetworkSet"]
    fakes = [
        sets._replace(name="FakeSet", plural="fakesets", aliases=("fs",), is_namespaced=True),
        sets._replace(name="Sealed", plural="sealeds", aliases=("sealed",), read_only="agents write it"),
    ]
    kinds = {**KINDS, **{kind.name: kind for kind in fakes}}
    for name, module in list(sys.modules.items()):
        if name.startswith("tortie.") and getattr(module, "KINDS", None) is KINDS:
            monkeypatch.setattr(module, "KINDS", kinds)
    monkeypatch.setattr(codec, "WORDS", {**WORDS, **{(kind.api_version, kind.word): kind for kind in fakes}})
    monkeypatch.setattr(service, "find_kind", lambda word: {"fs": fakes[0], "sealed": fakes[1]}[word])


def fake(kind: str, name: str, namespace: str = "") -> str:
    metadata = {"name": name, **({"namespace": namespace} if namespace else {})}
    return json.dumps({"apiVersion": "projectcalico.org/v3", "kind": kind, "metadata": metadata})


@pytest.mark.usefixtures("fake_kinds")
@pytest.mark.parametrize(
    ("written", "given", "found"),
    [("", "", "default"), ("", "ns", "ns"), ("ns", "", "ns"), ("ns", "ns", "ns"), ("default", "", "default")],
)
def test_a_namespace_comes_from_the_document_the_user_or_the_default(written: str, given: str, found: str) -> None:
    store = MemoryStore()
    write(store, Verb.CREATE, fake("FakeSet", "a", written), namespace=given)
    entry = run_now(store.get(Key("FakeSet", found, "a")))
    assert json.loads(entry.value)["metadata"]["namespace"] == found
    answer = run_now(service.get(store, "fs", GetQuery(name=("a",), namespace=found)))
    assert answer["table"] == {"heading": ["NAMESPACE", "NAME"], "rows": [[found, "a"]]}


@pytest.mark.usefixtures("fake_kinds")
@pytest.mark.parametrize(
    ("document", "given", "code", "hint"),
    [
        (fake("FakeSet", "a", "x"), "y", "TT1904", "resource namespace does not match client namespace. x != y"),
        (network_set("a"), "y", "TT1905", "GlobalNetworkSet is not namespaced; leave out --namespace"),
        (fake("GlobalNetworkSet", "a", "x"), "", "TT1117", "namespace should not be specified"),
    ],
)
def test_a_namespace_that_cannot_be_is_refused(document: str, given: str, code: str, hint: str) -> None:
    (problem,) = refused(Code.INVALID, Verb.APPLY, MemoryStore(), document, namespace=given).problems
    assert problem["code"] == code
    assert hint in problem["text"]


@pytest.mark.usefixtures("fake_kinds")
def test_one_name_in_two_namespaces_is_two_resources() -> None:
    store = MemoryStore()
    write(store, Verb.CREATE, fake("FakeSet", "a", "x"), fake("FakeSet", "a", "y"), fake("FakeSet", "a"))
    listed = {
        name: run_now(service.get(store, "fs", query))["table"]["rows"]
        for name, query in (
            ("default", GetQuery()),
            ("x", GetQuery(namespace="x")),
            ("all", GetQuery(all_namespaces=True)),
        )
    }
    assert listed == {"default": [["a"]], "x": [["x", "a"]], "all": [["default", "a"], ["x", "a"], ["y", "a"]]}
    with pytest.raises(Failure, match=r"FakeSet\(z/a\)"):
        run_now(service.delete_named(store, "fs", ["a"], WriteOptions(namespace="z")))
    run_now(service.delete_named(store, "fs", ["a"], WriteOptions(namespace="x")))
    assert [entry.key.namespace for entry in run_now(store.list("FakeSet"))[0]] == [
        "default",
        "y",
    ]


@pytest.mark.usefixtures("fake_kinds")
@pytest.mark.parametrize(
    ("query", "hint"),
    [
        (GetQuery(namespace="x", all_namespaces=True), "cannot use both --namespace and --all-namespaces"),
        (GetQuery(name=("a",), all_namespaces=True), "cannot use --all-namespaces flag for getting a single resource"),
        (GetQuery(namespace="No_Name"), "namespace 'No_Name' is none"),
        (GetQuery(name=("a",), selector="b=c"), "names or --selector, not both"),
        (GetQuery(view="custom"), "at least one column"),
        (
            GetQuery(view="custom", column=("NAME", "NETZ")),
            "unknown heading NETZ, valid values are: NAME, NETS, NAMESPACE",
        ),
        (GetQuery(view="huge"), "view: 'huge' is unknown"),
    ],
)
def test_a_question_that_contradicts_itself_is_a_usage_error(query: GetQuery, hint: str) -> None:
    with pytest.raises(Failure, match=hint) as caught:
        run_now(service.get(MemoryStore(), "fs", query))
    assert caught.value.code is Code.USAGE


@pytest.mark.usefixtures("fake_kinds")
@pytest.mark.parametrize("verb", list(Verb))
def test_a_kind_that_only_tortie_writes_is_refused_with_the_reason(verb: Verb) -> None:
    store = MemoryStore()
    (problem,) = refused(Code.INVALID, verb, store, fake("Sealed", "a")).problems
    assert problem["code"] == "TT1907"
    assert f"operation {verb.value} is not supported on Sealed(a): agents write it" in problem["text"]
    with pytest.raises(Failure, match=r"operation delete is not supported on Sealed\(a\): agents write it") as caught:
        run_now(service.delete_named(store, "sealed", ["a"]))
    assert caught.value.code is Code.FORBIDDEN


@pytest.mark.usefixtures("fake_kinds")
def test_a_name_that_is_not_for_people_is_refused_with_the_reason(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(writing, "RESERVED", {"FakeSet": writing.RESERVED["NetworkPolicy"]})
    reason = "must be managed through the kubernetes API"
    for verb in Verb:
        (problem,) = refused(Code.INVALID, verb, MemoryStore(), fake("FakeSet", "knp.default.x")).problems
        assert (problem["code"], reason in problem["text"]) == ("TT1907", True)
    with pytest.raises(Failure, match=reason):
        run_now(service.delete_named(MemoryStore(), "fs", ["a", "knp.default.x"]))
    assert actions(write(MemoryStore(), Verb.CREATE, fake("FakeSet", "knp-default.x"))) == ["created"]


@pytest.fixture
def cluster(monkeypatch: pytest.MonkeyPatch) -> None:
    """The kind ClusterInformation, whether or not it is among the others."""
    kind = KINDS["GlobalNetworkSet"]._replace(name="ClusterInformation", read_only="agents write it")
    monkeypatch.setattr(initial, "KINDS", {**KINDS, "ClusterInformation": kind})


def information(store: MemoryStore) -> dict[str, Any]:
    body: dict[str, Any] = json.loads(run_now(store.get(Key("ClusterInformation", "", "default"))).value)
    return body


@pytest.mark.usefixtures("cluster")
def test_the_first_write_gives_the_datastore_an_id() -> None:
    store = MemoryStore()
    write(store, Verb.APPLY, network_set("a"))
    first = information(store)
    assert first["spec"]["datastoreReady"] is True
    assert len(first["spec"]["clusterGUID"]) == 32
    assert int(first["spec"]["clusterGUID"], 16)
    write(store, Verb.APPLY, network_set("b"))
    run_now(initialise(store))
    assert information(store) == first


@pytest.mark.usefixtures("cluster")
def test_what_is_set_of_the_cluster_stays_and_what_is_missing_is_filled_in() -> None:
    store = MemoryStore()
    body = {"metadata": {"name": "default", "uid": "u"}, "spec": {"datastoreReady": False, "clusterType": "k8s"}}
    key = Key("ClusterInformation", "", "default")
    run_now(store.commit([Put(key, json.dumps(body).encode())]))
    run_now(initialise(store))
    after = information(store)
    assert after["metadata"]["uid"] == "u"
    assert after["spec"]["datastoreReady"] is False
    assert after["spec"]["clusterType"] == "k8s"
    assert len(after["spec"]["clusterGUID"]) == 32
