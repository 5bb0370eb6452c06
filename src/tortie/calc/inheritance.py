"""The labels that selectors see: a thing's own, what its namespace adds, and what it inherits from profiles.

Inheritance is one level: profiles do not inherit. A profile that does not exist contributes nothing.
Source: reference selectors.md section 9.
"""

from collections.abc import Iterable, Mapping

from tortie.model.names import NAMESPACE_LABEL, namespace_profile


def effective(
    own: Mapping[str, str], parents: Iterable[str], inherited: Mapping[str, Mapping[str, str]]
) -> dict[str, str]:
    """Its own labels, and those that it lacks from its parents, the first one first."""
    labels = dict(own)
    for parent in parents:
        for name, value in inherited.get(parent, {}).items():
            labels.setdefault(name, value)
    return labels


def of_network_set(namespace: str, own: Mapping[str, str]) -> tuple[Mapping[str, str], tuple[str, ...]]:
    """Labels and parents of a network set; one with a namespace inherits that namespace's labels."""
    if not namespace:
        return own, ()
    return {**own, NAMESPACE_LABEL: namespace}, (namespace_profile(namespace),)
