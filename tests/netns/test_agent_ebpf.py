"""The whole of it: `tortie agent run` with the eBPF driver in a namespace, spoken to by the command line."""

import json
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
from agent_host import Host

from apps.documents import NORMAL, POLICY, REFUSED
from netns import veth_pair

pytestmark = pytest.mark.root


@pytest.fixture
def host(tmp_path: Path) -> Iterator[Host]:
    with veth_pair() as (namespace, _):
        found = Host(namespace, tmp_path)
        yield found
        if found.agent is not None and found.agent.poll() is None:
            found.stop()
        found.clean_up()


def verdict(host: Host, protocol: str) -> tuple[str, bool | None]:
    where = ("--in", host.namespace.interface)
    answer = json.loads(host.tortie("trace", "10.0.0.9", "10.0.0.5", protocol, *where, "-o", "json"))
    return answer["verdict"], answer["agrees"]


def test_policy_is_enforced_traced_and_still_there_for_the_next_agent(host: Host) -> None:
    first = host.start()
    host.until_answered()
    assert "Enforced on node node2" in host.tortie("apply", "-f", "-", text=host.documents)
    assert verdict(host, "tcp/6379") == ("allow", True)
    assert verdict(host, "tcp/6380") == ("deny", True)
    assert verdict(host, "tcp/22") == ("allow", True)
    host.stop(signal.SIGKILL)
    second = host.start()
    host.until_answered()
    assert verdict(host, "tcp/6379") == ("allow", True)
    memory = json.loads(host.tortie("status", "-o", "json"))["agent"]["memory_mb"]
    print(f"agent start {first * 1e3:.0f} ms, with policy {second * 1e3:.0f} ms, memory {memory} MB")
    assert second < 2.0
    assert memory < 110


def test_an_empty_datastore_does_not_take_off_what_an_earlier_agent_enforces(host: Host) -> None:
    host.start()
    host.until_answered()
    host.tortie("apply", "-f", "-", text=host.documents)
    host.stop()
    program = host.namespace.link()["xdp"]["prog"]["id"]
    (host.folder / "agent" / "datastore").rename(host.folder / "elsewhere")
    for path in (host.folder / "agent").glob("datastore-*"):
        path.unlink()
    with pytest.raises(AssertionError, match="is empty, and an earlier agent enforces here"):
        host.start()
    assert program == host.namespace.link()["xdp"]["prog"]["id"]
    (host.folder / "elsewhere").rename(host.folder / "agent" / "datastore")
    host.start()
    host.until_answered()
    assert verdict(host, "tcp/6379") == ("allow", True)
    assert program == host.namespace.link()["xdp"]["prog"]["id"]


def test_a_policy_that_cannot_be_enforced_is_refused_and_the_last_good_state_stays(host: Host) -> None:
    host.start()
    host.until_answered()
    host.tortie("apply", "-f", "-", text=host.documents)
    said = host.tortie("apply", "-f", "-", text=REFUSED, code=1)
    assert "by-method" in said
    assert "the last good state stays" in said
    assert verdict(host, "tcp/6379") == ("allow", True)
    host.tortie("delete", "gnp", "by-method")
    host.tortie("apply", "-f", "-", text=POLICY.replace("Allow", "Deny"))
    assert verdict(host, "tcp/6379") == ("deny", True)


def test_normal_policy_is_enforced_beside_untracked_policy(host: Host) -> None:
    host.start()
    host.until_answered()
    host.tortie("apply", "-f", "-", text=host.documents)
    host.tortie("apply", "-f", "-", text=NORMAL.replace("22", "8080"))
    assert verdict(host, "tcp/6379") == ("allow", True)
    assert verdict(host, "tcp/8080") == ("allow", True)
    assert verdict(host, "tcp/8081") == ("deny", True)


def test_cleanup_leaves_nothing_to_clean(host: Host) -> None:
    host.start()
    host.until_answered()
    host.tortie("apply", "-f", "-", text=host.documents)
    host.stop()
    assert "removed" in host.clean_up()
    assert "nothing of tortie's was found" in host.clean_up()


def test_trace_and_explain_know_the_host_that_lives(host: Host) -> None:
    host.start()
    host.until_answered()
    host.tortie("apply", "-f", "-", text=host.documents)
    interface = host.namespace.interface
    answer = json.loads(host.tortie("trace", "10.99.0.2", "10.99.0.1", "tcp/6379", "-o", "json"))
    assert (answer["arrives"], answer["leaves"], answer["agrees"]) == (interface, None, True)
    assert answer["notes"] == [f"arrives at {interface}: 10.99.0.1 is this host's own"]
    assert answer["steps"][0]["origin"] == "revision 2"
    (endpoint,) = [
        one for one in json.loads(host.tortie("explain", "port", "6379", "-o", "json"))["endpoints"] if one["kind"]
    ]
    rows = [(one["verdict"], one["policy"]) for one in endpoint["paths"][0]["outcomes"]]
    assert rows == [("allow", "GlobalNetworkPolicy(redis)"), ("deny", f"HostEndpoint(node2-{interface})")]
    (policy,) = json.loads(host.tortie("explain", "policy", "redis", "-o", "json"))["policies"]
    assert [(rule["use"], rule["hits"]) for rule in policy["rules"]] == [("meets", 0), ("meets", 0)]
    revision = json.loads(host.tortie("trace", "10.99.0.2", "10.99.0.1", "tcp/1", "-o", "json"))["revision"]
    host.tortie("apply", "-f", "-", text=host.documents.replace("Allow", "Deny"))
    now = host.tortie("trace", "10.99.0.2", "10.99.0.1", "tcp/6379")
    assert "verdict    DENY" in now and "rule 0: agrees" in now
    then = host.tortie("trace", "10.99.0.2", "10.99.0.1", "tcp/6379", "--revision", str(revision))
    assert "verdict    ALLOW" in then and "not asked: an older revision is not installed" in then
