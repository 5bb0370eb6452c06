"""What `tortie assert` takes for questions about a thousand rules, and what large sets add in a space of packets."""

import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from random import Random
from tempfile import TemporaryDirectory

from bench.figures import Figure, Unmeasured
from tortie.model.address import Net
from tortie.model.ipset import AddressSet, SelectorSet
from tortie.model.matches import NetMatch, PortMatch, PortRange, ProtocolMatch, SetMatch
from tortie.model.packet import TCP, UDP, Side
from tortie.model.policy import PolicyKey
from tortie.model.rule import Action, Rule
from tortie.model.selector import parse_selector
from tortie.model.space import PacketSpace, reach
from tortie.model.verdict import tier_end
from tortie.model.walk import Group, RuleList

RULES, POLICIES, MEMBERS = 1_000, 20, 100_000
GUARDED = 6379
"""The port that no rule of the document opens, and that the question is about."""
LENGTHS = (8, 12, 16, 20, 24, 28, 32)


def measure(runs: int) -> Sequence[Figure]:
    """Every figure. Raises: Unmeasured."""
    with TemporaryDirectory() as folder:
        path = Path(folder) / "assertions.yaml"
        path.write_text(document(), encoding="utf-8")
        samples = tuple(_run(path) for _ in range(runs))
    told = f"a proof and a counter-example about {RULES:,} rules, command and all"
    sets = tuple(_reach() for _ in range(max(1, runs // 3)))
    note = f"reach of {RULES:,} rules, every second with one of 4 sets of {MEMBERS:,} addresses, in this process"
    return [
        Figure("assert.1000", "ms", samples, note=told),
        Figure(f"assert.reach.members.{MEMBERS}", "ms", sets, note=note),
    ]


def document() -> str:
    """A host with a thousand rules of random nets and ports, a question that has a proof, and one that has not."""
    rng = Random(6)
    endpoint = "{node: host1, interfaceName: eth0}"
    lines = [
        "apiVersion: tortie.io/v1",
        "kind: PolicyAssertion",
        "host: {node: host1, interfaces: [{name: eth0, addresses: [192.0.2.10/24]}]}",
        "resources:",
        f"- {{apiVersion: projectcalico.org/v3, kind: HostEndpoint, metadata: {{name: h}}, spec: {endpoint}}}",
    ]
    for number in range(POLICIES):
        head = f"apiVersion: projectcalico.org/v3, kind: GlobalNetworkPolicy, metadata: {{name: p{number}}}"
        rules = ", ".join(_words(rng) for _ in range(RULES // POLICIES))
        lines.append(f"- {{{head}, spec: {{order: {number}, ingress: [{rules}]}}}}")
    lines.append("assertions:")
    guarded = f"direction: ingress, protocol: TCP, destination: {{ports: [{GUARDED}]}}, expect: deny"
    lines.append(f"- {{name: nobody reaches Redis, {guarded}}}")
    lines.append("- {name: nobody reaches anything, direction: ingress, expect: deny}")
    return "\n".join(lines) + "\n"


def _words(rng: Random) -> str:
    """A rule in YAML's flow style."""
    nets = [str(_net(rng)) for _ in range(1 + rng.randrange(3))]
    first = rng.choice((1 + rng.randrange(GUARDED - 1), GUARDED + 1 + rng.randrange(50_000)))
    last = first + rng.choice((0, 0, 10, 1_000))
    if first < GUARDED:
        last = min(last, GUARDED - 1)
    action, protocol = rng.choice(("Allow", "Deny")), rng.choice(("TCP", "UDP"))
    destination = f"{{nets: [192.0.2.0/{rng.randrange(24, 31)}], ports: ['{first}:{last}']}}"
    return f"{{action: {action}, protocol: {protocol}, source: {{nets: {nets}}}, destination: {destination}}}"


def _net(rng: Random) -> Net:
    length = rng.choice(LENGTHS)
    return Net(4, rng.getrandbits(32) >> 32 - length << 32 - length, length)


def _run(path: Path) -> float:
    """Milliseconds of one run."""
    command = [str(Path(sys.executable).with_name("tortie")), "assert", str(path)]
    began = time.perf_counter()
    ran = subprocess.run(command, capture_output=True, text=True, check=False)
    took = time.perf_counter() - began
    if not ran.stdout.endswith("1 proved, 1 not so\n"):
        raise Unmeasured(f"tortie assert says {ran.stdout[-300:]!r}, {ran.stderr[-300:]!r}")
    return took * 1000


def _reach() -> float:
    """Milliseconds from sets and rules to what each rule meets."""
    rng = Random(7)
    sources = [SelectorSet(parse_selector(f"set == '{number}'")) for number in range(4)]
    sets = {one.set_id: AddressSet(Net(4, rng.getrandbits(32), 32) for _ in range(MEMBERS)) for one in sources}
    policy = PolicyKey("GlobalNetworkPolicy", "", "p")
    rules = tuple(_rules(rng, sources))
    began = time.perf_counter()
    found = reach([Group(tier_end("default"), (RuleList("default", policy, rules),), True)], PacketSpace(sets, rules))
    took = time.perf_counter() - began
    if not any(one.example for one in found):
        raise Unmeasured("no rule meets a packet")
    return took * 1000


def _rules(rng: Random, sources: Sequence[SelectorSet]) -> Iterator[Rule]:
    for number in range(RULES):
        first = 1 + rng.randrange(60_000)
        yield Rule(
            rng.choice((Action.ALLOW, Action.DENY, Action.PASS)),
            (
                ProtocolMatch(rng.choice((TCP, UDP))),
                SetMatch(Side.SOURCE, rng.choice(sources)) if number % 2 else NetMatch(Side.SOURCE, (_net(rng),)),
                NetMatch(Side.DESTINATION, (_net(rng), _net(rng))),
                PortMatch(Side.DESTINATION, (PortRange(first, first + rng.choice((0, 10, 5_000))),)),
            ),
        )
