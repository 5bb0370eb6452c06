"""Kinds by the words that users type, and those of policies."""

from tortie.apps.failure import Code, Failure
from tortie.resources.kind import Kind
from tortie.resources.kinds import UnknownKind, kind_of

POLICIES = ("GlobalNetworkPolicy", "NetworkPolicy", "KubernetesNetworkPolicy", "KubernetesClusterNetworkPolicy")
"""Kinds of policies that are enforced."""


def find_kind(word: str) -> Kind:
    """The kind of that name or alias. Raises: Failure USAGE saying which was probably meant."""
    try:
        return kind_of(word)
    except UnknownKind as error:
        raise Failure(Code.USAGE, str(error)) from None
