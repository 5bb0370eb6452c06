"""Packets a second that a host drops on a veth pair, by what drops them: several hosts side by side.

    empty          an XDP program that drops and looks at nothing
    policy         tortie's agent: untracked deny policy of 1,000 rules, the last of which denies a set of 100,000
    nft_raw        one rule of nft in raw PREROUTING
    iptables_raw   one rule of iptables in raw PREROUTING; only where iptables is installed

The packets are a flood (flood.py). A figure counts only if what should drop the packets counted them all. "Random":
every packet from one of the set's members.
"""

import json
import shutil
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field

from bench.figures import Figure, Missing, Unmeasured
from bench.flood import HOT, STRAY, one_cpu, send, sender, sources, statistic
from bench.lab import SELECTOR, Document, Host, document, host_endpoint, quiet_host
from netns import receive_by_napi

EMPTY, POLICY, NFT, IPTABLES = "empty", "policy", "nft_raw", "iptables_raw"
RULES, MEMBERS = 1_000, 100_000
FIRST_PORT = 20_000
ENFORCED_S = 60.0


@dataclass(slots=True)
class Dropping:
    """A host that drops, and the rates of its rounds. Units: millions of packets a second."""

    name: str
    host: Host
    counted: Callable[[], int]
    senders: dict[str, int] = field(default_factory=dict)
    rates: dict[str, list[float]] = field(default_factory=dict)

    def measure(self, how: str) -> None:
        """One turn of one sender. Raises: Unmeasured unless every packet that was sent was counted as dropped."""
        before = self.counted()
        arrived, took_ns = send(self.senders[how], self.host.host, self.host.peer)
        dropped = self.counted() - before
        if not arrived <= dropped <= arrived + STRAY or not took_ns:
            raise Unmeasured(f"veth.drop.{self.name}{how}: {dropped} of {arrived} packets were counted as dropped")
        self.rates.setdefault(how, []).append(arrived * 1e3 / took_ns)


def measure(rounds: int, members: int) -> Sequence[Figure | Missing]:
    """Every figure; a host that cannot be had is missing, with the reason."""
    hosts = {EMPTY: _empty, POLICY: lambda host, opened: _policy(host, members), NFT: _nft, IPTABLES: _iptables}
    dropping: list[Dropping] = []
    missing: list[Missing] = []
    with ExitStack() as opened:
        for name, prepare in hosts.items():
            host = opened.enter_context(quiet_host())
            try:
                one = Dropping(name, host, prepare(host, opened))
            except Unmeasured as error:
                missing.append(Missing(f"veth.drop.{name}", str(error)))
                continue
            one.senders[""] = sender(host.peer, 0, opened)
            if name in (EMPTY, POLICY):
                one.senders[".random"] = sender(host.peer, members, opened)
            dropping.append(one)
        turns = [(one, how) for one in dropping for how in one.senders]
        with one_cpu():
            for number in range(-1, rounds):
                at = number % len(turns)
                for one, how in (*turns[at:], *turns[:at]):
                    one.measure(how)
                if number < 0:  # the first round is for the caches
                    for one, _ in turns:
                        one.rates.clear()
    (empty,) = (one for one in dropping if one.name == EMPTY)
    return [*(figure for one, how in turns for figure in _figures(one, how, empty)), *missing]


def _figures(one: Dropping, how: str, empty: Dropping) -> Iterator[Figure]:
    name, rates = f"veth.drop.{one.name}{how}", one.rates[how]
    note = "random sources" if how else "one source"
    yield Figure(name, "Mpps", tuple(rates), note=note)
    if one is not empty:
        ratios = (rate / other for rate, other in zip(rates, empty.rates[how], strict=True))
        yield Figure(f"{name}.ratio", "x", tuple(ratios), note=f"to empty{how}")


# What drops


def _empty(host: Host, opened: ExitStack) -> Callable[[], int]:
    host.attach_alone("xdp_empty", opened)
    return lambda: statistic(host.host, r"rx_queue_\d+_xdp_drops")


def _policy(host: Host, members: int) -> Callable[[], int]:
    listed = {"nets": [str(address) for address in sources(members)]}
    rules: list[Document] = [
        {"action": "Deny", "protocol": "UDP", "destination": {"ports": [FIRST_PORT + number]}}
        for number in range(RULES - 1)
    ]
    policy = {
        "selector": SELECTOR,
        "order": 1,
        "applyOnForward": True,
        "doNotTrack": True,
        "types": ["Ingress"],
        "ingress": [*rules, {"action": "Deny", "source": {"selector": 'list == "deny"'}}],
    }
    documents = [
        host_endpoint(host.host.address),
        document("GlobalNetworkSet", "listed", listed, labels={"list": "deny"}),
        document("GlobalNetworkPolicy", "deny-listed", policy),
    ]
    host.enforce(documents, timeout_s=ENFORCED_S)
    return lambda: host.packets("ingress", rule=RULES - 1)


def _nft(host: Host, opened: ExitStack) -> Callable[[], int]:
    rule = f"ip saddr {HOT} counter name dropped drop"
    chain = f"chain early {{\ntype filter hook prerouting priority raw;\n{rule}\n}}"
    host.host.run("nft", "-f", "-", input=f"table ip bench {{\ncounter dropped {{\n}}\n{chain}\n}}\n")
    receive_by_napi(host.host)

    def counted() -> int:
        listed = json.loads(host.host.run("nft", "-j", "list", "counter", "ip", "bench", "dropped"))["nftables"]
        return int(next(one["counter"]["packets"] for one in listed if "counter" in one))

    return counted


def _iptables(host: Host, opened: ExitStack) -> Callable[[], int]:
    command = shutil.which("iptables-legacy") or shutil.which("iptables")
    if command is None:
        raise Unmeasured("iptables is not installed")
    host.host.run(command, "-t", "raw", "-A", "PREROUTING", "-s", str(HOT), "-j", "DROP")
    receive_by_napi(host.host)

    def counted() -> int:
        listed = host.host.run(command, "-t", "raw", "-nvxL", "PREROUTING")
        return int(next(line.split()[0] for line in listed.splitlines() if "DROP" in line))

    return counted
