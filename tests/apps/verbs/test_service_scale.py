"""What an apply of one document costs among many: nothing that grows with them."""

import json
from collections.abc import Sequence

from apps.documents import ENDPOINT, POLICY
from tortie.apps.ctl.local import run_now
from tortie.apps.requests import Verb
from tortie.apps.verbs import service
from tortie.store.memory import MemoryStore
from tortie.store.protocol import Entry, Key

MANY = 2_000


class WatchedStore(MemoryStore):
    """Notes which documents were read."""

    def __init__(self) -> None:
        super().__init__()
        self.read: list[Key] = []

    async def get(self, key: Key) -> Entry:
        entry = await super().get(key)
        self.read.append(entry.key)
        return entry

    async def list(
        self, kind: str | None = None, namespace: str | None = None, *, holding: bytes | None = None
    ) -> tuple[Sequence[Entry], int]:
        entries, revision = await super().list(kind, namespace, holding=holding)
        self.read += [entry.key for entry in entries]
        return entries, revision


def policy(number: int, action: str = "Allow") -> str:
    spec = {"selector": f"role == 'r{number}'", "order": number, "ingress": [{"action": action}]}
    metadata = {"name": f"policy-{number}"}
    document = {"apiVersion": "projectcalico.org/v3", "kind": "GlobalNetworkPolicy", "metadata": metadata, "spec": spec}
    return json.dumps(document)


def store_of_many() -> WatchedStore:
    store = WatchedStore()
    text = "\n---\n".join(policy(number) for number in range(MANY))
    answer = run_now(service.write(store, Verb.APPLY, [{"source": "many.yaml", "text": text}]))
    assert len(answer["changes"]) == MANY
    store.read.clear()
    return store


def test_an_apply_among_many_reads_the_document_and_a_handful_of_others() -> None:
    store = store_of_many()
    for text in (policy(7, "Deny"), policy(MANY + 1), ENDPOINT, POLICY):
        run_now(service.write(store, Verb.APPLY, [{"source": "one.yaml", "text": text}]))
    policies = [key.name for key in store.read if key.kind == "GlobalNetworkPolicy"]
    assert policies == ["policy-7"]  # the one that was there before
    assert len(store.read) < 30


def test_a_built_in_tier_in_the_apply_takes_the_place_of_the_one_that_is_added() -> None:
    store = WatchedStore()
    tier = {"apiVersion": "projectcalico.org/v3", "kind": "Tier", "metadata": {"name": "default", "labels": {"a": "b"}}}
    run_now(service.write(store, Verb.APPLY, [{"source": "tier.yaml", "text": json.dumps(tier)}]))
    entries, revision = run_now(store.list("Tier"))
    assert revision == 1
    stored = {entry.key.name: json.loads(entry.value) for entry in entries}
    assert {*stored} == {"default", "kube-admin", "kube-baseline"}
    assert stored["default"]["metadata"]["labels"] == {"a": "b"}
