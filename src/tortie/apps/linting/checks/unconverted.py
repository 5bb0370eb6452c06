"""Rules of Kubernetes' policies that have no counterpart here, and so never allow what they are meant to allow."""

from collections.abc import Iterator

from tortie.apps.linting.check import Check
from tortie.apps.linting.documents import Documents
from tortie.apps.linting.finding import Suspicion
from tortie.model.policy import Policy
from tortie.resources.codec import lower
from tortie.resources.kind import API_VERSION
from tortie.resources.kinds import KINDS


def _look(documents: Documents) -> Iterator[Suspicion]:
    for subject in documents.subjects:
        resource = subject.resource
        if KINDS[resource.kind].api_version == API_VERSION:
            continue
        policy = lower(resource._replace(namespace=resource.namespace or "default"))
        for remark in policy.remarks if isinstance(policy, Policy) else ():
            what, _, then = remark.partition(": ")
            yield Suspicion(
                subject=subject,
                way=("spec",),
                found=what,
                why=then,
                remedy="say the same with addresses, ports, pods and namespaces",
                name="UNCONVERTED",
            )


CHECK: Check[Documents] = Check("TT2014", "a rule that cannot be converted", _look)
