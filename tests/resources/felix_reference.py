"""The parameters of the reference, as data: what the tables of config.md sections 4 to 8 say, row by row.

Name, field of documents (empty: none), type of value, default, and what becomes of a value that nobody can read.
"""

import re
from typing import NamedTuple


class Row(NamedTuple):
    """One parameter of the reference."""

    name: str
    field: str
    values: str
    default: str
    bad: str


_TABLE = r"""
InterfacePrefix | interfacePrefix | string | cali | exit
InterfaceExclude | interfaceExclude | iface/regex list | kube-ipvs0 | default
InterfaceRefreshInterval | interfaceRefreshInterval | seconds | 90 | default
FailsafeInboundHostPorts | failsafeInboundHostPorts | port-list | tcp:22,udp:68,tcp:179,tcp:2379,tcp:2380,tcp:5473,\
tcp:6443,tcp:6666,tcp:6667 | exit
FailsafeOutboundHostPorts | failsafeOutboundHostPorts | port-list | udp:53,udp:67,tcp:179,tcp:2379,tcp:2380,\
tcp:5473,tcp:6443,tcp:6666,tcp:6667 | exit
DefaultEndpointToHostAction | defaultEndpointToHostAction | ACCEPT / DROP / RETURN | DROP | exit
ChainInsertMode | chainInsertMode | append / insert | insert | exit
DisableConntrackInvalidCheck | disableConntrackInvalidCheck | bool | false | default
Ipv6Support | ipv6Support | bool | true | default
IPForwarding | ipForwarding | Disabled / Enabled | Enabled | default
WorkloadSourceSpoofing | workloadSourceSpoofing | Any / Disabled | Disabled | default
AllowVXLANPacketsFromWorkloads | allowVXLANPacketsFromWorkloads | bool | false | default
AllowIPIPPacketsFromWorkloads | allowIPIPPacketsFromWorkloads | bool | false | default
ServiceLoopPrevention | serviceLoopPrevention | Disabled / Drop / Reject | Drop | default
FloatingIPs | floatingIPs | Disabled / Enabled | Disabled | default
NATOutgoingAddress | natOutgoingAddress | IPv4 address | - | default
NATOutgoingExclusions | natOutgoingExclusions | IPPoolsAndHostIPs / IPPoolsOnly | IPPoolsOnly | default
NATPortRange | natPortRange | port range | - | default
ExternalNodesCIDRList | externalNodesList | CIDR list | - | exit
EndpointStatusPathPrefix | endpointStatusPathPrefix | path | /var/run/calico | default
PolicySyncPathPrefix | policySyncPathPrefix | path | - | default
LocalSubnetL2Reachability | localSubnetL2Reachability | Disabled / PodsAndLoadBalancers | Disabled | default
LocalSubnetL2ReachabilityRefreshInterval | localSubnetL2ReachabilityRefreshInterval | seconds | 120 | default
IpsetsRefreshInterval | ipsetsRefreshInterval | seconds | 90 | default
IptablesBackend | iptablesBackend | auto / legacy / nft | auto | default
IptablesFilterAllowAction | iptablesFilterAllowAction | ACCEPT / RETURN | ACCEPT | exit
IptablesFilterDenyAction | iptablesFilterDenyAction | DROP / REJECT | DROP | exit
IptablesLockProbeIntervalMillis | iptablesLockProbeInterval | ms | 50 | default
IptablesMangleAllowAction | iptablesMangleAllowAction | ACCEPT / RETURN | ACCEPT | exit
IptablesMarkMask | iptablesMarkMask | bitmask ≥2 bits | 0xffff0000 | exit
IptablesNATOutgoingInterfaceFilter | iptablesNATOutgoingInterfaceFilter | string | - | default
IptablesPostWriteCheckIntervalSecs | iptablesPostWriteCheckInterval | seconds | 5 | default
IptablesRefreshInterval | iptablesRefreshInterval | seconds | 180 | default
KubeNodePortRanges | kubeNodePortRanges | port-range list | 30000:32767 | default
MaxIpsetSize | maxIpsetSize | int | 1048576 | default
NFTablesMode | nftablesMode | Auto / Disabled / Enabled | Auto | default
NftablesFilterAllowAction | nftablesFilterAllowAction | ACCEPT / RETURN | ACCEPT | exit
NftablesFilterDenyAction | nftablesFilterDenyAction | DROP / REJECT | DROP | exit
NftablesMangleAllowAction | nftablesMangleAllowAction | ACCEPT / RETURN | ACCEPT | exit
NftablesMarkMask | nftablesMarkMask | bitmask ≥2 bits | 0xffff0000 | exit
NftablesRefreshInterval | nftablesRefreshInterval | seconds | 180 | default
NFTablesFlowTableOffload | nftablesFlowTableOffload | All / Disabled | Disabled | default
NFTablesFlowTableDataIfacePattern | nftablesFlowTableDataIfacePattern | regex | - | default
XDPEnabled | xdpEnabled | bool | true | default
GenericXDPEnabled | genericXDPEnabled | bool | false | default
XDPRefreshInterval | xdpRefreshInterval | seconds | 90 | default
BPFAttachType | bpfAttachType | Netkit / TCX / TC | Netkit | default
BPFCTLBLogFilter | bpfCTLBLogFilter | all | - | default
BPFConnectTimeLoadBalancing | bpfConnectTimeLoadBalancing | Disabled / Enabled / TCP | TCP | default
BPFConnectTimeLoadBalancingEnabled | bpfConnectTimeLoadBalancingEnabled | bool | - | default
BPFConntrackCleanupMode | bpfConntrackMode | Auto / BPFProgram / Userspace | Auto | default
BPFConntrackLogLevel | bpfConntrackLogLevel | debug / off | off | default
BPFConntrackTimeouts | bpfConntrackTimeouts | key=value list | CreationGracePeriod=10s,TCPSynSent=20s,\
TCPEstablished=1h,TCPFinsSeen=Auto,TCPResetSeen=40s,UDPTimeout=60s,GenericTimeout=10m,ICMPTimeout=5s | default
BPFDSROptoutCIDRs | bpfDSROptoutCIDRs | CIDR list | - | default
BPFDataIfacePattern | bpfDataIfacePattern | regex | ^((en|wl|ww|sl|ib)[Popsx].*|(eth|wlan|wwan|bond).*) | default
BPFDisableGROForIfaces | bpfDisableGROForIfaces | regex | - | default
BPFDisableUnprivileged | bpfDisableUnprivileged | bool | true | default
BPFEnabled | bpfEnabled | bool | false | default
BPFEnforceRPF | bpfEnforceRPF | Disabled / Loose / Strict | Loose | default
BPFExcludeCIDRsFromNAT | bpfExcludeCIDRsFromNAT | CIDR list | - | default
BPFExportBufferSizeMB | bpfExportBufferSizeMB | int | 1 | default
BPFExtToServiceConnmark | bpfExtToServiceConnmark | int | 0 | default
BPFExternalServiceMode | bpfExternalServiceMode | dsr / tunnel | tunnel | default
BPFForceTrackPacketsFromIfaces | bpfForceTrackPacketsFromIfaces | iface-filter list | docker+ | default
BPFHostConntrackBypass | bpfHostConntrackBypass | bool | false | default
BPFHostNetworkedNATWithoutCTLB | bpfHostNetworkedNATWithoutCTLB | Disabled / Enabled | Enabled | default
BPFIPFragTimeout | bpfIPFragTimeout | seconds | 0 | default
BPFIPFragmentReassemblyEnabled | bpfIPFragmentReassemblyEnabled | bool | true | default
BPFJITHardening | bpfJITHardening | Auto / Strict | Auto | default
BPFKubeProxyHealthzPort | bpfKubeProxyHealthzPort | int | 10256 | default
BPFKubeProxyIptablesCleanupEnabled | bpfKubeProxyIptablesCleanupEnabled | bool | true | default
BPFKubeProxyMinSyncPeriod | bpfKubeProxyMinSyncPeriod | seconds | 1 | default
BPFL3IfacePattern | bpfL3IfacePattern | regex | - | default
BPFLogFilters | bpfLogFilters | key=value list | - | default
BPFLogLevel | bpfLogLevel | debug / info / off | off | default
BPFMaglevMaxEndpointsPerService | bpfMaglevMaxEndpointsPerService | int [1,3000] | 100 | default
BPFMaglevMaxServices | bpfMaglevMaxServices | int [1,3000] | 100 | default
BPFMapSizeConntrack | bpfMapSizeConntrack | int | 512000 | default
BPFMapSizeConntrackCleanupQueue | bpfMapSizeConntrackCleanupQueue | int | 100000 | default
BPFMapSizeConntrackScaling | bpfMapSizeConntrackScaling | Disabled / DoubleIfFull | DoubleIfFull | default
BPFMapSizeIPSets | bpfMapSizeIPSets | int | 1048576 | default
BPFMapSizeIfState | bpfMapSizeIfState | int | 1000 | default
BPFMapSizeNATAffinity | bpfMapSizeNATAffinity | int | 65536 | default
BPFMapSizeNATBackend | bpfMapSizeNATBackend | int | 262144 | default
BPFMapSizeNATFrontend | bpfMapSizeNATFrontend | int | 65536 | default
BPFMapSizePerCPUConntrack | bpfMapSizePerCpuConntrack | int | 0 | default
BPFMapSizeRoute | bpfMapSizeRoute | int | 262144 | default
BPFOverlayHostSourceIP | bpfOverlayHostSourceIP | HostAddress / TunnelAddress | TunnelAddress | default
BPFPSNATPorts | bpfPSNATPorts | port range | 20000:29999 | default
BPFPolicyDebugEnabled | bpfPolicyDebugEnabled | bool | true | default
BPFProfiling | bpfProfiling | Disabled / Enabled | Disabled | default
BPFRedirectToPeer | bpfRedirectToPeer | Disabled / Enabled / L2Only | Enabled | default
RouteRefreshInterval | routeRefreshInterval | seconds | 90 | default
RouteSource | routeSource | CalicoIPAM / WorkloadIPs | CalicoIPAM | default
RouteSyncDisabled | routeSyncDisabled | bool | false | default
RouteTableRanges | routeTableRanges | ranges n-m,… | - | exit
RouteTableRange | routeTableRange | range n-m | - | exit
RemoveExternalRoutes | removeExternalRoutes | bool | true | default
ProgramClusterRoutes | programClusterRoutes | Disabled / EnabledIPIPOnly / EnabledNoEncapOnly / Enabled | \
EnabledIPIPOnly | default
DeviceRouteProtocol | deviceRouteProtocol | int | 3 | default
DeviceRouteSourceAddress | deviceRouteSourceAddress | IPv4 address | - | default
DeviceRouteSourceAddressIPv6 | deviceRouteSourceAddressIPv6 | IPv6 address | - | default
IPv4NormalRoutePriority | ipv4NormalRoutePriority | int [1,2147483646] | 1024 | default
IPv4ElevatedRoutePriority | ipv4ElevatedRoutePriority | int [1,2147483646] | 512 | default
IPv6NormalRoutePriority | ipv6NormalRoutePriority | int [1,2147483646] | 1024 | default
IPv6ElevatedRoutePriority | ipv6ElevatedRoutePriority | int [1,2147483646] | 512 | default
LiveMigrationRouteConvergenceTime | liveMigrationRouteConvergenceTime | seconds | 30 | default
MTUIfacePattern | mtuIfacePattern | regex | ^((en|wl|ww|sl|ib)[Pcopsvx].*|(eth|wlan|wwan).*) | default
RequireMTUFile | requireMTUFile | bool | false | default
NetlinkTimeoutSecs | netlinkTimeout | seconds | 10 | default
VXLANEnabled | vxlanEnabled | bool | - | default
VXLANMTU | vxlanMTU | int | 0 | default
VXLANMTUV6 | vxlanMTUV6 | int | 0 | default
VXLANPort | vxlanPort | int | 4789 | default
VXLANVNI | vxlanVNI | int | 4096 | default
IpInIpEnabled | ipipEnabled | bool | - | default
IpInIpMtu | ipipMTU | int | 0 | default
WireguardEnabled | wireguardEnabled | bool | false | default
WireguardEnabledV6 | wireguardEnabledV6 | bool | false | default
WireguardHostEncryptionEnabled | wireguardHostEncryptionEnabled | bool | false | default
WireguardInterfaceName | wireguardInterfaceName | string | wireguard.cali | default
WireguardInterfaceNameV6 | wireguardInterfaceNameV6 | string | wg-v6.cali | default
WireguardListeningPort | wireguardListeningPort | int | 51820 | default
WireguardListeningPortV6 | wireguardListeningPortV6 | int | 51821 | default
WireguardMTU | wireguardMTU | int | 0 | default
WireguardMTUV6 | wireguardMTUV6 | int | 0 | default
WireguardPersistentKeepAlive | wireguardKeepAlive | seconds | 0 | default
WireguardRoutingRulePriority | wireguardRoutingRulePriority | int | 99 | default
WireguardThreadingEnabled | wireguardThreadingEnabled | bool | false | default
LogActionRateLimit | logActionRateLimit | string | - | default
LogActionRateLimitBurst | logActionRateLimitBurst | int 0–9999 | 5 | default
LogDebugFilenameRegex | logDebugFilenameRegex | regex | - | default
LogFilePath | logFilePath | path | /var/log/calico/felix.log | exit
LogPrefix | logPrefix | String | calico-packet | default
LogSeverityFile | logSeverityFile | DEBUG / ERROR / FATAL / INFO / TRACE / WARNING | INFO | default
LogSeverityScreen | logSeverityScreen | DEBUG / ERROR / FATAL / INFO / TRACE / WARNING | INFO | default
LogSeveritySys | logSeveritySys | DEBUG / ERROR / FATAL / INFO / TRACE / WARNING | INFO | default
HealthEnabled | healthEnabled | bool | false | default
HealthHost | healthHost | string | localhost | default
HealthPort | healthPort | int [0,65535] | 9099 | default
HealthTimeoutOverrides | healthTimeoutOverrides | key=duration list | - | default
PrometheusGoMetricsEnabled | prometheusGoMetricsEnabled | bool | true | default
PrometheusMetricsCAFile | prometheusMetricsCAFile | String | - | default
PrometheusMetricsCertFile | prometheusMetricsCertFile | String | - | default
PrometheusMetricsClientAuth | prometheusMetricsClientAuth | NoClientCert / RequireAndVerifyClientCert / \
RequireAnyClientCert / VerifyClientCertIfGiven | NoClientCert | default
PrometheusMetricsEnabled | prometheusMetricsEnabled | bool | false | default
PrometheusMetricsHost | prometheusMetricsHost | string | - | default
PrometheusMetricsKeyFile | prometheusMetricsKeyFile | String | - | default
PrometheusMetricsPort | prometheusMetricsPort | int [0,65535] | 9091 | default
PrometheusProcessMetricsEnabled | prometheusProcessMetricsEnabled | bool | true | default
PrometheusWireGuardMetricsEnabled | prometheusWireGuardMetricsEnabled | bool | true | default
ReportingIntervalSecs | reportingInterval | seconds | 30 | default
ReportingTTLSecs | reportingTTL | seconds | 90 | default
UsageReportingEnabled | usageReportingEnabled | bool | true | default
UsageReportingInitialDelaySecs | usageReportingInitialDelay | seconds | 300 | default
UsageReportingIntervalSecs | usageReportingInterval | seconds | 86400 | default
FlowLogsCollectorDebugTrace | flowLogsCollectorDebugTrace | bool | false | default
FlowLogsFlushInterval | flowLogsFlushInterval | seconds | 300 | default
FlowLogsGoldmaneServer | flowLogsGoldmaneServer | String | - | default
FlowLogsLocalReporter | flowLogsLocalReporter | Disabled / Enabled | Disabled | default
FlowLogsPolicyEvaluationMode | flowLogsPolicyEvaluationMode | Continuous / None | Continuous | default
DatastoreType | - | etcdv3 / kubernetes | etcdv3 | exit, local
EtcdAddr | - | string | 127.0.0.1:2379 | default, local
EtcdCaFile | - | path | - | default, local
EtcdCertFile | - | path | - | default, local
EtcdEndpoints | - | URL list | - | default, local
EtcdKeyFile | - | path | - | default, local
EtcdScheme | - | http / https | http | default, local
FelixHostname | - | string | - | default, local
TyphaAddr | - | string | - | default, local
TyphaCAFile | - | path | - | default, local
TyphaCN | - | String | - | default, local
TyphaCertFile | - | path | - | default, local
TyphaK8sNamespace | - | String | kube-system | default, local
TyphaK8sServiceName | - | String | - | default, local
TyphaKeyFile | - | path | - | default, local
TyphaReadTimeout | - | seconds | 30 | default, local
TyphaURISAN | - | String | - | default, local
TyphaWriteTimeout | - | seconds | 10 | default, local
UseInternalDataplaneDriver | useInternalDataplaneDriver | bool | true | default
DataplaneDriver | dataplaneDriver | path | calico-iptables-plugin | exit
DataplaneWatchdogTimeout | dataplaneWatchdogTimeout | seconds | 90 | default
FeatureDetectOverride | featureDetectOverride | key=value list | - | default
FeatureGates | featureGates | key=value list | - | default
GoGCThreshold | goGCThreshold | int [-1,2^63-1] | 40 | default
GoMaxProcs | goMaxProcs | int [-1,2^63-1] | -1 | default
GoMemoryLimitMB | goMemoryLimitMB | int [-1,2^63-1] | -1 | default
CgroupV2Path | cgroupV2Path | String | - | default
IstioAmbientMode | istioAmbientMode | Disabled / Enabled | Disabled | default
IstioDSCPMark | istioDSCPMark | DSCP | 23 | default
SidecarAccelerationEnabled | sidecarAccelerationEnabled | bool | false | default
WindowsManageFirewallRules | windowsManageFirewallRules | Disabled / Enabled | Disabled | default
EndpointReportingDelaySecs | endpointReportingDelay | seconds | 1 | default
EndpointReportingEnabled | endpointReportingEnabled | bool | false | default
MetadataAddr | metadataAddr | string | 127.0.0.1 | exit
MetadataPort | metadataPort | int [0,65535] | 8775 | exit
OpenstackRegion | openstackRegion | DNS label | - | exit
AWSSrcDstCheck | awsSrcDstCheck | Disable / DoNothing / Enable | DoNothing | default
DebugBPFCgroupV2 | - | String | - | default, local
DebugCPUProfilePath | - | path | /tmp/felix-cpu-<timestamp>.pprof | default
DebugDisableLogDropping | debugDisableLogDropping | bool | false | default
DebugHost | debugHost | string | localhost | default
DebugMemoryProfilePath | debugMemoryProfilePath | path | - | default
DebugPanicAfter | - | seconds | 0 | default
DebugPort | debugPort | int [0,65535] | - | default
DebugSimulateCalcGraphHangAfter | debugSimulateCalcGraphHangAfter | seconds | 0 | default
DebugSimulateDataRace | - | bool | false | default
DebugSimulateDataplaneApplyDelay | debugSimulateDataplaneApplyDelay | seconds | 0 | default
DebugSimulateDataplaneHangAfter | debugSimulateDataplaneHangAfter | seconds | 0 | default
"""
_ROW = re.compile(r"(\w+) \| ([\w-]+) \| (.*) \| (.*) \| ([a-z, ]+)\Z")


def _rows() -> list[Row]:
    found = []
    for line in _TABLE.replace("\\\n", "").strip().splitlines():
        cells = _ROW.match(line)
        assert cells, line
        found.append(Row(*("" if cell == "-" else cell for cell in cells.groups())))
    return found


ROWS = _rows()
NEVER_NONE = {
    "DatastoreType",
    "FelixHostname",
    "TyphaK8sNamespace",
    "ChainInsertMode",
    "DataplaneDriver",
    "DefaultEndpointToHostAction",
    "InterfacePrefix",
    "IptablesFilterAllowAction",
    "NftablesFilterAllowAction",
    "IptablesFilterDenyAction",
    "NftablesFilterDenyAction",
    "IptablesMangleAllowAction",
    "NftablesMangleAllowAction",
    "IptablesMarkMask",
    "NftablesMarkMask",
    "MaxIpsetSize",
    "BPFAttachType",
    "BPFConnectTimeLoadBalancing",
    "BPFConntrackLogLevel",
    "BPFEnforceRPF",
    "BPFExportBufferSizeMB",
    "BPFExternalServiceMode",
    "BPFHostNetworkedNATWithoutCTLB",
    "BPFJITHardening",
    "BPFLogLevel",
    "BPFMapSizeConntrack",
    "BPFMapSizeConntrackCleanupQueue",
    "BPFMapSizeConntrackScaling",
    "BPFMapSizeIPSets",
    "BPFMapSizeIfState",
    "BPFMapSizeNATAffinity",
    "BPFMapSizeNATBackend",
    "BPFMapSizeNATFrontend",
    "BPFMapSizeRoute",
    "BPFOverlayHostSourceIP",
    "BPFProfiling",
    "BPFRedirectToPeer",
    "WireguardInterfaceName",
    "WireguardInterfaceNameV6",
    "AWSSrcDstCheck",
}
"""Parameters that the word `none` is an error for (section 2)."""
SET_BY_OTHERS = {
    "ClusterGUID",
    "ClusterType",
    "CalicoVersion",
    "Variant",
    "IPv4VXLANTunnelAddr",
    "IPv6VXLANTunnelAddr",
    "VXLANTunnelMACAddr",
    "VXLANTunnelMACAddrV6",
    "IpInIpTunnelAddr",
}
"""Parameters that no table has (end of section 8)."""
