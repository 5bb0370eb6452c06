"""The names of every kind, so that a word finds its kind without loading the others.

Written by tests/resources/kind_index.py from the folder `kinds`; a test holds the two equal.
"""

from typing import NamedTuple


class Names(NamedTuple):
    """What a kind is called, and by what its documents name it."""

    plural: str
    aliases: tuple[str, ...]
    api_version: str
    word: str


INDEX: dict[str, Names] = {
    "BGPConfiguration": Names(
        "bgpconfigurations",
        (
            "bgpconfiguration",
            "bgpconfig",
            "bgpconfigs",
        ),
        "projectcalico.org/v3",
        "BGPConfiguration",
    ),
    "BGPFilter": Names(
        "bgpfilters",
        (
            "bgpfilter",
            "bgpf",
            "bgpfs",
            "bf",
            "bfs",
        ),
        "projectcalico.org/v3",
        "BGPFilter",
    ),
    "BGPPeer": Names(
        "bgppeers",
        (
            "bgppeer",
            "bgpp",
            "bgpps",
            "bp",
            "bps",
        ),
        "projectcalico.org/v3",
        "BGPPeer",
    ),
    "BlockAffinity": Names(
        "blockaffinities",
        (
            "blockaffinity",
            "affinity",
            "affinities",
        ),
        "projectcalico.org/v3",
        "BlockAffinity",
    ),
    "CalicoNodeStatus": Names(
        "caliconodestatuses",
        (
            "caliconodestatus",
            "nodestatus",
            "nodestatuses",
        ),
        "projectcalico.org/v3",
        "CalicoNodeStatus",
    ),
    "ClusterInformation": Names(
        "clusterinformations",
        (
            "clusterinformation",
            "clusterinfo",
            "clusterinfos",
        ),
        "projectcalico.org/v3",
        "ClusterInformation",
    ),
    "EndpointSlice": Names(
        "endpointslices",
        ("endpointslice",),
        "discovery.k8s.io/v1",
        "EndpointSlice",
    ),
    "FelixConfiguration": Names(
        "felixconfigurations",
        (
            "felixconfiguration",
            "felixconfig",
            "felixconfigs",
        ),
        "projectcalico.org/v3",
        "FelixConfiguration",
    ),
    "GlobalNetworkPolicy": Names(
        "globalnetworkpolicies",
        (
            "globalnetworkpolicy",
            "gnp",
            "gnps",
            "cgnp",
        ),
        "projectcalico.org/v3",
        "GlobalNetworkPolicy",
    ),
    "GlobalNetworkSet": Names(
        "globalnetworksets",
        (
            "globalnetworkset",
            "gns",
            "gnetsets",
        ),
        "projectcalico.org/v3",
        "GlobalNetworkSet",
    ),
    "HostEndpoint": Names(
        "hostendpoints",
        (
            "hostendpoint",
            "hep",
            "heps",
        ),
        "projectcalico.org/v3",
        "HostEndpoint",
    ),
    "IPAMConfiguration": Names(
        "ipamconfigurations",
        (
            "ipamconfiguration",
            "ipamconfig",
            "ipamconfigs",
        ),
        "projectcalico.org/v3",
        "IPAMConfiguration",
    ),
    "IPPool": Names(
        "ippools",
        (
            "ippool",
            "ipp",
            "ipps",
            "pool",
            "pools",
        ),
        "projectcalico.org/v3",
        "IPPool",
    ),
    "IPReservation": Names(
        "ipreservations",
        (
            "ipreservation",
            "reservation",
            "reservations",
        ),
        "projectcalico.org/v3",
        "IPReservation",
    ),
    "KubeControllersConfiguration": Names(
        "kubecontrollersconfigurations",
        (
            "kubecontrollersconfiguration",
            "kubecontrollersconfig",
            "kubecontrollersconfigs",
            "kcc",
            "kccs",
        ),
        "projectcalico.org/v3",
        "KubeControllersConfiguration",
    ),
    "KubernetesClusterNetworkPolicy": Names(
        "kubernetesclusternetworkpolicies",
        (
            "kubernetesclusternetworkpolicy",
            "kcnp",
            "clusternetworkpolicy",
            "clusternetworkpolicies",
            "clusternetworkpolicies.policy.networking.k8s.io",
        ),
        "policy.networking.k8s.io/v1alpha2",
        "ClusterNetworkPolicy",
    ),
    "KubernetesNetworkPolicy": Names(
        "kubernetesnetworkpolicies",
        (
            "kubernetesnetworkpolicy",
            "knp",
            "netpol",
            "networkpolicies.networking.k8s.io",
        ),
        "networking.k8s.io/v1",
        "NetworkPolicy",
    ),
    "KubernetesNode": Names(
        "kubernetesnodes",
        ("kubernetesnode",),
        "v1",
        "Node",
    ),
    "Namespace": Names(
        "namespaces",
        (
            "namespace",
            "ns",
        ),
        "v1",
        "Namespace",
    ),
    "NetworkPolicy": Names(
        "networkpolicies",
        (
            "networkpolicy",
            "policy",
            "policies",
            "np",
            "pol",
            "pols",
            "cnp",
            "caliconetworkpolicy",
        ),
        "projectcalico.org/v3",
        "NetworkPolicy",
    ),
    "NetworkSet": Names(
        "networksets",
        (
            "networkset",
            "netset",
            "netsets",
        ),
        "projectcalico.org/v3",
        "NetworkSet",
    ),
    "Node": Names(
        "nodes",
        (
            "node",
            "no",
            "nos",
        ),
        "projectcalico.org/v3",
        "Node",
    ),
    "Pod": Names(
        "pods",
        (
            "pod",
            "po",
        ),
        "v1",
        "Pod",
    ),
    "Profile": Names(
        "profiles",
        (
            "profile",
            "pro",
            "pros",
        ),
        "projectcalico.org/v3",
        "Profile",
    ),
    "Service": Names(
        "services",
        (
            "service",
            "svc",
        ),
        "v1",
        "Service",
    ),
    "ServiceAccount": Names(
        "serviceaccounts",
        (
            "serviceaccount",
            "sa",
        ),
        "v1",
        "ServiceAccount",
    ),
    "StagedGlobalNetworkPolicy": Names(
        "stagedglobalnetworkpolicies",
        (
            "stagedglobalnetworkpolicy",
            "sgnp",
            "sgnps",
        ),
        "projectcalico.org/v3",
        "StagedGlobalNetworkPolicy",
    ),
    "StagedKubernetesNetworkPolicy": Names(
        "stagedkubernetesnetworkpolicies",
        (
            "stagedkubernetesnetworkpolicy",
            "stagedkubernetespolicy",
            "stagedkubernetespolicies",
            "sknp",
            "skpol",
            "skpols",
        ),
        "projectcalico.org/v3",
        "StagedKubernetesNetworkPolicy",
    ),
    "StagedNetworkPolicy": Names(
        "stagednetworkpolicies",
        (
            "stagednetworkpolicy",
            "stagedpolicy",
            "stagedpolicies",
            "snp",
            "scnp",
            "spol",
            "spols",
        ),
        "projectcalico.org/v3",
        "StagedNetworkPolicy",
    ),
    "Tier": Names(
        "tiers",
        ("tier",),
        "projectcalico.org/v3",
        "Tier",
    ),
    "WorkloadEndpoint": Names(
        "workloadendpoints",
        (
            "workloadendpoint",
            "wep",
            "weps",
        ),
        "projectcalico.org/v3",
        "WorkloadEndpoint",
    ),
}
