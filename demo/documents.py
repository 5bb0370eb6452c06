"""The documents that the demonstration applies: the article's two, a denied source set, a lockdown, and wrong ones."""

NODE = "node2"
INTERFACE = "ens4"

ENDPOINT = """\
apiVersion: projectcalico.org/v3
kind: HostEndpoint
metadata:
  name: node2-ens4
  labels: {{hep: redis-host}}
spec:
  interfaceName: ens4
  node: node2
  expectedIPs: [{address}]
"""

REDIS = """\
apiVersion: projectcalico.org/v3
kind: GlobalNetworkPolicy
metadata: {name: redis-accelerator-policy}
spec:
  selector: has(hep) && hep == "redis-host"
  order: 9
  applyOnForward: true
  doNotTrack: true
  ingress:
  - {action: Allow, protocol: TCP, destination: {ports: [6379]}}
  egress:
  - {action: Allow, protocol: TCP, source: {ports: [6379]}}
"""

FLOOD_SOURCES = ("198.51.100.0/24", "2001:db8:bad::/112")
DENIED_POLICY = "deny-listed"

DENY = """\
# Drop whatever comes from listed networks in the driver, before anything else looks at it.
apiVersion: projectcalico.org/v3
kind: GlobalNetworkSet
metadata:
  name: listed
  labels: {{list: deny}}
spec:
  nets: [{nets}]
---
apiVersion: projectcalico.org/v3
kind: GlobalNetworkPolicy
metadata: {{name: deny-listed}}
spec:
  selector: hep == "redis-host"
  order: 1
  applyOnForward: true
  doNotTrack: true
  types: [Ingress]
  ingress:
  - {{action: Deny, source: {{selector: list == "deny"}}}}
"""


LOCKDOWN_POLICY = "redis-lockdown"
LOCKDOWN = """\
apiVersion: projectcalico.org/v3
kind: GlobalNetworkPolicy
metadata: {name: redis-lockdown}
spec:
  selector: hep == "redis-host"
  types: [Ingress, Egress]
  ingress:
  - {action: Allow, protocol: TCP, source: {nets: [10.99.0.0/26]}, destination: {ports: [6379]}}
  - {action: Allow, protocol: TCP, source: {nets: ["fd99::/122"]}, destination: {ports: [6379]}}
  - {action: Allow, protocol: ICMPv6, icmp: {type: 128}}
  egress:
  - {action: Allow, protocol: TCP, destination: {ports: [443]}}
"""

WEB_HALF = """\
apiVersion: projectcalico.org/v3
kind: GlobalNetworkPolicy
metadata: {name: web-untracked}
spec:
  selector: hep == "redis-host"
  order: 10
  applyOnForward: true
  doNotTrack: true
  ingress:
  - {action: Allow, protocol: TCP, destination: {ports: [8080]}}
"""
"""Without connection tracking nothing knows that the server's answers belong to what was let in."""

WEB_RETURN = """\
  egress:
  - {action: Allow, protocol: TCP, source: {ports: [8080]}}
"""


def redis_documents(address: str) -> str:
    """The article's host endpoint and policy, for a host of that address."""
    return f"{ENDPOINT.format(address=address)}---\n{REDIS}"


def lockdown_documents(address: str) -> str:
    """The same host endpoint with tracked policy: what is not allowed is denied, in both directions."""
    return f"{ENDPOINT.format(address=address)}---\n{LOCKDOWN}"


def deny_documents(*nets: str) -> str:
    """A network set, and a policy in front of the article's that denies it."""
    return DENY.format(nets=", ".join(f'"{net}"' for net in nets))


def misprinted_documents(address: str) -> str:
    """The article as it was printed: `piVersion` in the policy."""
    endpoint, policy = redis_documents(address).split("---\n")
    return f"{endpoint}---\n{policy.removeprefix('a')}"
