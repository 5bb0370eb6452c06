"""Which addresses rules name as one thing (addresses.py says what that is good for)."""

from collections.abc import Iterable, Mapping, Sequence

from tortie.model.address import WIDTH, Net
from tortie.model.ipset import AddressSet, IPSet, PortSet
from tortie.model.matches import IcmpMatch, NetMatch, PortMatch, ProtocolMatch, SetMatch, VersionMatch
from tortie.model.packet import Side
from tortie.model.rule import Rule
from tortie.model.space.addresses import Atom

ANY_PORT = -1
PortAtom = tuple[str, int, int]
"""The addresses of a port set that have this protocol and port in it; of ANY_PORT, those that have the protocol."""
Atoms = dict[Side, dict[Atom, Iterable[Net]]]


def atoms_of(rules: Iterable[Rule], sets: Mapping[str, IPSet], nets: Iterable[Sequence[Net]]) -> Atoms:
    """By side: everything that the rules name there, and the other nets on both."""
    named: dict[Atom, Iterable[Net]] = {tuple(group): tuple(group) for group in nets}
    found: Atoms = {side: dict(named) for side in Side}
    for match in (match for rule in rules for match in rule.matches):
        match match:
            case NetMatch():
                found[match.side][match.nets] = match.nets
            case SetMatch():
                _add_set(found[match.side], match.source.set_id, sets)
            case PortMatch():
                for source in match.named:
                    _add_set(found[match.side], source.set_id, sets)
            case VersionMatch() | ProtocolMatch() | IcmpMatch():
                pass
    return found


def set_atoms(set_id: str, members: PortSet) -> dict[PortAtom, list[Net]]:
    """The addresses of each port in the set, and of each protocol."""
    found: dict[PortAtom, list[Net]] = {}
    for member in members.members:
        net = Net(member.version, member.address, WIDTH[member.version])
        for port in (member.port, ANY_PORT):
            found.setdefault((set_id, member.protocol, port), []).append(net)
    return dict(sorted(found.items()))


def _add_set(atoms: dict[Atom, Iterable[Net]], set_id: str, sets: Mapping[str, IPSet]) -> None:
    members = sets.get(set_id)
    if set_id in atoms or members is None:
        return
    if isinstance(members, AddressSet):
        atoms[set_id] = members.members
    else:
        atoms[set_id] = ()
        atoms.update(iter(set_atoms(set_id, members).items()))
