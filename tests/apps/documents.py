"""Documents that the tests of the apps apply."""

import json

ENDPOINT = """\
apiVersion: projectcalico.org/v3
kind: HostEndpoint
metadata: {name: node2-eth0, labels: {hep: redis-host}}
spec: {interfaceName: eth0, node: node2, expectedIPs: [10.0.0.5]}
"""

POLICY = """\
apiVersion: projectcalico.org/v3
kind: GlobalNetworkPolicy
metadata: {name: redis}
spec:
  selector: hep == "redis-host"
  order: 9
  applyOnForward: true
  doNotTrack: true
  ingress:
  - {action: Allow, protocol: TCP, destination: {ports: [6379]}}
  egress:
  - {action: Allow, protocol: TCP, source: {ports: [6379]}}
"""

NORMAL = """\
apiVersion: projectcalico.org/v3
kind: GlobalNetworkPolicy
metadata: {name: ssh-only}
spec:
  selector: all()
  ingress: [{action: Allow, protocol: TCP, destination: {ports: [22]}}]
"""

REFUSED = """\
apiVersion: projectcalico.org/v3
kind: GlobalNetworkPolicy
metadata: {name: by-method}
spec:
  selector: all()
  ingress: [{action: Allow, protocol: TCP, http: {methods: [GET]}}]
"""
"""A policy that no packet dataplane enforces."""

KUBERNETES = """\
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {name: web, namespace: shop}
spec: {podSelector: {}, ingress: [{from: [{namespaceSelector: {}}]}]}
---
apiVersion: policy.networking.k8s.io/v1alpha2
kind: ClusterNetworkPolicy
metadata: {name: guard}
spec:
  tier: Admin
  priority: 1
  subject: {namespaces: {}}
  egress: [{action: Deny, to: [{nodes: {}}]}]
"""
"""Kubernetes' own policies; the second one has a rule that cannot be enforced as it is written."""

PAIR = f"{ENDPOINT}---\n{POLICY}"


def network_set(name: str, *nets: str) -> str:
    """A GlobalNetworkSet document."""
    return json.dumps(
        {
            "apiVersion": "projectcalico.org/v3",
            "kind": "GlobalNetworkSet",
            "metadata": {"name": name, "labels": {"set": name}},
            "spec": {"nets": list(nets)},
        }
    )


def tier(name: str, order: int = 50) -> str:
    """A Tier document."""
    return json.dumps(
        {
            "apiVersion": "projectcalico.org/v3",
            "kind": "Tier",
            "metadata": {"name": name},
            "spec": {"order": order},
        }
    )


def policy_in(tier_name: str, name: str = "p1") -> str:
    """A GlobalNetworkPolicy document in that tier."""
    return json.dumps(
        {
            "apiVersion": "projectcalico.org/v3",
            "kind": "GlobalNetworkPolicy",
            "metadata": {"name": name},
            "spec": {"tier": tier_name, "selector": "all()", "doNotTrack": True, "applyOnForward": True},
        }
    )


def staged(kind: str, tier_name: str = "default", name: str = "later") -> str:
    """A document of a staged kind that would deny everything."""
    namespace = {} if kind == "StagedGlobalNetworkPolicy" else {"namespace": "shop"}
    where = {} if kind == "StagedKubernetesNetworkPolicy" else {"tier": tier_name, "ingress": [{"action": "Deny"}]}
    return json.dumps(
        {
            "apiVersion": "projectcalico.org/v3",
            "kind": kind,
            "metadata": {"name": name, **namespace},
            "spec": where,
        }
    )
