"""The connection table of this host: the maps that all programs share, and what the agent does with them.

    <bpffs>/netns-<cookie>/host/{flows4, flows6, opening4, opening6, local, layout-<digest>}

Programs open, follow and close flows by themselves; an agent that is dead changes nothing. The agent makes the maps,
tells them the host's addresses, takes out what has expired, and puts in what existed before the first endpoint.
"""

from __future__ import annotations

import errno
import os
import time
from collections.abc import Iterable, Iterator, Mapping
from itertools import chain
from pathlib import Path
from struct import Struct
from typing import NamedTuple

from tortie.dataplane.driver import ConnectionStatus, TableFill
from tortie.dataplane.ebpf import layout
from tortie.dataplane.ebpf.generation import CLOCK_SHIFT, TrackingPlan, clock_units
from tortie.dataplane.ebpf.layout import Shape, fits, shapes
from tortie.dataplane.ebpf.shared import FLOW_MAPS, SHARED_MAPS, SharedMap
from tortie.kernel import bpf
from tortie.kernel.errors import KernelError
from tortie.model.conntrack import Flow, FlowKey, FlowState, Timeouts, TrackingSettings
from tortie.model.desired import HostAddresses

LOCAL_SIZE = 65_536
SMALL = 64
OPENING_SHARE = 4
"""Opening flows get a quarter of the room of established ones."""
_VERSIONS = {"flows4": 4, "flows6": 6, "opening4": 4, "opening6": 6}
_VALUE = Struct("=8I")
_KEYS = {4: Struct("=4s4sHHI"), 6: Struct("=16s16sHHI")}
"""struct flow, flow_key4 and flow_key6 of flows.h and packet.h; tests/bpf/test_layouts.py compares."""
_OVER = (FlowState.CLOSED, FlowState.RESET)
SEEN, IFINDEX, STATE, FLAGS = range(4)
OPENER, OUTBOUND, ANSWERED = 1, 2, 4
_UNICAST, _BROADCAST = b"\1\0\0\0", b"\2\0\0\0"
"""What an address of the host is. Source: enum local_kind in tracked.h; a test compares."""


class StoredFlow(NamedTuple):
    """An element of the table: where it is, its raw key, and what it says."""

    table: str
    raw_key: bytes
    flow: Flow
    ifindex: int


class FlowTables:
    """See the module. Nothing exists before `open`. Raises everywhere: KernelError."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._maps: dict[str, SharedMap] = {}
        self._known: dict[bytes, bytes] | None = None
        self._settings = TrackingSettings()
        self._taken_over = self._expired = 0
        self._counts: dict[str, int] = {}
        """Elements of each map, as of the last walk: counting a full table takes 0.3 s."""

    # ---- made

    def open(self, settings: TrackingSettings) -> TrackingPlan:
        """The maps, those of an earlier agent where they fit, and how generations use them."""
        self._settings = settings
        if not self._maps:
            self.require_known()
        sizes = self._sizes(settings)
        for name, size in sizes.items():
            known = self._maps.get(name)
            if known is None or bpf.map_info(known.fd).max_entries != size:
                self._maps[name] = self._opened(name, size)
                if known is not None:
                    os.close(known.fd)
                if name == "flows4":
                    layout.mark(self._folder, self._maps[name])
        return TrackingPlan(dict(self._maps), settings.timeouts, settings.drops_invalid)

    def require_known(self) -> None:
        """Raises: KernelError, where another version left a table that this one cannot read; nothing is changed."""
        layout.require_known(self._folder)

    def adopt(self) -> None:
        """Have the maps of an earlier agent as they are, if there are any. Raises: KernelError as `require_known`."""
        self.require_known()
        for name in SHARED_MAPS:
            path = self._folder / name
            if name in self._maps or not path.exists():
                continue
            fd = bpf.open_pin(path)
            info = bpf.map_info(fd)
            if fits(info, shapes()[name]):
                self._maps[name] = SharedMap(fd, info.id)
            else:
                os.close(fd)

    def plan(self) -> TrackingPlan | None:
        """How generations use the maps as they are now; None where there are not all of them."""
        if not self._maps.keys() >= set(SHARED_MAPS):
            return None
        return TrackingPlan(dict(self._maps), self._settings.timeouts, self._settings.drops_invalid)

    def _sizes(self, settings: TrackingSettings) -> dict[str, int]:
        opening = max(1024, settings.size // OPENING_SHARE)
        sizes = {name: opening if name.startswith("opening") else settings.size for name in _VERSIONS}
        return {**sizes, "local": LOCAL_SIZE}

    def _opened(self, name: str, size: int) -> SharedMap:
        path, shape = self._folder / name, shapes()[name]
        old = bpf.open_pin(path) if path.exists() else None
        if old is not None:
            info = bpf.map_info(old)
            if fits(info, shape) and info.max_entries == size:
                return SharedMap(old, info.id)
            if not fits(info, shape):  # `local` of another version, whose content the agent knows
                os.close(old)
                old = None
        try:
            made = _made(name, shape, size)
            try:
                if old is not None:
                    _copy(old, made)
                self._pin(name, made)
                found = SharedMap(made, bpf.map_info(made).id)
            except BaseException:
                os.close(made)
                raise
        finally:
            if old is not None:
                os.close(old)
        if name == "local":
            self._known = None
        return found

    def _pin(self, name: str, fd: int) -> None:
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        bpf.pin_over(fd, self._folder / name)

    def repair(self) -> tuple[str, ...]:
        """Pin again what others unpinned, put back the host addresses that they changed; what that was."""
        repaired = []
        gone = [name for name in self._maps if not (self._folder / name).exists()]
        for name in gone:
            self._pin(name, self._maps[name].fd)
        if gone:
            layout.mark(self._folder, self._maps["flows4"])
        if gone:
            repaired.append(f"pins of the connection table ({', '.join(gone)})")
        if self._known is not None and (found := self._read_addresses()) != self._known:
            wanted, self._known = self._known, found
            self._write_addresses(wanted)
            repaired.append("host addresses")
        return tuple(repaired)

    def move(self, folder: Path) -> None:
        """Have the pins in another folder from the next repair on."""
        self._folder = folder

    # ---- this host

    def set_addresses(self, addresses: HostAddresses) -> None:
        """Tell the programs which addresses are this host's: new ones before old ones go."""
        wanted = {_local_key(4, address): _BROADCAST for address in addresses.broadcast}
        wanted |= {_local_key(version, address): _UNICAST for version, address in addresses.unicast}
        if self._known is None:
            self._known = self._read_addresses()
        self._write_addresses(wanted)

    def _read_addresses(self) -> dict[bytes, bytes]:
        fd, size = self._maps["local"].fd, shapes()["local"].key_size
        return {
            bytes(keys[at * size : (at + 1) * size]): bytes(values[at * 4 : at * 4 + 4])
            for keys, values, count in bpf.read_batches(fd)
            for at in range(count)
        }

    def _write_addresses(self, wanted: dict[bytes, bytes]) -> None:
        fd, known = self._maps["local"].fd, self._known or {}
        for key, kind in wanted.items():
            if known.get(key) != kind:
                bpf.update(fd, key, kind)
        for key in known.keys() - wanted.keys():
            bpf.delete(fd, key)
        self._known = wanted

    # ---- flows

    def expire(self) -> Iterator[int]:
        """Take out established flows that have been idle for too long, a batch for each step.

        Opening ones are evicted by the kernel. A flow that begins anew on the ports of an expired one within the same
        batch would go with it: a matter of microseconds, on the hour.
        """
        for name in _VERSIONS:
            if name not in self._maps:
                continue
            fd = os.dup(self._maps[name].fd)  # a step may follow after the map was replaced
            try:
                yield from self._expire_map(name, fd)
            finally:
                os.close(fd)

    def _expire_map(self, name: str, fd: int) -> Iterator[int]:
        key_size, limits = shapes()[name].key_size, _limits(self._settings.timeouts)
        left = 0
        for keys, values, count in bpf.read_batches(fd):
            deleted = 0
            if not name.startswith("opening"):
                now, words = _now(), values.cast("I")
                protocols = keys.cast("I")[key_size // 4 - 1 :: key_size // 4]
                seen, states = words[SEEN::8], words[STATE::8]
                gone = [
                    bytes(keys[index * key_size : (index + 1) * key_size])
                    for index in range(count)
                    if now - seen[index] > limits[protocols[index] & 255][states[index] & 3]
                ]
                deleted = bpf.delete_keys(fd, b"".join(gone), key_size) if gone else 0
            self._expired += deleted
            left += count - deleted
            yield deleted
        self._counts[name] = left

    def flows(self) -> Iterator[StoredFlow]:
        """Every flow that has not expired."""
        limits = _limits(self._settings.timeouts)
        for name, version in _VERSIONS.items():
            if name not in self._maps:
                continue
            fd = os.dup(self._maps[name].fd)  # the next flow may be asked for after the map was replaced
            try:
                yield from self._flows_of(name, fd, version, limits)
            finally:
                os.close(fd)

    def _flows_of(self, name: str, fd: int, version: int, limits: list[list[int]]) -> Iterator[StoredFlow]:
        key_size, record = shapes()[name].key_size, _KEYS[version]
        for keys, values, count in bpf.read_batches(fd):
            now = _now()
            for index in range(count):
                raw = bytes(keys[index * key_size : (index + 1) * key_size])
                value = _VALUE.unpack_from(values, index * _VALUE.size)
                low, high, low_port, high_port, protocol = record.unpack(raw)
                if now - value[SEEN] > limits[protocol & 255][value[STATE] & 3]:
                    continue
                key: FlowKey = (version, protocol, _address(low), low_port, _address(high), high_port)
                flow = Flow(
                    key,
                    value[FLAGS] & OPENER,
                    bool(value[FLAGS] & OUTBOUND),
                    "",
                    value[SEEN] * (1 << CLOCK_SHIFT) / 1e9,
                    FlowState(value[STATE] & 3),
                    bool(value[FLAGS] & ANSWERED),
                )
                yield StoredFlow(name, raw, flow, value[IFINDEX])

    def forget(self, flows: Iterable[StoredFlow]) -> int:
        """Delete these flows; how many were still there: none, where the table is gone since they were read."""
        by_table: dict[str, list[bytes]] = {}
        for one in flows:
            by_table.setdefault(one.table, []).append(one.raw_key)
        return sum(
            bpf.delete_keys(self._maps[name].fd, b"".join(keys), shapes()[name].key_size)
            for name, keys in by_table.items()
            if name in self._maps
        )

    def store(self, flows: Iterable[Flow]) -> int:
        """Add flows that existed before and that the table does not know; how many are new."""
        stored, now = 0, _now()
        for flow in flows:
            version, protocol, low, low_port, high, high_port = flow.key
            width = 4 if version == 4 else 16
            raw = _KEYS[version].pack(_words(low, width), _words(high, width), low_port, high_port, protocol)
            is_assured = flow.state is FlowState.ESTABLISHED
            flags = flow.opener | (OUTBOUND if flow.is_outbound else 0) | (ANSWERED if flow.is_answered else 0)
            value = _VALUE.pack(now, 0, flow.state.value, flags, 0, 0, 0, 0)
            established, opening = self._maps[f"flows{version}"].fd, self._maps[f"opening{version}"].fd
            if self._goes_on(established, raw, flow) or self._goes_on(opening, raw, flow):
                continue
            if not is_assured:
                bpf.delete_keys(established, raw, len(raw))  # one that is over would hide it
            try:
                bpf.update(established if is_assured else opening, raw, value)
            except KernelError:  # full: among the opening ones there is always room
                bpf.update(opening, raw, value)
            stored += 1
        self._taken_over += stored
        return stored

    def _goes_on(self, fd: int, raw_key: bytes, flow: Flow) -> bool:
        """Whether the map has the flow, and programs let its packets pass: it is neither expired nor, unless it should
        be, closed."""
        found = bpf.lookup(fd, raw_key, _VALUE.size)
        if found is None:
            return False
        value = _VALUE.unpack(found)
        state, protocol = FlowState(value[STATE] & 3), flow.key[1]
        if state in _OVER and flow.state not in _OVER:
            return False
        limit = clock_units(self._settings.timeouts.of(protocol, state))
        return bool(_now() - value[SEEN] <= limit)

    def status(self) -> ConnectionStatus:
        """How full the tables are, as of the last walk through them (`expire`)."""
        if not self._maps:
            return ConnectionStatus()
        counts = {
            name: self._counts[name]
            if name in self._counts
            else sum(n for _, _, n in bpf.read_batches(self._maps[name].fd))
            for name in _VERSIONS
        }
        sizes = self._sizes(self._settings)
        tables = [
            TableFill(
                version,
                counts[f"flows{version}"],
                sizes[f"flows{version}"],
                counts[f"opening{version}"],
                sizes[f"opening{version}"],
            )
            for version in (4, 6)
        ]
        return ConnectionStatus(tables=tables, taken_over=self._taken_over, expired=self._expired)

    def remove(self) -> None:
        """Unpin and let go of the maps; those that programs use live on with these."""
        if self._folder.is_dir():
            for pin in self._folder.iterdir():
                pin.unlink(missing_ok=True)
            self._folder.rmdir()
        self.close()

    def close(self) -> None:
        """Let go of the maps; programs and pins keep them."""
        for shared in self._maps.values():
            os.close(shared.fd)
        self._maps.clear()
        self._counts.clear()
        self._known = None


def small_tables() -> dict[str, SharedMap]:
    """A connection table for a few flows that nothing refers to; whoever asked for it closes it."""
    found = {}
    for name in FLOW_MAPS:
        fd = _made(name, shapes()[name], SMALL)
        found[name] = SharedMap(fd, bpf.map_info(fd).id)
    return found


def empty(maps: Mapping[str, SharedMap]) -> None:
    """Forget every flow in these maps."""
    for shared in maps.values():
        for key in list(bpf.keys(shared.fd)):
            bpf.delete(shared.fd, key)


def _made(name: str, shape: Shape, size: int) -> int:
    """Descriptor of a new map."""
    try:
        return bpf.create_map(
            shape.type,
            name,
            key_size=shape.key_size,
            value_size=shape.value_size,
            max_entries=size,
            flags=shape.flags,
        )
    except KernelError as error:
        if error.code not in (errno.E2BIG, errno.EINVAL, errno.ENOMEM):
            raise
        thing = f"{error.thing} of {size:,} elements"
        raise KernelError(error.door, thing, error.code, "set spec.bpfMapSizeConntrack lower") from None


def _copy(old: int, new: int) -> None:
    """What one map holds, into another of the same kind; what does not fit is left behind."""
    for keys, values, count in bpf.read_batches(old):
        try:
            bpf.update_batch(new, bytes(keys), bytes(values), count)
        except KernelError:
            return


def _now() -> int:
    """The programs' coarse clock. Source: bpf_ktime_get_ns is CLOCK_MONOTONIC."""
    return time.monotonic_ns() >> CLOCK_SHIFT


def _limits(timeouts: Timeouts) -> list[list[int]]:
    """Clock units by protocol and state."""
    return [[clock_units(timeouts.of(protocol, state)) for state in FlowState] for protocol in range(256)]


def _local_key(version: int, address: int) -> bytes:
    words = address.to_bytes(4 if version == 4 else 16, "big")
    return b"".join(
        int.from_bytes(part, "big").to_bytes(4, "little")
        for part in chain([version.to_bytes(4, "big")], (words[i : i + 4] for i in range(0, len(words), 4)))
    ).ljust(20, b"\0")


def _words(address: int, width: int) -> bytes:
    """Words in the order of the address, each in the order of the machine."""
    raw = address.to_bytes(width, "big")
    return b"".join(raw[i : i + 4][::-1] for i in range(0, width, 4))


def _address(raw: bytes) -> int:
    return int.from_bytes(b"".join(raw[i : i + 4][::-1] for i in range(0, len(raw), 4)), "big")
