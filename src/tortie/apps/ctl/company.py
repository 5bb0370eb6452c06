"""What is stored, as company of files that are linted: from an agent, or from a datastore file."""

import json

from tortie.apps.ctl.options import choice
from tortie.apps.ctl.target import choose
from tortie.apps.documents import called
from tortie.apps.kinds import POLICIES
from tortie.apps.labelled import PARENTS, SELECTED
from tortie.apps.linting.running import Company
from tortie.apps.requests import GetQuery
from tortie.resources.codec import decode_stored
from tortie.resources.kind import Resource
from tortie.resources.kinds import KINDS
from tortie.resources.problems import InvalidDocument

LOOKED_AT = (*SELECTED, *PARENTS, "Tier", *POLICIES, "FelixConfiguration")
"""Kinds that mean something to a packet."""


def stored_company() -> tuple[Company, dict[str, str]]:
    """Everything that is stored of these kinds, and which documents are damaged. Raises: Failure; StoreError."""
    target = choose(choice())
    found: list[Resource] = []
    damaged: dict[str, str] = {}
    for kind in LOOKED_AT:
        answer = target.get(kind, GetQuery(all_namespaces=KINDS[kind].is_namespaced))
        damaged |= {f"{kind}({name})": why for name, why in answer["damaged"].items()}
        for item in answer["items"]:
            try:
                found.append(decode_stored(json.dumps(item).encode()))
            except InvalidDocument as error:
                damaged[f"{kind}({called(item)})"] = str(error)
    return Company(tuple(found), is_live=True), damaged
