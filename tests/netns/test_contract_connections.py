"""The contract of drivers that use the kernel's connection tracking: real connections through all four classes."""

import errno
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace

import pytest
from contract import (
    DRIVERS,
    NO_FAILSAFES,
    InNamespace,
    MakeDriver,
    Ports,
    delta_of,
    endpoint,
    ported,
    ruleset,
    running,
    tier,
    udp,
)

from netns import Namespace, veth_pair
from tortie.dataplane.driver import Established
from tortie.model.desired import Delta, EndpointState, HostAddresses
from tortie.model.failsafe import FailsafePort, Failsafes
from tortie.model.packet import TCP, Direction, Side
from tortie.model.policy import Stage
from tortie.model.rule import Action, Rule
from tortie.model.verdict import Reason

pytestmark = pytest.mark.root

IFACE = "ens4"
SERVICE, OTHER = 7001, 7002
DENY_ALL = [Rule(Action.DENY)]
Pair = tuple[Namespace, Namespace]


@pytest.fixture
def pair() -> Iterator[Pair]:
    with veth_pair(host_interface=IFACE) as made:
        yield made


@pytest.fixture(params=DRIVERS)
def driver(request: pytest.FixtureRequest, pair: Pair) -> Iterator[InNamespace]:
    make: MakeDriver = request.param
    with running(pair[0], make) as made:
        yield made


def first(state: EndpointState, failsafes: Failsafes = NO_FAILSAFES) -> Delta:
    return delta_of({IFACE: state}, failsafes=failsafes, addresses=HostAddresses(frozenset({(4, 0x0A630001)})))


@contextmanager
def echo(server: Namespace, port: int, *, family: socket.AddressFamily = socket.AF_INET) -> Iterator[None]:
    """A TCP server that gives everything back."""
    with server.entered():
        listener = socket.socket(family, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listener.bind(("", port))
    listener.listen()
    threads: list[threading.Thread] = []
    open_ones: list[socket.socket] = []

    def serve(one: socket.socket) -> None:
        with one, suppress(OSError):
            while data := one.recv(1000):
                one.sendall(data)

    def accept() -> None:
        with suppress(OSError):
            while True:
                one, _ = listener.accept()
                open_ones.append(one)
                threads.append(threading.Thread(target=serve, args=(one,)))
                threads[-1].start()

    accepting = threading.Thread(target=accept)
    accepting.start()
    try:
        yield
    finally:
        for one in (listener, *open_ones):
            with suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)
        accepting.join(10)
        listener.close()
        for thread in threads:
            thread.join(10)


@contextmanager
def connection(client: Namespace, address: str, port: int, *, timeout_s: float = 10) -> Iterator[socket.socket]:
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    with client.entered():
        made = socket.socket(family, socket.SOCK_STREAM)
    with made:
        made.settimeout(timeout_s)
        made.connect((address, port))
        yield made


def answers(one: socket.socket, *, timeout_s: float = 10) -> bool:
    """Whether what is sent comes back."""
    one.settimeout(timeout_s)
    try:
        one.sendall(b"ping")
        return one.recv(100) != b""
    except (TimeoutError, ConnectionError):
        return False


def connects(client: Namespace, address: str, port: int, *, timeout_s: float = 10) -> bool:
    try:
        with connection(client, address, port, timeout_s=timeout_s) as one:
            return answers(one)
    except (TimeoutError, OSError) as error:
        assert isinstance(error, TimeoutError) or error.errno in (errno.EPERM, errno.ECONNREFUSED, errno.EHOSTUNREACH)
        return False


SHORT_S = 0.4
"""How long to wait for what must not come."""


def reason_count(driver: InNamespace, direction: Direction, reason: Reason) -> int:
    _, reasons = driver.counters()
    return sum(one.packets for one in reasons if (one.direction, one.reason) == (direction, reason))


@pytest.mark.parametrize("version", [4, 6])
def test_a_connection_that_was_allowed_is_answered_whatever_the_other_direction_says(
    pair: Pair, driver: InNamespace, version: int
) -> None:
    host, peer = pair
    address = host.address if version == 4 else host.address6
    driver.enforce(first(endpoint(IFACE, tier(Stage.NORMAL, ingress=[ported(TCP, SERVICE)], egress=DENY_ALL))))
    family = socket.AF_INET if version == 4 else socket.AF_INET6
    with echo(host, SERVICE, family=family), echo(host, OTHER, family=family):
        assert connects(peer, address, SERVICE)
        assert not connects(peer, address, OTHER, timeout_s=SHORT_S)
    assert reason_count(driver, Direction.EGRESS, Reason.ESTABLISHED) > 0


@pytest.mark.parametrize("choice", list(Established))
def test_a_change_of_policy_does_to_connections_what_was_chosen(
    pair: Pair, driver: InNamespace, choice: Established
) -> None:
    host, peer = pair
    both = [ported(TCP, SERVICE), ported(TCP, OTHER)]
    driver.enforce(first(endpoint(IFACE, tier(Stage.NORMAL, ingress=both, egress=DENY_ALL))))
    with (
        echo(host, SERVICE),
        echo(host, OTHER),
        connection(peer, host.address, SERVICE) as denied,
        connection(peer, host.address, OTHER) as still_allowed,
    ):
        assert answers(denied) and answers(still_allowed)
        driver.enforce(Delta(endpoints={IFACE: endpoint(IFACE, tier(Stage.NORMAL, ingress=both[1:], egress=DENY_ALL))}))
        forgotten = sum(driver.reconsider(choice, [IFACE]))
        assert forgotten == {Established.KEEP: 0, Established.RECHECK: 1, Established.KILL: 2}[choice]
        assert answers(still_allowed)  # after a kill it is picked up in mid-flow, for policy allows it
        assert answers(denied, timeout_s=10 if choice is Established.KEEP else SHORT_S) is (choice is Established.KEEP)


def test_a_connection_older_than_policy_is_picked_up_where_policy_allows_it(pair: Pair, driver: InNamespace) -> None:
    host, peer = pair
    with echo(host, SERVICE), connection(peer, host.address, SERVICE) as one:
        assert answers(one)
        driver.enforce(first(endpoint(IFACE, tier(Stage.NORMAL, ingress=[ported(TCP, SERVICE)], egress=DENY_ALL))))
        assert answers(one)


def test_untracked_policy_works_both_ways_without_an_entry(pair: Pair, driver: InNamespace) -> None:
    host, peer = pair
    incoming, outgoing = [ported(TCP, SERVICE)], [ported(TCP, SERVICE, side=Side.SOURCE)]
    both = tier(Stage.UNTRACKED, ingress=incoming, egress=outgoing)
    closed = tier(Stage.NORMAL, ingress=DENY_ALL, egress=DENY_ALL)
    with echo(host, SERVICE):
        driver.enforce(first(endpoint(IFACE, both, closed)))
        assert connects(peer, host.address, SERVICE)
        assert sum(fill.established + fill.opening for fill in driver.connections().tables) == 0
        driver.enforce(Delta(endpoints={IFACE: endpoint(IFACE, tier(Stage.UNTRACKED, ingress=incoming), closed)}))
        assert not connects(peer, host.address, SERVICE, timeout_s=SHORT_S)
    assert reason_count(driver, Direction.EGRESS, Reason.INVALID) > 0  # a SYN-ACK that answers nothing it knows


def test_a_failsafe_port_answers_though_everything_is_denied(pair: Pair, driver: InNamespace) -> None:
    host, peer = pair
    shut = [tier(stage, ingress=DENY_ALL, egress=DENY_ALL) for stage in (Stage.UNTRACKED, Stage.NORMAL)]
    shut.append(tier(Stage.PRE_DNAT, ingress=DENY_ALL))
    driver.enforce(first(endpoint(IFACE, *shut, profiles=()), Failsafes((FailsafePort(TCP, SERVICE),), ())))
    with echo(host, SERVICE), echo(host, OTHER):
        assert connects(peer, host.address, SERVICE)
        assert not connects(peer, host.address, OTHER, timeout_s=SHORT_S)
        driver.enforce(Delta(failsafes=NO_FAILSAFES))
        assert not connects(peer, host.address, SERVICE, timeout_s=SHORT_S)


def test_an_error_about_a_known_connection_is_related(pair: Pair, driver: InNamespace) -> None:
    host, peer = pair
    driver.enforce(first(endpoint(IFACE, tier(Stage.NORMAL, ingress=DENY_ALL, egress=[udp(9)]))))
    with host.entered(), socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as asking:
        asking.settimeout(10)
        asking.connect((peer.address, 9))
        asking.send(b"x")
        with pytest.raises(ConnectionRefusedError):  # the peer's "port unreachable"
            asking.recv(100)
    assert reason_count(driver, Direction.INGRESS, Reason.RELATED) == 1


def test_fragments_follow_the_verdict_of_the_whole(pair: Pair, driver: InNamespace) -> None:
    host, peer = pair
    driver.enforce(first(endpoint(IFACE, tier(Stage.NORMAL, ingress=[udp(SERVICE)]))))
    with host.entered():
        heard = {port: socket.socket(socket.AF_INET, socket.SOCK_DGRAM) for port in (SERVICE, OTHER)}
    for port, one in heard.items():
        one.bind(("", port))
        one.settimeout(10)
    with peer.entered(), socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
        for port in (OTHER, SERVICE):
            sender.sendto(bytes(20_000), (host.address, port))
    assert len(heard[SERVICE].recv(65_535)) == 20_000
    heard[OTHER].setblocking(False)
    with pytest.raises(BlockingIOError):
        heard[OTHER].recv(1)
    for one in heard.values():
        one.close()


def test_local_packets_to_a_translated_address_meet_the_policy_of_where_they_go(
    pair: Pair, driver: InNamespace
) -> None:
    host, peer = pair
    # An address that is routed to loopback before translation: OUTPUT shows that interface, and it is the wrong one.
    host.run("ip", "route", "add", "10.77.0.0/16", "dev", "lo", "src", host.address)
    rules = "".join(
        f"ip daddr 10.77.0.1 tcp dport {before} dnat ip to {peer.address}:{behind}\n"
        for before, behind in ((80, SERVICE), (81, OTHER))
    )
    hook = "type nat hook output priority -100;"
    host.run("nft", "-f", "-", input=f"table inet nat {{\nchain o {{\n{hook}\n{rules}}}\n}}\n")
    driver.enforce(first(endpoint(IFACE, tier(Stage.NORMAL, egress=[ported(TCP, SERVICE)]))))
    with echo(peer, SERVICE), echo(peer, OTHER):
        assert connects(host, "10.77.0.1", 80)
        assert not connects(host, "10.77.0.1", 81, timeout_s=SHORT_S)


def test_pre_dnat_policy_sees_the_port_before_translation_and_its_allow_is_the_last_word(
    pair: Pair, driver: InNamespace
) -> None:
    host, peer = pair
    rules = f"type nat hook prerouting priority -100;\ntcp dport {{ 8080, 8081 }} redirect to :{SERVICE}\n"
    host.run("nft", "-f", "-", input=f"table inet nat {{\nchain p {{\n{rules}}}\n}}\n")
    closed = tier(Stage.NORMAL, ingress=DENY_ALL)
    early = tier(Stage.PRE_DNAT, ingress=[ported(TCP, 8080)])
    driver.enforce(first(endpoint(IFACE, early, closed)))
    with echo(host, SERVICE):
        assert connects(peer, host.address, 8080)
        assert not connects(peer, host.address, 8081, timeout_s=SHORT_S)


def test_counts_go_on_through_changes_and_repairs(pair: Pair, driver: InNamespace) -> None:
    host, peer = pair
    rules = [udp(SERVICE), udp(OTHER)]
    ports = Ports(host, peer, SERVICE, OTHER)
    driver.enforce(first(endpoint(IFACE, tier(Stage.NORMAL, ingress=rules))))
    tamper = {"nftables": "nft insert rule inet tortie-policy filter-input accept"}.get(
        driver.name, f"{driver.name} -I tortie-INPUT -j ACCEPT"
    )
    seen = []
    steps: list[Callable[[], object]] = [
        lambda: None,
        lambda: driver.enforce(Delta(endpoints={IFACE: endpoint(IFACE, tier(Stage.NORMAL, ingress=[*rules, udp(9)]))})),
        lambda: (host.run("sh", "-c", tamper), driver.resync()),
        lambda: driver.enforce(Delta(endpoints={IFACE: endpoint(IFACE, tier(Stage.NORMAL, ingress=rules))})),
    ]
    for step in steps:
        step()
        assert ports.reached(OTHER, first=SERVICE) == {OTHER}
        counted, _ = driver.counters()
        seen.append([one.packets for one in counted if one.rule.policy.name == "normal-policy"][:2])
    ports.close()
    assert seen == [[1, 1], [2, 2], [3, 3], [4, 4]]


def refused(good: EndpointState) -> EndpointState:
    """The endpoint with a policy that no packet dataplane enforces."""
    (group,) = good.stage(Stage.NORMAL, Direction.INGRESS)
    policy = replace(group.policies[0], ingress=(), reason_refused="http matches need a layer-7 proxy")
    return replace(good, tiers={(Stage.NORMAL, Direction.INGRESS): (replace(group, policies=(policy,)),)})


@pytest.mark.parametrize("make", DRIVERS)
def test_what_only_an_earlier_agent_could_enforce_stays_until_there_is_something_better(
    pair: Pair, make: MakeDriver
) -> None:
    host, _ = pair
    good = endpoint(IFACE, tier(Stage.NORMAL, ingress=[udp(SERVICE)]))
    other = endpoint("eth9", tier(Stage.NORMAL, ingress=[udp(OTHER)]))
    with running(host, make) as earlier:
        earlier.enforce(first(good))
        before = ruleset(host)
        later = InNamespace(host, make)
        later.take(delta_of({IFACE: refused(good), "eth9": other}, failsafes=NO_FAILSAFES))
        report = later.apply()
        assert set(report.refused) == {IFACE, "eth9"} and ruleset(host) == before
        later.enforce(Delta(endpoints={IFACE: good}))
        assert {one.interface for one in later.status() if one.is_enforced} == {IFACE, "eth9"}
        last = InNamespace(host, make)  # nothing of the refused one is there: nobody has to wait
        last.take(delta_of({IFACE: good, "eth10": refused(endpoint("eth10", *[good.tiers]))}, failsafes=NO_FAILSAFES))
        assert set(last.apply().refused) == {"eth10"}
        assert [one.interface for one in last.status() if one.is_enforced] == [IFACE]


def test_an_endpoint_that_is_refused_keeps_its_last_good_policy(pair: Pair, driver: InNamespace) -> None:
    host, peer = pair
    good = endpoint(IFACE, tier(Stage.NORMAL, ingress=[udp(SERVICE)]))
    ports = Ports(host, peer, SERVICE, OTHER)
    driver.enforce(first(good))
    driver.take(Delta(endpoints={IFACE: refused(good)}))
    report = driver.apply()
    assert list(report.refused) == [IFACE] and not report.failed
    (status,) = driver.status()
    assert status.is_enforced and status.refused
    assert ports.reached(OTHER, first=SERVICE) == set()
    driver.enforce(Delta(endpoints={IFACE: endpoint(IFACE, tier(Stage.NORMAL, ingress=[udp(SERVICE), udp(OTHER)]))}))
    assert ports.reached(OTHER, first=SERVICE) == {OTHER}
    ports.close()


@pytest.mark.parametrize("version", [4, 6])
def test_a_denial_is_answered_where_that_is_configured(pair: Pair, driver: InNamespace, version: int) -> None:
    host, peer = pair
    state = endpoint(IFACE, tier(Stage.NORMAL, ingress=[udp(SERVICE)], egress=[udp(SERVICE)]))
    driver.enforce(first(replace(state, rejects=True)))
    for sender, receiver in ((peer, host), (host, peer)):
        address = receiver.address if version == 4 else receiver.address6
        family = socket.AF_INET if version == 4 else socket.AF_INET6
        for kind in (socket.SOCK_STREAM, socket.SOCK_DGRAM):
            with sender.entered(), socket.socket(family, kind) as asking:
                asking.settimeout(10)
                with pytest.raises(ConnectionRefusedError):
                    asking.connect((address, OTHER))
                    with suppress(PermissionError):  # how the kernel tells of a drop in the output hook, besides
                        asking.send(b"x")
                    asking.recv(100)
