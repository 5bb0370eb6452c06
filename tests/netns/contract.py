"""The drivers that are held to the contract of those behind the interface, and what a test needs to run one.

A driver is made in the namespace of the host under test, and every call of it runs there.
"""

import os
import re
import socket
import subprocess
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import replace
from functools import partial
from typing import Any

import pytest

from netns import Namespace
from tortie.dataplane import parts
from tortie.dataplane.driver import ApplyReport
from tortie.dataplane.ebpf.driver import EbpfDriver
from tortie.dataplane.ebpf.front import XdpFront
from tortie.dataplane.iptables.driver import IptablesDriver
from tortie.dataplane.netfilter import NetfilterDriver
from tortie.dataplane.nftables.driver import NftablesDriver
from tortie.kernel import features
from tortie.model.dataplane import IPTABLES, NFTABLES
from tortie.model.desired import Delta, EndpointState, SetChange, TierPolicies
from tortie.model.endpoint import Interface
from tortie.model.failsafe import Failsafes
from tortie.model.ipset import AddressSet, IPSet, PortSet
from tortie.model.matches import PortMatch, PortRange, ProtocolMatch
from tortie.model.packet import UDP, Direction, Side
from tortie.model.policy import Policy, PolicyKey, Profile, Stage, Tier
from tortie.model.rule import Action, Rule
from tortie.model.selector import ALL
from tortie.model.tables import Backend, TablesUse

MakeDriver = Callable[[], NetfilterDriver | EbpfDriver]
NO_FAILSAFES = Failsafes((), ())


def fronted(name: str, backend: Backend = Backend.NFT) -> NetfilterDriver:
    """The driver of that name with XDP in front, as hosts have it. `backend`: iptables' variant."""
    front = XdpFront(name, lambda: features.probe().missing_required)
    return NftablesDriver(front) if name == NFTABLES else IptablesDriver(TablesUse(backend), front)


_TRY_LEGACY = ("unshare", "-n", "sh", "-c", "iptables-legacy -S && ip6tables-legacy -S")
NEEDS_LEGACY = pytest.mark.skipif(
    os.geteuid() == 0 and subprocess.run(_TRY_LEGACY, capture_output=True, check=False).returncode != 0,
    reason="this kernel has no ip_tables (since Linux 6.17 it needs CONFIG_NETFILTER_XTABLES_LEGACY)",
)
PLAIN = [
    pytest.param(NftablesDriver, id="nftables"),
    pytest.param(partial(IptablesDriver, TablesUse(Backend.NFT)), id="iptables-nft"),
    pytest.param(partial(IptablesDriver, TablesUse(Backend.LEGACY)), id="iptables-legacy", marks=NEEDS_LEGACY),
]
"""Drivers that use netfilter's hooks and its connection tracking, alone."""
FRONTED = [
    pytest.param(partial(fronted, NFTABLES), id="nftables-xdp"),
    pytest.param(partial(fronted, IPTABLES), id="iptables-nft-xdp"),
    pytest.param(partial(fronted, IPTABLES, Backend.LEGACY), id="iptables-legacy-xdp", marks=NEEDS_LEGACY),
]
"""The same with XDP in front."""
DRIVERS = [*PLAIN, *FRONTED]
EVERY = [*DRIVERS, pytest.param(EbpfDriver, id="ebpf")]
"""For what is not about netfilter's hooks."""


class InNamespace:
    """A driver whose every call is made in a namespace."""

    def __init__(self, namespace: Namespace, make: MakeDriver) -> None:
        self._namespace = namespace
        with namespace.entered():
            self._driver = make()
        self.name = getattr(self._driver, "backend", self._driver.name)

    def __getattr__(self, name: str) -> Any:
        return partial(self._call, name)

    def take(self, delta: Delta) -> None:
        """Note a change; interfaces have the indices that the kernel gave them."""
        with self._namespace.entered():
            indices = {name: index for index, name in socket.if_nameindex()}
        endpoints = {
            name: state and replace(state, interface=replace(state.interface, index=indices.get(name, 2)))
            for name, state in delta.endpoints.items()
        }
        self._call("take", replace(delta, endpoints=endpoints))

    def _call(self, name: str, *arguments: object, **named: object) -> Any:
        with self._namespace.entered():
            answer = getattr(self._driver, name)(*arguments, **named)
            return list(answer) if isinstance(answer, Iterator) else answer

    def enforce(self, delta: Delta) -> ApplyReport:
        """Take the change and apply it; nothing may fail, be refused, or turn out to be broken."""
        self.take(delta)
        report: ApplyReport = self._call("apply")
        assert not report.failed and not report.refused and not report.repaired, report
        return report


@contextmanager
def parts_of(rules: int | None) -> Iterator[None]:
    """A block in which all chains of policy rules are made in parts of so many on average; None: long ones, as ever."""
    before = parts.LONG, parts.USUAL
    if rules is not None:
        parts.LONG, parts.USUAL = 1, rules
    try:
        yield
    finally:
        parts.LONG, parts.USUAL = before


@contextmanager
def running(namespace: Namespace, make: MakeDriver) -> Iterator[InNamespace]:
    """A driver in the namespace; what it made is removed behind."""
    driver = InNamespace(namespace, make)
    try:
        yield driver
    finally:
        driver.cleanup()


def delta_of(
    endpoints: Mapping[str, EndpointState | None], sets: Mapping[str, IPSet] | None = None, **others: Any
) -> Delta:
    """A first delta: everything in it is new."""
    changes = {set_id: all_new(members) for set_id, members in (sets or {}).items()}
    return Delta(endpoints=endpoints, sets=changes, **others)


def all_new(members: IPSet) -> SetChange:
    """The change that brings a set."""
    assert isinstance(members, AddressSet | PortSet)
    return SetChange(frozenset(members.members), frozenset(), is_new=True, has_ports=isinstance(members, PortSet))


ACCEPT_ALL = Profile("open", {}, (Rule(Action.ALLOW),), (Rule(Action.ALLOW),))


def udp(first: int, last: int | None = None, *, side: Side = Side.DESTINATION, action: Action = Action.ALLOW) -> Rule:
    """A rule about UDP ports."""
    return ported(UDP, first, last, side=side, action=action)


def ported(
    protocol: int, first: int, last: int | None = None, *, side: Side = Side.DESTINATION, action: Action = Action.ALLOW
) -> Rule:
    """A rule about ports of one side."""
    return Rule(action, (ProtocolMatch(protocol), PortMatch(side, (PortRange(first, last or first),))))


def tier(
    stage: Stage, *, ingress: Sequence[Rule] | None = None, egress: Sequence[Rule] | None = None, name: str = "default"
) -> Mapping[tuple[Stage, Direction], tuple[TierPolicies, ...]]:
    """One policy in a tier of that class, which governs the directions that have rules; the tier ends with Deny."""
    governs = frozenset(
        direction
        for direction, rules in ((Direction.INGRESS, ingress), (Direction.EGRESS, egress))
        if rules is not None
    )
    policy = Policy(
        key=PolicyKey("GlobalNetworkPolicy", "", f"{stage.value.lower()}-policy"),
        tier=name,
        order=1.0,
        selector=ALL,
        ingress=tuple(ingress or ()),
        egress=tuple(egress or ()),
        governs=governs,
        do_not_track=stage is Stage.UNTRACKED,
        pre_dnat=stage is Stage.PRE_DNAT,
        apply_on_forward=stage is not Stage.NORMAL,
    )
    return {(stage, direction): (TierPolicies(Tier(name), (policy,)),) for direction in governs}


def endpoint(
    interface: str,
    *tiers: Mapping[tuple[Stage, Direction], tuple[TierPolicies, ...]],
    profiles: tuple[Profile, ...] = (ACCEPT_ALL,),
) -> EndpointState:
    """An endpoint with those tiers; what they do not decide, its profiles allow."""
    joined = {key: value for part in tiers for key, value in part.items()}
    made = Interface(name=interface, index=2, forwards=frozenset({4, 6}))
    return EndpointState(interface=made, endpoint=f"hep-{interface}", tiers=joined, profiles=profiles)


def ruleset(host: Namespace) -> list[str]:
    """Everything in all tables and sets of the host, in a fixed order; without what is counted, and without the names
    by which a driver remembers how its table looked."""
    return sorted(item for items in rulesets(host).values() for item in items)


def rulesets(host: Namespace) -> dict[str, list[str]]:
    """The ruleset by table, each of which changes as a whole; IP sets are one besides."""
    found: dict[str, list[str]] = {}
    listed = host.run("nft", "-s", "list", "ruleset")
    for table in re.findall(r"^table .*?^\}", listed, re.M | re.S):
        name, *blocks = re.split(r"\n(?=\t\S)", table)
        blocks = [block for block in blocks if not block.startswith(("\t}", "\tchain s_", "\tchain tortie-s."))]
        found[name] = sorted(f"{name} {block.rstrip()}" for block in blocks)
    for command, names in (("iptables", "ip_tables_names"), ("ip6tables", "ip6_tables_names")):
        # To list a legacy table makes it, and nobody can take it away again: an empty one counts as none.
        if host.run("cat", f"/proc/self/net/{names}"):
            table = ""
            for line in host.run(f"{command}-legacy-save").splitlines():
                table = f"legacy {command} {line}" if line.startswith("*") else table
                if line.startswith((":tortie-s.", "#", "*")) or line == "COMMIT" or " ACCEPT [" in line:
                    continue
                found.setdefault(table, []).append(f"{table} {line}")
    if sets := host.run("ipset", "save").splitlines():
        found["sets"] = sorted(re.sub(r" (initval|hashsize) \S+", "", line) for line in sets)
    return {name: items for name, items in found.items() if items}


class Ports:
    """UDP ports of a receiver, and a sender in another namespace."""

    def __init__(self, receiver: Namespace, sender: Namespace, *ports: int) -> None:
        self._address = receiver.address
        with receiver.entered():
            self._bound = {port: socket.socket(socket.AF_INET, socket.SOCK_DGRAM) for port in ports}
            for port, one in self._bound.items():
                one.bind((self._address, port))
        self._sender_namespace = sender

    def reached(self, *ports: int, first: int) -> set[int]:
        """Which of those ports a datagram reaches; `first` is one that is open, and which hears the last datagram.

        Because: datagrams of one sender arrive in order, so that nobody has to wait for what does not come.
        """
        for port in ports:
            self.send(port)
        self.send(first)
        self.hear(first)
        found = set()
        for port in ports:
            self._bound[port].setblocking(False)
            with suppress(BlockingIOError):
                self._bound[port].recv(100)
                found.add(port)
        return found

    def hear(self, port: int) -> int:
        """Bytes of the next datagram at that port, which has to come."""
        self._bound[port].settimeout(10)
        return len(self._bound[port].recv(1 << 16))

    def send(self, port: int, payload: bytes = b"probe") -> None:
        """Have a datagram on its way to that port."""
        # A socket of its own for each: another source port, another connection. EPERM tells of a drop in OUTPUT.
        with (
            self._sender_namespace.entered(),
            socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender,
            suppress(PermissionError),
        ):
            sender.sendto(payload, (self._address, port))

    def close(self) -> None:
        for one in self._bound.values():
            one.close()
