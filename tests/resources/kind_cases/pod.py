"""Cases of Pod."""

from field_cases import FieldCase, KindCases
from kubernetes_cases import PROTOCOL, host_address, optional_port_name, with_default
from value_cases import anything, flag, items, name, number, word

PORT = {"containerPort": 80, "protocol": "TCP"}


def containers(key: str) -> list[FieldCase]:
    around = {"spec": {key: [{"ports": [PORT]}]}}
    at = f"spec.{key}[].ports[]"
    return [
        items(f"spec.{key}", [{"name": "a"}]),
        anything(f"spec.{key}[].name"),
        items(f"spec.{key}[].ports", [PORT], *with_default(PORT, {"containerPort": 80})),
        optional_port_name(f"{at}.name", around),
        number(f"{at}.containerPort", 1, 65535),
        word(f"{at}.protocol", *PROTOCOL, around=around),
        number(f"{at}.hostPort", 0, 65535, around=around),
        host_address(f"{at}.hostIP", around),
    ]


CASES = KindCases(
    kind="Pod",
    defaults={},
    fields=[
        name("spec.nodeName"),
        flag("spec.hostNetwork"),
        name("spec.serviceAccountName"),
        *containers("containers"),
        *containers("initContainers"),
        word("status.phase", "Pending", "Running", "Succeeded", "Failed", "Unknown"),
        host_address("status.podIP"),
        items("status.podIPs", [{"ip": "10.0.0.1"}, {"ip": "fd00::1"}]),
        host_address("status.podIPs[].ip"),
    ],
)
