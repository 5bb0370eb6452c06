"""What an operator reads in `nft list table inet tortie-policy`: names of chains, counters and sets, and comments.

A name says where its thing belongs: `normal-in/eth0/tier.default`, `normal-in/eth0/default/gnp.web/0`. nft's names are
of letters, digits and `/ - _ .`, and begin with a letter; others are replaced, and a hash keeps them apart.
"""

import hashlib
import re
from collections.abc import Sequence

from tortie.dataplane.telling import described, policy_name
from tortie.model.verdict import Reason, RuleRef

LONGEST = 120
"""The kernel takes 255 characters, of which listings get hard to read."""
LONGEST_COMMENT = 127
"""Source: libnftnl, NFTNL_UDATA_COMMENT_MAXLEN with its zero."""
INTERFACE_NAME = re.compile(r"[A-Za-z0-9_.@+=~#%^,-]{1,15}")
"""Names that nft can spell: it has no escapes inside quotes, and a trailing asterisk would stand for a prefix."""
_FOREIGN = re.compile(r"[^A-Za-z0-9/_.-]")
_IN_COMMENT = re.compile(r'["\\\n]')
_HASH_CHARACTERS = 8


def path(*parts: str) -> str:
    """The parts as one name."""
    text = "/".join(parts)
    name = _FOREIGN.sub("_", text)
    if name == text and len(name) <= LONGEST:
        return name
    digest = hashlib.sha256(text.encode()).hexdigest()[:_HASH_CHARACTERS]
    return f"{name[: LONGEST - _HASH_CHARACTERS - 1]}_{digest}"


def counter_name(chain: str, what: RuleRef | Reason) -> str:
    """The counter of a rule, or of a reason, in the chains that begin with that one."""
    if isinstance(what, Reason):
        return path(chain, what.value)
    index = "end" if what.index < 0 else str(what.index)
    return path(chain, *([what.tier] if what.tier else []), policy_name(what.policy), index)


def comment(ref: RuleRef) -> str:
    """What an nft rule is for, as nft's `comment` statement."""
    return f'comment "{_IN_COMMENT.sub("_", described(ref))[:LONGEST_COMMENT]}"'


def set_name(number: int, set_ids: Sequence[str], version: int, has_ports: bool) -> str:
    """The nft set of these IP sets: the same one whatever else is in the table."""
    if len(set_ids) == 1:
        text = set_ids[0].replace(":", ".")
    else:
        text = "n." + hashlib.sha224(" ".join(set_ids).encode()).hexdigest()[:38]
    return f"{text}_v{version}{'p' if has_ports else ''}"
