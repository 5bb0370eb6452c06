"""Why packets are dropped, in a sentence each, in the order in which a packet meets these ends."""

from collections.abc import Mapping

from tortie.model.verdict import Reason

DROPS: Mapping[Reason, str] = {
    Reason.MALFORMED: "headers cut short or contradicting themselves",
    Reason.SOURCE_ROUTE: "the sender chose the way: the last address of it is hidden from policy",
    Reason.IPV6_EXT: "more than six IPv6 extension headers",
    Reason.MARTIAN: "from an address that nobody outside can have, or to one: this host's own, loopback, a group",
    Reason.FRAGMENT: "later fragments whose ports could matter and are not known",
    Reason.TABLE: "tables that contradict themselves: a bug of ours, please report it",
    Reason.INVALID: "no packet of a known connection, and none that may open one",
    Reason.POLICY: "a Deny rule of a policy",
    Reason.TIER_END: "no rule of a tier decided, and the tier denies",
    Reason.PROFILE: "a Deny rule of a profile",
    Reason.NO_PROFILE: "the endpoint lists a profile that does not exist",
    Reason.DEFAULT_DENY: "no policy and no profile allows it: the host endpoint denies",
}
"""Every reason for which a packet can be dropped."""
