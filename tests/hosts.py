"""Whole hosts with policy of every class, and the ways through them."""

from dataclasses import replace
from random import Random

from strategies import Case, random_normal_case
from tortie.model.desired import EndpointState
from tortie.model.host import Host, ToHost
from tortie.model.packet import Direction
from tortie.model.passage import Way
from tortie.model.policy import Stage

WAYS = (
    Way("eth0", None),
    Way(None, "eth0"),
    Way("eth0", "eth1"),
    Way("eth0", "cali1"),
    Way("cali1", "eth1"),
    Way("cali1", None),
    Way("cali1", "cali2"),
    Way(None, "cali1"),
)


def random_host(rng: Random) -> tuple[Host, Case]:
    """Two host interfaces, two workloads and a wildcard, with policy of every class; and what packets aim at."""
    cases = [random_normal_case(rng) for _ in range(2)]
    sets = {set_id: members for case in cases for set_id, members in case.sets.items()}
    eth0, eth1 = (_with_pre_dnat(rng, case.endpoint) for case in cases)
    host = Host(
        endpoints={"eth0": eth0, "eth1": eth1},
        workloads={f"cali{n}": replace(cases[n % 2].endpoint, is_workload=True, endpoint=f"ns/w{n}") for n in (1, 2)},
        wildcard=replace(rng.choice((eth0, eth1)), is_wildcard=True) if rng.randrange(2) else None,
        workload_prefixes=("cali",),
        sets=sets,
        failsafes=cases[0].failsafes,
        tracking=cases[0].tracking,
        to_host=rng.choice(tuple(ToHost)),
        rejects=bool(rng.randrange(2)),
    )
    return host, replace(cases[0], sets=sets)


def _with_pre_dnat(rng: Random, endpoint: EndpointState) -> EndpointState:
    """Some of the untracked and forward policy of what arrives as pre-DNAT policy, too."""
    early = endpoint.stage(Stage.FORWARD, Direction.INGRESS) if rng.randrange(2) else ()
    return replace(endpoint, tiers={**endpoint.tiers, (Stage.PRE_DNAT, Direction.INGRESS): early})
