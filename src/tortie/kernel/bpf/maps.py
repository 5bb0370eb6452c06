"""Maps by descriptor: one element, many elements, or the array's memory itself. Keys and values are bytes."""

import errno
import mmap
import struct
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from tortie.kernel._bpf import ffi, lib
from tortie.kernel.bpf.calls import checked, text, walk

# Source: linux/bpf.h, enum bpf_map_type and the flags of BPF_MAP_CREATE and BPF_MAP_UPDATE_ELEM.
HASH, ARRAY, PROG_ARRAY, PERCPU_HASH, PERCPU_ARRAY, LRU_HASH, LPM_TRIE = 1, 2, 3, 5, 6, 9, 11
ARRAY_OF_MAPS, RINGBUF = 12, 27
NO_PREALLOC, MMAPABLE = 1 << 0, 1 << 10
ANY, NOEXIST, EXIST = 0, 1, 2


@dataclass(frozen=True, slots=True, kw_only=True)
class MapInfo:
    """What the kernel says about a map. Units: sizes in bytes."""

    type: int
    key_size: int
    value_size: int
    max_entries: int
    flags: int
    name: str
    id: int

    @property
    def is_per_cpu(self) -> bool:
        """Whether an element has one value for each CPU."""
        return self.type in (PERCPU_HASH, PERCPU_ARRAY, 10)

    @property
    def stride(self) -> int:
        """Bytes that a look-up of one element writes: all CPUs' values, each rounded up to 8 bytes."""
        return _rounded(self.value_size) * possible_cpus() if self.is_per_cpu else self.value_size


def _rounded(size: int) -> int:
    return (size + 7) // 8 * 8


def possible_cpus() -> int:
    """CPUs for which a per-CPU map has values; those that are switched off count."""
    return checked(lib.libbpf_num_possible_cpus(), "count CPUs")


def create_map(map_type: int, name: str, *, key_size: int, value_size: int, max_entries: int, flags: int = 0) -> int:
    """Descriptor of a new map, which the caller closes."""
    made = lib.tortie_map_create(map_type, name.encode(), key_size, value_size, max_entries, flags, -1)
    return checked(made, f"create map {name}")


def create_map_of_maps(name: str, *, max_entries: int, like: int) -> int:
    """Descriptor of a new array whose elements are maps, or nothing; the caller closes it.

    Those maps are arrays like the one that `like` describes: with the same sizes, flags and number of elements. An
    update of an element returns when no program can be using the map that was there before (Linux waits for RCU).
    """
    made = lib.tortie_map_create(ARRAY_OF_MAPS, name.encode(), 4, 4, max_entries, 0, like)
    return checked(made, f"create map {name}")


def map_ids() -> Iterator[int]:
    """Ids of all maps in the kernel, those of other network namespaces too."""
    return walk(lib.bpf_map_get_next_id, "maps")


def map_by_id(map_id: int) -> int:
    """Descriptor of a map in the kernel, which the caller closes."""
    return checked(lib.bpf_map_get_fd_by_id(map_id), f"map id {map_id}")


def map_info(fd: int) -> MapInfo:
    """What the kernel says about a map."""
    out = ffi.new("struct tortie_map_info *")
    checked(lib.tortie_map_info(fd, out), f"map descriptor {fd}")
    return MapInfo(
        type=out.type,
        key_size=out.key_size,
        value_size=out.value_size,
        max_entries=out.max_entries,
        flags=out.flags,
        name=text(out.name),
        id=out.id,
    )


def update(fd: int, key: bytes, value: bytes, flags: int = ANY) -> None:
    """Write one element. The caller gives keys and values of the map's sizes: the kernel reads that many bytes."""
    result = lib.bpf_map_update_elem(fd, key, value, flags)
    if result < 0:
        checked(result, f"update {_element(fd, key)}", _FULL if -result in (errno.E2BIG, errno.ENOSPC) else "")


_FULL = "the map is full"


def update_batch(fd: int, keys: bytes, values: bytes, count: int) -> None:
    """Write many elements: keys one after another, values likewise."""
    checked(lib.tortie_map_update_batch(fd, keys, values, count), f"update {count} elements of {_named(fd)}")


_ENOTSUPP = 524
"""What Linux says of a kind of map that takes no batches; libc has no name for it."""


def update_all(fd: int, keys: Sequence[bytes], values: Sequence[bytes]) -> None:
    """Write these elements, in one call where that kind of map takes it: of an array of maps, Linux then waits once."""
    if len(keys) > 1:
        result = lib.tortie_map_update_batch(fd, b"".join(keys), b"".join(values), len(keys))
        if result not in (-_ENOTSUPP, -errno.EINVAL):
            checked(result, f"update {len(keys)} elements of {_named(fd)}")
            return
    for key, value in zip(keys, values, strict=True):
        update(fd, key, value)


def read_batches(fd: int, size: int = 4096) -> Iterator[tuple[memoryview, memoryview, int]]:
    """The elements of a hash map, as (keys, values, how many) of up to `size` at a time.

    The memory is used again for the next batch. Elements that come or go meanwhile may be missed or seen twice.
    Source: BPF_MAP_LOOKUP_BATCH, Linux 5.6.
    """
    info = map_info(fd)
    if info.type not in (HASH, LRU_HASH):
        raise ValueError(f"map {info.name} is no hash map")
    keys, values = bytearray(size * info.key_size), bytearray(size * info.value_size)
    cursor = ffi.new("uint32_t[]", 1)
    while cursor[0] != _END:
        count = lib.tortie_map_read_batch(fd, cursor, ffi.from_buffer(keys), ffi.from_buffer(values), size)
        checked(count, f"read map {info.name}")
        if count:
            yield memoryview(keys)[: count * info.key_size], memoryview(values)[: count * info.value_size], count


_END = 0xFFFFFFFF


def delete_keys(fd: int, keys: bytes, key_size: int) -> int:
    """Delete these elements, keys one after another; how many of them were there."""
    return checked(lib.tortie_map_delete_keys(fd, keys, key_size, len(keys) // key_size), f"delete of {_named(fd)}")


def set_program(fd: int, index: int, program_fd: int) -> None:
    """Put a program into a slot of a program array: from the next packet on, tail calls go there."""
    update(fd, struct.pack("=I", index), struct.pack("=i", program_fd))


def lookup(fd: int, key: bytes, value_size: int) -> bytes | None:
    """An element's value, None where there is no such key."""
    out = ffi.new("char[]", value_size)
    result = lib.bpf_map_lookup_elem(fd, key, out)
    if result == -errno.ENOENT:
        return None
    if result < 0:
        checked(result, f"look up {_element(fd, key)}")
    return bytes(ffi.buffer(out, value_size))


def lookup_percpu(fd: int, key: bytes, value_size: int) -> list[bytes] | None:
    """An element's value on each possible CPU, None where there is no such key."""
    stride = _rounded(value_size)
    whole = lookup(fd, key, stride * possible_cpus())
    if whole is None:
        return None
    return [whole[start : start + value_size] for start in range(0, len(whole), stride)]


def delete(fd: int, key: bytes) -> bool:
    """Whether there was such an element; now there is none."""
    result = lib.bpf_map_delete_elem(fd, key)
    if result == -errno.ENOENT:
        return False
    if result < 0:
        checked(result, f"delete {_element(fd, key)}")
    return True


def keys(fd: int) -> Iterator[bytes]:
    """All keys. Keys that come or go meanwhile may be missed or seen twice, but the walk ends."""
    size, limit = (found := map_info(fd)).key_size, found.max_entries
    previous, out = ffi.NULL, ffi.new("char[]", size)
    for _ in range(limit):
        result = lib.bpf_map_get_next_key(fd, previous, out)
        if result == -errno.ENOENT:
            return
        checked(result, f"walk {found.name}")
        yield bytes(ffi.buffer(out, size))
        previous, out = out, ffi.new("char[]", size)


def read_array(fd: int, count: int | None = None) -> bytes:
    """The first `count` elements of an array, all where None. Shape: `count * map_info(fd).stride` bytes."""
    info = map_info(fd)
    entries = info.max_entries if count is None else count
    _within(entries, info)
    out = bytearray(entries * info.stride)
    if entries:
        checked(lib.tortie_array_read(fd, entries, info.stride, ffi.from_buffer(out)), f"read map {info.name}")
    return bytes(out)


def sum_counters(fd: int, count: int | None = None) -> memoryview:
    """Each element of a per-CPU array of 64-bit counters, added up over the CPUs. Shape: `count` unsigned integers."""
    info = map_info(fd)
    if info.type != PERCPU_ARRAY or info.value_size != 8:
        raise ValueError(f"map {info.name} is no per-CPU array of 64-bit counters")
    entries = info.max_entries if count is None else count
    _within(entries, info)
    out = ffi.new("uint64_t[]", entries)
    checked(lib.tortie_counters_sum(fd, entries, out), f"read map {info.name}")
    return memoryview(ffi.buffer(out)).cast("B").cast("Q")


def _within(entries: int, info: MapInfo) -> None:
    """The extension writes as many elements as it is told: a wrong count or type must not get there."""
    if info.type not in (ARRAY, PERCPU_ARRAY) or not 0 <= entries <= info.max_entries:
        raise ValueError(f"map {info.name} is no array of at least {entries} elements")


def map_view(fd: int, size: int, *, is_writable: bool = True) -> mmap.mmap:
    """The memory of a BPF_F_MMAPABLE array: what is stored there the next packet sees. Units: size in bytes.

    Elements lie `value_size` rounded up to 8 apart. Closing the view leaves the map as it is.
    """
    try:
        return mmap.mmap(fd, size, mmap.MAP_SHARED, mmap.PROT_READ | (mmap.PROT_WRITE if is_writable else 0))
    except OSError as error:
        checked(-(error.errno or errno.EIO), f"map the memory of {_named(fd)}", "it must be BPF_F_MMAPABLE, not frozen")
        raise


def freeze(fd: int) -> None:
    """Let nobody in user space write the map any more; no writable view of it may be open."""
    checked(lib.bpf_map_freeze(fd), f"freeze {_named(fd)}")


def _named(fd: int) -> str:
    out = ffi.new("struct tortie_map_info *")
    return f"map {text(out.name)}" if lib.tortie_map_info(fd, out) == 0 else f"map descriptor {fd}"


def _element(fd: int, key: bytes) -> str:
    return f"element {key.hex()} of {_named(fd)}"
