"""Which connections of the kernel's table a change of policy ends."""

from tortie.dataplane.driver import Established
from tortie.dataplane.reconsider import forgotten, opener_of
from tortie.kernel.ctnetlink import ConntrackEntry, ConntrackTuple
from tortie.model.address import Net
from tortie.model.desired import DesiredState, EndpointState, HostAddresses, TierPolicies
from tortie.model.endpoint import Interface
from tortie.model.failsafe import Failsafes
from tortie.model.matches import PortMatch, PortRange, ProtocolMatch
from tortie.model.packet import TCP, Direction, Side
from tortie.model.policy import Policy, PolicyKey, Profile, Stage, Tier
from tortie.model.rule import Action, Rule
from tortie.model.selector import ALL

EAST, WEST, PEER, FAR = 0x0A000001, 0x0A010001, 0x0A000009, 0x0A010009
OPEN = Profile("open", {}, (Rule(Action.ALLOW),), (Rule(Action.ALLOW),))


def endpoint(name: str, address: int, *ports: int) -> EndpointState:
    """Local processes may be reached at those ports; what is forwarded meets the same rules."""
    rules = tuple(
        Rule(Action.ALLOW, (ProtocolMatch(TCP), PortMatch(Side.DESTINATION, (PortRange(port, port),))))
        for port in ports
    )
    key = PolicyKey("GlobalNetworkPolicy", "", name)
    ingress = frozenset({Direction.INGRESS})
    policy = Policy(key=key, tier="default", order=1.0, selector=ALL, ingress=rules, governs=ingress)
    groups = (TierPolicies(Tier("default"), (policy,)),)
    return EndpointState(
        interface=Interface(name=name, index=2, addresses=frozenset({Net(4, address, 32)})),
        endpoint=name,
        tiers={(stage, Direction.INGRESS): groups for stage in (Stage.NORMAL, Stage.FORWARD)},
        profiles=(OPEN,),
    )


def entry(source: int, destination: int, port: int, *, answerer: int | None = None, at: int = 0) -> ConntrackEntry:
    """A connection; translated where somebody else answers, at another port."""
    asked = ConntrackTuple(4, TCP, source, destination, 40000, port)
    answer = ConntrackTuple(4, TCP, answerer or destination, source, at or port, 40000)
    return ConntrackEntry(asked, answer, 0, None, 60, 0)


DESIRED = DesiredState(
    endpoints={"east": endpoint("east", EAST, 80), "west": endpoint("west", WEST, 443)},
    failsafes=Failsafes((), ()),
    addresses=HostAddresses(frozenset({(4, EAST), (4, WEST)})),
)


def over(one: ConntrackEntry, choice: Established, desired: DesiredState = DESIRED) -> bool:
    (found,) = forgotten([one], choice, desired)
    return found is one


def test_what_policy_allows_stays_and_what_it_denies_goes() -> None:
    assert not over(entry(PEER, EAST, 80), Established.RECHECK)
    assert over(entry(PEER, EAST, 443), Established.RECHECK)  # the other interface would allow it
    assert not over(entry(EAST, PEER, 443), Established.RECHECK)  # egress goes by the profile


def test_a_translated_connection_is_judged_by_what_is_behind_translation() -> None:
    published = entry(PEER, EAST, 8080, answerer=EAST, at=80)
    assert opener_of(published).destination_port == 80
    assert not over(published, Established.RECHECK)
    assert over(entry(PEER, EAST, 80, answerer=EAST, at=8080), Established.RECHECK)


def test_a_forwarded_connection_stays_if_some_endpoint_allows_it() -> None:
    assert not over(entry(PEER, FAR, 80), Established.RECHECK)
    assert not over(entry(PEER, FAR, 443), Established.RECHECK)
    assert over(entry(PEER, FAR, 22), Established.RECHECK)


def test_kill_takes_everything_and_keep_nothing() -> None:
    for one in (entry(PEER, EAST, 80), entry(PEER, FAR, 80)):
        assert over(one, Established.KILL)
        assert not over(one, Established.KEEP)


def test_connections_of_other_interfaces_are_not_touched() -> None:
    only_west = DesiredState(
        endpoints={"west": DESIRED.endpoints["west"]}, failsafes=DESIRED.failsafes, addresses=DESIRED.addresses
    )
    for choice in (Established.KILL, Established.RECHECK):
        assert over(entry(PEER, WEST, 80), choice, only_west)
        assert not over(entry(PEER, EAST, 22), choice, only_west)
