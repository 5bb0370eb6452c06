/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/* Constants of one generation: written before the program is loaded, then frozen, so that the verifier removes the
 * dimensions and back ends this generation does not use. User space finds the fields through BTF. */
#ifndef TORTIE_CONFIG_H
#define TORTIE_CONFIG_H

#include "decision.h"
#include "packet.h"

/* How one address becomes its class. `used` 0: no rule looks at this side, every address is class 0. */
struct dimension {
	u32 used;
	u32 hosts4, hosts4_shift;        /* host table present; 32 - log2(buckets) */
	u32 nets4;                       /* trie present */
	u32 table6, table6_shift;        /* IPv6 table present; 64 - log2(buckets) */
	u32 table6_seed;
	u32 hosts6;                      /* it holds single addresses */
	u32 lengths6_count;              /* distinct prefix lengths of its nets */
	u32 default4, default6;          /* class of an address outside every prefix */
	u8 lengths6[128];                /* those lengths, ascending */
};

/* How the rules of one stage become a decision. */
struct classifier {
	u32 used;                        /* the stage is asked at all */
	u32 base;                        /* added to the ids of its results, so that each stage has its own counters */
	enum backend backend;
	u32 services, sports;            /* the dimension is used */
	u32 destination_stride, service_stride, sport_stride, fold_stride;
	u32 sport_none, sport_fragment;  /* source port class of other protocols, and of later fragments */
	u32 words, summary_words, steps; /* bit vectors: words and summary words of a row; most steps a packet can need */
	u32 has_log;
	struct dimension source, destination;
};

/* Idle times after which a flow is gone, in units of the coarse clock (flows.h); TCP's by state. */
struct timeouts { u32 tcp[4], udp, icmp, generic; };

struct config {
	u32 failsafe_nets;               /* how many */
	u32 vlan_count;
	u8 vlans[512];                   /* bit mask of the VLAN ids that the host's VLAN devices take */
	u8 digest[16];                   /* what this generation was made of; read by the next agent, not by the program */
	u32 drops_invalid;
	u32 trusts_mark;                 /* leaving: untracked policy is decided before, and the mark bit says "allowed" */
	struct timeouts timeouts;
	struct classifier untracked, normal;
};

const volatile struct config cfg = {};

#endif
