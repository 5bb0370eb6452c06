"""Reading back: counters, and whether the installed table is the wanted one and still as it was installed.

Two empty chains are the table's memory. One names the desired state (written by `render`); the other, the seal, names
the listing that the kernel gave right after installing, and tells an agent that starts whether others edited the table
since.
"""

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from operator import itemgetter

TABLE = "tortie"
DIGEST_PREFIX = "d_"
SEAL_PREFIX = "s_"
_VOLATILE = ("handle", "index", "packets", "bytes")
_CHARACTERS = 24


Listing = str | bytes | Mapping[str, object] | None
"""What `nft -j` printed, as text or as read by the door (`tortie.kernel.nft`); None: there is no such table."""


class UnreadableListing(ValueError):
    """Not what `nft -j list` prints. The message says what was found."""


@dataclass(frozen=True, slots=True)
class Installed:
    """A table as found: the desired state it was made for, its seal, and the fingerprint that the seal should show.

    An absent table has no digest, like the empty digest of a rendering that removes it.
    """

    digest: str
    seal: str
    fingerprint: str
    rule_count: int = 0

    @property
    def is_intact(self) -> bool:
        """Whether nobody changed the table since it was sealed."""
        return self.seal == self.fingerprint


ABSENT = Installed("", "", "")


def read_counters(listing: Listing) -> dict[str, int]:
    """Packets by counter name, from `nft -j list counters table inet tortie`.

    Raises: UnreadableListing.
    """
    counts: dict[str, int] = {}
    for kind, value in _entries(listing):
        if kind == "counter":
            name, packets = value.get("name"), value.get("packets")
            if not isinstance(name, str) or not isinstance(packets, int):
                raise UnreadableListing(f"nft listing: counter without name or packets: {str(value)[:100]}")
            counts[name] = packets
    return counts


def read_installed(listing: Listing) -> Installed:
    """What `nft -j list table inet tortie` shows; `ABSENT` is for a table that is not there.

    A terse listing (without elements of sets) gives another fingerprint than a full one: seal and check with the same.
    A terse one is quick whatever the sets hold and outlives changes of members, but sees nobody else's changes of them.

    Raises: UnreadableListing.
    """
    digest = seal = ""
    texts: list[str] = []
    rules: list[tuple[str, str]] = []
    for kind, value in _entries(listing):
        name = str(value.get("name", ""))
        if kind == "metainfo":
            continue
        if kind == "chain" and name.startswith(DIGEST_PREFIX):
            digest = name.removeprefix(DIGEST_PREFIX)
        elif kind == "chain" and name.startswith(SEAL_PREFIX):
            seal = name.removeprefix(SEAL_PREFIX)
            continue
        kept: dict[str, object] = {key: item for key, item in value.items() if key not in _VOLATILE}
        if isinstance(elements := kept.get("elem"), list):
            # Hash sets list their elements in whatever order the buckets have now.
            kept["elem"] = sorted(json.dumps(element, sort_keys=True) for element in elements)
        said = json.dumps([kind, kept], sort_keys=True)
        if kind == "rule":
            rules.append((str(value.get("chain")), said))
        else:
            texts.append(said)
    if not texts:
        return ABSENT
    # Chains are listed in the order in which they were made, rules of a chain in that of packets.
    ordered = (said for _, said in sorted(rules, key=itemgetter(0)))
    return Installed(digest, seal, _hash((*sorted(texts), *ordered)), len(rules))


def render_seal(installed: Installed, *, table: str = TABLE) -> str:
    """The script that seals the table as it was found."""
    old = f"delete chain inet {table} {SEAL_PREFIX}{installed.seal}\n" if installed.seal else ""
    return f"{old}add chain inet {table} {SEAL_PREFIX}{installed.fingerprint}\n"


def _entries(listing: Listing) -> Iterable[tuple[str, dict[str, object]]]:
    if listing is None:
        return
    try:
        document = json.loads(listing) if isinstance(listing, str | bytes) else listing
    except ValueError:
        raise UnreadableListing(
            "nft listing: not JSON; is the nft command the one of nftables 1.0.6 or newer?"
        ) from None
    entries = document.get("nftables") if isinstance(document, Mapping) else None
    if not isinstance(entries, list):
        raise UnreadableListing("nft listing: no list named nftables")
    for entry in entries:
        if not isinstance(entry, dict) or len(entry) != 1 or not isinstance(value := next(iter(entry.values())), dict):
            raise UnreadableListing(f"nft listing: unexpected entry {str(entry)[:100]}")
        yield next(iter(entry)), value


def _hash(texts: Iterable[str]) -> str:
    return hashlib.sha256("\n".join(texts).encode()).hexdigest()[:_CHARACTERS]
