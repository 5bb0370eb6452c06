"""Every field of a FelixConfiguration with the light check it gets.

tortie acts on few of them (see the kind); the others are checked and stored, so that a document exported elsewhere
applies, while an unknown name is still refused.
Source: reference config.md sections 2, 4 to 8 and 10.
"""

import re

from tortie.resources.fields import Field, Fields, Json, Missing, decoder, list_of, map_of, object_of
from tortie.resources.nodes import Node, Scalar
from tortie.resources.problems import Problems
from tortie.resources.values import (
    INT_OR_STRING,
    boolean,
    duration,
    enum,
    integer,
    net,
    optional_text,
    pattern,
    port,
    regex,
    selector,
    text,
    timeout,
)

_failsafes = list_of(
    object_of(
        {
            "protocol": Field(enum("TCP", "UDP", "SCTP"), is_required=True),
            "port": Field(integer(0, 65535), is_required=True),
            "net": Field(net(strict=False, may_be_address=True)),
        }
    ),
    is_empty_kept=True,  # an empty list closes every failsafe port; an absent one leaves the defaults
)


def _fields(words: str, field: Field) -> Fields:
    return dict.fromkeys(words.split(), field)


def _word(*values: str, ignore_case: bool = False, may_be_empty: bool = False) -> Field:
    return Field(enum(*values, ignore_case=ignore_case, may_be_empty=may_be_empty))


_DSCP = "DF EF AF11 AF12 AF13 AF21 AF22 AF23 AF31 AF32 AF33 AF41 AF42 AF43 CS0 CS1 CS2 CS3 CS4 CS5 CS6"
_LOOSE = {"ignore_case": True, "may_be_empty": True}
_RANGE = Field(
    object_of(
        {"min": Field(integer(1, 2**32 - 1), is_required=True), "max": Field(integer(1, 2**32 - 1), is_required=True)}
    )
)
_INTERFACE_FILTER = r"[a-zA-Z0-9:._+-]{1,15}\Z"


def _matching(form: str, expected: str) -> Field:
    return Field(pattern("TT1116", re.compile(form), expected, may_be_empty=True))


@decoder(**INT_OR_STRING)
def _dscp(node: Node, path: str, problems: Problems) -> Json | Missing:
    if isinstance(node, Scalar) and isinstance(node.value, str):
        return enum(*_DSCP.split(), ignore_case=True)(node, path, problems)
    return integer(0, 63)(node, path, problems)


FELIX_FIELDS: Fields = {
    "nodeSelector": Field(selector()),
    "failsafeInboundHostPorts": Field(_failsafes),
    "failsafeOutboundHostPorts": Field(_failsafes),
    **_fields(
        "interfacePrefix interfaceExclude logActionRateLimit healthHost metadataAddr debugHost "
        "endpointStatusPathPrefix policySyncPathPrefix logFilePath dataplaneDriver debugMemoryProfilePath "
        "prometheusMetricsCAFile prometheusMetricsCertFile prometheusMetricsKeyFile flowLogsGoldmaneServer "
        "cgroupV2Path bpfCTLBLogFilter featureDetectOverride featureGates",
        Field(optional_text),
    ),
    **_fields(
        "disableConntrackInvalidCheck ipv6Support allowVXLANPacketsFromWorkloads "
        "allowIPIPPacketsFromWorkloads xdpEnabled genericXDPEnabled bpfConnectTimeLoadBalancingEnabled "
        "bpfDisableUnprivileged bpfEnabled bpfHostConntrackBypass bpfIPFragmentReassemblyEnabled "
        "bpfKubeProxyIptablesCleanupEnabled bpfPolicyDebugEnabled routeSyncDisabled removeExternalRoutes "
        "requireMTUFile vxlanEnabled ipipEnabled wireguardEnabled wireguardEnabledV6 "
        "wireguardHostEncryptionEnabled wireguardThreadingEnabled healthEnabled prometheusGoMetricsEnabled "
        "prometheusMetricsEnabled prometheusProcessMetricsEnabled prometheusWireGuardMetricsEnabled "
        "usageReportingEnabled flowLogsCollectorDebugTrace useInternalDataplaneDriver "
        "sidecarAccelerationEnabled endpointReportingEnabled debugDisableLogDropping",
        Field(boolean),
    ),
    **_fields(
        "interfaceRefreshInterval ipsetsRefreshInterval iptablesPostWriteCheckInterval "
        "iptablesRefreshInterval iptablesLockProbeInterval xdpRefreshInterval bpfIPFragTimeout "
        "bpfKubeProxyMinSyncPeriod routeRefreshInterval liveMigrationRouteConvergenceTime netlinkTimeout "
        "wireguardKeepAlive reportingInterval reportingTTL usageReportingInitialDelay usageReportingInterval "
        "flowLogsFlushInterval endpointReportingDelay debugSimulateCalcGraphHangAfter "
        "debugSimulateDataplaneApplyDelay debugSimulateDataplaneHangAfter",
        Field(duration()),
    ),
    **_fields(
        "dataplaneWatchdogTimeout localSubnetL2ReachabilityRefreshInterval nftablesRefreshInterval",
        Field(duration(may_be_negative=True)),
    ),
    **_fields(
        "maxIpsetSize bpfExportBufferSizeMB bpfMapSizeConntrack bpfMapSizeIPSets bpfMapSizeIfState "
        "bpfMapSizeNATAffinity bpfMapSizeNATBackend bpfMapSizeNATFrontend bpfMapSizePerCpuConntrack "
        "bpfMapSizeRoute deviceRouteProtocol vxlanMTU vxlanMTUV6 vxlanPort vxlanVNI ipipMTU wireguardMTU "
        "wireguardMTUV6",
        Field(integer()),
    ),
    **_fields("bpfMapSizeConntrackCleanupQueue", Field(integer(1))),
    **_fields("bpfExtToServiceConnmark iptablesMarkMask nftablesMarkMask", Field(integer(0, 2**32 - 1))),
    **_fields("wireguardListeningPort wireguardListeningPortV6", Field(integer(1, 65535))),
    **_fields("wireguardRoutingRulePriority", Field(integer(1, 32765))),
    **_fields("bpfMaglevMaxEndpointsPerService bpfMaglevMaxServices", Field(integer(1, 3000))),
    **_fields(
        "ipv4NormalRoutePriority ipv4ElevatedRoutePriority ipv6NormalRoutePriority ipv6ElevatedRoutePriority",
        Field(integer(1, 2147483646)),
    ),
    **_fields(
        "healthPort prometheusMetricsPort metadataPort debugPort bpfKubeProxyHealthzPort", Field(integer(0, 65535))
    ),
    **_fields("goGCThreshold goMaxProcs goMemoryLimitMB", Field(integer(-1))),
    **_fields("logActionRateLimitBurst", Field(integer(0, 9999))),
    **_fields("defaultEndpointToHostAction", _word("Drop", "Accept", "Return", **_LOOSE)),
    **_fields("chainInsertMode", _word("Insert", "Append", **_LOOSE)),
    **_fields(
        "iptablesFilterAllowAction iptablesMangleAllowAction nftablesFilterAllowAction nftablesMangleAllowAction",
        _word("Accept", "Return", **_LOOSE),
    ),
    **_fields("iptablesFilterDenyAction nftablesFilterDenyAction", _word("Drop", "Reject", **_LOOSE)),
    **_fields(
        "logSeverityFile logSeverityScreen logSeveritySys",
        _word("Trace", "Debug", "Info", "Warning", "Error", "Fatal", **_LOOSE),
    ),
    **_fields("routeSource", _word("WorkloadIPs", "CalicoIPAM", **_LOOSE)),
    **_fields("bpfLogLevel", _word("Off", "Info", "Debug", **_LOOSE)),
    **_fields("bpfExternalServiceMode", _word("Tunnel", "DSR", **_LOOSE)),
    **_fields("bpfEnforceRPF", _word("Disabled", "Strict", "Loose", **_LOOSE)),
    **_fields("bpfMapSizeConntrackScaling", _word("Disabled", "DoubleIfFull", **_LOOSE)),
    **_fields("ipForwarding bpfProfiling bpfRedirectToPeer", _word("Disabled", "Enabled", may_be_empty=True)),
    **_fields(
        "floatingIPs bpfHostNetworkedNATWithoutCTLB flowLogsLocalReporter istioAmbientMode windowsManageFirewallRules",
        _word("Disabled", "Enabled"),
    ),
    "workloadSourceSpoofing": _word("Any", "Disabled", may_be_empty=True),
    "serviceLoopPrevention": _word("Disabled", "Drop", "Reject", may_be_empty=True),
    "bpfConntrackLogLevel": _word("Off", "Debug", may_be_empty=True),
    "natOutgoingExclusions": _word("IPPoolsAndHostIPs", "IPPoolsOnly"),
    "localSubnetL2Reachability": _word("Disabled", "PodsAndLoadBalancers"),
    "iptablesBackend": _word("Auto", "Legacy", "NFT"),
    "nftablesMode": _word("Auto", "Disabled", "Enabled"),
    "nftablesFlowTableOffload": _word("All", "Disabled"),
    "bpfAttachType": _word("Netkit", "TCX", "TC"),
    "bpfConnectTimeLoadBalancing": _word("Disabled", "Enabled", "TCP"),
    "bpfConntrackMode": _word("Auto", "BPFProgram", "Userspace"),
    "bpfJITHardening": _word("Auto", "Strict"),
    "bpfOverlayHostSourceIP": _word("HostAddress", "TunnelAddress"),
    "programClusterRoutes": _word("Disabled", "EnabledIPIPOnly", "EnabledNoEncapOnly", "Enabled"),
    "prometheusMetricsClientAuth": _word(
        "NoClientCert", "RequireAndVerifyClientCert", "RequireAnyClientCert", "VerifyClientCertIfGiven"
    ),
    "flowLogsPolicyEvaluationMode": _word("Continuous", "None"),
    "awsSrcDstCheck": _word("Disable", "DoNothing", "Enable"),
    **_fields(
        "nftablesFlowTableDataIfacePattern bpfDataIfacePattern bpfDisableGROForIfaces bpfL3IfacePattern "
        "mtuIfacePattern logDebugFilenameRegex",
        Field(regex),
    ),
    **_fields("natOutgoingAddress deviceRouteSourceAddress", _matching(r"[0-9.]{7,15}\Z", "an IPv4 address")),
    "deviceRouteSourceAddressIPv6": _matching(r"(?=.*:)[0-9a-fA-F:.]{2,45}\Z", "an IPv6 address"),
    **_fields(
        "externalNodesList bpfDSROptoutCIDRs bpfExcludeCIDRsFromNAT",
        Field(list_of(net(strict=False, may_be_address=True))),
    ),
    "bpfForceTrackPacketsFromIfaces": Field(
        list_of(pattern("TT1115", re.compile(_INTERFACE_FILTER), "an interface, or its beginning and +"))
    ),
    "iptablesNATOutgoingInterfaceFilter": _matching(_INTERFACE_FILTER, "an interface, or its beginning and +"),
    **_fields(
        "wireguardInterfaceName wireguardInterfaceNameV6", _matching(r"[a-zA-Z0-9_.-]{1,15}\Z", "an interface name")
    ),
    "prometheusMetricsHost": _matching(r"[a-zA-Z0-9:._+-]{1,64}\Z", "a host name or address"),
    "logPrefix": _matching(r"[a-zA-Z0-9%: /_-]*\Z", "letters, digits and % : / _ -"),
    "openstackRegion": _matching(r"[a-z0-9]([-a-z0-9]{0,44}[a-z0-9])?\Z", "a DNS label of at most 46 characters"),
    **_fields("natPortRange bpfPSNATPorts", Field(port)),
    "kubeNodePortRanges": Field(list_of(port, limit=7)),
    "istioDSCPMark": Field(_dscp),
    "routeTableRange": _RANGE,
    "routeTableRanges": Field(list_of(_RANGE.decode)),
    "healthTimeoutOverrides": Field(
        list_of(
            object_of(
                {
                    "name": Field(
                        pattern("TT1116", re.compile(r"[a-zA-Z0-9_ -]+\Z"), "a component's name"), is_required=True
                    ),
                    "timeout": Field(duration(), is_required=True),
                }
            )
        )
    ),
    "bpfLogFilters": Field(map_of(lambda key, path, problems: None, text)),
    "bpfConntrackTimeouts": Field(
        object_of(
            _fields(
                "creationGracePeriod tcpSynSent tcpEstablished tcpFinsSeen tcpResetSeen udpTimeout genericTimeout "
                "icmpTimeout",
                Field(timeout),
            )
        )
    ),
}
