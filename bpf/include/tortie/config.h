/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/* What one generation is: the first page of its memory (maps.h). Written before the first packet can meet it; the programs
 * only read it. User space finds the fields through BTF. */
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
	u32 root[256];                   /* first byte of an IPv4 address -> class, or 1 << 31 | block of the trie */
};

/* Where the tables of one stage begin: bytes from the start of the generation's memory. */
struct places {
	u32 src4_hosts, src4_nets, src6, dst4_hosts, dst4_nets, dst6;
	u32 services;                    /* as decision.h says: classes of protocols, of fragments of them, and blocks of ports */
	u32 sports;                      /* blocks of source ports; the protocol is in the service class */
	u32 cells;                       /* decision words */
	u32 fold_a;                      /* source class x destination class -> A */
	u32 fold_b;                      /* service class x source port class -> B */
	u32 bits_src, bits_dst, bits_svc, bits_sport;    /* per class: summary words, then one bit a term */
	u32 terms;                       /* rule << 32 | start of the next tier << 4 | needs ports << 3 | action */
};

/* How the rules of one stage become a decision. */
struct classifier {
	u32 used;                        /* the stage is asked at all */
	u32 base;                        /* added to the ids of its results, so that each stage has its own counters */
	enum backend backend;
	u32 services, sports;            /* the dimension is used */
	u32 destination_stride, service_stride, sport_stride, fold_stride;
	u32 sport_none, sport_fragment;  /* source port class of other protocols, and of later fragments */
	u32 summary_words, row_shift, steps;     /* bit vectors: summary words of a row; log2 of all its words; most steps a
						  * packet can need */
	u32 has_log;
	struct places at;
	struct dimension source, destination;
	u16 service_blocks[5 * 256];     /* (TCP, UDP, SCTP, ICMP, ICMPv6), high byte of the port -> block of `services` */
	u16 sport_blocks[256];           /* high byte of the source port -> block of `sports` */
};

/* Idle times after which a flow is gone, in units of the coarse clock (flows.h); TCP's by state. */
struct timeouts { u32 tcp[4], udp, icmp, generic; };

/* What becomes of denials of the forward and normal classes, and at XDP by which way the answer goes (answer.h). */
enum rejects { REJECTS_NOT, REJECTS, REJECTS_THROUGH_TC };

struct config {
	u32 generation;                  /* id of the map that this is in; what is logged carries it */
	u32 end;                         /* bytes of this page and of all tables; read by the next agent */
	u32 parity;                      /* even (0) or odd (1): in which run of the lane's words it counts */
	u32 counters_stride;             /* words from one CPU's counters to the next one's */
	u32 fs_ports;                    /* blocks of ports: 0 no, 1 anyone, n list */
	u16 fs_blocks[6 * 256];          /* (inbound, outbound) x (TCP, UDP, SCTP), high byte of the port -> block */
	u32 fs_nets, failsafe_nets;      /* struct failsafe_net, and how many */
	u32 vlan_count;
	u8 vlans[512];                   /* bit mask of the VLAN ids that the host's VLAN devices take */
	u8 digest[16];                   /* what this generation was made of; read by the next agent, not by the program */
	u32 drops_invalid;
	u32 trusts_mark;                 /* leaving: untracked policy is decided before, and the mark bit says "allowed" */
	enum rejects rejects;
	u32 passes_own;                  /* an interface of a workload: what is for this host, or from it, meets no normal policy */
	struct timeouts timeouts;
	struct classifier untracked, pre_dnat, forward, normal;       /* in the order of enum stage_number */
};

/* The classes of policy that programs decide, as an arriving packet meets them. */
enum stage_number { STAGE_UNTRACKED, STAGE_PRE_DNAT, STAGE_FORWARD, STAGE_NORMAL, STAGES };

#define STAGE_AT(NUMBER) (__builtin_offsetof(struct config, untracked) + (NUMBER) * sizeof(struct classifier))

_Static_assert(STAGE_AT(STAGE_PRE_DNAT) == __builtin_offsetof(struct config, pre_dnat), "pre_dnat is where its number says");
_Static_assert(STAGE_AT(STAGE_FORWARD) == __builtin_offsetof(struct config, forward), "forward is where its number says");
_Static_assert(STAGE_AT(STAGE_NORMAL) == __builtin_offsetof(struct config, normal), "normal is where its number says");

#endif
