"""The selector of `-l`: in the language of policies, or as kubectl takes it.

`role == "web" && has(zone)` and `role=web,zone` say the same. Where both languages could read a text, as with none at
all, they mean the same by it.
"""

import re

from tortie.apps.failure import Code, Failure
from tortie.model.selector import InvalidSelector, Selector, parse_selector

_KEY = r"(?P<key>[A-Za-z0-9][-A-Za-z0-9_./]*)"
_VALUE = r"(?P<value>[-A-Za-z0-9_.]*)"
_REQUIREMENTS = (
    (re.compile(rf"!\s*{_KEY}"), "!has({key})"),
    (re.compile(_KEY), "has({key})"),
    (re.compile(rf"{_KEY}\s*==?\s*{_VALUE}"), "{key} == '{value}'"),
    (re.compile(rf"{_KEY}\s*!=\s*{_VALUE}"), "{key} != '{value}'"),
    (re.compile(rf"{_KEY}\s+in\s*\((?P<values>[^()'\"{{}}]*)\)"), "{key} in {{{values}}}"),
    (re.compile(rf"{_KEY}\s+notin\s*\((?P<values>[^()'\"{{}}]*)\)"), "{key} not in {{{values}}}"),
)
"""A requirement as kubectl writes it, and as policies do. Source: Kubernetes documentation, "Labels and selectors"."""


def parse_labels(text: str) -> Selector:
    """The selector. Raises: Failure USAGE."""
    try:
        return parse_selector(text)
    except InvalidSelector as error:
        found = _as_policies_write(text)
        if found is not None:
            return found
        remedy = """write it as in policies (role == "web" && has(zone)) or as for kubectl (role=web,zone)"""
        raise Failure(Code.USAGE, f"invalid selector: column {error.column}: {error}; {remedy}") from None


def _split(text: str) -> list[str]:
    """The text at its commas outside of brackets."""
    parts, depth = [""], 0
    for char in text:
        depth += {"(": 1, ")": -1}.get(char, 0)
        if char == "," and depth == 0:
            parts.append("")
        else:
            parts[-1] += char
    return parts


def _as_policies_write(text: str) -> Selector | None:
    parts = []
    for requirement in _split(text):
        for pattern, form in _REQUIREMENTS:
            found = pattern.fullmatch(requirement.strip())
            if found is not None:
                named = found.groupdict()
                values = ", ".join(f"'{one.strip()}'" for one in named.get("values", "").split(","))
                parts.append(form.format(**{**named, "values": values}))
                break
        else:
            return None
    try:
        return parse_selector(" && ".join(parts))
    except InvalidSelector:
        return None
