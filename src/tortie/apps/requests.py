"""What a request asks, as values that the command line and the agent's API both read: one field, one parameter.

    tortie get -A -l role=web ──▶ GetQuery ──parameters──▶ ?all_namespaces=1&selector=... ──from_parameters──▶ GetQuery

The names of the fields are the API's parameters, so the two ends cannot differ.
"""

from collections.abc import Callable, Iterator, Sequence
from enum import Enum
from typing import NamedTuple, TypeVar

from tortie.apps.failure import Code, Failure


class Verb(Enum):
    """What is done with documents; the value is the command's name."""

    APPLY = "apply"
    CREATE = "create"
    REPLACE = "replace"
    DELETE = "delete"

    @property
    def done(self) -> str:
        """`created`."""
        return "applied" if self is Verb.APPLY else f"{self.value}d"


class WriteOptions(NamedTuple):
    """How to write. (Named tuples, because dataclasses cost a command 3 ms of its 50.)

    `namespace`: of documents that name none, and the only one allowed. `skip`: what exists is no failure of a create,
    what does not none of a delete. `skip_empty`: nor are files without documents. `documents`: answer each document as
    it was and as it is now. `wait`: until it is enforced; `established` is a value of `dataplane.driver.Established`.
    """

    namespace: str = ""
    dry_run: bool = False
    skip: bool = False
    skip_empty: bool = False
    documents: bool = False
    wait: bool = True
    established: str = "keep"


class GetQuery(NamedTuple):
    """Which resources of a kind, and which columns of them.

    No `name`: all of them, those that `selector` matches. `view`: `table`, `wide` or `custom`, which has the headings
    in `column`.
    """

    name: tuple[str, ...] = ()
    namespace: str = ""
    all_namespaces: bool = False
    selector: str = ""
    view: str = "table"
    column: tuple[str, ...] = ()


Asked = TypeVar("Asked", WriteOptions, GetQuery)


def parameters(asked: WriteOptions | GetQuery) -> Iterator[tuple[str, str]]:
    """The parameters that say it; those that are as by default are left out."""
    for name, value in zip(asked._fields, asked, strict=True):
        if value == asked._field_defaults[name]:
            continue
        if isinstance(value, tuple):
            yield from ((name, one) for one in value)
        else:
            yield name, str(int(value)) if isinstance(value, bool) else str(value)


def from_parameters(kind: type[Asked], given: Callable[[str], Sequence[str]]) -> Asked:
    """What the parameters ask; `given` has the values of one. Raises: Failure USAGE."""
    found: dict[str, object] = {}
    for name, default in kind._field_defaults.items():
        values = given(name)
        if not values:
            continue
        if isinstance(default, tuple):
            found[name] = tuple(values)
        elif isinstance(default, bool):
            if values[-1] not in ("0", "1"):
                raise Failure(Code.USAGE, f"{name}: expected 0 or 1, got {values[-1][:40]!r}")
            found[name] = values[-1] == "1"
        else:
            found[name] = values[-1]
    return kind(**found)  # type: ignore[arg-type]
