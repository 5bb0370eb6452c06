"""`--fix` on documents in many styles: the finding goes, and nothing else changes."""

import json
from dataclasses import replace
from random import Random
from typing import Any

import msgspec
import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from tortie.apps.answers import SourceText
from tortie.apps.linting.changes import Append, Insert, Replace, changed
from tortie.apps.linting.fixing import fix
from tortie.apps.linting.mirroring import mirrored
from tortie.apps.linting.retouching import Unsafe, retouched
from tortie.apps.linting.running import Company, Report, lint
from tortie.model.address import Net
from tortie.model.ipset import AddressSet, IPSet, NamedPortSet, PortMember, PortSet
from tortie.model.packet import Direction, Packet
from tortie.resources.lowering import Place, lower_rule
from tortie.resources.plain import read_plain_documents
from tortie.resources.shapes import RuleShape

RETURN = {"TT2004", "TT2017"}
Document = dict[str, Any]
NETS = ("10.0.0.0/8", "192.0.2.0/25")
PORTS: tuple[list[object], ...] = ([6379], [80, "7000:7010"], ["redis"], [])


def rule(rng: Random) -> Document:
    """An Allow rule that has a mirror, or hardly one."""
    found: Document = {"action": "Allow", "protocol": rng.choice(("TCP", "TCP", "UDP", "SCTP"))}
    for side in ("source", "destination"):
        said: Document = {}
        if ports := rng.choice(PORTS):
            said["ports"] = ports
        if rng.random() < 0.4:
            said["nets"] = [rng.choice(NETS)]
        if rng.random() < 0.3:
            said["selector"] = 'role == "x: y"'
        if said:
            found[side] = said
    return found


def policy(rng: Random, number: int) -> Document:
    side, other = rng.sample(("ingress", "egress"), 2)
    spec: Document = {"selector": f"role == 'r{number}'", "doNotTrack": True, "applyOnForward": True}
    if rng.random() < 0.4:
        spec["types"] = [side.capitalize()]
    spec[side] = [rule(rng) for _ in range(rng.randrange(1, 4))]
    if rng.random() < 0.3:
        spec[other] = []
    if rng.random() < 0.5:
        spec["order"] = number
    return {
        "apiVersion": "projectcalico.org/v3",
        "kind": "GlobalNetworkPolicy",
        "metadata": {"name": f"p{number}"},
        "spec": spec,
    }


class Indented(yaml.SafeDumper):
    """Items of lists are indented."""

    def increase_indent(self, flow: bool = False, indentless: bool = False) -> None:
        super().increase_indent(flow, indentless=False)


def text_of(rng: Random, document: Document) -> str:
    """The document in some style, with comments."""
    match rng.randrange(5):
        case 0:
            return json.dumps(document, indent=rng.choice((None, 2))) + "\n"
        case 1:
            text = yaml.dump(document, default_flow_style=None, width=1000, sort_keys=False)
        case 2:
            text = yaml.dump(document, Dumper=Indented, sort_keys=False, indent=4)
        case 3:
            text = yaml.dump(document, sort_keys=False)
        case _:
            text = yaml.dump(document, Dumper=Indented, sort_keys=False)
    lines: list[str] = []
    for line in text.splitlines():
        if rng.random() < 0.2:
            lines.append(rng.choice(("", "# a comment", f"{' ' * rng.randrange(8)}# another one: [")))
        lines.append(line + rng.choice(("", "", "  # a remark", " ")))
    return "\n".join((*lines, ""))


def stream(rng: Random) -> str:
    documents = [policy(rng, number) for number in range(rng.randrange(1, 4))]
    text = "---\n".join(text_of(rng, document) for document in documents)
    return text.replace("\n", "\r\n") if rng.random() < 0.2 else text


def linted(text: str) -> Report:
    return lint([{"source": "f.yaml", "text": text}])


def file(text: str) -> list[SourceText]:
    return [{"source": "f.yaml", "text": text}]


@settings(max_examples=100, deadline=None)
@given(st.integers(0, 2**32))
def test_after_a_fix_its_finding_is_gone_and_nothing_else_has_changed(seed: int) -> None:
    text = stream(Random(seed))
    before = linted(text)
    assert not before.problems
    done = fix(file(text), before, Company())
    (new,) = (each["text"] for each in done.files)
    after = linted(new)
    gone = {(one.reported.code, one.document, one.reported.path) for one in done.done}
    assert gone
    assert [one.code for one in after.findings if one.code in RETURN and one.suspicion.fix] == []
    assert done.report.findings == after.findings or len(done.report.findings) == len(after.findings)
    _only_rules_were_added(text, new)
    _no_line_is_lost(text, new)
    assert linted(new).problems == ()


def _only_rules_were_added(old: str, new: str) -> None:
    """What was said is said still: lists have more items at their end, and no field is another one."""
    for one, other in zip(read_plain_documents(old, ""), read_plain_documents(new, ""), strict=True):
        assert isinstance(one, dict)
        assert isinstance(other, dict)
        assert {key: value for key, value in one.items() if key != "spec"} == {
            key: value for key, value in other.items() if key != "spec"
        }
        was, is_now = one["spec"], other["spec"]
        assert isinstance(was, dict)
        assert isinstance(is_now, dict)
        for key, value in was.items():
            if isinstance(value, list):
                assert is_now[key][: len(value)] == value  # type: ignore[index, call-overload]
            else:
                assert is_now[key] == value
        assert set(is_now) - set(was) <= {"ingress", "egress"}


def _no_line_is_lost(old: str, new: str) -> None:
    """Every line of the old text is in the new one, in its order; within one, only pieces were added."""
    left = iter(new.split("\n"))
    for line in old.split("\n"):
        assert any(_holds(each, line) for each in left), line


def _holds(line: str, older: str) -> bool:
    chars = iter(line)
    return all(char in chars for char in older)


@pytest.mark.parametrize("seed", range(15))
def test_fixing_twice_changes_nothing_more(seed: int) -> None:
    text = stream(Random(seed))
    (once,) = fix(file(text), linted(text), Company()).files
    (twice,) = fix(file(once["text"]), linted(once["text"]), Company()).files
    assert twice == once


def test_an_anchor_is_left_alone_and_that_is_said() -> None:
    text = """\
apiVersion: projectcalico.org/v3
kind: GlobalNetworkPolicy
metadata: {name: p}
spec: &shared
  doNotTrack: true
  applyOnForward: true
  ingress: [{action: Allow, protocol: TCP}]
"""
    done = fix(file(text), linted(text), Company())
    assert done.files[0]["text"] == text
    assert [one.reason for one in done.refused] == ["it has an anchor or a tag, so that other places may share it"]


def test_what_shares_a_list_with_another_policy_is_left_alone() -> None:
    head = "apiVersion: projectcalico.org/v3\n  kind: GlobalNetworkPolicy\n  metadata: {name: NAME}\n"
    spec = "  spec: {doNotTrack: true, applyOnForward: true, selector: a == 'NAME', ingress: RULES, egress: EMPTY}\n"
    text = f"- {head}{spec}".replace("NAME", "a").replace("RULES", "[{action: Allow}]").replace("EMPTY", "&e []")
    text += f"- {head}{spec}".replace("NAME", "b").replace("RULES", "[{action: Allow}]").replace("EMPTY", "*e")
    done = fix(file(text), linted(text), Company())
    assert done.files[0]["text"] == text
    assert len(done.refused) == 2


def test_one_unsafe_fix_stands_in_the_way_of_no_other() -> None:
    text = """\
apiVersion: projectcalico.org/v3
kind: GlobalNetworkPolicy
metadata: {name: p, annotations: {at: 12:30, since: &d 2024-01-01}}
spec: {ingress: [{action: Allow}]}
"""
    done = fix(file(text), linted(text), Company())
    assert done.files[0]["text"] == text.replace("12:30", '"12:30"')


def test_a_byte_order_mark_and_the_end_without_a_line_break_stay() -> None:
    text = "\ufeffapiVersion: projectcalico.org/v3\nkind: GlobalNetworkSet\nmetadata: {name: a, annotations: {x: 1:30}}"
    (new,) = fix(file(text), linted(text), Company()).files
    assert new["text"] == text.replace("1:30", '"1:30"')


@pytest.mark.parametrize("text", ["a: 1\x85b: 2\n", "a: 1\rb: 2\n"])
def test_other_line_ends_are_not_touched(text: str) -> None:
    with pytest.raises(Unsafe, match="line ends"):
        retouched(text, [(0, Replace(("a",), 3))])


def test_changes_of_a_value() -> None:
    value: Document = {"a": [1, {"b": 2}]}
    assert changed(value, Replace(("a", 1, "b"), 3)) == {"a": [1, {"b": 3}]}
    assert changed(value, Append(("a",), (4,))) == {"a": [1, {"b": 2}, 4]}
    assert changed(value, Insert(("a", 1), "b", "c", [5])) == {"a": [1, {"b": 2, "c": [5]}]}
    assert value == {"a": [1, {"b": 2}]}
    with pytest.raises(LookupError):
        changed(value, Insert(("a", 1), "b", "b", [5]))


def test_a_mirror_of_a_mirror_is_the_rule() -> None:
    rng = Random(3)
    for _ in range(200):
        one = rule(rng)
        there = mirrored(one)
        assert there is not None
        assert mirrored(there) == one


PACKET_PORTS = (80, 6379, 7005, 40000)
ADDRESSES = (0x0A010203, 0xC0000205, 0xC0000281, 0xCB007109)


def test_the_mirror_holds_for_the_answers_to_what_the_rule_holds_for_and_no_others() -> None:
    """Of any rule, and of every packet about it."""
    rng = Random(5)
    held = 0
    for _ in range(1_500):
        one = rule(rng)
        there = mirrored(one)
        assert there is not None
        asked, answered = (
            lower_rule(msgspec.convert(each, RuleShape), Place(Direction.INGRESS)) for each in (one, there)
        )
        sets: dict[str, IPSet] = {}
        for source in asked.set_sources():
            if isinstance(source, NamedPortSet):
                sets[source.set_id] = PortSet([PortMember(4, ADDRESSES[0], source.protocol or 6, 6379)])
            else:
                sets[source.set_id] = AddressSet([Net(4, ADDRESSES[0], 32), Net(4, ADDRESSES[1], 32)])
        for _ in range(20):
            source_port, destination_port = rng.choice(PACKET_PORTS), rng.choice(PACKET_PORTS)
            packet = Packet(
                version=4,
                protocol=rng.choice((6, 17, 132)),
                source=rng.choice(ADDRESSES),
                destination=rng.choice(ADDRESSES),
                source_port=source_port,
                destination_port=destination_port,
            )
            answer = replace(
                packet,
                source=packet.destination,
                destination=packet.source,
                source_port=destination_port,
                destination_port=source_port,
            )
            held += asked.holds(packet, sets) is True
            assert answered.holds(answer, sets) == asked.holds(packet, sets)
    assert held > 500


@pytest.mark.parametrize(
    "said",
    [
        {"protocol": "ICMP", "icmp": {"type": 3}},
        {"protocol": "ICMP", "icmp": {"type": 8, "code": 0}},
        {"protocol": "ICMP", "notICMP": {"type": 8}},
        {"source": {"services": {"name": "a", "namespace": "b"}}},
        {"http": {"methods": ["GET"]}},
    ],
)
def test_what_has_no_mirror_has_no_fix(said: Document) -> None:
    assert mirrored({"action": "Allow", **said}) is None


@pytest.mark.parametrize(("request_", "reply"), [(8, 0), (0, 8), (13, 14)])
def test_the_answer_to_an_icmp_request_has_its_own_type(request_: int, reply: int) -> None:
    asked: Document = {"action": "Allow", "protocol": "ICMP", "icmp": {"type": request_}}
    assert mirrored(asked) == {"action": "Allow", "protocol": "ICMP", "icmp": {"type": reply}}


WORDS = ("12:30", "8:05", "2026-03-01", "on", "yes", "0443", "1_000", "0b11", "0o17", "web", "1.5", "'12:30'", "x-1")


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 2**32))
def test_what_readers_differ_about_is_written_so_that_they_do_not_and_means_the_same(seed: int) -> None:
    rng = Random(seed)
    notes = ", ".join(f"k{number}: {rng.choice(WORDS)}" for number in range(5))
    text = f"""\
apiVersion: projectcalico.org/v3
kind: GlobalNetworkPolicy
metadata: {{name: p, annotations: {{{notes}}}}} # notes
spec:
  order: {rng.choice(("0443", "1_000", "0b11", "10", "07"))}
  doNotTrack: {rng.choice(("no", "off", "false"))}
  ingress: [{{action: Allow}}]
"""
    (new,) = fix(file(text), linted(text), Company()).files
    after = linted(new["text"])
    assert not after.problems
    assert [one for one in after.findings if one.suspicion.fix] == []
    wanted, found = read_plain_documents(text, "")[0], read_plain_documents(new["text"], "")[0]
    assert isinstance(wanted, dict)
    assert isinstance(found, dict)
    assert found["spec"] == wanted["spec"]
    written = (each.split(": ") for each in notes.split(", "))
    assert found["metadata"] == {"name": "p", "annotations": {key: word.strip("'") for key, word in written}}
