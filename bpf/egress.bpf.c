// SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
/* tc egress of one interface: the tracked stages for what leaves.
 *
 *   local process ─▶ nft raw OUTPUT: untracked policy; what it allows carries the mark bit ─▶ tc_out ─slot─▶ egress_policy
 *   forwarded    ──────────────────────────────────────────────────────────────────────────────▲        └─▶ driver
 */
#include <linux/bpf.h>

typedef struct __sk_buff context_t;

#define IS_EGRESS true
#define IS_FORWARDED(ctx) ((ctx)->ingress_ifindex != 0)
#define ARRIVED_AT(ctx) (ctx)->ifindex
#define INTERFACE(ctx) (ctx)->ifindex

#include "tortie/judge.h"
#include "tortie/metadata.h"
#include "tortie/skb.h"
#include "tortie/answer_skb.h"

SEC("tc")
int egress_policy(struct __sk_buff *skb)
{
	struct scratch *c = scratch_get();
	struct generation g;
	enum outer outer;

	if (!c || !generation_begin(c, &g))
		return TC_ACT_UNSPEC;                        /* as where the slot is empty: see root.bpf.c */
	if (g.cfg->trusts_mark && skb->mark & mark_bit) {       /* untracked policy allowed it: decided and counted there */
		skb->mark &= ~mark_bit;
		return TC_ACT_UNSPEC;
	}
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
	default:
		return TC_ACT_UNSPEC;
	}
}

/* The answer arrives on the interface by which the packet would have left, as if whom it was for had given it: so it finds
 * a local socket, or the way back to whom this host forwarded for, translations of addresses included. */
SEC("tc")
int egress_answer(struct __sk_buff *skb)
{
	return answer_skb(skb, BPF_F_INGRESS);
}

char LICENSE[] SEC("license") = "Dual BSD/GPL";
