"""What staged policies would do to a packet: the way of the packet with all of them carried out. Pure."""

from collections.abc import Sequence
from dataclasses import replace

from tortie.apps.sentences import because, shown_index
from tortie.apps.trace.answers import StagedAnswer, StagedPolicyAnswer
from tortie.apps.trace.origins import Origins
from tortie.apps.trace.staged import Staging
from tortie.model.packet import Packet
from tortie.model.passage import Passage
from tortie.model.verdict import Verdict


def staged_answer(
    packet: Packet, now: Passage, later: Passage, staged: Sequence[Staging], origins: Origins
) -> StagedAnswer:
    """What would become of the packet, and what each staged policy would have to do with it.

    `later`: its way with all of them carried out, of which `origins` tells where rules stand.
    """
    decided = later.decided
    rule = None if decided is None else decided.trace.rule
    named = None if rule is None else replace(rule, policy=origins.named(rule.policy))
    return {
        "verdict": later.verdict.value,
        "reason": later.reason.value,
        "because": because(later.reason, named, packet),
        "policy": None if named is None else str(named.policy),
        "rule": None if named is None else shown_index(named),
        "origin": "" if rule is None or decided is None else origins.place(rule, decided.direction),
        "is_tracked": later.verdict is Verdict.ALLOW and later.is_tracked,
        "is_rejected": later.is_rejected,
        "changes": _outcome(now) != _outcome(later),
        "policies": [_policy(one, now, later) for one in staged],
    }


def _outcome(passage: Passage) -> tuple[Verdict, bool, bool]:
    return passage.verdict, passage.is_tracked, passage.is_rejected


def _policy(one: Staging, now: Passage, later: Passage) -> StagedPolicyAnswer:
    """What the staged policy would do; of one to be deleted: what the enforced policy does now."""
    passage = now if one.enforced is None else later
    outcomes = [
        step.outcome for visit in passage.visits for step in visit.trace.steps if step.rule.policy == one.policy
    ]
    met = list(dict.fromkeys(outcome for outcome in outcomes if outcome != "no match"))
    words = ", ".join(met) or ("no match" if outcomes else "not asked")
    return {"policy": str(one.staged), "action": one.action, "outcome": words}
