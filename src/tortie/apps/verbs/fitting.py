"""What a document alone cannot say: whether it fits to those that are stored, and to those that come with it."""

from collections.abc import Sequence

from tortie.apps.decoding import key_of, problem_at
from tortie.resources.codec import decode_stored
from tortie.resources.kind import Resource, Written
from tortie.resources.kinds import KINDS
from tortie.resources.problems import InvalidDocument, Problem
from tortie.store.protocol import Key, Store


async def misfits(store: Store, resources: Sequence[Resource]) -> list[Problem]:
    """The problems of these resources beside each other and all others.

    Because: what somebody else stores at the same moment is not seen here; two pools that then overlap are two pools.
    """
    looking = [KINDS[one.kind] for one in resources if KINDS[one.kind].looks_at]
    if not looking:
        return []
    before: dict[Key, Resource] = {}
    for name in sorted({each for kind in looking for each in (kind.name, *kind.looks_at)}):
        entries, _ = await store.list(name)
        for entry in entries:
            try:
                before[entry.key] = decode_stored(entry.value)
            except InvalidDocument:
                continue  # a damaged document counts as absent, here as in the agent
    after = before | {key_of(one): one for one in resources}
    others: dict[str, list[Resource]] = {name: [] for kind in looking for name in kind.looks_at}
    for key, one in after.items():
        if key.kind in others:
            others[key.kind].append(one)
    return [
        problem_at(resource, misfit.code, misfit.path, misfit.message, misfit.remedy)
        for resource in resources
        for misfit in KINDS[resource.kind].check_written(Written(resource, before.get(key_of(resource)), others))
    ]
