"""Endpoints, sets and failsafes as one nft table, replaced as a whole in one transaction.

    output (raw, before conntrack) --oifname--> the chains of one interface (`endpoint.py`)
    ingress_mark (raw prerouting): what XDP and tc allowed carries a mark bit, and gets notrack here

The same bit says on the way out that untracked policy allowed the packet. The two never meet: an arriving packet loses
it here, in front of routing.

The table names its state itself, by an empty chain: an agent that starts sees whether it is the wanted one.
"""

import hashlib
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from tortie.dataplane.driver import Unsupported
from tortie.dataplane.named_sets import NamedSet, SetTable, members_of
from tortie.dataplane.nft_egress.endpoint import Parts, ReasonKey, RuleKey, add_endpoint, untracked_legs
from tortie.dataplane.nft_text.failsafes import failsafe_sets
from tortie.dataplane.nft_text.listing import DIGEST_PREFIX, TABLE
from tortie.dataplane.nft_text.sets import elements_of, set_text, type_text
from tortie.model.desired import EndpointState
from tortie.model.failsafe import Failsafes
from tortie.model.ipset import IPSet
from tortie.model.packet import Direction
from tortie.model.policy import Stage

_FEW = 4
"""Interfaces up to which comparing names is quicker than looking one up."""
DEFAULT_MARK_BIT = 0x00100000
_DIGEST_CHARACTERS = 24
# nft has no escapes inside quotes, and a trailing asterisk would stand for every interface with that prefix.
_INTERFACE_NAME = re.compile(r"[A-Za-z0-9_.@+=~#%^,-]{1,15}")


@dataclass(frozen=True, slots=True)
class Rendered:
    """A whole table. `script` is for `nft -f -`; `rules` and `reasons` say what each nft counter counts.

    `digest` names the desired state, members of sets included; it is empty where the script only removes the table.
    The rest is what a change of set members needs to know (`render_set_change`): nft sets by name, IP sets that rules
    name but that do not exist, and the digest without the members.
    """

    script: str
    table: str
    digest: str = ""
    rules: Mapping[str, RuleKey] = field(default_factory=dict)
    reasons: Mapping[str, ReasonKey] = field(default_factory=dict)
    named: Mapping[str, NamedSet] = field(default_factory=dict)
    absent: frozenset[str] = frozenset()
    structure: str = ""
    rule_count: int = 0


def render(
    endpoints: Iterable[EndpointState],
    sets: Mapping[str, IPSet],
    failsafes: Failsafes,
    *,
    mark_bit: int = DEFAULT_MARK_BIT,
    table: str = TABLE,
    has_shortcuts: bool = True,
) -> Rendered:
    """The table for those endpoints, in whatever order they come. Loopback is never policed.

    `has_shortcuts`: the kernel shows nft no ports of later fragments, so that a rule may ask for ports before it asks
    for fragments (Linux 5.18, and the stable kernels that took over the change).

    Raises: Unsupported, for an interface whose name nft cannot spell.
    """
    if mark_bit.bit_count() != 1 or mark_bit >> 32:
        raise ValueError(f"mark bit {mark_bit:#x} is not one bit of 32")
    replace = f"table inet {table} {{\n}}\ndelete table inet {table}\n"
    active = sorted((e for e in endpoints if not e.interface.is_loopback), key=lambda e: e.interface.name)
    if not active:
        return Rendered(replace, table)
    parts = Parts(SetTable(sets), mark_bit)
    dispatch: list[tuple[str, str]] = []
    for index, endpoint in enumerate(active):
        name, tiers = endpoint.interface.name, endpoint.stage(Stage.UNTRACKED, Direction.EGRESS)
        if tiers and not _INTERFACE_NAME.fullmatch(name):
            raise Unsupported(f"untracked egress on interface {name!r}: nftables cannot name it; rename the interface")
        if tiers:
            chain = add_endpoint(f"e{index}", name, tiers, failsafes, parts, has_shortcuts=has_shortcuts)
            dispatch.append((name, chain))
    if dispatch:
        hook = "type filter hook output priority raw; policy accept;"
        if len(dispatch) <= _FEW:
            jumps = [f'oifname "{name}" goto {chain}' for name, chain in dispatch]
        else:
            pairs = ", ".join(f'"{name}" : goto {chain}' for name, chain in dispatch)
            jumps = [f"oifname vmap {{ {pairs} }}"]
        parts.chain("output", (hook, *jumps))
    parts.chain(
        "ingress_mark",
        (
            "type filter hook prerouting priority raw; policy accept;",
            # Nothing comes behind it: accept would be one more expression for each packet.
            f"meta mark & {mark_bit:#010x} != 0 meta mark set meta mark & {~mark_bit & 0xFFFFFFFF:#010x} notrack",
        ),
    )
    fixed = [f"\tcounter {name} {{\n\t}}" for name in (*parts.rules, *parts.reasons)]
    if dispatch:
        fixed += [set_text(*one) for one in failsafe_sets(untracked_legs(failsafes))]
    named = parts.sets.named
    types = [f"{name} {type_text(one)}" for name, one in named.items()]
    structure = _hash("\n".join((*fixed, *types, *parts.chains)))
    digest = make_digest(structure, named)
    filled = [set_text(name, type_text(one), elements_of(one, members_of(one, sets))) for name, one in named.items()]
    body = "\n".join((f"\tchain {DIGEST_PREFIX}{digest} {{\n\t}}", *fixed, *filled, *parts.chains))
    return Rendered(
        script=f"{replace}table inet {table} {{\n{body}\n}}\n",
        table=table,
        digest=digest,
        rules=parts.rules,
        reasons=parts.reasons,
        named=named,
        absent=frozenset(parts.sets.absent),
        structure=structure,
        rule_count=sum(
            line.startswith("\t\t") and not line.startswith("\t\ttype ")
            for line in "\n".join(parts.chains).splitlines()
        ),
    )


def make_digest(structure: str, named: Mapping[str, NamedSet]) -> str:
    """The name of a desired state: its rules and the members of its sets."""
    return _hash(" ".join((structure, *(f"{name}={one.fingerprint:x}" for name, one in sorted(named.items())))))


def _hash(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:_DIGEST_CHARACTERS]
