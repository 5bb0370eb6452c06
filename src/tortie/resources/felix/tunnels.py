"""Parameters of overlays and of WireGuard. Source: reference config.md section 8."""

from tortie.resources.felix.parameter import Parameter
from tortie.resources.felix.syntax import SECONDS, SWITCH, WHOLE, matching, whole, words
from tortie.resources.values import integer

_INTERFACE = words(matching(r"[a-zA-Z0-9_.-]{1,15}\Z", "an interface name"), "an interface name")
_LISTENING = whole(field=integer(1, 65535))

PARAMETERS: tuple[Parameter[object], ...] = (
    Parameter("VXLANEnabled", SWITCH, "", "Run VXLAN, or not, whatever the IP pools ask for.", key="vxlanEnabled"),
    Parameter("VXLANMTU", WHOLE, "0", "MTU of the IPv4 tunnel; 0: the host's less 50.", key="vxlanMTU"),
    Parameter("VXLANMTUV6", WHOLE, "0", "MTU of the IPv6 tunnel; 0: the host's less 70.", key="vxlanMTUV6"),
    Parameter("VXLANPort", WHOLE, "4789", "UDP port of VXLAN.", key="vxlanPort"),
    Parameter("VXLANVNI", WHOLE, "4096", "Network identifier of VXLAN.", key="vxlanVNI"),
    Parameter("IpInIpEnabled", SWITCH, "", "Run IP-in-IP, or not, whatever the IP pools ask for.", key="ipipEnabled"),
    Parameter("IpInIpMtu", WHOLE, "0", "MTU of the IP-in-IP tunnel; 0: the host's less 20.", key="ipipMTU"),
    Parameter("WireguardEnabled", SWITCH, "false", "Encrypt IPv4 traffic between nodes."),
    Parameter("WireguardEnabledV6", SWITCH, "false", "Encrypt IPv6 traffic between nodes."),
    Parameter("WireguardHostEncryptionEnabled", SWITCH, "false", "Encrypt what hosts themselves say to each other."),
    Parameter(
        "WireguardInterfaceName", _INTERFACE, "wireguard.cali", "Interface of the IPv4 tunnel.", may_be_none=False
    ),
    Parameter("WireguardInterfaceNameV6", _INTERFACE, "wg-v6.cali", "Interface of the IPv6 tunnel.", may_be_none=False),
    Parameter("WireguardListeningPort", _LISTENING, "51820", "UDP port of the IPv4 tunnel."),
    Parameter("WireguardListeningPortV6", _LISTENING, "51821", "UDP port of the IPv6 tunnel."),
    Parameter("WireguardMTU", WHOLE, "0", "MTU of the IPv4 tunnel; 0: the host's less 60."),
    Parameter("WireguardMTUV6", WHOLE, "0", "MTU of the IPv6 tunnel; 0: the host's less 80."),
    Parameter(
        "WireguardPersistentKeepAlive",
        SECONDS,
        "0",
        "How often an idle peer is told that this one is there; 0: never.",
        key="wireguardKeepAlive",
    ),
    Parameter(
        "WireguardRoutingRulePriority", whole(field=integer(1, 32765)), "99", "Priority of the tunnel's routing rule."
    ),
    Parameter("WireguardThreadingEnabled", SWITCH, "false", "Let the tunnel's packets be received in threads."),
)
