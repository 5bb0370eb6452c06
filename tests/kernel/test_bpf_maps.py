import os
import struct
from pathlib import Path

import pytest

from tortie.kernel import bpf
from tortie.kernel.errors import KernelError

pytestmark = pytest.mark.root
PACKET = bytes(64)


def u32(number: int) -> bytes:
    return struct.pack("=I", number)


def test_map_information_is_the_kernels(loaded: bpf.ObjectFile) -> None:
    found = bpf.map_info(loaded.map_fd("table"))
    assert (found.type, found.key_size, found.value_size, found.max_entries) == (bpf.ARRAY, 4, 8, 4)
    assert (found.flags, found.name) == (bpf.MMAPABLE, "table")
    with bpf.borrowed(bpf.map_by_id(found.id)) as again:
        assert bpf.map_info(again) == found


def test_elements_are_written_read_walked_and_deleted(loaded: bpf.ObjectFile) -> None:
    names = loaded.map_fd("names")
    assert bpf.lookup(names, u32(1), 4) is None
    for number in (1, 2, 3):
        bpf.update(names, u32(number), u32(number * 10))
    assert bpf.lookup(names, u32(2), 4) == u32(20)
    assert sorted(bpf.keys(names)) == [u32(1), u32(2), u32(3)]
    assert bpf.delete(names, u32(2)) is True
    assert bpf.delete(names, u32(2)) is False
    assert sorted(bpf.keys(names)) == [u32(1), u32(3)]


def test_a_full_map_says_so_and_flags_are_kept(loaded: bpf.ObjectFile) -> None:
    names = loaded.map_fd("names")
    bpf.update_batch(names, u32(1) + u32(2) + u32(3), u32(1) * 3, 3)
    with pytest.raises(KernelError, match=r"update element 04000000 of map names: E2BIG .*full"):
        bpf.update(names, u32(4), u32(4))
    with pytest.raises(KernelError, match=r"EEXIST"):
        bpf.update(names, u32(1), u32(9), bpf.NOEXIST)
    assert bpf.lookup(names, u32(1), 4) == u32(1)


def test_a_per_cpu_element_has_a_value_for_each_cpu(loaded: bpf.ObjectFile) -> None:
    fd, cpus = loaded.map_fd("percpu_names"), bpf.possible_cpus()
    values = [u32(100 + cpu) for cpu in range(cpus)]
    bpf.update(fd, u32(7), b"".join(value + bytes(4) for value in values))
    assert bpf.lookup_percpu(fd, u32(7), 4) == values
    assert bpf.lookup_percpu(fd, u32(8), 4) is None


def test_counters_are_exact_over_cpus_and_arrays_are_read_whole(loaded: bpf.ObjectFile) -> None:
    fd, cpus = loaded.map_fd("counts"), bpf.possible_cpus()
    bpf.update(fd, u32(4), b"".join(struct.pack("=Q", 2**40 + cpu) for cpu in range(cpus)))
    bpf.test_run(loaded.program_fd("count"), PACKET, repeat=1000)
    assert list(bpf.sum_counters(fd)) == [0, 0, 1000, 0, cpus * 2**40 + sum(range(cpus))]
    assert list(bpf.sum_counters(fd, 3)) == [0, 0, 1000]
    whole = memoryview(bpf.read_array(fd)).cast("Q")
    assert len(whole) == 5 * cpus
    assert sum(whole[2 * cpus : 3 * cpus]) == 1000


def test_a_view_is_the_maps_memory(loaded: bpf.ObjectFile) -> None:
    fd = loaded.map_fd("table")
    assert bpf.test_run(loaded.program_fd("switchable"), PACKET).retval == 2
    with bpf.map_view(fd, 4 * 8) as view:
        view[0:8] = struct.pack("=Q", 1)
    assert bpf.test_run(loaded.program_fd("switchable"), PACKET).retval == 1
    assert bpf.read_array(fd, 2) == struct.pack("=QQ", 1, 0)


def test_only_arrays_made_for_it_have_a_view(loaded: bpf.ObjectFile) -> None:
    with pytest.raises(KernelError, match=r"map the memory of map names.*BPF_F_MMAPABLE"):
        bpf.map_view(loaded.map_fd("names"), 4096)


def test_reading_more_than_there_is_or_another_kind_of_map_is_refused(loaded: bpf.ObjectFile) -> None:
    with pytest.raises(ValueError, match=r"map counts is no array of at least 6"):
        bpf.sum_counters(loaded.map_fd("counts"), 6)
    with pytest.raises(ValueError, match=r"map names is no array"):
        bpf.read_array(loaded.map_fd("names"))
    with pytest.raises(ValueError, match=r"map table is no per-CPU array"):
        bpf.sum_counters(loaded.map_fd("table"))


def test_a_program_in_a_slot_is_what_a_tail_call_runs(loaded: bpf.ObjectFile) -> None:
    chain = loaded.program_fd("chain")
    assert bpf.test_run(chain, PACKET).retval == 0
    bpf.set_program(loaded.map_fd("stages"), 1, loaded.program_fd("drop"))
    assert bpf.test_run(chain, PACKET).retval == 1
    bpf.delete(loaded.map_fd("stages"), u32(1))
    assert bpf.test_run(chain, PACKET).retval == 0


def test_a_frozen_map_takes_no_more_writes() -> None:
    made = bpf.create_map(bpf.ARRAY, "tortie_test", key_size=4, value_size=4, max_entries=2)
    with bpf.borrowed(made) as fd:
        bpf.update(fd, u32(0), u32(5))
        bpf.freeze(fd)
        with pytest.raises(KernelError, match=r"update element .* of map tortie_test: EPERM"):
            bpf.update(fd, u32(0), u32(6))
        assert bpf.lookup(fd, u32(0), 4) == u32(5)


def test_a_pin_keeps_a_map_without_a_descriptor(bpffs: Path) -> None:
    with bpf.borrowed(bpf.create_map(bpf.HASH, "kept", key_size=4, value_size=4, max_entries=2)) as fd:
        bpf.update(fd, u32(1), u32(2))
        bpf.pin(fd, bpffs / "kept")
        with pytest.raises(KernelError, match=r"pin .*kept: EEXIST"):
            bpf.pin(fd, bpffs / "kept")
    with bpf.borrowed(bpf.open_pin(bpffs / "kept")) as again:
        assert bpf.lookup(again, u32(1), 4) == u32(2)
    (bpffs / "kept").unlink()
    with pytest.raises(KernelError, match=r"open pin .*kept: ENOENT"):
        bpf.open_pin(bpffs / "kept")


def test_a_bpffs_is_mounted_once_and_recognised(bpffs: Path, tmp_path: Path) -> None:
    bpf.mount_bpffs(bpffs)
    mounts = [line for line in Path("/proc/mounts").read_text().splitlines() if f" {bpffs} " in line]
    assert len(mounts) == 1
    assert bpf.is_bpffs(bpffs)
    assert not bpf.is_bpffs(tmp_path)
    assert not bpf.is_bpffs(tmp_path / "nothing")
    assert bpffs.stat().st_mode & 0o777 == 0o700


def test_pinning_outside_a_bpffs_says_what_to_do(tmp_path: Path, loaded: bpf.ObjectFile) -> None:
    with pytest.raises(KernelError, match=r"mount one there"):
        bpf.pin(loaded.map_fd("table"), tmp_path / "pin")


def test_an_array_of_maps_takes_several_at_once_and_only_those_like_its_first() -> None:
    def array(entries: int) -> int:
        return bpf.create_map(bpf.ARRAY, "inner", key_size=4, value_size=64, max_entries=entries, flags=bpf.MMAPABLE)

    made = [array(4) for _ in range(3)]
    outer = bpf.create_map_of_maps("outer", max_entries=4, like=made[0])
    ids = [bpf.map_info(fd).id for fd in made]
    try:
        assert bpf.map_info(outer).type == bpf.ARRAY_OF_MAPS
        bpf.update_all(outer, [u32(2), u32(0), u32(3)], [u32(fd) for fd in made])
        assert [bpf.lookup(outer, u32(at), 4) for at in range(4)] == [u32(ids[1]), None, u32(ids[0]), u32(ids[2])]
        assert bpf.delete(outer, u32(2)) is True
        assert bpf.delete(outer, u32(2)) is False
        made.append(array(5))
        with pytest.raises(KernelError, match="EINVAL"):
            bpf.update(outer, u32(1), u32(made[-1]))
    finally:
        for fd in (*made, outer):
            os.close(fd)


def test_a_view_to_look_at_needs_no_right_to_write(loaded: bpf.ObjectFile) -> None:
    table = loaded.map_fd("table")
    bpf.update(table, u32(1), bytes([7] * 8))
    bpf.freeze(table)
    with pytest.raises(KernelError, match="EPERM"):
        bpf.map_view(table, 32)
    with bpf.map_view(table, 32, is_writable=False) as view:
        assert view[8:16] == bytes([7] * 8)
