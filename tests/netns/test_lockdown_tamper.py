"""T-REL-6: what others break is right again within five seconds, and told; and what is theirs stays as it is."""

import os
import re
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from lockdown import (
    BPFFS,
    IS_SOAK,
    PATIENCE_S,
    AgentHost,
    agent_host,
    allow,
    connects,
    deny,
    endpoint,
    lane_of,
    network_set,
    pages_of,
    policy,
    tcp_server,
    until,
)
from tortie.dataplane.ebpf._tables import lib
from tortie.dataplane.ebpf.layout import meaning
from tortie.dataplane.ebpf.pages import OBJECTS, PAGE, SPARE_SIZES
from tortie.kernel import bpf
from tortie.kernel.errors import KernelError

pytestmark = pytest.mark.root

OPEN, CLOSED, UNTRACKED = 7001, 7002, 7003
REPAIRED_S = 5.0
FOREIGN = """
table inet foreign {
    set listed { type ipv4_addr; elements = { 192.0.2.1, 192.0.2.7 } }
    chain c { type filter hook input priority 5; ip saddr @listed drop; tcp dport 1 accept; }
}
"""
FRIENDS = network_set("friends", ["10.99.0.2/32", "fd99::2/128", "192.0.2.9/32"])
"""With single addresses, which programs keep in tables that change in place."""


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[AgentHost]:
    with agent_host(tmp_path_factory.mktemp("site") / "a") as made, tcp_server(made.host, OPEN, CLOSED, UNTRACKED):
        made.host.run("nft", "-f", "-", input=FOREIGN)
        made.commit(
            endpoint(),
            FRIENDS,
            policy("open", ingress=[allow("TCP", OPEN, source={"selector": 'list == "friends"'})]),
            policy(
                "fast",
                ingress=[allow("TCP", UNTRACKED)],
                egress=[allow("TCP", UNTRACKED, source_ports=True)],
                untracked=True,
            ),
            policy("odd", ingress=[deny("UDP", 99)], order=1, untracked=True),
        )
        made.start()
        made.settle()
        until(lambda: is_right(made), REPAIRED_S)
        yield made


def is_right(site: AgentHost, *, patience_s: float = 0.2) -> bool:
    """Whether the host does what its policy says, over both families."""
    wanted = [(port, address) for port in (OPEN, UNTRACKED) for address in (site.host.address, site.host.address6)]
    return all(connects(site.peer, address, port, patience_s=patience_s) for port, address in wanted) and not any(
        connects(site.peer, address, CLOSED, patience_s=0.1) for address in (site.host.address, site.host.address6)
    )


@dataclass
class Installed:
    """Descriptors of what the programs of the host's interface use, by name."""

    site: AgentHost
    direction: str = "slot"

    def pin(self, name: str) -> int:
        with self.site.host.entered():
            return bpf.open_pin(self.site.pins / f"if{self.site.host.ifindex}" / name)

    def maps(self) -> dict[str, int]:
        slot = self.pin(self.direction)
        found = bpf.lookup(slot, bytes(4), 4)
        os.close(slot)
        assert found
        with bpf.borrowed(bpf.program_by_id(int.from_bytes(found, "little"))) as program:
            descriptors = [bpf.map_by_id(number) for number in bpf.program_info(program).map_ids]
        return {bpf.map_info(fd).name: fd for fd in descriptors}


def table(site: AgentHost) -> str:
    """Our nft table, its counts and its seal aside; empty if there is none."""
    if "table inet tortie" not in site.host.run("nft", "list", "tables"):
        return ""
    listed = site.host.run("nft", "list", "table", "inet", "tortie")
    return re.sub(r"packets \d+ bytes \d+|\s*chain [sd]_\w+ \{\s*\}", "", listed)


def whole(site: AgentHost) -> tuple[str, list[str]]:
    """Our table, and what is pinned, but for what is loaded beside everything else because it may be needed."""
    spare = re.compile(rf"(lanes|_)({'|'.join(map(str, SPARE_SIZES[1:]))})[-_]")
    return table(site), sorted(str(path) for path in site.pins.glob("*/*") if not spare.search(path.name))


Tamper = Callable[[AgentHost], object]


def edit_members(site: AgentHost) -> None:
    """Every single address of the normal class's source tables."""
    pages = pages_of(site)
    start = pages.number("normal.at.src4_hosts")
    size = 64 << 32 - pages.number("normal.source.hosts4_shift")
    with pages.writable(pages.number("end")) as memory:
        memory[start : start + size] = bytes(size)
    pages.close()


def edit_tables(site: AgentHost) -> None:
    """What the ports of the normal class mean: the first ones are like others. Nobody adds members there."""
    pages = pages_of(site)
    start = pages.number("normal.at.services")
    with pages.writable(pages.number("end")) as memory:
        first = start + 2 * lib.SERVICES_BLOCKS
        memory[first : first + 512] = bytes(byte ^ 1 for byte in memory[first : first + 512])
    pages.close()


def empty_lane(site: AgentHost) -> None:
    lane, table, _ = lane_of(site)
    with site.host.entered(), bpf.borrowed(bpf.open_pin(table)) as lanes:
        bpf.delete(lanes, lane.to_bytes(4, "little"))


def change_lane(site: AgentHost) -> None:
    """Arriving packets are judged by what is for leaving ones."""
    (lane, table, _), (_, _, other) = lane_of(site), lane_of(site, leaving=True)
    with (
        site.host.entered(),
        bpf.borrowed(bpf.open_pin(table)) as lanes,
        bpf.borrowed(bpf.map_by_id(other)) as pages,
    ):
        bpf.update(lanes, lane.to_bytes(4, "little"), pages.to_bytes(4, "little"))


def forget_address(site: AgentHost) -> None:
    """Which IPv4 addresses are the host's."""
    fd = Installed(site).maps()["local"]
    for key in list(bpf.keys(fd)):
        bpf.delete(fd, key)
    bpf.update(fd, (4).to_bytes(4, "little") + bytes(16), bytes(4))


def empty_slot(site: AgentHost) -> None:
    bpf.delete(Installed(site).pin("slot"), bytes(4))


def empty_out_slot(site: AgentHost) -> None:
    bpf.delete(Installed(site).pin("out_slot"), bytes(4))


def detach(name: str) -> Tamper:
    def do(site: AgentHost) -> None:
        with site.host.entered():
            bpf.detach(Installed(site).pin(name))

    return do


def other_root(site: AgentHost) -> None:
    """An XDP program that passes everything, on our link."""
    with bpf.ObjectFile(OBJECTS / "root.bpf.o") as roots:
        for name in roots.program_names:
            roots.set_autoload(name, name == "xdp_empty")
        roots.load()
        bpf.link_update(Installed(site).pin("xdp"), roots.program_fd("xdp_empty"))


def unpin(what: str) -> Tamper:
    def do(site: AgentHost) -> None:
        for path in site.pins.glob(what):
            path.unlink()

    return do


def nft(*words: str) -> Tamper:
    def do(site: AgentHost) -> None:
        site.host.run("nft", *words)

    return do


TAMPERING: dict[str, tuple[Tamper, str]] = {
    "members edited": (edit_members, r"ingress tables of interface \d+"),
    "other tables edited": (edit_tables, r"ingress tables of interface \d+"),
    "lane emptied": (empty_lane, r"ingress lane of interface \d+"),
    "lane changed": (change_lane, r"ingress lane of interface \d+"),
    "host addresses edited": (forget_address, "host addresses"),
    "XDP detached": (detach("xdp"), "xdp_root on interface"),
    "mark detached": (detach("tc"), "tc_mark on interface"),
    "egress detached": (detach("out"), "tc_out on interface"),
    "XDP replaced": (other_root, "which ran another program"),
    "slot emptied": (empty_slot, "ingress policy program"),
    "egress slot emptied": (empty_out_slot, "egress policy program"),
    "connection table unpinned": (unpin("host/*"), "pins of the connection table"),
    "interface unpinned": (unpin("if*/*"), "pins of interface"),
    "nft table flushed": (nft("flush table inet tortie"), "table inet tortie"),
    "nft table deleted": (nft("delete table inet tortie"), "table inet tortie"),
    "nft rule added": (nft("insert rule inet tortie output accept"), "table inet tortie"),
}


TOGETHER = (
    ("members edited", "XDP detached", "connection table unpinned", "nft table flushed"),
    ("host addresses edited", "mark detached", "egress slot emptied", "nft table deleted"),
    ("slot emptied", "egress detached", "interface unpinned", "nft rule added"),
    ("XDP replaced", "other tables edited"),
    ("lane changed", "egress detached"),
    ("lane emptied",),
)


@pytest.mark.parametrize("several", [(one,) for one in TAMPERING] if IS_SOAK else TOGETHER, ids=", ".join)
def test_t_rel_6_what_others_break_is_repaired_within_five_seconds_and_told(
    site: AgentHost, several: tuple[str, ...]
) -> None:
    foreign, own = site.host.run("nft", "list", "table", "inet", "foreign"), whole(site)
    before = site.ask("/v1/status")["drift"]["times"]
    for what in several:
        TAMPERING[what][0](site)

    def is_told() -> bool:
        drift = site.ask("/v1/status")["drift"]
        repairs = [text for one in drift["latest"][: drift["times"] - before] for text in one["what"]]
        return all(any(re.search(TAMPERING[what][1], text) for text in repairs) for what in several)

    took = until(lambda: is_told() and whole(site) == own, REPAIRED_S)
    until(lambda: is_right(site), REPAIRED_S - took)
    print(f"{several}: {took:.1f} s")
    assert foreign == site.host.run("nft", "list", "table", "inet", "foreign")


def test_t_rel_6_repairs_come_to_rest_and_what_others_do_to_their_own_rules_is_their_business(site: AgentHost) -> None:
    before, own = site.ask("/v1/status")["drift"], whole(site)
    site.host.run("nft", "add", "rule", "inet", "foreign", "c", "tcp", "dport", "2", "drop")
    site.host.run("nft", "add", "table", "inet", "more")
    changed = site.host.run("nft", "list", "table", "inet", "foreign")
    time.sleep(4)
    assert changed == site.host.run("nft", "list", "table", "inet", "foreign")
    assert "table inet more" in site.host.run("nft", "list", "tables")
    assert before["times"] == site.ask("/v1/status")["drift"]["times"]
    assert own == whole(site)


def test_t_rel_6_nobody_can_edit_tables_without_members(site: AgentHost) -> None:
    pages = pages_of(site, leaving=True)
    with pytest.raises(KernelError, match="EPERM"):
        bpf.update(pages.fd, bytes(4), bytes(PAGE))
    with pytest.raises(KernelError, match="EPERM"):
        pages.writable(PAGE)
    pages.close()


@pytest.mark.parametrize("is_running", [True, False])
def test_edited_members_of_an_earlier_agents_tables_are_noticed(site: AgentHost, is_running: bool) -> None:
    site.kill()
    if is_running:
        site.start()
        site.settle()
    edit_members(site)
    assert not connects(site.peer, site.host.address, OPEN, patience_s=0.1)
    if not is_running:
        site.start()
    until(lambda: is_right(site), REPAIRED_S)


def test_members_that_went_and_came_back_while_no_agent_ran_are_members(site: AgentHost) -> None:
    """The earlier agent took the member out in place; the digest of its program still says that it is in."""
    gone = network_set("friends", ["fd99::2/128", "192.0.2.9/32"])
    site.kill()
    site.start()
    site.settle()
    assert is_right(site, patience_s=PATIENCE_S)
    # a generation of this agent's own: what it took over cannot change in place
    site.commit(policy("open", ingress=[allow("TCP", OPEN, 7009, source={"selector": 'list == "friends"'})]))
    site.settle()
    site.commit(gone)
    site.settle()
    assert not connects(site.peer, site.host.address, OPEN, patience_s=0.2)
    site.kill()
    site.commit(FRIENDS)
    site.start()
    site.settle()
    assert connects(site.peer, site.host.address, OPEN)


def test_the_folder_of_pins_is_where_the_tests_look(site: AgentHost) -> None:
    names = {path.name for path in (site.pins / "host").iterdir()}
    sizes = "|".join(map(str, SPARE_SIZES))
    programs = {
        name for name in names if re.fullmatch(rf"(xdp|egress)_({sizes})_[0-9a-f]{{16}}(_answer|_jumps)?", name)
    }
    kinds = rf"events|lanes({sizes})|counts|lane_counts|told|host_limit|remote_limits"
    of_build = {name for name in names if re.fullmatch(rf"({kinds})-[0-9a-f]{{16}}", name)}
    shared = {"scratch_xdp", "scratch_egress", f"layout-{meaning()}"}
    assert names - programs - of_build == {"flows4", "flows6", "opening4", "opening6", "local"} | shared
    assert len([name for name in programs if f"_{SPARE_SIZES[0]}_" in name]) == 6
    assert len([name for name in of_build if not name.startswith("lanes")]) == 6
    assert Path("/run/tortie/bpf") == BPFFS
