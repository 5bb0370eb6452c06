"""What to do about a packet that is not judged as was asserted, where there is something natural to do."""

from tortie.apps.policyassert.proving import CounterExample
from tortie.apps.policytest.running import rule_name
from tortie.model.passage import Visit
from tortie.model.policy import Stage
from tortie.model.verdict import Reason, Verdict


def hint(counter: CounterExample) -> str:
    """A sentence; empty where there is nothing to say but the trace."""
    decided, way = counter.passage.decided, counter.way
    if counter.passage.reason is Reason.NO_ENDPOINT:
        return f"no policy is asked on {way.arrives or way.leaves}: create a HostEndpoint for it"
    if decided is None:
        return ""
    if counter.passage.verdict is Verdict.ALLOW:
        return _about_allowed(decided)
    skipped = [one for one in counter.passage.visits if one.trace.stage is Stage.UNTRACKED]
    if any(one.trace.reason is Reason.FAILSAFE for one in skipped):
        return (
            "a failsafe port, or one that answers from one, is never asked of doNotTrack policy: "
            "allow these packets in a policy that tracks, too"
        )
    return _about_denied(decided)


def _about_allowed(visit: Visit) -> str:
    match visit.trace.reason:
        case Reason.POLICY | Reason.PROFILE if visit.trace.rule is not None:
            return f"narrow {rule_name(visit.trace.rule)}, or deny these packets before it"
        case Reason.FAILSAFE:
            side = "Inbound" if visit.direction.value == "ingress" else "Outbound"
            return f"failsafe ports are open whatever policy says: see failsafe{side}HostPorts of FelixConfiguration"
        case Reason.FORWARDED:
            return "what is passed on is open until a policy with applyOnForward governs this direction"
        case Reason.ESTABLISHED:
            return "what belongs to an allowed connection goes on: ask about traffic: new, or have a doNotTrack policy"
        case Reason.TO_HOST:
            return (
                "defaultEndpointToHostAction of FelixConfiguration decides about packets from workloads to their host"
            )
        case _:
            return ""


def _about_denied(visit: Visit) -> str:
    rule = visit.trace.rule
    match visit.trace.reason:
        case Reason.POLICY | Reason.PROFILE if rule is not None:
            return f"narrow {rule_name(rule)}, or allow these packets before it"
        case Reason.TIER_END if rule is not None:
            return f"allow or pass these packets in tier {rule.tier}, before its end denies them"
        case Reason.NO_PROFILE if rule is not None:
            return f"create profile {rule.policy.name}, or take it from the endpoint's list"
        case Reason.DEFAULT_DENY:
            return "no policy and no profile allows these packets: add a rule that does"
        case Reason.TO_HOST:
            return (
                "defaultEndpointToHostAction of FelixConfiguration decides about packets from workloads to their host"
            )
        case Reason.UNKNOWN_WORKLOAD:
            return "describe the workload, or name another interface with in and out"
        case _:
            return ""
