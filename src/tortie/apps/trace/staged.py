"""Staged policies as what they would be: the documents that would be enforced if each of them were carried out."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from tortie.model.policy import PolicyKey
from tortie.resources.kind import Resource
from tortie.resources.kinds import KINDS
from tortie.resources.staging import ACTION
from tortie.store.protocol import Key

ENFORCED = {
    "StagedGlobalNetworkPolicy": "GlobalNetworkPolicy",
    "StagedNetworkPolicy": "NetworkPolicy",
    "StagedKubernetesNetworkPolicy": "KubernetesNetworkPolicy",
}
"""What a staged kind stages. Source: reference resources.md sections 8.3 and 8.4."""
SET, DELETE = "Set", "Delete"


@dataclass(frozen=True, slots=True)
class Staging:
    """A staged policy that would change something: its document, what it is about, and which of both it says.

    `enforced` None: the policy would be deleted.
    """

    staged: PolicyKey
    policy: PolicyKey
    enforced: Resource | None

    @property
    def action(self) -> str:
        """`Set` or `Delete`."""
        return DELETE if self.enforced is None else SET


def stagings(resources: Iterable[Resource]) -> list[Staging]:
    """What these documents stage, in the order of their names; those that stage nothing are left out."""
    found = [one for resource in resources if (one := _staging(resource)) is not None]
    return sorted(found, key=lambda one: one.staged)


def instead(found: Iterable[Staging]) -> Mapping[PolicyKey, PolicyKey]:
    """The staged policies by the enforced ones that they would make."""
    return {one.policy: one.staged for one in found if one.enforced is not None}


def changes(found: Iterable[Staging]) -> Mapping[Key, Resource | None]:
    """What would be stored; None: nothing any more."""
    return {Key(*one.policy): one.enforced for one in found}


def _staging(resource: Resource) -> Staging | None:
    enforced = ENFORCED.get(resource.kind)
    if enforced is None:
        return None
    staged = PolicyKey(resource.kind, resource.namespace, resource.name)
    policy = staged._replace(kind=enforced)
    match resource.spec.get(ACTION) or SET:
        case "Set":
            kind = KINDS[enforced]
            spec = {key: value for key, value in resource.spec.items() if key != ACTION}
            body = {**resource.body, "apiVersion": kind.api_version, "kind": kind.word, "spec": spec}
            return Staging(staged, policy, resource._replace(kind=enforced, body=body))
        case "Delete":
            return Staging(staged, policy, None)
        case _:
            return None  # Learn and Ignore change nothing
