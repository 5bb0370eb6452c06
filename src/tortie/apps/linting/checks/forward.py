"""`applyOnForward` where it has no effect: the forward class is one of host endpoints, and the policy selects none."""

from collections.abc import Iterator

from tortie.apps.linting.bodies import is_for_workloads, is_set
from tortie.apps.linting.changes import Replace
from tortie.apps.linting.check import Check
from tortie.apps.linting.documents import Documents
from tortie.apps.linting.finding import Fix, Suspicion
from tortie.apps.linting.subject import Subject
from tortie.model.names import NAMESPACE_LABEL
from tortie.resources.kind import Resource
from tortie.resources.lowering import (
    NAMESPACE_PREFIX,
    SERVICE_ACCOUNT_LABEL,
    SERVICE_ACCOUNT_PREFIX,
    policy_selector,
)

_SELECTORS = ("selector", "namespaceSelector", "serviceAccountSelector")
_OF_WORKLOADS = (NAMESPACE_LABEL, NAMESPACE_PREFIX, SERVICE_ACCOUNT_LABEL, SERVICE_ACCOUNT_PREFIX)
_WAY = ("spec", "applyOnForward")


def _look(documents: Documents) -> Iterator[Suspicion]:
    for subject in documents.subjects:
        flags = [key for key in ("doNotTrack", "preDNAT") if is_set(subject.resource, key)]
        if flags or not is_set(subject.resource, "applyOnForward"):
            continue  # beside these flags it has to be there, and the forward class is not meant
        named = is_for_workloads(subject.resource)
        if named is not None and _selects_no_host(subject.resource):
            yield Suspicion(
                subject=subject,
                way=_WAY,
                found="applyOnForward has no effect",
                why=f"the policy applies to workloads alone, because of its {named}, "
                "and only host endpoints have policy on what is forwarded",
                remedy="remove it, or select the host endpoints that the packets are forwarded through",
                fix=_fix(subject),
            )


def _selects_no_host(resource: Resource) -> bool:
    """Whether what the policy selects has labels that only workloads have. `!has(x)` asks for none."""
    selector = policy_selector(*(str(resource.spec.get(key) or "") for key in _SELECTORS))
    return any(
        asked.must_be_present and key.startswith(_OF_WORKLOADS) for key, asked in selector.restrictions().items()
    )


def _fix(subject: Subject) -> Fix | None:
    return Fix("sets it to false", (Replace(_WAY, False),)) if subject.part(_WAY) is not None else None


CHECK: Check[Documents] = Check("TT2006", "applyOnForward that has no effect", _look)
