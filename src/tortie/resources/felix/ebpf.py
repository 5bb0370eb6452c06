"""Parameters of the eBPF dataplane, without its maps. Source: reference config.md section 7."""

from tortie.resources.felix.lists import INTERFACE_FILTERS, NETS
from tortie.resources.felix.pairs import CONNTRACK_TIMEOUTS, LOG_FILTERS
from tortie.resources.felix.parameter import Parameter
from tortie.resources.felix.syntax import PORT_NUMBER, PORT_RANGE, REGEX, SECONDS, SWITCH, WHOLE, whole, word
from tortie.resources.values import enum, integer, optional_text

UPLINKS = r"^((en|wl|ww|sl|ib)[Popsx].*|(eth|wlan|wwan|bond).*)"

CONNECTION_TIMEOUTS = Parameter(
    "BPFConntrackTimeouts",
    CONNTRACK_TIMEOUTS,
    "CreationGracePeriod=10s,TCPSynSent=20s,TCPEstablished=1h,TCPFinsSeen=Auto,TCPResetSeen=40s,UDPTimeout=60s,"
    "GenericTimeout=10m,ICMPTimeout=5s",
    "How long a connection of each state may be idle before it is forgotten; Auto takes the kernel's own setting.",
    key="bpfConntrackTimeouts",
    is_used=True,
)

BPF_ENABLED = Parameter(
    "BPFEnabled",
    SWITCH,
    "false",
    "Use the eBPF dataplane. Where it is not set, tortie does so too, if the host can have it.",
    key="bpfEnabled",
    is_used=True,
)

PARAMETERS: tuple[Parameter[object], ...] = (
    BPF_ENABLED,
    Parameter(
        "BPFAttachType",
        word("Netkit", "TCX", "TC"),
        "Netkit",
        "How programs are attached to interfaces.",
        key="bpfAttachType",
        may_be_none=False,
    ),
    Parameter(
        "BPFCTLBLogFilter",
        word("all", field=optional_text),
        "",
        "With `all`, the connect-time load balancer is logged beside what the log filters name.",
        key="bpfCTLBLogFilter",
    ),
    Parameter(
        "BPFConnectTimeLoadBalancing",
        word("Disabled", "Enabled", "TCP"),
        "TCP",
        "Which sockets get their service's backend when they connect.",
        key="bpfConnectTimeLoadBalancing",
        may_be_none=False,
        stored="TCP",
    ),
    Parameter(
        "BPFConnectTimeLoadBalancingEnabled",
        SWITCH,
        "",
        "The older form of BPFConnectTimeLoadBalancing, which it sets.",
        key="bpfConnectTimeLoadBalancingEnabled",
    ),
    Parameter(
        "BPFConntrackCleanupMode",
        word("Auto", "BPFProgram", "Userspace"),
        "Auto",
        "Who removes idle connections: a program in the kernel, or the agent.",
        key="bpfConntrackMode",
    ),
    Parameter(
        "BPFConntrackLogLevel",
        word("Off", "Debug", may_be_empty=True),
        "Off",
        "How much the program that removes connections logs.",
        key="bpfConntrackLogLevel",
        may_be_none=False,
    ),
    CONNECTION_TIMEOUTS,
    Parameter("BPFDSROptoutCIDRs", NETS, "", "Clients that are never answered directly.", key="bpfDSROptoutCIDRs"),
    Parameter(
        "BPFDataIfacePattern", REGEX, UPLINKS, "Interfaces of the host that get programs.", key="bpfDataIfacePattern"
    ),
    Parameter(
        "BPFDisableGROForIfaces",
        REGEX,
        "",
        "Interfaces whose receive offload is switched off.",
        key="bpfDisableGROForIfaces",
    ),
    Parameter(
        "BPFDisableUnprivileged", SWITCH, "true", "Forbid eBPF to unprivileged users.", key="bpfDisableUnprivileged"
    ),
    Parameter(
        "BPFEnforceRPF",
        word("Disabled", "Strict", "Loose", ignore_case=True, may_be_empty=True),
        "Loose",
        "How strictly the source of what arrives is checked against the routes back.",
        key="bpfEnforceRPF",
        may_be_none=False,
    ),
    Parameter(
        "BPFExcludeCIDRsFromNAT",
        NETS,
        "",
        "Service addresses that are left to the host.",
        key="bpfExcludeCIDRsFromNAT",
    ),
    Parameter(
        "BPFExportBufferSizeMB",
        WHOLE,
        "1",
        "Size of the ring that events come by, in megabytes.",
        key="bpfExportBufferSizeMB",
        may_be_none=False,
    ),
    Parameter(
        "BPFExtToServiceConnmark",
        whole(field=integer(0, 2**32 - 1)),
        "0",
        "Connection mark of traffic from outside to a service on this host.",
        key="bpfExtToServiceConnmark",
    ),
    Parameter(
        "BPFExternalServiceMode",
        word("Tunnel", "DSR", ignore_case=True, may_be_empty=True),
        "Tunnel",
        "How answers of services return to clients outside: by the node they came by, or directly.",
        key="bpfExternalServiceMode",
        may_be_none=False,
    ),
    Parameter(
        "BPFForceTrackPacketsFromIfaces",
        INTERFACE_FILTERS,
        "docker+",
        "Interfaces whose packets the kernel goes on tracking.",
        key="bpfForceTrackPacketsFromIfaces",
    ),
    Parameter(
        "BPFHostConntrackBypass",
        SWITCH,
        "false",
        "Let traffic of workloads and services bypass the kernel's own tracking.",
        key="bpfHostConntrackBypass",
    ),
    Parameter(
        "BPFHostNetworkedNATWithoutCTLB",
        word("Disabled", "Enabled"),
        "Enabled",
        "Translate services for the host's own processes without the connect-time load balancer.",
        key="bpfHostNetworkedNATWithoutCTLB",
        may_be_none=False,
        stored="Enabled",
    ),
    Parameter(
        "BPFIPFragTimeout",
        SECONDS,
        "0",
        "How long fragments are kept; 0: as long as the kernel keeps them.",
        key="bpfIPFragTimeout",
    ),
    Parameter(
        "BPFIPFragmentReassemblyEnabled",
        SWITCH,
        "true",
        "Load the program that puts fragments together.",
        key="bpfIPFragmentReassemblyEnabled",
    ),
    Parameter(
        "BPFJITHardening",
        word("Auto", "Strict"),
        "Auto",
        "Whether the kernel's hardening of compiled programs may be lowered.",
        key="bpfJITHardening",
        may_be_none=False,
    ),
    Parameter(
        "BPFKubeProxyHealthzPort",
        whole(field=PORT_NUMBER.decode),
        "10256",
        "Port of the health check in place of kube-proxy's; 0: none.",
        key="bpfKubeProxyHealthzPort",
    ),
    Parameter(
        "BPFKubeProxyIptablesCleanupEnabled",
        SWITCH,
        "true",
        "Remove the chains that kube-proxy left.",
        key="bpfKubeProxyIptablesCleanupEnabled",
    ),
    Parameter(
        "BPFKubeProxyMinSyncPeriod",
        SECONDS,
        "1",
        "Shortest time between two updates of services.",
        key="bpfKubeProxyMinSyncPeriod",
    ),
    Parameter("BPFL3IfacePattern", REGEX, "", "More interfaces without Ethernet headers.", key="bpfL3IfacePattern"),
    Parameter(
        "BPFLogFilters",
        LOG_FILTERS,
        "",
        "By interface (or all, weps, heps), an expression for the packets that are logged.",
        key="bpfLogFilters",
    ),
    Parameter(
        "BPFLogLevel",
        word("Off", "Info", "Debug", ignore_case=True, may_be_empty=True),
        "Off",
        "How much the programs log.",
        key="bpfLogLevel",
        may_be_none=False,
    ),
    Parameter(
        "BPFOverlayHostSourceIP",
        word("HostAddress", "TunnelAddress"),
        "TunnelAddress",
        "Source of what the host itself sends into the overlay.",
        key="bpfOverlayHostSourceIP",
        may_be_none=False,
    ),
    Parameter(
        "BPFPSNATPorts",
        PORT_RANGE,
        "20000:29999",
        "Source ports that are taken where two connections would have the same.",
        key="bpfPSNATPorts",
    ),
    Parameter(
        "BPFPolicyDebugEnabled",
        SWITCH,
        "true",
        "Keep readable copies of policy programs.",
        key="bpfPolicyDebugEnabled",
    ),
    Parameter(
        "BPFProfiling",
        word("Disabled", "Enabled", may_be_empty=True),
        "Disabled",
        "Measure how long programs run.",
        key="bpfProfiling",
        may_be_none=False,
    ),
    Parameter(
        "BPFRedirectToPeer",
        word("Disabled", "Enabled", "L2Only", field=enum("Disabled", "Enabled", may_be_empty=True)),
        "Enabled",
        "Hand packets to a workload's end of the wire at once.",
        key="bpfRedirectToPeer",
        may_be_none=False,
    ),
)
