import select
import struct
from pathlib import Path

import pytest

from netns import Namespace
from tortie.kernel import bpf
from tortie.kernel.errors import KernelError

pytestmark = pytest.mark.root
PACKET = bytes(range(64))
METADATA = struct.pack("=I", 0x70727274)


def test_program_information_is_the_kernels(loaded: bpf.ObjectFile) -> None:
    found = bpf.program_info(loaded.program_fd("switchable"))
    assert (found.name, found.type) == ("switchable", bpf.XDP)
    # libbpf binds the object's constants to each program, whether it reads them or not.
    assert set(found.map_ids) - {bpf.map_info(loaded.map_fd(name)).id for name in (".rodata", ".bss")} == {
        bpf.map_info(loaded.map_fd("table")).id
    }
    assert len(found.tag) == 16
    assert found.instructions > 5
    assert found.verified_instructions is not None
    with bpf.borrowed(bpf.program_by_id(found.id)) as fd:
        assert bpf.program_info(fd) == found


def test_an_unknown_program_id_is_named() -> None:
    with pytest.raises(KernelError, match=r"program id 4000000000: ENOENT"):
        bpf.program_by_id(4000000000)


def test_a_run_answers_verdict_packet_and_duration(loaded: bpf.ObjectFile) -> None:
    found = bpf.test_run(loaded.program_fd("drop"), PACKET, repeat=10000)
    assert (found.retval, found.data_out) == (1, PACKET)
    assert 0 < found.duration_ns < 10000


def test_metadata_stands_in_front_of_the_packet_and_in_the_context(loaded: bpf.ObjectFile) -> None:
    context = struct.pack("=6I", 0, len(PACKET), 0, 1, 0, 0)
    found = bpf.test_run(loaded.program_fd("annotate"), PACKET, ctx=context)
    assert (found.retval, found.data_out) == (2, METADATA + PACKET)
    data, data_end, data_meta, ifindex, *_ = struct.unpack("=6I", found.ctx_out)
    assert (data, data_end, data_meta, ifindex) == (4, 4 + len(PACKET), 0, 1)


def test_a_tc_program_sees_the_mark_that_it_is_given(loaded: bpf.ObjectFile) -> None:
    context = struct.pack("=3I", 0, 0, 17) + bytes(180)
    found = bpf.test_run(loaded.program_fd("mark"), PACKET, ctx=context)
    assert found.retval == 17
    assert struct.unpack_from("=3I", found.ctx_out)[2] == 99


def test_a_packet_too_short_for_ethernet_or_room_too_small_is_an_error(loaded: bpf.ObjectFile) -> None:
    with pytest.raises(KernelError, match=r"on 13 bytes: EINVAL"):
        bpf.test_run(loaded.program_fd("drop"), bytes(13))
    with pytest.raises(KernelError, match=r"ENOSPC"):
        bpf.test_run(loaded.program_fd("drop"), PACKET, size_out=10)


def test_live_frames_run_as_often_as_asked(loaded: bpf.ObjectFile, pair: tuple[Namespace, Namespace]) -> None:
    host, _ = pair
    with host.entered():
        context = struct.pack("=6I", 0, len(PACKET), 0, host.ifindex, 0, 0)
        counted = loaded.program_fd("count")
        bpf.set_program(loaded.map_fd("stages"), 1, loaded.program_fd("drop"))
        found = bpf.test_run(counted, PACKET, repeat=256, ctx=context, flags=bpf.LIVE_FRAMES, batch_size=64)
    assert found.data_out == b""
    assert bpf.sum_counters(loaded.map_fd("counts"))[2] == 256


def test_ring_buffer_events_come_in_order_and_at_most_as_many_as_asked(loaded: bpf.ObjectFile) -> None:
    with bpf.RingBuffer(loaded.map_fd("events")) as ring:
        assert ring.consume() == []
        assert select.select([ring.fd], [], [], 0) == ([], [], [])
        for size in range(20, 30):
            bpf.test_run(loaded.program_fd("tell"), bytes(size))
        assert select.select([ring.fd], [], [], 1)[0] == [ring.fd]
        assert ring.consume(3) == [struct.pack("=II", 0xABCD, size) for size in (20, 21, 22)]
        assert ring.consume(100) == [struct.pack("=II", 0xABCD, size) for size in range(23, 30)]
        assert ring.consume() == []


def test_a_ring_buffer_that_was_full_goes_on_after_it_is_drained(loaded: bpf.ObjectFile) -> None:
    tell = loaded.program_fd("tell")
    with bpf.RingBuffer(loaded.map_fd("events")) as ring:
        assert bpf.test_run(tell, PACKET, repeat=65536 // 16 + 10).retval == 1
        assert len(ring.consume(100_000)) == 65536 // 16 - 1
        assert bpf.test_run(tell, PACKET).retval == 2
        assert len(ring.consume()) == 1


def test_only_ring_buffers_can_be_read_as_such(loaded: bpf.ObjectFile) -> None:
    with pytest.raises(KernelError, match=r"read ring buffer"):
        bpf.RingBuffer(loaded.map_fd("names"))


def test_a_closed_ring_buffer_leaves_no_descriptor(loaded: bpf.ObjectFile) -> None:
    before = len(list(Path("/proc/self/fd").iterdir()))
    ring = bpf.RingBuffer(loaded.map_fd("events"))
    ring.close()
    assert len(list(Path("/proc/self/fd").iterdir())) == before
    with pytest.raises(ValueError, match=r"closed"):
        ring.consume()
