"""Cases of parts that several kinds share: rules, label selectors, conditions."""

from dataclasses import replace

from field_cases import ABSENT, FieldCase, Reads, Refused, below

LONG = "a" * 513
ORDER = FieldCase(
    "spec.order",
    accepted=[0, -1.5, 100, Reads(4.0, 4)],
    refused=[Refused("9", "TT1103"), Refused(True, "TT1103"), Refused([1], "TT1103")],
)
CONDITION = (
    FieldCase("type", accepted=["Ready"], refused=[Refused(1, "TT1103"), Refused(None, "TT1102")]),
    FieldCase(
        "status",
        accepted=["True", "False", "Unknown"],
        refused=[Refused("true", "TT1104"), Refused(True, "TT1103"), Refused(None, "TT1102")],
    ),
    FieldCase("reason", accepted=["Fine", ""], refused=[Refused(1, "TT1103")]),
    FieldCase("message", accepted=["All is well.", ""], refused=[Refused(1, "TT1103")]),
    FieldCase("observedGeneration", accepted=[0, 7], refused=[Refused(-1, "TT1105"), Refused("1", "TT1103")]),
    FieldCase(
        "lastTransitionTime",
        accepted=["2026-01-02T03:04:05Z", "2026-01-02T03:04:05.678+02:00"],
        refused=[Refused("yesterday", "TT1116"), Refused(5, "TT1103")],
    ),
)
CONDITIONS = (
    FieldCase("status.conditions", accepted=[[]], refused=[Refused({}, "TT1103"), Refused([None], "TT1103", "[0]")]),
    *below("status.conditions[]", CONDITION, {"type": "Ready", "status": "True"}),
)


def selector(path: str, *, refuses_global: bool = True) -> FieldCase:
    """Cases of a selector."""
    globals_ = [Refused("global()", "TT1202"), Refused("a == 'global('", "TT1202")] if refuses_global else []
    return FieldCase(
        path,
        accepted=["has(a)", "a == 'b' && !has(c)", "all()", Reads("", ABSENT), Reads(None, ABSENT)],
        refused=[
            Refused("has(", "TT1201"),
            Refused(f"has({LONG})", "TT1201"),
            Refused("all()" + " " * 1020, "TT1110"),
            Refused(1, "TT1103"),
            *globals_,
        ],
    )


# ---- rules

PORTS = [80, Reads("80", 80), "100:200", "http", 1, 65535]
BAD_PORTS = [0, "0:10", "200:100", 65536, "a b", "http_port", "1:2:3", -1, "*", ""]
SERVICE = {"name": "web", "namespace": "default"}
TCP = {"protocol": "TCP"}


def _nets(path: str) -> FieldCase:
    refused = [
        *(Refused([each], "TT1106", "[0]") for each in ("10.0.0.1/8", "10.0.0.1", "x", "10.0.0.0/33")),
        Refused([1], "TT1103", "[0]"),
        Refused(["10.0.0.0/8", "10.0.0.0/8"], "TT1111", "[1]"),
        Refused([f"10.0.{each}.0/24" for each in range(257)], "TT1110"),
        Refused(["10.0.0.0/8", "fd00::/8"], "TT1313"),
        Refused("10.0.0.0/8", "TT1103"),
    ]
    if path == "notNets":
        refused += [Refused([each], "TT1320") for each in ("0.0.0.0/0", "::/0", "0::0/0")]
    return FieldCase(path, [["10.0.0.0/8"], ["fd00::/8", "fd01::/32"], Reads([], ABSENT)], refused)


def _ports(path: str) -> FieldCase:
    kept = [each if isinstance(each, Reads) else Reads(each, each) for each in PORTS]
    refused = [
        *(Refused([each], "TT1107", "[0]") for each in BAD_PORTS),
        Refused([True], "TT1103", "[0]"),
        Refused(80, "TT1103"),
        Refused([*range(1, 52)], "TT1110"),
    ]
    return FieldCase(path, [*(Reads([each.given], [each.kept]) for each in kept), Reads([], ABSENT)], refused)


_ENTITY = (
    _nets("nets"),
    _nets("notNets"),
    selector("selector"),
    selector("notSelector", refuses_global=False),
    FieldCase(
        "namespaceSelector",
        accepted=["global()", " global( ) ", "all()", "projectcalico.org/name == 'x'", Reads("", ABSENT)],
        refused=[
            *(Refused(each, "TT1202") for each in ("global() && x == 'y'", "x == 'y' || global()", "!global()")),
            Refused("(global())", "TT1202"),
            Refused("x ==", "TT1201"),
        ],
    ),
    FieldCase("serviceAccounts", [{"names": ["a"], "selector": "has(a)"}, {}], [Refused("a", "TT1103")]),
    FieldCase(
        "serviceAccounts.names",
        accepted=[["a", "B_c"], Reads([], ABSENT)],
        refused=[Refused(["a'"], "TT1112", "[0]"), Refused(["a", "a"], "TT1111", "[1]"), Refused("a", "TT1103")],
    ),
    FieldCase(
        "serviceAccounts.selector",
        accepted=["has(a)", "global()", "all()" + " " * 1020],
        refused=[Refused("has(", "TT1201")],
    ),
)


def _services(*, is_namespaced: bool) -> tuple[FieldCase, ...]:
    """Cases of a service where one may stand."""
    together = {
        "namespaceSelector": "all()",
        "selector": "all()",
        "notSelector": "all()",
        "nets": ["10.0.0.0/8"],
        "notNets": ["10.0.0.0/8"],
        "serviceAccounts": {"names": ["x"]},
    }
    nowhere = [Reads("", ABSENT), Reads(None, ABSENT)]
    elsewhere = [Refused(each.given, "TT1315", "services") for each in nowhere]
    return (
        FieldCase("services", [SERVICE], [Refused("web", "TT1103"), Refused({"namespace": "a"}, "TT1315")]),
        *(
            FieldCase("services", (), [Refused(SERVICE, "TT1315")], around={key: value})
            for key, value in together.items()
        ),
        FieldCase(
            "services.name",
            accepted=["web", "a.b"],
            refused=[Refused("A", "TT1112"), Refused("a" * 254, "TT1112"), Refused("", "TT1315", "services")],
            around={"services": SERVICE},
        ),
        FieldCase(
            "services.namespace",
            accepted=["default", *(nowhere if is_namespaced else [])],
            refused=[Refused("A", "TT1112"), Refused(1, "TT1103"), *([] if is_namespaced else elsewhere)],
            around={"services": SERVICE},
        ),
    )


_NO_SERVICES = tuple(
    FieldCase(path, (), [Refused(value, "TT1315", "services")], around={"services": SERVICE}, is_possible=False)
    for path, value in (("services", SERVICE), ("services.name", "web"), ("services.namespace", "default"))
)
_ICMP = (
    FieldCase(
        "type", [0, 8, 254, Reads(4.0, 4)], [Refused(255, "TT1105"), Refused(-1, "TT1105"), Refused("8", "TT1103")]
    ),
    FieldCase("code", [0, 255], [Refused(256, "TT1105"), Refused(True, "TT1103")], around={"type": 3}),
    FieldCase("code", (), [Refused(1, "TT1312")]),
)


def _protocol(path: str) -> FieldCase:
    names = ["TCP", "UDP", "ICMP", "ICMPv6", "SCTP", "UDPLite"]
    return FieldCase(
        path,
        accepted=[*names, 1, 255, Reads("1", 1), Reads("255", 255), Reads(4.0, 4)],
        refused=[
            *(Refused(each, "TT1108") for each in ("tcp", 0, "0", 256, "256", "tcpfoo", -1, "")),
            Refused(True, "TT1103"),
        ],
    )


_PATHS = ["foo", "/a?b", "/a#b", "/a b", "", "/" + "a" * 1024]
_HTTP = (
    FieldCase(
        "http",
        [{"methods": ["GET", "PUT"]}, {"paths": [{"exact": "/foo"}, {"prefix": "/bar"}]}],
        [Refused([], "TT1103")],
    ),
    FieldCase("http", (), [Refused({"methods": ["GET"]}, "TT1314")], around={"action": "Deny"}),
    FieldCase("http", (), [Refused({"methods": ["GET"]}, "TT1314")], around={"protocol": "UDP"}),
    FieldCase("http", [{"methods": ["GET"]}], (), around=TCP),
    FieldCase(
        "http.methods",
        accepted=[["GET", "get"], Reads([], ABSENT)],
        refused=[
            Refused(["GET", "GET"], "TT1111", "[1]"),
            Refused([1], "TT1103", "[0]"),
            Refused([f"M{each}" for each in range(21)], "TT1110"),
        ],
    ),
    FieldCase(
        "http.paths",
        accepted=[[{"exact": "/"}], [{"prefix": "/a/"}]],
        refused=[
            Refused([{}], "TT1314", "[0]"),
            Refused([{"exact": "/a", "prefix": "/b"}], "TT1314", "[0]"),
            Refused([{"exact": "/a"}] * 21, "TT1110"),
            Refused({}, "TT1103"),
        ],
    ),
    FieldCase("http.paths[].exact", ["/foo", "/" + "a" * 1023], [Refused(each, "TT1314") for each in _PATHS]),
    FieldCase("http.paths[].prefix", ["/foo", "/"], [Refused(each, "TT1314") for each in _PATHS]),
)
_NO_HTTP = tuple(
    FieldCase(path, (), [Refused(value, "TT1314", "http")], is_possible=False)
    for path, value in (
        ("http", {"methods": ["GET"]}),
        ("http.methods", ["GET"]),
        ("http.paths", [{"exact": "/"}]),
        ("http.paths[].exact", "/"),
        ("http.paths[].prefix", "/"),
    )
)


def _side(side: str, *, may_have_services: bool, is_namespaced: bool) -> list[FieldCase]:
    services = _services(is_namespaced=is_namespaced) if may_have_services else _NO_SERVICES
    ports = below(side, (_ports("ports"), _ports("notPorts")))
    return [
        *below(side, (*_ENTITY, *services)),
        *(replace(each, around={**each.around, **TCP}) for each in ports),
        FieldCase(side, [{}, Reads({"nets": []}, {})], [Refused([], "TT1103")]),
        FieldCase(f"{side}.ports", [["http"]], [Refused([each], "TT1311") for each in (80, "1:2")]),
        FieldCase(f"{side}.notPorts", [["http"]], [Refused(["http", 80], "TT1311")]),
        FieldCase(f"{side}.ports", (), [Refused([80], "TT1311")], around={"notProtocol": "UDP"}),
        *(
            FieldCase(f"{side}.ports", (), [Refused(["http"], "TT1311")], around={"protocol": each})
            for each in (7, "ICMP", "UDPLite", 100)
        ),
        *(FieldCase(f"{side}.ports", [[80]], (), around={"protocol": each}) for each in (6, 17, 132, "UDP", "SCTP")),
        FieldCase(f"{side}.nets", [["10.0.0.0/8"]], [Refused(["fd00::/8"], "TT1313")], around={"ipVersion": 4}),
        FieldCase(f"{side}.nets", [["fd00::/8"]], [Refused(["10.0.0.0/8"], "TT1313")], around={"ipVersion": 6}),
    ]


def rule_cases(
    rule: str, *, is_egress: bool = False, is_profile: bool = False, is_namespaced: bool = False
) -> tuple[FieldCase, ...]:
    """Cases of a rule at that path."""
    sides = [
        each
        for side in ("source", "destination")
        for each in _side(
            side,
            may_have_services=is_profile or (side == "destination") == is_egress,
            is_namespaced=is_namespaced,
        )
    ]
    http = _NO_HTTP if is_egress and not is_profile else _HTTP
    cases = (
        FieldCase(
            "action",
            accepted=["Allow", "Deny", "Log", "Pass"],
            refused=[*(Refused(each, "TT1104") for each in ("allow", "Accept", "")), Refused(None, "TT1102")],
        ),
        FieldCase("ipVersion", [4, 6, 4.0], [Refused(0, "TT1104"), Refused(5, "TT1104"), Refused("4", "TT1103")]),
        _protocol("protocol"),
        _protocol("notProtocol"),
        *(
            FieldCase(key, [good], [Refused(bad, "TT1313")], around={"ipVersion": version})
            for key in ("protocol", "notProtocol")
            for good, bad, version in (("ICMP", "ICMPv6", 4), ("ICMPv6", "ICMP", 6), (1, 58, 4), (58, 1, 6))
        ),
        FieldCase("icmp", [{}, {"type": 128, "code": 255}], [Refused([], "TT1103")], around={"protocol": "ICMP"}),
        FieldCase("icmp", [{}], (), around={"protocol": 58}),
        FieldCase("icmp", (), [Refused({"type": 1}, "TT1312"), Refused({}, "TT1312")]),
        FieldCase("icmp", (), [Refused({"type": 1}, "TT1312")], around=TCP),
        *(replace(each, around={**each.around, "protocol": "ICMP"}) for each in below("icmp", _ICMP)),
        FieldCase("notICMP", [{}, {"type": 8}], [Refused(8, "TT1103")]),
        *below("notICMP", _ICMP),
        *http,
        FieldCase("metadata", [{"annotations": {"Why": "because"}}, {}], [Refused("x", "TT1103")]),
        FieldCase(
            "metadata.annotations",
            accepted=[{"Example.ORG/Key": "any text"}, Reads({}, ABSENT)],
            refused=[Refused({"a b": ""}, "TT1114", '["a b"]'), Refused({"a": "x" * 262144}, "TT1114")],
        ),
        *sides,
    )
    rules = rule.removesuffix("[]")
    return (
        FieldCase(
            rules,
            accepted=[[{"action": "Allow"}] * 1024, Reads([], ABSENT)],
            refused=[
                Refused([{"action": "Allow"}] * 1025, "TT1110"),
                Refused({}, "TT1103"),
                Refused([None], "TT1103", "[0]"),
                Refused([{"action": "Allow", "domains": ["example.org"]}], "TT1101", "[0].domains"),
                Refused([{}], "TT1102", "[0].action"),
            ],
        ),
        *below(rule, cases, {"action": "Allow"}),
    )


# ---- label selectors

_SELECTOR = (
    FieldCase(
        "matchLabels",
        accepted=[{"app": "web", "example.org/a_b": ""}, Reads({}, ABSENT), Reads({"a": None}, {"a": ""})],
        refused=[
            Refused({"a b": ""}, "TT1113", '["a b"]'),
            Refused({"a": "b'c"}, "TT1113", ".a"),
            Refused({"a": 1}, "TT1103", ".a"),
            Refused(["a"], "TT1103"),
        ],
    ),
    FieldCase(
        "matchExpressions",
        accepted=[
            [{"key": "a", "operator": "In", "values": ["b", "c"]}, {"key": "d", "operator": "Exists"}],
            Reads([{"key": "a", "operator": "DoesNotExist", "values": []}], [{"key": "a", "operator": "DoesNotExist"}]),
            Reads([], ABSENT),
        ],
        refused=[
            Refused([{"key": "a", "operator": "In"}], "TT1322", "[0]"),
            Refused([{"key": "a", "operator": "NotIn", "values": []}], "TT1322", "[0]"),
            Refused([{"key": "a", "operator": "Exists", "values": ["b"]}], "TT1322", "[0].values"),
            Refused({}, "TT1103"),
        ],
    ),
    FieldCase(
        "matchExpressions[].key",
        accepted=["a", "example.org/a"],
        refused=[Refused("a b", "TT1113"), Refused("", "TT1113"), Refused(None, "TT1102"), Refused(1, "TT1103")],
        around={"matchExpressions": [{"operator": "Exists"}]},
    ),
    FieldCase(
        "matchExpressions[].operator",
        accepted=["In", "NotIn"],
        refused=[Refused("in", "TT1104"), Refused("Equals", "TT1104"), Refused(None, "TT1102")],
        around={"matchExpressions": [{"key": "a", "values": ["b"]}]},
    ),
    FieldCase(
        "matchExpressions[].values",
        accepted=[["b"], ["", "b"]],
        refused=[Refused(["b'"], "TT1113", "[0]"), Refused([1], "TT1103", "[0]"), Refused("b", "TT1103")],
        around={"matchExpressions": [{"key": "a", "operator": "In"}]},
    ),
)


def label_selector_cases(path: str) -> tuple[FieldCase, ...]:
    """Cases of a label selector at that path."""
    long = [{"key": f"{each:03}" + "a" * 60, "operator": "Exists"} for each in range(250)]
    return (
        FieldCase(
            path,
            accepted=[{}, {"matchLabels": {"a": "b"}}],
            refused=[
                Refused([], "TT1103"),
                Refused({"a": "b"}, "TT1101", ".a"),
                Refused({"matchExpressions": long}, "TT1110"),
            ],
        ),
        *below(path, _SELECTOR),
    )
