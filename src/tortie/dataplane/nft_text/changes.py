"""Which elements of a named nft set go and come when members of the IP sets behind it change.

The cost is that of the change where only single addresses and ports change, and that of the set where nets do.
"""

from collections.abc import Mapping

from tortie.dataplane.alternatives import outermost
from tortie.dataplane.named_sets import NamedSet, is_covered
from tortie.model.address import Net
from tortie.model.ipset import AddressSet, IPSet, Member


def element_change(
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
