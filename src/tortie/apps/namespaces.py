"""Which namespace is meant (reference cli.md section 5)."""

import re
from collections.abc import Sequence
from typing import cast

from tortie.apps.failure import Code, Failure
from tortie.resources.kind import Body, Kind, Resource
from tortie.resources.kinds import KINDS

DEFAULT = "default"
_NAME = r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?\Z"


def check_namespace(namespace: str) -> None:
    """Raises: Failure USAGE for what cannot be the name of a namespace; empty: none is given."""
    if namespace and not re.match(_NAME, namespace):
        text = (
            f"namespace {namespace[:60]!r} is none: use at most 63 of a-z, 0-9 and -, a letter or digit first and last"
        )
        raise Failure(Code.USAGE, text)


def namespace_asked(kind: Kind, namespace: str, *, everywhere: bool, names: Sequence[str]) -> str | None:
    """The namespace of resources asked for by kind: empty for a kind that has none, None: all of them.

    Raises: Failure USAGE.
    """
    if namespace and everywhere:
        text = "cannot use both --namespace and --all-namespaces flags at the same time; leave one out"
        raise Failure(Code.USAGE, text)
    check_namespace(namespace)
    if not kind.is_namespaced:
        if namespace or everywhere:
            raise Failure(Code.USAGE, f"{kind.name} is not namespaced; leave out --namespace and --all-namespaces")
        return ""
    if everywhere:
        if names:
            text = "cannot use --all-namespaces flag for getting a single resource; say where with --namespace"
            raise Failure(Code.USAGE, text)
        return None
    return namespace or DEFAULT


def in_namespace(resource: Resource, given: str) -> Resource | tuple[str, str, str]:
    """The resource with its namespace filled in, or code, message, remedy; `given`: by --namespace."""
    if not KINDS[resource.kind].is_namespaced:
        if given:
            return "TT1905", f"{resource.kind} is not namespaced", "leave out --namespace, or write it apart"
        return resource
    if resource.namespace and given and resource.namespace != given:
        text = f"resource namespace does not match client namespace. {resource.namespace} != {given}"
        return "TT1904", text, "leave out --namespace, or correct the document"
    namespace = resource.namespace or given or DEFAULT
    metadata = {**cast(Body, resource.body["metadata"]), "namespace": namespace}
    return resource._replace(namespace=namespace, body={**resource.body, "metadata": metadata})
