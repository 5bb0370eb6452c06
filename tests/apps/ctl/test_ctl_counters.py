"""`tortie counters`: which counters, in which order, and how a watch shows them."""

import json
import os
import re
import shutil
from collections.abc import Iterator

import pytest

from tortie.apps.agent.answers import CountersAnswer, ReasonCountAnswer, RuleCountAnswer
from tortie.apps.ctl.commands import counters
from tortie.apps.ctl.counting import Wanted, columns, rates, speed, totals
from tortie.apps.ctl.main import run
from tortie.apps.ctl.names import decider
from tortie.apps.ctl.options import ESTABLISHED
from tortie.dataplane.driver import Established


def rule(policy: str, number: int | None, packets: int, interface: str = "eth0") -> RuleCountAnswer:
    return {
        "interface": interface,
        "direction": "ingress",
        "tier": "default" if policy.startswith("Global") else "",
        "policy": policy,
        "rule": number,
        "packets": packets,
    }


def reason(name: str, packets: int, interface: str = "eth0") -> ReasonCountAnswer:
    return {"interface": interface, "direction": "egress", "reason": name, "packets": packets}


WEB, SSH = "GlobalNetworkPolicy(web)", "GlobalNetworkPolicy(ssh)"
ANSWER: CountersAnswer = {
    "rules": [rule(WEB, 0, 5), rule(SSH, 1, 70), rule(SSH, 0, 0, "eth1"), rule("HostEndpoint(h)", None, 9)],
    "reasons": [reason("invalid", 3), reason("established", 800, "eth1")],
}


class Agent:
    """Answers one reading after the other, and then is interrupted."""

    def __init__(self, *answers: CountersAnswer) -> None:
        self.answers = list(answers)
        self.asked: list[bool] = []

    def counters(self, *, everything: bool) -> CountersAnswer:
        self.asked.append(everything)
        if not self.answers:
            raise KeyboardInterrupt
        return self.answers.pop(0)


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[float]]:
    """Sleeping takes no time and moves the clock."""
    now = [100.0]

    def sleep(seconds: float) -> None:
        now[0] += seconds

    monkeypatch.setattr(counters.time, "sleep", sleep)
    monkeypatch.setattr(counters.time, "monotonic", lambda: now[0])
    yield now


def serve(monkeypatch: pytest.MonkeyPatch, *answers: CountersAnswer) -> Agent:
    agent = Agent(*answers)
    monkeypatch.setattr(counters, "choose", lambda choice: agent)
    return agent


def grown(packets: int) -> CountersAnswer:
    return {"rules": [rule(WEB, 0, packets)], "reasons": [reason("invalid", 3)]}


def test_the_choices_are_the_drivers() -> None:
    assert tuple(one.value for one in Established) == ESTABLISHED


def test_counters_are_shown_most_packets_first_and_those_without_any_too(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    agent = serve(monkeypatch, ANSWER)
    assert run(["counters"]) == 0
    lines = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert [line[0] for line in lines] == ["PACKETS", "800", "70", "9", "5", "3", "0"]
    assert lines[3][3:] == ["HostEndpoint(h)", "default", "deny"]
    assert agent.asked == [True]


@pytest.mark.parametrize(
    ("options", "packets"),
    [
        (["--interface", "eth1"], [0, 800]),
        (["--policy", "ssh"], [70, 0]),
        (["--policy", SSH, "--interface", "eth0"], [70]),
        (["--policy", "HostEndpoint(h)"], [9]),
        (["--policy", "nothing"], []),
    ],
)
def test_options_choose_counters(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], options: list[str], packets: list[int]
) -> None:
    serve(monkeypatch, ANSWER, ANSWER)
    assert run(["counters", "-o", "json", *options]) == 0
    answer = json.loads(capsys.readouterr().out)
    assert packets == [one["packets"] for one in (*answer["rules"], *answer["reasons"])]
    assert run(["counters", *options]) == 0


def test_a_rule_that_is_none_stays_null_in_json(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    serve(monkeypatch, ANSWER)
    run(["counters", "-o", "json", "--policy", "h"])
    assert json.loads(capsys.readouterr().out)["rules"][0]["rule"] is None


def test_a_watch_without_a_terminal_prints_a_line_for_what_grows_until_it_is_interrupted(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], clock: list[float]
) -> None:
    agent = serve(monkeypatch, grown(5), grown(9), grown(9))
    assert run(["counters", "-w", "--interval", "2"]) == 0
    lines = [line.split(" ", 1)[1] for line in capsys.readouterr().out.splitlines()]
    assert lines == [
        f"eth0 ingress {WEB} rule 0 (default): 5 packets, - per s",
        "eth0 egress invalid: 3 packets, - per s",
        f"eth0 ingress {WEB} rule 0 (default): 9 packets, 2.0 per s",
    ]
    assert set(agent.asked) == {False}
    assert clock == [106.0]


def test_a_watch_in_json_is_one_line_for_each_reading(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], clock: list[float]
) -> None:
    serve(monkeypatch, grown(5), grown(25))
    assert run(["counters", "-w", "-o", "json"]) == 0
    first, second = (json.loads(line) for line in capsys.readouterr().out.splitlines())
    assert [one["rules"][0]["per_s"] for one in (first, second)] == [None, 20.0]


class Terminal:
    """Standard output that says it is a terminal."""

    def __init__(self) -> None:
        self.text = ""

    def isatty(self) -> bool:
        return True

    def write(self, text: str) -> int:
        self.text += text
        return len(text)

    def flush(self) -> None:
        return


def at_terminal(monkeypatch: pytest.MonkeyPatch) -> Terminal:
    """From now on; a fixture would be too early, as pytest sets standard output between setting up and testing."""
    found = Terminal()
    monkeypatch.setattr(counters.sys, "stdout", found)
    monkeypatch.setattr(shutil, "get_terminal_size", lambda: os.terminal_size((60, 10)))
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.delenv("NO_COLOR", raising=False)
    return found


def test_on_a_terminal_each_reading_is_drawn_over_the_one_before_and_fits(
    monkeypatch: pytest.MonkeyPatch, clock: list[float]
) -> None:
    def many(packets: int) -> CountersAnswer:
        return {
            "rules": [rule(f"GlobalNetworkPolicy({'x' * 90}{n})", 0, packets + n) for n in range(50)],
            "reasons": [],
        }

    serve(monkeypatch, many(1), many(7))
    terminal = at_terminal(monkeypatch)
    assert run(["counters", "-w"]) == 0
    _, first, second = terminal.text.split(counters.HOME)[1:]
    assert "and 44 more counters" in first
    for frame in (first, second):
        lines = frame.removesuffix("\n").split("\n")[:-1]
        assert len(lines) <= 9
        assert all(len(re.sub(r"\x1b\[\d*[mK]", "", line)) <= 60 for line in lines)
    assert (counters.BOLD in first, counters.BOLD in second) == (False, True)


def test_without_colour_nothing_is_bold(monkeypatch: pytest.MonkeyPatch, clock: list[float]) -> None:
    serve(monkeypatch, grown(1), grown(7))
    terminal = at_terminal(monkeypatch)
    monkeypatch.setenv("NO_COLOR", "1")
    assert run(["counters", "-w"]) == 0
    assert counters.BOLD not in terminal.text


def test_a_terminal_that_can_nothing_gets_lines(monkeypatch: pytest.MonkeyPatch, clock: list[float]) -> None:
    serve(monkeypatch, grown(1))
    terminal = at_terminal(monkeypatch)
    monkeypatch.setenv("TERM", "dumb")
    assert run(["counters", "-w"]) == 0
    assert "\x1b" not in terminal.text


def test_names_cannot_command_the_terminal(monkeypatch: pytest.MonkeyPatch, clock: list[float]) -> None:
    serve(monkeypatch, {"rules": [rule("GlobalNetworkPolicy(\x1b[2J)", 0, 1)], "reasons": []})
    terminal = at_terminal(monkeypatch)
    assert run(["counters", "-w"]) == 0
    assert "\x1b[2J" not in terminal.text


def test_a_counter_that_is_new_began_at_zero_and_one_that_shrank_began_anew() -> None:
    a, b, c = ("i", "d", "a"), ("i", "d", "b"), ("i", "d", "c")
    assert rates({a: 10, b: 4, c: 7}, {a: 4, b: 9}, 2.0) == {a: 3.0, b: None, c: 3.5}
    assert rates({a: 1}, None, 2.0) == {a: None}


def test_rates_are_short() -> None:
    assert [speed(x) for x in (None, 0.0, 0.04, 12.34, 99.96, 1234.5)] == ["-", "0", "0.0", "12.3", "100.0", "1234"]


def test_a_table_of_rates_has_one_more_column() -> None:
    counted = totals(Wanted("eth1").of(ANSWER))
    plain, fast = columns(counted, None, list(counted)), columns(counted, dict.fromkeys(counted, 1.0), list(counted))
    assert len(fast["heading"]) == len(plain["heading"]) + 1
    assert {len(row) for row in fast["rows"]} == {len(fast["heading"])}


@pytest.mark.parametrize(
    ("tier", "policy", "number", "name"),
    [
        ("default", WEB, 3, "GlobalNetworkPolicy(web) rule 3 (default)"),
        ("default", "Tier(default)", None, "end of tier default"),
        ("", "Profile(p)", 0, "Profile(p) rule 0"),
        ("", "Profile(p)", None, "Profile(p) does not exist"),
        ("", "HostEndpoint(h)", None, "HostEndpoint(h) default deny"),
    ],
)
def test_what_packets_meet_has_a_name(tier: str, policy: str, number: int | None, name: str) -> None:
    assert name == decider(tier, policy, number)
