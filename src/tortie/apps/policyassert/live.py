"""Assertions about a host that lives: what is stored for it, and the interfaces that it has."""

from collections.abc import Iterable, Sequence

from tortie.apps.policyassert.answering import answer_about, unloadable
from tortie.apps.policyassert.answers import AssertionsAnswer, AssertQuery
from tortie.apps.policyassert.document import read_assertions
from tortie.apps.policyassert.proving import Scene
from tortie.apps.policytest.document import Unloadable
from tortie.apps.policytest.warnings import missing
from tortie.apps.trace.imagining import imagined
from tortie.model.endpoint import Interface
from tortie.model.settings import FelixSettings
from tortie.store.protocol import Entry


def answer_live(
    node: str,
    stored: Iterable[Entry],
    interfaces: Sequence[Interface],
    query: AssertQuery,
    told: Sequence[FelixSettings],
) -> AssertionsAnswer:
    """What comes of the file's assertions on that node, the file's own resources laid over what is stored.

    Raises: Failure.
    """
    source = query["file"]["source"]
    try:
        asserted = read_assertions(query["file"], query["files"])
        engine = imagined(node, stored, asserted.resources, interfaces, told=told, asked=[asserted.asked])
        host = engine.host()
        scene = Scene(host, {one.name: one for one in interfaces})
        return answer_about(asserted, scene, tuple(missing(engine, host)))
    except Unloadable as error:
        return unloadable(source, error.problems)
