"""Parameters of the process, its datastore and what surrounds it. Source: reference config.md section 8."""

from tortie.resources.felix.lists import URLS
from tortie.resources.felix.pairs import key_values
from tortie.resources.felix.parameter import Parameter
from tortie.resources.felix.syntax import (
    DSCP,
    PATH,
    PORT_NUMBER,
    SECONDS,
    SIGNED_SECONDS,
    SWITCH,
    TEXT,
    matching,
    whole,
    word,
    words,
)
from tortie.resources.values import integer

_FEATURES = matching(r"\w+=(true|false|)(,\w+=(true|false|))*,?\Z", "name=true, name=false or name=, by commas")
_GATES = matching(r"\w+=[^,\s]*(,\w+=[^,\s]*)*,?\Z", "name=value, by commas")
_REGION = r"[a-z0-9]([-a-z0-9]{0,44}[a-z0-9])?\Z"
_AMOUNT = whole(-1, field=integer(-1))

_DATASTORE: tuple[Parameter[object], ...] = (
    Parameter(
        "DatastoreType",
        word("etcdv3", "kubernetes"),
        "etcdv3",
        "Kind of datastore.",
        is_fatal=True,
        is_local=True,
        may_be_none=False,
    ),
    Parameter("EtcdAddr", TEXT, "127.0.0.1:2379", "Host and port of etcd.", is_local=True),
    Parameter("EtcdCaFile", PATH, "", "Certificates that etcd is checked by.", is_local=True),
    Parameter("EtcdCertFile", PATH, "", "Certificate to show to etcd.", is_local=True),
    Parameter("EtcdEndpoints", URLS, "", "Addresses of etcd, instead of EtcdAddr.", is_local=True),
    Parameter("EtcdKeyFile", PATH, "", "Key of that certificate.", is_local=True),
    Parameter("EtcdScheme", word("http", "https"), "http", "Scheme for EtcdAddr.", is_local=True),
    Parameter(
        "FelixHostname", TEXT, "", "Name of this node; tortie is told it with --node.", is_local=True, may_be_none=False
    ),
)
_TYPHA: tuple[Parameter[object], ...] = (
    Parameter("TyphaAddr", TEXT, "", "Host and port of the proxy between agents and datastore.", is_local=True),
    Parameter("TyphaCAFile", PATH, "", "Certificates that the proxy is checked by.", is_local=True),
    Parameter("TyphaCN", TEXT, "", "Common name that the proxy's certificate has.", is_local=True),
    Parameter("TyphaCertFile", PATH, "", "Certificate to show to the proxy.", is_local=True),
    Parameter(
        "TyphaK8sNamespace",
        TEXT,
        "kube-system",
        "Namespace of the Service that the proxy is found by.",
        is_local=True,
        may_be_none=False,
    ),
    Parameter("TyphaK8sServiceName", TEXT, "", "Service that the proxy is found by.", is_local=True),
    Parameter("TyphaKeyFile", PATH, "", "Key of the certificate to show to the proxy.", is_local=True),
    Parameter("TyphaReadTimeout", SECONDS, "30", "How long the proxy may be silent.", is_local=True),
    Parameter("TyphaURISAN", TEXT, "", "Address that the proxy's certificate has.", is_local=True),
    Parameter("TyphaWriteTimeout", SECONDS, "10", "How long a write to the proxy may take.", is_local=True),
)
_PROCESS: tuple[Parameter[object], ...] = (
    Parameter("UseInternalDataplaneDriver", SWITCH, "true", "Work with the built-in dataplane."),
    Parameter(
        "DataplaneDriver",
        PATH,
        "calico-iptables-plugin",
        "Program of an external dataplane.",
        is_fatal=True,
        may_be_none=False,
    ),
    Parameter("DataplaneWatchdogTimeout", SIGNED_SECONDS, "90", "How long the dataplane may be silent."),
    Parameter(
        "FeatureDetectOverride",
        key_values("name=true, name=false or name=", _FEATURES, lambda text: text in ("", "true", "false")),
        "",
        "Features of kernel and tools that are taken for present or absent, whatever is found.",
    ),
    Parameter("FeatureGates", key_values("name=value", _GATES), "", "Previews that are switched on."),
    Parameter("GoGCThreshold", _AMOUNT, "40", "How eagerly the Go runtime collects garbage; -1: never."),
    Parameter("GoMaxProcs", _AMOUNT, "-1", "Processors that the Go runtime uses; -1: all."),
    Parameter("GoMemoryLimitMB", _AMOUNT, "-1", "Megabytes that the Go runtime aims to stay below; -1: no limit."),
)
_SURROUNDINGS: tuple[Parameter[object], ...] = (
    Parameter("CgroupV2Path", PATH, "", "Where the control groups are mounted."),
    Parameter("IstioAmbientMode", word("Disabled", "Enabled"), "Disabled", "Work together with Istio's ambient mode."),
    Parameter("IstioDSCPMark", DSCP, "23", "DSCP value of Istio's own packets."),
    Parameter("SidecarAccelerationEnabled", SWITCH, "false", "Join the sockets of a pod and its proxy."),
    Parameter(
        "WindowsManageFirewallRules", word("Disabled", "Enabled"), "Disabled", "Manage the firewall of Windows hosts."
    ),
    Parameter(
        "MetadataAddr", TEXT, "127.0.0.1", "Address of OpenStack's metadata server; none: no rule.", is_fatal=True
    ),
    Parameter("MetadataPort", PORT_NUMBER, "8775", "Port of OpenStack's metadata server.", is_fatal=True),
    Parameter(
        "OpenstackRegion",
        words(matching(_REGION, "a DNS label of at most 46 characters"), "a DNS label of at most 46 characters"),
        "",
        "Region of OpenStack that this host is in.",
        is_fatal=True,
    ),
    Parameter(
        "AWSSrcDstCheck",
        word("Disable", "DoNothing", "Enable"),
        "DoNothing",
        "What to do with the check of addresses on EC2 instances.",
        key="awsSrcDstCheck",
        may_be_none=False,
    ),
)

PARAMETERS = (*_DATASTORE, *_TYPHA, *_PROCESS, *_SURROUNDINGS)
