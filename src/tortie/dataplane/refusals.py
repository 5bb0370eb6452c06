"""What no packet dataplane enforces, whichever it is. Pure."""

from collections.abc import Iterator
from re import Pattern

from tortie.model.desired import EndpointState
from tortie.model.policy import Profile


def refused_policies(state: EndpointState) -> Iterator[str]:
    """A sentence for each policy and profile of the endpoint that only a proxy could enforce."""
    for (stage, _), tiers in state.tiers.items():
        for tier in tiers:
            for policy in tier.policies:
                if policy.reason_refused:
                    yield f"{policy.key} ({stage.value}): {policy.reason_refused}"
    for profile in state.profiles:
        if isinstance(profile, Profile) and profile.reason_refused:
            yield f"Profile({profile.name}): {profile.reason_refused}"


def refused_by_rules(state: EndpointState, spelled: Pattern[str], language: str) -> tuple[str, ...]:
    """What of the endpoint's policy no driver in netfilter's hooks enforces; empty if nothing.

    `spelled`: names of interfaces that its language, such as nftables, can say.
    """
    found = list(dict.fromkeys(refused_policies(state)))
    name = state.interface.name
    if not spelled.fullmatch(name):
        found.append(f"interface {name!r}: {language} cannot name it; rename the interface")
    return tuple(found)
