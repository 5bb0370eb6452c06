"""Members that come and go in an installed table, without replacing it."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace

from tortie.dataplane.named_sets import shift_fingerprint, union_change
from tortie.dataplane.nft_egress.render import Rendered, make_digest
from tortie.dataplane.nft_text.changes import element_change
from tortie.dataplane.nft_text.listing import DIGEST_PREFIX
from tortie.dataplane.nft_text.sets import format_element
from tortie.model.desired import SetChange
from tortie.model.ipset import IPSet, Member, PortSet


@dataclass(frozen=True, slots=True)
class SetUpdate:
    """`script` makes the change in one transaction (empty: nothing to do); `rendered` is the table after it.

    Its `script` is not renewed: replacing the table takes a new `render`.
    """

    script: str
    rendered: Rendered


def render_set_change(
    rendered: Rendered, changes: Mapping[str, SetChange | None], after: Mapping[str, IPSet]
) -> SetUpdate | None:
    """The members' change in place; None where only a new table will do (a set that rules name appears or vanishes).

    `after` holds the IP sets with the changes made. The cost is that of the change where only single addresses and
    ports change, and that of the set where nets do.
    """
    if not rendered.digest:  # there is no table, and no set could ask for one
        return SetUpdate("", rendered)
    used = {set_id for named in rendered.named.values() for set_id in named.set_ids}
    relevant: dict[str, SetChange] = {}
    for set_id in changes.keys() & (used | rendered.absent):
        change = changes[set_id]
        if change is None or change.is_new or set_id not in used or set_id not in after:
            return None
        relevant[set_id] = change
    commands: list[str] = []
    named_after = dict(rendered.named)
    for name, named in rendered.named.items():
        if not relevant.keys() & set(named.set_ids):
            continue
        if any(isinstance(after[set_id], PortSet) != named.has_ports for set_id in named.set_ids):
            return None
        added, removed = union_change(named, relevant, after)
        if not added and not removed:
            continue
        fingerprint = shift_fingerprint(named.fingerprint, added, removed)
        named_after[name] = replace(named, fingerprint=fingerprint)
        gone, come = element_change(named, added, removed, after)
        # Old elements go first: a wider net may take the place of those inside it, and intervals must not overlap.
        commands += _commands("delete", rendered.table, name, gone)
        commands += _commands("add", rendered.table, name, come)
    digest = make_digest(rendered.structure, named_after)
    if digest != rendered.digest:
        commands.append(f"delete chain inet {rendered.table} {DIGEST_PREFIX}{rendered.digest}")
        commands.append(f"add chain inet {rendered.table} {DIGEST_PREFIX}{digest}")
    script = "".join(f"{command}\n" for command in commands)
    return SetUpdate(script, replace(rendered, digest=digest, named=named_after))


def _commands(verb: str, table: str, name: str, members: list[Member]) -> Iterator[str]:
    if members:
        yield f"{verb} element inet {table} {name} {{ {', '.join(map(format_element, members))} }}"
