"""What environment, file and documents say: names, places, several sayings of one source, and what nobody can read."""

import pytest
from resource_text import document, read

from tortie.model.failsafe import FailsafePort
from tortie.model.packet import TCP
from tortie.model.selector import parse_selector
from tortie.model.settings import Scope
from tortie.model.xdp import XdpUse
from tortie.resources.felix import PARAMETERS, find
from tortie.resources.felix.levels import (
    Level,
    Saying,
    document_level,
    environment_level,
    file_level,
    problems,
)
from tortie.resources.felix.levels import read as read_parameter
from tortie.resources.felix.settings import settings_of
from tortie.resources.felix.syntax import Unreadable
from tortie.resources.fields import Json
from tortie.resources.kind import Body, Resource
from tortie.resources.lowering import Meaningless

PREFIX = "config.projectcalico.org/"


def said(level: Level, name: str) -> Saying | None:
    return level.said(find(name))


@pytest.mark.parametrize("name", ["FELIX_XDPEnabled", "felix_xdpenabled", "FELIX_XDPENABLED", "Felix_xDPeNABLED"])
def test_variables_are_known_in_any_case(name: str) -> None:
    level = environment_level({name: "false", "XDPEnabled": "true", "FELIXXDPENABLED": "true", "PATH": "/bin"})
    assert level.sayings == {"XDPEnabled": [Saying("false", name)]}
    assert level.unknown == {}


def test_variables_that_are_no_parameter_are_kept_as_unknown() -> None:
    level = environment_level({"FELIX_XdpEnable": "1", "FELIX_": "x"})
    assert level.unknown == {"XdpEnable": [Saying("1", "FELIX_XdpEnable")], "": [Saying("x", "FELIX_")]}


def test_of_two_spellings_of_a_variable_the_last_one_holds() -> None:
    level = environment_level({"FELIX_XDPEnabled": "true", "felix_xdpenabled": "false"})
    assert said(level, "XDPEnabled") == Saying("false", "felix_xdpenabled")
    assert len(level.sayings["XDPEnabled"]) == 2


FILE = """\
# a comment
; another
[global]
XDPEnabled = true   # why
interfaceprefix=cali,tap ; why

[other section]
XDPENABLED: this is no key
LogPrefix = "quoted: x"
FailsafeInboundHostPorts = tcp:[fd00::/8]:22
xdpenabled = false
Nonsense =
"""


def test_a_file_has_lines_in_sections_that_do_not_matter_and_the_last_line_holds() -> None:
    text = FILE.replace("XDPENABLED: this is no key\n", "")
    level = file_level(text, "/felix.cfg")
    assert level.source == "/felix.cfg"
    assert level.sayings == {
        "XDPEnabled": [Saying("false", "line 10"), Saying("true", "line 4")],
        "InterfacePrefix": [Saying("cali,tap", "line 5")],
        "LogPrefix": [Saying("quoted: x", "line 8")],
        "FailsafeInboundHostPorts": [Saying("tcp:[fd00::/8]:22", "line 9")],
    }
    assert level.unknown == {"Nonsense": [Saying("", "line 11")]}


@pytest.mark.parametrize(
    ("text", "line"), [(FILE, 8), ("XDPEnabled", 1), ("\n\n= x", 3), ("[open\n", 1), ("{json: 1}", 1)]
)
def test_a_line_that_is_nothing_is_refused_with_its_number(text: str, line: int) -> None:
    with pytest.raises(Unreadable, match=f"^line {line}: "):
        file_level(text, "x")


@pytest.mark.parametrize(
    ("annotations", "spec", "expected"),
    [
        ({"tortie.io/xdp": "untracked"}, {"xdpEnabled": False}, XdpUse.UNTRACKED),
        ({f"{PREFIX}XDPMode": "Always"}, {}, XdpUse.ALWAYS),
        ({}, {"xdpEnabled": False}, XdpUse.NEVER),
        ({}, {"xdpEnabled": True}, XdpUse.AUTO),
        ({}, {}, None),
    ],
)
def test_the_mode_of_xdp_is_stronger_than_its_switch(
    annotations: dict[str, str], spec: dict[str, object], expected: XdpUse | None
) -> None:
    text = document("FelixConfiguration", spec, "default", annotations=annotations)
    assert settings_of(document_level(read(text))).xdp is expected


def test_an_annotation_wins_over_the_field_and_an_empty_one_says_nothing() -> None:
    spec = {"xdpEnabled": True}
    for text, expected in (("false", f"annotation {PREFIX}xdpENABLED"), (" ", "spec.xdpEnabled")):
        annotations = {f"{PREFIX}xdpENABLED": text, "other/XDPEnabled": "no", f"{PREFIX}Nope": "1"}
        level = document_level(read(document("FelixConfiguration", spec, "default", annotations=annotations)))
        found = said(level, "XDPEnabled")
        assert found is not None
        assert found.place == expected
        assert list(level.unknown) == ["Nope"]
        assert len(level.sayings["XDPEnabled"]) == (2 if text.strip() else 1)


def test_documents_say_whom_they_are_for_and_how_old_they_are() -> None:
    text = document("FelixConfiguration", {"nodeSelector": "has(rack)"}, "rack")
    assert document_level(read(text)).scope == Scope("rack", parse_selector("has(rack)"), "")
    assert document_level(read(document("FelixConfiguration", {}, "default"))).scope == Scope("default")


def test_documents_cannot_set_what_is_local_and_that_is_told() -> None:
    annotations = {f"{PREFIX}EtcdAddr": "a:1", f"{PREFIX}DatastoreType": "nonsense"}
    level = document_level(read(document("FelixConfiguration", {}, "default", annotations=annotations)))
    told = {parameter.name: reading for parameter, _, reading in problems(level)}
    assert told.keys() == {"EtcdAddr", "DatastoreType"}
    assert not any(reading.counts or reading.is_fatal for reading in told.values())
    assert read_parameter(find("EtcdAddr"), environment_level({"FELIX_ETCDADDR": "a:1"})).value == "a:1"


@pytest.mark.parametrize(
    ("name", "text"),
    [("FailsafeInboundHostPorts", "tcp:ssh"), ("InterfacePrefix", "none"), ("BPFMapSizeConntrack", "none")],
)
def test_what_stops_an_agent_gives_no_settings(name: str, text: str) -> None:
    with pytest.raises(Meaningless, match=f"^{name}: "):
        settings_of(environment_level({f"FELIX_{name}": text}))


def test_settings_come_from_the_environment_as_from_documents() -> None:
    variables = {
        "FELIX_FAILSAFEINBOUNDHOSTPORTS": "22",
        "FELIX_FAILSAFEOUTBOUNDHOSTPORTS": "None",
        "FELIX_INTERFACEPREFIX": "tap, cali",
        "FELIX_INTERFACEEXCLUDE": "(",
        "FELIX_DISABLECONNTRACKINVALIDCHECK": "yes",
        "FELIX_BPFMAPSIZECONNTRACK": "0x10",
        "FELIX_BPFCONNTRACKTIMEOUTS": "UDPTimeout=5s,x=1s",
        "FELIX_XDPENABLED": "f",
    }
    found = settings_of(environment_level(variables))
    assert found.failsafe_inbound == (FailsafePort(TCP, 22),)
    assert found.failsafe_outbound == ()
    assert found.interface_prefixes == ("tap", "cali")
    assert found.interface_exclude == ("kube-ipvs0",)
    assert (found.drops_invalid, found.conntrack_size, found.xdp) == (False, 16, XdpUse.NEVER)
    assert found.conntrack_timeouts == {"udpTimeout": 5.0}
    assert [problem.split(": ")[1] for problem in found.problems] == ["InterfaceExclude", "BPFConntrackTimeouts"]


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("failsafeInboundHostPorts", 5),
        ("failsafeInboundHostPorts", "22"),
        ("failsafeInboundHostPorts", [22]),
        ("failsafeInboundHostPorts", [{"protocol": "TCP"}]),
        ("failsafeInboundHostPorts", [{"protocol": "tcp", "port": 22}]),
        ("failsafeInboundHostPorts", [{"protocol": "TCP", "port": 22, "nets": "10.0.0.0/8"}]),
        ("failsafeInboundHostPorts", [{"protocol": "TCP", "port": 22, "net": ""}]),
        ("failsafeInboundHostPorts", [{"protocol": "TCP", "port": 22, "net": "10.0.0.0/8:1"}]),
        ("failsafeInboundHostPorts", [{"protocol": "TCP", "port": True}]),
        ("failsafeInboundHostPorts", [{"protocol": "TCP", "port": 70000}]),
        ("interfacePrefix", 5),
        ("interfacePrefix", ["cali"]),
    ],
)
def test_a_stored_field_of_another_shape_is_taken_for_nothing_else(field: str, value: Json) -> None:
    body: Body = {"metadata": {"name": "default"}, "spec": {field: value}}
    stored = Resource(kind="FelixConfiguration", namespace="", name="default", body=body)
    with pytest.raises(Meaningless):
        settings_of(document_level(stored))


@pytest.mark.parametrize("value", ["none", 5, [], {}, {"a": 1}, 1.5])
def test_no_stored_field_of_another_shape_breaks_the_reading(value: Json) -> None:
    spec: Body = {parameter.field: value for parameter in PARAMETERS if parameter.field}
    spec["nodeSelector"] = [] if isinstance(value, str) else value
    body: Body = {"metadata": {"name": "x", "annotations": value}, "spec": spec}
    level = document_level(Resource(kind="FelixConfiguration", namespace="", name="x", body=body))
    assert len(list(problems(level))) > 100


def test_what_does_not_count_of_a_long_list_is_told_in_short() -> None:
    ((_, _, reading),) = problems(environment_level({"FELIX_BPFConntrackTimeouts": "x=1," * 60000}))
    assert reading.problem.endswith("; and 59995 more")
    assert len(reading.problem) < 2000
