"""Where a command goes: to an agent's socket, or to a datastore file."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, NamedTuple, Protocol

from tortie.apps.answers import (
    ConfigAnswer,
    ConfigQuery,
    DescribeAnswer,
    GetAnswer,
    SelectorAnswer,
    SourceText,
    WriteAnswer,
)
from tortie.apps.ctl import wire
from tortie.apps.defaults import DATASTORE, SOCKET
from tortie.apps.requests import GetQuery, Verb, WriteOptions

if TYPE_CHECKING:
    from tortie.apps.agent.answers import CountersAnswer, StatusAnswer
    from tortie.apps.explain.answers import ExplainAnswer, ExplainQuery
    from tortie.apps.policyassert.answers import AssertionsAnswer, AssertQuery
    from tortie.apps.trace.answers import TraceAnswer, TraceQuery


class Target(Protocol):
    """What every command can ask for, whoever answers. All raise Failure; a file also StoreError."""

    def write(self, verb: Verb, files: list[SourceText], options: WriteOptions) -> WriteAnswer:
        """Do this with documents, in one transaction."""

    def delete(self, kind: str, names: list[str], options: WriteOptions) -> WriteAnswer:
        """Delete by name."""

    def get(self, kind: str, query: GetQuery) -> GetAnswer:
        """Resources of a kind."""

    def describe(self, kind: str, query: GetQuery) -> DescribeAnswer:
        """Resources of a kind, with what they have to do with others."""

    def revision(self, after: int) -> int:
        """The datastore's revision, as soon as it is beyond that one; sooner or later in any case."""

    def select(self, expression: str) -> SelectorAnswer:
        """What a selector matches."""

    def status(self) -> StatusAnswer:
        """The agent's state."""

    def counters(self, *, everything: bool) -> CountersAnswer:
        """The agent's counters; with `everything` those of zero too."""

    def trace(self, query: TraceQuery) -> TraceAnswer:
        """A packet's verdict."""

    def explain(self, query: ExplainQuery) -> ExplainAnswer:
        """Who can reach what, and why."""

    def prove(self, query: AssertQuery) -> AssertionsAnswer:
        """What comes of assertions about this host."""

    def config(self, query: ConfigQuery) -> ConfigAnswer:
        """Where parameters get their values from."""


class Choice(NamedTuple):
    """What the user said about where to go; None: nothing. `node` is this host's name in documents."""

    datastore: str | None = None
    socket: str | None = None
    node: str | None = None

    @property
    def node_name(self) -> str:
        """The given node, or the host's name."""
        return self.node or os.uname().nodename.lower()


def choose(choice: Choice) -> Target:
    """A given socket; else a given file; else the default socket if an agent answers; else the default file."""
    if choice.socket is not None or (choice.datastore is None and wire.answers(SOCKET)):
        from tortie.apps.ctl.remote import SocketTarget

        return SocketTarget(choice.socket or SOCKET)
    from tortie.apps.ctl.local import FileTarget

    return FileTarget(choice.datastore or DATASTORE, choice.node_name, is_node_given=choice.node is not None)
