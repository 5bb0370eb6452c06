"""The part of the eBPF driver that is nftables: untracked egress, and notrack for what XDP and tc allowed.

Local packets meet connection tracking before tc egress, so their untracked policy is decided in netfilter's raw OUTPUT
hook, by one table of ours. Everything here is pure: values in, the text of one nft transaction out; listings in, counts
and marks out. The driver runs nft.
"""

from tortie.dataplane.nft_egress.endpoint import ReasonKey, RuleKey
from tortie.dataplane.nft_egress.render import DEFAULT_MARK_BIT, Rendered, render
from tortie.dataplane.nft_egress.update import SetUpdate, render_set_change
from tortie.dataplane.nft_text.listing import (
    ABSENT,
    TABLE,
    Installed,
    Listing,
    UnreadableListing,
    read_counters,
    read_installed,
    render_seal,
)

__all__ = [
    "ABSENT",
    "DEFAULT_MARK_BIT",
    "TABLE",
    "Installed",
    "Listing",
    "ReasonKey",
    "Rendered",
    "RuleKey",
    "SetUpdate",
    "UnreadableListing",
    "read_counters",
    "read_installed",
    "render",
    "render_seal",
    "render_set_change",
]
