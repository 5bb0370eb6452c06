"""Docker and kube-proxy beside us: each class of policy sees the destination that it is about, on every dataplane.

Random policies, real connections through rules of the shape that those programs make, and the evaluator's verdict.
"""

from collections.abc import Sequence, Set
from pathlib import Path
from random import Random

import pytest
import yaml
from attempts import (
    HOST,
    INSIDE,
    OUTSIDE,
    STRAIGHT,
    WITH_DOCKER,
    WITH_KUBE,
    Attempt,
    is_allowed,
    random_endpoints,
    told,
)
from beside import BRIDGE_NETFILTER, DATAPLANES, enforcing, pass_bridges_by_netfilter, site, tried
from contract import endpoint, ruleset
from others_rules import DOCKER, KUBE_IPTABLES, KUBE_NFTABLES, NODE_PORT, PUBLISHED, Rules

from lockdown import entry
from tortie.apps.absorb import absorb
from tortie.apps.agent.interfaces import KernelInterfaces
from tortie.calc import Engine
from tortie.model.desired import Delta

pytestmark = pytest.mark.root

CASES = 24
OTHERS = [
    pytest.param(DOCKER, (*WITH_DOCKER, STRAIGHT), {STRAIGHT}, id="docker"),
    pytest.param(KUBE_IPTABLES, WITH_KUBE, set(), id="kube-proxy-iptables"),
    pytest.param(KUBE_NFTABLES, WITH_KUBE, set(), id="kube-proxy-nftables"),
]
"""Rules, connections through them, and those that the rules themselves deny."""


@pytest.mark.parametrize("dataplane", DATAPLANES)
@pytest.mark.parametrize(("rules", "attempts", "closed"), OTHERS)
def test_translated_connections_get_the_evaluators_verdict(
    rules: Rules, attempts: Sequence[Attempt], closed: Set[Attempt], dataplane: str
) -> None:
    rng = Random(f"{rules.script[:20]} {dataplane}")
    seen: set[tuple[str, bool]] = set()
    with site() as town:
        rules.load(town.host)
        assert tried(town, attempts, lambda one: one not in closed) == set(attempts) - closed
        if dataplane == "ebpf":  # see the test below
            pass_bridges_by_netfilter(town.host, is_on=False)
        before = ruleset(town.host)
        with enforcing(town.host, dataplane) as driver:
            for _ in range(CASES):
                endpoints = random_endpoints(rng, (OUTSIDE, INSIDE))
                driver.enforce(town.delta(endpoints))
                allowed = {one for one in attempts if is_allowed(endpoints, one, judges_early=dataplane == "ebpf")}
                expected = {one: one in allowed - closed for one in attempts}
                found = tried(town, attempts, expected.__getitem__)
                wrong = {one.name: one in found for one in attempts if (one in found) is not expected[one]}
                assert not wrong, f"allowed? {wrong}\n{told(endpoints)}"
                seen |= {(one.name, one in allowed) for one in attempts}
        assert ruleset(town.host) == before  # T-REL-17: theirs are as they were
    assert seen == {(one.name, verdict) for one in attempts for verdict in (True, False)}  # else it proves little


@pytest.mark.skipif(not BRIDGE_NETFILTER.exists(), reason="br_netfilter is not loaded (modprobe br_netfilter)")
@pytest.mark.parametrize("dataplane", DATAPLANES)
def test_answers_to_masqueraded_connections_at_a_bridge_whose_frames_meet_netfilter(dataplane: str) -> None:
    (attempt,) = (one for one in WITH_KUBE if one.named == (HOST, NODE_PORT))
    with site() as town, enforcing(town.host, dataplane) as driver:
        KUBE_IPTABLES.load(town.host)
        for interfaces in ((OUTSIDE, INSIDE), (OUTSIDE,)):
            driver.enforce(town.delta({name: endpoint(name) for name in interfaces}))
            for is_on in (True, False):
                pass_bridges_by_netfilter(town.host, is_on=is_on)
                # What leaves the bridge is translated already, what comes back is translated back before its hook.
                is_lost = dataplane == "ebpf" and INSIDE in interfaces and is_on
                assert tried(town, [attempt], lambda _: not is_lost) == (set() if is_lost else {attempt})  # noqa: B023
            driver.enforce(Delta(endpoints=dict.fromkeys(interfaces)))


@pytest.mark.parametrize("dataplane", DATAPLANES)
def test_the_example_of_the_manual_governs_published_ports_alike_on_every_dataplane(dataplane: str) -> None:
    with site() as town, enforcing(town.host, dataplane) as driver:
        DOCKER.load(town.host)
        engine = Engine("web1")
        for document in yaml.safe_load_all(_example()):
            assert absorb(engine, *entry(document)) is None
        with town.host.entered():
            for interface in KernelInterfaces().read():
                engine.set_interface(interface.name, interface)
        engine.in_sync()
        driver.enforce(engine.flush())
        expected = {one: one.named == (HOST, PUBLISHED) or one.arrives != OUTSIDE for one in WITH_DOCKER}
        found = tried(town, WITH_DOCKER, expected.__getitem__)
        assert {one.name: one in found for one in WITH_DOCKER} == {one.name: expected[one] for one in WITH_DOCKER}


def _example() -> str:
    manual = (Path(__file__).parents[2] / "docs" / "operating.md").read_text()
    _, _, text = manual.partition("## Beside Docker, kube-proxy, ufw and firewalld\n")
    return text.partition("```yaml\n")[2].partition("```")[0]
