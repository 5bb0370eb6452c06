"""IPVS beside us: what it passes on meets policy where it arrives and where it leaves, on every dataplane.

Where this kernel has no IPVS, emulated guests that have it run this file (`tests/kernels`).
"""

import subprocess
from collections.abc import Iterator
from functools import partial
from random import Random

import pytest
from attempts import ALWAYS, HOST, INSIDE, OUTSIDE, UNPUBLISHED, Attempt, is_allowed, random_endpoints, told
from beside import DATAPLANES, Site, enforcing, site, tried
from contract import endpoint, ported, ruleset, running, tier
from others_rules import CONTAINER, NODE_PORT, SERVICE, WEB

from tortie.dataplane.iptables.driver import IptablesDriver
from tortie.model.packet import TCP
from tortie.model.policy import Stage
from tortie.model.rule import Action, Rule
from tortie.model.tables import Backend, TablesUse

pytestmark = pytest.mark.root

MODULES = ("ip_vs_rr", "ip_vs")
CASES = 6
OUTSIDE_IN = Attempt("a service from outside", (SERVICE, WEB), (CONTAINER, WEB), OUTSIDE, INSIDE)
ATTEMPTS = (
    OUTSIDE_IN,
    Attempt("a node port", (HOST, NODE_PORT), (CONTAINER, WEB), OUTSIDE, INSIDE),
    Attempt("a service from the host", (SERVICE, WEB), (CONTAINER, WEB), None, INSIDE),
    *(one for one in ALWAYS if one.named == one.behind),
)


@pytest.fixture(scope="module", autouse=True)
def ipvs() -> Iterator[None]:
    """The modules are there for these tests only: drivers beside them make other rules."""
    found = modprobe("--all", *MODULES)
    if found.returncode:
        pytest.skip("this kernel has no IPVS (CONFIG_IP_VS); tests/kernels has some that do")
    yield
    modprobe("--remove", *MODULES)  # unless others use it


def modprobe(*words: str, check: bool = False) -> subprocess.CompletedProcess[bytes]:
    return subprocess.run(["modprobe", *words], capture_output=True, check=check)


@pytest.fixture
def town() -> Iterator[Site]:
    """A host that is the director, as kube-proxy makes it: the service's address is on a dummy interface."""
    with site() as made:
        made.host.run("ip", "link", "add", "kube-ipvs0", "type", "dummy")
        made.host.run("ip", "address", "add", f"{SERVICE}/32", "dev", "kube-ipvs0")
        track(made, is_on=True)
        for service in (f"{SERVICE}:{WEB}", f"{HOST}:{NODE_PORT}"):
            made.host.run("ipvsadm", "-A", "-t", service, "-s", "rr")
            made.host.run("ipvsadm", "-a", "-t", service, "-r", f"{CONTAINER}:{WEB}", "-m")
        made.host.run(
            "iptables-nft", "-t", "nat", "-A", "POSTROUTING", "-o", OUTSIDE, "-s", CONTAINER, "-j", "MASQUERADE"
        )
        yield made


def track(town: Site, *, is_on: bool) -> None:
    town.host.run("sysctl", "-qw", f"net.ipv4.vs.conntrack={is_on:d}")


@pytest.mark.parametrize("dataplane", DATAPLANES)
def test_what_ipvs_passes_on_gets_the_evaluators_verdict(town: Site, dataplane: str) -> None:
    rng = Random(f"ipvs {dataplane}")
    seen: set[tuple[str, bool]] = set()
    with enforcing(town.host, dataplane) as driver:
        for _ in range(CASES):
            endpoints = random_endpoints(rng)
            driver.enforce(town.delta(endpoints))
            expected = {
                one: is_allowed(endpoints, one, judges_early=dataplane == "ebpf", by_ipvs=True) for one in ATTEMPTS
            }
            found = tried(town, ATTEMPTS, expected.__getitem__)
            wrong = {one.name: one in found for one in ATTEMPTS if (one in found) is not expected[one]}
            assert not wrong, f"allowed? {wrong}\n{told(endpoints)}"
            seen |= {(one.name, expected[one]) for one in ATTEMPTS}
    assert {(OUTSIDE_IN.name, verdict) for verdict in (True, False)} <= seen


@pytest.mark.parametrize("dataplane", DATAPLANES)
def test_without_the_kernels_tracking_of_ipvs_nothing_is_passed_on_but_with_ebpf(town: Site, dataplane: str) -> None:
    track(town, is_on=False)
    with enforcing(town.host, dataplane) as driver:
        driver.enforce(town.delta({name: endpoint(name) for name in (OUTSIDE, INSIDE)}))
        passes = dataplane == "ebpf"
        assert tried(town, [OUTSIDE_IN], lambda _: passes) == ({OUTSIDE_IN} if passes else set())
        track(town, is_on=True)
        assert tried(town, [OUTSIDE_IN], lambda _: True) == {OUTSIDE_IN}


@pytest.mark.parametrize("dataplane", DATAPLANES)
def test_a_service_by_firewall_mark_is_found_beside_ebpf_alone(town: Site, dataplane: str) -> None:
    marked = f"type filter hook prerouting priority -160; tcp dport {UNPUBLISHED} meta mark set 5;"
    town.host.run("nft", f"table ip marking {{ chain c {{ {marked} }}; }}")
    town.host.run("ipvsadm", "-A", "-f", "5", "-s", "rr")
    town.host.run("ipvsadm", "-a", "-f", "5", "-r", CONTAINER, "-m")
    attempt = Attempt("by mark", (HOST, UNPUBLISHED), (CONTAINER, UNPUBLISHED), OUTSIDE, INSIDE)
    assert tried(town, [attempt], lambda _: True) == {attempt}
    with enforcing(town.host, dataplane) as driver:
        driver.enforce(town.delta({OUTSIDE: endpoint(OUTSIDE)}))
        is_found = dataplane == "ebpf"
        assert tried(town, [attempt], lambda _: is_found) == ({attempt} if is_found else set())


@pytest.mark.parametrize("dataplane", ["nftables", "iptables-nft"])
def test_where_marks_cannot_tell_where_it_arrived_it_is_dropped(town: Site, dataplane: str) -> None:
    open_ones = [tier(Stage.FORWARD, ingress=[Rule(Action.ALLOW)])]
    crowd = [f"a{number}" for number in range(5)]  # before the others, in the order in which values are given
    for name in crowd:
        town.host.run("ip", "link", "add", name, "type", "dummy")
    with enforcing(town.host, dataplane) as driver:
        for extra, passes in ((crowd[:4], True), (crowd, False)):
            driver.enforce(town.delta({name: endpoint(name, *open_ones) for name in (*extra, OUTSIDE)}))
            assert tried(town, [OUTSIDE_IN], lambda _: passes) == ({OUTSIDE_IN} if passes else set())  # noqa: B023
        early = tier(Stage.PRE_DNAT, ingress=[ported(TCP, WEB)])
        driver.enforce(town.delta({OUTSIDE: endpoint(OUTSIDE, *open_ones, early)}))
        assert tried(town, [OUTSIDE_IN], lambda _: True) == {OUTSIDE_IN}  # forward policy is not asked


@pytest.mark.parametrize("dataplane", ["nftables", "iptables-nft"])
def test_ipvs_that_comes_and_goes_is_noticed_at_the_next_check(dataplane: str) -> None:
    with site() as bare, enforcing(bare.host, dataplane) as driver:
        modprobe("--remove", *MODULES, check=True)
        try:
            driver.enforce(bare.delta({OUTSIDE: endpoint(OUTSIDE, tier(Stage.FORWARD, ingress=[ported(TCP, WEB)]))}))
            driver.resync()
            alone = ruleset(bare.host)
            assert not any("passed-on" in item for item in alone)
            modprobe("ip_vs", check=True)
            report = driver.resync()
            assert report.changed == (OUTSIDE,) and not report.repaired and not report.failed
            assert any("passed-on" in item for item in ruleset(bare.host))
            modprobe("--remove", "ip_vs", check=True)
            driver.resync()
            assert ruleset(bare.host) == alone
        finally:
            modprobe("--all", *MODULES, check=True)


def test_a_mask_with_too_few_bits_is_told(town: Site) -> None:
    with running(town.host, partial(IptablesDriver, TablesUse(Backend.NFT, 0x3F))) as driver:
        driver.enforce(town.delta({OUTSIDE: endpoint(OUTSIDE)}))
        (status,) = driver.status()
        assert "meets no forward policy: give iptablesMarkMask two bits more" in status.reason
