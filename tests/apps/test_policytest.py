"""PolicyTest files: what a person can read about policy runs, and what is wrong with a file is said with its place."""

import json
from pathlib import Path
from textwrap import dedent, indent
from time import perf_counter
from xml.etree import ElementTree

import pytest

from tortie.apps.ctl.main import run
from tortie.apps.policytest.document import Unloadable, read_test
from tortie.apps.policytest.report import Outcome, text
from tortie.apps.policytest.running import Ran
from tortie.apps.policytest.running import run as run_test

ROOT = Path(__file__).parent.parent.parent
READABLE = sorted([*ROOT.glob("tests/golden/policy/*.yaml"), *ROOT.glob("examples/tests/*.yaml")])

RESOURCES = """
resources:
- apiVersion: projectcalico.org/v3
  kind: HostEndpoint
  metadata: {name: h, labels: {a: b}}
  spec: {node: me, interfaceName: eth0}
- apiVersion: projectcalico.org/v3
  kind: GlobalNetworkPolicy
  metadata: {name: web}
  spec:
    selector: a == 'b'
    ingress:
    - {action: Deny, protocol: TCP, destination: {ports: [81]}}
    - {action: Allow, protocol: TCP, destination: {ports: ["80:90"]}}
"""
HOST = """
host:
  node: me
  interfaces:
  - {name: eth0, addresses: [192.0.2.10/24]}
  - {name: eth1, addresses: [198.51.100.1/24]}
"""
WEB = "direction: ingress, in: eth0, proto: tcp, src: 192.0.2.99, dst: 192.0.2.10, dport: 80"


def document(*packets: str, host: str = HOST, resources: str = RESOURCES) -> str:
    listed = "\n".join(f"- {{{packet}}}" for packet in packets)
    return f"apiVersion: tortie.io/v1\nkind: PolicyTest\n{host.strip()}\n{resources.strip()}\npackets:\n{listed}\n"


def ran(*packets: str, host: str = HOST, resources: str = RESOURCES) -> Ran:
    return run_test(read_test({"source": "t.yaml", "text": document(*packets, host=host, resources=resources)}))


def verdicts(*packets: str, host: str = HOST, resources: str = RESOURCES) -> list[tuple[str, bool | None]]:
    return [(one.verdict, one.is_tracked) for one in ran(*packets, host=host, resources=resources).judged]


def problems(source: str) -> list[str]:
    with pytest.raises(Unloadable) as caught:
        run_test(read_test({"source": "t.yaml", "text": source}))
    return [str(each) for each in caught.value.problems]


@pytest.mark.parametrize("path", READABLE, ids=lambda path: str(path.relative_to(ROOT)))
def test_what_a_person_can_read_about_policy_is_so(path: Path) -> None:
    found = Outcome(str(path), run_test(read_test({"source": str(path), "text": path.read_text("utf-8")})), [])
    assert found.failed == 0, "\n".join(text(found))
    assert all(one.probe.spec.fields.get("expect") for one in found.ran.judged) if found.ran else False


class TestConnections:
    def test_each_packet_is_the_first_of_its_flow_unless_it_names_another(self) -> None:
        reply = "direction: egress, out: eth0, tcpFlags: SA"
        plain = f"{reply}, proto: tcp, src: 192.0.2.10, sport: 80, dst: 192.0.2.99, dport: 40000"
        assert verdicts(WEB, plain, f"{reply}, replyTo: 0") == [("allow", True), ("deny", None), ("allow", True)]

    def test_a_chain_of_packets_is_one_flow(self) -> None:
        chain = verdicts(
            WEB,
            "direction: egress, out: eth0, replyTo: 0, tcpFlags: SA",
            "direction: ingress, in: eth0, replyTo: 1, tcpFlags: A",
            "direction: ingress, in: eth0, follows: 2, tcpFlags: FA",
        )
        assert chain == [("allow", True)] * 4

    def test_a_packet_that_was_denied_leaves_no_entry(self) -> None:
        assert (
            verdicts(WEB.replace("80", "81"), "direction: egress, out: eth0, replyTo: 0, tcpFlags: SA")[1][0] == "deny"
        )

    def test_a_state_is_what_it_says_and_forces_an_entry(self) -> None:
        forced = f"{WEB.replace('80', '81')}, state: Established, tcpFlags: A"
        assert verdicts(forced, "direction: egress, out: eth0, replyTo: 0, tcpFlags: A") == [("allow", True)] * 2
        assert verdicts(f"{WEB}, state: invalid") == [("deny", None)]

    def test_a_reply_says_what_it_does_not_take_from_the_packet_it_names(self) -> None:
        other = "direction: egress, out: eth0, replyTo: 0, tcpFlags: SA, sport: 443"
        assert verdicts(WEB, other)[1] == ("deny", None)


class TestFragments:
    FIRST = f"{WEB}, fragment: first"
    LATER = "direction: ingress, in: eth0, fragment: later"

    def test_a_later_fragment_is_judged_as_what_the_first_one_shows(self) -> None:
        denied = self.FIRST.replace("80", "81")
        assert [verdict for verdict, _ in verdicts(self.FIRST, f"{self.LATER}, follows: 0")] == ["allow", "allow"]
        assert [verdict for verdict, _ in verdicts(denied, f"{self.LATER}, follows: 0")] == ["deny", "deny"]
        two = (self.FIRST, f"{self.LATER}, follows: 0", f"{self.LATER}, follows: 1")
        assert [verdict for verdict, _ in verdicts(*two)] == ["allow"] * 3

    def test_one_without_a_first_is_dropped_where_ports_could_matter(self) -> None:
        alone = f"{self.LATER}, proto: tcp, src: 192.0.2.99, dst: 192.0.2.10"
        (found,) = ran(alone).judged
        assert (found.verdict, found.passage.reason.value, found.rule) == ("deny", "fragment", None)
        assert [each for each, _ in verdicts(f"{alone.replace('tcp', '47')}")] == ["deny"]

    def test_one_that_follows_something_else_than_its_first_has_none(self) -> None:
        reasons = [
            one.passage.reason.value
            for one in ran(
                WEB,
                f"{self.LATER}, follows: 0",
                self.FIRST,
                f"{self.LATER}, follows: 2, src: 192.0.2.98",
                f"{self.LATER}, proto: tcp, src: 192.0.2.99, dst: 192.0.2.10",
            ).judged
        ]
        assert reasons == ["policy", "fragment", "policy", "fragment", "fragment"]

    def test_one_of_an_established_flow_needs_its_first_all_the_same(self) -> None:
        assert [verdict for verdict, _ in verdicts(WEB, f"{self.FIRST}, follows: 0, tcpFlags: A")] == ["allow"] * 2
        answers = ran(
            WEB,
            "direction: egress, out: eth0, replyTo: 0, tcpFlags: SA, fragment: first",
            "direction: egress, out: eth0, fragment: later, follows: 1",
            "direction: egress, out: eth0, fragment: later, replyTo: 0",
        ).judged
        assert [one.passage.reason.value for one in answers] == ["policy", "established", "established", "default_deny"]

    def test_the_text_says_that_it_is_one(self) -> None:
        found = Outcome("t.yaml", ran(f"{self.FIRST}, expect: deny"), [])
        assert "tcp 192.0.2.99:40000 > 192.0.2.10:80, first fragment   ingress eth0, new" in "\n".join(text(found))


class TestInterfaces:
    def test_interfaces_that_are_not_written_follow_from_the_routes(self) -> None:
        routed = HOST + "  routes: [{to: 203.0.113.0/24, via: 198.51.100.254}, {to: 0.0.0.0/0, dev: eth0}]\n"
        ways = [
            one.probe.way
            for one in ran(
                "direction: forward, proto: udp, src: 203.0.113.9, dst: 192.0.2.77, dport: 1",
                "direction: egress, proto: udp, src: 192.0.2.10, dst: 8.8.8.8, dport: 53",
                "direction: egress, proto: udp, src: 192.0.2.10, dst: 198.51.100.1, dport: 53",
                host=routed,
            ).judged
        ]
        assert [(way.arrives, way.leaves) for way in ways] == [("eth1", "eth0"), (None, "eth0"), (None, "lo")]

    def test_pods_of_the_node_have_interfaces_that_settings_and_their_names_tell(self) -> None:
        resources = (
            RESOURCES
            + """\
- apiVersion: v1
  kind: Pod
  metadata: {name: web, namespace: shop}
  spec: {nodeName: me}
  status: {podIP: 10.65.0.2}
- apiVersion: projectcalico.org/v3
  kind: FelixConfiguration
  metadata: {name: default}
  spec: {interfacePrefix: "tap,cali"}
"""
        )
        packet = "direction: forward, in: eth0, proto: tcp, src: 192.0.2.99, dst: 10.65.0.2, dport: 80"
        assert [one.probe.way.leaves for one in ran(packet, resources=resources).judged] == ["tap551b05c3e54"]
        plain = resources[: resources.index("- apiVersion: projectcalico.org/v3\n  kind: Felix")]
        assert [one.probe.way.leaves for one in ran(packet, resources=plain).judged] == ["cali551b05c3e54"]

    def test_the_node_is_the_one_that_all_endpoints_name(self) -> None:
        assert verdicts(WEB, host=HOST.replace("  node: me\n", "")) == [("allow", True)]


BROKEN = [
    ("kind: Pod\n", ["TT1970"]),
    ("kind: PolicyTest\n", ["TT1102", "TT1102", "TT1102"]),
    ("", ["TT1970"]),
    ("[1, 2]", ["TT1970"]),
    (document(WEB) + "---\nkind: PolicyTest\n", ["TT1970"]),
    ("a: [", ["TT1001"]),
    (document(WEB.replace("eth0", "eth7")), ["TT1972"]),
    (document(WEB, "direction: ingress, in: eth0, replyTo: 1"), ["TT1973", "TT1102", "TT1102", "TT1102"]),
    (document(f"{WEB}, follows: -1"), ["TT1105"]),
    (document(WEB, f"{WEB}, follows: 0, replyTo: 0"), ["TT1973"]),
    (document(f"{WEB}, out: eth1"), ["TT1971"]),
    (document(WEB.replace("192.0.2.99", "'2001:db8::1'")), ["TT1971"]),
    (document(WEB.replace("tcp", "icmp")), ["TT1971"]),
    (document(WEB.replace(", dport: 80", "")), ["TT1102"]),
    (document(WEB.replace("tcp", "tpc")), ["TT1108"]),
    (document(f"{WEB}, tcpFlags: SX"), ["TT1116"]),
    (document(f"{WEB}, fragment: last"), ["TT1104"]),
    (document(f"{WEB}, fragment: later, sport: 1"), ["TT1971", "TT1971"]),
    (document(f"{WEB.replace('tcp', '47')}, fragment: later"), ["TT1971"]),
    (document(f"{WEB}, expect: drop"), ["TT1104"]),
    (document(f"{WEB}, colour: red"), ["TT1101"]),
    (document(WEB.replace("ingress", "forward"), host=HOST + "  forwarding: false\n"), ["TT1971"]),
    (document(WEB, resources=RESOURCES.replace("Deny", "Drop")), ["TT1104"]),
    (document(WEB, resources=RESOURCES.replace("selector: a", "tier: gone\n    selector: a")), ["TT1903"]),
    (document(WEB, resources=RESOURCES.replace("resources:", "files: [nowhere.yaml]\nresources:")), ["TT1974"]),
    (document(WEB, resources=RESOURCES + RESOURCES.replace("resources:", "")), ["TT1902", "TT1902"]),
    (document(WEB, host=HOST + "  - {name: eth0}\n"), ["TT1975"]),
    (document(WEB, host=HOST + "  routes: [{to: 10.0.0.0/8, via: 203.0.113.1}]\n"), ["TT1972"]),
    (document(WEB, host=HOST + "  workloads: [{name: w, interface: lo}]\n"), ["TT1975"]),
    (document("direction: egress, proto: udp, src: 192.0.2.10, dst: 8.8.8.8, dport: 53"), ["TT1972"]),
]


@pytest.mark.parametrize(("source", "codes"), BROKEN, ids=range(len(BROKEN)))
def test_every_problem_of_a_file_is_said_with_its_code_and_place(source: str, codes: list[str]) -> None:
    found = problems(source)
    assert sorted(line.split(" TT")[1][:4] for line in found) == sorted(code[2:] for code in codes), found
    assert all(line.startswith("t.yaml:") for line in found)


def test_a_problem_says_what_was_found_what_was_expected_and_what_to_do() -> None:
    (found,) = problems(document(WEB.replace("eth0", "eth7")))
    assert found.startswith(
        "t.yaml:22:28: packets[0].in: TT1972 an interface that the host does not have; found eth7, "
    )
    assert "expected one of lo, eth0, eth1; " in found and found.endswith("or add the interface to host.interfaces")


class TestCommand:
    @pytest.fixture
    def good(self, tmp_path: Path) -> str:
        (tmp_path / "good.yaml").write_text(document(f"{WEB}, expect: allow, tracked: true, rule: web/1"))
        return str(tmp_path / "good.yaml")

    @pytest.fixture
    def bad(self, tmp_path: Path) -> str:
        packets = (f"{WEB}, expect: deny", f"{WEB}, tracked: false", f"{WEB}, rule: other", f"{WEB}, rule: web")
        (tmp_path / "bad.yaml").write_text(document(*packets))
        return str(tmp_path / "bad.yaml")

    def test_a_good_file_is_one_line(self, good: str, capsys: pytest.CaptureFixture[str]) -> None:
        assert run(["test", good]) == 0
        assert capsys.readouterr().out == f"ok   {good}: 1 packet\n1 passed, 0 failed\n"

    def test_a_packet_that_fails_is_shown_with_both_verdicts_and_every_rule_considered(
        self, bad: str, capsys: pytest.CaptureFixture[str]
    ) -> None:
        assert run(["test", bad]) == 1
        shown, why = capsys.readouterr().out, "no match because of destination.ports 81: it is 80"
        wanted = f"""\
            packet 0 ({bad}:22): tcp 192.0.2.99:40000 > 192.0.2.10:80   ingress eth0, new
              expected deny, got allow
              untracked ingress at eth0, h
                continue: it has no policy of this class
              normal ingress at eth0, h
                tier default, GlobalNetworkPolicy(web), rule 0 ({bad}:19): {why}
                tier default, GlobalNetworkPolicy(web), rule 1 ({bad}:20): allow
            """
        assert indent(dedent(wanted), "  ") in shown
        assert "expected it to be untracked, but it is tracked" in shown
        assert "expected other to decide, but web/1 did" in shown
        assert shown.endswith("1 passed, 3 failed\n")

    def test_a_file_that_cannot_be_loaded_does_not_stop_the_others(
        self, good: str, bad: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        (tmp_path / "broken.yaml").write_text("kind: [")
        assert run(["test", str(tmp_path / "broken.yaml"), "/nowhere.yaml", bad, good, "-o", "json"]) == 3
        broken, nowhere, failed, passed = json.loads(capsys.readouterr().out)["files"]
        assert "TT1001" in broken["error"] and broken["packets"] == []
        assert nowhere["file"] == "/nowhere.yaml" and "TT1974" in nowhere["error"]
        assert [each["passed"] for each in failed["packets"]] == [False, False, False, True]
        assert passed == {
            "file": good,
            "packets": [
                {"index": 0, "passed": True, "verdict": "allow", "tracked": True, "reason": "policy", "rule": "web/1"}
            ],
        }

    def test_a_profile_that_does_not_exist_is_a_warning(
        self, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        resources = RESOURCES.replace("interfaceName: eth0", "interfaceName: eth0, profiles: [gone]")
        (tmp_path / "t.yaml").write_text(document(f"{WEB}, expect: allow", resources=resources))
        assert run(["test", str(tmp_path / "t.yaml")]) == 0
        assert "warning: profile gone, which h lists, does not exist" in capsys.readouterr().err
        run(["test", str(tmp_path / "t.yaml"), "-o", "json"])
        assert "profile gone" in json.loads(capsys.readouterr().out)["files"][0]["warnings"][0]

    def test_junit_is_xml_with_a_case_for_each_packet(
        self, good: str, bad: str, capsys: pytest.CaptureFixture[str]
    ) -> None:
        run(["test", good, bad, "/nowhere.yaml", "-o", "junit"])
        root = ElementTree.fromstring(capsys.readouterr().out)
        counts = [(suite.get("tests"), suite.get("failures"), suite.get("errors")) for suite in root]
        assert counts == [("1", "0", "0"), ("4", "3", "0"), ("1", "0", "1")]
        assert "expected deny, got allow" in (root[1][0][0].get("message") or "")

    def test_files_are_found_from_the_folder_of_the_test(self, tmp_path: Path) -> None:
        (tmp_path / "policies").mkdir()
        (tmp_path / "policies" / "web.yaml").write_text("---\n".join(_documents()))
        source = document(f"{WEB}, expect: allow", resources="files: [../policies]")
        (tmp_path / "tests").mkdir()
        (tmp_path / "tests" / "t.yaml").write_text(source)
        assert run(["test", str(tmp_path / "tests")]) == 0


def _documents() -> list[str]:
    """The resources as documents of a file."""
    items = RESOURCES.strip().removeprefix("resources:\n").split("- apiVersion")[1:]
    return [dedent(f"  apiVersion{item}") for item in items]


def test_a_thousand_packets_take_less_than_two_seconds() -> None:
    packets = [f"{WEB.replace('80', str(10000 + number))}, expect: deny" for number in range(999)]
    source = document(f"{WEB}, expect: allow", *packets)
    began = perf_counter()
    outcome = Outcome("t.yaml", run_test(read_test({"source": "t.yaml", "text": source})), [])
    assert outcome.failed == 0
    assert perf_counter() - began < 2
