"""KubeControllersConfiguration: what the controllers beside Kubernetes do.

Source: reference resources.md section 8.20.
"""

from tortie.resources.addresses import net
from tortie.resources.fields import Field, Fields, Json, Law, Scope, list_of, map_of, object_of
from tortie.resources.kind import DEFAULT_NAME_LAW, NAME, Draft, Kind, check_default_name
from tortie.resources.metadata import annotations, labels
from tortie.resources.values import SUBDOMAIN, duration, enum, integer, pattern, regex, selector, text

_NEITHER = "a template needs interfaceCIDRs or interfacePattern"
_switch = enum("Enabled", "Disabled")


def _check_template(scope: Scope, value: dict[str, Json]) -> None:
    is_judged = scope.concern("interfaceCIDRs") or scope.concern("interfacePattern")
    if "interfaceCIDRs" not in value and "interfacePattern" not in value and not is_judged:
        scope.report("TT1337", (), _NEITHER, remedy="add one of them")


_template = object_of(
    {
        "generateName": Field(
            pattern("TT1112", SUBDOMAIN, "lower case alphanumeric characters, '-' or '.'", limit=253),
            "A part of the names of the host endpoints that are made of it.",
            is_required=True,
        ),
        "interfaceCIDRs": Field(
            list_of(net(strict=False, may_be_address=True)), "Addresses of interfaces that get an endpoint."
        ),
        "interfacePattern": Field(regex, "Names of interfaces that get an endpoint, as a regular expression."),
        "labels": Field(labels, "Labels of these endpoints, before those of their node."),
        "annotations": Field(annotations, "Annotations of these endpoints."),
        "nodeSelector": Field(selector(), "The nodes whose interfaces are looked at; without it, all."),
    },
    _check_template,
    (
        Law(
            "(has(self.interfaceCIDRs) && self.interfaceCIDRs.size() > 0) "
            "|| (has(self.interfacePattern) && self.interfacePattern != '')",
            _NEITHER,
        ),
    ),
)
_host_endpoint = object_of(
    {
        "autoCreate": Field(_switch, "Whether every node gets host endpoints.", default="Disabled"),
        "createDefaultHostEndpoint": Field(_switch, "Whether a node gets one for all its interfaces."),
        "templates": Field(list_of(_template), "Host endpoints for certain interfaces of certain nodes."),
    }
)


def _controller(**more: Field) -> Field:
    period = Field(duration(), "How often everything is looked at again; 0: only what changes is.", default="5m")
    return Field(object_of({"reconcilerPeriod": period, **more}), "The controller; without it, it does not run.")


_controllers = object_of(
    {
        "node": _controller(
            syncLabels=Field(_switch, "Whether Kubernetes nodes' labels are copied to Nodes.", default="Enabled"),
            leakGracePeriod=Field(
                duration(), "How long an address that nothing has stays taken; 0: for ever.", default="15m"
            ),
            hostEndpoint=Field(_host_endpoint, "Host endpoints that are made for nodes."),
        ),
        "policy": _controller(),
        "workloadEndpoint": _controller(),
        "serviceAccount": _controller(),
        "namespace": _controller(),
        "loadBalancer": Field(
            object_of(
                {
                    "assignIPs": Field(
                        enum("AllServices", "RequestedServicesOnly"),
                        "Which services of type LoadBalancer get an address.",
                        default="AllServices",
                    )
                }
            ),
            "The controller of services' addresses; without it, it does not run.",
        ),
        "migration": Field(
            object_of(
                {
                    "policyNameMigrator": Field(
                        _switch, "Whether policies under names of older versions are moved.", default="Enabled"
                    )
                }
            ),
            "The controller of stored documents; without it, it does not run.",
        ),
    }
)
_FIELDS: Fields = {
    "logSeverityScreen": Field(
        enum("None", "Debug", "Info", "Warning", "Error", "Fatal", "Panic", may_be_empty=True),
        "From which severity on messages are logged.",
        default="Info",
    ),
    "healthChecks": Field(_switch, "Whether the controllers report whether they work.", default="Enabled"),
    "etcdV3CompactionPeriod": Field(duration(), "How often the datastore etcd is compacted; 0: never.", default="10m"),
    "prometheusMetricsPort": Field(integer(0, 65535), "The port for metrics; 0: none.", default=9094),
    "debugProfilePort": Field(integer(0, 65535), "The port for profiles of the controllers themselves; 0: none."),
    "controllers": Field(_controllers, "Which controllers run."),
}


def _complete(draft: Draft) -> None:
    found: Json | None = draft.spec
    for key in ("controllers", "node", "hostEndpoint", "templates"):
        found = found.get(key) if isinstance(found, dict) else None
    names: set[Json] = set()
    for index, each in enumerate(found if isinstance(found, list) else ()):
        name = each.get("generateName") if isinstance(each, dict) else None
        if name is not None and name in names:
            where = ("controllers", "node", "hostEndpoint", "templates", index, "generateName")
            scope = Scope(draft.spec_node, "spec", draft.problems)
            scope.report("TT1111", where, "listed twice", found=f'"{name}"', remedy="give each template its own name")
        names.add(str(name))


KIND = Kind(
    name="KubeControllersConfiguration",
    plural="kubecontrollersconfigurations",
    doc="What the controllers beside Kubernetes do; there is one, called `default`.",
    aliases=(
        "kubecontrollersconfiguration",
        "kubecontrollersconfig",
        "kubecontrollersconfigs",
        "kcc",
        "kccs",
    ),
    short_names=("kcc", "kccs"),
    check_name=check_default_name,
    laws=(DEFAULT_NAME_LAW,),
    fields=_FIELDS,
    status={
        "runningConfig": Field(object_of(_FIELDS), "What the controllers run with."),
        "environmentVars": Field(
            map_of(lambda key, path, problems: None, text), "Settings that came from the environment, and win."
        ),
    },
    complete=_complete,
    lower=None,
    columns=(NAME,),
    wide=(NAME,),
)
