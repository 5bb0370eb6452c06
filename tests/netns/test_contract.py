"""The contract of drivers behind netfilter's hooks: applied twice is applied once, others' rules stay, what somebody
removed comes back, and a change has no moment in between."""

import os
import random
import signal
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace
from itertools import pairwise

import pytest
from contract import (
    DRIVERS,
    NO_FAILSAFES,
    InNamespace,
    MakeDriver,
    Ports,
    delta_of,
    endpoint,
    ruleset,
    rulesets,
    running,
    tier,
    udp,
)

from frames import frame
from netns import Namespace, veth_pair
from tortie.dataplane.iptables.names import chain
from tortie.dataplane.iptables.names import set_name as ip_set_name
from tortie.dataplane.iptables.table import TABLES
from tortie.dataplane.nftables.names import set_name
from tortie.kernel import iptables, nft
from tortie.model.address import Net
from tortie.model.desired import Delta, SetChange
from tortie.model.ipset import AddressSet, SelectorSet
from tortie.model.matches import SetMatch
from tortie.model.packet import UDP, Packet, Side
from tortie.model.policy import Stage
from tortie.model.rule import Action, Rule
from tortie.model.selector import parse_selector

pytestmark = pytest.mark.root

SO_RCVBUFFORCE = 33  # Source: asm-generic/socket.h; Python does not name it
IS_SOAK = bool(os.environ.get("TORTIE_SOAK"))
IFACE, PEER, WIDE = "ens4", Net(4, 0x0A630002, 32), Net(4, 0x0A000000, 8)
CLOSED, OPEN, OTHER = 7000, 7001, 7002
MEMBERS = SelectorSet(parse_selector("role == 'bad'"))
POLICY = endpoint(
    IFACE,
    tier(Stage.NORMAL, ingress=[udp(OPEN), Rule(Action.DENY, (SetMatch(Side.SOURCE, MEMBERS),)), udp(OTHER)]),
    tier(Stage.UNTRACKED, ingress=[udp(9, action=Action.DENY)], egress=[udp(9, action=Action.DENY)]),
)
FIRST = delta_of({IFACE: POLICY}, {MEMBERS.set_id: AddressSet([Net(4, 0xC0000200, 24)])}, failsafes=NO_FAILSAFES)
FOREIGN = """
table inet foreign {
    set blocked { type ipv4_addr; elements = { 192.0.2.9 } }
    chain input { type filter hook input priority 0; policy accept; ip saddr @blocked drop; }
}
"""
Pair = tuple[Namespace, Namespace]


def iptables_sabotage(word: str, flavour: str) -> dict[str, str]:
    """What others do with iptables and ipset. The last command of a script may fail no more than the others."""
    four, six = f"{word}-{flavour}", f"ip6tables-{flavour}"
    name = ip_set_name(0, [MEMBERS.set_id], 4, False)
    everything = "\n".join(f"{one} -t {table} -F; {one} -t {table} -X" for one in (four, six) for table in TABLES)
    return {
        "rules of all chains flushed": f"{four} -F",
        "everything flushed": everything,
        "a chain emptied": f"{four} -F {chain('ni', IFACE, 't.default')}",
        "a chain of the other IP version emptied": f"{six} -F {chain('ni', IFACE)}",
        "the jump removed": f"{four} -D INPUT -j tortie-INPUT",
        "the jump doubled": f"{four} -A INPUT -j tortie-INPUT",
        "a rule in front": f"{four} -I {chain('ni', IFACE)} -j ACCEPT",
        "another rule in place of one": f"{four} -R {chain('ni', IFACE, 't.default')} 2 -j ACCEPT",
        "a way around in raw": f"{four} -t raw -I tortie-PREROUTING -j ACCEPT",
        "another chain for an interface": (
            f"{four} -N mine; {four} -A mine -j ACCEPT; {four} -I tortie-INPUT -i {IFACE} -g mine"
        ),
        "members removed": f"ipset flush {name}",
        "a member added": f"ipset add {name} 10.99.0.0/24",
        "another set in place of one": (
            f"ipset create other hash:net hashsize 64 maxelem 1048576; ipset swap other {name}"
        ),
    }


def sabotage(host: Namespace, name: str, what: str) -> None:
    words = ("nft", "-f", "-") if name == "nftables" else ("sh", "-e", "-s")
    host.run(*words, input=SABOTAGE[name][what])


SABOTAGE = {
    "nftables": {
        "the table flushed": "flush table inet tortie-policy",
        "the table deleted": "delete table inet tortie-policy",
        "everything flushed": "flush ruleset",
        "a chain emptied": f"flush chain inet tortie-policy normal-in/{IFACE}/tier.default",
        "a base chain emptied": "flush chain inet tortie-policy filter-input",
        "a rule in front": f"insert rule inet tortie-policy normal-in/{IFACE} accept",
        "an interface taken out": f'delete element inet tortie-policy normal-in {{ "{IFACE}" }}',
        "another chain for an interface": (
            "add chain inet tortie-policy mine\nadd rule inet tortie-policy mine accept\n"
            f'delete element inet tortie-policy normal-in {{ "{IFACE}" }}\n'
            f'add element inet tortie-policy normal-in {{ "{IFACE}" : goto mine }}\n'
        ),
        "members removed": f"flush set inet tortie-policy {set_name(0, [MEMBERS.set_id], 4, False)}",
        "a member added": (
            f"add element inet tortie-policy {set_name(0, [MEMBERS.set_id], 4, False)} {{ 10.99.0.0/24 }}"
        ),
    },
    **{variant: iptables_sabotage(*variant.split("-")) for variant in iptables.VARIANTS},
}
"""What others do to a driver's rules, by the driver's name: scripts for nft, or for a shell."""
CASES = [
    pytest.param(make.values[0], what, id=f"{make.id}-{what}", marks=make.marks)
    for make in DRIVERS
    for what in SABOTAGE[str(make.id).removesuffix("-xdp")]
]


@pytest.fixture
def pair() -> Iterator[Pair]:
    with veth_pair(host_interface=IFACE) as made:
        yield made


@pytest.fixture
def ports(pair: Pair) -> Iterator[Ports]:
    made = Ports(*pair, CLOSED, OPEN, OTHER)
    yield made
    made.close()


def member_change(*, added: set[Net] | None = None, removed: set[Net] | None = None) -> Delta:
    return Delta(sets={MEMBERS.set_id: SetChange(frozenset(added or ()), frozenset(removed or ()))})


@pytest.mark.parametrize("make", DRIVERS)
def test_applying_again_changes_nothing(pair: Pair, make: MakeDriver) -> None:
    host, _ = pair
    with running(host, make) as driver:
        assert driver.enforce(FIRST).changed == (IFACE,)
        after = ruleset(host)
        assert driver.apply().changed == ()
        driver.take(Delta(endpoints={IFACE: replace(POLICY)}))
        assert not driver.apply().failed
        assert not driver.resync().repaired
        assert ruleset(host) == after


@pytest.mark.parametrize("make", DRIVERS)
def test_t_rel_17_cleanup_leaves_the_kernel_as_it_was(pair: Pair, make: MakeDriver) -> None:
    host, _ = pair
    host.run("nft", "-f", "-", input=FOREIGN)
    before = ruleset(host)
    with running(host, make) as driver:
        driver.enforce(FIRST)
        assert ruleset(host) != before
        assert set(before) < set(ruleset(host))
        assert driver.cleanup()
        assert ruleset(host) == before
        assert not driver.cleanup()
    with running(host, make) as another:  # one that made nothing
        assert not another.leftovers()


@pytest.mark.parametrize("make", DRIVERS)
def test_the_last_endpoint_takes_everything_with_it(pair: Pair, make: MakeDriver) -> None:
    host, _ = pair
    before = ruleset(host)
    with running(host, make) as driver:
        driver.enforce(FIRST)
        driver.enforce(Delta(endpoints={IFACE: None}, sets={MEMBERS.set_id: None}))
        assert (ruleset(host), driver.status()) == (before, [])


@pytest.mark.parametrize("make", DRIVERS)
def test_a_member_that_comes_and_goes_is_enforced_at_once(pair: Pair, ports: Ports, make: MakeDriver) -> None:
    with running(pair[0], make) as driver:
        driver.enforce(FIRST)
        assert ports.reached(CLOSED, OTHER, first=OPEN) == {OTHER}
        for change, is_open in (
            (member_change(added={PEER}), False),
            (member_change(added={WIDE}), False),  # overlaps
            (member_change(removed={PEER}), False),
            (member_change(added={PEER}, removed={WIDE}), False),
            (member_change(removed={PEER}), True),
        ):
            assert driver.enforce(change).changed == (IFACE,)
            assert ports.reached(OTHER, first=OPEN) == ({OTHER} if is_open else set())


@pytest.mark.parametrize(("make", "what"), CASES)
def test_t_rel_6_what_others_changed_is_put_back(pair: Pair, ports: Ports, make: MakeDriver, what: str) -> None:
    host, _ = pair
    with running(host, make) as driver:
        driver.enforce(FIRST)
        assert not driver.resync().repaired
        after = ruleset(host)
        sabotage(host, driver.name, what)
        host.run("nft", "-f", "-", input=FOREIGN)
        foreign = host.run("nft", "-s", "list", "table", "inet", "foreign")
        report = driver.resync()
        assert report.repaired and not report.failed, report
        assert host.run("nft", "-s", "list", "table", "inet", "foreign") == foreign
        host.run("nft", "delete", "table", "inet", "foreign")
        assert not driver.resync().repaired
        assert set(after) - set(ruleset(host)) == set()
        assert ports.reached(CLOSED, OTHER, first=OPEN) == {OTHER}


@pytest.mark.parametrize("make", DRIVERS)
def test_others_rules_are_no_reason_to_repair(pair: Pair, make: MakeDriver) -> None:
    host, _ = pair
    with running(host, make) as driver:
        driver.enforce(FIRST)
        driver.resync()
        for script in (FOREIGN, "delete table inet foreign\n", FOREIGN):
            host.run("nft", "-f", "-", input=script)
            assert not driver.resync().repaired


@pytest.mark.parametrize("make", DRIVERS)
def test_a_change_goes_through_a_table_that_somebody_broke(pair: Pair, ports: Ports, make: MakeDriver) -> None:
    host, _ = pair
    with running(host, make) as driver:
        driver.enforce(FIRST)
        sabotage(host, driver.name, "everything flushed")
        driver.take(Delta(endpoints={IFACE: endpoint(IFACE, tier(Stage.NORMAL, ingress=[udp(OPEN)]))}))
        report = driver.apply()
        assert report.repaired and not report.failed
        assert ports.reached(CLOSED, OTHER, first=OPEN) == set()


@pytest.mark.parametrize("make", DRIVERS)
def test_another_agent_takes_over_what_is_wanted_and_replaces_what_is_not(pair: Pair, make: MakeDriver) -> None:
    host, _ = pair
    with running(host, make) as driver:
        driver.enforce(FIRST)
        driver.resync()
        after, generation = ruleset(host), generation_of(host)
        second = InNamespace(host, make)
        assert second.leftovers()
        assert second.enforce(FIRST).changed == ()
        assert generation_of(host) == generation
        sabotage(host, driver.name, "a rule in front")
        third = InNamespace(host, make)
        assert third.enforce(FIRST).changed == (IFACE,)
        assert third.enforce(Delta()).changed == ()
        third.resync()
        assert ruleset(host) == after


def generation_of(host: Namespace) -> int:
    with host.entered():
        return nft.generation()


# No moment in between


FORBIDDEN, ALLOWED = 40_000, 50_000
"""Source ports from here on: both policies deny the ones, by different rules, and allow the others."""


ROOM = 150_000
"""Connections that the kernel's table surely holds, which is one for all namespaces; old ones linger in it."""


def swapped() -> tuple[Delta, Delta]:
    near = udp(FORBIDDEN, FORBIDDEN + 9_999, side=Side.SOURCE, action=Action.DENY)
    one = tier(Stage.NORMAL, ingress=[near, udp(OPEN)])
    other = tier(Stage.NORMAL, ingress=[udp(ALLOWED, 65_535, side=Side.SOURCE)], name="other")
    return Delta(endpoints={IFACE: endpoint(IFACE, one)}), Delta(endpoints={IFACE: endpoint(IFACE, other)})


UNHEARD = 5_000
"""Datagrams on their way, of the 20,000 that the buffer of who hears them holds."""


class Traffic:
    """Datagrams from the peer as fast as it can, each one the first of its connection: by turns such as both policies
    deny, and such as both allow."""

    def __init__(self, pair: Pair) -> None:
        host, peer = pair
        host.run("ip", "route", "add", "10.100.0.0/14", "dev", host.interface)
        with host.entered():
            self._heard = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._heard.setsockopt(socket.SOL_SOCKET, SO_RCVBUFFORCE, 1 << 24)
        self._heard.bind(("0.0.0.0", OPEN))
        self._heard.settimeout(0.5)
        with peer.entered():
            self._sender = socket.socket(socket.AF_PACKET, socket.SOCK_RAW)
        self._sender.bind((peer.interface, 0))
        self._head = bytes.fromhex(host.mac.replace(":", "") + peer.mac.replace(":", ""))
        self._destination = int.from_bytes(socket.inet_aton(host.address))
        self.sent, self.forbidden, self.allowed = 0, 0, 0
        self._is_over = threading.Event()
        self._threads = [threading.Thread(target=one) for one in (self._send, self._hear)]

    def __enter__(self) -> "Traffic":
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._is_over.set()
        for thread in self._threads:
            thread.join()
        self._heard.close()
        self._sender.close()

    def _send(self) -> None:
        source = 0x0A640000
        while not self._is_over.is_set():
            if self.sent - self.allowed > UNHEARD:  # who hears is slower, and what does not fit into its buffer is lost
                time.sleep(0.001)
                continue
            source += 1
            for number in range(200):
                for first in (FORBIDDEN, ALLOWED):
                    packet = Packet(
                        version=4,
                        protocol=UDP,
                        source=source,
                        destination=self._destination,
                        source_port=first + number,
                        destination_port=OPEN,
                    )
                    self._sender.send(self._head + frame(packet)[12:])
                self.sent += 1

    def _hear(self) -> None:
        while True:
            try:
                _, (_, port) = self._heard.recvfrom(100)
            except TimeoutError:
                if self._is_over.is_set():
                    return
                continue
            if port >= ALLOWED:
                self.allowed += 1
            else:
                self.forbidden += 1


@pytest.mark.parametrize("make", DRIVERS)
def test_t_rel_3_a_swap_of_policy_lets_nothing_through_and_loses_nothing(pair: Pair, make: MakeDriver) -> None:
    host, _ = pair
    deltas = swapped()
    with running(host, make) as driver:
        driver.enforce(replace(deltas[0], failsafes=NO_FAILSAFES))
        with Traffic(pair) as traffic:
            for number in range(10_000 if IS_SOAK else 150):
                driver.enforce(deltas[(number + 1) % 2])
                if traffic.sent > ROOM:
                    break
    assert number >= 40
    assert traffic.forbidden == 0
    assert traffic.allowed == traffic.sent > 1000


@pytest.mark.parametrize("make", DRIVERS)
def test_t_rel_4_an_agent_killed_within_an_apply_leaves_the_old_policy_or_the_new_one(
    pair: Pair, make: MakeDriver
) -> None:
    host, _ = pair
    deltas = [replace(delta, failsafes=NO_FAILSAFES) for delta in swapped()]
    rng = random.Random(4)
    with running(host, make) as driver:
        whole = []
        for delta in deltas:
            driver.enforce(delta)
            whole.append(rulesets(host))
        assert whole[0] != whole[1]
        found = [1]
        begun = time.monotonic()
        kill_within_apply(host, make, deltas[1], None)
        span_s = time.monotonic() - begun
        for number in range(1000 if IS_SOAK else 60):
            kill_within_apply(host, make, deltas[number % 2], rng.uniform(0, span_s))
            found.append(state_of(rulesets(host), *whole))
            # a machine that is busier, or less so, than when the change was timed: later, or sooner
            span_s *= 1.1 if found[-1] == found[-2] else 0.9
        kept = sum(a == b for a, b in pairwise(found))
    assert 0 < kept < len(found) - 1, "none was killed before, or none behind, the change"


def state_of(found: dict[str, list[str]], *whole: dict[str, list[str]]) -> int:
    """Which state the last of the tables is in; each of them is in the one or the other."""
    assert found.keys() == whole[0].keys() == whole[1].keys()
    states = [
        [one[table] for one in whole].index(items)
        for table, items in found.items()
        if whole[0][table] != whole[1][table]
    ]
    return states[-1]


def kill_within_apply(host: Namespace, make: MakeDriver, delta: Delta, after_s: float | None) -> None:
    """A process that applies the change, and is killed with its children; None: it is not."""
    child = os.fork()
    if child == 0:
        try:
            os.setsid()
            with host.entered():
                driver = make()
                driver.take(delta)
                driver.apply()
        finally:
            os._exit(0)
    if after_s is not None:
        time.sleep(after_s)
        with suppress(ProcessLookupError):
            os.killpg(child, signal.SIGKILL)
    os.waitpid(child, 0)
