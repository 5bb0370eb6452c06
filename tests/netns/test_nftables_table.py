"""What is the nftables driver's alone: guards behind its maps."""

import socket
import time

import pytest
from contract import delta_of, endpoint, running, tier, udp

from netns import Namespace, veth_pair
from tortie.dataplane.nftables.driver import NftablesDriver
from tortie.kernel import nft
from tortie.model.policy import Stage

pytestmark = pytest.mark.root


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
