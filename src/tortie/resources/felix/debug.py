"""Parameters for debugging, and those that only other components set. Source: reference config.md section 8."""

from tortie.resources.felix.parameter import Parameter
from tortie.resources.felix.syntax import PATH, PORT_NUMBER, SECONDS, SWITCH, TEXT

_DEBUG: tuple[Parameter[object], ...] = (
    Parameter("DebugBPFCgroupV2", TEXT, "", "Control group of tests.", is_local=True),
    Parameter(
        "DebugCPUProfilePath",
        PATH,
        "/tmp/felix-cpu-<timestamp>.pprof",
        "Where a profile of the processor's use is written.",
        has_field=False,
    ),
    Parameter("DebugDisableLogDropping", SWITCH, "false", "Wait for a slow log rather than lose lines of it."),
    Parameter("DebugHost", TEXT, "localhost", "Address on which profiles are served."),
    Parameter("DebugMemoryProfilePath", PATH, "", "Where a profile of the memory's use is written."),
    Parameter("DebugPanicAfter", SECONDS, "0", "Make the agent crash after this time, in tests.", has_field=False),
    Parameter("DebugPort", PORT_NUMBER, "", "Port on which profiles are served; 0: none."),
    Parameter("DebugSimulateCalcGraphHangAfter", SECONDS, "0", "Make the calculation hang after this time, in tests."),
    Parameter("DebugSimulateDataRace", SWITCH, "false", "Make a data race, in tests.", has_field=False),
    Parameter("DebugSimulateDataplaneApplyDelay", SECONDS, "0", "Make the dataplane slow, in tests."),
    Parameter("DebugSimulateDataplaneHangAfter", SECONDS, "0", "Make the dataplane hang after this time, in tests."),
)
_SET_BY_OTHERS: tuple[Parameter[object], ...] = tuple(
    Parameter(name, TEXT, default, doc, has_field=False)
    for name, default, doc in (
        ("ClusterGUID", "baddecaf", "Identifier of the cluster, from ClusterInformation."),
        ("ClusterType", "", "What the cluster is made of, from ClusterInformation."),
        ("CalicoVersion", "", "Version of the cluster, from ClusterInformation."),
        ("Variant", "Calico", "Edition of the cluster, from ClusterInformation."),
        ("IPv4VXLANTunnelAddr", "", "This node's IPv4 address in the VXLAN overlay, from its Node."),
        ("IPv6VXLANTunnelAddr", "", "This node's IPv6 address in the VXLAN overlay, from its Node."),
        ("VXLANTunnelMACAddr", "", "Hardware address of the IPv4 VXLAN tunnel, from the Node."),
        ("VXLANTunnelMACAddrV6", "", "Hardware address of the IPv6 VXLAN tunnel, from the Node."),
        ("IpInIpTunnelAddr", "", "This node's address in the IP-in-IP overlay, from its Node."),
    )
)

PARAMETERS = (*_DEBUG, *_SET_BY_OTHERS)
