/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/* Why a packet got its verdict where no rule decided. Also the first ids of the counters map. */
#ifndef TORTIE_REASONS_H
#define TORTIE_REASONS_H

enum reason {
	REASON_NO_MATCH,         /* untracked policy has nothing to say, and nothing else is asked here: passes */
	REASON_NOT_IP,           /* ARP and others: passes */
	REASON_MALFORMED,        /* headers cut short or contradictory: dropped */
	REASON_FAILSAFE,         /* failsafe port: passes, and is tracked */
	REASON_ESSENTIAL_ICMPV6, /* neighbour and router discovery, MLD: passes */
	REASON_FRAGMENT,         /* later fragment whose ports could matter and are not known: dropped */
	REASON_VLAN,             /* belongs to a VLAN device of the host: passes */
	REASON_NO_METADATA,      /* allowed, but the driver takes no metadata: goes on as tracked */
	REASON_TABLE,            /* the tables contradict themselves: dropped; a bug */
	REASON_LOG_LOST,         /* a Log event found the ring buffer full; the packet counts elsewhere too */
	REASON_FORWARDED,        /* not for this host: passes */
	REASON_INVALID,          /* belongs to no flow and cannot open one, or impossible flags: dropped */
	REASON_ESTABLISHED,      /* belongs to a flow: passes */
	REASON_RELATED,          /* an ICMP error about a flow: passes */
	REASON_UNSTORED,         /* a flow did not fit among the assured ones; the packet counts elsewhere too */
	REASON_SOURCE_ROUTE,     /* the sender chose the way, and the last address is not the one that policy reads: dropped */
	REASON_IPV6_EXT,         /* more extension headers than are walked: dropped */
	REASON_MARTIAN,          /* arriving from an address that no packet on a wire has, or to one: dropped */
	REASON_ANSWER,           /* what tells somebody of a denial here: passes */
	/* of each denial that is to be answered one of these, besides what it counts as */
	REASON_ANSWERED,         /* the sender was told */
	REASON_UNANSWERED,       /* nobody may be told of such a packet, or nobody could be */
	REASON_ANSWER_LIMIT,     /* more would have been told than the limits of ICMP errors allow */
	REASON_BASE = 32,        /* results of policy from here on */
};

#endif
