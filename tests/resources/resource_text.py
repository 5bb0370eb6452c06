"""Short ways to write documents in tests."""

import json

from tortie.resources.codec import decode_stored, decode_text, encode, lower
from tortie.resources.kind import Lowered, Resource
from tortie.resources.problems import Problem


def document(kind: str, spec: object, name: str = "thing", **metadata: object) -> str:
    """A document as JSON, which is YAML too."""
    body = {
        "apiVersion": "projectcalico.org/v3",
        "kind": kind,
        "metadata": {"name": name, **metadata},
        "spec": spec,
    }
    return json.dumps(body)


def policy(rule: object = None, direction: str = "ingress", **spec: object) -> str:
    """A policy with one rule."""
    rules = {} if rule is None else {direction: [rule]}
    return document("GlobalNetworkPolicy", {**rules, **spec})


def read(text: str | bytes) -> Resource:
    """The one valid resource of the text."""
    resources, problems = decode_text(text, "test.yaml")
    assert problems == []
    (resource,) = resources
    return resource


def refuse(text: str | bytes) -> list[Problem]:
    """The problems of a text without a valid resource."""
    resources, problems = decode_text(text, "test.yaml")
    assert resources == []
    assert problems
    return problems


def codes(text: str | bytes) -> list[str]:
    """The codes of the problems."""
    return [problem.code for problem in refuse(text)]


def lowered(text: str) -> Lowered:
    """The model's value of the one resource, by way of the store's bytes."""
    return lower(decode_stored(encode(read(text))))
