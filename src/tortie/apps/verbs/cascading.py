"""What goes with a resource that is deleted: it is in the answer, and in the same transaction.

Source: reference resources.md sections 8.10 and 8.11.
"""

from collections.abc import Iterator, Sequence

from tortie.apps.verbs.stored import part, stored_body
from tortie.resources.kind import Body
from tortie.store.protocol import Entry, Key, NotFound, Store

_ON_A_NODE = ("WorkloadEndpoint", "BlockAffinity", "BGPPeer", "HostEndpoint")
_SETTINGS_OF_A_NODE = ("FelixConfiguration", "BGPConfiguration")


async def dependants(store: Store, gone: Entry) -> list[Entry]:
    """The stored resources that go with this one."""
    match gone.key.kind:
        case "Node":
            found = [one for kind in _ON_A_NODE for one in (await store.list(kind))[0] if _is_on(one, gone.key.name)]
            for kind in _SETTINGS_OF_A_NODE:
                try:
                    found.append(await store.get(Key(kind, "", f"node.{gone.key.name}")))
                except NotFound:
                    continue
            return found
        case "IPPool":
            return [*_blocks_in(part(stored_body(gone.value), "spec"), (await store.list("BlockAffinity"))[0])]
        case _:
            return []


def _is_on(entry: Entry, node: str) -> bool:
    spec = part(stored_body(entry.value), "spec")
    return spec.get("node") == node and spec.get("type") != "virtual"


def _blocks_in(pool: Body, affinities: Sequence[Entry]) -> Iterator[Entry]:
    from tortie.model.address import InvalidAddress, parse_net

    for one in affinities:
        try:
            whole = parse_net(str(pool.get("cidr")), strict=False)
            block = parse_net(str(part(stored_body(one.value), "spec").get("cidr")), strict=False)
        except InvalidAddress:
            continue  # damaged, or a block of no addresses
        if block.length >= whole.length and whole.contains(block.version, block.address):
            yield one
