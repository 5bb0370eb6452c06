"""What no packet dataplane enforces, whichever it is. Pure."""

from collections.abc import Iterator

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
