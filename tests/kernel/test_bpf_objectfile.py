import struct
from pathlib import Path

import pytest

from tortie.kernel import bpf
from tortie.kernel.bpf.objectfile import explain
from tortie.kernel.errors import KernelError

pytestmark = pytest.mark.root
PACKET = bytes(64)


def test_a_layout_has_nested_and_anonymous_fields_by_dotted_name(opened: bpf.ObjectFile) -> None:
    assert opened.layout("shape") == {
        "kind": (0, 1),
        "corner": (2, 4),
        "corner.x": (2, 2),
        "corner.y": (4, 2),
        "radius": (8, 4),
        "width": (8, 2),
        "height": (10, 2),
        "words": (16, 24),
    }
    assert opened.size_of("shape") == 40


def test_an_enum_keeps_its_order_and_large_values(opened: bpf.ObjectFile) -> None:
    assert list(opened.enum("colour").items()) == [("RED", 0), ("GREEN", 7), ("BLUE", 4000000000)]


def test_a_type_that_the_object_has_not_is_an_error_that_names_it(opened: bpf.ObjectFile) -> None:
    with pytest.raises(KernelError, match=r"struct circle of fixture.bpf.o: ENOENT"):
        opened.layout("circle")
    with pytest.raises(KernelError, match=r"enum shape of fixture.bpf.o: ENOENT"):
        opened.enum("shape")


def test_a_struct_with_bit_fields_has_no_layout(opened: bpf.ObjectFile) -> None:
    with pytest.raises(KernelError, match=r"flags_with_bits .*ENOTSUP"):
        opened.layout("flags_with_bits")


def test_a_constant_written_before_loading_is_what_the_program_sees(opened: bpf.ObjectFile) -> None:
    assert opened.variable("answer")[1] == 4
    opened.write_rodata("answer", struct.pack("=I", 42))
    opened.load()
    assert bpf.test_run(opened.program_fd("constant"), PACKET).retval == 42


def test_a_constant_cannot_be_written_wrongly(opened: bpf.ObjectFile) -> None:
    with pytest.raises(ValueError, match=r"answer of fixture.bpf.o has 4 bytes, not 3"):
        opened.write_rodata("answer", b"123")
    with pytest.raises(ValueError, match=r"not_constant .* is in .bss: declare it const volatile"):
        opened.write_rodata("not_constant", b"1234")
    with pytest.raises(KernelError, match=r"variable question of fixture.bpf.o: ENOENT"):
        opened.write_rodata("question", b"1234")
    opened.load()
    with pytest.raises(ValueError, match=r"frozen"):
        opened.write_rodata("answer", b"1234")


def test_two_openings_of_one_file_keep_their_own_constants(fixture_object: Path) -> None:
    with bpf.ObjectFile(fixture_object) as one, bpf.ObjectFile(fixture_object) as two:
        one.write_rodata("answer", struct.pack("=I", 10))
        two.write_rodata("answer", struct.pack("=I", 20))
        one.load()
        two.load()
        assert bpf.test_run(one.program_fd("constant"), PACKET).retval == 10
        assert bpf.test_run(two.program_fd("constant"), PACKET).retval == 20


def test_the_verifiers_last_useful_line_is_the_errors_detail(opened: bpf.ObjectFile) -> None:
    opened.set_autoload("unchecked", True)
    with pytest.raises(KernelError) as caught:
        opened.load()
    cause, _, place = caught.value.detail.partition(" at: ")
    assert cause == "program unchecked: R0 invalid mem access 'map_value_or_null'"
    assert place.startswith("return *value;")
    assert caught.value.code == 13
    assert "BEGIN PROG LOAD LOG" in opened.log


def test_a_log_without_a_verifiers_report_is_explained_by_its_first_complaint() -> None:
    said = "libbpf: map 'x': failed to create: Invalid argument(-22)\nlibbpf: failed to load object 'y.o'"
    assert explain(said) == "map 'x': failed to create: Invalid argument(-22)"
    assert explain("") == ""


def test_a_missing_or_broken_file_is_an_error_that_names_it(tmp_path: Path) -> None:
    with pytest.raises(KernelError, match=r"open .*none.o: ENOENT .*reinstall"):
        bpf.ObjectFile(tmp_path / "none.o")
    broken = tmp_path / "broken.o"
    broken.write_bytes(b"\x7fELF" + bytes(60))
    with pytest.raises(KernelError, match=r"open .*broken.o: "):
        bpf.ObjectFile(broken)


def test_maps_are_sized_and_shared_before_loading(fixture_object: Path, loaded: bpf.ObjectFile) -> None:
    with bpf.ObjectFile(fixture_object) as second:
        second.set_max_entries("table", 9)
        second.reuse_map("counts", loaded.map_fd("counts"))
        second.load()
        assert bpf.map_info(second.map_fd("table")).max_entries == 9
        bpf.test_run(second.program_fd("count"), PACKET, repeat=3)
    assert bpf.sum_counters(loaded.map_fd("counts"))[2] == 3


def test_a_map_of_other_sizes_is_not_reused(fixture_object: Path, loaded: bpf.ObjectFile) -> None:
    with (
        bpf.ObjectFile(fixture_object) as second,
        pytest.raises(KernelError, match=r"reuse map names .* as table: EINVAL .*remove its pin"),
    ):
        second.reuse_map("table", loaded.map_fd("names"))


def test_a_program_that_is_not_chosen_is_not_loaded(opened: bpf.ObjectFile) -> None:
    opened.set_autoload("drop", False)
    opened.load()
    with pytest.raises(KernelError, match=r"program drop"):
        opened.program_fd("drop")
    assert opened.program_fd("count") > 0


def test_a_name_that_the_object_has_not_is_an_error_that_lists_what_it_has(opened: bpf.ObjectFile) -> None:
    with pytest.raises(KernelError, match=r"map nothing: ENOENT .*table"):
        opened.set_max_entries("nothing", 1)
    with pytest.raises(KernelError, match=r"program nothing: ENOENT .*constant"):
        opened.set_autoload("nothing", False)


def test_descriptors_exist_only_between_loading_and_closing(opened: bpf.ObjectFile) -> None:
    with pytest.raises(ValueError, match=r"not loaded yet"):
        opened.map_fd("table")
    opened.load()
    fd = opened.map_fd("table")
    opened.close()
    with pytest.raises(KernelError, match=r"EBADF"):
        bpf.map_info(fd)
    with pytest.raises(ValueError, match=r"closed"):
        opened.map_fd("table")


def test_program_flags_are_added(opened: bpf.ObjectFile) -> None:
    opened.set_program_flags("drop", bpf.XDP_HAS_FRAGS)
    opened.load()
    assert bpf.program_info(opened.program_fd("drop")).name == "drop"
