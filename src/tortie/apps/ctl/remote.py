"""Commands that an agent answers."""

from typing import cast

from tortie.apps.answers import (
    ConfigAnswer,
    ConfigQuery,
    CountersAnswer,
    EnforcedAnswer,
    GetAnswer,
    SelectorAnswer,
    SourceText,
    StatusAnswer,
    TraceAnswer,
    TraceQuery,
    VersionAnswer,
    WriteAnswer,
)
from tortie.apps.ctl.wire import quote, request

FILES = "application/vnd.tortie.files+json"


class SocketTarget:
    """An agent behind a unix socket. Documents go there as they are: the agent judges them."""

    def __init__(self, path: str) -> None:
        self.path = path

    def apply(self, files: list[SourceText], *, wait: bool, dry_run: bool, established: str) -> WriteAnswer:
        """Store documents in one transaction."""
        target = f"/v1/apply?wait={int(wait)}&dry_run={int(dry_run)}&established={quote(established)}"
        return cast(WriteAnswer, request(self.path, "POST", target, {"files": files}, FILES))

    def delete(self, kind: str, names: list[str], *, wait: bool, skip_missing: bool, established: str) -> WriteAnswer:
        """Delete by name."""
        how = f"wait={int(wait)}&skip_missing={int(skip_missing)}&established={quote(established)}"
        target = f"/v1/resources/{quote(kind)}?{how}{_names(names)}"
        return cast(WriteAnswer, request(self.path, "DELETE", target))

    def delete_files(self, files: list[SourceText], *, wait: bool, skip_missing: bool, established: str) -> WriteAnswer:
        """Delete what documents name."""
        target = f"/v1/delete?wait={int(wait)}&skip_missing={int(skip_missing)}&established={quote(established)}"
        return cast(WriteAnswer, request(self.path, "POST", target, {"files": files}, FILES))

    def get(self, kind: str, names: list[str], *, wide: bool) -> GetAnswer:
        """Resources of a kind."""
        target = f"/v1/resources/{quote(kind)}?view={'wide' if wide else 'table'}{_names(names)}"
        return cast(GetAnswer, request(self.path, "GET", target))

    def select(self, expression: str) -> SelectorAnswer:
        """What a selector matches."""
        return cast(SelectorAnswer, request(self.path, "POST", "/v1/select", {"selector": expression}))

    def status(self) -> StatusAnswer:
        """The agent's state."""
        return cast(StatusAnswer, request(self.path, "GET", "/v1/status"))

    def counters(self, *, everything: bool) -> CountersAnswer:
        """The agent's counters; with `everything` those of zero too."""
        return cast(CountersAnswer, request(self.path, "GET", f"/v1/counters?all={int(everything)}"))

    def trace(self, query: TraceQuery) -> TraceAnswer:
        """A packet's verdict."""
        return cast(TraceAnswer, request(self.path, "POST", "/v1/trace", query))

    def config(self, query: ConfigQuery) -> ConfigAnswer:
        """Where parameters get their values from."""
        return cast(ConfigAnswer, request(self.path, "POST", "/v1/config", query))

    def enforced(self, revision: int) -> EnforcedAnswer:
        """What the agent's dataplane made of a revision."""
        return cast(EnforcedAnswer, request(self.path, "GET", f"/v1/enforced?revision={revision}"))

    def version(self) -> VersionAnswer:
        """The agent's version."""
        return cast(VersionAnswer, request(self.path, "GET", "/v1/version"))


def _names(names: list[str]) -> str:
    return "".join(f"&name={quote(name)}" for name in names)
