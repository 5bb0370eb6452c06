"""What came of assertions: as text for people, and as suites for JUnit. As JSON they are what they are."""

from collections.abc import Iterator, Sequence

from tortie.apps.decoding import count
from tortie.apps.junit import Case, Suite
from tortie.apps.policyassert.answers import AssertedAnswer, AssertionsAnswer, CounterAnswer
from tortie.apps.policytest.report import way_words
from tortie.model.passage import Way


def failed(answer: AssertionsAnswer) -> int:
    """How many assertions do not hold."""
    return sum(not one["passed"] for one in answer["assertions"])


def text(answer: AssertionsAnswer) -> Iterator[str]:
    """Lines for people: what was proved, and for what is not so a packet with its way."""
    source = answer["file"]
    if "error" in answer:
        yield f"ERROR {source}: cannot be loaded"
        yield from (f"  {line}" for line in answer["error"].splitlines())
        return
    wrong, total = failed(answer), count(len(answer["assertions"]), "assertion")
    yield f"FAIL {source}: {wrong} of {total}" if wrong else f"ok   {source}: {total}"
    for one in answer["assertions"]:
        if one["passed"]:
            yield f"  proved: {one['name']} ({effort(one)})"
        else:
            yield f"  not so ({source}:{one['line']}): {one['name']}"
            yield from (f"    {line}" for line in complaint(one))


def effort(one: AssertedAnswer) -> str:
    """What a proof looked at."""
    return f"{count(one['regions'], 'region')} of packets on {count(one['ways'], 'way')} through the host"


def complaint(one: AssertedAnswer) -> Iterator[str]:
    """Why the assertion does not hold."""
    counter = one["counterexample"]
    if counter is None:
        yield "it is about no packet at all: what it asks for excludes itself, or its selectors match nothing"
        return
    yield f"{counter['packet']}   {_way(counter)}, {counter['relation']}"
    yield f"expected {one['expect']}, got {counter['verdict']}"
    yield from counter["trace"]
    if counter["hint"]:
        yield f"hint: {counter['hint']}"


def _way(counter: CounterAnswer) -> str:
    return way_words(Way(counter["arrives"], counter["leaves"]))


def summary(answers: Sequence[AssertionsAnswer]) -> str:
    """One line about all files."""
    total = sum(len(one["assertions"]) for one in answers)
    wrong, broken = sum(map(failed, answers)), sum("error" in one for one in answers)
    words = [f"{total - wrong} proved", f"{wrong} not so"]
    if broken:
        words.append(f"{broken} of {count(len(answers), 'file')} could not be loaded")
    return ", ".join(words)


def suite(answer: AssertionsAnswer) -> Suite:
    """A suite for JUnit, with a case for each assertion."""
    cases = [Case(one["name"], "" if one["passed"] else "\n".join(complaint(one))) for one in answer["assertions"]]
    return Suite(answer["file"], cases, answer.get("error", ""))
