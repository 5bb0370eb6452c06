"""Values of every type of parameter: in text and in documents, with what each must come to."""

from felix_reference import ROWS, Row

GOOD: dict[str, tuple[str, ...]] = {
    "bool": ("true", "1", "YES", "y", "T", "false", "0", "No", "n", "F"),
    "int": ("10", "0x0a", "-3", "0", "010", "0b11", "1_000", "0x_ff", "0o17", "+5"),
    "int 0–9999": ("0", "9999"),
    "int [0,65535]": ("0", "65535", "0xffff"),
    "int [1,3000]": ("1", "3000"),
    "int [-1,2^63-1]": ("-1", "9223372036854775807"),
    "int [1,2147483646]": ("1", "2147483646"),
    "bitmask ≥2 bits": ("0xffff0000", "3", "0x1ff00000"),
    "seconds": ("0", "90", "1.5", ".25", "1e2"),
    "ms": ("50", "0.5"),
    "port-list": ("22", "tcp:22, udp:53,", "TCP:10.0.0.0/8:22", "udp:10.0.0.1:0", "tcp:[2001:db8::/32]:22", ","),
    "port range": ("80", "80:90"),
    "port-range list": ("30000:32767", "80, 90:91,"),
    "ranges n-m,…": ("1-250", "10-20,30-40"),
    "range n-m": ("1-250", "7-7"),
    "CIDR list": ("10.0.0.0/8", "10.0.0.1, 10.1.2.3/16"),
    "iface/regex list": ("kube-ipvs0", "/^veth.*/,docker0", "eth_1"),
    "iface-filter list": ("docker+", "eth0.5,br-1+"),
    "regex": ("^eth.*", "a|b", "^[[:alpha:]]+$", r"\pL{2}\z", "(?i)(?P<n>x)"),
    "IPv4 address": ("10.0.0.1",),
    "IPv6 address": ("fd00::1",),
    "URL list": ("http://a:2379", "https://10.0.0.1:2379,https://b:2379/"),
    "DNS label": ("region-1", "a" * 46),
    "DSCP": ("0", "63", "AF21", "ef"),
    "key=duration list": ("InternalDataplaneMainLoop=5m, a b=1h30m,",),
    "string": ("anything at all",),
    "String": ("anything at all",),
    "path": ("/var/run/x",),
}
BAD: dict[str, tuple[str, ...]] = {
    "bool": ("perhaps", "on", "2"),
    "int": ("many", "1.5", "9" * 30, "1__0", "_1", "1_", "08", "0x", "０", "1 2"),
    "int 0–9999": ("-1", "10000"),
    "int [0,65535]": ("-1", "65536", "http"),
    "int [1,3000]": ("0", "3001"),
    "int [-1,2^63-1]": ("-2", "9223372036854775808"),
    "int [1,2147483646]": ("0", "2147483647"),
    "bitmask ≥2 bits": ("0x1", "0", "0x1ffffffff", "-1", "mask"),
    "seconds": ("90s", "1m30s", "nan", "inf", "soon", "1e999"),
    "ms": ("50ms", "x"),
    "port-list": (
        "10.0.0.0/8:22",
        "tcp:[]:22",
        "[fd00::/8]:22",
        "tcp::22",
        "tcp:ssh",
        "icmp:1",
        "tcp:65536",
        "tcp:10.0.0.0/33:22",
        "tcp:fd00::/8:22",
        "22:33",
        "tcp:22 udp:53",
    ),
    "port range": ("90:80", "http", "65536", "1:2:3"),
    "port-range list": ("http", "1,2,3,4,5,6,7,8"),
    "ranges n-m,…": ("0-5", "5-1", "1-65536", "x", "1-40000,50000-90000"),
    "range n-m": ("1-251", "0-1", "x"),
    "CIDR list": ("10.0.0.0/33", "10.0.0.0/8,x"),
    "iface/regex list": (
        "a b",
        "/(/",
        "/a b/",
        "x" * 16,
        "eth0.5",
        "/(a+)+/",
        "/[[:alpha:]]/",
        "/a++/",
        r"/x\z/",
        ",".join("x" * 300),
    ),
    "iface-filter list": ("a b", "x" * 16),
    "regex": ("(", "[", "x" * 1025, "(?=x)", r"(a)\1", "a++", r"x\Z"),
    "IPv4 address": ("10.0.0.300", "fd00::1", "10.0.0.1/8", "x"),
    "IPv6 address": ("10.0.0.1", "fd00::1/64", "x"),
    "URL list": ("a:2379", "http://a:1,https://b:2", "http://a:1/path", "ftp://a:1"),
    "DSCP": ("64", "-1", "AF99"),
    "key=duration list": ("a", "a=soon", "a=-1s", "a.b=1s"),
}
"""Types that are not here take every text."""

_SPECIAL_GOOD: dict[str, tuple[str, ...]] = {
    "BPFConntrackTimeouts": ("TCPSynSent=5s,udptimeout=Auto,", "GenericTimeout=0"),
    "BPFLogFilters": ("eth0=tcp,all=udp port 53",),
    "FeatureDetectOverride": ("SNATFullyRandom=true,RestoreSupportsLock=,", "a=false"),
    "FeatureGates": ("a=1,b=x,",),
    "ExternalNodesCIDRList": ("10.0.0.0/8, 10.1.1.1",),
    "InterfacePrefix": ("cali", "cali, tap,"),
    "IptablesNATOutgoingInterfaceFilter": ("eth+",),
    "LogActionRateLimit": ("10/second",),
}
_SPECIAL_BAD: dict[str, tuple[str, ...]] = {
    "BPFConntrackTimeouts": (),  # what of it nobody can read is said, and does not count
    "BPFLogFilters": ("eth0", "a b=tcp", "eth0="),
    "FeatureDetectOverride": ("x", "a=perhaps", "a-b=true"),
    "FeatureGates": ("x", "a b=1"),
    "ExternalNodesCIDRList": ("fd00::/8",),
    "InterfacePrefix": (",", " , ,"),
    "IptablesNATOutgoingInterfaceFilter": ("a b",),
}


def words_of(row: Row) -> list[str]:
    """The words that the parameter can have; none where it is of another type."""
    return row.values.split(" / ") if " / " in row.values or row.values == "all" else []


def good(row: Row) -> tuple[str, ...]:
    """Text that the parameter takes."""
    words = words_of(row)
    if words:
        return tuple(text for word in words for text in (word, word.lower(), word.upper()) if text.lower() != "none")
    return _SPECIAL_GOOD.get(row.name) or GOOD[row.values]


def bad(row: Row) -> tuple[str, ...]:
    """Text that it does not take."""
    if words_of(row):
        return ("nonsense", "Drop,Accept")
    return _SPECIAL_BAD[row.name] if row.name in _SPECIAL_BAD else BAD.get(row.values, ())


# ---- documents

_FAILSAFES = [{"protocol": "TCP", "port": 22, "net": "fd00::/8"}, {"protocol": "UDP", "port": 53}]
DOCUMENT_GOOD: dict[str, object] = {
    "bool": True,
    "int": 5,
    "int 0–9999": 7,
    "int [0,65535]": 8080,
    "int [1,3000]": 3000,
    "int [-1,2^63-1]": -1,
    "int [1,2147483646]": 100,
    "bitmask ≥2 bits": 0xFF000000,
    "seconds": "1m30s",
    "ms": "1.5s",
    "port-list": _FAILSAFES,
    "port range": "80:90",
    "port-range list": ["30000:32767", 80],
    "ranges n-m,…": [{"min": 1, "max": 9}, {"min": 20, "max": 30}],
    "range n-m": {"min": 1, "max": 250},
    "CIDR list": ["10.0.0.0/8", "10.0.0.1"],
    "iface/regex list": "kube-ipvs0,/^veth.*/",
    "iface-filter list": ["docker+", "eth0"],
    "regex": "^eth.*",
    "IPv4 address": "10.0.0.1",
    "IPv6 address": "fd00::1",
    "DNS label": "region-1",
    "DSCP": "AF21",
    "key=duration list": [{"name": "Main Loop", "timeout": "1m30s"}],
    "string": "text",
    "String": "text",
    "path": "/x",
}
DOCUMENT_BAD: dict[str, tuple[object, str]] = {
    "bool": ("true", "TT1103"),
    "int": ("5", "TT1103"),
    "int 0–9999": (10000, "TT1105"),
    "int [0,65535]": (65536, "TT1105"),
    "int [1,3000]": (0, "TT1105"),
    "int [-1,2^63-1]": (-2, "TT1105"),
    "int [1,2147483646]": (0, "TT1105"),
    "bitmask ≥2 bits": (2**32, "TT1105"),
    "seconds": ("soon", "TT1116"),
    "ms": ("soon", "TT1116"),
    "port-list": ([{"protocol": "tcp", "port": 22}], "TT1104"),
    "port range": ("http", "TT1107"),
    "port-range list": (["http"], "TT1319"),
    "ranges n-m,…": ([{"min": 9, "max": 1}], "TT1319"),
    "range n-m": ({"min": 1, "max": 251}, "TT1319"),
    "CIDR list": (["10.0.0.0/33"], "TT1106"),
    "iface/regex list": (5, "TT1103"),
    "iface-filter list": (["a b"], "TT1115"),
    "regex": ("(", "TT1116"),
    "IPv4 address": ("10.0.0.300", "TT1106"),
    "IPv6 address": ("10.0.0.1", "TT1106"),
    "DNS label": ("-x", "TT1116"),
    "DSCP": (64, "TT1105"),
    "key=duration list": ([{"name": "a", "timeout": "-1s"}], "TT1116"),
    "string": (5, "TT1103"),
    "String": (5, "TT1103"),
    "path": (5, "TT1103"),
}
SPECIAL_DOCUMENTS: dict[str, tuple[object, object, str]] = {
    "BPFConntrackTimeouts": ({"udpTimeout": "5s", "tcpFinsSeen": "Auto"}, {"udpTimeout": "auto"}, "TT1116"),
    "BPFLogFilters": ({"eth0": "tcp"}, {"a b": "tcp"}, "TT1115"),
    "BPFCTLBLogFilter": ("all", 5, "TT1103"),
    "BPFRedirectToPeer": ("Enabled", "L2Only", "TT1104"),
    "BPFMapSizeConntrackCleanupQueue": (1, 0, "TT1105"),
    "BPFExtToServiceConnmark": (2**32 - 1, 2**32, "TT1105"),
    "BPFKubeProxyHealthzPort": (0, 65536, "TT1105"),
    "ExternalNodesCIDRList": (["10.0.0.0/8"], ["fd00::/8"], "TT1106"),
    "FeatureDetectOverride": ("a=true,b=", "a=true, b=", "TT1116"),
    "FeatureGates": ("a=1", "a b", "TT1116"),
    "InterfacePrefix": ("cali,tap", ",", "TT1116"),
    "IptablesNATOutgoingInterfaceFilter": ("eth+", "a b", "TT1116"),
    "LogPrefix": ("x: %t", "x!", "TT1116"),
    "PrometheusMetricsHost": ("::1", "a b", "TT1116"),
    "WireguardInterfaceName": ("wg0", "a b", "TT1116"),
    "WireguardInterfaceNameV6": ("wg0", "a b", "TT1116"),
    "WireguardListeningPort": (1, 0, "TT1105"),
    "WireguardListeningPortV6": (65535, 65536, "TT1105"),
    "WireguardRoutingRulePriority": (32765, 32766, "TT1105"),
}
_SPELLED = {
    "IptablesBackend": "NFT",
    "BPFConntrackLogLevel": "Debug",
    "DefaultEndpointToHostAction": "Accept",
    "RouteSource": "WorkloadIPs",
}


def document_good(row: Row) -> object:
    """A value that documents may hold."""
    if row.name in SPECIAL_DOCUMENTS:
        return SPECIAL_DOCUMENTS[row.name][0]
    words = words_of(row)
    return _SPELLED.get(row.name, words[-1]) if words else DOCUMENT_GOOD[row.values]


def document_bad(row: Row) -> tuple[object, str]:
    """A value that they may not hold, and the code of the problem."""
    if row.name in SPECIAL_DOCUMENTS:
        return SPECIAL_DOCUMENTS[row.name][1:]
    return ("nonsense", "TT1104") if words_of(row) else DOCUMENT_BAD[row.values]


IN_DOCUMENTS = [row for row in ROWS if row.field]
