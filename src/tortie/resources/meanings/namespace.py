"""What a Namespace means: a profile that gives its labels to what is in it, and allows what no tier decided.

Source: reference selectors.md section 9, "Profiles derived from Kubernetes".
"""

from tortie.model.names import namespace_profile
from tortie.model.policy import Profile
from tortie.model.rule import Action, Rule
from tortie.resources.kind import Resource
from tortie.resources.lowering import NAMESPACE_PREFIX

_ALLOW = (Rule(Action.ALLOW),)
NAME_LABEL = "projectcalico.org/name"


def lower(resource: Resource) -> Profile:
    """The profile."""
    labels = {**resource.labels, NAME_LABEL: resource.name}
    given = {NAMESPACE_PREFIX + key: value for key, value in labels.items()}
    return Profile(namespace_profile(resource.name), given, ingress=_ALLOW, egress=_ALLOW)
