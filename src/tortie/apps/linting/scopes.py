"""Which policies may hold for one endpoint, as far as their selectors alone tell."""

from tortie.model.selector import InvalidSelector, Selector, conjunction, parse_selector
from tortie.resources.kind import Resource

_FIELDS = ("selector", "namespaceSelector", "serviceAccountSelector")


def may_share(one: Resource, other: Resource) -> bool:
    """Whether both policies may hold for one endpoint: false only where no labels at all fulfil both selectors."""
    if any(str(one.spec.get(field) or "") != str(other.spec.get(field) or "") for field in _FIELDS[1:]):
        return True  # what they select is not told by labels of the endpoint alone
    try:
        pair = [parse_selector(text) for each in (one, other) if (text := str(each.spec.get("selector") or ""))]
    except InvalidSelector:
        return False  # a stored document that is damaged counts as absent
    return is_satisfiable(conjunction(*pair))


def is_satisfiable(selector: Selector) -> bool:
    """False only where no labels fulfil it."""
    return not any(
        (one.must_be_present and one.must_be_absent) or one.values == frozenset()
        for one in selector.restrictions().values()
    )
