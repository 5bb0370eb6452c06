"""What a trace answers, and how it is compared with the installed program."""

import pytest

from apps.documents import ENDPOINT, POLICY
from tortie.apps.ctl.traced import lines
from tortie.apps.failure import Failure
from tortie.apps.trace.answers import TraceAnswer, TraceQuery
from tortie.apps.trace.hostview import Scene, gather, imagine
from tortie.apps.trace.installed import compare
from tortie.apps.trace.tracing import Traced, answer_of, question, trace
from tortie.apps.trace.ways import UNKNOWN, choose, stage_set
from tortie.dataplane.driver import InstalledVerdict
from tortie.model.address import parse_net
from tortie.model.endpoint import Interface
from tortie.model.packet import Packet
from tortie.model.policy import PolicyKey
from tortie.model.verdict import Reason, RuleRef, Verdict, default_deny, tier_end

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
        "relation": None,
        "arrives": "eth0",
        "leaves": None,
        "revision": None,
        "at": None,
        "everything": False,
        "files": [{"source": "x", "text": f"{ENDPOINT}---\n{NORMAL}"}],
    }
    return query | fields  # type: ignore[return-value]


def answered(query: TraceQuery) -> tuple[TraceAnswer, Traced]:
    wanted = question(query)
    scene = stage_set(Scene("node2", (ROUTER,)), wanted.packet, wanted.arrives, wanted.leaves)
    traced = trace(imagine(gather((), query["files"]), scene), wanted)
    return answer_of(traced), traced


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
        (asked(arrives="eth9"), "allow", "no_endpoint", "new"),
        (asked(arrives=None, leaves="eth0"), "deny", "default_deny", "new"),
    ],
)
def test_the_whole_evaluator_answers(query: TraceQuery, verdict: str, reason: str, relation: str) -> None:
    answer, found = answered(query)
    assert (answer["verdict"], answer["reason"], answer["relation"]) == (verdict, reason, relation)
    assert answer["is_tracked"] is (verdict == "allow")
    assert found.passage.verdict.value == verdict


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
    assert list(lines(answer)) == [
        "tcp 1.2.3.4:40000 > 10.0.0.5:6379   ingress eth0, endpoint node2-eth0",
        "  untracked ingress at eth0, node2-eth0",
        "    tier default, GlobalNetworkPolicy(redis), rule 0 (x:15): pass",
        "    continue: no rule decides",
        "  normal ingress at eth0, node2-eth0",
        "    tier default, GlobalNetworkPolicy(web), rule 0 (x:26): log",
        "    end of tier default: no rule of it matched, and the tier denies: deny",
        "    1 rule did not match (--all says why)",
        "  verdict    DENY  end of tier default: no rule of it matched, and the tier denies",
        "  reason     tier_end",
        "  tracked    no: what is denied opens no connection",
        "  installed  not asked: no agent was asked",
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
        (asked(), InstalledVerdict(DENY, Reason.MARTIAN, None, is_tracked=False), False),
        (asked(source="127.0.0.1"), InstalledVerdict(DENY, Reason.MARTIAN, None, is_tracked=False), None),
    ],
)
def test_the_installed_program_agrees_in_verdict_tracking_and_rule(
    query: TraceQuery, installed: InstalledVerdict, agrees: bool | None
) -> None:
    answer, found = answered(query)
    compared = compare(answer, found, installed, ())
    assert compared["agrees"] is agrees
    assert (compared["installed_note"] == "") is (agrees is not None)
    assert compared["installed"] is not None
    assert compared["installed"]["because"]


REJECTING = """\
apiVersion: projectcalico.org/v3
kind: FelixConfiguration
metadata: {name: default}
spec: {nftablesFilterDenyAction: Reject}
"""


@pytest.mark.parametrize("is_rejected", [True, False])
@pytest.mark.parametrize("rejects", [True, False])
def test_the_installed_program_agrees_only_where_it_tells_whom_the_documents_tell(
    rejects: bool, is_rejected: bool
) -> None:
    documents = f"{ENDPOINT}---\n{REJECTING}" if rejects else ENDPOINT
    query = asked(flags="SA", files=[{"source": "x", "text": documents}])
    traced = trace(imagine(gather((), query["files"]), Scene("node2", (ROUTER, OTHER))), question(query))
    installed = InstalledVerdict(DENY, Reason.INVALID, None, is_tracked=False, is_rejected=is_rejected)
    compared = compare(answer_of(traced), traced, installed, ())
    assert compared["agrees"] is (rejects == is_rejected) and compared["is_rejected"] is rejects
    assert compared["installed"] is not None and compared["installed"]["is_rejected"] is is_rejected


TRANSIT = """\
apiVersion: projectcalico.org/v3
kind: GlobalNetworkPolicy
metadata: {name: transit}
spec:
  selector: all()
  types: [Ingress]
  applyOnForward: true
  ingress: [{action: Allow, protocol: TCP, destination: {ports: [443]}}]
"""
OTHER = Interface(name="eth1", index=3, addresses=frozenset({parse_net("10.1.0.1/32", strict=True)}))
BESIDE = ENDPOINT.replace("eth0", "eth1").replace("10.0.0.5", "10.1.0.1")


def through(protocol: str, documents: str, installed: InstalledVerdict) -> tuple[bool | None, str]:
    """Whether the program of eth0 agrees about a packet that goes on to eth1, and the note."""
    query = asked(protocol, "10.1.0.9", leaves="eth1", files=[{"source": "x", "text": documents}])
    traced = trace(imagine(gather((), query["files"]), Scene("node2", (ROUTER, OTHER))), question(query))
    compared = compare(answer_of(traced), traced, installed, ())
    return compared["agrees"], compared["installed_note"]


def test_the_program_where_a_packet_arrives_is_held_to_forward_policy_there() -> None:
    both = f"{ENDPOINT}---\n{TRANSIT}"
    allowed = InstalledVerdict(
        ALLOW, Reason.POLICY, RuleRef("default", PolicyKey("GlobalNetworkPolicy", "", "transit"), 0)
    )
    assert through("tcp/443", both, allowed) == (True, "")
    denied = InstalledVerdict(DENY, Reason.TIER_END, tier_end("default"), is_tracked=False)
    assert through("tcp/80", both, denied) == (True, "")
    assert through("tcp/80", both, InstalledVerdict(ALLOW, Reason.FORWARDED, None))[0] is False


def test_what_decides_where_a_packet_leaves_is_not_compared() -> None:
    leaving = TRANSIT.replace("types: [Ingress]", "types: [Egress]").replace("ingress:", "egress:")
    found = through("tcp/80", f"{ENDPOINT}---\n{BESIDE}---\n{leaving}", InstalledVerdict(ALLOW, Reason.FORWARDED, None))
    assert found == (None, "forward policy of eth1 decides, where the packet leaves: the program there is not asked")


def way(*, toward: dict[int, str], source: int, destination: int) -> tuple[str | None, str | None]:
    """The way of a packet between hosts of 10.0.0.0/8 that nobody says anything of."""
    view = imagine(gather((), []), Scene("node2", (ROUTER, OTHER), lambda _, address: toward.get(address)))
    packet = Packet(version=4, protocol=17, source=source, destination=destination, source_port=1, destination_port=2)
    found = choose(packet, None, None, view)
    assert found.notes
    return found.way.arrives, found.way.leaves


HERE, THERE, BEYOND = 0x0A000005, 0x01020304, 0x0A010009


def test_routes_and_addresses_tell_the_way_of_a_packet() -> None:
    toward = {THERE: "eth0", BEYOND: "eth1"}
    assert way(toward=toward, source=THERE, destination=HERE) == ("eth0", None)
    assert way(toward=toward, source=HERE, destination=BEYOND) == (None, "eth1")
    assert way(toward=toward, source=THERE, destination=BEYOND) == ("eth0", "eth1")
    assert way(toward={}, source=THERE, destination=HERE) == ("eth0", None)
    assert way(toward={THERE: "eth0"}, source=THERE, destination=BEYOND) == ("eth0", UNKNOWN)
    with pytest.raises(Failure, match="give --in IF"):
        way(toward={}, source=THERE, destination=BEYOND)
