"""Rules in a direction that the policy does not govern: `types` is given and leaves it out."""

from collections.abc import Iterator

from tortie.apps.linting.bodies import POLICIES, rules
from tortie.apps.linting.check import Check
from tortie.apps.linting.documents import Documents
from tortie.apps.linting.finding import Suspicion


def _look(documents: Documents) -> Iterator[Suspicion]:
    for subject in documents.subjects:
        spec = subject.resource.spec
        types = spec.get("types")
        if subject.resource.kind not in POLICIES or not isinstance(types, list):
            continue
        for side, word in (("ingress", "Ingress"), ("egress", "Egress")):
            if word not in types and any(rules(spec, side)):
                listed = ", ".join(map(str, types))
                yield Suspicion(
                    subject=subject,
                    way=("spec", side),
                    found=f"has {side} rules, and its types are [{listed}]",
                    why=f"a policy without the type {word} does not govern {side}, so that no packet meets them",
                    remedy=f"add {word} to types, or remove the rules",
                )


CHECK: Check[Documents] = Check("TT2012", "rules in a direction that the policy does not govern", _look)
