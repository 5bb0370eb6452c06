"""What a user means by a word: a port, an endpoint, a policy. Pure."""

from collections.abc import Iterable

from tortie.apps.decoding import key_of
from tortie.apps.explain.answers import ExplainQuery
from tortie.apps.explain.study import Question
from tortie.apps.failure import Code, Failure
from tortie.apps.kinds import POLICIES
from tortie.apps.labelled import ENDPOINTS, Labelled, Things
from tortie.apps.trace.hostview import Documents
from tortie.apps.trace.staged import Staging
from tortie.model.packet import PORTED, TCP
from tortie.model.policy import Policy
from tortie.resources.codec import lower
from tortie.resources.fields import suggest
from tortie.resources.kind import Resource
from tortie.resources.problems import InvalidDocument
from tortie.resources.values import PROTOCOLS
from tortie.store.protocol import Key

PORT_FORMS = "write 5432 (TCP), tcp/5432, udp/53, sctp/9, or the name of a port"


def port_of(word: str) -> Question | None:
    """The port that a number means; None for a name. Raises: Failure USAGE."""
    protocol, slash, text = word.rpartition("/")
    if not slash and not word.isdigit():
        return None
    numbers = {name.lower(): number for name, number in PROTOCOLS.items() if number in PORTED}
    number = numbers.get(protocol.lower()) if slash else TCP
    if number is None or not (text.isascii() and text.isdigit() and len(text) <= 5 and 1 <= int(text) <= 65535):
        raise Failure(Code.USAGE, f"{word[:60]!r} is no port; {PORT_FORMS}")
    return Question((number,), int(text))


def unknown_port(word: str, known: Iterable[str], node: str) -> Failure:
    """What to say of a name that no endpoint has a port of."""
    names = sorted(known)
    hint = suggest(word, names) or (f"named ports here: {', '.join(names)}" if names else PORT_FORMS)
    return Failure(Code.NOT_FOUND, f"no endpoint of node {node} has a port named {word[:60]!r}; {hint}")


def endpoint_named(things: Things, query: ExplainQuery) -> Labelled:
    """The endpoint of that name, a pod's also by the pod's. Raises: Failure NOT_FOUND; USAGE where several have it."""
    endpoints = [one for one in things.labelled if one.key.kind in ENDPOINTS]
    found: dict[object, Labelled] = {}
    for one in endpoints:
        if any(answers_to(key, query) for key in (one.key, Key("WorkloadEndpoint", one.key.namespace, one.value.name))):
            found.setdefault((one.key.namespace, one.value.name), one)  # a pod and its endpoint are one
    if len(found) == 1:
        return next(iter(found.values()))
    if found:
        named = ", ".join(str(one) for one in found.values())
        raise Failure(Code.USAGE, f"several endpoints are named {query['name'][:80]!r}: {named}; give one of these")
    hint = suggest(query["name"], [one.key.name for one in endpoints]) or "see tortie get hep,wep,pod -A"
    raise Failure(Code.NOT_FOUND, f"no endpoint is named {query['name'][:80]!r}; {hint}")


def unknown_policy(query: ExplainQuery, known: Iterable[Key]) -> Failure:
    """What to say of a name that no policy has."""
    hint = suggest(query["name"], [key.name for key in known]) or "see tortie get gnp,np,knp,kcnp -A"
    return Failure(Code.NOT_FOUND, f"no policy is named {query['name'][:80]!r}; {hint}")


def answers_to(key: Key, query: ExplainQuery) -> bool:
    """Whether the word names it: `web`, `shop/web`, or `NetworkPolicy(shop/web)`."""
    if query["namespace"] and key.namespace != query["namespace"]:
        return False
    return query["name"] in (key.name, f"{key.namespace}/{key.name}", str(key))


def policies_of(documents: Documents) -> dict[Key, Policy]:
    """Every policy that counts."""
    return _lowered(documents.resources(POLICIES))


def policies_staged(staged: Iterable[Staging]) -> dict[Key, Policy]:
    """The policies that these would make."""
    return _lowered(one.enforced for one in staged if one.enforced is not None)


def _lowered(resources: Iterable[Resource]) -> dict[Key, Policy]:
    found = {}
    for resource in resources:
        try:
            value = lower(resource)
        except InvalidDocument:
            continue  # counts as absent, as in the agent
        if isinstance(value, Policy):
            found[key_of(resource)] = value
    return found
