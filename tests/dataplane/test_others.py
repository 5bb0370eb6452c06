"""T-REL-17: what others have on an interface and in netfilter is theirs, and the same before, beside and after us."""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path

import pytest
from driver_lab import ALLOW_BOTH, DENY, arrives, connects, driven, endpoint, listening

from netns import Namespace, veth_pair
from tortie.dataplane.driver import Acceleration
from tortie.dataplane.ebpf.driver import EbpfDriver
from tortie.dataplane.ebpf.hooks import TC_HANDLE
from tortie.dataplane.ebpf.pages import OBJECTS
from tortie.kernel import bpf
from tortie.model.desired import Delta
from tortie.model.failsafe import Failsafes
from tortie.model.xdp import XdpUse, XdpWish

pytestmark = pytest.mark.root

FIREWALLS = """
table ip nat {
    chain DOCKER { }
    chain PREROUTING {
        type nat hook prerouting priority dstnat; policy accept;
        fib daddr type local counter jump DOCKER comment "published ports of containers"
    }
    chain POSTROUTING {
        type nat hook postrouting priority srcnat; policy accept;
        ip saddr 172.17.0.0/16 oifname != "docker0" counter masquerade
    }
}
table ip filter {
    chain DOCKER-USER { counter return; }
    chain ufw-user-input { tcp dport 22 counter accept; }
    chain INPUT { type filter hook input priority filter; policy accept; counter jump ufw-user-input; }
    chain FORWARD { type filter hook forward priority filter; policy drop; counter jump DOCKER-USER; }
}
table inet firewalld {
    set zone { type ipv4_addr; flags interval; elements = { 192.0.2.0/24 }; }
    chain raw_PREROUTING { type filter hook prerouting priority raw + 10; policy accept; }
    chain filter_INPUT {
        type filter hook input priority filter + 10; policy accept;
        ct state established,related accept
        ip saddr @zone reject with icmpx admin-prohibited
    }
}
table netdev guard {
    chain early { type filter hook ingress device "ens4" priority 0; policy accept; }
}
"""
"""Like what a container engine, ufw, firewalld and somebody's own script leave there."""


MATCH = ("u32", "match", "ip", "dst", "203.0.113.1", "flowid", "1:1")


def found(host: Namespace) -> dict[str, str]:
    """Everything of others, as the tools print it."""
    tables = host.run("nft", "-a", "-s", "list", "ruleset")  # handles, which rules made again would not have
    first, _, rest = tables.partition("table inet tortie {")
    _, _, rest = rest.partition("\n}\n")
    filters = {}
    for side in ("ingress", "egress"):
        lines = host.run("tc", "filter", "show", "dev", host.interface, side).splitlines()
        filters[side] = "\n".join(line for line in lines if f"handle {TC_HANDLE:#x}" not in line)
    return {
        "nft": first + rest,
        "qdisc": host.run("tc", "qdisc", "show", "dev", host.interface),
        **filters,
        "legacy": host.run("iptables-legacy", "-S"),
        "sets": host.run("ipset", "save"),
        "sysctl": host.run("sysctl", "-a", "-r", "^net.(ipv[46].conf|netfilter.nf_conntrack_(acct|helper))"),
    }


@contextmanager
def program(name: str) -> Iterator[int]:
    """A program of another's: the root that passes everything, or that passes on from tc."""
    with bpf.ObjectFile(OBJECTS / "root.bpf.o") as foreign:
        for each in foreign.program_names:
            foreign.set_autoload(each, each == name)
        foreign.load()
        yield foreign.program_fd(name)


@pytest.mark.parametrize("has_tcx", [True, False])
@pytest.mark.parametrize("xdp", [None, bpf.DRV_MODE, bpf.SKB_MODE], ids=["no_xdp", "native", "generic"])
def test_t_rel_17_what_others_have_is_the_same_before_beside_and_after(
    bpffs: Path, xdp: int | None, has_tcx: bool
) -> None:
    with veth_pair() as (host, peer), listening(host), driven(host, bpffs) as driver, ExitStack() as foreign:
        driver._programs.traits = replace(driver._programs.traits, has_tcx=has_tcx)
        host.run("nft", "-f", "-", input=FIREWALLS)
        host.run("ipset", "create", "banned", "hash:net")
        host.run("iptables-legacy", "-A", "INPUT", "-m", "set", "--match-set", "banned", "src", "-j", "DROP")
        host.run("tc", "qdisc", "add", "dev", host.interface, "clsact")
        links: list[int] = []
        with program("tc_mark") as fd:
            for hook in bpf.Hook:
                bpf.attach_filter(bpf.Filter(ifindex=host.ifindex, hook=hook, priority=1), fd)
                if has_tcx:
                    links.append(foreign.enter_context(bpf.borrowed(bpf.attach_tcx(fd, host.ifindex, hook))))
        host.run("tc", "filter", "add", "dev", host.interface, "ingress", "prio", "9", "protocol", "ip", *MATCH)
        if xdp is not None:
            with program("xdp_root") as fd:
                links.append(foreign.enter_context(bpf.borrowed(bpf.attach_xdp(fd, host.ifindex, xdp))))
        told = [bpf.link_info(link) for link in links]
        before = found(host)

        for policy in (ALLOW_BOTH, DENY, ALLOW_BOTH):
            for use in (XdpUse.ALWAYS, XdpUse.NEVER):
                state = replace(endpoint(host, policy), xdp=XdpWish(use))
                driver.take(Delta(endpoints={host.interface: state}, failsafes=Failsafes()))
                assert driver.apply().failed == {}
                (status,) = driver.status()
                is_xdp = xdp is None and use is XdpUse.ALWAYS
                assert status.acceleration is (Acceleration.XDP if is_xdp else Acceleration.TC)
                if xdp is not None and use is XdpUse.ALWAYS:
                    assert "XDP program 'xdp_root'" in status.reason
                    assert status.unmet
                assert arrives(peer, host) is (policy is ALLOW_BOTH)
                assert driver.resync().repaired == ()
                assert found(host) == before
                assert [bpf.link_info(link) for link in links] == told
        assert connects(peer, host)
        driver.cleanup()
        assert found(host) == before
        assert bpf.xdp_query(host.ifindex)[0] == (told[-1].program_id if xdp is not None else 0)
        assert "tortie" not in host.run("nft", "list", "ruleset")
        assert [bpf.link_info(link) for link in links] == told


def qdiscs(host: Namespace) -> str:
    return host.run("tc", "qdisc", "show", "dev", host.interface)


@pytest.mark.parametrize("is_shared", [False, True])
def test_t_rel_17_a_clsact_of_ours_goes_with_us_unless_others_use_it(bpffs: Path, is_shared: bool) -> None:
    with veth_pair() as (host, _), driven(host, bpffs) as driver:
        driver._programs.traits = replace(driver._programs.traits, has_tcx=False)
        before = qdiscs(host)
        driver.take(Delta(endpoints={host.interface: endpoint(host, DENY)}, failsafes=Failsafes()))
        assert driver.apply().failed == {}
        assert "clsact" in qdiscs(host)
        if is_shared:
            host.run("tc", "filter", "add", "dev", host.interface, "egress", "pref", "9", "protocol", "ip", *MATCH)
        later = EbpfDriver(bpffs)  # which did not make it
        later._programs.traits = driver._programs.traits
        later._folder._traits = driver._programs.traits
        assert later.cleanup()
        filters = host.run("tc", "filter", "show", "dev", host.interface, "egress")
        assert (qdiscs(host) == before, "pref 9" in filters) == (not is_shared, is_shared)
        assert "tortie" not in filters
        assert f"{TC_HANDLE:#x}" not in filters


def test_t_rel_17_an_ingress_qdisc_of_others_stays_and_nothing_pretends_to_be_enforced(bpffs: Path) -> None:
    """The kernel would take the filter of leaving packets, and put it in the place of that of arriving ones."""
    with veth_pair() as (host, _), driven(host, bpffs) as driver:
        driver._programs.traits = replace(driver._programs.traits, has_tcx=False)
        host.run("tc", "qdisc", "add", "dev", host.interface, "ingress")
        before = qdiscs(host)
        driver.take(Delta(endpoints={host.interface: endpoint(host, DENY)}, failsafes=Failsafes()))
        assert "use clsact in its place" in driver.apply().failed[host.interface]
        assert driver.status()[0].is_enforced is False
        assert qdiscs(host) == before
        host.run("tc", "qdisc", "del", "dev", host.interface, "ingress")
        assert driver.apply().failed == {}
        assert driver.status()[0].is_enforced


def test_t_rel_17_a_filter_of_another_kind_in_our_place_stays_and_is_told(bpffs: Path) -> None:
    with veth_pair() as (host, _), driven(host, bpffs) as driver:
        driver._programs.traits = replace(driver._programs.traits, has_tcx=False)
        host.run("tc", "qdisc", "add", "dev", host.interface, "clsact")
        host.run("tc", "filter", "add", "dev", host.interface, "ingress", "pref", "1", "protocol", "ip", *MATCH)
        before = found(host)
        driver.take(Delta(endpoints={host.interface: endpoint(host, DENY)}, failsafes=Failsafes()))
        assert "give it a later one (tc filter ... pref 2)" in driver.apply().failed[host.interface]
        assert found(host) == before
