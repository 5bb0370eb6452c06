"""Cases of KubeControllersConfiguration."""

from dataclasses import replace

from field_cases import ABSENT, FieldCase, KindCases, Reads, Refused, Whole, put
from value_cases import BAD_NAMES, NUMBER, duration, items, mapping, number, selector, word

TEMPLATE = {"generateName": "t", "interfacePattern": "eth.*"}
SEVERITIES = ("None", "Debug", "Info", "Warning", "Error", "Fatal", "Panic")
DEFAULTS = {
    "logSeverityScreen": "Info",
    "healthChecks": "Enabled",
    "etcdV3CompactionPeriod": "10m",
    "prometheusMetricsPort": 9094,
}
PERIOD = {"reconcilerPeriod": "5m"}
NODE = {**PERIOD, "syncLabels": "Enabled", "leakGracePeriod": "15m"}


def controller(path: str) -> list[FieldCase]:
    return [mapping(path, Reads({}, PERIOD)), duration(f"{path}.reconcilerPeriod")]


def templates(at: str) -> list[FieldCase]:
    around = put({}, at, TEMPLATE)
    cases = [
        items(at.removesuffix("[]"), [TEMPLATE, {**TEMPLATE, "generateName": "u"}]),
        FieldCase(f"{at}.generateName", ["a", "a.b", "a" * 253], [*BAD_NAMES, Refused(None, "TT1102"), NUMBER]),
        FieldCase(
            f"{at}.interfaceCIDRs",
            [["10.0.0.0/8", "10.0.0.1", "fd00::1/64"], Reads([], ABSENT)],
            [Refused(["x"], "TT1106", "[0]"), Refused("10.0.0.0/8", "TT1103")],
        ),
        FieldCase(
            f"{at}.interfacePattern",
            ["eth.*", "^(a|b)$"],
            [Refused("(", "TT1116"), NUMBER, Refused("", "TT1337", at.replace("[]", "[0]"))],
        ),
        FieldCase(f"{at}.labels", [{"a": "b"}], [Refused({"a": "-"}, "TT1113", ".a"), NUMBER]),
        FieldCase(f"{at}.annotations", [{"a": "b c"}], [Refused({"a!": ""}, "TT1114", '["a!"]'), NUMBER]),
        selector(f"{at}.nodeSelector"),
    ]
    return [replace(case, around=around) if case.path.startswith(at) else case for case in cases]


def fields(top: str) -> list[FieldCase]:
    """Those of the specification, which the status repeats."""
    at = f"{top}.controllers"
    return [
        word(f"{top}.logSeverityScreen", *SEVERITIES, empty="Info"),
        word(f"{top}.healthChecks", "Enabled", "Disabled"),
        duration(f"{top}.etcdV3CompactionPeriod"),
        number(f"{top}.prometheusMetricsPort", 0, 65535),
        number(f"{top}.debugProfilePort", 0, 65535),
        mapping(at, {}, Reads({"policy": {}}, {"policy": PERIOD})),
        mapping(f"{at}.node", Reads({}, NODE), {**NODE, "hostEndpoint": {"autoCreate": "Enabled"}}),
        duration(f"{at}.node.reconcilerPeriod"),
        word(f"{at}.node.syncLabels", "Enabled", "Disabled"),
        duration(f"{at}.node.leakGracePeriod"),
        mapping(f"{at}.node.hostEndpoint", Reads({}, {"autoCreate": "Disabled"})),
        word(f"{at}.node.hostEndpoint.autoCreate", "Enabled", "Disabled"),
        word(f"{at}.node.hostEndpoint.createDefaultHostEndpoint", "Enabled", "Disabled"),
        *templates(f"{at}.node.hostEndpoint.templates[]"),
        *controller(f"{at}.policy"),
        *controller(f"{at}.workloadEndpoint"),
        *controller(f"{at}.serviceAccount"),
        *controller(f"{at}.namespace"),
        mapping(f"{at}.loadBalancer", Reads({}, {"assignIPs": "AllServices"})),
        word(f"{at}.loadBalancer.assignIPs", "AllServices", "RequestedServicesOnly"),
        mapping(f"{at}.migration", Reads({}, {"policyNameMigrator": "Enabled"})),
        word(f"{at}.migration.policyNameMigrator", "Enabled", "Disabled"),
    ]


TEMPLATES = "spec.controllers.node.hostEndpoint.templates"
CASES = KindCases(
    kind="KubeControllersConfiguration",
    name="default",
    defaults=DEFAULTS,
    fields=[
        *fields("spec"),
        mapping("status.runningConfig", {}),
        *fields("status.runningConfig"),
        FieldCase("status.environmentVars", [{"A_B": "c"}], [Refused({"A": 1}, "TT1103", ".A"), NUMBER]),
    ],
    refused=[
        Whole(put({}, TEMPLATES, [TEMPLATE, TEMPLATE])["spec"], "TT1111", f"{TEMPLATES}[1].generateName"),
        Whole(put({}, TEMPLATES, [{"generateName": "t"}])["spec"], "TT1337", f"{TEMPLATES}[0]"),
    ],
)
