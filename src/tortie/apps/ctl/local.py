"""Commands on a datastore file: the same service as in the agent, and then a question to whoever serves that file."""

from __future__ import annotations

import time
from collections.abc import Callable, Coroutine
from typing import TYPE_CHECKING, Any, TypeVar

from tortie.apps.answers import (
    ConfigAnswer,
    ConfigQuery,
    DescribeAnswer,
    EnforcedAnswer,
    GetAnswer,
    SelectorAnswer,
    SourceText,
    WriteAnswer,
)
from tortie.apps.beacons import Serving, serving
from tortie.apps.ctl.remote import SocketTarget
from tortie.apps.failure import Code, Failure
from tortie.apps.hits import HITS_KINDS, with_hits
from tortie.apps.kinds import find_kind
from tortie.apps.requests import GetQuery, Verb, WriteOptions
from tortie.apps.verbs import service
from tortie.store.protocol import Gone, Store
from tortie.store.schema import is_unmade
from tortie.store.sqlite import SqliteStore

if TYPE_CHECKING:
    from tortie.apps.agent.answers import CountersAnswer, StatusAnswer
    from tortie.apps.explain.answers import ExplainAnswer, ExplainQuery
    from tortie.apps.policyassert.answers import AssertionsAnswer, AssertQuery
    from tortie.apps.revisions import Wanted
    from tortie.apps.trace.answers import TraceAnswer, TraceQuery
    from tortie.apps.trace.hostview import Documents

_Answer = TypeVar("_Answer")


class FileTarget:
    """A datastore file, and the agents that serve it. A node that is not given is the one that runs the command."""

    def __init__(self, path: str, node: str, *, is_node_given: bool = True) -> None:
        self.path, self._node, self._is_node_given = path, node, is_node_given

    def write(self, verb: Verb, files: list[SourceText], options: WriteOptions) -> WriteAnswer:
        """Do this with documents. A datastore is made for what is stored in it, not for what is refused or nothing."""
        self._check_established(options)
        begins = verb is not Verb.DELETE
        answer = self._on_store(lambda store: service.write(store, verb, files, options), may_be_unmade=begins)
        return self._waited(answer, options)

    def delete(self, kind: str, names: list[str], options: WriteOptions) -> WriteAnswer:
        """Delete by name."""
        self._check_established(options)
        find_kind(kind)  # a word that is none is told before a file that is none
        return self._waited(self._on_store(lambda store: service.delete_named(store, kind, names, options)), options)

    def get(self, kind: str, query: GetQuery) -> GetAnswer:
        """Resources of a kind."""
        find_kind(kind)
        answer = self._on_store(lambda store: service.get(store, kind, query))
        return with_hits(answer, None) if query.view == "wide" and answer["kind"] in HITS_KINDS else answer

    def describe(self, kind: str, query: GetQuery) -> DescribeAnswer:
        """Resources of a kind, with what they have to do with others; from the agent, if one serves the file."""
        one = self._the_agent()
        if one is not None:
            return SocketTarget(one.socket).describe(kind, query)
        from tortie.apps.verbs.describing import describe, no_turn

        found = find_kind(kind)
        return self._on_store(lambda store: describe(store, found, query, None, no_turn))

    def revision(self, after: int) -> int:
        """The file's revision, as soon as it is beyond that one."""
        import asyncio

        from tortie.apps.ctl.interrupts import undisturbed  # only a watch waits

        async def later(store: SqliteStore) -> int:
            try:
                async for batch in store.watch(after):
                    return batch.revision
            except Gone:
                pass
            return (await store.list(""))[1]

        store = SqliteStore.open(self.path, create=False)
        try:
            with undisturbed():
                runner = asyncio.Runner()
                runner.get_loop()
            with runner:
                return runner.run(later(store))
        finally:
            run_now(store.close())

    def select(self, expression: str) -> SelectorAnswer:
        """What a selector matches."""
        from tortie.apps.selecting import select_stored

        return self._on_store(lambda store: select_stored(store, expression))

    def status(self) -> StatusAnswer:
        """The state of the agent that serves this file."""
        return self._asked().status()

    def counters(self, *, everything: bool) -> CountersAnswer:
        """The counters of the agent that serves this file."""
        return self._asked().counters(everything=everything)

    def trace(self, query: TraceQuery) -> TraceAnswer:
        """A packet's verdict: from the agent that serves this file, else from documents alone."""
        from tortie.apps.revisions import Wanted
        from tortie.apps.trace.hostview import imagined_scene
        from tortie.apps.trace.tracing import question, trace_documents

        one = self._the_agent()
        if one is not None:
            return SocketTarget(one.socket).trace(query)
        asked = question(query)
        documents, node = self._documents(Wanted(query["revision"], query["at"]), query["files"])
        if node != self._node:
            from dataclasses import replace

            documents = replace(documents, notes=(*documents.notes, f"for node {node}, which all endpoints name"))
        return trace_documents(documents, imagined_scene(node, documents), asked)

    def explain(self, query: ExplainQuery) -> ExplainAnswer:
        """Who can reach what, and why: from the agent that serves this file, else from documents alone."""
        from tortie.apps.explain.answering import Told, explain
        from tortie.apps.revisions import Wanted
        from tortie.apps.trace.hostview import imagined_scene

        one = self._the_agent()
        if one is not None:
            return SocketTarget(one.socket).explain(query)
        documents, node = self._documents(Wanted(query["revision"], query["at"]), query["files"])
        return explain(Told(documents, node, lambda name: imagined_scene(name, documents)), query)

    def _documents(self, wanted: Wanted, files: list[SourceText]) -> tuple[Documents, str]:
        """Those of the file, if there is one, with the others laid over them; and the node that is meant."""
        from tortie.apps.revisions import Stored, stored
        from tortie.apps.told import settings_told, told_here
        from tortie.apps.trace.hostview import gather, only_node

        self._check_known(files if wanted.is_newest else [])
        exists = not is_unmade(self.path)
        found = self._on_store(lambda store: stored(store, wanted)) if exists else Stored((), 0)
        told = settings_told(told_here())
        revision = found.revision if exists else None
        documents = gather(found.entries, files, told=told, revision=revision, notes=found.notes)
        node = self._node if self._is_node_given else only_node(documents) or self._node
        return documents, node

    def prove(self, query: AssertQuery) -> AssertionsAnswer:
        """What comes of assertions about this host: from the agent that serves this file, else from its documents."""
        one = self._the_agent()
        if one is not None:
            return SocketTarget(one.socket).prove(query)
        if is_unmade(self.path):
            text = f"{query['file']['source']}: it describes no host, no agent answers, and {self.path} does not exist"
            raise Failure(Code.UNREACHABLE, f"{text}; add host, or give --datastore PATH")
        from tortie.apps.agent.interfaces import KernelInterfaces
        from tortie.apps.policyassert.live import answer_live
        from tortie.apps.told import settings_told, told_here

        stored = self._on_store(lambda store: store.list())[0]
        told = settings_told(told_here())
        return answer_live(self._node, stored, KernelInterfaces().read(), query, told)

    def config(self, query: ConfigQuery) -> ConfigAnswer:
        """Where parameters get their values: from the agent that serves this file, else as one started here would."""
        from tortie.apps.parameters import explain
        from tortie.apps.told import told_here

        one = self._the_agent()
        if one is not None:
            return SocketTarget(one.socket).config(query)
        levels = told_here()
        note = f"no agent serves {self.path}: environment and file are those of this command"
        self._check_known(query["files"])
        return self._on_store(lambda store: explain(store, query, self._node, levels, [note]), may_be_unmade=True)

    def _on_store(
        self, work: Callable[[Store], Coroutine[Any, Any, _Answer]], *, may_be_unmade: bool = False
    ) -> _Answer:
        """What the work returns; `may_be_unmade`: it can begin without a datastore."""
        store: Store
        if may_be_unmade and is_unmade(self.path):
            from tortie.store.unmade import UnmadeStore  # a get does without

            store = UnmadeStore(self.path)
        else:
            store = SqliteStore.open(self.path, create=False)
        try:
            return run_now(work(store))
        finally:
            run_now(store.close())

    def _check_known(self, files: list[SourceText]) -> None:
        """Raises: Failure where neither a datastore nor documents say anything."""
        if not files and is_unmade(self.path):
            text = f"no agent answers and {self.path} does not exist"
            raise Failure(Code.UNREACHABLE, f"{text}; give -f FILE or --datastore PATH")

    def _check_established(self, options: WriteOptions) -> None:
        """Raises: Failure where connections that exist are to be judged: a file knows none, and no agent is asked."""
        established = options.established
        if established == "keep" or options.dry_run:
            return
        agents = serving(self.path)
        text = f"--established={established} is the work of an agent, and a datastore file is not asked through one"
        if agents:
            sockets = " or ".join(f"--socket {one.socket} (node {one.node})" for one in agents)
            raise Failure(Code.USAGE, f"{text}: nothing was changed; give {sockets} instead of --datastore")
        text = f"no agent serves {self.path}, so --established={established} cannot be done: nothing was changed"
        raise Failure(Code.UNREACHABLE, f"{text}; start one with `tortie agent run`, or leave it out")

    def _asked(self) -> SocketTarget:
        """The agent that serves this file. Raises: Failure where there is none, or more than one."""
        one = self._the_agent()
        if one is None:
            _, revision = self._on_store(lambda store: store.list("Tier"))
            text = f"no agent serves {self.path} (revision {revision}): nothing new is enforced"
            raise Failure(Code.UNREACHABLE, f"{text}; start one with `tortie agent run`")
        return SocketTarget(one.socket)

    def _waited(self, answer: WriteAnswer, options: WriteOptions) -> WriteAnswer:
        if options.dry_run or not options.wait:
            return answer
        committed = time.monotonic()
        enforced: list[EnforcedAnswer] = []
        for one in serving(self.path):
            try:
                outcome = SocketTarget(one.socket).enforced(answer["revision"])
            except Failure as failure:
                # The change is stored whatever the agent does: that has to be said too.
                enforced.append(_silent(one, failure))
                continue
            # From the commit to this answer: by the time an agent is asked it has often finished.
            enforced.append({**outcome, "wait_ms": round((time.monotonic() - committed) * 1e3, 3)})
        return {**answer, "enforced": enforced}

    def _the_agent(self) -> Serving | None:
        """The one agent to ask: the only one, or the one for this node."""
        found = serving(self.path)
        mine = [one for one in found if one.node == self._node] if len(found) > 1 else found
        if len(mine) == 1 or not found:
            return mine[0] if mine else None
        sockets = ", ".join(f"{one.node} at {one.socket}" for one in found)
        raise Failure(Code.USAGE, f"several agents serve {self.path}: {sockets}; choose one with --socket or --node")


def _silent(agent: Serving, failure: Failure) -> EnforcedAnswer:
    """What is known of an agent that holds its beacon and gives no answer."""
    return {
        "node": agent.node,
        "revision": 0,
        "is_current": False,
        "refused": {},
        "failed": {"agent": failure.message},
        "interfaces": [],
        "endpoints": [],
        "policies": {},
        "invalid": {},
        "apply_ms": 0.0,
        "wait_ms": 0.0,
    }


def run_now(coroutine: Coroutine[Any, Any, _Answer]) -> _Answer:
    """What a coroutine that never suspends returns, without an event loop: asyncio costs 37 ms at start-up.

    Source: store/protocol.py, "the embedded ones never suspend".
    """
    try:
        coroutine.send(None)
    except StopIteration as stop:
        result: _Answer = stop.value
        return result
    coroutine.close()
    raise AssertionError("an embedded store never suspends")
