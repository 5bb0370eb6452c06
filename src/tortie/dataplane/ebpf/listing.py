"""What the programs of an interface are given, as text to read beside `nft list ruleset` and `iptables -S`. Pure.

Programs have tables and no rules. What the tables are made of is listed: for each class and direction the rules in
order, each with its terms (`terms`), and what the classifier's compiler made of all of them: which of its back ends,
and the outcomes, each of which is one counter: the rules that a packet meets, and what becomes of it.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import groupby

from tortie.dataplane.ebpf.classifiers import REASON_BASE, STAGES
from tortie.dataplane.ebpf.compile import ACTIONS, Block, Classifier, Outcome, compile_rules
from tortie.dataplane.ebpf.members import members_of
from tortie.dataplane.ebpf.terms import EVERY_PROTOCOL, Atom, NetsAtom, Spans, Term, terms
from tortie.dataplane.telling import described
from tortie.model.address import format_address
from tortie.model.desired import EndpointState
from tortie.model.ipset import AddressSet, IPSet
from tortie.model.packet import ICMP, ICMPV6, Direction
from tortie.model.policy import Stage
from tortie.model.rule import Action, Rule
from tortie.model.stages import stage_groups
from tortie.model.verdict import RuleRef
from tortie.model.walk import Group

_ICMPS = 1 << ICMP | 1 << ICMPV6
_DENY = Rule(Action.DENY)
_ACTIONS = {number: action.value for action, number in ACTIONS.items()}
_BY_NFT = "decided by nft, because the programs come behind connection tracking there"
_FEW = 8
"""Members and protocols that are listed one by one."""

Numbered = tuple[RuleRef, Rule]


def listing(state: EndpointState, sets: Mapping[str, IPSet]) -> str:
    """The endpoint's interface. Raises: Unsupported where policy is too large."""
    lines = [f"interface {state.interface.name}, {state.endpoint}"]
    named: dict[str, None] = {}
    for direction in Direction:
        for stage in STAGES:
            if stage is Stage.NORMAL or state.stage(stage, direction):
                lines += ["", f"{direction.value} {stage.value}"]
                lines += (f"    {line}" for line in _stage(state, stage, direction, sets, named))
    if named:
        lines += ["", "sets", *(f"    {set_id}: {_members(sets.get(set_id))}" for set_id in named)]
    return "".join(f"{line}\n" for line in lines)


def _stage(
    state: EndpointState, stage: Stage, direction: Direction, sets: Mapping[str, IPSet], named: dict[str, None]
) -> Iterator[str]:
    groups = stage_groups(state, stage, direction)
    numbered = [each for group in groups for each in _rules(group)]
    for group in groups:
        yield _called(group.end)
        for ref, rule in group.rules:
            yield f"    {described(ref)}: {rule.action.value}"
            found = terms(rule, sets)
            yield from (f"        {_term(term)}" for term in found)
            if not found:
                yield "        never holds"
            named.update(dict.fromkeys(source.set_id for source in rule.set_sources()))
        yield f"    end: {'deny' if group.denies else 'the next one'}"
    if (stage, direction) == (Stage.UNTRACKED, Direction.EGRESS):
        yield _BY_NFT
    else:
        yield from _outcomes(groups, [ref for ref, _ in numbered], sets)


def _rules(group: Group) -> Sequence[Numbered]:
    """The group's rules, with its end where that is one."""
    return [*group.rules, *([(group.end, _DENY)] if group.denies else [])]


def _outcomes(groups: Iterable[Group], refs: Sequence[RuleRef], sets: Mapping[str, IPSet]) -> Iterator[str]:
    tiers = [
        [_block(rules, sets) for _, rules in groupby(_rules(group), lambda each: each[0].policy)] for group in groups
    ]
    atoms = dict.fromkeys(atom for tier in tiers for block in tier for atom in block.sets)
    members = {atom: members_of(atom, sets[atom.set_id]) for atom in atoms if atom.set_id in sets}
    classifier = Classifier(tiers, members)
    try:
        yield f"tables: {classifier.backend}"
        for result in range(classifier.results):
            outcome = classifier.outcome(result)
            if outcome is not None:
                yield f"outcome {result}: {_outcome(outcome, refs)}"
    finally:
        classifier.close()


def _block(rules: Iterable[Numbered], sets: Mapping[str, IPSet]) -> Block:
    return compile_rules([rule for _, rule in rules], sets)


def _outcome(outcome: Outcome, refs: Sequence[RuleRef]) -> str:
    met = [described(refs[number]) for number in outcome.rules]
    said = "nothing decides"
    if outcome.reason == REASON_BASE:
        said = f"{_ACTIONS[outcome.verdict]} by {met.pop()}"
    return said + (f", behind {', '.join(met)}" if met else "")


def _called(end: RuleRef) -> str:
    """The group's name: tier default, profile open, or the endpoint's default."""
    return f"{'default' if end.policy.kind.endswith('Endpoint') else end.policy.kind.lower()} {end.policy.name}"


# ---- terms


def _term(term: Term) -> str:
    is_icmp = term.protocols & ~_ICMPS == 0
    parts = [
        *([f"IPv{term.version}"] if term.version else []),
        *([_protocols(term.protocols)] if term.protocols != EVERY_PROTOCOL else []),
        *_addresses("source", term.source_in, term.source_out),
        *([f"source port {_spans(term.sports, _port)}"] if term.sports is not None else []),
        *_addresses("destination", term.destination_in, term.destination_out),
    ]
    if term.dports is not None:
        what, form = ("ICMP type/code", _type) if is_icmp else ("destination port", _port)
        parts.append(f"{what} {_spans(term.dports, form)}")
    return ", ".join(parts) or "everything"


def _protocols(bits: int) -> str:
    listed = [number for number in range(256) if bits >> number & 1]
    if len(listed) <= _FEW:
        return f"protocol {' '.join(map(str, listed))}"
    return f"protocol not {' '.join(str(number) for number in range(256) if not bits >> number & 1)}"


def _addresses(side: str, inside: Iterable[Atom], outside: Iterable[Atom]) -> Iterator[str]:
    yield from (f"{side} in {_atom(atom)}" for atom in inside)
    yield from (f"{side} not in {_atom(atom)}" for atom in outside)


def _atom(atom: Atom) -> str:
    if isinstance(atom, NetsAtom):
        return " ".join(map(str, atom.nets))
    if atom.protocol is None:
        return atom.set_id
    return f"{atom.set_id} of protocol {atom.protocol}" + (f" port {atom.port}" if atom.port is not None else "")


def _spans(spans: Spans, form: Callable[[int], str]) -> str:
    return " ".join(form(first) if first == last else f"{form(first)}-{form(last)}" for first, last in spans) or "none"


def _port(number: int) -> str:
    return str(number)


def _type(number: int) -> str:
    return f"{number >> 8}/{number & 255}"


def _members(members: IPSet | None) -> str:
    if members is None:
        return "not there, and so empty"
    if isinstance(members, AddressSet):
        listed = [str(net) for net in sorted(members.members)]
    else:
        listed = [
            f"{format_address(one.version, one.address)},{one.protocol}:{one.port}" for one in sorted(members.members)
        ]
    text = " ".join(listed[:_FEW]) or "empty"
    return text if len(listed) <= _FEW else f"{text} and {len(listed) - _FEW} more"
