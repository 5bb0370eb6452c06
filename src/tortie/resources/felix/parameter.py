"""A parameter: one setting of an agent, under its name in files and its field in documents."""

from dataclasses import dataclass
from typing import Generic

from tortie.resources.felix.syntax import Syntax, V_co
from tortie.resources.fields import ABSENT, Field, Json, Missing


@dataclass(frozen=True, slots=True)
class Parameter(Generic[V_co]):
    """A setting and everything there is to know about it. Source: reference config.md sections 4 to 8.

    `default` is text, empty where there is none. `key`: the field of documents where it is not the name with a small
    first letter; `has_field` False: documents have none. `annotation`: one of ours that says it
    there. `is_fatal`: an agent does not start with a value that nobody
    can read. `is_local`: documents cannot set it. `may_be_none`: the word `none` is a value. `is_used`: tortie acts on
    it. `stored`: what a document that does not say it is stored with.
    """

    name: str
    syntax: Syntax[V_co]
    default: str
    doc: str
    key: str = ""
    has_field: bool = True
    annotation: str = ""
    is_fatal: bool = False
    is_local: bool = False
    may_be_none: bool = True
    is_used: bool = False
    stored: Json | Missing = ABSENT

    @property
    def field(self) -> str:
        """Its field in documents; empty where there is none."""
        if self.is_local or not self.has_field:
            return ""
        return self.key or self.name[0].lower() + self.name[1:]

    def spec_field(self) -> Field:
        """How documents hold it."""
        default = f" Default: {self.syntax.show(self.default)}." if self.default else ""
        return Field(self.syntax.decode, f"{self.doc}{default}", default=self.stored)
