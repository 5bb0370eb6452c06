/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/* The packet as policy sees it, and the per-CPU scratch it lives in while it is judged. */
#ifndef TORTIE_PACKET_H
#define TORTIE_PACKET_H

#include <linux/bpf.h>
#include <linux/if_ether.h>
#include <linux/in.h>
#include <linux/pkt_cls.h>
#include <stdbool.h>
#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>

typedef __u8 u8;
typedef __u16 u16;
typedef __u32 u32;
typedef __u64 u64;

enum protocol { ICMP = 1, TCP = 6, UDP = 17, ICMPV6 = 58, SCTP = 132 };

/* RFC 9293 section 3.1 */
enum tcp_flag { TCP_FIN = 1, TCP_SYN = 2, TCP_RST = 4, TCP_PSH = 8, TCP_ACK = 16, TCP_URG = 32 };

enum fragment { WHOLE, FIRST, LATER };

/* Host order throughout; IPv4 addresses in word 0. For ICMP and ICMPv6 dport is type << 8 | code. */
struct packet {
	u32 source[4], destination[4];
	u32 version, protocol, sport, dport;
	enum fragment fragment;
	u32 fragment_id, hop_limit;
	u32 tcp_flags, sequence, acknowledgement;            /* of TCP */
	int payload;                                         /* bytes behind the headers; of TCP, behind its own too */
	u32 icmp_id;                                         /* of ICMP requests and replies */
	u32 is_sctp_init;
};

/* What the agent reads of a packet that met a Log rule. */
struct log_event { struct packet packet; u32 result, ifindex, generation, lane; };

struct flow_key4 { u32 a, b; u16 a_port, b_port; u32 protocol; };
struct flow_key6 { u32 a[4], b[4]; u16 a_port, b_port; u32 protocol; };

/* Storing a field here and loading it again makes the verifier forget what it knew of the value: paths that met
 * different tags, families and protocols become one state. Parsing costs 5 ns this way, the straight version had
 * ten times as many verified states.
 *
 * Where the lane is, and the size, never change: a root of one version writes it for a program of another, in the same
 * map, until that version's program is in the slot. */
struct scratch {
	u32 lane;                /* which generation judges: the root's number */
	u32 generation;          /* the id of that one; 0: it was replaced while it judged */
	union {
		struct packet packet;
		struct log_event event;
	};
	struct packet inner;     /* what an ICMP error is about */
	union {
		struct flow_key4 key4;
		struct flow_key6 key6;
		u64 key_words[5];
	};                       /* the flow that was looked up last */
	u32 end;                 /* which end of that flow sent the packet: 0 the lower one in the key, 1 the other */
	u32 is_opening;          /* the flow that was found is not assured yet */
	u32 failsafe;            /* enum failsafe */
	u64 jiffies;             /* when `now` was read */
	u32 now;                 /* coarse clock, CLOCK_SHIFT */
	u32 offset;              /* cursor of the extension header walk; start of the payload behind it */
	u32 from, to;            /* bounds of the search over IPv6 prefix lengths */
	u32 source, destination, service, sport;     /* classes, for the bit vector walk */
	u64 summary;             /* cursor of that walk: words not yet looked at, of the summary word `place` */
	u32 place, start;
	u32 possible;            /* verdicts that a later fragment could get, as a mask */
	u32 pass_until;          /* it may have passed to the tier that starts here */
	u32 steps;               /* the most that the walk may need */
	u32 network;             /* of a packet to be answered: where its IP header begins */
	u32 datagram;            /* and its bytes from there */
	u32 chunk, counter;      /* where something is counted */
	u32 source_at, destination_at, service_at, sport_at; /* the rows of these classes, as that walk reads them */
	u32 has_inner;           /* the packet that an error is about could be read */
	u32 room[39];            /* new fields take of it */
};

_Static_assert(sizeof(struct scratch) == 512, "the size is between versions");

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, u32);
	__type(value, struct scratch);
} scratch SEC(".maps");

#define forget() asm volatile("" ::: "memory")

/* clang makes one call of two that differ in the map only, and the kernel then calls through the map's operations: 12 ns
 * more with retpolines. Behind a call, and with a word of its own, this keeps them apart. */
#define keep_apart(value, word) asm volatile("%0 = %0 # " word : "+r"(value))

/* NULL cannot happen: the array has the element 0. The verifier wants the test. */
static __always_inline struct scratch *scratch_get(void)
{
	u32 zero = 0;

	return bpf_map_lookup_elem(&scratch, &zero);
}

#endif
