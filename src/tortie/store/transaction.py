"""What a sequence of writes comes to. Pure: every embedded store asks this one function, so that they cannot differ.

Writes count one after the other, as if each were alone, and what is kept is the sum: a document that ends as it began
has no event.
"""

from collections.abc import Callable, Sequence
from typing import assert_never

from tortie.store.protocol import Conflict, Delete, Entry, Event, Key, NotFound, Put, StoreError, Write


def stage(writes: Sequence[Write], revision: int, read: Callable[[Key], Entry | None]) -> tuple[Event, ...]:
    """The events of a transaction that would be `revision`, in the order in which its keys first appear.

    `read` gives the stored document. Raises: Conflict, NotFound, StoreError for a key that is no text.
    """
    before: dict[Key, Entry | None] = {}
    after: dict[Key, Entry | None] = {}
    for write in writes:
        key = write.key
        if key not in before:
            require_text(key)
            before[key] = after[key] = read(key)
        after[key] = _apply(write, after[key], revision)
    return tuple(
        Event(key, entry.value if entry else None, revision)
        for key, entry in after.items()
        if _value(entry) != _value(before[key])
    )


def require_text(key: Key) -> None:
    """Refuse a key that has no UTF-8 form (an argument with stray bytes becomes one). Raises: StoreError."""
    try:
        "".join(key).encode()
    except UnicodeEncodeError:
        raise StoreError(f"{str(key)!a} is not valid text: use a name of lower-case letters, digits, - and .") from None


def _apply(write: Write, now: Entry | None, revision: int) -> Entry | None:
    match write:
        case Put(key, value, expected):
            if expected == 0 and now:
                raise Conflict(f"{key} exists already (revision {now.revision}): update it, or delete it first")
            if expected and not now:
                raise Conflict(f"{key} was deleted since revision {expected}: create it anew")
            if expected and now and now.revision != expected:
                raise Conflict(_stale(now, expected))
            return now if now and now.value == value else Entry(key, value, revision)
        case Delete(key, expected):
            if not now:
                raise NotFound(f"{key} does not exist")
            if expected is not None and now.revision != expected:
                raise Conflict(_stale(now, expected))
            return None
        case _:
            assert_never(write)


def _stale(now: Entry, expected: int) -> str:
    return f"{now.key} is at revision {now.revision}, not {expected}: read it again and repeat the change"


def _value(entry: Entry | None) -> bytes | None:
    return entry.value if entry else None
