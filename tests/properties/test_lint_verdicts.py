"""What lint calls unreached in documents can be taken out of them, and no endpoint judges anything otherwise."""

import json
from copy import deepcopy
from random import Random
from typing import Any

import pytest

from first_verdicts import first_verdict
from strategies import Case, random_packet
from tortie.apps.absorb import absorb
from tortie.apps.decoding import decode_files, key_of
from tortie.apps.linting.finding import Finding
from tortie.apps.linting.running import lint
from tortie.calc import Engine
from tortie.model.desired import DesiredState
from tortie.model.endpoint import Interface
from tortie.model.packet import Direction, Fragment
from tortie.resources.codec import encode

Document = dict[str, Any]
NODE, ROLES = "node1", ("a", "b")
SELECTORS = ("role == 'a'", "role == 'b'", "has(role)", "all()", "role != 'a'")
NETS = ("10.0.0.0/8", "10.1.0.0/16", "192.0.2.0/25", "0.0.0.0/0")
PORTS = (80, 443, "400:500", "1:65535", 6379)
ACTIONS = ("Allow", "Allow", "Allow", "Deny", "Deny", "Pass", "Log")
PASSING = ("Allow", "Deny", "Pass", "Pass", "Pass", "Log")
"""In the earlier tiers, so that something comes to the later ones."""
UNREACHED = {"TT2001", "TT2002"}


def document(kind: str, name: str, spec: Document, **metadata: object) -> Document:
    return {"apiVersion": "projectcalico.org/v3", "kind": kind, "metadata": {"name": name, **metadata}, "spec": spec}


def rule(rng: Random, actions: tuple[str, ...]) -> Document:
    found: Document = {"action": rng.choice(actions)}
    if rng.random() < 0.7:
        found["protocol"] = rng.choice(("TCP", "TCP", "UDP"))
    for side in ("source", "destination"):
        said: Document = {}
        if rng.random() < 0.3:
            said["nets"] = [rng.choice(NETS)]
        if rng.random() < 0.15:
            said["notNets"] = [rng.choice(NETS[:3])]
        if "protocol" in found and rng.random() < 0.5:
            said["ports"] = [rng.choice(PORTS)]
        if rng.random() < 0.15:
            said["selector"] = rng.choice(SELECTORS[:3])
        if said:
            found[side] = said
    return found


def policy(rng: Random, number: int, tier: str) -> Document:
    spec: Document = {"tier": tier, "selector": rng.choice(SELECTORS)}
    if rng.random() < 0.7:
        spec["order"] = rng.randrange(3)
    if rng.random() < 0.2:
        spec |= {"doNotTrack": True, "applyOnForward": True}
    elif rng.random() < 0.2:
        spec["applyOnForward"] = True
    for side in ("ingress", "egress"):
        if rules := [rule(rng, ACTIONS if tier == "default" else PASSING) for _ in range(rng.randrange(5))]:
            spec[side] = rules
    return document("GlobalNetworkPolicy", f"{tier}.p{number}", spec)


def documents(rng: Random) -> list[Document]:
    tiers = ["default", "first", "second"][: rng.randrange(1, 4)]
    found = [
        document("Tier", name, {"order": order, "defaultAction": rng.choice(("Deny", "Pass"))})
        for order, name in enumerate(tiers)
        if name != "default"
    ]
    found += [policy(rng, number, rng.choice(tiers)) for number in range(rng.randrange(1, 7))]
    for number, role in enumerate(ROLES[: rng.randrange(1, 3)]):
        spec = {"node": NODE, "interfaceName": f"eth{number}", "expectedIPs": [f"10.1.0.{number + 1}"]}
        found.append(document("HostEndpoint", f"h{number}", spec, labels={"role": role}))
    return found


def desired(found: list[Document]) -> DesiredState:
    engine = Engine(NODE)
    for resource in decode_files([{"source": "f", "text": json.dumps(found)}]):
        assert absorb(engine, key_of(resource), encode(resource)) is None
    for number, _ in enumerate(ROLES):
        engine.set_interface(f"eth{number}", Interface(name=f"eth{number}", index=number + 2))
    engine.in_sync()
    engine.flush()
    return engine.desired()


def without(found: list[Document], findings: list[Finding]) -> list[Document]:
    """The documents without those rules, each governing what it governed."""
    left = deepcopy(found)
    by_name = {(one["kind"], one["metadata"]["name"]): one for one in left}
    for one in left:
        if one["kind"] == "GlobalNetworkPolicy":
            given = [side for side in ("ingress", "egress") if side in one["spec"]]
            one["spec"]["types"] = [side.capitalize() for side in given or ["ingress"]]
    for finding in sorted(findings, key=lambda each: each.suspicion.way[-1], reverse=True):
        resource = finding.suspicion.subject.resource
        _, side, index = finding.suspicion.way
        del by_name[resource.kind, resource.name]["spec"][side][index]
    return left


@pytest.mark.parametrize("chunk", range(8))
def test_what_lint_calls_unreached_changes_no_verdict_of_any_endpoint(chunk: int) -> None:
    taken = 0
    for seed in range(30 * chunk, 30 * chunk + 30):
        rng = Random(seed)
        found = documents(rng)
        # Whether the endpoints are among the files or not: what is said of the policies has to hold for them.
        files = found if rng.random() < 0.5 else [one for one in found if one["kind"] != "HostEndpoint"]
        report = lint([{"source": "f", "text": json.dumps(files)}])
        assert not report.problems
        findings = [one for one in report.findings if one.code in UNREACHED]
        taken += len(findings)
        before, after = desired(found), desired(without(found, findings))
        for name, endpoint in before.endpoints.items():
            case = Case(endpoint, before.sets, before.failsafes)
            for direction in Direction:
                for _ in range(40):
                    packet = random_packet(rng, case, direction=direction)
                    if packet.fragment is not Fragment.LATER:
                        was, left = (
                            first_verdict(packet, direction, one.endpoints[name], one.sets, one.failsafes)
                            for one in (before, after)
                        )
                        assert left == was
    assert taken > 20
