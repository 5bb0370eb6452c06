"""XDP in front of drivers in netfilter's hooks: where real packets die, and what others or a new agent do to it."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path
from socket import if_nametoindex

import pytest
from contract import (
    NO_FAILSAFES,
    InNamespace,
    MakeDriver,
    Ports,
    delta_of,
    endpoint,
    fronted,
    ported,
    running,
    tier,
    udp,
)

from netns import Namespace, veth_pair
from tortie.dataplane.driver import Acceleration, InterfaceStatus
from tortie.dataplane.ebpf.folder import namespace_name
from tortie.dataplane.ebpf.front import FOLDER, XdpFront, leftovers
from tortie.dataplane.ebpf.pages import OBJECTS
from tortie.dataplane.nftables.driver import NftablesDriver
from tortie.dataplane.nftables.marks import FRONT
from tortie.kernel import bpf
from tortie.kernel.ctnetlink import read_entries
from tortie.model.address import Net, parse_net
from tortie.model.dataplane import IPTABLES, NFTABLES
from tortie.model.desired import Delta, EndpointState, SetChange
from tortie.model.ipset import AddressSet, SelectorSet
from tortie.model.matches import SetMatch
from tortie.model.packet import UDP, Side
from tortie.model.policy import Stage
from tortie.model.rule import Action
from tortie.model.selector import ALL
from tortie.model.xdp import XdpUse, XdpWish

pytestmark = pytest.mark.root
OPEN, SHUT, TRACKED = 7001, 7002, 7003
LISTED = SelectorSet(ALL)
EITHER = pytest.mark.parametrize("name", [NFTABLES, IPTABLES])


def denying(*shut: int, use: XdpUse = XdpUse.AUTO) -> EndpointState:
    """Untracked policy that allows OPEN and denies others; what it passes is tracked."""
    rules = [udp(OPEN), *(udp(port, action=Action.DENY) for port in shut), ported(UDP, TRACKED, action=Action.PASS)]
    return replace(endpoint("ens4", tier(Stage.UNTRACKED, ingress=rules)), xdp=XdpWish(use))


def listed(*stages: Stage) -> EndpointState:
    """What denies SHUT to the members of a set, in each of those classes."""
    rules = [replace(udp(SHUT, action=Action.DENY), matches=(*udp(SHUT).matches, SetMatch(Side.SOURCE, LISTED)))]
    return endpoint("ens4", *(tier(stage, ingress=[*rules, udp(OPEN, TRACKED)]) for stage in stages))


class Place:
    """A host with its driver, and somebody who sends to its ports."""

    def __init__(self, name: str, host: Namespace, peer: Namespace, driver: InNamespace) -> None:
        self.name, self.host, self.peer, self.driver = name, host, peer, driver
        self.ports = Ports(host, peer, OPEN, SHUT, TRACKED)

    def enforce(self, state: EndpointState) -> None:
        self.driver.enforce(delta_of({"ens4": state}, failsafes=NO_FAILSAFES))

    @property
    def status(self) -> InterfaceStatus:
        (status,) = self.driver.status()
        assert isinstance(status, InterfaceStatus)
        return status

    @property
    def has_xdp(self) -> bool:
        return "prog/xdp" in self.host.run("ip", "link", "show", "ens4")

    @property
    def pins(self) -> Path:
        """Where the interface's pins are."""
        with self.host.entered():
            reached = bpf.mounted_bpffs(FOLDER / self.name)
            assert reached is not None
            return reached / namespace_name() / f"if{if_nametoindex('ens4')}"

    def take_off(self, link: str) -> None:
        """Somebody takes the link off."""
        pin = self.pins / link
        with self.host.entered(), bpf.borrowed(bpf.open_pin(pin)) as found:
            bpf.detach(found)

    def counts(self) -> list[int]:
        """What each rule of untracked policy counted, in order: allow OPEN, deny SHUT, pass TRACKED."""
        rules, _ = self.driver.counters()
        found = {one.rule.index: one.packets for one in rules if one.rule.policy.name == "untracked-policy"}
        return [found.get(number, 0) for number in range(3)]

    def raw_denials(self) -> int:
        """Packets that the rule of SHUT dropped in the raw hook."""
        if self.name == NFTABLES:
            (line,) = (one for one in self.host.run("nft", "list", "counters").split("counter ") if "policy/1 {" in one)
            return int(line.partition("packets ")[2].split()[0])
        lines = self.host.run("iptables-nft-save", "-c", "-t", "raw").splitlines()
        lines = [one for one in lines if "-j DROP" in one and "rule 1" in one]  # there may be a copy of it (shortcut)
        assert lines
        return sum(int(one.partition("[")[2].partition(":")[0]) for one in lines)

    def believed(self) -> str:
        """Which tables the rules believe."""
        if self.name == NFTABLES:
            return self.host.run("nft", "list", "set", "inet", "tortie-policy", "front-even")
        lines = self.host.run("iptables-nft-save", "-t", "raw").splitlines()
        return "\n".join(line for line in lines if line.startswith("-A tortie-front -i ens4 "))

    def is_enforced(self) -> bool:
        return self.ports.reached(SHUT, TRACKED, first=OPEN) == {TRACKED}


@contextmanager
def place(name: str, make: MakeDriver | None = None) -> Iterator[Place]:
    with veth_pair(host_interface="ens4") as (host, peer), running(host, make or partial(fronted, name)) as driver:
        found = Place(name, host, peer, driver)
        try:
            found.enforce(denying(SHUT))
            yield found
        finally:
            found.ports.close()


@EITHER
def test_what_is_denied_dies_in_xdp_and_what_is_allowed_is_not_tracked(name: str) -> None:
    with place(name) as at:
        assert at.status.acceleration is Acceleration.XDP and at.has_xdp
        assert "native XDP" in at.status.reason and f"{at.status.backend} decides" in at.status.reason
        for _ in range(3):
            assert at.is_enforced()
        assert at.raw_denials() == 0
        assert at.counts() == [3, 3, 3]
        with at.host.entered():
            known = {entry.original.destination_port for entry in read_entries()}
        assert TRACKED in known and OPEN not in known, known


@EITHER
def test_where_xdp_is_not_wanted_the_raw_hook_decides_and_nothing_is_in_front(name: str) -> None:
    with place(name) as at:
        assert at.is_enforced()
        at.enforce(denying(SHUT, use=XdpUse.NEVER))
        assert at.status.acceleration is Acceleration.NETFILTER and not at.has_xdp
        assert "the settings say" in at.status.reason
        assert at.is_enforced()
        assert at.raw_denials() == 1 and at.counts() == [2, 2, 2]
        at.enforce(denying(SHUT))
        assert at.status.acceleration is Acceleration.XDP and at.has_xdp
        assert at.is_enforced()
        assert at.raw_denials() == 1 and at.counts() == [3, 3, 3]


@EITHER
@pytest.mark.parametrize("link", ["xdp", "tc"])
def test_what_others_take_off_leaves_no_gap_and_is_put_back(name: str, link: str) -> None:
    with place(name) as at:
        at.take_off(link)
        assert at.has_xdp is (link == "tc")
        assert at.is_enforced()
        report = at.driver.resync()
        assert any("ens4, in front" in what for what in report.repaired) and not report.failed, report
        assert at.status.acceleration is Acceleration.XDP and at.has_xdp
        before = at.raw_denials()
        assert at.is_enforced()
        assert at.raw_denials() == before


@EITHER
def test_a_killed_agent_leaves_it_in_front_and_the_next_one_takes_it_over(name: str) -> None:
    with place(name) as at:
        program = at.host.run("ip", "-d", "link", "show", "ens4").partition("prog/xdp")[2]
        pins, at.driver = at.pins, InNamespace(at.host, partial(fronted, name))  # what the one before has made goes on
        assert at.is_enforced()
        assert any("XDP in front" in what for what in at.driver.leftovers())
        at.enforce(denying(SHUT))
        assert at.host.run("ip", "-d", "link", "show", "ens4").partition("prog/xdp")[2] == program
        assert at.status.acceleration is Acceleration.XDP
        before = at.counts()
        assert at.is_enforced()
        assert at.counts() == [one + 1 for one in before] and at.raw_denials() == 0
        removed = at.driver.cleanup()
        assert "XDP in front of ens4" in removed and not at.has_xdp
        with at.host.entered():
            assert not leftovers(FOLDER / name)
        assert not pins.parent.exists()


@EITHER
def test_what_an_earlier_agent_left_is_removed_without_knowing_its_policy(name: str) -> None:
    with place(name) as at:
        after, pins = InNamespace(at.host, partial(fronted, name)), at.pins
        assert (pins / "xdp").exists()
        removed = after.cleanup()
        assert any("XDP in front of interface index" in what for what in removed), removed
        assert not at.has_xdp and not pins.exists()


@EITHER
def test_nothing_is_left_where_it_is_not_wanted_any_more(name: str) -> None:
    with place(name) as at:
        pins = at.pins
        at.enforce(endpoint("ens4"))
        assert not at.has_xdp and not pins.exists() and (pins.parent / "host").exists()
        at.driver.cleanup()
        assert not pins.parent.exists()


@EITHER
def test_policy_that_changes_is_the_newest_in_both_places(name: str) -> None:
    with place(name) as at:
        for shut in ((SHUT, TRACKED), (), (SHUT,), (TRACKED,)):
            at.enforce(denying(*shut))
            assert at.status.acceleration is Acceleration.XDP
            assert at.ports.reached(SHUT, TRACKED, first=OPEN) == {SHUT, TRACKED} - set(shut)


@EITHER
def test_hosts_that_come_and_go_change_the_tables_that_packets_find(name: str) -> None:
    with place(name) as at:
        peer, other = (parse_net(f"{address}/32", strict=True) for address in (at.peer.address, "192.0.2.1"))
        around = parse_net(f"{at.peer.address}/24", strict=False)

        def whole(*stages: Stage) -> str:
            sets = {LISTED.set_id: AddressSet([other])}
            at.driver.enforce(delta_of({"ens4": listed(*stages)}, sets, failsafes=NO_FAILSAFES))
            return at.believed()

        def change(come: set[Net], gone: set[Net]) -> str:
            at.driver.enforce(Delta(sets={LISTED.set_id: SetChange(frozenset(come), frozenset(gone))}))
            assert at.status.acceleration is Acceleration.XDP
            assert at.ports.reached(SHUT, first=OPEN) == (set() if come & {peer, around} else {SHUT})
            return at.believed()

        first = whole(Stage.UNTRACKED)
        assert [change({peer}, {other}), change({other}, {peer}), change({peer}, set())] == [first] * 3
        # a net is no single element, and rules of another class that ask for the set have to change with XDP
        assert change({around}, {peer, other}) != first
        second = whole(Stage.UNTRACKED, Stage.NORMAL)
        assert change({peer}, {other}) != second


@EITHER
def test_where_others_have_xdp_the_raw_hook_decides_until_they_go(name: str) -> None:
    with place(name) as at, bpf.ObjectFile(OBJECTS / "lanes.bpf.o") as others:
        at.enforce(endpoint("ens4"))
        assert not at.has_xdp
        for size in ("lanes", "counts"):
            others.set_max_entries(size, 1)
        others.load()
        with at.host.entered():
            link = bpf.attach_xdp(others.program_fd("lanes_read"), if_nametoindex("ens4"), bpf.DRV_MODE)
        try:
            at.enforce(denying(SHUT))
            assert at.status.acceleration is Acceleration.NETFILTER and "XDP" in at.status.reason
        finally:
            bpf.detach(link)
        at.driver.resync()
        assert at.status.acceleration is Acceleration.XDP
        assert at.is_enforced()


def test_fragments_are_decided_behind_where_they_are_joined() -> None:
    with place(NFTABLES) as at:
        for port in (SHUT, OPEN):
            at.ports.send(port, bytes(4000))
        assert at.ports.hear(OPEN) == 4000
        assert at.is_enforced()
        assert at.counts() == [2, 2, 1]


def test_without_bpf_the_rules_decide_and_status_says_why() -> None:
    lacks = ("this process lacks CAP_BPF",)
    with place(NFTABLES, lambda: NftablesDriver(XdpFront(NFTABLES, lambda: lacks))) as at:
        assert at.status.acceleration is Acceleration.NETFILTER and not at.has_xdp
        assert at.status.reason.endswith(f"untracked ingress too: {lacks[0]}")
        assert at.is_enforced() and at.raw_denials() == 1


def mark_arriving(host: Namespace, mark: int) -> None:
    """Have another program mark what arrives, behind tc and in front of the raw hook."""
    hook = "type filter hook ingress device ens4 priority 0;"
    table = f"table netdev other {{ chain marks {{ {hook} meta mark set {mark:#x}; }}\n}}\n"
    host.run("nft", "-f", "-", input="table netdev other\ndelete table netdev other\n" + table)


@pytest.mark.parametrize("mark", FRONT.told, ids=hex)
def test_marks_of_others_are_not_believed_where_nothing_is_in_front(mark: int) -> None:
    with place(NFTABLES) as at:
        at.enforce(denying(SHUT, use=XdpUse.NEVER))
        mark_arriving(at.host, mark)
        assert at.is_enforced()


def test_marks_are_believed_only_of_the_tables_that_the_rules_go_with() -> None:
    with place(NFTABLES) as at:
        counted = []
        for allowed in FRONT.allowed:
            mark_arriving(at.host, allowed)
            before = at.counts()[0]
            at.ports.send(OPEN)
            at.ports.hear(OPEN)
            counted.append(at.counts()[0] - before)
        assert sorted(counted) == [1, 2]  # in front; and behind it too, where nobody believes the mark
