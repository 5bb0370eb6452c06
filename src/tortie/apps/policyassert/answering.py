"""From a file of assertions to what came of them, as JSON."""

from collections.abc import Sequence

from tortie.apps.answers import AssertedAnswer, AssertionsAnswer, CounterAnswer, ProblemAnswer
from tortie.apps.decoding import problem_answer
from tortie.apps.packets import describe
from tortie.apps.policyassert.document import PolicyAssertion
from tortie.apps.policyassert.hints import hint
from tortie.apps.policyassert.proving import CounterExample, Proof, Prover, Scene
from tortie.apps.policytest.document import Unloadable
from tortie.apps.policytest.running import rule_name
from tortie.apps.policytest.world import build
from tortie.apps.trace.origins import Origins
from tortie.apps.trace.visits import Rulebook, passage_lines
from tortie.model.packet import Fragment
from tortie.resources.fields import Scope, join
from tortie.resources.problems import Problems


def answer(asserted: PolicyAssertion) -> AssertionsAnswer:
    """What came of the assertions about the host that the file describes. Raises: Unloadable; Failure."""
    passes_on = any(one.direction == "forward" for one in asserted.assertions)
    world = build(asserted, passes_on=passes_on, asked=[asserted.asked])
    scene = Scene(world.host, world.interfaces)
    return answer_about(asserted, scene, world.warnings, forwards=world.forwards)


def answer_about(
    asserted: PolicyAssertion, scene: Scene, warnings: Sequence[str], *, forwards: bool = True
) -> AssertionsAnswer:
    """What came of the assertions about this host. Raises: Unloadable; Failure."""
    _check(asserted, scene, forwards=forwards)
    proofs = list(Prover(scene, asserted.assertions).proofs())
    book = Rulebook(Origins(asserted.texts), scene.host.sets)
    found: AssertionsAnswer = {
        "file": asserted.source,
        "assertions": [_asserted(number, proof, book) for number, proof in enumerate(proofs)],
    }
    return {**found, "warnings": [*warnings]} if warnings else found


def unloadable(source: str, problems: Sequence[ProblemAnswer]) -> AssertionsAnswer:
    """The answer for a file that cannot be loaded."""
    return {"file": source, "error": "\n".join(each["text"] for each in problems), "assertions": []}


def _check(asserted: PolicyAssertion, scene: Scene, *, forwards: bool) -> None:
    """Raises: Unloadable, where an assertion asks for what the host does not have or does not do."""
    problems = Problems(asserted.source)
    for number, (one, (_, node)) in enumerate(zip(asserted.assertions, asserted.items("assertions"), strict=True)):
        scope = Scope(node, join("assertions", number), problems)
        for key, named in (("in", one.arrives), ("out", one.leaves)):
            if named is not None and named not in scene.interfaces:
                expected, remedy = f"one of {', '.join(scene.interfaces)}", f"correct it, or remove {key} to mean all"
                message = "an interface that the host does not have"
                scope.report("TT1982", (key,), message, found=named, expected=expected, remedy=remedy)
        if one.direction == "forward" and not forwards:
            message, remedy = "the host does not forward", "remove forwarding: false, or the assertion"
            scope.report("TT1981", ("direction",), message, remedy=remedy)
    if problems:
        raise Unloadable([problem_answer(one) for one in problems.listed()])


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
