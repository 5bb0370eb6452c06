"""What a check is: a code with its meaning, and a function that looks at documents, or at what they mean."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Generic, TypeVar

from tortie.apps.linting.documents import Documents
from tortie.apps.linting.finding import Finding, Suspicion

Looked = TypeVar("Looked", bound=Documents, contravariant=True)


@dataclass(frozen=True, slots=True)
class Check(Generic[Looked]):
    """`meaning`: what the code stands for, as in docs/errors. `is_notice`: no mistake, so that no file is called wrong
    for it; `apply` tells it all the same.
    """

    code: str
    meaning: str
    look: Callable[[Looked], Iterator[Suspicion]]
    is_notice: bool = False

    def findings(self, documents: Looked) -> Iterator[Finding]:
        """Everything that this check has to say of the subjects."""
        return (Finding(self.code, suspicion) for suspicion in self.look(documents))
