"""Which elements of a named nft set go and come when members of the IP sets behind it change, and which of them can
without nft.

The cost is that of the change where only single addresses and ports change, and that of the set where nets do.
"""

from collections.abc import Mapping

from tortie.dataplane.alternatives import outermost
from tortie.dataplane.named_sets import NamedSet, is_covered
from tortie.model.address import WIDTH, Net
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
            sorted(net for net in gone if not is_covered(net, now.given)),
            sorted(net for net in come if not is_covered(net, now.given)),
        )
    nets_now = {net for net in now.members if net.version == named.version}
    old, new = set(outermost(nets_now - come | gone)), set(outermost(nets_now))
    return sorted(old - new), sorted(new - old)


def stands_alone(net: Net, members: AddressSet) -> bool:
    """Whether the address before the net is no member.

    Because: of two intervals without a gap some versions of nft have the kernel know the second one's beginning only,
    which is the end of the first one, too, and has to stay.
    """
    if net.address == 0:
        return True
    before = Net(net.version, net.address - 1, WIDTH[net.version])
    return not (members.has(before) or is_covered(before, members.given))
