"""The kernel's IP sets as values, their elements, and scripts that make and change them. Pure.

A set of nets is a hash of nets of any length, in which nets may lie inside each other: the longest that covers an
address is found, and every one of them says yes. It takes no net of length 0, which becomes two halves.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field

from tortie.dataplane.iptables.names import PREFIX, nets_name, set_name
from tortie.dataplane.named_sets import NamedSet, SetTable, members_of
from tortie.model.address import WIDTH, InvalidAddress, Net, format_address, parse_net
from tortie.model.failsafe import FailsafePort
from tortie.model.ipset import IPSet, Member, PortMember
from tortie.model.packet import SCTP, TCP, UDP

NETS, PORTS = "hash:net", "hash:net,port"
"""Members with ports are single addresses; but `hash:ip,port` takes no 0.0.0.0."""
TEMPORARY = f"{PREFIX}new"
"""The set that is filled to be swapped with another."""
_PROTOCOL = {TCP: "tcp", UDP: "udp", SCTP: "sctp"}
_FAMILY = {4: "inet", 6: "inet6"}
_USUAL_LIMIT = 1 << 20
_HASH_SIZES = (64, 1 << 20)


@dataclass(frozen=True, slots=True)
class KernelSet:
    """A set of the kernel: members of IP sets (`source`), or elements that never change."""

    kind: str
    version: int
    source: NamedSet | None = None
    fixed: frozenset[str] = frozenset()

    def elements(self, sets: Mapping[str, IPSet]) -> frozenset[str]:
        """Its elements now, as text."""
        if self.source is None:
            return self.fixed
        return frozenset(text for member in members_of(self.source, sets) for text in element_texts(member))


@dataclass(slots=True)
class AskedSets:
    """The sets that the rules rendered so far ask for. `table`: those made of IP sets."""

    sets: Mapping[str, IPSet]
    table: SetTable = field(init=False)
    literal: dict[str, KernelSet] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.table = SetTable(self.sets, naming=set_name, sums=False)

    def nets(self, version: int, nets: tuple[Net, ...]) -> str:
        """The name of a set of nets that a rule lists."""
        name = nets_name(version, nets)
        if name not in self.literal:
            self.literal[name] = KernelSet(
                NETS, version, fixed=frozenset(t for net in nets for t in element_texts(net))
            )
        return name

    def all(self) -> dict[str, KernelSet]:
        """Every set, by name."""
        named = {
            name: KernelSet(PORTS if one.has_ports else NETS, one.version, source=one)
            for name, one in self.table.named.items()
        }
        return named | self.literal


def failsafe_sets(inbound: Iterable[FailsafePort], outbound: Iterable[FailsafePort]) -> dict[str, KernelSet]:
    """Failsafe ports with the nets of the other end, by name; a list without entries for a family has no set."""
    found: dict[str, KernelSet] = {}
    for name, entries in (("in", tuple(inbound)), ("out", tuple(outbound))):
        for version in _FAMILY:
            elements = frozenset(
                f"{net},{_PROTOCOL[entry.protocol]}:{entry.port}"
                for entry in entries
                if entry.net is None or entry.net.version == version
                for net in element_texts(entry.net or Net(version, 0, 0))
            )
            if elements:
                found[failsafe_name(name, version)] = KernelSet(PORTS, version, fixed=elements)
    return found


def failsafe_name(which: str, version: int) -> str:
    """The set of the failsafe ports of a list: `in` or `out`."""
    return f"{PREFIX}failsafe-{which}{version}"


def element_texts(member: Member) -> tuple[str, ...]:
    """A member in ipset's text; a net of everything is two elements."""
    if isinstance(member, PortMember):
        return (f"{format_address(member.version, member.address)},{_PROTOCOL[member.protocol]}:{member.port}",)
    if member.length == 0:
        return tuple(str(half) for half in _halves(member.version))
    return (format_address(member.version, member.address) if member.is_host else str(member),)


def change_of(added: set[Member], removed: set[Member], after: set[Net]) -> tuple[list[str], list[str]]:
    """Elements that go and come. `after`: nets of the set after the change, as far as they are of length 0 or 1."""
    wide = {member for member in added | removed if isinstance(member, Net) and member.length <= 1}
    gone = {text for member in removed - wide for text in element_texts(member)}
    come = {text for member in added - wide for text in element_texts(member)}
    if wide:
        before = (after - wide) | (removed & wide)
        old, new = ({t for net in nets for t in element_texts(net)} for nets in (before, after))
        gone, come = gone | (old - new), come | (new - old)
    return sorted(gone), sorted(come)


def wide_nets(named: NamedSet, sets: Mapping[str, IPSet]) -> set[Net]:
    """The nets of length 0 and 1 in a set."""
    candidates = (Net(named.version, 0, 0), *_halves(named.version))
    return {net for net in candidates if any(sets[set_id].has(net) for set_id in named.set_ids)}


def _halves(version: int) -> tuple[Net, Net]:
    return Net(version, 0, 1), Net(version, 1 << WIDTH[version] - 1, 1)


# ---- scripts


def create_lines(name: str, one: KernelSet, elements: Iterable[str]) -> Iterator[str]:
    """Makes the set, filled."""
    listed = sorted(elements)
    limit, size = _USUAL_LIMIT, _HASH_SIZES[0]
    while limit < 2 * len(listed):
        limit *= 2
    while size < min(len(listed), _HASH_SIZES[1]):
        size *= 2
    yield f"create {name} {one.kind} family {_FAMILY[one.version]} hashsize {size} maxelem {limit}"
    yield from (f"add {name} {element}" for element in listed)


def replace_lines(name: str, one: KernelSet, elements: Iterable[str]) -> Iterator[str]:
    """Gives the set, which is there and of that kind, other elements: all of them at once."""
    yield from create_lines(TEMPORARY, one, elements)
    yield f"swap {TEMPORARY} {name}"
    yield f"destroy {TEMPORARY}"


def change_lines(name: str, gone: Iterable[str], come: Iterable[str]) -> Iterator[str]:
    """Takes elements out and puts others in."""
    yield from (f"add {name} {element}" for element in come)
    yield from (f"del {name} {element}" for element in gone)


def count(members: dict[str, int], lines: Iterable[str]) -> None:
    """Follow in numbers of members, by set, what those lines do. ipset refuses lines that would change nothing."""
    for line in lines:
        verb, name, *more = line.split()
        if verb == "create":
            members[name] = 0
        elif verb == "swap":
            members[name], members[more[0]] = members[more[0]], members[name]
        elif verb == "destroy":
            members.pop(name, None)
        else:
            members[name] += {"add": 1, "del": -1}[verb]


# ---- listings


@dataclass(slots=True)
class FoundSet:
    """A set as `ipset save` shows it."""

    kind: str
    version: int
    elements: set[str] = field(default_factory=set)

    def is_like(self, one: KernelSet) -> bool:
        """Whether it is of the same kind."""
        return (self.kind, self.version) == (one.kind, one.version)

    def difference(self, wanted: frozenset[str]) -> tuple[list[str], list[str]]:
        """Elements that have to go and to come."""
        gone, come = self.elements - wanted, wanted - self.elements
        if gone and come:  # the same address may have two spellings
            spelled = {_canonical(text): text for text in gone}
            same = spelled.keys() & come
            gone, come = gone - {spelled[text] for text in same}, come - same
        return sorted(gone), sorted(come)


def read_sets(listing: str) -> dict[str, FoundSet]:
    """Our sets in what `ipset save` prints."""
    found: dict[str, FoundSet] = {}
    for line in listing.splitlines():
        words = line.split()
        if len(words) < 3 or not words[1].startswith(PREFIX):
            continue
        if words[0] == "create":
            found[words[1]] = FoundSet(words[2], 6 if "inet6" in words else 4)
        elif words[0] == "add" and words[1] in found:
            found[words[1]].elements.add(words[2])
    return found


def _canonical(text: str) -> str:
    address, comma, port = text.partition(",")
    try:
        net = parse_net(address, strict=False)
    except InvalidAddress:
        return text
    if ":" in address and net.version == 4:  # an IPv4 address inside IPv6, which is read as IPv4
        net = Net(6, 0xFFFF << 32 | net.address, 96 + net.length)
    return f"{format_address(net.version, net.address) if net.is_host else net}{comma}{port}"
