"""Parameters of logs, health, metrics, reports and flow logs. Source: reference config.md section 8."""

from tortie.resources.felix.pairs import HEALTH_TIMEOUTS
from tortie.resources.felix.parameter import Parameter
from tortie.resources.felix.syntax import PATH, PORT_NUMBER, REGEX, SECONDS, SWITCH, TEXT, matching, whole, word, words

_SEVERITY = word("Trace", "Debug", "Info", "Warning", "Error", "Fatal", ignore_case=True, may_be_empty=True)

_LOGS: tuple[Parameter[object], ...] = (
    Parameter("LogActionRateLimit", TEXT, "", "Most packets that Log rules report, such as 10/second; empty: all."),
    Parameter("LogActionRateLimitBurst", whole(0, 9999), "5", "How many such packets may come at once."),
    Parameter("LogDebugFilenameRegex", REGEX, "", "Source files whose debug messages are logged."),
    Parameter("LogFilePath", PATH, "/var/log/calico/felix.log", "The agent's log file.", is_fatal=True),
    Parameter(
        "LogPrefix",
        words(matching(r"[a-zA-Z0-9%: /_-]*\Z", "letters, digits and % : / _ -")),
        "calico-packet",
        "Beginning of what Log rules report; %t, %k, %n, %p stand for tier, kind and names.",
    ),
    Parameter("LogSeverityFile", _SEVERITY, "Info", "Least severity that is written to the log file."),
    Parameter("LogSeverityScreen", _SEVERITY, "Info", "Least severity that is written to the standard output."),
    Parameter("LogSeveritySys", _SEVERITY, "Info", "Least severity that is sent to the system's log."),
)
_HEALTH: tuple[Parameter[object], ...] = (
    Parameter("HealthEnabled", SWITCH, "false", "Answer questions for liveness and readiness over HTTP."),
    Parameter("HealthHost", TEXT, "localhost", "Address on which they are answered."),
    Parameter("HealthPort", PORT_NUMBER, "9099", "Port on which they are answered."),
    Parameter("HealthTimeoutOverrides", HEALTH_TIMEOUTS, "", "By component, how long it may be silent."),
)
_METRICS: tuple[Parameter[object], ...] = (
    Parameter("PrometheusGoMetricsEnabled", SWITCH, "true", "Report metrics of the Go runtime."),
    Parameter("PrometheusMetricsCAFile", PATH, "", "Certificates that clients of the metrics are checked by."),
    Parameter("PrometheusMetricsCertFile", PATH, "", "Certificate for the metrics."),
    Parameter(
        "PrometheusMetricsClientAuth",
        word("NoClientCert", "RequireAndVerifyClientCert", "RequireAnyClientCert", "VerifyClientCertIfGiven"),
        "NoClientCert",
        "Whether clients of the metrics need a certificate.",
    ),
    Parameter("PrometheusMetricsEnabled", SWITCH, "false", "Serve metrics over HTTP."),
    Parameter(
        "PrometheusMetricsHost",
        words(matching(r"[a-zA-Z0-9:._+-]{1,64}\Z", "a host name or address"), "a host name or address"),
        "",
        "Address on which metrics are served; empty: all.",
    ),
    Parameter("PrometheusMetricsKeyFile", PATH, "", "Key for the metrics' certificate."),
    Parameter("PrometheusMetricsPort", PORT_NUMBER, "9091", "Port on which metrics are served."),
    Parameter("PrometheusProcessMetricsEnabled", SWITCH, "true", "Report metrics of the process."),
    Parameter("PrometheusWireGuardMetricsEnabled", SWITCH, "true", "Report metrics of WireGuard."),
)
_REPORTS: tuple[Parameter[object], ...] = (
    Parameter(
        "ReportingIntervalSecs",
        SECONDS,
        "30",
        "How often the agent reports that it lives; 0: never.",
        key="reportingInterval",
    ),
    Parameter("ReportingTTLSecs", SECONDS, "90", "How long such a report is good for.", key="reportingTTL"),
    Parameter("EndpointReportingEnabled", SWITCH, "false", "Report the state of endpoints to the datastore."),
    Parameter(
        "EndpointReportingDelaySecs",
        SECONDS,
        "1",
        "How long such reports are gathered.",
        key="endpointReportingDelay",
    ),
    Parameter("UsageReportingEnabled", SWITCH, "true", "Report anonymous figures of use to the makers."),
    Parameter(
        "UsageReportingInitialDelaySecs",
        SECONDS,
        "300",
        "How long after the start the first figures are reported.",
        key="usageReportingInitialDelay",
    ),
    Parameter(
        "UsageReportingIntervalSecs",
        SECONDS,
        "86400",
        "How often figures are reported.",
        key="usageReportingInterval",
    ),
)
_FLOWS: tuple[Parameter[object], ...] = (
    Parameter("FlowLogsCollectorDebugTrace", SWITCH, "false", "Log what the collector of flows does."),
    Parameter("FlowLogsFlushInterval", SECONDS, "300", "How often flows are written out."),
    Parameter("FlowLogsGoldmaneServer", TEXT, "", "Server that flows are sent to."),
    Parameter(
        "FlowLogsLocalReporter", word("Disabled", "Enabled"), "Disabled", "Offer flows on a unix socket of this host."
    ),
    Parameter(
        "FlowLogsPolicyEvaluationMode",
        word("Continuous", "None"),
        "Continuous",
        "Whether flows that exist are judged again when policy changes.",
    ),
)

PARAMETERS = (*_LOGS, *_HEALTH, *_METRICS, *_REPORTS, *_FLOWS)
