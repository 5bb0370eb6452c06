"""Allow rules of pre-DNAT policy that name no destination.

Before DNAT nobody knows yet where a packet goes, and such an Allow is final for everything behind this host, its own
ports included.
"""

from collections.abc import Iterator

from tortie.apps.linting.bodies import entity, is_set, rules
from tortie.apps.linting.check import Check
from tortie.apps.linting.documents import Documents
from tortie.apps.linting.finding import Suspicion
from tortie.resources.kind import Body

ADDRESSES = ("nets", "selector", "namespaceSelector", "serviceAccounts", "services")
"""What says where, of one side of a rule."""


def _look(documents: Documents) -> Iterator[Suspicion]:
    for subject in documents.subjects:
        if not is_set(subject.resource, "preDNAT"):
            continue
        for index, rule in enumerate(rules(subject.resource.spec, "ingress")):
            if rule.get("action") == "Allow" and not _names(rule, "source") and not _names(rule, "destination"):
                yield Suspicion(
                    subject=subject,
                    way=("spec", "ingress", index),
                    found="allows packets from everywhere to every destination before DNAT",
                    why="no later policy of the host is asked about them, whatever they are translated to",
                    remedy="say which host is meant with destination.selector or destination.nets, or whom to trust "
                    "with source",
                )


def _names(rule: Body, side: str) -> bool:
    """Whether the rule says anything about the addresses of that side."""
    return any(entity(rule, side).get(key) for key in ADDRESSES)


CHECK: Check[Documents] = Check("TT2005", "a pre-DNAT rule that allows every destination", _look)
