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
    "FelixConfiguration": Names(
        "felixconfigurations",
        ("felixconfiguration", "felixconfig", "felixconfigs"),
        "projectcalico.org/v3",
        "FelixConfiguration",
    ),
    "GlobalNetworkPolicy": Names(
        "globalnetworkpolicies",
        ("globalnetworkpolicy", "gnp", "gnps", "cgnp"),
        "projectcalico.org/v3",
        "GlobalNetworkPolicy",
    ),
    "GlobalNetworkSet": Names(
        "globalnetworksets",
        ("globalnetworkset", "gns", "gnetsets"),
        "projectcalico.org/v3",
        "GlobalNetworkSet",
    ),
    "HostEndpoint": Names(
        "hostendpoints",
        ("hostendpoint", "hep", "heps"),
        "projectcalico.org/v3",
        "HostEndpoint",
    ),
    "Profile": Names(
        "profiles",
        ("profile", "pro", "pros"),
        "projectcalico.org/v3",
        "Profile",
    ),
    "Tier": Names(
        "tiers",
        ("tier",),
        "projectcalico.org/v3",
        "Tier",
    ),
}
