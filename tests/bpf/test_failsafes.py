"""Failsafe ports in the loaded program: both lists, every protocol, with and without nets."""

from itertools import product
from random import Random

import pytest

from bpf.policies import case_of
from bpf.untracked import FirstFragments, Loaded, judge, load
from frames import frame
from strategies import random_net
from tortie.dataplane.driver import Unsupported
from tortie.dataplane.ebpf.failsafes import failsafe_tables
from tortie.model.address import WIDTH, Net
from tortie.model.failsafe import FailsafePort, Failsafes
from tortie.model.packet import ICMP, PORTED, SCTP, TCP, UDP, UDPLITE, Fragment, Packet
from tortie.model.rule import Action, Rule
from tortie.model.verdict import Reason, Verdict

DENY_ALL, ALLOW_ALL = Rule(Action.DENY), Rule(Action.ALLOW)
NEAR4, NEAR6 = Net(4, 0x0A000000, 8), Net(6, 0xFD << 120, 8)


def packet(version: int, protocol: int, source: int, sport: int, dport: int) -> Packet:
    has_ports = protocol in PORTED
    return Packet(
        version=version,
        protocol=protocol,
        source=source,
        destination=7,
        source_port=sport if has_ports else None,
        destination_port=dport if has_ports else None,
        icmp_type=8 if protocol == ICMP else None,
        icmp_code=0 if protocol == ICMP else None,
    )


def assert_agrees(loaded: Loaded, one: Packet) -> Verdict:
    case = loaded.case
    before = loaded.counts()
    trace = judge(case, one, FirstFragments())
    assert trace.verdict is loaded.run(frame(one)), (one, trace)
    assert (trace.reason is Reason.FAILSAFE) is ((loaded.counts() - before)[Reason.FAILSAFE] == 1)
    return trace.verdict


@pytest.mark.root
@pytest.mark.parametrize("door", ["xdp", "tc"])
@pytest.mark.parametrize("nets", [(None,), (NEAR4,), (NEAR6,), (NEAR4, NEAR6), (Net(4, 0, 0),), (Net(6, 0, 0),)])
def test_exactly_the_ports_of_the_lists_from_their_nets_skip_policy(door: str, nets: tuple[Net | None, ...]) -> None:
    inbound = [FailsafePort(p, port, net) for p, port in ((TCP, 22), (UDP, 68), (SCTP, 65535)) for net in nets]
    outbound = [FailsafePort(p, port, net) for p, port in ((TCP, 179), (UDP, 53), (SCTP, 1)) for net in nets]
    loaded = load(case_of([DENY_ALL], failsafes=Failsafes(tuple(inbound), tuple(outbound))), door=door)
    sources = [(4, 0x0A000001), (4, 0x0AFFFFFF), (4, 0x0B000000), (4, 0x09FFFFFF)]
    sources += [(6, (0xFD << 120) + 1), (6, (0xFE << 120) - 1), (6, 0xFE << 120), (6, 0x0A000001), (6, 0x0A << 120)]
    ports = (1, 22, 53, 68, 179, 65535, 4000)
    for (version, source), protocol in product(sources, (*PORTED, UDPLITE, ICMP)):
        for sport, dport in product(ports, ports):
            assert_agrees(loaded, packet(version, protocol, source, sport, dport))
    loaded.close()


@pytest.mark.root
def test_many_lists_of_random_nets_are_told_apart() -> None:
    for seed in range(6):
        rng = Random(seed)
        entries = {
            FailsafePort(rng.choice(PORTED), rng.randrange(20), random_net(rng, rng.choice((4, 6)))) for _ in range(200)
        }
        entries |= {FailsafePort(TCP, 3), FailsafePort(UDP, 0)}
        order = rng.sample(sorted(entries, key=repr), len(entries))
        loaded = load(case_of([DENY_ALL], failsafes=Failsafes(tuple(order[:120]), tuple(order[120:]))))
        for _ in range(1500):
            entry = rng.choice(order)
            net = entry.net or random_net(rng, 4)
            edge = net.address if rng.random() < 0.5 else net.address | (1 << WIDTH[net.version] - net.length) - 1
            source = edge + rng.choice((0, 0, 1, -1)) & (1 << WIDTH[net.version]) - 1
            ends = [entry.port, rng.randrange(20)]
            rng.shuffle(ends)
            assert_agrees(loaded, packet(net.version, entry.protocol, source, *ends))
        loaded.close()


@pytest.mark.root
@pytest.mark.parametrize("rule", [DENY_ALL, ALLOW_ALL], ids=["deny", "allow"])
@pytest.mark.parametrize("version", [4, 6])
def test_t_att_13_the_source_port_of_an_outbound_failsafe_opens_nothing_by_itself(rule: Rule, version: int) -> None:
    """It goes on as tracked: neither dropped here nor let past connection tracking."""
    loaded = load(case_of([rule], failsafes=Failsafes()))
    for entry in Failsafes().outbound:
        for dport in (22, 80, 6379, 40000):
            hostile = packet(version, entry.protocol, 0x2D2D2D2D, entry.port, dport)
            assert assert_agrees(loaded, hostile) is Verdict.CONTINUE
        near = packet(version, entry.protocol, 0x2D2D2D2D, entry.port + 1000, 40000)
        assert assert_agrees(loaded, near) is (Verdict.DENY if rule is DENY_ALL else Verdict.ALLOW)
    loaded.close()


@pytest.mark.root
def test_a_later_fragment_is_a_failsafe_only_once_its_first_one_is_known() -> None:
    loaded = load(case_of([DENY_ALL], failsafes=Failsafes()))
    first = Packet(
        version=4,
        protocol=TCP,
        source=1,
        destination=7,
        source_port=4000,
        destination_port=22,
        fragment=Fragment.FIRST,
        fragment_id=5,
    )
    later = Packet(version=4, protocol=TCP, source=1, destination=7, fragment=Fragment.LATER, fragment_id=5)
    assert [loaded.run(frame(p)) for p in (later, first, later)] == [Verdict.DENY, Verdict.CONTINUE, Verdict.CONTINUE]
    loaded.close()


def test_more_failsafe_nets_than_the_table_holds_are_refused() -> None:
    nets = [Net(4, number << 8, 24) for number in range(256)]
    failsafe_tables(Failsafes(tuple(FailsafePort(TCP, 22, net) for net in nets[:255]), ()))
    with pytest.raises(Unsupported, match=r"255 failsafe ports with nets; give fewer, wider nets"):
        failsafe_tables(Failsafes(tuple(FailsafePort(TCP, 22, net) for net in nets), ()))
    many = tuple(FailsafePort(UDP, 1000 + number, net) for number, net in enumerate(nets))
    failsafe_tables(Failsafes(many[:254], ()))
    with pytest.raises(Unsupported, match=r"give fewer, wider nets"):
        failsafe_tables(Failsafes(many[:255], ()))
    for_everyone = tuple(FailsafePort(UDP, port) for port in range(1, 20000))
    failsafe_tables(Failsafes((*many[:254], *for_everyone), for_everyone))
