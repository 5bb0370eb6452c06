"""Parameters of routes and interfaces. Source: reference config.md section 8."""

from tortie.resources.felix.lists import OLD_TABLE_RANGE, TABLE_RANGES
from tortie.resources.felix.parameter import Parameter
from tortie.resources.felix.syntax import IPV4, IPV6, REGEX, SECONDS, SWITCH, WHOLE, whole, word

_PRIORITY = whole(1, 2147483646)
_MTU_INTERFACES = r"^((en|wl|ww|sl|ib)[Pcopsvx].*|(eth|wlan|wwan).*)"

PARAMETERS: tuple[Parameter[object], ...] = (
    Parameter("RouteRefreshInterval", SECONDS, "90", "How often routes are checked; 0: never."),
    Parameter(
        "RouteSource",
        word("WorkloadIPs", "CalicoIPAM", ignore_case=True, may_be_empty=True),
        "CalicoIPAM",
        "Where routes are derived from: address management, or the endpoints.",
    ),
    Parameter("RouteSyncDisabled", SWITCH, "false", "Leave all routes alone."),
    Parameter("RouteTableRanges", TABLE_RANGES, "", "Numbers of the route tables that may be used.", is_fatal=True),
    Parameter(
        "RouteTableRange",
        OLD_TABLE_RANGE,
        "",
        "The older form of RouteTableRanges: one range.",
        is_fatal=True,
    ),
    Parameter("RemoveExternalRoutes", SWITCH, "true", "Remove routes of others from workloads' interfaces."),
    Parameter(
        "ProgramClusterRoutes",
        word("Disabled", "EnabledIPIPOnly", "EnabledNoEncapOnly", "Enabled"),
        "EnabledIPIPOnly",
        "Which routes to other nodes the agent programs itself, instead of leaving them to BGP.",
    ),
    Parameter("DeviceRouteProtocol", WHOLE, "3", "Protocol number that marks own routes."),
    Parameter("DeviceRouteSourceAddress", IPV4, "", "Preferred IPv4 source of own routes."),
    Parameter("DeviceRouteSourceAddressIPv6", IPV6, "", "Preferred IPv6 source of own routes."),
    Parameter(
        "IPv4NormalRoutePriority",
        _PRIORITY,
        "1024",
        "Metric of IPv4 routes to workloads.",
        key="ipv4NormalRoutePriority",
    ),
    Parameter(
        "IPv4ElevatedRoutePriority",
        _PRIORITY,
        "512",
        "Metric of IPv4 routes to workloads that are just moving here.",
        key="ipv4ElevatedRoutePriority",
    ),
    Parameter(
        "IPv6NormalRoutePriority",
        _PRIORITY,
        "1024",
        "Metric of IPv6 routes to workloads.",
        key="ipv6NormalRoutePriority",
    ),
    Parameter(
        "IPv6ElevatedRoutePriority",
        _PRIORITY,
        "512",
        "Metric of IPv6 routes to workloads that are just moving here.",
        key="ipv6ElevatedRoutePriority",
    ),
    Parameter("LiveMigrationRouteConvergenceTime", SECONDS, "30", "How long after a move the elevated metric is kept."),
    Parameter("MTUIfacePattern", REGEX, _MTU_INTERFACES, "Interfaces that tell the host's MTU.", key="mtuIfacePattern"),
    Parameter("RequireMTUFile", SWITCH, "false", "Wait at the start for the file that holds the MTU."),
    Parameter(
        "NetlinkTimeoutSecs",
        SECONDS,
        "10",
        "How long the kernel may take to answer about interfaces and routes.",
        key="netlinkTimeout",
    ),
)
