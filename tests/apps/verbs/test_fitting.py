"""Documents that are valid by themselves and do not fit to what is stored, or to what comes with them."""

import json

import pytest

from tortie.apps.ctl.local import run_now
from tortie.apps.failure import Code, Failure
from tortie.apps.requests import Verb
from tortie.apps.verbs import service
from tortie.store.memory import MemoryStore
from tortie.store.protocol import Key, Put


def document(kind: str, name: str, spec: dict[str, object]) -> str:
    return json.dumps({"apiVersion": "projectcalico.org/v3", "kind": kind, "metadata": {"name": name}, "spec": spec})


def pool(name: str = "a", cidr: str = "10.0.0.0/16", **spec: object) -> str:
    return document("IPPool", name, {"cidr": cidr, **spec})


def peer(*filters: str) -> str:
    return document("BGPPeer", "p", {"filters": [*filters]})


def outcome(stored: list[str], *given: str) -> list[tuple[str, str]]:
    """The problems of the documents that are given, with their paths; none if they were stored."""
    store = MemoryStore()
    if stored:
        run_now(service.write(store, Verb.APPLY, [{"source": "old.yaml", "text": "\n---\n".join(stored)}]))
    before = run_now(store.list())
    try:
        run_now(service.write(store, Verb.APPLY, [{"source": "new.yaml", "text": "\n---\n".join(given)}]))
    except Failure as failure:
        assert failure.code is Code.INVALID
        assert run_now(store.list()) == before
        return [(problem["code"], problem["path"]) for problem in failure.problems]
    return []


LOAD_BALANCER = {"allowedUses": ["LoadBalancer"]}


@pytest.mark.parametrize(
    ("stored", "given", "problems"),
    [
        ([], [pool(), pool("b", "10.1.0.0/16"), pool("c", "fd00::/64")], []),
        ([pool()], [pool("b", "10.1.0.0/16")], []),
        ([pool()], [pool("b", "10.0.5.0/24")], [("TT1332", "spec.cidr")]),
        ([pool("b", "10.0.5.0/24")], [pool()], [("TT1332", "spec.cidr")]),
        ([], [pool(), pool("b", "10.0.0.0/8")], [("TT1332", "spec.cidr"), ("TT1332", "spec.cidr")]),
        ([pool()], [pool(natOutgoing=True)], []),
        ([pool(cidr="FD00:0::/64")], [pool(cidr="fd00::/64")], []),
        ([pool()], [pool(cidr="10.0.0.0/17")], [("TT1332", "spec.cidr")]),
        ([pool()], [pool(blockSize=26)], []),
        ([pool()], [pool(blockSize=27)], [("TT1332", "spec.blockSize")]),
        ([pool(**LOAD_BALANCER)], [pool(**LOAD_BALANCER, disabled=True)], []),
        ([pool(**LOAD_BALANCER)], [pool()], [("TT1332", "spec.allowedUses")]),
        ([], [peer("f")], [("TT1339", "spec.filters[0]")]),
        ([document("BGPFilter", "f", {})], [peer("f", "g")], [("TT1339", "spec.filters[1]")]),
        ([document("BGPFilter", "f", {})], [peer("f")], []),
        ([], [peer("f"), document("BGPFilter", "f", {})], []),
    ],
)
def test_what_does_not_fit_is_refused_and_nothing_is_stored(
    stored: list[str], given: list[str], problems: list[tuple[str, str]]
) -> None:
    assert outcome(stored, *given) == problems


def test_a_damaged_pool_is_in_nobodys_way() -> None:
    store = MemoryStore()
    body = {"apiVersion": "projectcalico.org/v3", "kind": "IPPool", "metadata": {"name": "a"}, "spec": {"cidr": "x"}}
    for name, value in (("a", json.dumps(body).encode()), ("b", b"{")):
        run_now(store.commit([Put(Key("IPPool", "", name), value, 0)]))
    for text in (pool(), pool("b", "10.1.0.0/16")):
        run_now(service.write(store, Verb.APPLY, [{"source": "new.yaml", "text": text}]))
    assert {entry.key.name for entry in run_now(store.list("IPPool"))[0]} == {"a", "b"}
