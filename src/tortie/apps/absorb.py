"""Stored documents into the calculation: decode, lower, and hand to the input of their kind.

A document that cannot be decoded counts as absent, with the reason; it never stops the others.
"""

from tortie.calc import Engine
from tortie.model.endpoint import HostEndpoint, NetworkSet, ServiceSlice, WorkloadEndpoint
from tortie.model.names import namespace_profile, service_account_profile
from tortie.model.policy import Policy, PolicyKey, Profile, Tier
from tortie.model.settings import FelixSettings, NodeLabels
from tortie.resources.codec import decode_stored, lower
from tortie.resources.kind import Lowered
from tortie.resources.kinds import KINDS
from tortie.resources.problems import InvalidDocument
from tortie.store.protocol import Key


def absorb(engine: Engine, key: Key, value: bytes | None) -> str | None:
    """Why the document counts as absent although it is stored; None if all is well.

    The engine holds the new value afterwards, or none.
    """
    problem: str | None = None
    lowered: Lowered | None = None
    if value is not None:
        try:
            lowered = lower(decode_stored(value))
        except InvalidDocument as error:
            problem = f"{error}; it counts as absent: apply a corrected document"
    if not _put(engine, key, lowered):
        problem = f"this agent does not know the kind {key.kind}; it counts as absent: upgrade the agent"
    return problem


def _put(engine: Engine, key: Key, value: "Lowered | None") -> bool:
    """Whether the kind is one that the calculation knows. A value of another kind than its key says counts as none."""
    match key.kind:
        case "GlobalNetworkPolicy" | "NetworkPolicy" | "KubernetesNetworkPolicy" | "KubernetesClusterNetworkPolicy":
            engine.set_policy(PolicyKey(*key), value if isinstance(value, Policy) else None)
        case "Tier":
            engine.set_tier(key.name, value if isinstance(value, Tier) else None)
        case "HostEndpoint":
            engine.set_host_endpoint(key.name, value if isinstance(value, HostEndpoint) else None)
        case "WorkloadEndpoint":
            endpoint = value if isinstance(value, WorkloadEndpoint) else None
            engine.set_workload_endpoint((key.namespace, key.name), endpoint)
        case "Pod":
            engine.set_pod((key.namespace, key.name), value if isinstance(value, WorkloadEndpoint) else None)
        case "GlobalNetworkSet" | "NetworkSet":
            engine.set_network_set((key.namespace, key.name), value if isinstance(value, NetworkSet) else None)
        case "Profile":
            engine.set_profile(key.name, value if isinstance(value, Profile) else None)
        case "Namespace":
            engine.set_implied_profile(namespace_profile(key.name), value if isinstance(value, Profile) else None)
        case "ServiceAccount":
            name = service_account_profile(key.namespace, key.name)
            engine.set_implied_profile(name, value if isinstance(value, Profile) else None)
        case "EndpointSlice":
            part = value if isinstance(value, ServiceSlice) else None
            engine.set_service_slice((key.namespace, key.name), part)
        case "Node":
            engine.set_node(key.name, value.labels if isinstance(value, NodeLabels) else None)
        case "FelixConfiguration":
            engine.set_settings(key.name, value if isinstance(value, FelixSettings) else None)
        case _:
            # Of the others there is nothing to enforce; a kind of a newer version may well have something.
            return key.kind in KINDS and KINDS[key.kind].lower is None
    return True
