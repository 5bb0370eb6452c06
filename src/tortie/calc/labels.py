"""Which selectors match which labelled items, kept current as either side changes.

Knows no policies, endpoints or sets: items and selectors have ids. A selector is filed under one label that it needs
(its restrictions tell), so that a change of one item looks only at selectors that could match it, and a new selector
only at items that could match.

Promise: what matches depends on the items, parents and selectors there are, never on the order in which they came.
"""

from collections.abc import Callable, Hashable, Iterable, Mapping, Set
from dataclasses import dataclass, field
from itertools import chain
from typing import Generic, TypeVar

from tortie.calc.inheritance import effective
from tortie.model.expression import MAX_VALUES, Or, Restriction, restrictions
from tortie.model.selector import Selector

Item = TypeVar("Item", bound=Hashable)
Key = TypeVar("Key", bound=Hashable)

Filing = tuple[str, str | None] | None
"""A label with a value, a label with any value (None), or no label at all."""
_ANYWHERE: tuple[Filing, ...] = (None,)


@dataclass(slots=True)
class _Item(Generic[Key]):
    own: Mapping[str, str]
    parents: tuple[str, ...]
    labels: dict[str, str] = field(default_factory=dict)
    matched: set[Key] = field(default_factory=set)


@dataclass(slots=True)
class _Entry(Generic[Item]):
    selector: Selector
    filings: tuple[Filing, ...]
    matched: set[Item] = field(default_factory=set)


class LabelIndex(Generic[Key, Item]):
    """`started` and `stopped` are called with (selector id, item id) whenever a pair begins or ceases to match."""

    def __init__(self, started: Callable[[Key, Item], None], stopped: Callable[[Key, Item], None]) -> None:
        self._started, self._stopped = started, stopped
        self._items: dict[Item, _Item[Key]] = {}
        self._entries: dict[Key, _Entry[Item]] = {}
        self._parents: dict[str, Mapping[str, str]] = {}
        self._children: dict[str, set[Item]] = {}
        self._items_at: dict[Filing, set[Item]] = {}
        self._keys_at: dict[Filing, set[Key]] = {}

    def items(self, key: Key) -> Set[Item]:
        """The items that this selector matches now."""
        entry = self._entries.get(key)
        return entry.matched if entry else frozenset()

    def keys(self, item: Item) -> Set[Key]:
        """The selectors that match this item now."""
        found = self._items.get(item)
        return found.matched if found else frozenset()

    def set_item(self, item: Item, own: Mapping[str, str], parents: tuple[str, ...] = ()) -> None:
        """Add an item or change its labels; labels that it lacks come from its parents, the first one first."""
        found = self._items.get(item)
        if found is not None and found.own == own and found.parents == parents:
            return
        if found is None:
            found = self._items[item] = _Item(own, parents)
        for parent in found.parents:
            _discard(self._children, parent, item)
        for parent in parents:
            self._children.setdefault(parent, set()).add(item)
        found.own, found.parents = own, parents
        self._relabel(item, found)

    def remove_item(self, item: Item) -> None:
        """Forget an item; everything that matched it stops."""
        found = self._items.pop(item)
        for parent in found.parents:
            _discard(self._children, parent, item)
        for filing in _filings_of(found.labels):
            _discard(self._items_at, filing, item)
        for key in found.matched:
            self._entries[key].matched.discard(item)
            self._stopped(key, item)

    def set_parent(self, name: str, labels: Mapping[str, str] | None) -> None:
        """Change what the children of a parent inherit; None: it gives nothing."""
        if labels == self._parents.get(name):
            return
        if labels is None:
            del self._parents[name]
        else:
            self._parents[name] = labels
        for item in tuple(self._children.get(name, ())):
            self._relabel(item, self._items[item])

    def set_selector(self, key: Key, selector: Selector) -> None:
        """Add a selector or change it."""
        entry = self._entries.get(key)
        if entry is not None and entry.selector == selector:
            return
        if entry is None:
            entry = self._entries[key] = _Entry(selector, ())
        for filing in entry.filings:
            _discard(self._keys_at, filing, key)
        entry.selector, entry.filings = selector, filings_of(selector)
        for filing in entry.filings:
            self._keys_at.setdefault(filing, set()).add(key)
        candidates = {item for filing in entry.filings for item in self._items_at.get(filing, ())}
        matches = selector.matches
        matched = {item for item in candidates if matches(self._items[item].labels)}
        stopped, started = entry.matched - matched, matched - entry.matched
        entry.matched = matched
        for item in stopped:
            self._items[item].matched.discard(key)
            self._stopped(key, item)
        for item in started:
            self._items[item].matched.add(key)
            self._started(key, item)

    def remove_selector(self, key: Key) -> None:
        """Forget a selector; everything that it matched stops."""
        entry = self._entries.pop(key)
        for filing in entry.filings:
            _discard(self._keys_at, filing, key)
        for item in entry.matched:
            self._items[item].matched.discard(key)
            self._stopped(key, item)

    def _relabel(self, item: Item, found: _Item[Key]) -> None:
        labels = effective(found.own, found.parents, self._parents)
        for filing in _filings_of(found.labels):
            if filing is not None:
                _discard(self._items_at, filing, item)
        found.labels = labels
        candidates: set[Key] = set()
        for filing in _filings_of(labels):
            self._items_at.setdefault(filing, set()).add(item)
            candidates.update(self._keys_at.get(filing, ()))
        matched = {key for key in candidates if self._entries[key].selector.matches(labels)}
        stopped, started = found.matched - matched, matched - found.matched
        found.matched = matched
        for key in stopped:
            self._entries[key].matched.discard(item)
            self._stopped(key, item)
        for key in started:
            self._entries[key].matched.add(item)
            self._started(key, item)


def filings_of(selector: Selector) -> tuple[Filing, ...]:
    """Where to file a selector: every item that it matches has at least one of these; none if it can match nothing."""
    best = _restricted(selector.restrictions())
    if best != _ANYWHERE or not isinstance(selector.root, Or):
        return best
    # Of its alternatives each may need another label; then it is filed under each one's.
    each = [_restricted(restrictions(operand)) for operand in selector.root.operands]
    found = tuple(dict.fromkeys(chain.from_iterable(each)))
    return _ANYWHERE if None in found or len(found) > MAX_VALUES else found


def _restricted(asked_of: Mapping[str, Restriction]) -> tuple[Filing, ...]:
    """The filings of what asks so much of labels: of the label with the fewest values."""
    best = _ANYWHERE
    for label, asked in asked_of.items():
        if asked.must_be_present and (asked.must_be_absent or asked.values == frozenset()):
            return ()
        if not asked.must_be_present:
            continue
        if asked.values is not None:
            if best[0] is None or best[0][1] is None or len(asked.values) < len(best):
                best = tuple((label, value) for value in sorted(asked.values))
        elif best[0] is None:
            best = ((label, None),)
    return best


def _filings_of(labels: Mapping[str, str]) -> Iterable[Filing]:
    yield None
    for label, value in labels.items():
        yield label, value
        yield label, None


_Place = TypeVar("_Place", bound=Hashable)
_Member = TypeVar("_Member", bound=Hashable)


def _discard(table: dict[_Place, set[_Member]], place: _Place, member: _Member) -> None:
    """Take a member out, and the place with it when it was the last."""
    found = table.get(place)
    if found is not None:
        found.discard(member)
        if not found:
            del table[place]
