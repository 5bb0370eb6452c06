"""Describe: a resource with what it selects, what selects it, and what is wrong with it.

Everything is found anew from the stored documents, over all nodes; what this host enforces comes from its agent.
"""

from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from tortie.apps.answers import DescribeAnswer, DescriptionAnswer, EnforcedAnswer
from tortie.apps.labelled import ENDPOINTS, Thing, Things, things_among
from tortie.apps.linting.warnings import warnings as findings
from tortie.apps.requests import GetQuery
from tortie.apps.verbs.reading import document, find
from tortie.calc.order import arrange, policy_rank
from tortie.model.endpoint import HostEndpoint, NetworkSet, WorkloadEndpoint
from tortie.model.ipset import NamedPortSet, SelectorSet
from tortie.model.names import DEFAULT_ALLOW
from tortie.model.policy import Policy, Profile, Tier
from tortie.model.selector import Selector
from tortie.resources.codec import decode_stored, lower
from tortie.resources.kind import Kind, Lowered, Resource
from tortie.resources.problems import InvalidDocument
from tortie.store.protocol import Entry, Key, Store

NEIGHBOURS = 9
"""Policies that are named before and behind one in its tier."""

Relation = tuple[str, list[str]]
"""A title, and what stands under it."""
Turn = Callable[[], Awaitable[None]]
"""Lets others have their turn: an agent has more to do than to describe thousands of documents."""
AT_ONCE = 100
"""Documents that are read without a turn of others: some 10 ms."""


async def no_turn() -> None:
    """The turn of a process that nobody else waits for."""


@dataclass(frozen=True, slots=True)
class _World:
    """Every document that means something to packets. `orders`: by tier, its policies in order."""

    things: Things
    policies: Sequence[Policy]
    tiers: Mapping[str, Tier]
    orders: Mapping[str, list[str]]

    def labels(self, value: HostEndpoint | WorkloadEndpoint | NetworkSet) -> Mapping[str, str]:
        """The labels that selectors see; its own alone, where it was not there yet when the others were read."""
        return next((one.labels for one in self.things.labelled if one.value == value), value.labels)


async def describe(
    store: Store, kind: Kind, query: GetQuery, enforced: EnforcedAnswer | None, turn: Turn
) -> DescribeAnswer:
    """The resources that the query asks for, each with its relations; `enforced`: what an agent says, if one does.

    Raises: Failure USAGE; StoreError.
    """
    found = await find(store, kind, query)
    world = await _world((await store.list())[0], turn)
    items: list[DescriptionAnswer] = []
    for resource, revision in found.resources:
        await turn()
        warnings = [finding.about for finding in await findings(store, [resource])]
        relations: list[Relation] = []
        try:
            lowered = lower(resource)
            if lowered is not None:
                relations = [*_relations(world, lowered)]
        except InvalidDocument as error:
            warnings.append(f"{error}; until then it counts as absent")
        if enforced is not None:
            relations += _enforced(resource, enforced)
            warnings += _complaints(resource, enforced)
        items.append(
            {
                "document": document(resource, revision),
                "relations": [{"title": title, "things": things} for title, things in relations],
                "warnings": warnings,
            }
        )
    return {"kind": kind.name, "items": items, "missing": found.missing, "damaged": found.damaged}


async def _world(entries: Iterable[Entry], turn: Turn) -> _World:
    things: list[tuple[Key, Thing]] = []
    policies: list[Policy] = []
    tiers: dict[str, Tier] = {}
    for number, entry in enumerate(entries):
        if number % AT_ONCE == 0:
            await turn()
        try:
            value = lower(decode_stored(entry.value))
        except InvalidDocument:
            continue  # counts as absent here as it does for the agent
        match value:
            case Policy():
                policies.append(value)
            case Tier():
                tiers[value.name] = value
            case HostEndpoint() | WorkloadEndpoint() | NetworkSet() | Profile():
                things.append((entry.key, value))
            case _:
                pass
    orders: dict[str, list[str]] = {}
    for policy in sorted(policies, key=policy_rank):
        orders.setdefault(policy.tier, []).append(str(policy.key))
    return _World(things_among(things), policies, tiers, orders)


def _relations(world: _World, value: Lowered) -> Iterator[Relation]:
    match value:
        case Policy():
            selected = world.things.selected(value.selector)
            yield "Selects", [str(one) for one in selected if one.key.kind in ENDPOINTS]
            yield _place(world.orders[value.tier], value)
            yield "Its rules select", [*_selected_by_rules(world, value)]
        case HostEndpoint() | WorkloadEndpoint():
            labels = world.labels(value)
            yield "Labels with those of profiles", [f"{key}={text}" for key, text in sorted(labels.items())]
            yield "Selected by", _governing([one for one in world.policies if one.selector.matches(labels)], world)
            yield (
                "Profiles that do not exist",
                [name for name in value.profiles if name not in world.things.inherited and name != DEFAULT_ALLOW],
            )
        case NetworkSet():
            labels = world.labels(value)
            choosing = (one for one in world.policies if any(each.matches(labels) for each in _rule_selectors(one)))
            yield "Selected by rules of", [str(one.key) for one in choosing]
        case Tier():
            yield "Policies, in order", world.orders.get(value.name, [])
        case Profile():
            endpoints = (one for one in world.things.labelled if one.key.kind in ENDPOINTS)
            yield "Listed by", [str(one) for one in endpoints if value.name in one.parents]
        case _:
            return


def _place(names: list[str], policy: Policy) -> Relation:
    """The policy among those that packets meet before and behind it; of many, those that are near."""
    title, at = f"Order in tier {policy.tier}", names.index(str(policy.key))
    near = names[max(0, at - NEIGHBOURS) : at + NEIGHBOURS + 1]
    return (title if near == names else f"{title}, {at + 1} of {len(names)}"), near


def _governing(policies: list[Policy], world: _World) -> list[str]:
    """`GlobalNetworkPolicy(web) (normal, tier default)`, in the order in which packets meet them."""
    found = [
        f"{policy.key} ({stage.value}, tier {tier.tier.name})"
        for (stage, _), tiers in arrange(policies, world.tiers).items()
        for tier in tiers
        for policy in tier.policies
    ]
    return list(dict.fromkeys(found))


def _rule_selectors(policy: Policy) -> Iterator[Selector]:
    for rule in (*policy.ingress, *policy.egress):
        for source in rule.set_sources():
            if isinstance(source, SelectorSet | NamedPortSet):
                yield source.selector


def _selected_by_rules(world: _World, policy: Policy) -> Iterator[str]:
    """The endpoints and sets that the rules' selectors match."""
    selectors = list(dict.fromkeys(_rule_selectors(policy)))
    for one in world.things.labelled:
        if any(selector.matches(one.labels) for selector in selectors):
            yield str(one)


def _enforced(resource: Resource, enforced: EnforcedAnswer) -> Iterator[Relation]:
    """Where an endpoint is enforced on the agent's node."""
    if resource.kind == "HostEndpoint":
        yield (
            f"Enforced on node {enforced['node']}",
            [
                f"{one['interface']} ({one['acceleration']})" if one["is_enforced"] else f"{one['interface']} (not)"
                for one in enforced["interfaces"]
                if one["endpoint"] == resource.name
            ],
        )


def _complaints(resource: Resource, enforced: EnforcedAnswer) -> Iterator[str]:
    """What the agent says against it."""
    name = str(resource)
    yield from (why for one, why in {**enforced["policies"], **enforced["invalid"]}.items() if one == name)
    if resource.kind == "HostEndpoint":
        yield from (
            one["problem"] for one in enforced["endpoints"] if one["problem"] and one["endpoint"] == resource.name
        )
    for interface, reasons in enforced["refused"].items():
        yield from (f"refused on {interface}: {reason}" for reason in reasons if name in reason)
