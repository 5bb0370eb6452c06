"""FelixConfiguration: settings of the agents. Its fields are the parameters of `resources/felix`.

An annotation `config.projectcalico.org/<Parameter>` overrides a field. Upstream does not look at such a value before an
agent reads it; here one that nobody can read is refused where tortie acts on it or agents would stop for it. Of the
others `apply` warns.
Source: reference config.md, resources.md section 8.19.
"""

from tortie.model.settings import DEFAULT_NAME, NODE_PREFIX, FelixSettings
from tortie.resources.felix import FIELDS, OWN_ANNOTATIONS
from tortie.resources.felix.levels import document_level, problems
from tortie.resources.felix.settings import settings_of
from tortie.resources.fields import Law, Scope, join
from tortie.resources.kind import NAME, Draft, Kind, Resource
from tortie.resources.nodes import Mapping as MappingNode

_SELECTED = "nodeSelector must not be set on the 'default' or per-node ('node.*') FelixConfiguration"
_BOTH_RANGES = "routeTableRange and routeTableRanges cannot both be set"


def _complete(draft: Draft) -> None:
    spec, scope = draft.spec, Scope(draft.spec_node, "spec", draft.problems)
    if "nodeSelector" in spec and (draft.name == DEFAULT_NAME or draft.name.startswith(NODE_PREFIX)):
        scope.report("TT1319", ("nodeSelector",), _SELECTED, remedy="remove it, or rename the object")
    if "routeTableRange" in spec and "routeTableRanges" in spec:
        scope.report("TT1319", ("routeTableRange",), _BOTH_RANGES, remedy="remove routeTableRange")
    _check_route_tables(scope, draft)
    ranges = spec.get("kubeNodePortRanges")
    if isinstance(ranges, list) and any(isinstance(each, str) and ":" not in each for each in ranges):
        message = "node port ranges should not contain named ports"
        scope.report("TT1319", ("kubeNodePortRanges",), message, remedy="write numbers or first:last")
    _check_values(scope, draft)
    switch = spec.get("bpfConnectTimeLoadBalancingEnabled")
    if isinstance(switch, bool):  # the older field wins over the two that took its place
        spec["bpfConnectTimeLoadBalancing"] = "Enabled" if switch else "Disabled"
        spec["bpfHostNetworkedNATWithoutCTLB"] = "Disabled"


def _check_values(scope: Scope, draft: Draft) -> None:
    """Refuse annotations that nobody can read, where that matters, and fields that would stop an agent."""
    resource = Resource(
        kind="FelixConfiguration",
        namespace="",
        name=draft.name,
        body={"metadata": draft.metadata, "spec": {k: v for k, v in draft.spec.items() if k != "nodeSelector"}},
    )
    node = draft.metadata_node
    annotations = (node.get("annotations") if isinstance(node, MappingNode) else None) or node
    for parameter, saying, reading in problems(document_level(resource)):
        key = saying.place.removeprefix("annotation ")
        if key != saying.place:
            matters = reading.is_fatal or parameter.is_used
            if reading.counts and matters and not parameter.syntax.doubts(saying.text):
                at = (annotations.get(key) if isinstance(annotations, MappingNode) else None) or annotations
                path = join("metadata.annotations", key)
                other = f", or use spec.{parameter.field}" if parameter.field else ""
                if not draft.problems.concern(path):
                    draft.problems.add("TT1114", at, path, reading.problem, remedy=f"correct it{other}")
        elif reading.is_fatal and not scope.concern(parameter.field):
            scope.report("TT1116", (parameter.field,), reading.problem, remedy="correct it")


def _check_route_tables(scope: Scope, draft: Draft) -> None:
    tables = 0
    many = draft.spec.get("routeTableRanges")
    one = draft.spec.get("routeTableRange")
    for key, ranges, last in (("routeTableRange", [one], 250), ("routeTableRanges", many, 2**32 - 1)):
        for each in ranges if isinstance(ranges, list) else ():
            low, high = (each.get("min"), each.get("max")) if isinstance(each, dict) else (None, None)
            if not isinstance(low, int) or not isinstance(high, int):
                continue
            tables += high - low + 1
            if low > high or high > last:
                message = f"must be a range of route table indices within 1..{last}"
                scope.report("TT1319", (key,), message, found=f"{low} to {high}", remedy="correct min and max")
    if tables > 65535:
        message, found = "targets too many tables", f"{tables} tables"
        scope.report("TT1319", ("routeTableRanges",), message, found=found, remedy="use at most 65535")


def _lower(resource: Resource) -> FelixSettings:
    return settings_of(document_level(resource))


KIND = Kind(
    name="FelixConfiguration",
    plural="felixconfigurations",
    doc="Settings of the agents: of all of them, of one node's, or of those of nodes with certain labels.",
    aliases=("felixconfiguration", "felixconfig", "felixconfigs"),
    short_names=("felixconfig", "felixconfigs"),
    fields=FIELDS,
    annotations=OWN_ANNOTATIONS,
    complete=_complete,
    laws=(Law("!(has(self.routeTableRange) && has(self.routeTableRanges))", _BOTH_RANGES),),
    lower=_lower,
    columns=(NAME,),
    wide=(NAME,),
)
