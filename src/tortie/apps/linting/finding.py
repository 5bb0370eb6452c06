"""What a check says, and what becomes of it: a finding with its place."""

from dataclasses import dataclass

from tortie.apps.linting.changes import Change
from tortie.apps.linting.subject import Subject, Way
from tortie.resources.fields import join


@dataclass(frozen=True, slots=True)
class Fix:
    """What `--fix` would change, as changes of the resource; `saying`: in words, as in `--fix adds it`."""

    saying: str
    changes: tuple[Change, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Suspicion:
    """One thing that hardly means what was meant: where it stands, and in sentences without their ends why.

    `name`: a short word for scripts that knew it before it had a code.
    """

    subject: Subject
    way: Way = ()
    found: str
    why: str
    remedy: str
    fix: Fix | None = None
    name: str = ""


@dataclass(frozen=True, slots=True)
class Finding:
    """A suspicion under the code of its check."""

    code: str
    suspicion: Suspicion

    @property
    def source(self) -> str:
        """The file."""
        return self.suspicion.subject.resource.source

    @property
    def line(self) -> int:
        """1-based."""
        return self.suspicion.subject.place(self.suspicion.way).line

    @property
    def column(self) -> int:
        """1-based, in characters; 0 where it is not known."""
        return self.suspicion.subject.place(self.suspicion.way).column

    @property
    def path(self) -> str:
        """Where it is in the document, as problems say it."""
        return join("", *self.suspicion.subject.prefix, *self.suspicion.way)

    @property
    def resource(self) -> str:
        """The resource that it is about."""
        return str(self.suspicion.subject.resource)

    @property
    def message(self) -> str:
        """What was found and why it is suspicious."""
        name = f" ({self.suspicion.name})" if self.suspicion.name else ""
        return f"{self.suspicion.found}{name}: {self.suspicion.why}"

    @property
    def sentence(self) -> str:
        """The same and the remedy, without the place."""
        fix = f" (--fix {self.suspicion.fix.saying})" if self.suspicion.fix else ""
        return f"{self.resource}: {self.message}; {self.suspicion.remedy}{fix}"

    def __str__(self) -> str:
        where = f"{self.path}: " if self.path else ""
        return f"{self.source}:{self.line}:{self.column}: {where}{self.code} {self.sentence}"

    @property
    def warning(self) -> str:
        """As `apply` says it, which knows only where documents begin."""
        return f"{self.source}:{self.line}: warning: {self.resource}: {self.about}"

    @property
    def about(self) -> str:
        """The same, of a resource that is named already."""
        return f"{self.message}; {self.suspicion.remedy} ({self.code})"
