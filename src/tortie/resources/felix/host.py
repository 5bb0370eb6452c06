"""Parameters of host protection and of the dataplane in general. Source: reference config.md sections 4 and 6."""

from tortie.model.xdp import ANNOTATION, XdpUse
from tortie.resources.felix.lists import FAILSAFES, INTERFACES, IPV4_NETS, PREFIXES
from tortie.resources.felix.parameter import Parameter
from tortie.resources.felix.syntax import IPV4, PATH, PORT_RANGE, SECONDS, SIGNED_SECONDS, SWITCH, word

_COMMON = "tcp:179,tcp:2379,tcp:2380,tcp:5473,tcp:6443,tcp:6666,tcp:6667"

FAILSAFE_INBOUND = Parameter(
    "FailsafeInboundHostPorts",
    FAILSAFES,
    f"tcp:22,udp:68,{_COMMON}",
    "Ports of this host that stay open whatever policy says; an empty list closes them all.",
    is_fatal=True,
    is_used=True,
)
FAILSAFE_OUTBOUND = Parameter(
    "FailsafeOutboundHostPorts",
    FAILSAFES,
    f"udp:53,udp:67,{_COMMON}",
    "Ports of others that this host may always reach; an empty list closes them all.",
    is_fatal=True,
    is_used=True,
)
INTERFACE_PREFIX = Parameter(
    "InterfacePrefix",
    PREFIXES,
    "cali",
    "Beginnings of the names of workloads' interfaces; every other interface is the host's.",
    is_fatal=True,
    may_be_none=False,
    is_used=True,
)
INTERFACE_EXCLUDE = Parameter(
    "InterfaceExclude",
    INTERFACES,
    "kube-ipvs0",
    "Interfaces that are never a host endpoint: names, and expressions between slashes.",
    is_used=True,
)
DISABLE_INVALID_CHECK = Parameter(
    "DisableConntrackInvalidCheck",
    SWITCH,
    "false",
    "Leave packets that belong to no connection and open none to policy, instead of dropping them.",
    is_used=True,
)
XDP_ENABLED = Parameter(
    "XDPEnabled",
    SWITCH,
    "true",
    "Judge arriving packets in XDP where the interface takes a native program.",
    key="xdpEnabled",
    is_used=True,
)
XDP_MODE = Parameter(
    "XDPMode",
    word(*(use.value for use in XdpUse)),
    "",
    "When arriving packets are judged in XDP: where it is worth it, while untracked policy applies, always or never. "
    "Stronger than XDPEnabled.",
    has_field=False,
    annotation=ANNOTATION,
    may_be_none=False,
    is_used=True,
)
GENERIC_XDP = Parameter(
    "GenericXDPEnabled",
    SWITCH,
    "false",
    "Take generic XDP where an interface is always to have XDP and has no native one.",
    key="genericXDPEnabled",
    is_used=True,
)

TO_HOST = Parameter(
    "DefaultEndpointToHostAction",
    word("Drop", "Accept", "Return", ignore_case=True, may_be_empty=True),
    "Drop",
    "What becomes of packets from a workload to its host once its policy has allowed them.",
    is_fatal=True,
    may_be_none=False,
)

INSERT_MODE = Parameter(
    "ChainInsertMode",
    word("Insert", "Append", ignore_case=True, may_be_empty=True),
    "Insert",
    "Whether own rules come before those of others in the kernel's chains, or behind them; with iptables.",
    is_fatal=True,
    may_be_none=False,
    is_used=True,
)

PARAMETERS: tuple[Parameter[object], ...] = (
    INTERFACE_PREFIX,
    INTERFACE_EXCLUDE,
    Parameter("InterfaceRefreshInterval", SECONDS, "90", "How often interfaces are looked for again; 0: never."),
    FAILSAFE_INBOUND,
    FAILSAFE_OUTBOUND,
    TO_HOST,
    INSERT_MODE,
    DISABLE_INVALID_CHECK,
    Parameter("Ipv6Support", SWITCH, "true", "Program IPv6."),
    Parameter(
        "IPForwarding",
        word("Disabled", "Enabled", may_be_empty=True),
        "Enabled",
        "Switch the kernel's forwarding on.",
        key="ipForwarding",
    ),
    Parameter(
        "WorkloadSourceSpoofing",
        word("Any", "Disabled", may_be_empty=True),
        "Disabled",
        "Whether workloads may send from the prefixes that their annotations name.",
    ),
    Parameter("AllowVXLANPacketsFromWorkloads", SWITCH, "false", "Let workloads send VXLAN packets of their own."),
    Parameter("AllowIPIPPacketsFromWorkloads", SWITCH, "false", "Let workloads send IP-in-IP packets of their own."),
    Parameter(
        "ServiceLoopPrevention",
        word("Disabled", "Drop", "Reject", may_be_empty=True),
        "Drop",
        "What becomes of packets to advertised service addresses that no service uses.",
    ),
    Parameter(
        "FloatingIPs",
        word("Disabled", "Enabled"),
        "Disabled",
        "Program the floating addresses that pods' annotations name.",
        stored="Disabled",
    ),
    Parameter("NATOutgoingAddress", IPV4, "", "Address to translate outgoing packets to.", key="natOutgoingAddress"),
    Parameter(
        "NATOutgoingExclusions",
        word("IPPoolsAndHostIPs", "IPPoolsOnly"),
        "IPPoolsOnly",
        "Destinations to which outgoing packets keep their source.",
        key="natOutgoingExclusions",
    ),
    Parameter("NATPortRange", PORT_RANGE, "", "Source ports of translated packets.", key="natPortRange"),
    Parameter(
        "ExternalNodesCIDRList",
        IPV4_NETS,
        "",
        "Hosts outside the cluster that may send tunnel packets to this one.",
        key="externalNodesList",
        is_fatal=True,
    ),
    Parameter("EndpointStatusPathPrefix", PATH, "/var/run/calico", "Folder for files that tell endpoints' state."),
    Parameter("PolicySyncPathPrefix", PATH, "", "Folder for the sockets that hand policy to proxies."),
    Parameter(
        "LocalSubnetL2Reachability",
        word("Disabled", "PodsAndLoadBalancers"),
        "Disabled",
        "Answer ARP and NDP for addresses of pods and load balancers within the host's own subnet.",
    ),
    Parameter(
        "LocalSubnetL2ReachabilityRefreshInterval",
        SIGNED_SECONDS,
        "120",
        "How often such addresses are announced again; 0: never.",
    ),
    XDP_ENABLED,
    XDP_MODE,
    GENERIC_XDP,
    Parameter(
        "XDPRefreshInterval", SECONDS, "90", "How often XDP programs are checked; 0: never.", key="xdpRefreshInterval"
    ),
)
