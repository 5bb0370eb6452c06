"""PolicyAssertion files: what is proved is so, and what is not comes with a packet that the evaluator judges."""

import json
from dataclasses import replace
from pathlib import Path
from xml.etree import ElementTree

import pytest
import yaml

from tortie.apps.ctl.main import run
from tortie.apps.failure import Failure
from tortie.apps.policyassert import proving
from tortie.apps.policyassert.answering import answer
from tortie.apps.policyassert.answers import AssertedAnswer, AssertionsAnswer
from tortie.apps.policyassert.document import read_assertions
from tortie.apps.policyassert.live import answer_live
from tortie.apps.policytest.document import Unloadable
from tortie.model.address import Net
from tortie.model.endpoint import Interface

ROOT = Path(__file__).parent.parent.parent
HOST = """
host:
  node: me
  interfaces:
  - {name: eth0, addresses: [192.0.2.10/24]}
  workloads:
  - {name: w1, interface: cali1, addresses: [10.65.0.2], labels: {app: shop}}
"""
RESOURCES = """
resources:
- apiVersion: projectcalico.org/v3
  kind: HostEndpoint
  metadata: {name: h, labels: {role: db}}
  spec: {node: me, interfaceName: eth0}
- apiVersion: projectcalico.org/v3
  kind: GlobalNetworkSet
  metadata: {name: office, labels: {set: office}}
  spec: {nets: [198.51.100.0/24]}
- apiVersion: projectcalico.org/v3
  kind: GlobalNetworkPolicy
  metadata: {name: db}
  spec:
    selector: role == 'db'
    ingress:
    - {action: Allow, protocol: TCP, source: {nets: [10.0.0.0/8]}, destination: {ports: [6379]}}
    - {action: Allow, protocol: TCP, source: {selector: set == 'office'}, destination: {ports: [5432]}}
    egress:
    - {action: Allow}
"""
REDIS = "direction: ingress, in: eth0, protocol: TCP, destination: {ports: [6379]}"


def document(*assertions: str, host: str = HOST, resources: str = RESOURCES) -> str:
    listed = "\n".join(f"- {{name: n{number}, {one}}}" for number, one in enumerate(assertions))
    head = "apiVersion: tortie.io/v1\nkind: PolicyAssertion\n"
    return f"{head}{host.strip()}\n{resources.strip()}\nassertions:\n{listed}\n"


def asserted(*assertions: str, host: str = HOST, resources: str = RESOURCES) -> list[AssertedAnswer]:
    text = document(*assertions, host=host, resources=resources)
    return answer(read_assertions({"source": "t.yaml", "text": text}))["assertions"]


def counter(assertion: str) -> tuple[str, str, str | None]:
    """The packet that shows that it is not so, its reason, and the rule that decided."""
    (found,) = asserted(assertion)
    shown = found["counterexample"]
    assert shown is not None
    assert not found["passed"]
    return shown["packet"], shown["reason"], shown["rule"]


@pytest.mark.parametrize("path", sorted((ROOT / "examples/assertions").glob("*.yaml")), ids=lambda path: path.name)
def test_the_examples_hold(path: Path) -> None:
    found = answer(read_assertions({"source": str(path), "text": path.read_text("utf-8")}))
    assert [one["name"] for one in found["assertions"] if not one["passed"]] == []


class TestQuestions:
    def test_nobody_from_outside_reaches_a_port(self) -> None:
        (found,) = asserted(f"{REDIS}, source: {{notNets: [10.0.0.0/8]}}, expect: deny")
        assert (found["passed"], found["counterexample"], found["ways"]) == (True, None, 1)
        assert found["regions"] > 0

    def test_what_is_not_so_comes_with_a_packet_and_the_rule_that_decides(self) -> None:
        found = counter(f"{REDIS}, source: {{notNets: [10.1.0.0/16]}}, expect: deny")
        assert found == ("tcp 10.0.0.9:40000 > 192.0.2.10:6379", "policy", "db/0")

    def test_those_who_shall_always_get_in_are_denied_by_what_denies_them(self) -> None:
        found = counter(f"{REDIS}, source: {{nets: [10.0.0.0/7]}}, expect: allow")
        assert found == ("tcp 11.0.0.1:40000 > 192.0.2.10:6379", "tier_end", "tier default")

    def test_a_selector_means_the_members_that_it_has(self) -> None:
        office = f"{REDIS.replace('6379', '5432')}, source: {{selector: set == 'office'}}"
        (found,) = asserted(f"{office}, expect: allow")
        assert found["passed"]

    def test_a_selector_that_no_policy_names_has_its_members_too(self) -> None:
        found = counter(
            "direction: ingress, in: cali1, protocol: UDP, source: {selector: app == 'shop'}, expect: allow"
        )
        assert found[0].startswith("udp 10.65.0.2:40000 > 192.0.2.10:")

    def test_unless_takes_packets_out_of_it(self) -> None:
        unless = "unless: [{source: {nets: [10.0.0.0/8]}}, {protocol: TCP, destination: {ports: [22]}}]"
        held, whole = asserted(f"{REDIS}, {unless}, expect: deny", f"{REDIS}, expect: deny")
        assert (held["passed"], whole["passed"]) == (True, False)

    def test_a_failsafe_port_is_open_and_is_said_to_be_one(self) -> None:
        (found,) = asserted("direction: ingress, in: eth0, protocol: TCP, destination: {ports: [22]}, expect: deny")
        assert found["counterexample"] is not None
        assert found["counterexample"]["reason"] == "failsafe"
        assert "failsafeInboundHostPorts" in found["counterexample"]["hint"]

    def test_without_an_interface_all_are_asked_and_one_without_endpoint_is_found(self) -> None:
        host = HOST.replace("interfaces:", "interfaces:\n  - {name: eth9}")
        text = REDIS.replace("in: eth0, ", "")
        (found,) = asserted(f"{text}, source: {{notNets: [10.0.0.0/8]}}, expect: deny", host=host)
        assert found["counterexample"] is not None
        assert found["counterexample"]["arrives"] == "eth9"
        assert "create a HostEndpoint" in found["counterexample"]["hint"]

    def test_established_traffic_is_another_question(self) -> None:
        udp = "direction: ingress, in: eth0, protocol: UDP, destination: {ports: [9]}"
        new, established = asserted(f"{udp}, expect: deny", f"{udp}, traffic: established, expect: allow")
        assert (new["passed"], established["passed"]) == (True, True)

    def test_any_traffic_has_packets_that_belong_to_no_connection(self) -> None:
        found = counter("direction: egress, out: eth0, protocol: TCP, traffic: any, expect: allow")
        assert found[0].startswith("tcp SYN+ACK ")
        assert found[1] == "invalid"

    def test_a_later_fragment_is_called_one(self) -> None:
        """Each port is allowed by one of the two rules, and a packet that shows none surely by neither."""
        rules = "\n    ".join(
            f"- {{action: Allow, protocol: UDP, destination: {{{key}: ['1:65535']}}}}" for key in ("ports", "notPorts")
        )
        resources = f"{RESOURCES[: RESOURCES.index('    - {action: Allow, protocol: TCP')]}    {rules}\n"
        udp = "direction: ingress, in: eth0, protocol: UDP, ipVersion: 4, expect: allow"
        new, every = asserted(udp, f"{udp}, traffic: any", resources=resources)
        assert new["passed"]
        assert every["counterexample"] is not None
        assert every["counterexample"]["packet"] == "udp 203.0.113.9 > 192.0.2.10, later fragment"

    def test_packets_for_the_host_have_an_address_of_the_host(self) -> None:
        """A policy that allows by destination: others than the host's own addresses are none of its packets."""
        resources = RESOURCES.replace(
            "{nets: [10.0.0.0/8]}, destination: {", "{}, destination: {nets: [192.0.2.10/32], "
        )
        allowed, elsewhere = asserted(
            f"{REDIS}, ipVersion: 4, expect: allow",
            f"{REDIS.replace('{ports', '{nets: [192.0.2.0/24], ports')}, expect: allow",
            resources=resources,
        )
        assert (allowed["passed"], elsewhere["passed"]) == (True, False)

    def test_what_is_passed_on_to_a_workload_meets_its_policy(self) -> None:
        found = counter("direction: forward, in: eth0, out: cali1, protocol: TCP, expect: allow")
        assert found[1:] == ("default_deny", "endpoint default/w1")

    @pytest.mark.parametrize(
        "empty",
        [
            "source: {selector: nobody == 'here'}",
            "unless: [{protocol: TCP}]",
            "source: {nets: [10.0.0.0/8], notNets: [10.0.0.0/8]}",
        ],
    )
    def test_an_assertion_about_no_packet_at_all_fails(self, empty: str) -> None:
        (found,) = asserted(f"{REDIS}, {empty}, expect: deny")
        assert (found["passed"], found["vacuous"], found["counterexample"]) == (False, True, None)


def test_a_counter_example_that_the_evaluator_does_not_confirm_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(proving, "_fitting", lambda packet, relation: replace(packet, destination_port=1))
    with pytest.raises(Failure, match="internal error: 'n0': the space of packets and the evaluator disagree"):
        asserted(f"{REDIS}, expect: deny")


@pytest.mark.parametrize(
    ("text", "codes"),
    [
        ("kind: PolicyTest\n", ["TT1980"]),
        ("kind: PolicyAssertion\n", ["TT1102", "TT1102"]),
        (document(f"{REDIS}, expect: maybe, colour: red"), ["TT1104", "TT1101"]),
        (document("direction: ingress, destination: {ports: [1]}, expect: deny"), ["TT1311"]),
        (document("direction: egress, in: eth0, expect: deny"), ["TT1981"]),
        (document(f"{REDIS.replace('eth0', 'eth7')}, expect: deny"), ["TT1982"]),
        (document("direction: forward, expect: deny", host=HOST + "  forwarding: false"), ["TT1981"]),
    ],
)
def test_every_problem_of_a_file_is_said_with_its_code(text: str, codes: list[str]) -> None:
    with pytest.raises(Unloadable) as caught:
        answer(read_assertions({"source": "t.yaml", "text": text}))
    assert [each.code for each in caught.value.problems] == codes


BROADCAST = RESOURCES.replace(
    "source: {nets: [10.0.0.0/8]}, destination: {ports: [6379]}", "destination: {nets: [192.0.2.255/32]}"
).replace("protocol: TCP, destination: {nets", "protocol: UDP, destination: {nets")


def test_what_is_sent_to_all_of_a_network_reaches_this_host_too() -> None:
    question = "direction: ingress, protocol: UDP, unless: [{protocol: UDP, destination: {ports: [68]}}], expect: deny"
    (found,) = asserted(question, resources=BROADCAST)
    assert found["counterexample"] is not None
    assert found["counterexample"]["rule"] == "db/0"
    assert "> 192.0.2.255:" in found["counterexample"]["packet"]


def test_a_packet_may_be_passed_on_where_it_came_from() -> None:
    (found,) = asserted("direction: forward, in: eth0, expect: deny", host=HOST[: HOST.index("  workloads")])
    shown = found["counterexample"]
    assert shown is not None
    assert (shown["arrives"], shown["leaves"], found["vacuous"]) == ("eth0", "eth0", False)


class TestCommand:
    @pytest.fixture
    def files(self, tmp_path: Path) -> tuple[str, str, str]:
        """One that holds, one that does not, one that cannot be loaded."""
        good, bad, broken = (tmp_path / f"{name}.yaml" for name in ("good", "bad", "broken"))
        good.write_text(document(f"{REDIS}, source: {{notNets: [10.0.0.0/8]}}, expect: deny"))
        bad.write_text(document(f"{REDIS}, expect: deny"))
        broken.write_text("kind: Nothing\n")
        return str(good), str(bad), str(broken)

    def test_a_proof_is_a_line_with_what_was_looked_at(
        self, files: tuple[str, str, str], capsys: pytest.CaptureFixture[str]
    ) -> None:
        assert run(["assert", files[0]]) == 0
        first, second, last = capsys.readouterr().out.splitlines()
        assert first == f"ok   {files[0]}: 1 assertion"
        assert second.startswith("  proved: n0 (")
        assert second.endswith(" on 1 way through the host)")
        assert last == "1 proved, 0 not so"

    def test_a_counter_example_is_shown_with_its_way_and_the_lines_of_rules(
        self, files: tuple[str, str, str], capsys: pytest.CaptureFixture[str]
    ) -> None:
        assert run(["assert", files[1]]) == 1
        out = capsys.readouterr().out
        assert "    tcp 10.0.0.9:40000 > 192.0.2.10:6379   ingress eth0, new\n    expected deny, got allow\n" in out
        assert f"tier default, GlobalNetworkPolicy(db), rule 0 ({files[1]}:" in out
        assert "    hint: narrow db/0, or deny these packets before it\n" in out

    def test_a_file_that_cannot_be_loaded_does_not_stop_the_others(
        self, files: tuple[str, str, str], capsys: pytest.CaptureFixture[str]
    ) -> None:
        assert run(["assert", *files, "-o", "json"]) == 3
        found = json.loads(capsys.readouterr().out)["files"]
        assert [("error" in one, [each["passed"] for each in one["assertions"]]) for one in found] == [
            (False, [True]),
            (False, [False]),
            (True, []),
        ]

    def test_junit_is_xml_with_a_case_for_each_assertion(
        self, files: tuple[str, str, str], capsys: pytest.CaptureFixture[str]
    ) -> None:
        assert run(["assert", *files, "-o", "junit"]) == 3
        suites = ElementTree.fromstring(capsys.readouterr().out)
        assert [(suite.get("tests"), suite.get("failures"), suite.get("errors")) for suite in suites] == [
            ("1", "0", "0"),
            ("1", "1", "0"),
            ("1", "0", "1"),
        ]

    def test_without_a_host_the_file_is_about_the_live_one_and_somebody_has_to_know_it(
        self, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        file = tmp_path / "live.yaml"
        file.write_text(document(f"{REDIS}, expect: deny", host=""))
        assert run(["assert", str(file), "--datastore", str(tmp_path / "none.db")]) == 7
        assert "it describes no host, no agent answers" in capsys.readouterr().err

    def test_what_is_stored_is_asked_about_with_the_interfaces_of_this_host(
        self, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        """Loopback is the interface that every host has; it is never policed."""
        store, file = str(tmp_path / "state.db"), tmp_path / "live.yaml"
        policy = tmp_path / "policy.yaml"
        policy.write_text(json.dumps(yaml.safe_load(RESOURCES)["resources"]))
        assert run(["apply", "-f", str(policy), "--datastore", store]) == 0
        file.write_text(document(f"{REDIS.replace('eth0', 'lo')}, expect: allow", host="", resources=""))
        capsys.readouterr()
        assert run(["assert", str(file), "--datastore", store, "--node", "me"]) == 0
        file.write_text(document(f"{REDIS.replace('eth0', 'no7')}, expect: allow", host="", resources=""))
        assert run(["assert", str(file), "--datastore", store, "--node", "me"]) == 3
        assert "TT1982" in capsys.readouterr().out


class TestLive:
    ETH0 = Interface(name="eth0", index=2, addresses=frozenset({Net(4, 0xC000020A, 32)}))

    def live(self, *assertions: str, resources: str = RESOURCES) -> AssertionsAnswer:
        text = document(*assertions, host="", resources=resources)
        return answer_live("me", (), [self.ETH0], {"file": {"source": "t.yaml", "text": text}, "files": []}, ())

    def test_documents_of_the_file_are_laid_over_what_is_stored(self) -> None:
        for resources, expected in ((RESOURCES, True), ("", False)):
            found = self.live(f"{REDIS}, source: {{notNets: [10.0.0.0/8]}}, expect: deny", resources=resources)
            assert [one["passed"] for one in found["assertions"]] == [expected]

    def test_a_file_that_cannot_be_loaded_is_an_answer_too(self) -> None:
        assert "TT1982" in self.live("direction: ingress, in: eth7, expect: deny").get("error", "")
