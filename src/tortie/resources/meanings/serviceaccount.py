"""What a ServiceAccount means: a profile without rules that gives its labels to the pods that run as it.

Source: reference selectors.md section 9, "Profiles derived from Kubernetes".
"""

from tortie.model.names import service_account_profile
from tortie.model.policy import Profile
from tortie.resources.kind import Resource
from tortie.resources.lowering import SERVICE_ACCOUNT_PREFIX
from tortie.resources.meanings.namespace import NAME_LABEL


def lower(resource: Resource) -> Profile:
    """The profile."""
    labels = {**resource.labels, NAME_LABEL: resource.name}
    given = {SERVICE_ACCOUNT_PREFIX + key: value for key, value in labels.items()}
    return Profile(service_account_profile(resource.namespace, resource.name), given)
