"""ufw and firewalld beside us: nobody touches the other's rules, and what passes is what both allow."""

import json
import re
import time
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from random import Random

import pytest
from agent_host import Host, answer_of
from beside import DATAPLANES, enforcing
from contract import NO_FAILSAFES, Ports, delta_of, endpoint, running, tier, udp
from others_rules import Rules, firewalld, ufw

from netns import Namespace, veth_pair
from tortie.apps.agent.interfaces import KernelInterfaces
from tortie.dataplane.iptables.driver import IptablesDriver
from tortie.model.desired import Delta, EndpointState
from tortie.model.policy import Stage
from tortie.model.tables import Backend, TablesUse

pytestmark = pytest.mark.root

IFACE, PORTS = "ens4", range(7001, 7009)
MARKER = 7000
"""Open everywhere: what is heard on it says that everything before has been judged."""
CASES = 10
FIREWALLS = [pytest.param(ufw, id="ufw"), pytest.param(firewalld, id="firewalld")]
Firewall = Callable[..., Rules]


def _delta(host: Namespace, state: EndpointState) -> Delta:
    with host.entered():
        (found,) = (one for one in KernelInterfaces().read() if one.name == IFACE)
    return delta_of({IFACE: replace(state, interface=found)}, failsafes=NO_FAILSAFES)


def _listed(host: Namespace) -> str:
    """Everything that the tools list, without counts and times."""
    words = ("nft -s list ruleset", "iptables-nft-save", "ip6tables-nft-save", "ipset save")
    text = "\n".join(host.run(*word.split()) for word in words)
    return re.sub(r"^#.*\n| \[\d+:\d+\]", "", text, flags=re.M)


def _ours(host: Namespace) -> list[str]:
    """Our lines among them, but for those by which a driver remembers how its table looked."""
    return sorted(line for line in _listed(host).splitlines() if "tortie" in line and "tortie-s." not in line)


@pytest.mark.parametrize("dataplane", DATAPLANES)
@pytest.mark.parametrize("firewall", FIREWALLS)
def test_neither_touches_the_others_rules(firewall: Firewall, dataplane: str) -> None:
    classes = [tier(stage, ingress=[udp(7001)], egress=[udp(7001)]) for stage in (Stage.UNTRACKED, Stage.NORMAL)]
    state = endpoint(IFACE, *classes, tier(Stage.FORWARD, ingress=[udp(7001)]), tier(Stage.PRE_DNAT, ingress=[udp(1)]))
    with veth_pair(host_interface=IFACE) as (host, _):
        firewall(7001).load(host)
        before = _listed(host)
        with enforcing(host, dataplane) as driver:
            driver.enforce(_delta(host, state))
            ours = _ours(host)
            assert ours or dataplane == "ebpf"
            theirs = {line for line in before.splitlines() if "ufw" in line or "firewalld" in line}
            assert theirs <= set(_listed(host).splitlines())
            firewall(7001, 7002).load(host)  # what they change, by a whole table, is theirs again behind our repair
            driver.resync()
            assert _ours(host) == ours
            firewall(7001).load(host)
            driver.resync()
            assert driver.cleanup()
            assert _listed(host) == before


@pytest.mark.parametrize("dataplane", DATAPLANES)
@pytest.mark.parametrize("firewall", FIREWALLS)
def test_what_arrives_needs_both_to_allow_it_but_where_our_allow_ends_their_chain(
    firewall: Firewall, dataplane: str
) -> None:
    rng = Random(f"{firewall.__name__} {dataplane}")
    with veth_pair(host_interface=IFACE) as (host, peer), enforcing(host, dataplane) as driver:
        ports = Ports(host, peer, MARKER, *PORTS)
        for _ in range(CASES):
            theirs, ours = ({port for port in PORTS if rng.randrange(2)} for _ in range(2))
            firewall(MARKER, *theirs).load(host)
            driver.resync()
            rules = [udp(port) for port in (MARKER, *ours)]
            driver.enforce(_delta(host, endpoint(IFACE, tier(Stage.NORMAL, ingress=rules))))
            ends_their_chain = dataplane == "iptables-nft" and firewall is ufw
            assert ports.reached(*PORTS, first=MARKER) == (ours if ends_their_chain else ours & theirs)
        ports.close()


def test_behind_ufws_rules_ours_are_asked_about_what_it_does_not_accept() -> None:
    rng = Random(1)
    use = TablesUse(Backend.NFT, appends=True)
    with (
        veth_pair(host_interface=IFACE) as (host, peer),
        running(host, partial(IptablesDriver, use)) as driver,
    ):
        ports = Ports(host, peer, MARKER, *PORTS)
        theirs, ours = ({port for port in PORTS if rng.randrange(2)} for _ in range(2))
        ufw(MARKER, *theirs).load(host)
        driver.enforce(_delta(host, endpoint(IFACE, tier(Stage.NORMAL, ingress=[udp(port) for port in ours]))))
        assert ports.reached(*PORTS, first=MARKER) == ours | theirs
        ports.close()


def _agent(namespace: Namespace, folder: Path, dataplane: str) -> Host:
    """An agent that enforces, with iptables the variant of those who were there: policy opens 6379, and 8081 not."""
    host = Host(namespace, folder, dataplane)
    host.start()
    host.until_answered()
    host.tortie("apply", "-f", "-", text=host.documents)
    return host


def _drift(host: Host) -> int:
    return int(json.loads(host.tortie("status", "-o", "json"))["drift"]["times"])


_OPEN_TCP = "-A ufw-user-input -p tcp -m tcp --dport 8081 -j ACCEPT\nCOMMIT\n"


def test_a_reload_of_ufw_that_empties_the_table_is_repaired_within_a_second(tmp_path: Path) -> None:
    reload = ufw(7001)
    reload = replace(reload, script=reload.script.replace("COMMIT\n", _OPEN_TCP))
    with veth_pair(host_interface=IFACE) as (namespace, peer):
        reload.load(namespace)
        host = _agent(namespace, tmp_path, "iptables")
        try:
            assert answer_of(host, peer, 8081) == "silence"
            took = []
            for times in range(1, 4):
                # The check behind a repair lists everything, and those after it come later for that (RESYNC_SHARE).
                time.sleep(4)
                reload.load(namespace)
                began = time.monotonic()
                while "-j tortie-INPUT" not in namespace.run("iptables-nft", "-S", "INPUT"):
                    assert time.monotonic() < began + 5
                took.append(time.monotonic() - began)
                assert answer_of(host, peer, 8081) == "silence"
                while _drift(host) < times:
                    assert time.monotonic() < began + 5
            print(f"back after {', '.join(f'{one:.2f}' for one in took)} s")
            assert sorted(took)[1] < 1.0 and max(took) < 3.0
        finally:
            host.stop()
            host.clean_up()


@pytest.mark.parametrize(
    ("dataplane", "firewall"),
    [("iptables", firewalld), ("nftables", firewalld), ("nftables", ufw), ("ebpf", firewalld), ("ebpf", ufw)],
)
def test_other_reloads_touch_nothing_of_ours(tmp_path: Path, dataplane: str, firewall: Firewall) -> None:
    with veth_pair(host_interface=IFACE) as (namespace, _):
        firewall(7001).load(namespace)
        host = _agent(namespace, tmp_path, dataplane)
        try:
            ours = _ours(namespace)
            assert bool(ours) or dataplane == "ebpf"
            for port in (7002, 7003):
                firewall(port).load(namespace)
                time.sleep(1.2)  # two checks of the agent's, at least
                assert _ours(namespace) == ours
            assert _drift(host) == 0
        finally:
            host.stop()
            host.clean_up()
