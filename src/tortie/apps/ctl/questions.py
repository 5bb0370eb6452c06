"""PolicyTest and PolicyAssertion documents among others: whether they can be answered, not what the answer is.

Whoever writes resources refuses them; `validate` has them read as their own commands do, `lint` leaves them aside.
"""

import os
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence

from tortie.apps.answers import SourceText
from tortie.resources.codec import Reading
from tortie.resources.problems import Problem


def judged(readings: Sequence[Reading], files: Iterable[SourceText]) -> Iterator[Reading]:
    """The documents, questions among them with what is wrong with them as such. A problem of a file that one names and
    that is among these itself is told once."""
    if not any(one.is_question for one in readings):
        yield from readings
        return
    texts = {file["source"]: file for file in files}
    told = {_place(problem) for one in readings if not one.is_question for problem in one.problems}
    for one in readings:
        if not one.is_question:
            yield one
            continue
        found = [problem for problem in _problems(one, texts[one.source]) if _place(problem) not in told]
        told |= {_place(problem) for problem in found}
        yield one._replace(problems=tuple(found))


def counted(readings: Iterable[Reading]) -> list[str]:
    """How many questions of each kind there are: `2 PolicyTest(s)`."""
    found = Counter(one.kind for one in readings if one.is_question)
    return [f"{number} {kind}(s)" for kind, number in sorted(found.items(), key=str)]


def _problems(reading: Reading, file: SourceText) -> Sequence[Problem]:
    """What keeps its command from answering it."""
    from tortie.apps.policytest.document import Unloadable

    try:
        if reading.kind == "PolicyTest":
            from tortie.apps.policytest.document import read_test
            from tortie.apps.policytest.running import load

            load(read_test(file))
        else:
            from tortie.apps.policyassert import answering
            from tortie.apps.policyassert.document import read_assertions

            asserted = read_assertions(file)
            if not asserted.is_of_live_host:
                answering.load(asserted)
    except Unloadable as error:
        return error.problems
    return ()


def _place(problem: Problem) -> tuple[str, str, int, int]:
    return os.path.realpath(problem.source), problem.code, problem.line, problem.column
