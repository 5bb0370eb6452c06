"""One dataplane takes another's place under traffic: on a running agent, by a restart, and after a crash in between."""

import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from contract import NEEDS_LEGACY
from exchanges import Exchange, exchanging
from streams import Conversations, Stream, Streams, conversing, streaming

from lockdown import AgentHost, agent_host, allow, deny, endpoint, policy, settings, until
from netns import Namespace, receive_by_napi
from tortie.dataplane.ebpf.front import FOLDER
from tortie.kernel import bpf

pytestmark = pytest.mark.root

OPEN_IN, SHUT_IN = Stream(7001), Stream(7002)
OPEN_OUT, SHUT_OUT = Stream(7003, is_inward=False), Stream(7004, is_inward=False)
FREE_IN, BARRED_IN = Stream(7005), Stream(7006)
FREE_OUT = Stream(7007, is_inward=False)
ASKED_HERE, ASKED_THERE, LONG = 7011, 7012, 7013
STREAMS = (OPEN_IN, SHUT_IN, OPEN_OUT, SHUT_OUT, FREE_IN, BARRED_IN, FREE_OUT)
PASSING = (OPEN_IN, OPEN_OUT, FREE_IN, FREE_OUT)
IPTABLES_NFT, IPTABLES_LEGACY = (settings(nftablesMode="Disabled", iptablesBackend=one) for one in ("NFT", "Legacy"))
CRASHES_S = (0.01, 0.03, 0.06, 0.1, 0.15, 0.25)
"""After a change was committed: within it, and behind it."""
NAMES = {
    "ebpf": settings(bpfEnabled=True),
    "nftables": settings(nftablesMode="Enabled"),
    "iptables-nft": IPTABLES_NFT,
    "iptables-legacy": IPTABLES_LEGACY,
}
"""By dataplane, or variant of it: what asks for it."""
PAIRS = [
    pytest.param("ebpf", "nftables", id="ebpf-nftables"),
    pytest.param("ebpf", "iptables-nft", id="ebpf-iptables-nft"),
    pytest.param("nftables", "iptables-nft", id="nftables-iptables-nft"),
    pytest.param("ebpf", "iptables-legacy", id="ebpf-iptables-legacy", marks=NEEDS_LEGACY),
    pytest.param("nftables", "iptables-legacy", id="nftables-iptables-legacy", marks=NEEDS_LEGACY),
]
POLICIES = (
    endpoint(),
    policy(
        "tracked",
        ingress=[allow("UDP", OPEN_IN.port, ASKED_HERE), allow("TCP", LONG)],
        egress=[allow("UDP", OPEN_OUT.port, ASKED_THERE), allow("TCP", LONG)],
    ),
    policy(
        "untracked",
        ingress=[allow("UDP", FREE_IN.port), deny("UDP", BARRED_IN.port)],
        egress=[allow("UDP", FREE_OUT.port)],
        untracked=True,
        order=1,
    ),
)


@dataclass
class Traffic:
    """Everything that goes on, and what has to come of it."""

    streams: Streams
    exchanges: Sequence[Exchange]
    conversations: Conversations

    def check(self, first: int) -> str:
        """No packet was wrongly allowed or dropped since that one, and connections go on; how many there were."""
        before, said = [one.asked for one in self.exchanges], self.conversations.exchanges
        last = self.streams.settled()
        until(lambda: all(one.asked > asked + 20 for one, asked in zip(self.exchanges, before, strict=True)), 10)
        until(lambda: self.conversations.exchanges > said + 100, 10)
        arrived = {stream.port: self.streams.arrived(stream, first, last) for stream in STREAMS}
        dropped = {stream.port: arrived[stream.port].count(0) for stream in PASSING}
        passed = {stream.port: arrived[stream.port].count(1) for stream in STREAMS if stream not in PASSING}
        unanswered = [one.lost for one in self.exchanges]
        lost = sum(dropped.values()) + sum(unanswered)
        assert sum(passed.values()) == 0 and lost == 0, (dropped, passed, unanswered)
        assert self.conversations.failures == 0
        asked = sum(one.asked for one in self.exchanges)
        return f"{last - first} packets on each of {len(STREAMS)} streams, {asked} questions: {lost} lost"


def is_iptables(name: str) -> bool:
    return dataplane(name) == "iptables"


@contextmanager
def traffic(host: Namespace, peer: Namespace) -> Iterator[Traffic]:
    """Every packet of the streams is a connection that the kernel knows for half a minute, and that a change has to
    tell to the dataplane that comes: some 30,000. At full speed it would be 160,000, and a change take half a minute.
    """
    with ExitStack() as stack:
        conversations = stack.enter_context(conversing(host, peer, inward=8, outward=8, port=LONG))
        exchanges = [
            stack.enter_context(exchanging(asker, answerer, port, version=version))
            for asker, answerer, port in ((peer, host, ASKED_HERE), (host, peer, ASKED_THERE))
            for version in (4, 6)
        ]
        streams = stack.enter_context(streaming(host, peer, STREAMS, pause_s=0.002))
        yield Traffic(streams, exchanges, conversations)


@pytest.fixture
def site(tmp_path: Path) -> Iterator[AgentHost]:
    with agent_host(tmp_path / "agent") as made:
        receive_by_napi(made.host)
        yield made


def changed_to(site: AgentHost, name: str) -> dict[str, Any]:
    """The status once that dataplane enforces alone."""
    found: dict[str, Any] = {}

    def is_alone() -> bool:
        with suppress(OSError):
            found.update(site.settle())
        return bool(found) and (found["dataplane"]["name"], found["dataplane"]["leaving"]) == (dataplane(name), [])

    until(is_alone, 20)
    assert "table inet tortie-tracking" not in tables(site.host)
    return found


def dataplane(name: str) -> str:
    return name.partition("-")[0]


def tables(host: Namespace) -> set[str]:
    return set(host.run("nft", "list", "tables").split("\n")) - {""}


def left_of(site: AgentHost, name: str) -> bool:
    """Whether anything of that dataplane is there."""
    if name != "ebpf" and (FOLDER / dataplane(name) / site.pins.name).exists():
        return True
    if is_iptables(name):
        return "tortie" in site.host.run(f"{name}-save") + site.host.run("ipset", "save")
    if name == "ebpf":
        return site.pins.exists() or bool({"table inet tortie", "table inet tortie-tracking"} & tables(site.host))
    return "table inet tortie-policy" in tables(site.host)


def first_on(site: AgentHost, name: str) -> None:
    site.commit(*POLICIES, NAMES[name])
    site.start()
    changed_to(site, name)


@pytest.mark.parametrize(("before", "after"), PAIRS)
def test_a_change_on_a_running_host_opens_nothing_and_cuts_nothing(site: AgentHost, before: str, after: str) -> None:
    first_on(site, before)
    with traffic(site.host, site.peer) as running:
        first = running.streams.settled()
        for name, other in ((after, before), (before, after)) * 3:
            site.commit(NAMES[name])
            status = changed_to(site, name)
            assert status["mode"]["state"] == "enforcing"
            assert not left_of(site, other)
            running.streams.go_on(200)
        print(running.check(first))


def test_xdp_in_front_comes_and_goes_with_its_dataplane(site: AgentHost) -> None:
    first_on(site, "ebpf")
    for before, after in pairwise(("ebpf", "nftables", "ebpf", "iptables-nft", "nftables", "iptables-nft", "ebpf")):
        site.commit(NAMES[after])
        changed_to(site, after)
        assert not left_of(site, before)
        until(lambda: "native XDP" in str(site.ask("/v1/status")), 20)


@pytest.mark.parametrize(("before", "after"), PAIRS[:3])
def test_a_restart_with_another_setting_does_the_same(site: AgentHost, before: str, after: str) -> None:
    first_on(site, after)
    with traffic(site.host, site.peer) as running:
        first = running.streams.settled()
        for name, other in ((before, after), (after, before)):
            site.stop()
            site.commit(NAMES[name])
            site.start()
            changed_to(site, name)
            assert not left_of(site, other)
            running.streams.go_on(100)
        print(running.check(first))


@pytest.mark.parametrize(
    ("name", "other"),
    [("ebpf", "nftables"), ("nftables", "ebpf"), ("ebpf", "iptables-nft"), ("iptables-nft", "nftables")],
)
def test_a_crash_within_a_change_is_recovered(site: AgentHost, name: str, other: str) -> None:
    first_on(site, name)
    with traffic(site.host, site.peer) as running:
        first = running.streams.settled()
        for delay_s in CRASHES_S:
            site.commit(NAMES[other])
            time.sleep(delay_s)
            site.kill()
            if delay_s in CRASHES_S[::2]:  # the next agent goes on, or back
                site.commit(NAMES[name])
                site.start()
                changed_to(site, name)
            else:
                site.start()
                changed_to(site, other)
                site.commit(NAMES[name])
                changed_to(site, name)
            assert not left_of(site, other)
        print(running.check(first))


@pytest.mark.parametrize(("name", "other"), [("nftables", "ebpf"), ("ebpf", "nftables"), ("ebpf", "iptables-nft")])
def test_a_crash_before_the_other_one_enforced_anything_leaves_nothing(site: AgentHost, name: str, other: str) -> None:
    pins = site.pins if other == "ebpf" else FOLDER / dataplane(other) / site.pins.name
    (bpf.durable_bpffs(pins.parent) / pins.name / "host").mkdir(parents=True)
    assert pins.exists()
    first_on(site, name)
    assert not pins.exists()
