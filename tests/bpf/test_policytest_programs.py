"""The compiled programs on the tests of policy that a person can read: where they are asked, the evaluator is right."""

from dataclasses import replace
from pathlib import Path

import pytest

from tortie.apps.policytest.document import read_test
from tortie.apps.policytest.programs import ask
from tortie.apps.policytest.report import Outcome, answer, text
from tortie.apps.policytest.running import Ran, complaints, run
from tortie.dataplane.ebpf.driver import BPFFS
from tortie.kernel.netns import inode

ROOT = Path(__file__).parent.parent.parent
READABLE = sorted(ROOT.glob("tests/golden/policy/*.yaml"))

pytestmark = pytest.mark.root


def ran(name: str) -> Ran:
    path = ROOT / "tests/golden/policy" / name
    return run(read_test({"source": name, "text": path.read_text("utf-8")}))


@pytest.mark.parametrize("path", READABLE, ids=lambda path: path.stem)
def test_the_programs_agree_with_the_evaluator_wherever_they_are_asked(path: Path) -> None:
    found = Outcome(path.name, ask(ran(path.name), alone=False), [])
    assert found.failed == 0, "\n".join(text(found))


def test_what_the_host_itself_meets_is_asked_of_the_programs() -> None:
    for name, most in (("tcp-flags.yaml", 1), ("matches.yaml", 1), ("order.yaml", 0), ("normal.yaml", 0)):
        judged = ask(ran(name), alone=False).judged
        assert sum(bool(one.programs and one.programs.unsupported) for one in judged) == most, name


@pytest.mark.parametrize("name", ["reject-iptables.yaml", "reject-nftables.yaml"])
def test_denials_that_are_answered_are_told_from_silent_ones(name: str) -> None:
    judged = [one for one in ask(ran(name), alone=True).judged if one.programs and not one.programs.unsupported]
    assert [complaints(one) for one in judged] == [[]] * len(judged)
    assert {one.verdict for one in judged} == {"deny", "reject"}
    assert sum(one.verdict == "reject" for one in judged) >= 4


def test_programs_alone_are_held_to_the_expectations_and_what_they_lack_is_unsupported() -> None:
    found = answer(Outcome("t", ask(ran("to-host-drop.yaml"), alone=True), []))
    assert {packet["verdict"] for packet in found["packets"]} >= {"unsupported"}
    assert all(
        packet["passed"] is (None if packet["verdict"] == "unsupported" else True) for packet in found["packets"]
    )


@pytest.mark.parametrize(
    ("name", "asked"),
    [("forward.yaml", 8), ("untracked-forward.yaml", 3), ("wildcard-forward.yaml", 0), ("pre-dnat.yaml", 3)],
)
def test_forwarded_packets_are_asked_of_the_programs_that_they_cross(name: str, asked: int) -> None:
    """Where they arrive, then where they leave, with the flow that the first one opened."""
    judged = ask(ran(name), alone=True).judged
    forwarded = [one.programs for one in judged if one.probe.way.arrives and one.probe.way.leaves]
    assert sum(answer is not None and not answer.unsupported for answer in forwarded) == asked
    assert all(complaints(one) == [] for one in judged)


def test_the_machine_stays_in_its_namespace_when_forwarded_packets_are_asked() -> None:
    before = inode()
    ask(ran("forward.yaml"), alone=False)
    assert inode() == before


def test_a_program_that_says_something_else_fails_the_packet() -> None:
    (one, *_) = ask(ran("order.yaml"), alone=False).judged
    assert one.programs is not None and complaints(one) == []
    wrong = replace(one, programs=one.programs._replace(verdict="allow", is_tracked=True))
    said = "the compiled program says allow, tracked by t1/0, and the evaluator deny by t1/0: please report it"
    assert complaints(wrong) == [said]
    alone = replace(wrong, is_of_programs=True)
    assert complaints(alone)[0] == "expected deny, got allow"


def test_the_rule_that_a_program_counts_is_held_to_the_expectation_too() -> None:
    judged = ask(ran("order.yaml"), alone=True).judged
    expected = [one.probe.spec.fields.get("rule") for one in judged]
    assert all(rule is None or rule in str(one.rule) for rule, one in zip(expected, judged, strict=True))
    assert sum(rule is not None for rule in expected) > 5
    (one, *_) = judged
    assert one.programs is not None
    wrong = replace(one, programs=one.programs._replace(rule="other/3"))
    assert complaints(wrong) == [f"expected {one.probe.spec.fields['rule']} to decide, but other/3 did"]


def test_fragments_are_asked_of_the_programs() -> None:
    judged = ask(ran("fragments.yaml"), alone=True).judged
    assert [one.programs.unsupported for one in judged if one.programs and one.programs.unsupported] == []
    assert {one.verdict for one in judged} == {"allow", "deny"}


def test_a_trial_leaves_nothing_behind() -> None:
    ask(ran("order.yaml"), alone=False)
    assert list(BPFFS.glob("trial-*")) == []
