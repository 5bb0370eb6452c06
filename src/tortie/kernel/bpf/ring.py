"""The reader of a BPF ring buffer. C drains it; Python sees a list, never a callback per event."""

from __future__ import annotations

import struct
from types import TracebackType
from typing import TYPE_CHECKING, Self

from tortie.kernel._bpf import ffi, lib
from tortie.kernel.bpf.calls import checked, clear_log, pointer

if TYPE_CHECKING:
    from tortie.kernel._bpf import CData


class RingBuffer:
    """Reads the events of one ring buffer map. The map must stay open as long as this does."""

    def __init__(self, map_fd: int) -> None:
        clear_log()
        self._ring: CData | None = pointer(lib.tortie_ring_new(map_fd), f"read ring buffer of map descriptor {map_fd}")
        self.fd = lib.tortie_ring_fd(self._ring)
        """Readable while events wait: for select, poll or an event loop."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Stop reading. Events that wait stay in the map."""
        if self._ring is not None:
            lib.tortie_ring_free(self._ring)
            self._ring = None

    def consume(self, limit: int = 4096) -> list[bytes]:
        """Events that wait, oldest first, at most `limit`; the rest stays for the next call. Never blocks."""
        if self._ring is None:
            raise ValueError("the ring buffer is closed")
        if limit < 1:
            raise ValueError(f"limit {limit} is not positive")
        count = checked(lib.tortie_ring_consume(self._ring, limit), "read ring buffer")
        if not count:
            return []
        block = bytes(ffi.buffer(lib.tortie_ring_block(self._ring), lib.tortie_ring_block_size(self._ring)))
        events, start = [], 0
        for _ in range(count):
            (size,) = struct.unpack_from("=I", block, start)
            events.append(block[start + 4 : start + 4 + size])
            start += 4 + size
        return events
