"""What checks look at: the resources whose text is judged, beside the company that they keep.

Many checks need no more; those that ask what documents mean get a `World`, which takes longer to load.
"""

from collections.abc import Sequence

from tortie.apps.linting.subject import Subject
from tortie.resources.kind import Resource


class Documents:
    """The subjects and their company. `is_live`: the company is everything that is stored, so that all is known."""

    def __init__(self, subjects: Sequence[Subject], company: Sequence[Resource] = (), *, is_live: bool = False) -> None:
        self.subjects, self.company, self.is_live = tuple(subjects), tuple(company), is_live
        self.resources = (*(one.resource for one in subjects), *company)
