"""A calculation of its own, for questions: what documents and interfaces would make of a node, without touching it."""

from collections.abc import Iterable

from tortie.apps.absorb import absorb
from tortie.apps.decoding import key_of
from tortie.calc import Engine
from tortie.model.endpoint import Interface
from tortie.model.policy import Policy
from tortie.model.settings import FelixSettings
from tortie.resources.codec import encode
from tortie.resources.kind import Resource
from tortie.store.protocol import Entry


def imagined(
    node: str,
    stored: Iterable[Entry],
    resources: Iterable[Resource],
    interfaces: Iterable[Interface],
    *,
    told: Iterable[FelixSettings] = (),
    asked: Iterable[Policy] = (),
) -> Engine:
    """The calculation of that node for the stored documents with the resources laid over them, flushed.

    `told`: settings that an agent there has beside documents. `asked`: policies that govern nothing, whose sets are
    wanted.
    """
    engine = Engine(node, tuple(told))
    for entry in stored:
        absorb(engine, entry.key, entry.value)
    for resource in resources:
        absorb(engine, key_of(resource), encode(resource))
    for policy in asked:
        engine.set_policy(policy.key, policy)
    for interface in interfaces:
        engine.set_interface(interface.name, interface)
    engine.in_sync()
    engine.flush()
    return engine
