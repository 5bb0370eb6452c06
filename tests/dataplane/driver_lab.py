"""The eBPF driver in namespaces of its own: endpoints and policies for it, and what to try on them."""

import socket
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from netns import Namespace
from tortie.dataplane.ebpf.driver import EbpfDriver
from tortie.model.desired import EndpointState, TierPolicies
from tortie.model.endpoint import Interface
from tortie.model.ipset import SelectorSet
from tortie.model.matches import Match, PortMatch, PortRange, ProtocolMatch, SetMatch
from tortie.model.packet import TCP, Direction, Side
from tortie.model.policy import DEFAULT_ALLOW, Policy, PolicyKey, Profile, Stage, Tier
from tortie.model.rule import Action, Rule
from tortie.model.selector import ALL, parse_selector
from tortie.model.xdp import XdpUse, XdpWish

FRIENDS = SelectorSet(parse_selector('role == "friend"'))
PORT = 6379
OPEN = Profile(DEFAULT_ALLOW, ingress=(Rule(Action.ALLOW),), egress=(Rule(Action.ALLOW),))
"""What untracked policy does not decide, passes."""


def policy(ingress: tuple[Rule, ...], egress: tuple[Rule, ...] = (), name: str = "redis") -> Policy:
    return Policy(
        key=PolicyKey("GlobalNetworkPolicy", "", name),
        tier="default",
        order=1.0,
        selector=ALL,
        ingress=ingress,
        egress=egress,
        do_not_track=True,
        apply_on_forward=True,
    )


def endpoint(host: Namespace, *policies: Policy) -> EndpointState:
    groups = (TierPolicies(Tier("default"), policies),)
    return EndpointState(
        interface=Interface(name=host.interface, index=host.ifindex),
        endpoint="host-ens4",
        tiers={(Stage.UNTRACKED, direction): groups for direction in Direction},
        profiles=(OPEN,),
    )


def placed(state: EndpointState, is_to_xdp: bool) -> EndpointState:
    """The endpoint with its packets to be judged in XDP, or at tc."""
    return replace(state, xdp=XdpWish(XdpUse.ALWAYS if is_to_xdp else XdpUse.NEVER))


def refused(good: EndpointState) -> EndpointState:
    """The endpoint with a policy beside its others that no packet dataplane enforces."""
    bad = replace(policy((), name="early"), do_not_track=False, pre_dnat=True, reason_refused="it matches HTTP")
    early = TierPolicies(Tier("default"), (bad,))
    return replace(good, tiers={**good.tiers, (Stage.PRE_DNAT, Direction.INGRESS): (early,)})


def rule(action: Action, *matches: Match, side: Side = Side.DESTINATION) -> Rule:
    return Rule(action, (ProtocolMatch(TCP), PortMatch(side, (PortRange(PORT, PORT),)), *matches))


ALLOW_BOTH = policy((rule(Action.ALLOW),), (rule(Action.ALLOW, side=Side.SOURCE),))
DENY = policy((rule(Action.DENY),))
FRIENDS_ONLY = policy(
    (rule(Action.ALLOW, SetMatch(Side.SOURCE, FRIENDS)), rule(Action.DENY)), (rule(Action.ALLOW, side=Side.SOURCE),)
)


@contextmanager
def driven(host: Namespace, bpffs: Path) -> Iterator[EbpfDriver]:
    """A driver in the host's namespace, cleaned up behind it."""
    with host.entered():
        driver = EbpfDriver(bpffs)
        try:
            yield driver
        finally:
            driver.cleanup()


@contextmanager
def listening(host: Namespace) -> Iterator[None]:
    """A TCP server in the host's namespace that accepts."""
    with host.entered():
        server = socket.create_server(("", PORT))
    with server:
        yield


def connects(peer: Namespace, host: Namespace, port: int = PORT, *, patience_s: float = 3.0) -> bool:
    with peer.entered():
        client = socket.socket()
    with client:
        client.settimeout(patience_s)
        try:
            client.connect((host.address, port))
        except OSError:
            return False
        return True


def is_silent(peer: Namespace, host: Namespace) -> bool:
    return not connects(peer, host, patience_s=0.4)


def arrives(peer: Namespace, host: Namespace) -> bool:
    """Whether a first packet gets as far as the host's input. A connection says less: the answer may be dropped."""
    host.run(
        "nft",
        "add table inet arrivals; add counter inet arrivals seen; "
        "add chain inet arrivals input { type filter hook input priority 0; }; "
        f"add rule inet arrivals input tcp dport {PORT} counter name seen",
    )
    try:
        connects(peer, host, patience_s=0.4)
        return "packets 0 " not in host.run("nft", "list", "counter", "inet", "arrivals", "seen")
    finally:
        host.run("nft", "delete", "table", "inet", "arrivals")


def tracked(host: Namespace) -> int:
    return len([line for line in host.run("conntrack", "-L").splitlines() if f"dport={PORT}" in line])


def make_kernel_track(host: Namespace) -> None:
    host.run(
        "nft",
        "add table inet watch; add chain inet watch c { type filter hook input priority 0; }; "
        "add rule inet watch c ct state new counter",
    )
