"""Commands that an agent answers."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

from tortie.apps.answers import (
    ConfigAnswer,
    ConfigQuery,
    DescribeAnswer,
    EnforcedAnswer,
    GetAnswer,
    RevisionAnswer,
    SelectorAnswer,
    SourceText,
    VersionAnswer,
    WriteAnswer,
)
from tortie.apps.ctl.wire import quote, request
from tortie.apps.requests import GetQuery, Verb, WriteOptions, parameters

if TYPE_CHECKING:
    from tortie.apps.agent.answers import CountersAnswer, StatusAnswer
    from tortie.apps.explain.answers import ExplainAnswer, ExplainQuery
    from tortie.apps.policyassert.answers import AssertionsAnswer, AssertQuery
    from tortie.apps.trace.answers import TraceAnswer, TraceQuery

FILES = "application/vnd.tortie.files+json"


class SocketTarget:
    """An agent behind a unix socket. Documents go there as they are: the agent judges them."""

    def __init__(self, path: str) -> None:
        self.path = path

    def write(self, verb: Verb, files: list[SourceText], options: WriteOptions) -> WriteAnswer:
        """Do this with documents, in one transaction."""
        target = f"/v1/{verb.value}?{_query(options)}"
        return cast(WriteAnswer, request(self.path, "POST", target, {"files": files}, FILES))

    def delete(self, kind: str, names: list[str], options: WriteOptions) -> WriteAnswer:
        """Delete by name."""
        named = "".join(f"&name={quote(name)}" for name in names)
        target = f"/v1/resources/{quote(kind)}?{_query(options)}{named}"
        return cast(WriteAnswer, request(self.path, "DELETE", target))

    def get(self, kind: str, query: GetQuery) -> GetAnswer:
        """Resources of a kind."""
        return cast(GetAnswer, request(self.path, "GET", f"/v1/resources/{quote(kind)}?{_query(query)}"))

    def describe(self, kind: str, query: GetQuery) -> DescribeAnswer:
        """Resources of a kind, with what they have to do with others."""
        return cast(DescribeAnswer, request(self.path, "GET", f"/v1/described/{quote(kind)}?{_query(query)}"))

    def revision(self, after: int) -> int:
        """The datastore's revision, as soon as it is beyond that one; sooner or later in any case."""
        answer = cast(RevisionAnswer, request(self.path, "GET", f"/v1/revision?after={after}"))
        return answer["revision"]

    def select(self, expression: str) -> SelectorAnswer:
        """What a selector matches."""
        return cast(SelectorAnswer, request(self.path, "POST", "/v1/select", {"selector": expression}))

    def status(self) -> StatusAnswer:
        """The agent's state."""
        return cast("StatusAnswer", request(self.path, "GET", "/v1/status"))

    def counters(self, *, everything: bool) -> CountersAnswer:
        """The agent's counters; with `everything` those of zero too."""
        return cast("CountersAnswer", request(self.path, "GET", f"/v1/counters?all={int(everything)}"))

    def trace(self, query: TraceQuery) -> TraceAnswer:
        """A packet's verdict."""
        return cast("TraceAnswer", request(self.path, "POST", "/v1/trace", query))

    def explain(self, query: ExplainQuery) -> ExplainAnswer:
        """Who can reach what, and why."""
        return cast("ExplainAnswer", request(self.path, "POST", "/v1/explain", query))

    def prove(self, query: AssertQuery) -> AssertionsAnswer:
        """What comes of assertions about the agent's host."""
        return cast("AssertionsAnswer", request(self.path, "POST", "/v1/assert", query))

    def config(self, query: ConfigQuery) -> ConfigAnswer:
        """Where parameters get their values from."""
        return cast(ConfigAnswer, request(self.path, "POST", "/v1/config", query))

    def enforced(self, revision: int) -> EnforcedAnswer:
        """What the agent's dataplane made of a revision."""
        return cast(EnforcedAnswer, request(self.path, "GET", f"/v1/enforced?revision={revision}"))

    def version(self) -> VersionAnswer:
        """The agent's version."""
        return cast(VersionAnswer, request(self.path, "GET", "/v1/version"))


def _query(asked: WriteOptions | GetQuery) -> str:
    return "&".join(f"{name}={quote(value)}" for name, value in parameters(asked))
