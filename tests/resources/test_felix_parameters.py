"""Every parameter of FelixConfiguration, held against the reference: names, defaults, and what is accepted where."""

import json
from dataclasses import replace

import pytest
from felix_reference import NEVER_NONE, ROWS, SET_BY_OTHERS, Row
from felix_samples import IN_DOCUMENTS, bad, document_bad, document_good, good
from resource_text import codes, document, read

from tortie.calc.settings import HostSettings, merge
from tortie.model.settings import FelixSettings
from tortie.resources.codec import decode_stored, decode_text, encode
from tortie.resources.felix import FIELDS, PARAMETERS, UnknownParameter, find, named
from tortie.resources.felix.host import TO_HOST
from tortie.resources.felix.levels import Level, Reading, Saying, default_of, document_level
from tortie.resources.felix.levels import read as read_parameter
from tortie.resources.felix.parameter import Parameter
from tortie.resources.felix.settings import settings_of

EVERY = pytest.mark.parametrize("row", ROWS, ids=lambda row: row.name)
EVERY_FIELD = pytest.mark.parametrize("row", IN_DOCUMENTS, ids=lambda row: row.name)


OURS = {"XDPMode"}
"""What upstream has no parameter for."""


def parameter(row: Row) -> Parameter[object]:
    found = named(row.name)
    assert found is not None
    return found


def reading(row: Row, text: str) -> Reading[object]:
    """What the environment would say with this text."""
    return read_parameter(parameter(row), Level("environment", {row.name: [Saying(text, "x")]}))


def test_the_table_has_every_parameter_of_the_reference_and_no_other() -> None:
    assert {each.name for each in PARAMETERS} == {row.name for row in ROWS} | SET_BY_OTHERS | OURS
    assert len({each.name.lower() for each in PARAMETERS}) == len(PARAMETERS) == 218 + len(OURS)
    assert set(FIELDS) - {"nodeSelector"} == {row.field for row in IN_DOCUMENTS}


@EVERY
def test_field_default_and_fate_of_bad_values_are_those_of_the_reference(row: Row) -> None:
    found = parameter(row)
    assert (found.name, found.field, found.default.lower()) == (row.name, row.field, row.default.lower())
    assert found.is_fatal == ("exit" in row.bad)
    assert found.is_local == ("local" in row.bad)
    assert found.may_be_none == (row.name not in NEVER_NONE)


def test_every_parameter_and_every_field_is_described() -> None:
    for each in PARAMETERS:
        assert len(each.doc) > 10, each.name
        assert each.doc.endswith("."), each.name
        assert each.syntax.form, each.name
    assert [name for name, field in FIELDS.items() if not field.doc] == []


@EVERY
def test_defaults_are_values_of_their_type(row: Row) -> None:
    if row.default:
        assert reading(row, row.default).problem == ""
        assert reading(row, row.default).value == default_of(parameter(row))
    else:
        assert default_of(parameter(row)) is None


@EVERY
def test_text_of_its_type_is_accepted(row: Row) -> None:
    assert good(row)
    for text in good(row):
        found = reading(row, f" {text} ")
        assert (found.counts, found.problem, found.is_fatal, found.text) == (True, "", False, text.strip())


@EVERY
def test_other_text_counts_as_the_default_or_stops_the_agent_and_is_told(row: Row) -> None:
    for text in bad(row):
        found = reading(row, text)
        assert (found.counts, found.is_fatal) == (True, "exit" in row.bad), text
        assert (found.text, found.value) == (parameter(row).default, default_of(parameter(row))), text
        assert "; expected " in found.problem, text


@EVERY
def test_none_is_the_empty_value_or_stops_the_agent(row: Row) -> None:
    for word in ("none", "None", " NONE "):
        found = reading(row, word)
        if row.name in NEVER_NONE:
            assert (found.is_fatal, found.counts) == (True, True)
            assert "is no value of it" in found.problem
        else:
            assert (found.value, found.problem, found.is_fatal) == (parameter(row).syntax.zero, "", False)
            nothing = ["None"] if "None" in row.values else ["", 0, False, (), {}, (0, 0)]
            assert found.value in nothing


@EVERY
def test_empty_text_says_nothing(row: Row) -> None:
    for text in ("", "  "):
        assert reading(row, text) == Reading()


@EVERY_FIELD
def test_documents_take_its_values_and_they_mean_what_their_text_means(row: Row) -> None:
    stored = read(document("FelixConfiguration", {row.field: document_good(row)}, "default"))
    again = decode_stored(encode(stored))
    assert again.spec[row.field] == stored.spec[row.field]
    level = document_level(again)
    said = level.said(parameter(row))
    assert said is not None
    assert said.place == f"spec.{row.field}"
    found = read_parameter(parameter(row), level)
    assert (found.counts, found.problem) == (True, "")
    assert found.value == parameter(row).syntax.parse(said.text)


@EVERY_FIELD
def test_documents_with_other_values_are_refused_with_a_code(row: Row) -> None:
    value, code = document_bad(row)
    assert codes(document("FelixConfiguration", {row.field: value}, "default")) == [code]


@EVERY_FIELD
def test_an_absent_field_says_nothing_unless_it_is_stored_with_a_default(row: Row) -> None:
    stored = read(document("FelixConfiguration", {}, "default")).spec
    written = {
        "floatingIPs": "Disabled",
        "bpfConnectTimeLoadBalancing": "TCP",
        "bpfHostNetworkedNATWithoutCTLB": "Enabled",
        "nftablesMode": "Auto",
        "nftablesFlowTableOffload": "Disabled",
    }
    assert stored.get(row.field) == written.get(row.field)
    assert set(stored) == set(written)


@EVERY
def test_annotations_are_read_as_text_wins_over_the_field_and_bad_ones_that_matter_are_refused(row: Row) -> None:
    key = f"config.projectcalico.org/{row.name.upper()}"
    spec = {row.field: document_good(row)} if row.field else {}
    stored = read(document("FelixConfiguration", spec, "default", annotations={key: good(row)[0]}))
    found = read_parameter(parameter(row), document_level(stored))
    if "local" in row.bad:
        assert not found.counts
        assert "documents cannot set it" in found.problem
    else:
        assert (found.counts, found.text) == (True, good(row)[0])
    for text in bad(row)[:1] if "local" not in row.bad else ():
        wrong = document("FelixConfiguration", {}, "default", annotations={key: text})
        if "exit" in row.bad or parameter(row).is_used:
            assert codes(wrong) == ["TT1114"]
        else:
            assert read(wrong)


@pytest.mark.parametrize("text", ["DROP", "drop", "Drop", ""])
def test_some_words_of_documents_may_have_any_case_or_be_empty(text: str) -> None:
    for field in ("defaultEndpointToHostAction", "iptablesFilterDenyAction", "nftablesFilterDenyAction"):
        assert read(document("FelixConfiguration", {field: text}, "default"))


@pytest.mark.parametrize(
    ("field", "text"),
    [
        ("serviceLoopPrevention", "drop"),
        ("workloadSourceSpoofing", "any"),
        ("iptablesBackend", "auto"),
        ("floatingIPs", ""),
        ("nftablesMode", ""),
    ],
)
def test_other_words_of_documents_are_taken_as_they_are_written(field: str, text: str) -> None:
    assert codes(document("FelixConfiguration", {field: text}, "default")) == ["TT1104"]


@pytest.mark.parametrize("switch", [True, False])
def test_the_older_switch_of_load_balancing_sets_what_took_its_place(switch: bool) -> None:
    spec = {"bpfConnectTimeLoadBalancingEnabled": switch, "bpfHostNetworkedNATWithoutCTLB": "Enabled"}
    stored = read(document("FelixConfiguration", spec, "default")).spec
    assert stored["bpfConnectTimeLoadBalancing"] == ("Enabled" if switch else "Disabled")
    assert stored["bpfHostNetworkedNATWithoutCTLB"] == "Disabled"


@pytest.mark.parametrize(
    ("field", "value", "text"),
    [
        ("failsafeInboundHostPorts", [], "none"),
        (
            "failsafeInboundHostPorts",
            [{"protocol": "TCP", "port": 22, "net": "fd00::/8"}, {"protocol": "UDP", "port": 53, "net": "10.0.0.1"}],
            "tcp:[fd00::/8]:22,udp:10.0.0.1:53",
        ),
        ("routeRefreshInterval", "1m30s", "90"),
        ("nftablesRefreshInterval", "-1m30s", "-90"),
        ("iptablesLockProbeInterval", "50ms", "50"),
        ("xdpEnabled", False, "false"),
        ("iptablesMarkMask", 0xFFFF0000, "0xffff0000"),
        ("routeTableRanges", [{"min": 1, "max": 9}, {"min": 20, "max": 30}], "1-9,20-30"),
        ("healthTimeoutOverrides", [{"name": "a b", "timeout": "1m"}], "a b=1m"),
        ("bpfConntrackTimeouts", {"udpTimeout": "5s", "tcpFinsSeen": "Auto"}, "tcpFinsSeen=Auto,udpTimeout=5s"),
        ("kubeNodePortRanges", ["30000:32767", 80], "30000:32767,80"),
    ],
)
def test_fields_become_the_text_that_other_sources_would_hold(field: str, value: object, text: str) -> None:
    stored = decode_stored(encode(read(document("FelixConfiguration", {field: value}, "default"))))
    said = document_level(stored).said(find(field))
    assert said is not None
    assert sorted(said.text.split(",")) == sorted(text.split(","))


def test_timeouts_that_nobody_can_read_are_told_and_the_others_hold() -> None:
    row = next(row for row in ROWS if row.name == "BPFConntrackTimeouts")
    found = reading(row, "TCPSynSent=5s,Unknown=1s,GenericTimeout=soon")
    assert found.value == {"tcpSynSent": 5.0}
    assert "'Unknown' is no timeout" in found.problem
    assert "genericTimeout: 'soon' is no duration" in found.problem
    assert not found.is_fatal


@pytest.mark.parametrize("field", ["natOutgoingAddress", "deviceRouteSourceAddress", "deviceRouteSourceAddressIPv6"])
def test_an_address_of_a_document_is_not_written_in_the_other_version(field: str) -> None:
    assert codes(document("FelixConfiguration", {field: "::ffff:10.0.0.1"}, "default")) == ["TT1106"]


@pytest.mark.parametrize("text", ["100us", "1h5ns", ".5s", "5.s", "+5s", "-5s", "1s0", "00", ""])
def test_times_of_documents_are_plain_except_three(text: str) -> None:
    signed = {"dataplaneWatchdogTimeout", "localSubnetL2ReachabilityRefreshInterval", "nftablesRefreshInterval"}
    is_time = text not in ("1s0", "00", "")
    for row in IN_DOCUMENTS:
        if row.values in ("seconds", "ms"):
            wrong = [] if is_time and row.field in signed else ["TT1116"]
            _, problems = decode_text(document("FelixConfiguration", {row.field: text}, "default"), "test.yaml")
            assert [each.code for each in problems] == wrong, row.field


ONLY_EVALUATED = (TO_HOST,)
"""What the evaluator knows and no driver enforces yet, so that people are told that tortie does not act on it."""


def lowered(row: Row, text: str) -> FelixSettings:
    return settings_of(Level("environment", {row.name: [Saying(text, "x")]}))


@EVERY
def test_tortie_acts_on_what_is_said_to_be_used_and_on_nothing_else(row: Row) -> None:
    silent = settings_of(Level("environment"))
    for text in good(row):
        found = replace(lowered(row, text), problems=())
        is_known = parameter(row).is_used or parameter(row) in ONLY_EVALUATED
        assert (found != silent) == is_known, text


def test_the_defaults_of_the_table_are_those_of_the_calculation() -> None:
    # BPFEnabled is not said by default: then the host has what it can have.
    used = [row for row in ROWS if parameter(row).is_used and row.name != "BPFEnabled"]
    level = Level("x", {row.name: [Saying(row.default, "x")] for row in used})
    kernel = {"nf_conntrack_tcp_timeout_time_wait": 77.0}
    assert merge([settings_of(level)], kernel) == merge([], kernel)
    assert merge([settings_of(level)], {}) == HostSettings()


@EVERY
def test_a_value_that_nobody_can_read_never_opens_more_than_saying_nothing(row: Row) -> None:
    if not parameter(row).is_used:
        return
    for text in bad(row):
        if "exit" in row.bad:
            with pytest.raises(ValueError, match=row.name):
                lowered(row, text)
        else:
            assert merge([lowered(row, text)], {}) == HostSettings()
            assert lowered(row, text).problems


def test_a_parameter_is_found_by_name_and_field_in_any_case_and_near_misses_are_told() -> None:
    assert find("xdpenabled") is find("XDPEnabled") is named("XDPENABLED")
    assert find("ExternalNodesList") is named("ExternalNodesCIDRList")
    assert named("externalNodesList") is None
    with pytest.raises(UnknownParameter, match=r"no parameter 'XDPEnable'; did you mean XDPEnabled\?"):
        find("XDPEnable")
    with pytest.raises(UnknownParameter, match="config explain --all"):
        find("zzz")


def test_the_fields_of_the_schema_carry_meaning_and_default() -> None:
    field = FIELDS["routeRefreshInterval"]
    assert field.doc == "How often routes are checked; 0: never. Default: 90s."
    assert json.dumps(dict(field.decode.schema))
