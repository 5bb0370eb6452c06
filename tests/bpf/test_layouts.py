"""What C and Python both know of the programs' numbers and records is the same, by the objects' BTF."""

import re
from collections.abc import Iterator
from pathlib import Path
from struct import unpack_from

import pytest

from tortie.dataplane.ebpf.classifiers import REASON_BASE, REASONS
from tortie.dataplane.ebpf.compile import BACKENDS, TABLES
from tortie.dataplane.ebpf.counters import CHUNK_WORDS, HEAD_WORDS, LANE_BYTES
from tortie.dataplane.ebpf.events import decode
from tortie.dataplane.ebpf.failsafes import NET_BYTES, failsafe_tables
from tortie.dataplane.ebpf.flows import _BROADCAST, _UNICAST, ANSWERED, OPENER, OUTBOUND
from tortie.dataplane.ebpf.generation import Rejects
from tortie.dataplane.ebpf.pages import OBJECTS, PAGE
from tortie.dataplane.ebpf.shared import DOORS, FRONT, LIMIT_MAPS, SHARED_MAPS
from tortie.kernel import bpf
from tortie.model.address import Net
from tortie.model.conntrack import FlowState
from tortie.model.failsafe import FailsafePort, Failsafes
from tortie.model.packet import ICMP, TCP, UDP, Fragment
from tortie.model.verdict import Reason

pytestmark = pytest.mark.root


@pytest.fixture(params=DOORS)
def opened(request: pytest.FixtureRequest) -> Iterator[bpf.ObjectFile]:
    with bpf.ObjectFile(OBJECTS / f"{request.param}.bpf.o") as found:
        yield found


def test_reasons_have_one_number_everywhere(opened: bpf.ObjectFile) -> None:
    in_programs = opened.enum("reason")
    assert in_programs.pop("REASON_BASE") == REASON_BASE
    assert in_programs == {f"REASON_{reason.name}": number for reason, number in REASONS.items()}
    # what no program counts: a rule decided, or there was none to ask
    by_rule = {Reason.POLICY, Reason.TIER_END, Reason.PROFILE, Reason.NO_PROFILE, Reason.DEFAULT_DENY}
    assert set(Reason) - set(REASONS) == by_rule | {Reason.NO_ENDPOINT, Reason.TO_HOST, Reason.UNKNOWN_WORKLOAD}
    assert {reason.value for reason in Reason} == {reason.name.lower() for reason in Reason}


def test_back_ends_have_one_number_everywhere(opened: bpf.ObjectFile) -> None:
    numbers = {f"BACKEND_{name.upper()}": number for name, number in BACKENDS.items() if name != "auto"}
    assert opened.enum("backend") == numbers


def test_the_ways_of_answers_and_kinds_of_addresses_have_one_number_everywhere(opened: bpf.ObjectFile) -> None:
    names = {Rejects.NOT: "REJECTS_NOT", Rejects.YES: "REJECTS", Rejects.THROUGH_TC: "REJECTS_THROUGH_TC"}
    assert opened.enum("rejects") == {names[one]: one for one in Rejects}
    kinds = {"LOCAL_UNICAST": _UNICAST, "LOCAL_BROADCAST": _BROADCAST}
    assert opened.enum("local_kind") == {name: int.from_bytes(value, "little") for name, value in kinds.items()}


@pytest.mark.parametrize("door", DOORS[1:])
def test_all_doors_have_the_same_records_and_maps(door: str) -> None:
    with bpf.ObjectFile(OBJECTS / "xdp.bpf.o") as xdp, bpf.ObjectFile(OBJECTS / f"{door}.bpf.o") as other:
        for struct in ("config", "log_event", "fragment_key", "failsafe_net", "bucket4", "bucket6", "scratch", "flow"):
            assert xdp.layout(struct) == other.layout(struct)
        for name in (*SHARED_MAPS, *LIMIT_MAPS, "scratch", "lanes"):
            assert xdp.value_size(name) == other.value_size(name)


def test_xdp_in_front_reads_the_same_records() -> None:
    with bpf.ObjectFile(OBJECTS / "xdp.bpf.o") as xdp, bpf.ObjectFile(OBJECTS / f"{FRONT}.bpf.o") as front:
        for struct in ("config", "log_event", "failsafe_net", "bucket4", "bucket6", "scratch"):
            assert xdp.layout(struct) == front.layout(struct)
        assert xdp.enum("reason") == front.enum("reason")
        for name in ("scratch", "lanes", "lane_counts", "counts"):
            assert xdp.value_size(name) == front.value_size(name)


def test_a_root_tells_its_lane_to_the_programs_of_every_version(opened: bpf.ObjectFile) -> None:
    assert opened.layout("scratch")["lane"] == (0, 4)
    assert opened.value_size("scratch") == 512


def test_a_generation_says_where_each_table_is_in_the_words_of_its_compiler(opened: bpf.ObjectFile) -> None:
    fields = opened.layout("config")
    for stage in ("untracked", "normal"):
        start = f"{stage}.at."
        assert [name.removeprefix(start) for name in fields if name.startswith(start)] == list(TABLES)
    assert opened.size_of("config") <= PAGE
    assert opened.size_of("lane_counts") == LANE_BYTES
    lanes = (Path(__file__).parents[2] / "bpf/include/tortie/lanes.h").read_text()
    assert re.findall(r"#define CHUNK_(?:SHIFT|HEAD) +([0-9]+)", lanes) == [
        str(CHUNK_WORDS.bit_length() - 1),
        str(HEAD_WORDS),
    ]
    assert [PAGE % opened.size_of(each) for each in ("bucket4", "bucket6", "block", "failsafe_net")] == [0] * 4


def test_flows_are_records_of_the_program(opened: bpf.ObjectFile) -> None:
    words = ("seen", "ifindex", "state", "flags", "next", "acked")
    assert [opened.layout("flow")[name][0] for name in words] == [0, 4, 8, 12, 16, 24]
    assert opened.size_of("flow") == 32 and opened.size_of("local_key") == 20
    assert [opened.layout("flow_key4")[n] for n in ("a", "b", "a_port", "b_port", "protocol")] == [
        *((0, 4), (4, 4), (8, 2), (10, 2), (12, 4))
    ]
    assert [opened.layout("flow_key6")[n] for n in ("a", "b", "a_port", "b_port", "protocol")] == [
        *((0, 16), (16, 16), (32, 2), (34, 2), (36, 4))
    ]
    states = {f"FLOW_{state.name}": state.value for state in FlowState}
    assert opened.enum("flow_state") == states
    flags = opened.enum("flow_flag")
    assert (flags["FLOW_OPENER"], flags["FLOW_OUTBOUND"], flags["FLOW_ANSWERED"]) == (OPENER, OUTBOUND, ANSWERED)


def test_failsafe_nets_are_records_of_the_program(opened: bpf.ObjectFile) -> None:
    layout = opened.layout("failsafe_net")
    nets = (Net(4, 0x0A010000, 16), Net(6, 0xFD01 << 112, 17), Net(6, 0, 0))
    ports, records = failsafe_tables(
        Failsafes(tuple(FailsafePort(UDP, 100 + n, net) for n, net in enumerate(nets)), ())
    )
    size = opened.size_of("failsafe_net")
    assert len(records) == 3 * size == 3 * NET_BYTES

    def field(number: int, name: str) -> tuple[int, ...]:
        offset, length = layout[name]
        return unpack_from(f"<{length // 4}I", records, number * size + offset)

    (block,) = unpack_from("<H", ports, 2 * 256)  # the second row is UDP's; six rows of numbers are before the blocks
    lists = ports[2 * 6 * 256 + 256 * block + 100 :][:3]
    assert [field(n, "list") for n in range(3)] == [(one,) for one in lists] == [(2,), (3,), (4,)]
    assert [field(n, "version") for n in range(3)] == [(4,), (6,), (6,)]
    assert [field(n, "net") for n in range(3)] == [(0x0A010000, 0, 0, 0), (0xFD010000, 0, 0, 0), (0, 0, 0, 0)]
    full = 0xFFFF0000
    assert [field(n, "mask") for n in range(3)] == [(full, 0, 0, 0), (full | 0x8000, 0, 0, 0), (0, 0, 0, 0)]


@pytest.mark.parametrize(
    ("version", "protocol", "fragment", "dport"),
    [
        (4, TCP, Fragment.WHOLE, 80),
        (6, UDP, Fragment.FIRST, 53),
        (6, TCP, Fragment.LATER, 0),
        (4, ICMP, Fragment.WHOLE, 0x0301),
    ],
)
def test_log_events_are_decoded_by_the_programs_layout(
    opened: bpf.ObjectFile, version: int, protocol: int, fragment: Fragment, dport: int
) -> None:
    layout, record = opened.layout("log_event"), bytearray(opened.size_of("log_event"))

    def write(name: str, *words: int) -> None:
        offset, size = layout[name]
        data = b"".join(word.to_bytes(4, "little") for word in words)
        assert len(data) <= size
        record[offset : offset + len(data)] = data

    write("packet.source", 1, 2, 3, 4)
    write("packet.destination", 5, 6, 7, 8)
    write("packet.version", version)
    write("packet.protocol", protocol)
    write("packet.fragment", opened.enum("fragment")[fragment.name])
    write("packet.sport", 40000)
    write("packet.dport", dport)
    write("result", 77)
    write("generation", 78)
    write("lane", 79)
    packet, *where = decode(bytes(record))
    assert where == [77, 78, 79]
    assert (packet.version, packet.protocol, packet.fragment) == (version, protocol, fragment)
    source, destination = (
        (1, 5) if version == 4 else ((1 << 96) + (2 << 64) + (3 << 32) + 4, (5 << 96) + (6 << 64) + (7 << 32) + 8)
    )
    assert (packet.source, packet.destination) == (source, destination)
    has_ports = protocol != ICMP and fragment is not Fragment.LATER
    assert (packet.source_port, packet.destination_port) == ((40000, dport) if has_ports else (None, None))
    assert (packet.icmp_type, packet.icmp_code) == ((3, 1) if protocol == ICMP else (None, None))
