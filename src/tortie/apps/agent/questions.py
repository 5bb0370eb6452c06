"""Questions about this host that change nothing: traces, explanations, proofs, selectors, settings.

What may take seconds for the documents of a large fleet is worked out in a thread: enforcement runs on this loop.
"""

import asyncio
from collections.abc import Mapping, Sequence

from aiohttp import web

from tortie.apps.agent import asking
from tortie.apps.agent.pump import Pump
from tortie.apps.agent.status import Status, counted
from tortie.apps.answers import ConfigAnswer, SourceText
from tortie.apps.failure import Code, Failure
from tortie.apps.parameters import explain as explain_settings
from tortie.apps.policyassert.answers import AssertionsAnswer
from tortie.apps.revisions import Wanted, stored, stored_revisions
from tortie.apps.selecting import select_stored
from tortie.apps.told import settings_told
from tortie.apps.trace.answers import TraceAnswer
from tortie.apps.trace.hostview import Documents, HostView, Scene, gather, imagined_scene
from tortie.apps.trace.installed import compare, place_asked, why_not_asked
from tortie.apps.trace.origins import DECIDING, Origins
from tortie.apps.trace.tracing import answer_of, question, trace, trace_documents
from tortie.dataplane.driver import Unsupported
from tortie.store.protocol import Key, Store


class Questions:
    """The routes, over one store, pump and status."""

    def __init__(self, store: Store, pump: Pump, status: Status) -> None:
        self._store, self._pump, self._status = store, pump, status

    async def select(self, request: web.Request) -> object:
        """What a selector matches."""
        found = (await asking.json_object(request)).get("selector")
        if not isinstance(found, str):
            raise Failure(Code.USAGE, "selector: expected text")
        return await select_stored(self._store, found)

    async def trace(self, request: web.Request) -> TraceAnswer:
        """A packet's verdict, and the installed program's."""
        query = asking.trace_query(await asking.json_object(request))
        asked, wanted = question(query), Wanted(query["revision"], query["at"])
        if query["files"] or not wanted.is_newest:
            documents = await self._documents(wanted, query["files"])
            answer = await asyncio.to_thread(trace_documents, documents, self._scene(), asked)
            note = "the documents of -f are not installed" if query["files"] else "an older revision is not installed"
            return {**answer, "installed_note": note}
        staged: TraceAnswer | None = None
        if self._pump.staged():
            documents = await self._documents(Wanted(), [])
            staged = await asyncio.to_thread(trace_documents, documents, self._scene(), asked)
        revisions = await stored_revisions(self._store, DECIDING)
        # From here on nothing waits, so that the driver enforces what is evaluated.
        traced = trace(self._view(revisions), asked)
        answer = answer_of(traced)
        if staged is not None:
            answer["staged"] = staged["staged"]
        if note := why_not_asked(traced):
            return {**answer, "installed_note": note}
        interface, direction = place_asked(traced)
        refused = [reason for one in self._pump.driver.status() if one.interface == interface for reason in one.refused]
        try:
            installed = self._pump.driver.probe(interface, direction, asked.packet)
        except Unsupported as error:
            return {**answer, "installed_note": str(error)}
        return compare(answer, traced, installed, refused)

    def _view(self, revisions: Mapping[Key, int]) -> HostView:
        """This host as it is."""
        return HostView(
            node=self._status.settings.node,
            host=self._pump.engine.host(),
            interfaces=self._pump.interfaces,
            toward=self._pump.toward,
            origins=Origins((), revisions),
            revision=self._pump.revision,
        )

    def _scene(self) -> Scene:
        """This host for documents that are not in force."""
        return Scene(self._status.settings.node, list(self._pump.interfaces.values()), self._pump.toward)

    async def _documents(self, wanted: Wanted, files: Sequence[SourceText]) -> Documents:
        found = await stored(self._store, wanted)
        notes = found.notes if wanted.is_newest else (*found.notes, "interfaces and routes are those of now")
        told = settings_told(self._status.levels)
        return gather(found.entries, files, told=told, revision=found.revision, notes=notes)

    async def explain(self, request: web.Request) -> object:
        """Who can reach what, and why."""
        from tortie.apps.explain.answering import Told, explain  # few ask, and they load much

        query = asking.explain_query(await asking.json_object(request))
        wanted, mine = Wanted(query["revision"], query["at"]), self._status.settings.node
        documents = await self._documents(wanted, query["files"])
        is_enforced = wanted.is_newest and not query["files"]
        here, hits = self._scene(), counted(self._status.rule_hits) if is_enforced else None

        def scene_of(node: str) -> Scene:
            return here if node == mine else imagined_scene(node, documents)

        return await asyncio.to_thread(explain, Told(documents, mine, scene_of, hits), query)

    async def prove(self, request: web.Request) -> AssertionsAnswer:
        """What comes of assertions about this host."""
        from tortie.apps.policyassert.live import answer_live  # most agents are never asked

        query = asking.assert_query(await asking.json_object(request))
        entries, _ = await self._store.list()
        told = settings_told(self._status.levels)
        interfaces = list(self._pump.interfaces.values())
        return await asyncio.to_thread(answer_live, self._status.settings.node, entries, interfaces, query, told)

    async def config(self, request: web.Request) -> ConfigAnswer:
        """Where parameters get their values from."""
        query = asking.config_query(await asking.json_object(request))
        mine = self._status.settings.node
        node = query["node"] or mine
        if node == mine:
            return await explain_settings(self._store, query, node, self._status.levels)
        note = f"this is the agent of node {mine}: environment and file of {node} are not known here"
        return await explain_settings(self._store, query, node, (), [note])
