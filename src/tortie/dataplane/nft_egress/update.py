"""Members that come and go in an installed table, without replacing it."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace

from tortie.dataplane.nft_egress.render import DIGEST_PREFIX, Rendered, make_digest
from tortie.dataplane.nft_egress.sets import NamedSet, format_element, is_covered, outermost, shift_fingerprint
from tortie.model.address import Net
from tortie.model.desired import SetChange
from tortie.model.ipset import AddressSet, IPSet, Member, PortSet


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
        added, removed = _union_change(named, relevant, after)
        if not added and not removed:
            continue
        fingerprint = shift_fingerprint(named.fingerprint, added, removed)
        named_after[name] = replace(named, fingerprint=fingerprint)
        gone, come = _element_change(named, added, removed, after)
        # Old elements go first: a wider net may take the place of those inside it, and intervals must not overlap.
        commands += _commands("delete", rendered.table, name, gone)
        commands += _commands("add", rendered.table, name, come)
    digest = make_digest(rendered.structure, named_after)
    if digest != rendered.digest:
        commands.append(f"delete chain inet {rendered.table} {DIGEST_PREFIX}{rendered.digest}")
        commands.append(f"add chain inet {rendered.table} {DIGEST_PREFIX}{digest}")
    script = "".join(f"{command}\n" for command in commands)
    return SetUpdate(script, replace(rendered, digest=digest, named=named_after))


def _union_change(
    named: NamedSet, changes: Mapping[str, SetChange], after: Mapping[str, IPSet]
) -> tuple[set[Member], set[Member]]:
    """Members that came to and went from the union of an nft set's IP sets."""

    def was_in(set_id: str, member: Member) -> bool:
        change = changes.get(set_id)
        if change is not None and (member in change.added or member in change.removed):
            return member in change.removed
        return member in after[set_id].members

    own = [changes[set_id] for set_id in named.set_ids if set_id in changes]
    come = {m for change in own for m in change.added if named.holds(m)}
    gone = {m for change in own for m in change.removed if named.holds(m)}
    added = {m for m in come if not any(was_in(set_id, m) for set_id in named.set_ids)}
    removed = {m for m in gone if not any(m in after[set_id].members for set_id in named.set_ids)}
    return added, removed


def _element_change(
    named: NamedSet, added: set[Member], removed: set[Member], after: Mapping[str, IPSet]
) -> tuple[list[Member], list[Member]]:
    """Elements that go and come: members, less the nets inside wider ones."""
    if named.has_ports:
        return sorted(removed), sorted(added)
    (set_id,) = named.set_ids  # only ports are ever joined
    now = after[set_id]
    assert isinstance(now, AddressSet)
    come = {member for member in added if isinstance(member, Net)}
    gone = {member for member in removed if isinstance(member, Net)}
    if all(net.is_host for net in (*come, *gone)):
        # The wider nets are the same before and after.
        return (
            sorted(net for net in gone if not is_covered(net, now.members)),
            sorted(net for net in come if not is_covered(net, now.members)),
        )
    nets_now = {net for net in now.members if net.version == named.version}
    old, new = set(outermost(nets_now - come | gone)), set(outermost(nets_now))
    return sorted(old - new), sorted(new - old)


def _commands(verb: str, table: str, name: str, members: list[Member]) -> Iterator[str]:
    if members:
        yield f"{verb} element inet {table} {name} {{ {', '.join(map(format_element, members))} }}"
