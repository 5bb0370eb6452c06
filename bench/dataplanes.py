"""How soon each dataplane has policy in force, beside plain nft and iptables that a person wrote to the same effect.

    desired state ─▶ driver.take, apply ─▶ in force           rules as text ─▶ nft -f, iptables-restore ─▶ in force

In network namespaces of the bench's own; every dataplane is asked in turn, round after round. The policy is untracked:
N rules that deny a port each, one in each policy; or one rule that denies a set. By hand that is a chain of N rules in
the raw hook, or one rule that looks into a set.
"""

import json
import random
import subprocess
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import replace
from functools import partial

from bench.figures import Figure, Unmeasured
from bench.lab import folder
from bench.shapes import FIRST_PORT
from netns import Namespace, veth_pair
from tortie.dataplane.driver import Driver
from tortie.dataplane.ebpf.driver import EbpfDriver
from tortie.dataplane.ebpf.front import XdpFront
from tortie.dataplane.iptables.driver import IptablesDriver
from tortie.dataplane.nftables.driver import NftablesDriver
from tortie.kernel import bpf
from tortie.model.address import Net, format_address
from tortie.model.dataplane import IPTABLES, NFTABLES
from tortie.model.desired import Delta, EndpointState, SetChange, TierPolicies
from tortie.model.endpoint import Interface
from tortie.model.failsafe import Failsafes
from tortie.model.ipset import SelectorSet
from tortie.model.matches import Match, PortMatch, PortRange, ProtocolMatch, SetMatch
from tortie.model.nets import Nets
from tortie.model.packet import TCP, Direction, Side
from tortie.model.policy import Policy, PolicyKey, Stage, Tier
from tortie.model.rule import Action, Rule
from tortie.model.selector import ALL, parse_selector
from tortie.model.tables import Backend, TablesUse

SIZES = (1, 100, 1_000)
MEMBERS = 100_000
LISTED = SelectorSet(parse_selector('list == "deny"'))
Taken = dict[str, list[float]]


def measure(rounds: int) -> Sequence[Figure]:
    """The figures. Raises: Unmeasured, KernelError."""
    taken: Taken = {}
    for number in range(rounds):
        for name, make in drivers():
            with veth_pair() as (host, _), host.entered(), make() as driver:
                _apply(name, driver, host, number, taken)
        for name, by_hand in (("nft", _nft), ("iptables", _iptables)):
            with veth_pair() as (host, _), host.entered():
                by_hand(name, taken)
    return [Figure(f"dataplane.{name}", "ms", tuple(samples)) for name, samples in taken.items()]


def drivers() -> Iterator[tuple[str, Callable[[], AbstractContextManager[Driver]]]]:
    """Every dataplane by its name, and how to have its driver in the network namespace that the thread is in."""
    makers: dict[str, Callable[[ExitStack], Driver]] = {
        "ebpf": _ebpf,
        "nftables": lambda _: NftablesDriver(),
        "iptables": lambda _: IptablesDriver(TablesUse(Backend.NFT)),
        "nftables.front": lambda _: NftablesDriver(XdpFront(NFTABLES, tuple)),
        "iptables.front": lambda _: IptablesDriver(TablesUse(Backend.NFT), XdpFront(IPTABLES, tuple)),
    }
    for name, make in makers.items():
        yield name, partial(_running, make)


@contextmanager
def _running(make: Callable[[ExitStack], Driver]) -> Iterator[Driver]:
    with ExitStack() as opened:
        driver = make(opened)
        opened.callback(driver.cleanup)
        yield driver


def _ebpf(opened: ExitStack) -> Driver:
    place = opened.enter_context(folder()) / "bpf"
    place.mkdir()
    bpf.mount_bpffs(place)  # the driver takes it away with the rest
    return EbpfDriver(place)


def _apply(name: str, driver: Driver, host: Namespace, number: int, taken: Taken) -> None:
    """All figures of one dataplane in this round."""

    def apply(what: str, delta: Delta) -> None:
        began = time.perf_counter()
        driver.take(delta)
        report = driver.apply()
        taken.setdefault(f"{what}.{name}", []).append((time.perf_counter() - began) * 1e3)
        if report.failed or report.refused:
            raise Unmeasured(f"{name}: {report}")

    def state(policies: Sequence[Policy]) -> Delta:
        return desired(host, {(Stage.UNTRACKED, Direction.INGRESS): policies})

    chance = random.Random(number)
    driver.take(Delta(failsafes=Failsafes()))
    driver.take(state(_ports(2)))  # what is made once for a host is made
    driver.apply()
    known: list[Policy] = []
    for size in SIZES:
        apply(f"apply.{size}", state(known := _ports(size)))
    for _ in range(3):
        place = chance.randrange(len(known))
        known[place] = policy(place, _deny(*_port(FIRST_PORT + len(known) + chance.randrange(10_000))))
        apply(f"change.{SIZES[-1]}", state(known))
    addresses = chance.sample(range(1 << 24, 200 << 24), MEMBERS)
    listed = state([policy(0, _deny(SetMatch(Side.SOURCE, LISTED)))])
    apply(f"apply.members.{MEMBERS}", replace(listed, sets=listed_as(addresses)))
    for _ in range(3):
        more = SetChange(frozenset({Net(4, 201 << 24 | chance.getrandbits(20), 32)}), frozenset())
        apply(f"change.members.{MEMBERS}", Delta(sets={LISTED.set_id: more}))


def desired(host: Namespace, policies: Mapping[tuple[Stage, Direction], Sequence[Policy]]) -> Delta:
    """That the host's interface has these policies, in one tier."""
    tiers = {where: (TierPolicies(Tier("default"), tuple(found)),) for where, found in policies.items()}
    interface = Interface(name=host.interface, index=host.ifindex)
    return Delta(endpoints={host.interface: EndpointState(interface=interface, endpoint="bench", tiers=tiers)})


def listed_as(addresses: Iterable[int]) -> Mapping[str, SetChange]:
    """That these IPv4 addresses, and no others, are the members of LISTED."""
    return {LISTED.set_id: SetChange(Nets(Net(4, one, 32) for one in addresses), frozenset(), is_new=True)}


def _ports(count: int) -> list[Policy]:
    return [policy(number, _deny(*_port(FIRST_PORT + number))) for number in range(count)]


def _port(port: int) -> tuple[Match, ...]:
    return ProtocolMatch(TCP), PortMatch(Side.DESTINATION, (PortRange(port, port),))


def _deny(*matches: Match) -> Rule:
    return Rule(Action.DENY, matches)


def policy(number: int, rule: Rule, *, is_tracked: bool = False) -> Policy:
    """One of many, with that rule for both directions, of the untracked or of the normal class."""
    return Policy(
        key=PolicyKey("GlobalNetworkPolicy", "", f"bench-{number:04}"),
        tier="default",
        order=float(number),
        selector=ALL,
        ingress=(rule,),
        egress=(rule,),
        do_not_track=not is_tracked,
        apply_on_forward=not is_tracked,
    )


def _nft(name: str, taken: Taken) -> None:
    for size in SIZES:
        rules = "".join(f"tcp dport {FIRST_PORT + number} drop\n" for number in range(size))
        hook = "type filter hook prerouting priority raw;\n"
        script = f"table inet t {{\n chain c {{\n{hook}{rules}}}\n}}\n"
        _run(f"apply.{size}.by_hand.{name}", ["nft", "-f", "-"], script, taken)
        subprocess.run(["nft", "flush", "ruleset"], check=True)
    listed = ", ".join(map(partial(format_address, 4), random.Random(1).sample(range(1 << 24, 200 << 24), MEMBERS)))
    script = (
        f"table inet t {{\n set s {{ type ipv4_addr; elements = {{ {listed} }}\n }}\n"
        " chain c { type filter hook prerouting priority raw; ip saddr @s drop;\n }\n}\n"
    )
    _run(f"apply.members.{MEMBERS}.by_hand.{name}", ["nft", "-f", "-"], script, taken)


def _iptables(name: str, taken: Taken) -> None:
    for size in SIZES:
        rules = "".join(f"-A PREROUTING -p tcp --dport {FIRST_PORT + number} -j DROP\n" for number in range(size))
        script = f"*raw\n:PREROUTING ACCEPT\n{rules}COMMIT\n"
        _run(f"apply.{size}.by_hand.{name}", ["iptables-nft-restore"], script, taken)
    size = 1 << (MEMBERS - 1).bit_length()
    lines = [f"create s hash:ip hashsize {size} maxelem {size}"]
    lines += [f"add s {format_address(4, one)}" for one in random.Random(1).sample(range(1 << 24, 200 << 24), MEMBERS)]
    _run(f"apply.members.{MEMBERS}.by_hand.{name}", ["ipset", "restore"], "\n".join([*lines, ""]), taken)


def _run(what: str, words: Sequence[str], script: str, taken: Taken) -> None:
    began = time.perf_counter()
    done = subprocess.run(words, input=script, text=True, capture_output=True, check=False)
    taken.setdefault(what, []).append((time.perf_counter() - began) * 1e3)
    if done.returncode:
        raise Unmeasured(f"{json.dumps(list(words))}: {done.stderr}")
