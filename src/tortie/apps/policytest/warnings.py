"""What a test's resources say and probably do not mean: sentences for people, which fail no test."""

from collections.abc import Iterable, Iterator

from tortie.calc import Engine
from tortie.model.desired import MissingProfile
from tortie.model.host import Host
from tortie.model.ipset import ServiceSet
from tortie.model.names import namespace_profile, service_account_profile
from tortie.resources.kind import Resource


def missing(engine: Engine, host: Host) -> Iterator[str]:
    """What documents ask for and is not there."""
    for status in engine.statuses():
        if status.problem:
            yield f"HostEndpoint({status.endpoint}): {status.problem}"
    states = (*host.endpoints.values(), *host.workloads.values())
    unknown = {
        (state.endpoint, profile.name): None
        for state in states
        for profile in state.profiles
        if isinstance(profile, MissingProfile)
    }
    for endpoint, profile_name in unknown:
        yield f"profile {profile_name}, which {endpoint} lists, does not exist: it denies at its place in the list"
    services = {
        source: None
        for state in states
        for rule in state.rules()
        for source in rule.set_sources()
        if isinstance(source, ServiceSet) and not len(host.sets[source.set_id])
    }
    for namespace, name in dict.fromkeys((one.namespace, one.name) for one in services):
        yield f"no endpoint of service {namespace}/{name} is known, so rules with it match nothing: add EndpointSlices"


def overlaid(resources: Iterable[Resource]) -> Iterator[str]:
    """A warning for each namespace and service account of which the profile is a document, too."""
    listed = list(resources)
    given = {one.name for one in listed if one.kind == "Profile"}
    for one in listed:
        if one.kind == "Namespace":
            name = namespace_profile(one.name)
        elif one.kind == "ServiceAccount":
            name = service_account_profile(one.namespace, one.name)
        else:
            continue
        if name in given:
            yield f"{one}: the labels and rules that count are those of Profile({name})"
