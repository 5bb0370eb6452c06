"""A fleet of hosts, made from a seed: its documents, one by one, and the same ones changed a little.

    roles of applications ─▶ endpoints on nodes ◀─ selected by policies in five tiers ─▶ rules that name applications,
    regions, teams ◀─ labels of profiles                                                 partners, feeds, ports, nets

A fleet that is ten times as large has ten times as many applications, teams, partners and feeds: what one of them is
selected by, and what a node has to do with, stays about the same. Each document comes from its own number, so that
single ones can be made again, with a change.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from random import Random
from typing import Any

Document = Mapping[str, Any]

ROLES = ("web", "api", "db", "cache", "queue", "batch", "proxy", "monitor")
ENVIRONMENTS = ("prod", "prod", "prod", "staging", "dev")
REGIONS = ("eu-1", "eu-2", "us-1", "us-2", "ap-1", "ap-2", "sa-1", "af-1")
TIERS = (("security", 100, "Pass"), ("platform", 200, "Pass"), ("access", 300, "Deny"), ("audit", 2_000_000, "Pass"))
"""Beside the built-in tier `default`."""
TIER_OF = ("security", "platform", "access", "access", "access", "default", "default", "default", "default", "audit")
NAMED_PORTS = (("http", "TCP", 8080), ("metrics", "TCP", 9100), ("dns", "UDP", 5353))
FEED_NETS = 10_000
EVERYWHERE = 3
"""The first policies, which select all endpoints."""
BY_ROLE = EVERYWHERE + len(ROLES) * 3
"""The next ones select by role and environment."""
SHARES = (0.1, 0.3, 0.6, 1.0, 3.0)
"""Sizes of network sets, as shares of the mean: most are small."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Fleet:
    """How large it is, and which one of that size. The first endpoint of each node is its uplink."""

    nodes: int = 500
    endpoints: int = 10_000
    policies: int = 1_000
    sets: int = 5_000
    nets: int = 1_000_000
    seed: int = 6
    uplink: str = "ens4"

    @property
    def applications(self) -> int:
        """How many there are."""
        return max(4, self.policies // 2)

    @property
    def teams(self) -> int:
        """How many there are; the profile of each has labels for its endpoints."""
        return max(2, self.policies // 20)

    @property
    def partners(self) -> int:
        """Names that network sets have in common."""
        return max(2, self.sets // 5)

    @property
    def feeds(self) -> int:
        """The first network sets, each of FEED_NETS networks, which security policy denies everywhere."""
        return self.nets // (5 * FEED_NETS)

    def documents(self) -> Iterator[Document]:
        """All of them."""
        for name, order, action in TIERS:
            yield _document("Tier", name, {"order": order, "defaultAction": action})
        yield from map(self.profile, range(self.teams))
        yield from map(self.network_set, range(self.sets))
        yield from map(self.endpoint, range(self.endpoints))
        yield from map(self.policy, range(self.policies))

    def node_of(self, endpoint: int) -> str:
        """The node that an endpoint is on."""
        return f"node-{endpoint * self.nodes // self.endpoints}"

    def on_node(self, node: int) -> range:
        """The endpoints on it."""
        first = -(-node * self.endpoints // self.nodes)
        return range(first, -(-(node + 1) * self.endpoints // self.nodes))

    def profile(self, number: int) -> Document:
        """A team's: labels that its endpoints inherit, and rules behind all tiers."""
        labels = {"team": f"team-{number}", "pager": f"pager-{number % 7}"}
        return _document("Profile", f"team-{number}", {"labelsToApply": labels, "egress": [{"action": "Allow"}]})

    # ---- endpoints

    def endpoint(self, number: int, *, application: int | None = None) -> Document:
        """A host endpoint where it is its node's uplink, else a workload's; `application`: another than at first."""
        chance = self._chance("endpoint", number)
        first = chance.randrange(self.applications)
        node = self.node_of(number)
        index = int(node.removeprefix("node-"))
        labels = {
            **self._application(first if application is None else application),
            "env": chance.choice(ENVIRONMENTS),
            "region": REGIONS[index % len(REGIONS)],
            "host": node,
        }
        if chance.randrange(20) == 0:
            labels["legacy"] = "true"
        ports = [{"name": name, "protocol": protocol, "port": port} for name, protocol, port in NAMED_PORTS]
        address = f"10.{number >> 16 & 255}.{number >> 8 & 255}.{number & 255}"
        profiles = [f"team-{first % self.teams}"]
        if number == self.on_node(index).start:
            spec: dict[str, Any] = {
                "node": node,
                "interfaceName": self.uplink,
                "expectedIPs": [address],
                "profiles": profiles,
            }
            return _document("HostEndpoint", f"{node}-uplink", {**spec, "ports": ports}, labels)
        spec = {
            "orchestrator": "other",
            "workload": f"w{number}",
            "node": node,
            "endpoint": "eth0",
            "interfaceName": f"cali{number:06}",
            "ipNetworks": [f"{address}/32"],
            "profiles": profiles,
            "ports": ports,
        }
        name = f"{node.replace('-', '--')}-other-w{number}-eth0"
        return _document("WorkloadEndpoint", name, spec, labels, namespace=f"ns-{first % self.teams}")

    def _application(self, number: int) -> Mapping[str, str]:
        return {"app": f"app-{number}", "role": ROLES[number % len(ROLES)]}

    # ---- network sets

    def network_set(self, number: int, *, more: Sequence[str] = ()) -> Document:
        """A feed, or networks of a partner; `more` networks than at first."""
        chance = self._chance("set", number)
        if number < self.feeds:
            nets = self._nets(number, lambda: _net4(chance, (32, 32, 32, 28, 24)))
            labels = {"feed": "reputation", "source": f"feed-{number}"}
        else:
            is_six = number % 10 == 0
            nets = self._nets(number, lambda: _net6(chance) if is_six else _net4(chance, (32, 30, 28, 26, 24, 22, 20)))
            labels = {"partner": f"partner-{number % self.partners}", "region": chance.choice(REGIONS)}
        spec = {"nets": [*nets, *more]}
        if number >= self.feeds and number % 8 == 3:
            return _document("NetworkSet", f"set-{number}", spec, labels, namespace=f"ns-{number % self.teams}")
        return _document("GlobalNetworkSet", f"set-{number}", spec, labels)

    def _nets(self, number: int, draw: Callable[[], str]) -> Sequence[str]:
        """As many different ones as the set has."""
        found: dict[str, None] = {}
        size = self.size_of(number)
        while len(found) < size:
            found[draw()] = None
        return list(found)

    def size_of(self, number: int) -> int:
        """The number of networks in a network set."""
        if number < self.feeds:
            return FEED_NETS
        mean = (self.nets - self.feeds * FEED_NETS) / (self.sets - self.feeds)
        return max(1, round(mean * SHARES[(number + number // self.partners) % len(SHARES)]))

    # ---- policies

    def policy(self, number: int, *, port: int = 0) -> Document:
        """A policy; `port`: another one in its first rule than at first."""
        chance = self._chance("policy", number)
        tier = "security" if number < EVERYWHERE else TIER_OF[number % len(TIER_OF)]
        application = number % self.applications
        ingress = [self._rule(chance, application, is_egress=False) for _ in range(2 + chance.randrange(4))]
        egress = [self._rule(chance, application, is_egress=True) for _ in range(1 + chance.randrange(3))]
        if number == 0:
            return self._blocklist(port)
        if number < EVERYWHERE:
            ingress.insert(0, {"action": "Deny", "source": {"selector": f'partner == "partner-{number}"'}})
        changing = {"ports": [port or 1024 + number % 60_000]}
        ingress.insert(
            0, {"action": "Allow", "protocol": "TCP", "source": _application(application), "destination": changing}
        )
        spec: dict[str, Any] = {
            "tier": tier,
            "order": chance.randrange(1_000),
            "selector": self._selector(number, chance),
            "types": ["Ingress", "Egress"],
            "ingress": ingress,
            "egress": egress,
        }
        name = f"{tier}.policy-{number}"
        if number >= BY_ROLE and number % 20 == 18:
            return _document("NetworkPolicy", name, spec, namespace=f"ns-{number % self.teams}")
        return _document("GlobalNetworkPolicy", name, spec)

    def _blocklist(self, port: int) -> Document:
        """The first policy: all networks of the feeds are denied everywhere, before connections are looked at."""
        to_port: Document = {"protocol": "UDP", "destination": {"ports": [port or 1023]}}
        spec = {
            "tier": "security",
            "order": 0,
            "selector": "all()",
            "applyOnForward": True,
            "doNotTrack": True,
            "types": ["Ingress"],
            "ingress": [
                {"action": "Deny", **to_port},
                {"action": "Deny", "source": {"selector": 'feed == "reputation"'}},
            ],
        }
        return _document("GlobalNetworkPolicy", "security.policy-0", spec)

    def _selector(self, number: int, chance: Random) -> str:
        """What the policy applies to: mostly one application, in one way or another."""
        if number < EVERYWHERE:
            return "all()"
        if number < BY_ROLE:
            at = number - EVERYWHERE
            return f'role == "{ROLES[at % len(ROLES)]}" && env == "{("prod", "staging", "dev")[at // len(ROLES)]}"'
        app = number % self.applications
        match number % 20:
            case 10 | 11 | 12:
                return f'app == "app-{app}" && env == "prod"'
            case 13:
                return f'app in {{"app-{app}", "app-{(app + 1) % self.applications}"}} && region != "eu-1"'
            case 14:
                return f'team == "team-{number % self.teams}" && !has(legacy)'
            case 15:
                return f'has(retired) && app == "app-{app}"'
            case 16:
                return f'(app == "app-{app}" || host == "node-{number % self.nodes}") && env in {{"prod", "dev"}}'
            case 17:
                return f'host == "node-{number % self.nodes}"'
            case 18:
                return chance.choice(("", "all()", f'app == "app-{app}"'))
            case 19:
                return f'app == "app-{app}" || has(retired)'
            case _:
                return f'app == "app-{app}"'

    def _rule(self, chance: Random, application: int, *, is_egress: bool) -> Document:
        """A rule that looks at the other end, which the application has to do with: a neighbour, or its partners."""
        other = "destination" if is_egress else "source"
        app = _application((application + chance.randrange(1, 6)) % self.applications)
        partner = f'partner == "partner-{(2 * application + chance.randrange(2)) % self.partners}"'
        ports = sorted(chance.sample(range(1, 60_000), 1 + chance.randrange(4)))
        match chance.randrange(10):
            case 0:
                return _tcp("Allow", is_egress, {"selector": partner}, ports)
            case 1:
                where = f'{partner} && region == "{chance.choice(REGIONS)}"'
                return {"action": "Deny", other: {"selector": where}}
            case 2:
                return _tcp("Allow", is_egress, {"nets": [_net4(chance, (16, 20, 24)) for _ in range(4)]}, ports)
            case 3:
                named = {**app, "ports": [chance.choice(("http", "metrics"))]}
                return {"action": "Allow", "protocol": "TCP", other: named}
            case 4:
                return {"action": "Allow", "protocol": "ICMP", "icmp": {"type": 8}, other: app}
            case 5:
                return {"action": "Pass", "protocol": "UDP", other: {**app, "notSelector": "has(legacy)"}}
            case 6:
                return {"action": "Log", other: app}
            case _:
                return _tcp("Allow", is_egress, app, ports)

    def _chance(self, kind: str, number: int) -> Random:
        return Random(f"{self.seed} {kind} {number}")


def _application(number: int) -> Document:
    return {"selector": f'app == "app-{number}"'}


def _tcp(action: str, is_egress: bool, other: Mapping[str, object], ports: Sequence[int]) -> Document:
    """A rule for TCP to these ports, with that at the other end."""
    if is_egress:
        return {"action": action, "protocol": "TCP", "destination": {**other, "ports": ports}}
    return {"action": action, "protocol": "TCP", "source": other, "destination": {"ports": ports}}


def _net4(chance: Random, lengths: Sequence[int]) -> str:
    length = chance.choice(lengths)
    value = (chance.getrandbits(32) | 1 << 30) & 0xFFFFFFFF << (32 - length)
    return f"{value >> 24}.{value >> 16 & 255}.{value >> 8 & 255}.{value & 255}/{length}"


def _net6(chance: Random) -> str:
    return f"2001:db8:{chance.getrandbits(16):x}:{chance.getrandbits(16):x}::/{chance.choice((64, 64, 64, 80))}"


def _document(
    kind: str, name: str, spec: Document, labels: Mapping[str, str] | None = None, *, namespace: str = ""
) -> Document:
    metadata: dict[str, object] = {"name": name}
    if namespace:
        metadata["namespace"] = namespace
    if labels:
        metadata["labels"] = labels
    return {"apiVersion": "projectcalico.org/v3", "kind": kind, "metadata": metadata, "spec": spec}
