"""The whole of it: `tortie agent run` with a driver in netfilter's hooks, spoken to by the command line."""

import json
import re
import signal
import time
from collections.abc import Iterable, Iterator
from pathlib import Path

import pytest
from agent_host import PATIENCE_S, Host, answer_of
from contract import NEEDS_LEGACY

from apps.documents import NORMAL
from netns import Namespace, veth_pair
from tortie.model.dataplane import EBPF, IPTABLES, NFTABLES

pytestmark = pytest.mark.root

Pair = tuple[Host, Namespace]
UNIT = Path(__file__).parents[2] / "packaging" / "tortie-agent.service"
VARIANTS = [
    pytest.param("nftables", id="nftables"),
    pytest.param("iptables-nft", id="iptables-nft"),
    pytest.param("iptables-legacy", id="iptables-legacy", marks=NEEDS_LEGACY),
]
"""A dataplane, or a variant of iptables."""
CONFIGURED = """
---
apiVersion: projectcalico.org/v3
kind: FelixConfiguration
metadata: {{name: default}}
spec: {{iptablesBackend: {}}}
"""
FOREIGN = """
for x in iptables-nft ip6tables-nft iptables-legacy ip6tables-legacy; do
    for t in raw mangle filter; do $x -t $t -S > /dev/null; done
    $x -A INPUT -p udp --dport 9 -j DROP
done
ipset create listed hash:ip
iptables-nft -A INPUT -m set --match-set listed src -j DROP
nft add table inet theirs; nft add chain inet theirs one '{ type filter hook input priority 5; }'
ipset create theirs hash:ip; ipset add theirs 192.0.2.1
"""
LISTED = (
    "nft -s list ruleset; ipset list; for v in ip ip6; do ${v}tables-nft-save; ${v}tables-legacy-save; done 2>&1"
    " | sed -E 's/^#.*//; s/\\[[0-9]+:[0-9]+\\]//'"
)
FLUSH = {
    "nftables": "nft flush ruleset",
    "iptables-nft": "iptables-nft -F; ip6tables-nft -F; iptables-nft -t raw -F; ip6tables-nft -t raw -F",
    "iptables-legacy": "iptables-legacy -F; ip6tables-legacy -F",
}


@pytest.fixture
def pair(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Pair]:
    """A host with nftables, or with that variant."""
    variant = getattr(request, "param", "nftables")
    with veth_pair() as (namespace, peer):
        found = Host(namespace, tmp_path, variant.partition("-")[0])
        if found.dataplane == IPTABLES:
            found.documents += CONFIGURED.format({"nft": "NFT", "legacy": "Legacy"}[variant.partition("-")[2]])
        found.bounding = re.findall(r"^CapabilityBoundingSet=(.*)$", UNIT.read_text(), re.M)[0].split()
        yield found, peer
        if found.agent is not None and found.agent.poll() is None:
            found.stop()
        found.clean_up()


def variant_of(request: pytest.FixtureRequest) -> str:
    return str(request.node.callspec.params["pair"])


@pytest.mark.parametrize("pair", VARIANTS, indirect=True)
def test_policy_is_enforced_counted_repaired_and_still_there_for_the_next_agent(
    pair: Pair, request: pytest.FixtureRequest
) -> None:
    host, peer = pair
    variant = variant_of(request)
    host.start()
    host.until_answered()
    assert "Enforced on node node2" in host.tortie("apply", "-f", "-", text=host.documents)
    host.tortie("apply", "-f", "-", text=NORMAL.replace("22", "8080"))
    seen = [answer_of(host, peer, port) for port in (22, 6379, 8080, 8081)]
    assert seen == ["refused", "refused", "refused", "silence"]
    status = json.loads(host.tortie("status", "-o", "json"))
    assert (status["agent"]["dataplane"], status["mode"]["state"], status["mode"]["xdp"]) == (
        host.dataplane,
        "enforcing",
        1,
    )
    (interface,) = status["enforced"]["interfaces"]
    assert interface["backend"] == variant
    assert interface["reason"].startswith("untracked ingress: ") and "; all else: " in interface["reason"]
    (found,) = (one for one in status["dataplane"]["found"] if one["name"] == IPTABLES)
    assert f"iptables is {found['why']}" in host.tortie("status")
    assert found["can_be_had"] and "iptables-nft: " in found["why"] and "iptables-legacy: " in found["why"]
    assert "1 in XDP" in host.tortie("status")
    assert f"{host.dataplane} offers no test run" in host.tortie("trace", "10.99.0.2", "10.99.0.1", "tcp/6379")
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


@pytest.mark.parametrize("pair", VARIANTS, indirect=True)
def test_t_rel_6_what_others_flush_is_back_within_a_second_and_told(pair: Pair, request: pytest.FixtureRequest) -> None:
    host, _ = pair
    host.start()
    host.until_answered()
    host.tortie("apply", "-f", "-", text=host.documents)
    found = [back_after_flush(pair, variant_of(request), times, within_s=5) for times in range(1, 6)]
    print(f"back after {', '.join(f'{one:.2f}' for one in found)} s")
    assert sorted(found)[2] < 1.0 and max(found) < 3.0


def back_after_flush(pair: Pair, variant: str, times: int, *, within_s: float) -> float:
    """Flush all rules; the seconds until policy is in force again. `times`: repairs that are told of then."""
    host, peer = pair
    host.namespace.run("sh", "-c", FLUSH[variant])
    flushed = time.monotonic()
    while answer_of(host, peer, 8081) == "refused":
        assert time.monotonic() < flushed + within_s
    back_s = time.monotonic() - flushed - PATIENCE_S
    while json.loads(host.tortie("status", "-o", "json"))["drift"]["times"] < times:
        assert time.monotonic() < flushed + within_s
    return back_s


LARGE = """
---
apiVersion: projectcalico.org/v3
kind: GlobalNetworkPolicy
metadata: {name: listed}
spec:
  selector: all()
  order: 1
  ingress: [{action: Deny, source: {selector: role == 'bad'}}, {action: Pass}]
"""


def listed(name: str, nets: Iterable[str]) -> str:
    lines = "".join(f"  - {net}\n" for net in nets)
    head = "apiVersion: projectcalico.org/v3\nkind: GlobalNetworkSet"
    return f"---\n{head}\nmetadata: {{name: {name}, labels: {{role: bad}}}}\nspec:\n  nets:\n{lines}"


@pytest.mark.parametrize("pair", VARIANTS, indirect=True)
def test_t_rel_6_large_sets_that_change_delay_no_repair(pair: Pair, request: pytest.FixtureRequest) -> None:
    host, peer = pair
    host.start()
    host.until_answered()
    large = listed(
        "many", (f"11.{number >> 16}.{number >> 8 & 255}.{number & 255}/32" for number in range(0, 200_000, 2))
    )
    host.tortie("apply", "-f", "-", text=f"{host.documents}{LARGE}{large}")
    assert answer_of(host, peer, 8081) == "silence"
    found = []
    for times in range(1, 4):
        for number in range(4):
            host.tortie("apply", "-f", "-", text=listed("few", [f"12.0.{times}.{number}/32"]))
            time.sleep(0.6)
        found.append(back_after_flush(pair, variant_of(request), times, within_s=30))
    print(f"back after {', '.join(f'{one:.2f}' for one in found)} s")
    assert sorted(found)[1] < 5.0 and max(found) < 15.0


@pytest.mark.parametrize("pair", VARIANTS, indirect=True)
def test_cleanup_leaves_everything_as_it_was(pair: Pair) -> None:
    host, peer = pair
    host.namespace.run("sh", "-c", FOREIGN)
    before = host.namespace.run("sh", "-c", LISTED)
    host.start()
    host.until_answered()
    host.tortie("apply", "-f", "-", text=host.documents)
    assert answer_of(host, peer, 8081) == "silence"
    assert host.namespace.run("sh", "-c", LISTED) != before
    host.stop()
    host.clean_up()
    assert host.namespace.run("sh", "-c", LISTED) == before


@NEEDS_LEGACY
@pytest.mark.parametrize("pair", VARIANTS[1:], indirect=True)
def test_the_variant_of_iptables_changes_on_a_running_agent(pair: Pair) -> None:
    host, peer = pair
    host.start()
    host.until_answered()
    host.tortie("apply", "-f", "-", text=host.documents)
    for backend, variant in (("NFT", "iptables-nft"), ("Legacy", "iptables-legacy")) * 2:
        spec = f"{{iptablesBackend: {backend}, iptablesMarkMask: 0x3e00, chainInsertMode: Append}}"
        text = CONFIGURED.replace("{{name: default}}", "{name: default}").partition("spec:")[0] + f"spec: {spec}\n"
        host.tortie("apply", "-f", "-", text=text)
        assert answer_of(host, peer, 8081) == "silence"
        status = json.loads(host.tortie("status", "-o", "json"))
        assert [one["backend"] for one in status["enforced"]["interfaces"]] == [variant]
        for other in ("iptables-nft", "iptables-legacy"):
            rules = host.namespace.run(f"{other}-save")
            assert ("tortie" in rules) == (other == variant)
            assert set(re.findall(r"--set-xmark \S+/(\S+)", rules)) <= {f"{1 << bit:#x}" for bit in range(9, 14)} | {
                "0x3e00"
            }


@pytest.mark.parametrize("pair", [VARIANTS[1]], indirect=True)
def test_a_mask_with_too_few_bits_is_refused_in_words_and_what_was_enforced_stays(pair: Pair) -> None:
    host, peer = pair
    host.start()
    host.until_answered()
    host.tortie("apply", "-f", "-", text=host.documents)
    text = CONFIGURED.format("NFT, iptablesMarkMask: 0xf")
    assert "give iptablesMarkMask 5 or more" in host.tortie("apply", "-f", "-", text=text, code=1)
    assert answer_of(host, peer, 8081) == "silence"


def test_an_agent_with_another_dataplane_takes_the_place_of_the_one_before(pair: Pair) -> None:
    host, peer = pair
    for dataplane in (NFTABLES, EBPF, IPTABLES, NFTABLES, IPTABLES, EBPF):
        host.dataplane = dataplane
        host.start()
        host.until_answered()
        host.tortie("apply", "-f", "-", text=host.documents)
        assert answer_of(host, peer, 8081) == "silence"
        status = json.loads(host.tortie("status", "-o", "json"))["dataplane"]
        assert (status["name"], status["asked"], status["leaving"]) == (dataplane, dataplane, [])
        assert ("inet tortie-policy" in host.namespace.run("nft", "list", "tables")) == (dataplane == NFTABLES)
        assert ("tortie" in host.namespace.run("iptables-save")) == (dataplane == IPTABLES)
        host.stop()
        assert answer_of(host, peer, 8081) == "silence"
    assert "removed" in host.clean_up()
    assert "nothing of tortie's was found" in host.clean_up()
    assert answer_of(host, peer, 8081) == "refused"
    assert host.namespace.run("nft", "list", "tables") == host.namespace.run("ipset", "list") == ""


def test_a_dataplane_that_cannot_be_had_is_an_error_with_a_remedy_and_nothing_is_changed(pair: Pair) -> None:
    host, peer = pair
    host.start()
    host.until_answered()
    host.tortie("apply", "-f", "-", text=host.documents)
    host.stop()
    host.bounding.remove("CAP_NET_RAW")
    host.namespace.run("sh", "-c", FOREIGN)  # which iptables cannot even list without that
    host.start()
    host.until_answered()
    assert "not iptables: this process lacks CAP_NET_RAW" in host.tortie("status")
    host.stop()
    host.dataplane = IPTABLES
    with pytest.raises(AssertionError, match=r"the dataplane iptables cannot be had here .*lacks CAP_NET_RAW: run as"):
        host.start()
    assert host.agent is not None and host.agent.returncode == 1
    assert answer_of(host, peer, 8081) == "silence"


def test_auto_is_nftables_alone_where_an_agent_may_not_load_programs(pair: Pair) -> None:
    host, peer = pair
    host.dataplane = "auto"
    host.bounding = ["CAP_NET_ADMIN", "CAP_NET_RAW"]
    host.start()
    host.until_answered()
    host.tortie("apply", "-f", "-", text=host.documents)
    assert [answer_of(host, peer, port) for port in (22, 6379, 8081)] == ["refused", "refused", "silence"]
    status = json.loads(host.tortie("status", "-o", "json"))
    assert status["agent"]["dataplane"] == NFTABLES
    found = {one["name"]: one for one in status["dataplane"]["found"]}
    assert not found[EBPF]["can_be_had"] and "CAP_BPF" in found[EBPF]["why"], found[EBPF]
    (interface,) = status["enforced"]["interfaces"]
    assert interface["acceleration"] == "netfilter" and "CAP_BPF" in interface["reason"], interface
    host.bounding = []  # for the cleanup
