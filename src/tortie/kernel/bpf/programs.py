"""Programs by descriptor: what the kernel knows about them, and running one on a packet of our own."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from tortie.kernel._bpf import ffi, lib
from tortie.kernel.bpf.calls import checked, text, walk

# Source: linux/bpf.h, enum bpf_prog_type; BPF_F_TEST_XDP_LIVE_FRAMES.
SCHED_CLS, XDP = 3, 6
LIVE_FRAMES = 1 << 1


@dataclass(frozen=True, slots=True, kw_only=True)
class ProgramInfo:
    """What the kernel says about a program. `verified_instructions` is None before Linux 5.16."""

    id: int
    name: str
    tag: str
    type: int
    map_ids: tuple[int, ...]
    instructions: int
    verified_instructions: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class TestRun:
    """What a program did to one packet. XDP metadata stands in front of the packet in `data_out`.

    Units: `duration_ns` is the kernel's average over the repetitions.
    """

    # Not a test case, whatever its name looks like to pytest.
    __test__ = False

    retval: int
    duration_ns: int
    data_out: bytes
    ctx_out: bytes


def program_info(fd: int) -> ProgramInfo:
    """What the kernel says about a program."""
    out = ffi.new("struct tortie_program_info *")
    capacity = 64
    while True:
        ids = ffi.new("uint32_t[]", capacity)
        checked(lib.tortie_program_info(fd, out, ids, capacity), f"program descriptor {fd}")
        if out.map_count <= capacity:
            break
        capacity = out.map_count
    return ProgramInfo(
        id=out.id,
        name=text(out.name),
        tag=bytes(ffi.buffer(out.tag, 8)).hex(),
        type=out.type,
        map_ids=tuple(ids[index] for index in range(out.map_count)),
        instructions=out.instructions,
        verified_instructions=out.verified_instructions or None,
    )


def program_ids() -> Iterator[int]:
    """Ids of all programs in the kernel, those of other network namespaces too."""
    return walk(lib.bpf_prog_get_next_id, "programs")


def program_by_id(program_id: int) -> int:
    """Descriptor of a program in the kernel, which the caller closes."""
    return checked(lib.bpf_prog_get_fd_by_id(program_id), f"program id {program_id}")


@contextmanager
def borrowed(fd: int) -> Iterator[int]:
    """A descriptor that is closed at the end of the block."""
    try:
        yield fd
    finally:
        os.close(fd)


def test_run(
    fd: int,
    data: bytes,
    *,
    repeat: int = 1,
    ctx: bytes = b"",
    size_out: int | None = None,
    flags: int = 0,
    batch_size: int = 0,
) -> TestRun:
    """Run a program on `data`, `repeat` times.

    `ctx` is a struct xdp_md or __sk_buff; for XDP its data_end counts `data`, and its data_meta says how much of the
    front of `data` is metadata. With LIVE_FRAMES the packets really go where the program sends them, and nothing
    comes back. Raises: KernelError EINVAL for fewer than 14 bytes; ENOSPC if `size_out` was too small.
    """
    is_live = bool(flags & LIVE_FRAMES)
    room = 0 if is_live else len(data) + 512 if size_out is None else size_out
    out = ffi.new("char[]", max(room, 1))
    # XDP and tc contexts are below 256 bytes; the kernel copies what it has.
    ctx_room = 0 if is_live or not ctx else max(len(ctx), 256)
    ctx_out = ffi.new("char[]", max(ctx_room, 1))
    data_in, ctx_in = ffi.from_buffer(data), ffi.from_buffer(ctx)
    run = ffi.new("struct tortie_run *")
    run.data_in, run.data_in_size = data_in, len(data)
    run.repeat, run.flags, run.batch_size = repeat, flags, batch_size
    if room:
        run.data_out, run.data_out_size = out, room
    if ctx:
        run.ctx_in, run.ctx_in_size = ctx_in, len(ctx)
    if ctx_room:
        run.ctx_out, run.ctx_out_size = ctx_out, ctx_room
    result = lib.tortie_run(fd, run)
    if result < 0:
        checked(result, f"run program descriptor {fd} on {len(data)} bytes")
    return TestRun(
        retval=run.retval,
        duration_ns=run.duration_ns,
        data_out=bytes(ffi.buffer(out, run.data_out_size)) if room else b"",
        ctx_out=bytes(ffi.buffer(ctx_out, run.ctx_out_size)) if ctx_room else b"",
    )
