// SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
/* tc ingress of one interface: behind XDP it only turns metadata into the mark; where an interface cannot take XDP it
 * decides with the same core, still in front of connection tracking. */
#include <linux/bpf.h>

typedef struct __sk_buff context_t;

#define IS_EGRESS false
#define IS_FORWARDED(ctx) false
#define ARRIVED_AT(ctx) (ctx)->ifindex
#define INTERFACE(ctx) (ctx)->ifindex

#include "tortie/judge.h"
#include "tortie/metadata.h"
#include "tortie/skb.h"
#include "tortie/answer_skb.h"

SEC("tc")
int tc_policy(struct __sk_buff *skb)
{
	struct scratch *c = scratch_get();
	struct generation g;
	enum outer outer;

	if (!c || !generation_begin(c, &g))
		return TC_ACT_UNSPEC;                        /* as where the slot is empty: see root.bpf.c */
	outer = outer_of(skb, g.cfg);
	if (outer == OTHER_DEVICE) {
		count(c, g, REASON_VLAN);
		return TC_ACT_UNSPEC;
	}
	switch (verdict_of(skb, c, g, outer)) {
	case VERDICT_REJECT:
		bpf_tail_call(skb, &jumps, JUMP_ANSWER);
		return TC_ACT_SHOT;                          /* others emptied `jumps` */
	case VERDICT_DENY:
		return TC_ACT_SHOT;
	case VERDICT_ALLOW:
		skb->mark |= mark_bit;
		return TC_ACT_UNSPEC;
	default:
		return TC_ACT_UNSPEC;
	}
}

/* The frame goes back where it came from. */
SEC("tc")
int tc_answer(struct __sk_buff *skb)
{
	return answer_skb(skb, 0);
}

char LICENSE[] SEC("license") = "Dual BSD/GPL";
