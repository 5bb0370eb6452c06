"""How a driver of rules in tables that are others' too may use them: variant, bits of the mark, place among the rules.

Source: reference config.md section 5; dataplane-iptables.md C1.1, C1.3.
"""

from dataclasses import dataclass
from enum import Enum

DEFAULT_MASK = 0xFFFF0000


class Backend(Enum):
    """Which variant of iptables the operator asked for (`IptablesBackend`)."""

    AUTO = "Auto"
    LEGACY = "Legacy"
    NFT = "NFT"


@dataclass(frozen=True, slots=True)
class TablesUse:
    """`mark_mask`: bits of the mark that may be used. `appends`: our rules come behind those of others, not before."""

    backend: Backend = Backend.AUTO
    mark_mask: int = DEFAULT_MASK
    appends: bool = False


USUAL = TablesUse()
"""Where nobody says anything."""
