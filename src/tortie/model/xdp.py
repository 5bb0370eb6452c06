"""Whether packets that arrive are judged in XDP, in front of the kernel, or at tc: what people asked for.

Either place gives the same verdicts. What a driver makes of it is its own matter; it says why. Source: decision 16.
"""

from dataclasses import dataclass
from enum import Enum

ANNOTATION = "tortie.io/xdp"
"""The annotation of documents that says it."""


class XdpUse(Enum):
    """AUTO: where it is worth it. UNTRACKED: while untracked policy applies. ALWAYS: else something is wrong. NEVER."""

    AUTO = "auto"
    UNTRACKED = "untracked"
    ALWAYS = "always"
    NEVER = "never"


@dataclass(frozen=True, slots=True)
class XdpWish:
    """What holds for an interface. `is_own`: its endpoint says so itself, and not the settings of the host.

    `may_be_generic`: where it is ALWAYS and the interface has no native XDP, generic XDP will do.
    """

    use: XdpUse = XdpUse.AUTO
    is_own: bool = False
    may_be_generic: bool = False
