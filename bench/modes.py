"""Untracked policy beside tracked policy, in every mode: requests a second of redis.

    modes.WHICH.MODE.KIND          requests a second
    modes.MODE.KIND.ratio          untracked to tracked, round by round
    modes.MODE.KIND.ratio.pass     untracked to tracked where an XDP program is attached that only passes

WHICH: the untracked policy of the article, or normal policy that allows redis. KIND: `new`, a connection for each
request, or `kept`, connections that stay. MODE: a dataplane, and `.tc` or `.alone` where xdpEnabled is false, so that
eBPF is at tc and rules decide alone, or `.beside` where somebody else's rules have the kernel track connections, as
Docker's and firewalld's do; netfilter's dataplanes do by themselves. So were upstream's modes measured (reference
fastpath.md 7).

Where rules have XDP in front, only untracked policy has it: `pass` is a third host, since a veth pair takes some us of
each packet for having an XDP program at all, which network cards do not.

The hosts of a mode have their own namespaces, wire, redis-server and agent, and take turns.
"""

from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack
from typing import NamedTuple

from bench.figures import Figure, Missing, Unmeasured
from bench.lab import TRACKING_RULES, Document, article, quiet_host
from bench.redis import CLIENTS, NO_XDP, PASS, TRACKED, UNTRACKED, Served, normal_policy, serve
from tortie.model.dataplane import EBPF, IPTABLES, NFTABLES

KINDS = {"new": False, "kept": True}
_REQUESTS = {"new": 1, "kept": 8}
"""Those of kept connections take a quarter of the time, and redis-benchmark's clock ticks in milliseconds."""


class Mode(NamedTuple):
    """The dataplane, what is told besides the policy, and rules of somebody else."""

    dataplane: str
    more: Sequence[Document] = ()
    beside: str = ""

    @property
    def is_in_front(self) -> bool:
        """Whether XDP is there for untracked policy only."""
        return self.dataplane != EBPF and NO_XDP not in self.more


MODES = {
    EBPF: Mode(EBPF),
    f"{EBPF}.tc": Mode(EBPF, (NO_XDP,)),
    f"{EBPF}.beside": Mode(EBPF, beside=TRACKING_RULES),
    NFTABLES: Mode(NFTABLES),
    f"{NFTABLES}.alone": Mode(NFTABLES, (NO_XDP,)),
    IPTABLES: Mode(IPTABLES),
    f"{IPTABLES}.alone": Mode(IPTABLES, (NO_XDP,)),
}


def measure(rounds: int, requests: int) -> Sequence[Figure | Missing]:
    """Every figure; a mode that cannot be had is missing, with the reason. Raises: KernelError."""
    found: list[Figure | Missing] = []
    for mode in MODES:
        try:
            found += [*_measure(mode, rounds, requests)]
        except Unmeasured as error:
            found.append(Missing(f"modes.{mode}", str(error)))
    return found


def _measure(mode: str, rounds: int, requests: int) -> Iterator[Figure]:
    with ExitStack() as opened:
        untracked, tracked, *passing = hosts = [*_hosts(mode, opened)]
        for kind, keeps in KINDS.items():
            for number in range(-1, rounds):
                for one in hosts if number % 2 else reversed(hosts):
                    one.measure(requests * _REQUESTS[kind], keeps=keeps)
                if number < 0:  # the first round is for the caches
                    _forget(hosts)
            for one in hosts:
                name = f"modes.{one.name}.{mode}.{kind}"
                yield Figure(name, "requests/s", tuple(one.rates), note=f"{CLIENTS} at a time")
            yield _ratio(f"modes.{mode}.{kind}.ratio", untracked, tracked)
            yield from (_ratio(f"modes.{mode}.{kind}.ratio.pass", untracked, one) for one in passing)
            _forget(hosts)
        # Of each connection of its own: SYN, request and FIN, at least.
        counted = untracked.host.packets("ingress")
        if counted < 3 * requests * rounds:
            raise Unmeasured(f"untracked policy met {counted} packets")


def _hosts(name: str, opened: ExitStack) -> Iterator[Served]:
    mode = MODES[name]
    for which in (UNTRACKED, TRACKED, *([PASS] if mode.is_in_front else [])):
        one = serve(which, opened.enter_context(quiet_host()))
        one.host.environment["TORTIE_DATAPLANE"] = mode.dataplane
        policy = article if which == UNTRACKED else normal_policy
        one.host.enforce([*mode.more, *policy(one.host.host.address)])
        if mode.beside:
            one.host.host.run("nft", "-f", "-", input=mode.beside)
        if which == PASS:
            one.host.attach_alone("xdp_root", opened)
        yield one


def _forget(hosts: Iterable[Served]) -> None:
    for one in hosts:
        one.rates.clear()


def _ratio(name: str, untracked: Served, other: Served) -> Figure:
    ratios = tuple(one / another for one, another in zip(untracked.rates, other.rates, strict=True))
    return Figure(name, "x", ratios, note=f"{untracked.name} to {other.name}")
