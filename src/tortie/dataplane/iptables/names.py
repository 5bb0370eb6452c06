"""What an operator reads in `iptables -S` and `ipset list`: names of chains and sets, and comments.

Everything of ours begins with `tortie-`. A chain's name says where it belongs: `tortie-ni/eth0/t.default` holds the
rules of tier `default` that what arrives at eth0 meets in the normal class. What does not fit, or is not of letters,
digits and `/ . - _`, is cut, and a hash keeps such names apart.
"""

import hashlib
import re
from base64 import b32encode
from collections.abc import Iterable, Sequence

from tortie.dataplane.telling import described
from tortie.model.verdict import RuleRef

PREFIX = "tortie-"
DIGEST_PREFIX, SEAL_PREFIX, MADE_PREFIX = f"{PREFIX}d.", f"{PREFIX}s.", f"{PREFIX}m."
"""Empty chains that are a table's memory: the state it was made for, how it was listed then, what was made besides."""
LONGEST_CHAIN = 28
"""Source: linux/netfilter/x_tables.h, XT_EXTENSION_MAXNAMELEN with its zero."""
LONGEST_SET = 31
"""Source: linux/netfilter/ipset/ip_set.h, IPSET_MAXNAMELEN with its zero."""
LONGEST_COMMENT = 255
"""Source: linux/netfilter/xt_comment.h, XT_MAX_COMMENT_LEN with its zero."""
INTERFACE_NAME = re.compile(r"[A-Za-z0-9_.@=~#%^,:+-]{0,14}[A-Za-z0-9_.@=~#%^,:-]")
"""Names that iptables can spell: a plus sign at the end would stand for a prefix."""
_FOREIGN = re.compile(r"[^A-Za-z0-9/_.-]")
_IN_COMMENT = re.compile(r"[^ !#-\[\]-~]")
_HASH_CHARACTERS = 10


def chain(*parts: str) -> str:
    """The parts as the name of a chain."""
    text = PREFIX + "/".join(parts)
    name = _FOREIGN.sub("_", text)
    if name == text and len(name) <= LONGEST_CHAIN:
        return name
    return f"{name[: LONGEST_CHAIN - _HASH_CHARACTERS - 1]}_{short_hash((text,), _HASH_CHARACTERS)}"


def comment(ref: RuleRef) -> str:
    """What a rule is for, as a match that every packet meets."""
    return f'-m comment --comment "{_IN_COMMENT.sub("_", described(ref))[:LONGEST_COMMENT]}"'


def set_name(number: int, set_ids: Sequence[str], version: int, has_ports: bool) -> str:
    """The kernel's set for these IP sets: the same one whatever else there is."""
    beginning = f"{PREFIX}{'p' if has_ports else 's'}{version}-"
    return beginning + short_hash(set_ids, LONGEST_SET - len(beginning))


def nets_name(version: int, nets: Iterable[object]) -> str:
    """The kernel's set for nets that a rule lists."""
    beginning = f"{PREFIX}n{version}-"
    return beginning + short_hash(map(str, nets), LONGEST_SET - len(beginning))


def short_hash(texts: Iterable[str], characters: int) -> str:
    """So many characters of a hash over the texts, none of which holds a space."""
    return b32encode(hashlib.sha256(" ".join(texts).encode()).digest()).decode().lower()[:characters]
