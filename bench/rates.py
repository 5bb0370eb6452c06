"""How many packets a second each dataplane drops, and lets in, beside plain nft and iptables doing the same.

    dataplane.drop.N.NAME          a flood that the last of N rules, one in each policy, denies without tracking
    dataplane.drop.members.NAME    one rule that denies a set, to which every packet's source belongs
    dataplane.accept.WHICH.NAME    a flood to a socket of the host, of one connection that is established
    dataplane.accept.WHICH.new.NAME    one of which each packet is from one of 100,000 sources: most are new

WHICH: allowed by untracked or by tracked policy. NAME: `ebpf.beside` is eBPF where a rule of somebody else has
the kernel track connections, as Docker's and firewalld's do; netfilter's dataplanes have it track them by themselves.

The packets are a flood (flood.py): a rate has the cost of sending in it, so rates are nearer to each other than what
the dataplanes take. A figure counts only if the deciding rule, or the host's UDP, counted every packet that arrived.
"""

import json
import random
import socket
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from ipaddress import IPv4Address
from typing import NamedTuple

from bench.dataplanes import LISTED, MEMBERS, SIZES, desired, drivers, listed_as, policy
from bench.figures import Figure, Unmeasured
from bench.flood import HOT, PORT, SOURCE_PORT, SOURCES_LENGTH, STRAY, one_cpu, send, sender
from bench.lab import TRACKING_RULES
from bench.shapes import FIRST_PORT
from netns import Namespace, receive_by_napi, veth_pair
from tortie.dataplane.driver import Driver
from tortie.model.address import format_address
from tortie.model.desired import Delta, HostAddresses
from tortie.model.failsafe import Failsafes
from tortie.model.matches import Match, PortMatch, PortRange, ProtocolMatch, SetMatch
from tortie.model.packet import UDP, Direction, Side
from tortie.model.policy import Stage
from tortie.model.rule import Action, Rule

Rates = dict[str, list[float]]
_PACKETS = 100_000
"""In one flood: a chain of 1,000 rules takes 10 us for each."""
_LAST_ONES_S = 1.0
"""So long the last packets of a flood may be on their way."""
CLASSES = {"untracked": Stage.UNTRACKED, "tracked": Stage.NORMAL}


def measure(rounds: int) -> Sequence[Figure]:
    """The figures. Raises: Unmeasured, KernelError."""
    rates: Rates = {}
    with one_cpu():
        for number in range(-1, rounds):
            for name, make in drivers():
                with _site() as site, site.host.entered(), make() as driver:
                    _drops(name, driver, site, rates)
                    _accepts(name, driver, site, rates)
            for name, by_hand in _BY_HAND.items():
                with _site() as site, site.host.entered():
                    by_hand(name, site, rates)
            if number < 0:  # the first round is for the caches
                rates.clear()
    return [*_figures(rates)]


def _figures(rates: Rates) -> Iterator[Figure]:
    for name, samples in rates.items():
        yield Figure(f"dataplane.{name}", "Mpps", tuple(samples))
    names = [*(name for name, _ in drivers()), "ebpf.beside", *(f"by_hand.{name}" for name in _BY_HAND)]
    for name in (f"{new}{name}" for name in names for new in ("", "new.")):
        pairs = zip(rates[f"accept.untracked.{name}"], rates[f"accept.tracked.{name}"], strict=True)
        ratios = tuple(untracked / tracked for untracked, tracked in pairs)
        yield Figure(f"dataplane.accept.{name}.ratio", "x", ratios, note="untracked to tracked")


Flood = Callable[[], tuple[int, int]]


class Site(NamedTuple):
    """A host, and floods that are sent to it: from one source, and from many."""

    host: Namespace
    hot: Flood
    many: Flood


@contextmanager
def _site() -> Iterator[Site]:
    with veth_pair() as (host, peer), ExitStack() as opened:
        receive_by_napi(host)
        host.run("ip", "route", "add", f"{HOT}/{SOURCES_LENGTH}", "via", peer.address)
        hot, many = sender(peer, 0, opened), sender(peer, MEMBERS, opened, is_mended=True)
        yield Site(host, lambda: send(hot, host, peer, _PACKETS), lambda: send(many, host, peer, _PACKETS))


def _note(what: str, flood: Flood, counted: Callable[[], int], rates: Rates) -> None:
    before = counted()
    arrived, took_ns = flood()
    deadline = time.monotonic() + _LAST_ONES_S
    while (found := counted() - before) < arrived and time.monotonic() < deadline:
        time.sleep(0.01)
    if not arrived <= found <= arrived + STRAY or not took_ns:
        raise Unmeasured(f"dataplane.{what}: {found} of {arrived} packets were counted")
    rates.setdefault(what, []).append(arrived * 1e3 / took_ns)


def _drops(name: str, driver: Driver, site: Site, rates: Rates) -> None:
    host, flood = site.host, site.hot

    def denied() -> int:
        return sum(one.packets for one in driver.counters()[0])

    where = (Stage.UNTRACKED, Direction.INGRESS)
    driver.take(Delta(failsafes=Failsafes()))
    for size in SIZES:
        ports = (*range(FIRST_PORT, FIRST_PORT + size - 1), PORT)
        rules = [Rule(Action.DENY, _port(port, Side.DESTINATION)) for port in ports]
        _enforce(driver, desired(host, {where: [policy(number, rule) for number, rule in enumerate(rules)]}))
        _note(f"drop.{size}.{name}", flood, denied, rates)
    listed = policy(0, Rule(Action.DENY, (SetMatch(Side.SOURCE, LISTED),)))
    _enforce(
        driver, replace(desired(host, {where: [listed]}), sets=listed_as(int(IPv4Address(one)) for one in _members()))
    )
    _note(f"drop.members.{name}", flood, denied, rates)


def _accepts(name: str, driver: Driver, site: Site, rates: Rates) -> None:
    host = site.host
    sides = {Direction.INGRESS: Side.DESTINATION, Direction.EGRESS: Side.SOURCE}
    driver.take(Delta(addresses=HostAddresses(frozenset({(4, int(IPv4Address(host.address)))}))))
    for which, stage in CLASSES.items():
        policies = {
            (stage, direction): [policy(0, Rule(Action.ALLOW, _port(PORT, side)), is_tracked=which == "tracked")]
            for direction, side in sides.items()
        }
        _enforce(driver, desired(host, policies))
        _note_accepted(which, name, site, rates)
        if name == "ebpf":
            host.run("nft", "-f", "-", input=TRACKING_RULES)
            _note_accepted(which, f"{name}.beside", site, rates)
            host.run("nft", "delete", "table", "inet", "beside")


def _note_accepted(which: str, name: str, site: Site, rates: Rates) -> None:
    """Both floods, to a socket that is open, of which the hot one is the answer to a packet."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as asked:
        asked.bind(("", PORT))
        asked.sendto(b"", (str(HOT), SOURCE_PORT))
        for new, flood in (("", site.hot), ("new.", site.many)):
            _note(f"accept.{which}.{new}{name}", flood, lambda: _delivered(site.host), rates)


def _enforce(driver: Driver, delta: Delta) -> None:
    driver.take(delta)
    report = driver.apply()
    if report.failed or report.refused:
        raise Unmeasured(f"{report}")


def _port(port: int, side: Side) -> tuple[Match, ...]:
    return ProtocolMatch(UDP), PortMatch(side, (PortRange(port, port),))


def _members() -> list[str]:
    chance = random.Random(1)
    return [str(HOT), *(format_address(4, one) for one in chance.sample(range(1 << 24, 60 << 24), MEMBERS - 1))]


def _delivered(host: Namespace) -> int:
    """Packets that IP has given to UDP and the like."""
    names, values = (line.split() for line in host.run("cat", "/proc/net/snmp").splitlines() if line.startswith("Ip:"))
    return int(values[names.index("InDelivers")])


# ---- by hand


def _nft(name: str, site: Site, rates: Rates) -> None:
    host, flood = site.host, site.hot

    def dropped() -> int:
        found = json.loads(host.run("nft", "-j", "list", "counter", "inet", "t", "dropped"))["nftables"]
        return int(next(one["counter"]["packets"] for one in found if "counter" in one))

    def chain(hook: str, rules: str) -> str:
        return f" chain {hook} {{\ntype filter hook {hook} priority raw;\n{rules}\n }}\n"

    def table(rules: str, rest: str = "") -> str:
        return f"table inet t {{\n counter dropped {{\n }}\n{rest}\n{chain('prerouting', rules)}}}\n"

    for size in SIZES:
        others = "".join(f"udp dport {FIRST_PORT + number} drop\n" for number in range(size - 1))
        host.run("nft", "-f", "-", input=table(f"{others}udp dport {PORT} counter name dropped drop"))
        _note(f"drop.{size}.by_hand.{name}", flood, dropped, rates)
        host.run("nft", "flush", "ruleset")
    listed = f"set s {{ type ipv4_addr; elements = {{ {', '.join(_members())} }}\n }}"
    host.run("nft", "-f", "-", input=table("ip saddr @s counter name dropped drop", listed))
    _note(f"drop.members.by_hand.{name}", flood, dropped, rates)
    host.run("nft", "flush", "ruleset")
    known = chain("input", f"ct state established,untracked accept\nudp dport {PORT} accept\ndrop")
    free = chain("output", f"udp sport {PORT} notrack")
    for which, text in (("untracked", table(f"udp dport {PORT} notrack", known + free)), ("tracked", table("", known))):
        host.run("nft", "-f", "-", input=text)
        _note_accepted(which, f"by_hand.{name}", site, rates)
        host.run("nft", "flush", "ruleset")


def _iptables(name: str, site: Site, rates: Rates) -> None:
    host, flood = site.host, site.hot

    def dropped() -> int:
        found = host.run("iptables-nft", "-t", "raw", "-nvxL", "PREROUTING").splitlines()
        return sum(int(line.split()[0]) for line in found if "DROP" in line)

    def rules(*words: str) -> str:
        lines = "".join(f"-A PREROUTING {one} -j DROP\n" for one in words)
        return f"*raw\n:PREROUTING ACCEPT\n{lines}COMMIT\n"

    for size in SIZES:
        ports = (*range(FIRST_PORT, FIRST_PORT + size - 1), PORT)
        host.run("iptables-nft-restore", input=rules(*(f"-p udp --dport {port}" for port in ports)))
        _note(f"drop.{size}.by_hand.{name}", flood, dropped, rates)
    lines = [f"create s hash:ip maxelem {MEMBERS}", *(f"add s {one}" for one in _members())]
    host.run("ipset", "restore", input="\n".join([*lines, ""]))
    host.run("iptables-nft-restore", input=rules("-m set --match-set s src"))
    _note(f"drop.members.by_hand.{name}", flood, dropped, rates)
    host.run("iptables-nft-restore", input="*raw\nCOMMIT\n")
    known = (
        f"*filter\n-A INPUT -m conntrack --ctstate ESTABLISHED,UNTRACKED -j ACCEPT\n"
        f"-A INPUT -p udp --dport {PORT} -j ACCEPT\n-A INPUT -j DROP\nCOMMIT\n"
    )
    free = f"*raw\n-A PREROUTING -p udp --dport {PORT} -j NOTRACK\n-A OUTPUT -p udp --sport {PORT} -j NOTRACK\nCOMMIT\n"
    for which, text in (("untracked", free + known), ("tracked", "*raw\nCOMMIT\n" + known)):
        host.run("iptables-nft-restore", input=text)
        _note_accepted(which, f"by_hand.{name}", site, rates)


_BY_HAND = {"nft": _nft, "iptables": _iptables}
