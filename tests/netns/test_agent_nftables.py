"""The whole of it: `tortie agent run` with the nftables driver in a namespace, spoken to by the command line."""

import json
import signal
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest
from agent_host import Host

from apps.documents import NORMAL
from netns import Namespace, veth_pair

pytestmark = pytest.mark.root

Pair = tuple[Host, Namespace]


@pytest.fixture
def pair(tmp_path: Path) -> Iterator[Pair]:
    with veth_pair() as (namespace, peer):
        found = Host(namespace, tmp_path, "nftables")
        yield found, peer
        if found.agent is not None and found.agent.poll() is None:
            found.stop()
        found.clean_up()


def answer_of(host: Host, peer: Namespace, port: int) -> str:
    """What becomes of a connection to a port that nobody listens on: `refused` by the host itself, or `silence`."""
    with peer.entered(), socket.socket(socket.AF_INET, socket.SOCK_STREAM) as one:
        one.settimeout(0.5)
        try:
            one.connect((host.namespace.address, port))
        except ConnectionRefusedError:
            return "refused"
        except TimeoutError:
            return "silence"
    return "accepted"


def test_policy_is_enforced_counted_repaired_and_still_there_for_the_next_agent(pair: Pair) -> None:
    host, peer = pair
    host.start()
    host.until_answered()
    assert "Enforced on node node2" in host.tortie("apply", "-f", "-", text=host.documents)
    host.tortie("apply", "-f", "-", text=NORMAL.replace("22", "8080"))
    seen = [answer_of(host, peer, port) for port in (22, 6379, 8080, 8081)]
    assert seen == ["refused", "refused", "refused", "silence"]
    status = json.loads(host.tortie("status", "-o", "json"))
    assert (status["agent"]["dataplane"], status["mode"]["state"], status["mode"]["netfilter"]) == (
        "nftables",
        "enforcing",
        1,
    )
    assert "1 in netfilter" in host.tortie("status")
    assert "nftables offers no test run" in host.tortie("trace", "10.99.0.2", "10.99.0.1", "tcp/6379")
    counted = json.loads(host.tortie("counters", "-o", "json"))
    hits = {one["policy"]: one["packets"] for one in counted["rules"] if one["packets"]}
    assert hits["GlobalNetworkPolicy(redis)"] >= 1 and hits["GlobalNetworkPolicy(ssh-only)"] >= 1, hits
    host.stop(signal.SIGKILL)
    assert answer_of(host, peer, 8081) == "silence"
    host.start()
    host.until_answered()
    assert [answer_of(host, peer, port) for port in (8080, 8081)] == ["refused", "silence"]
    host.tortie("delete", "gnp", "ssh-only")
    assert answer_of(host, peer, 8080) == "silence"


def test_an_agent_with_another_dataplane_takes_the_place_of_the_one_before(pair: Pair) -> None:
    host, peer = pair
    for dataplane in ("nftables", "ebpf", "nftables"):
        host.dataplane = dataplane
        host.start()
        host.until_answered()
        host.tortie("apply", "-f", "-", text=host.documents)
        assert answer_of(host, peer, 8081) == "silence"
        status = json.loads(host.tortie("status", "-o", "json"))["dataplane"]
        assert (status["name"], status["asked"], status["leaving"]) == (dataplane, dataplane, [])
        assert ("inet tortie-policy" in host.namespace.run("nft", "list", "tables")) == (dataplane == "nftables")
        host.stop()
        assert answer_of(host, peer, 8081) == "silence"
    assert "removed" in host.clean_up()
    assert "nothing of tortie's was found" in host.clean_up()
    assert answer_of(host, peer, 8081) == "refused"
    assert "inet tortie" not in host.namespace.run("nft", "list", "tables")


def test_a_dataplane_that_cannot_be_had_is_an_error_with_a_remedy_and_nothing_is_changed(pair: Pair) -> None:
    host, peer = pair
    host.start()
    host.until_answered()
    host.tortie("apply", "-f", "-", text=host.documents)
    host.stop()
    host.dataplane = "iptables"
    with pytest.raises(AssertionError, match=r"the dataplane iptables cannot be had here .*: use ebpf or nftables"):
        host.start()
    assert host.agent is not None and host.agent.returncode == 1
    assert answer_of(host, peer, 8081) == "silence"
