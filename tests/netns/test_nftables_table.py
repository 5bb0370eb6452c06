"""What is the nftables driver's alone: guards behind its maps, and members that come and go without nft."""

import socket
import time
from random import Random

import pytest
from contract import NO_FAILSAFES, delta_of, endpoint, ruleset, running, tier, udp

from netns import Namespace, namespace, veth_pair
from tortie.dataplane.nftables import installed
from tortie.dataplane.nftables.driver import NftablesDriver
from tortie.kernel import nft, nftbatch
from tortie.kernel.errors import KernelError
from tortie.model.address import WIDTH, Net
from tortie.model.desired import Delta, SetChange
from tortie.model.ipset import AddressSet, IPSet, Member, NamedPortSet, PortMember, PortSet, SelectorSet
from tortie.model.matches import PortMatch, ProtocolMatch, SetMatch
from tortie.model.packet import TCP, UDP, Side
from tortie.model.policy import Stage
from tortie.model.rule import Action, Rule
from tortie.model.selector import ALL, parse_selector

pytestmark = pytest.mark.root
LISTED, NAMED = SelectorSet(parse_selector("has(listed)")), NamedPortSet(ALL, TCP, "web")
IN_BOTH = endpoint(
    "ens4",
    tier(
        Stage.NORMAL,
        ingress=[
            Rule(Action.DENY, (SetMatch(Side.SOURCE, LISTED),)),
            Rule(Action.ALLOW, (ProtocolMatch(TCP), PortMatch(Side.DESTINATION, (), (NAMED,)))),
        ],
    ),
)
FIRST = (0x0A000000, 0xFD << 120)
LAST = (0xFFFFFFE0, (1 << 128) - 32)


def any_net(rng: Random) -> Net:
    """Of few, so that many lie side by side or inside each other, at either end of all addresses too."""
    version = rng.choice((4, 6))
    first = rng.choice((0, FIRST[version == 6], LAST[version == 6]))
    if not rng.randrange(40):
        return Net(version, 0, 0)
    length = WIDTH[version] - rng.choice((0, 0, 0, 0, 0, 0, 1, 2, 4))
    bits = WIDTH[version] - length
    return Net(version, first + (rng.randrange(32) >> bits << bits), length)


def any_port(rng: Random) -> PortMember:
    version = rng.choice((4, 6))
    return PortMember(version, FIRST[version == 6] + rng.randrange(4), rng.choice((TCP, UDP)), rng.randrange(65536))


def change(rng: Random, sets: dict[str, IPSet]) -> dict[str, SetChange]:
    """Some members more and some less, of either set or both."""
    changes = {}
    for set_id in rng.sample(sorted(sets), rng.choice((1, 1, 2))):
        now, is_ports = set(sets[set_id].members), isinstance(sets[set_id], PortSet)
        gone: set[Member] = set(rng.sample(sorted(now), min(len(now), rng.randrange(3))))
        come: set[Member] = {any_port(rng) if is_ports else any_net(rng) for _ in range(rng.randrange(4))} - now
        changes[set_id] = SetChange(frozenset(come), frozenset(gone), has_ports=is_ports)
        left = (now - gone) | come
        sets[set_id] = PortSet(left) if is_ports else AddressSet(left)  # type: ignore[arg-type]
    return changes


@pytest.mark.parametrize("seed", range(4))
def test_members_that_come_and_go_leave_the_table_that_is_made_of_them(
    monkeypatch: pytest.MonkeyPatch, seed: int
) -> None:
    rng, batches = Random(seed), []
    commit = nftbatch.Batch.commit

    def counted_commit(batch: nftbatch.Batch, generation: int) -> None:
        commit(batch, generation)
        batches.append(batch)

    monkeypatch.setattr(nftbatch.Batch, "commit", counted_commit)
    sets: dict[str, IPSet] = {LISTED.set_id: AddressSet([]), NAMED.set_id: PortSet([])}
    with namespace() as host, running(host, NftablesDriver) as driver:
        driver.enforce(delta_of({"ens4": IN_BOTH}, sets, failsafes=NO_FAILSAFES))
        for _ in range(40):
            for _ in range(rng.choice((0, 0, 1, 2))):  # some applies have several changes to make
                driver.take(Delta(sets=change(rng, sets)))
            driver.enforce(Delta(sets=change(rng, sets)))
            assert not driver.resync().repaired
        with namespace("fresh") as other, running(other, NftablesDriver) as fresh:
            fresh.enforce(delta_of({"ens4": IN_BOTH}, sets, failsafes=NO_FAILSAFES))
            assert ruleset(host) == ruleset(other)
    assert 5 < len(batches) < 40  # the others had to be nft's


def test_a_batch_is_carried_out_whole_or_not_at_all() -> None:
    element = nftbatch.Element(bytes((10, 0, 0, 1)))
    with namespace() as host, host.entered():
        nft.run("table inet t {\nset s { type ipv4_addr; }\nchain c {\n}\n}\n")
        before = host.run("nft", "list", "ruleset")
        stale = nft.generation() - 1
        whole = nftbatch.Batch("t")
        whole.add_elements("s", [element])
        broken = nftbatch.Batch("t")
        broken.add_elements("s", [element])
        broken.delete_chain("missing")
        for batch, generation in ((whole, stale), (broken, nft.generation())):
            with pytest.raises(KernelError):
                batch.commit(generation)
            assert host.run("nft", "list", "ruleset") == before
        whole.commit(nft.generation())
        assert "10.0.0.1" in host.run("nft", "list", "ruleset")
        many = nftbatch.Batch("t")
        many.add_elements("s", (nftbatch.Element((0x0B000000 + n).to_bytes(4, "big")) for n in range(installed._FEW)))
        many.commit(nft.generation())
        generation = nft.generation()
        listed = nft.list_table("inet", "t", terse=False)
        assert listed is not None
        (found,) = (one["set"] for one in listed["nftables"] if "set" in one)
        assert len(found["elem"]) == 1 + installed._FEW
        several = nftbatch.Batch("t")
        for number in range(1_000):
            several.add_chain(f"c{number}")
        several.commit(nft.generation())
        assert nft.generation() == generation + 1
        twice = nftbatch.Batch("t")
        twice.add_elements("s", [element])
        with pytest.raises(KernelError):
            twice.commit(nft.generation())


def test_an_interface_whose_chains_are_gone_is_closed_until_they_are_put_back() -> None:
    watch = """
table inet watch {
    counter came {}
    counter passed {}
    chain early { type filter hook prerouting priority -400; udp dport 7001 counter name came; }
    chain late { type filter hook input priority 10; udp dport 7001 counter name passed; }
}
"""
    with veth_pair(host_interface="ens4") as (host, peer), running(host, NftablesDriver) as driver:
        host.run("nft", "-f", "-", input=watch)
        driver.enforce(delta_of({"ens4": endpoint("ens4", tier(Stage.NORMAL, ingress=[udp(7001)]))}))
        driver.resync()
        for step, seen in (
            ("", (1, 1)),
            ('delete element inet tortie-policy normal-in { "ens4" }\n', (2, 1)),
            ("", (3, 2)),
        ):
            host.run("nft", "-f", "-", input=step)
            if seen == (3, 2):
                assert driver.resync().repaired
            with peer.entered(), socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
                sender.sendto(b"x", (host.address, 7001))
            assert counted(host, came=seen[0]) == seen


def counted(host: Namespace, *, came: int) -> tuple[int, int]:
    """What came and what passed, as soon as so much came."""
    deadline = time.monotonic() + 10
    while True:
        with host.entered():
            found = nft.counters("inet", "watch")
        if found["came"][0] >= came or time.monotonic() > deadline:
            return found["came"][0], found["passed"][0]
        time.sleep(0.01)
