"""What is the iptables driver's alone: others' rules around ours, both variants side by side, where our jumps stand."""

import fcntl
import re
import socket
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import pytest
from contract import NEEDS_LEGACY, NO_FAILSAFES, InNamespace, Ports, delta_of, endpoint, ruleset, running, tier, udp

from netns import Namespace, namespace, veth_pair
from tortie.dataplane.iptables.driver import IptablesDriver
from tortie.dataplane.iptables.survey import survey
from tortie.kernel import iptables
from tortie.kernel.errors import KernelError
from tortie.model.address import Net
from tortie.model.desired import Delta, EndpointState, SetChange
from tortie.model.ipset import AddressSet, NamedPortSet, PortMember, PortSet, SelectorSet
from tortie.model.matches import NetMatch, PortMatch, SetMatch
from tortie.model.packet import SCTP, TCP, UDP, Side
from tortie.model.policy import Stage
from tortie.model.rule import Action, Rule
from tortie.model.selector import ALL
from tortie.model.tables import Backend, TablesUse

pytestmark = pytest.mark.root

IFACE = "ens4"
OPEN, OTHER = 7001, 7002
BACKENDS = [pytest.param(Backend.NFT, id="nft"), pytest.param(Backend.LEGACY, id="legacy", marks=NEEDS_LEGACY)]
VARIANT = {Backend.NFT: iptables.NFT, Backend.LEGACY: iptables.LEGACY}
MEMBERS = SelectorSet(ALL)
NETS = (Net(4, 0xC0000200, 24), Net(4, 0xC6336400, 24))
STATE = endpoint(
    IFACE,
    tier(Stage.NORMAL, ingress=[Rule(Action.DENY, (SetMatch(Side.SOURCE, MEMBERS),)), udp(OPEN)]),
    tier(Stage.UNTRACKED, ingress=[Rule(Action.DENY, (NetMatch(Side.SOURCE, NETS),))]),
    tier(Stage.PRE_DNAT, ingress=[Rule(Action.DENY, (NetMatch(Side.SOURCE, NETS),))]),
)
FIRST = delta_of({IFACE: STATE}, {MEMBERS.set_id: AddressSet([Net(4, 0, 0), Net(6, 1, 128)])}, failsafes=NO_FAILSAFES)
OTHERS = """
{four} -A INPUT -s 192.0.2.7 -m comment --comment "others' first" -j DROP
{four} -N DOCKER
{four} -A FORWARD -j DOCKER
{four} -P FORWARD DROP
{four} -t raw -A PREROUTING -s 192.0.2.8 -j NOTRACK
{four} -t mangle -A POSTROUTING -j MARK --set-xmark 0x1/0x1
{six} -A OUTPUT -d fd00::7 -j ACCEPT
ipset create theirs hash:ip
ipset add theirs 192.0.2.9
{four} -A INPUT -m set --match-set theirs src -j DROP
"""


@pytest.fixture
def host() -> Iterator[Namespace]:
    with namespace() as made:
        yield made


def script(host: Namespace, text: str, backend: Backend) -> None:
    four = VARIANT[backend]
    host.run("sh", "-e", "-s", input=text.format(four=four, six=four.replace("iptables", "ip6tables")))


def saved(host: Namespace, backend: Backend) -> str:
    """Everything that the tools list, without counts and times."""
    listed = [host.run(f"{word}-{VARIANT[backend].split('-')[1]}-save") for word in ("iptables", "ip6tables")]
    listed.append(host.run("ipset", "save"))
    lines = [line for text in listed for line in text.splitlines() if not line.startswith("#")]
    return "\n".join(re.sub(r" \[\d+:\d+\]$| initval \S+", "", line) for line in lines)


@pytest.mark.parametrize("backend", BACKENDS)
def test_t_rel_17_cleanup_leaves_others_rules_and_sets_byte_for_byte(host: Namespace, backend: Backend) -> None:
    script(host, OTHERS, backend)
    for table in ("raw", "mangle", "filter"):  # a table of the legacy variant stays, once somebody looked at it
        script(host, f"{{four}} -t {table} -S > /dev/null; {{six}} -t {table} -S > /dev/null", backend)
    before, nft_before = saved(host, backend), host.run("nft", "-s", "list", "ruleset")
    with running(host, lambda: IptablesDriver(TablesUse(backend))) as driver:
        driver.enforce(FIRST)
        assert set(before.splitlines()) <= set(saved(host, backend).splitlines())
        driver.resync()
        assert driver.cleanup()
        assert saved(host, backend) == before
        assert host.run("nft", "-s", "list", "ruleset") == nft_before


@pytest.mark.parametrize("appends", [False, True], ids=["insert", "append"])
@pytest.mark.parametrize("backend", BACKENDS)
def test_our_jumps_stand_before_others_rules_or_behind_them(host: Namespace, backend: Backend, appends: bool) -> None:
    script(host, OTHERS, backend)
    with running(host, lambda: IptablesDriver(TablesUse(backend, appends=appends))) as driver:
        driver.enforce(FIRST)
        assert jumps(host, backend) == (["other", "other", "ours"] if appends else ["ours", "other", "other"])
        assert not driver.resync().repaired
        script(host, "{four} -I INPUT -s 192.0.2.77 -j ACCEPT", backend)
        assert bool(driver.resync().repaired) != appends
        assert jumps(host, backend)[-1 if appends else 0] == "ours"
        assert jumps(host, backend).count("other") == 3
        assert not driver.resync().repaired


def jumps(host: Namespace, backend: Backend) -> list[str]:
    lines = host.run(VARIANT[backend], "-S", "INPUT").splitlines()[1:]
    return ["ours" if "-j tortie-INPUT" in line else "other" for line in lines]


@pytest.mark.parametrize("backend", BACKENDS)
def test_the_variant_is_that_of_others_rules_and_said_with_the_evidence(host: Namespace, backend: Backend) -> None:
    script(host, "{four} -A INPUT -s 192.0.2.7 -j DROP; {six} -A INPUT -s fd00::7 -j DROP", backend)
    with host.entered():
        found = {one.variant: one for one in survey()}
    assert found[VARIANT[backend]].rules == 2 and sum(one.rules for one in found.values()) == 2
    with running(host, IptablesDriver) as driver:
        driver.enforce(FIRST)
        (status,) = driver.status()
        assert status.backend == VARIANT[backend]
        assert f"{VARIANT[backend]}: 2 rules of others" in status.reason


def test_looking_for_the_legacy_variant_makes_no_table_of_it(host: Namespace) -> None:
    with running(host, lambda: IptablesDriver(TablesUse(Backend.NFT))) as driver:
        driver.enforce(FIRST)
        driver.cleanup()
    assert host.run("cat", "/proc/self/net/ip_tables_names") == ""
    assert host.run("nft", "list", "ruleset") == ""


@pytest.mark.parametrize("backend", BACKENDS)
def test_rules_of_the_variant_before_go_when_those_of_the_other_are_there(host: Namespace, backend: Backend) -> None:
    other = Backend.LEGACY if backend is Backend.NFT else Backend.NFT
    InNamespace(host, lambda: IptablesDriver(TablesUse(backend))).enforce(FIRST)
    with running(host, lambda: IptablesDriver(TablesUse(other))) as driver:
        assert driver.leftovers()
        driver.enforce(FIRST)
        assert "tortie" not in host.run(VARIANT[backend], "-S") and "tortie" in host.run(VARIANT[other], "-S")


@pytest.mark.parametrize("backend", BACKENDS)
def test_only_bits_of_the_mask_are_used_and_others_stay(host: Namespace, backend: Backend) -> None:
    mask = 0x00003E00
    with running(host, lambda: IptablesDriver(TablesUse(backend, mask))) as driver:
        driver.enforce(FIRST)
        used = re.findall(r"mark (0x[0-9a-f]+)/(0x[0-9a-f]+)", saved(host, backend))
    assert used and all((int(value, 16) | int(bits, 16)) & ~mask == 0 for value, bits in used)


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_deny_that_is_answered_and_one_that_is_not(backend: Backend) -> None:
    with (
        veth_pair(host_interface=IFACE) as (host, peer),
        running(host, lambda: IptablesDriver(TablesUse(backend))) as driver,
    ):
        for is_answered in (True, False):
            driver.enforce(Delta(endpoints={IFACE: rejecting(is_answered)}, failsafes=NO_FAILSAFES))
            assert is_refused(peer, host.address, OTHER) == is_answered


def rejecting(rejects: bool) -> EndpointState:
    return replace(endpoint(IFACE, tier(Stage.NORMAL, ingress=[udp(OPEN)])), rejects=rejects)


def is_refused(client: Namespace, address: str, port: int) -> bool:
    """Whether a UDP socket is told that nobody is there; a first datagram may be lost."""
    with client.entered():
        one = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    with one:
        one.connect((address, port))
        for _ in range(3):
            with suppress(ConnectionRefusedError):
                one.send(b"x")
                one.settimeout(0.3)
                with suppress(TimeoutError):
                    one.recv(10)
                continue
            return True
    return False


def test_members_at_the_edges_get_into_sets_and_are_found_again(host: Namespace) -> None:
    http = NamedPortSet(ALL, None, "http")
    rules = [
        Rule(Action.DENY, (SetMatch(Side.SOURCE, MEMBERS),)),
        Rule(Action.DENY, (PortMatch(Side.SOURCE, (), (http,)),)),
    ]
    wide, ends = (
        [Net(4, 0, 0), Net(6, 0, 0), Net(4, 0, 1)],
        [Net(4, 0, 32), Net(6, 0, 128), Net(6, 0xFFFF01020304, 128)],
    )
    ports = [PortMember(4, 0, TCP, 0), PortMember(6, 0, SCTP, 65535), PortMember(4, 0xFFFFFFFF, UDP, 1)]
    sets = {MEMBERS.set_id: AddressSet([*wide, *ends]), http.set_id: PortSet(ports)}
    state = endpoint(IFACE, tier(Stage.NORMAL, ingress=rules))
    with running(host, lambda: IptablesDriver(TablesUse(Backend.NFT))) as driver:
        driver.enforce(delta_of({IFACE: state}, sets))
        assert not driver.resync().repaired
        driver.enforce(Delta(sets={MEMBERS.set_id: SetChange(frozenset(), frozenset(wide[:2]))}))
        assert not driver.resync().repaired
        assert (
            InNamespace(host, lambda: IptablesDriver(TablesUse(Backend.NFT)))
            .enforce(delta_of({IFACE: state}, sets | {MEMBERS.set_id: AddressSet([wide[2], *ends])}))
            .changed
            == ()
        )


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_set_in_use_and_a_broken_script_are_told_in_words(host: Namespace, backend: Backend) -> None:
    with host.entered(), pytest.raises(KernelError) as caught:
        iptables.restore(VARIANT[backend], 4, "*filter\n-A INPUT -m set --match-set missing src -j DROP\nCOMMIT\n")
    assert "missing" in str(caught.value) and "IPv4" in str(caught.value)
    with running(host, lambda: IptablesDriver(TablesUse(backend))) as driver:
        driver.enforce(FIRST)
        name = next(line.split()[1] for line in host.run("ipset", "save").splitlines() if "tortie-s4" in line)
        script(host, f"{{four}} -A OUTPUT -m set --match-set {name} src -j ACCEPT", backend)
        with pytest.raises(KernelError, match="others' rules name our sets"):
            driver.cleanup()
        script(host, f"{{four}} -D OUTPUT -m set --match-set {name} src -j ACCEPT", backend)


@pytest.mark.parametrize("backend", BACKENDS)
def test_what_is_forwarded_and_allowed_passes_a_chain_that_ends_with_drop(backend: Backend) -> None:
    with veth_pair(host_interface=IFACE) as (host, peer), namespace("behind") as behind:
        host.run("ip", "link", "add", "in0", "type", "veth", "peer", "name", "out0")
        host.run("ip", "link", "set", "out0", "netns", behind.name)
        host.run("sh", "-c", "ip addr add 10.98.0.1/24 dev in0; ip link set in0 up")
        host.run("sh", "-c", "echo 1 > /proc/sys/net/ipv4/ip_forward")
        behind.run("sh", "-c", "ip addr add 10.98.0.2/24 dev out0; ip link set out0 up")
        behind.run("ip", "route", "add", "default", "via", "10.98.0.1")
        peer.run("ip", "route", "add", "10.98.0.0/24", "via", host.address)
        script(host, "{four} -P FORWARD DROP; {four} -A FORWARD -p udp --dport 7003 -j DROP", backend)
        with running(host, lambda: IptablesDriver(TablesUse(backend))) as driver:
            forward = tier(Stage.FORWARD, ingress=[udp(OPEN), udp(7003)])
            driver.enforce(delta_of({IFACE: endpoint(IFACE, forward)}, failsafes=NO_FAILSAFES))
            behind_with_address = Behind(behind, "10.98.0.2")
            ports = Ports(behind_with_address, peer, OPEN, OTHER, 7003)  # type: ignore[arg-type]
            assert ports.reached(OTHER, 7003, first=OPEN) == set()
            ports.close()


class Behind:
    """A namespace with an address that is not of a veth pair of the tests."""

    def __init__(self, one: Namespace, address: str) -> None:
        self.entered, self.address = one.entered, address


@NEEDS_LEGACY
def test_whoever_changes_iptables_elsewhere_is_not_waited_for_to_know_what_the_host_has(host: Namespace) -> None:
    with Path("/run/xtables.lock").open("a") as lock, host.entered():
        fcntl.flock(lock, fcntl.LOCK_EX)
        started = time.monotonic()
        assert all(one.is_usable for one in survey())
        assert time.monotonic() - started < 5


def of_each(*ports: int) -> Delta:
    """Untracked policies, each of which denies one of those ports."""
    state = endpoint(IFACE, tier(Stage.UNTRACKED, ingress=[]))
    ((where, (group,)),) = state.tiers.items()
    (like,) = group.policies
    policies = tuple(
        replace(like, key=like.key._replace(name=f"port-{port}"), ingress=(udp(port, action=Action.DENY),))
        for port in ports
    )
    return delta_of({IFACE: replace(state, tiers={where: (replace(group, policies=policies),)})})


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_change_of_few_rules_leaves_the_counters_of_the_others_in_the_kernel(backend: Backend) -> None:
    def make() -> IptablesDriver:
        return IptablesDriver(TablesUse(backend))

    ports = [*range(8000, 8040)]
    with veth_pair(host_interface=IFACE) as (host, peer), running(host, make) as driver:
        listening = Ports(host, peer, OPEN, *range(8000, 8050))
        try:
            driver.enforce(of_each(*ports))
            hits = dict.fromkeys(range(8000, 8050), 0)
            other = [*ports[:20], 8045, *ports[21:]]
            changes = (other, other[1:], [8046, *other[1:]], [*ports[:3], *ports[:2:-1]])
            for changed, is_anew in zip(changes, (False, False, False, True), strict=True):
                assert listening.reached(*changed, first=OPEN) == {port for port in changed if port not in ports}
                hits = {port: count + (port in changed and port in ports) for port, count in hits.items()}
                ports = changed
                driver.enforce(of_each(*ports))
                with namespace("fresh") as beside, running(beside, make) as fresh:
                    fresh.enforce(of_each(*ports))
                    assert ruleset(host) == ruleset(beside)
                rules, _ = driver.counters()
                counted = {one.rule.policy.name: one.packets for one in rules if one.packets}
                assert counted.pop("open")
                assert counted == {f"port-{port}": packets for port, packets in hits.items() if packets}
                listing = host.run(f"{VARIANT[backend]}-save", "-c", "-t", "raw")
                (untouched,) = re.findall(r"^\[(\d+):.* --dports? 8030 ", listing, re.M)
                assert int(untouched) == (0 if is_anew else hits[8030])
        finally:
            listening.close()


@pytest.mark.parametrize(("breaks", "failures"), [(1, 0), (3, 2)])  # a change that breaks off is made another way
@pytest.mark.parametrize("looked", [True, False])
@pytest.mark.parametrize("backend", BACKENDS)
def test_a_script_that_breaks_off_behind_its_first_table_loses_no_count(
    backend: Backend, looked: bool, breaks: int, failures: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    def state(raw: int, tracked: int) -> Delta:
        early = tier(Stage.UNTRACKED, ingress=[udp(OPEN), udp(raw, action=Action.DENY), Rule(Action.PASS)])
        late = tier(Stage.NORMAL, ingress=[udp(tracked, action=Action.DENY), udp(OTHER)])
        return delta_of({IFACE: endpoint(IFACE, early, late)}, failsafes=NO_FAILSAFES)

    class Breaking(iptables.Restoring):
        """The first scripts of IPv4 have a line in their last table that nobody can carry out."""

        def __init__(self, variant: str, version: int, text: str) -> None:
            if version == 4 and len(broken) < breaks:
                broken.append(text)
                text = "broken\nCOMMIT".join(text.rsplit("COMMIT", 1))
            super().__init__(variant, version, text)

    broken: list[str] = []
    with (
        veth_pair(host_interface=IFACE) as (host, peer),
        running(host, lambda: IptablesDriver(TablesUse(backend))) as driver,
    ):
        listening = Ports(host, peer, OPEN, OTHER, 8000, 8001, 8002, 8003)
        try:
            driver.enforce(state(8000, 8001))
            if looked:
                driver.resync()
            assert listening.reached(8000, 8001, OTHER, first=OPEN) == {OTHER}
            monkeypatch.setattr(iptables, "Restoring", Breaking)
            driver.take(state(8002, 8003))
            reports = [driver.apply() for _ in range(5)]
            assert [bool(one.failed) for one in reports] == [number < failures for number in range(5)]
            assert not any(one.repaired for one in reports)
            assert "*raw" in broken[0] and "*filter" in broken[0]
            assert not driver.resync().repaired
            assert listening.reached(8002, 8003, OTHER, first=OPEN) == {OTHER}
            rules, _ = driver.counters()
            packets = {(one.rule.policy.name, one.rule.index): one.packets for one in rules}
            assert (packets["untracked-policy", 1], packets["normal-policy", 0]) == (2, 2)
        finally:
            listening.close()


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_rule_that_others_put_among_ours_does_not_move_what_is_changed(host: Namespace, backend: Backend) -> None:
    with running(host, lambda: IptablesDriver(TablesUse(backend))) as driver:
        driver.enforce(of_each(*range(8000, 8040)))
        driver.resync()
        name = next(line.split()[1] for line in saved(host, backend).splitlines() if "port-8000" in line)
        host.run(VARIANT[backend], "-t", "raw", "-I", name, "-p", "udp", "--dport", "8020", "-j", "ACCEPT")
        after = of_each(*range(8000, 8020), 8041, *range(8021, 8040))
        driver.take(after)
        assert driver.apply().repaired == ("IPv4 raw",)
        with namespace("fresh") as other, running(other, lambda: IptablesDriver(TablesUse(backend))) as fresh:
            fresh.enforce(after)
            assert ruleset(host) == ruleset(other)
