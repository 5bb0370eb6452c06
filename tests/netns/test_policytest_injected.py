"""`tortie test` against nftables and iptables: real packets, which show what rules make of the tests of policy that a
person can read."""

import json
import time
from collections.abc import Callable
from dataclasses import replace
from itertools import product
from pathlib import Path

import pytest
from contract import NEEDS_LEGACY

from tortie.apps.ctl.main import run as run_command
from tortie.apps.policytest.document import read_test
from tortie.apps.policytest.injected import ask
from tortie.apps.policytest.report import Outcome, text
from tortie.apps.policytest.running import Judged, Ran, complaints, run
from tortie.kernel.netlink import read_interfaces
from tortie.kernel.netns import inode
from tortie.model.verdict import Verdict

pytestmark = pytest.mark.root

GOLDEN = Path(__file__).parents[1] / "golden" / "policy"
VARIANTS = [
    pytest.param("nftables", id="nftables"),
    pytest.param("iptables-nft", id="iptables-nft"),
    pytest.param("iptables-legacy", id="iptables-legacy", marks=NEEDS_LEGACY),
]
SKIPPED_BY_FILE = {"order.yaml": 0, "normal.yaml": 0, "untracked.yaml": 0, "tcp-flags.yaml": 2, "pre-dnat.yaml": 1}


def ran(name: str) -> Ran:
    return run(read_test({"source": name, "text": (GOLDEN / name).read_text("utf-8")}))


def shown(judged: tuple[Judged, ...]) -> list[Judged]:
    return [one for one in judged if one.programs is not None and not one.programs.unsupported]


@pytest.mark.parametrize("variant", VARIANTS)
def test_rules_agree_with_the_evaluator_wherever_they_can_be_tried(variant: str) -> None:
    count = 0
    for path in sorted(GOLDEN.glob("*.yaml")):
        found = ask(ran(path.name), variant, alone=False)
        wrong = Outcome(path.name, found, [])
        assert wrong.failed == 0, "\n".join(text(wrong))
        assert wrong.skipped == SKIPPED_BY_FILE.get(path.name, wrong.skipped), path.name
        count += len(shown(found.judged))
    assert count > 250


@pytest.mark.parametrize("variant", VARIANTS)
def test_what_rules_really_do_is_told_where_it_is_not_what_is_expected(variant: str) -> None:
    """The rules of one policy, and the expectations of another."""
    path = GOLDEN / "order.yaml"
    written = path.read_text("utf-8")
    other = run(read_test({"source": "other", "text": written.replace("action: Deny", "action: Allow")}))
    right = ran("order.yaml")
    mixed = ask(replace(right, judged=other.judged), variant, alone=False).judged
    differing = 0
    for one, mine, theirs in zip(mixed, right.judged, other.judged, strict=True):
        assert one.programs is not None
        is_same = (mine.verdict, mine.is_tracked, mine.rule) == (theirs.verdict, theirs.is_tracked, theirs.rule)
        assert one.programs[:3] == (mine.verdict, mine.is_tracked, mine.rule)
        assert any(f"{variant} says {mine.verdict}" in said for said in complaints(one)) is not is_same
        differing += not is_same
    assert differing >= 2


@pytest.mark.parametrize("variant", VARIANTS)
def test_answers_are_told_from_silence(variant: str) -> None:
    judged = shown(ask(ran("reject-nftables.yaml"), variant, alone=True).judged)
    assert {one.verdict for one in judged} >= {"deny", "reject"}
    assert sum(one.verdict == "reject" for one in judged) >= 4
    assert [complaints(one) for one in judged] == [[]] * len(judged)


@pytest.mark.parametrize("variant", VARIANTS)
def test_a_thousand_packets_take_seconds(variant: str) -> None:
    judged = ran("order.yaml").judged
    thousand = tuple(one for one, _ in product(judged, range(-(-1000 // len(judged)))))[:1000]
    started = time.monotonic()
    found = ask(replace(ran("order.yaml"), judged=thousand), variant, alone=True)
    took_s = time.monotonic() - started
    print(f"{len(thousand)} packets in {took_s:.2f} s")
    assert len(shown(found.judged)) == 1000 and took_s < 10
    assert {one.passage.verdict for one in thousand} == set(Verdict) - {Verdict.CONTINUE}


def test_a_trial_leaves_the_machine_as_it_was() -> None:
    before = inode(), [one.name for one in read_interfaces()]
    ask(ran("forward.yaml"), "nftables", alone=True)
    assert (inode(), [one.name for one in read_interfaces()]) == before


Said = Callable[..., tuple[int, str]]


@pytest.fixture
def said(capsys: pytest.CaptureFixture[str]) -> Said:
    def run_test(*words: str) -> tuple[int, str]:
        code = run_command(["test", "--against", "programs", "--dataplane", "nftables", *words])
        return code, capsys.readouterr().out

    return run_test


def test_what_was_not_tried_is_never_passed(said: Said) -> None:
    workloads, order = str(GOLDEN / "workloads.yaml"), str(GOLDEN / "tcp-flags.yaml")
    code, out = said(workloads)
    assert code == 1 and out.endswith("0 passed, 0 failed, 13 skipped\n") and out.startswith("skip ")
    code, out = said(order)
    assert code == 0 and "30 passed, 0 failed, 2 skipped" in out
    packets = json.loads(said("-o", "json", order)[1])["files"][0]["packets"]
    assert [one["index"] for one in packets if one["passed"] is None] == [13, 29]
    assert 'tests="32" failures="0" errors="0" skipped="2"' in said("-o", "junit", order)[1]
