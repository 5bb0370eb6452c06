"""Parameters of the dataplanes made of iptables and nftables. Source: reference config.md section 5."""

from tortie.resources.felix.lists import INTERFACE_FILTER, PORT_RANGES
from tortie.resources.felix.parameter import Parameter
from tortie.resources.felix.syntax import MASK, MILLISECONDS, REGEX, SECONDS, SIGNED_SECONDS, WHOLE, word

_ALLOW = word("Accept", "Return", ignore_case=True, may_be_empty=True)
_DENY = word("Drop", "Reject", ignore_case=True, may_be_empty=True)


def _deny_action(tables: str) -> Parameter[str]:
    return Parameter(
        f"{tables}FilterDenyAction",
        _DENY,
        "Drop",
        "What becomes of denied packets: dropped silently, or answered. One of the two filters' is enough.",
        is_fatal=True,
        may_be_none=False,
        is_used=True,
    )


IPTABLES_DENY, NFTABLES_DENY = _deny_action("Iptables"), _deny_action("Nftables")


def _mark_mask(tables: str, *, is_used: bool) -> Parameter[int]:
    return Parameter(
        f"{tables}MarkMask",
        MASK,
        "0xffff0000",
        f"Bits of the packet mark that {tables.lower()} rules may use.",
        is_fatal=True,
        may_be_none=False,
        is_used=is_used,
    )


IPTABLES_MASK = _mark_mask("Iptables", is_used=True)
IPTABLES_BACKEND = Parameter(
    "IptablesBackend", word("Auto", "Legacy", "NFT"), "Auto", "Which flavour of iptables is used.", is_used=True
)


def _verdicts(tables: str, deny: Parameter[str], mask: Parameter[int]) -> tuple[Parameter[object], ...]:
    return (
        Parameter(
            f"{tables}FilterAllowAction",
            _ALLOW,
            "Accept",
            f"What an allowed packet meets in the filter table of {tables.lower()}: its end, or the rules after ours.",
            is_fatal=True,
            may_be_none=False,
        ),
        deny,
        Parameter(
            f"{tables}MangleAllowAction",
            _ALLOW,
            "Accept",
            f"What an allowed packet meets in the mangle table of {tables.lower()}: its end, or the rules after ours.",
            is_fatal=True,
            may_be_none=False,
        ),
        mask,
    )


NFTABLES_MODE = Parameter(
    "NFTablesMode",
    word("Auto", "Disabled", "Enabled"),
    "Auto",
    "Whether nftables takes the place of iptables.",
    key="nftablesMode",
    is_used=True,
    stored="Auto",
)

PARAMETERS: tuple[Parameter[object], ...] = (
    Parameter("IpsetsRefreshInterval", SECONDS, "90", "How often IP sets are checked; 0: never."),
    IPTABLES_BACKEND,
    *_verdicts("Iptables", IPTABLES_DENY, IPTABLES_MASK),
    Parameter(
        "IptablesLockProbeIntervalMillis",
        MILLISECONDS,
        "50",
        "Pause between two attempts to get the lock of iptables.",
        key="iptablesLockProbeInterval",
    ),
    Parameter(
        "IptablesNATOutgoingInterfaceFilter",
        INTERFACE_FILTER,
        "",
        "Translate only what leaves by these interfaces.",
    ),
    Parameter(
        "IptablesPostWriteCheckIntervalSecs",
        SECONDS,
        "5",
        "How long after a write the tables are read again.",
        key="iptablesPostWriteCheckInterval",
    ),
    Parameter("IptablesRefreshInterval", SECONDS, "180", "How often the tables are checked; 0: never."),
    Parameter(
        "KubeNodePortRanges", PORT_RANGES, "30000:32767", "Node ports of services, where kube-proxy works with IPVS."
    ),
    Parameter("MaxIpsetSize", WHOLE, "1048576", "Most entries of an IP set.", may_be_none=False),
    NFTABLES_MODE,
    *_verdicts("Nftables", NFTABLES_DENY, _mark_mask("Nftables", is_used=False)),
    Parameter("NftablesRefreshInterval", SIGNED_SECONDS, "180", "How often the tables are checked; 0: never."),
    Parameter(
        "NFTablesFlowTableOffload",
        word("All", "Disabled"),
        "Disabled",
        "Hand established flows to the kernel's flow table.",
        key="nftablesFlowTableOffload",
        stored="Disabled",
    ),
    Parameter(
        "NFTablesFlowTableDataIfacePattern",
        REGEX,
        "",
        "Interfaces of the host that join the flow table.",
        key="nftablesFlowTableDataIfacePattern",
    ),
)
