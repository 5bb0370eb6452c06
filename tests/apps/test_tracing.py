"""What a trace answers, and how it is compared with the installed program."""

import pytest

from apps.documents import ENDPOINT, POLICY
from tortie.apps.answers import TraceAnswer, TraceQuery
from tortie.apps.ctl.commands.trace import explain
from tortie.apps.tracing import compare, imagine, question, trace
from tortie.dataplane.driver import InstalledVerdict
from tortie.model.address import parse_net
from tortie.model.endpoint import Interface
from tortie.model.policy import PolicyKey
from tortie.model.verdict import Reason, RuleRef, Trace, Verdict, default_deny

NORMAL = """\
apiVersion: projectcalico.org/v3
kind: GlobalNetworkPolicy
metadata: {name: web}
spec:
  selector: all()
  types: [Ingress]
  ingress:
  - {action: Log}
  - {action: Allow, protocol: TCP, destination: {ports: [80]}}
"""
PASSING = POLICY.replace("action: Allow", "action: Pass")
ROUTER = Interface(
    name="eth0", index=2, addresses=frozenset({parse_net("10.0.0.5/32", strict=True)}), forwards=frozenset({4})
)


def asked(protocol: str = "tcp/80", destination: str = "10.0.0.5", **fields: object) -> TraceQuery:
    query: dict[str, object] = {
        "source": "1.2.3.4",
        "destination": destination,
        "protocol": protocol,
        "source_port": None,
        "flags": None,
        "is_established": False,
        "interface": "eth0",
        "direction": "ingress",
        "files": [{"source": "x", "text": f"{ENDPOINT}---\n{NORMAL}"}],
    }
    return query | fields  # type: ignore[return-value]


def answered(query: TraceQuery) -> tuple[TraceAnswer, Trace]:
    return trace(imagine("node2", (), (ROUTER,), query), query)


@pytest.mark.parametrize(
    ("query", "verdict", "reason", "relation"),
    [
        (asked(), "allow", "policy", "new"),
        (asked("tcp/81"), "deny", "tier_end", "new"),
        (asked("tcp/22"), "allow", "failsafe", "new"),
        (asked(flags="SA"), "deny", "invalid", "invalid"),
        (asked("tcp/81", is_established=True), "allow", "established", "established"),
        (asked("icmp/3", is_established=True), "allow", "related", "related"),
        (asked(destination="10.0.0.6"), "allow", "forwarded", "new"),
        (asked(destination="224.0.0.1", protocol="udp/5353"), "deny", "tier_end", "new"),
        (asked(interface="eth9"), "allow", "no_endpoint", "new"),
        (asked(direction="egress"), "deny", "default_deny", "new"),
    ],
)
def test_the_whole_evaluator_answers(query: TraceQuery, verdict: str, reason: str, relation: str) -> None:
    answer, found = answered(query)
    assert (answer["verdict"], answer["reason"], answer["relation"]) == (verdict, reason, relation)
    assert answer["is_tracked"] is (verdict == "allow")
    assert found.verdict.value == verdict


def test_invalid_packets_are_up_to_policy_where_the_check_is_off() -> None:
    felix = "apiVersion: projectcalico.org/v3\nkind: FelixConfiguration\nmetadata: {name: default}\n"
    text = f"{ENDPOINT}---\n{NORMAL}---\n{felix}spec: {{disableConntrackInvalidCheck: true}}\n"
    answer, _ = answered(asked(flags="SA", files=[{"source": "x", "text": text}]))
    assert (answer["verdict"], answer["relation"]) == ("allow", "invalid")


def test_every_rule_is_told_with_its_stage_and_the_end_of_a_tier_in_a_sentence() -> None:
    text = f"{ENDPOINT}---\n{PASSING}---\n{NORMAL}"
    answer, _ = answered(asked("tcp/6379", files=[{"source": "x", "text": text}]))
    assert [(one["stage"], one["policy"], one["rule"], one["outcome"]) for one in answer["steps"]] == [
        ("untracked", "GlobalNetworkPolicy(redis)", 0, "pass"),
        ("normal", "GlobalNetworkPolicy(web)", 0, "log"),
        ("normal", "Tier(default)", None, "deny"),
    ]
    assert explain(answer)[1:5] == [
        "  untracked: tier default, GlobalNetworkPolicy(redis), rule 0: pass",
        "  normal: tier default, GlobalNetworkPolicy(web), rule 0: log",
        "  verdict    DENY  end of tier default: no rule of it matched, and the tier denies",
        "  tracked    no: what is denied opens no connection",
    ]


def test_pre_dnat_policy_is_told_between_the_others() -> None:
    early = PASSING.replace("name: redis", "name: early").replace("doNotTrack", "preDNAT").split("  egress:")[0]
    text = "---\n".join((ENDPOINT, PASSING, early, NORMAL))
    answer, _ = answered(asked("tcp/6379", files=[{"source": "x", "text": text}]))
    assert [(one["stage"], one["rule"]) for one in answer["steps"]] == [
        ("untracked", 0),
        ("preDNAT", 0),
        ("normal", 0),
        ("normal", None),
    ]


WEB = RuleRef("default", PolicyKey("GlobalNetworkPolicy", "", "web"), 1)
LOG = RuleRef("default", PolicyKey("GlobalNetworkPolicy", "", "web"), 0)
ALLOW, DENY = Verdict.ALLOW, Verdict.DENY


@pytest.mark.parametrize(
    ("query", "installed", "agrees"),
    [
        (asked(), InstalledVerdict(ALLOW, Reason.POLICY, WEB), True),
        (asked(), InstalledVerdict(ALLOW, Reason.POLICY, WEB, is_tracked=False), False),
        (asked(), InstalledVerdict(ALLOW, Reason.POLICY, LOG), False),
        (asked(), InstalledVerdict(DENY, Reason.POLICY, WEB), False),
        (asked(), InstalledVerdict(ALLOW, Reason.ESTABLISHED, None), None),
        (asked(is_established=True), InstalledVerdict(ALLOW, Reason.POLICY, WEB), None),
        (asked(is_established=True), InstalledVerdict(ALLOW, Reason.ESTABLISHED, None), True),
        (asked("tcp/22"), InstalledVerdict(ALLOW, Reason.FAILSAFE, None), True),
        (asked("tcp/22"), InstalledVerdict(ALLOW, Reason.FORWARDED, None), False),
        (asked(flags="SA"), InstalledVerdict(DENY, Reason.INVALID, None, is_tracked=False), True),
        (asked(flags="SA"), InstalledVerdict(DENY, Reason.DEFAULT_DENY, default_deny("node2-eth0")), False),
    ],
)
def test_the_installed_program_agrees_in_verdict_tracking_and_rule(
    query: TraceQuery, installed: InstalledVerdict, agrees: bool | None
) -> None:
    answer, found = answered(query)
    compared = compare(answer, found, question(query)[0], installed, ())
    assert compared["agrees"] is agrees
    assert (compared["installed_note"] == "") is (agrees is not None)
    assert compared["installed"] is not None
    assert compared["installed"]["because"]
