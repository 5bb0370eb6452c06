"""The column of `get -o wide` that says how many packets met a policy, or an endpoint's default deny."""

from collections.abc import Mapping

from tortie.apps.answers import GetAnswer
from tortie.apps.documents import called

HITS_KINDS = ("GlobalNetworkPolicy", "HostEndpoint")
"""For a policy: packets that met its rules; for a host endpoint: those that its default deny dropped."""


def with_hits(answer: GetAnswer, hits: Mapping[str, int] | None) -> GetAnswer:
    """The answer with the column; None: nobody could be asked. What counted nothing need not be in the mapping."""
    found = answer["table"]
    names = [f"{answer['kind']}({called(one)})" for one in answer["items"]]
    cells = ["-" if hits is None else str(hits.get(name, 0)) for name in names]
    rows = [[*row, cell] for row, cell in zip(found["rows"], cells, strict=True)]
    return {**answer, "table": {"heading": [*found["heading"], "HITS"], "rows": rows}}
