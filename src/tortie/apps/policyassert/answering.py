"""From a file of assertions to what came of them, as JSON."""

from collections.abc import Mapping, Sequence

from tortie.apps.packets import describe
from tortie.apps.policyassert.answers import AssertedAnswer, AssertionsAnswer, CounterAnswer
from tortie.apps.policyassert.document import PolicyAssertion
from tortie.apps.policyassert.hints import hint
from tortie.apps.policyassert.proving import CounterExample, Proof, Prover, Scene
from tortie.apps.policytest.document import Unloadable
from tortie.apps.policytest.running import rule_name
from tortie.apps.policytest.world import World, build
from tortie.apps.trace.origins import Origins
from tortie.apps.trace.visits import Rulebook, passage_lines
from tortie.model.endpoint import Interface
from tortie.model.packet import Fragment
from tortie.resources.fields import Scope, join
from tortie.resources.problems import Problem, Problems


def answer(asserted: PolicyAssertion) -> AssertionsAnswer:
    """What came of the assertions about the host that the file describes. Raises: Unloadable; Failure."""
    world = load(asserted)
    return _answer(asserted, Scene(world.host, world.interfaces), world.warnings)


def load(asserted: PolicyAssertion) -> World:
    """The host that the file describes; nothing was asked of it yet. Raises: Unloadable."""
    passes_on = any(one.direction == "forward" for one in asserted.assertions)
    world = build(asserted, passes_on=passes_on, asked=[asserted.asked])
    _check(asserted, world.interfaces, forwards=world.forwards)
    return world


def answer_about(asserted: PolicyAssertion, scene: Scene, warnings: Sequence[str]) -> AssertionsAnswer:
    """What came of the assertions about this host. Raises: Unloadable; Failure."""
    _check(asserted, scene.interfaces, forwards=True)
    return _answer(asserted, scene, warnings)


def _answer(asserted: PolicyAssertion, scene: Scene, warnings: Sequence[str]) -> AssertionsAnswer:
    proofs = list(Prover(scene, asserted.assertions).proofs())
    book = Rulebook(Origins(asserted.texts), scene.host.sets)
    found: AssertionsAnswer = {
        "file": asserted.source,
        "assertions": [_asserted(number, proof, book) for number, proof in enumerate(proofs)],
    }
    return {**found, "warnings": [*warnings]} if warnings else found


def unloadable(source: str, problems: Sequence[Problem]) -> AssertionsAnswer:
    """The answer for a file that cannot be loaded."""
    return {"file": source, "error": "\n".join(map(str, problems)), "assertions": []}


def _check(asserted: PolicyAssertion, interfaces: Mapping[str, Interface], *, forwards: bool) -> None:
    """Raises: Unloadable, where an assertion asks for what the host does not have or does not do."""
    problems = Problems(asserted.source)
    for number, (one, (_, node)) in enumerate(zip(asserted.assertions, asserted.items("assertions"), strict=True)):
        scope = Scope(node, join("assertions", number), problems)
        for key, named in (("in", one.arrives), ("out", one.leaves)):
            if named is not None and named not in interfaces:
                expected, remedy = f"one of {', '.join(interfaces)}", f"correct it, or remove {key} to mean all"
                message = "an interface that the host does not have"
                scope.report("TT1982", (key,), message, found=named, expected=expected, remedy=remedy)
        if one.direction == "forward" and not forwards:
            message, remedy = "the host does not forward", "remove forwarding: false, or the assertion"
            scope.report("TT1981", ("direction",), message, remedy=remedy)
    if problems:
        raise Unloadable(problems.listed())


def _asserted(number: int, proof: Proof, book: Rulebook) -> AssertedAnswer:
    one, counter = proof.assertion, proof.counter
    return {
        "index": number,
        "line": one.line,
        "name": one.name,
        "expect": one.expects.value,
        "passed": proof.holds,
        "vacuous": proof.is_empty,
        "regions": proof.regions,
        "ways": proof.ways,
        "counterexample": None if counter is None else _counter(one.direction, counter, book),
    }


def _counter(direction: str, counter: CounterExample, book: Rulebook) -> CounterAnswer:
    passage = counter.passage
    rule = passage.decided.trace.rule if passage.decided is not None else None
    return {
        "packet": describe(counter.packet) + (", later fragment" if counter.packet.fragment is Fragment.LATER else ""),
        "direction": direction,
        "arrives": counter.way.arrives,
        "leaves": counter.way.leaves,
        "relation": counter.relation.value,
        "verdict": "reject" if passage.is_rejected else passage.verdict.value,
        "reason": passage.reason.value,
        "rule": None if rule is None else rule_name(rule),
        "hint": hint(counter),
        "trace": list(passage_lines(passage, counter.packet, book)),
    }
