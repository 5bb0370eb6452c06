"""Cases of IPPool."""

from field_cases import ABSENT, FieldCase, KindCases, Reads, Refused, Spec, Whole, below
from shared_cases import CONDITION
from value_cases import BAD_SELECTORS, GLOBAL, NUMBER, conditions, flag, word

BASE = {"cidr": "10.0.0.0/16"}
DEFAULTS = {
    "ipipMode": "Never",
    "vxlanMode": "Never",
    "nodeSelector": "all()",
    "allowedUses": ["Workload", "Tunnel"],
    "assignmentMode": "Automatic",
}
USES: Spec = {"spec": {"allowedUses": ["Workload"]}}
BALANCER = {**BASE, "allowedUses": ["LoadBalancer"]}

CASES = KindCases(
    kind="IPPool",
    base=BASE,
    defaults={**BASE, **DEFAULTS, "blockSize": 26},
    fields=[
        FieldCase(
            "spec.cidr",
            [
                *("10.0.0.0/26", "10.0.0.0/10", "fd00::/122", "fd00::/8"),
                Reads("FD00:0::/122", "fd00::/122"),
            ],
            [
                *(Refused(each, "TT1332") for each in ("10.0.0.0/27", "fd00::/128", "169.254.1.0/24", "fe80::/120")),
                *(Refused(each, "TT1332") for each in ("169.0.0.0/8", "0.0.0.0/0", "::/0")),
                *(Refused(each, "TT1106") for each in ("1.2.3.4/33", "1.2.3.4", "10.0.0.1/16", "x", "")),
                Refused("::ffff:10.0.0.0/120", "TT1106"),
                Refused(None, "TT1102"),
                NUMBER,
            ],
        ),
        word("spec.ipipMode", "Never", "Always", "CrossSubnet", empty="Never"),
        word("spec.vxlanMode", "Never", "Always", "CrossSubnet", empty="Never"),
        flag("spec.natOutgoing"),
        flag("spec.disabled"),
        flag("spec.disableBGPExport"),
        FieldCase(
            "spec.blockSize",
            [20, 26, 32, Reads(0, 26), Reads(28.0, 28)],
            [*(Refused(each, "TT1105") for each in (19, 33, 122, -1, 129)), Refused("26", "TT1103")],
        ),
        FieldCase("spec.nodeSelector", ["all()", "a == 'b'", Reads("", "all()")], [*BAD_SELECTORS, GLOBAL]),
        FieldCase("spec.namespaceSelector", ["a == 'b'", Reads("", ABSENT)], [*BAD_SELECTORS, GLOBAL], USES),
        FieldCase(
            "spec.allowedUses",
            [["Workload"], ["Tunnel"], ["LoadBalancer"], ["Tunnel", "Workload"], Reads([], ["Workload", "Tunnel"])],
            [
                Refused(["Workload", "Workload"], "TT1111", "[1]"),
                Refused(["workload"], "TT1104", "[0]"),
                Refused(["LoadBalancer", "Workload"], "TT1332"),
                Refused(["LoadBalancer", "Tunnel"], "TT1332"),
                Refused("Workload", "TT1103"),
            ],
        ),
        word("spec.assignmentMode", "Automatic", "Manual"),
        conditions(),
        *below("status.conditions[]", CONDITION, {"type": "Allocatable", "status": "True"}),
    ],
    refused=[
        Whole({**BASE, "ipipMode": "Always", "vxlanMode": "CrossSubnet"}, "TT1332", "spec.vxlanMode"),
        Whole({"cidr": "fd00::/64", "ipipMode": "Always"}, "TT1332", "spec.ipipMode"),
        Whole({**BASE, "ipipMode": "never"}, "TT1104", "spec.ipipMode"),
        Whole({"cidr": "fd00::/64", "blockSize": 26}, "TT1105", "spec.blockSize"),
        Whole({**BASE, "namespaceSelector": "all()"}, "TT1332", "spec.namespaceSelector"),
        Whole({**BALANCER, "ipipMode": "Always"}, "TT1332", "spec.ipipMode"),
        Whole({**BALANCER, "vxlanMode": "Always"}, "TT1332", "spec.vxlanMode"),
        Whole({**BALANCER, "disableBGPExport": True}, "TT1332", "spec.disableBGPExport"),
        Whole({**BALANCER, "nodeSelector": "a == 'b'"}, "TT1332", "spec.nodeSelector"),
    ],
)
