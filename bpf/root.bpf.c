// SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
/* What is attached to an interface and stays: roots that jump to the newest generation, and the mark behind XDP. */
#include <linux/bpf.h>

#include "tortie/metadata.h"

/* One slot for each interface and direction: the policy program of the newest generation. Pinned beside the link, because a prog
 * array forgets its programs with its last reference. Agent writes, root reads. */
struct {
	__uint(type, BPF_MAP_TYPE_PROG_ARRAY);
	__uint(max_entries, 1);
	__type(key, u32);
	__type(value, u32);
} slot SEC(".maps");

/* Which generation judges here; dataplane/ebpf writes it before loading. */
const volatile u32 lane = 0;

/* NULL cannot happen: see scratch_get. */
static __always_inline void enter_lane(void)
{
	struct scratch *c = scratch_get();

	if (c)
		c->lane = lane;
}

SEC("xdp")
int xdp_root(struct xdp_md *ctx)
{
	enter_lane();
	bpf_tail_call(ctx, &slot, 0);
	/* The slot is filled before the root is attached. Who empties it opens the interface until the agent's next check:
	 * the alternative would lock out whoever has to mend it. */
	return XDP_PASS;
}

SEC("tc")
int tc_root(struct __sk_buff *skb)
{
	enter_lane();
	bpf_tail_call(skb, &slot, 0);
	return TC_ACT_UNSPEC;    /* see xdp_root */
}

/* The egress root has a slot of its own: an object of its own is opened for it. */
SEC("tc")
int tc_out(struct __sk_buff *skb)
{
	enter_lane();
	bpf_tail_call(skb, &slot, 0);
	return TC_ACT_UNSPEC;    /* see xdp_root */
}

SEC("tc")
int tc_mark(struct __sk_buff *skb)
{
	u32 metadata = metadata_read(skb);

	if (metadata == METADATA_ALLOWED)
		skb->mark |= mark_bit;
	else if (metadata == METADATA_ANSWER)
		return bpf_redirect(skb->ifindex, 0);
	return TC_ACT_UNSPEC;
}

/* What each word of XDP in front (front.bpf.c) is in the packet's mark, and the bits that are the front's; dataplane/ebpf
 * writes them before loading. */
const volatile u32 front_marks[FRONT_MARKS] = {}, front_mask = 0;

/* Nothing else gets into these bits by this interface: whoever reads them behind believes them. What was said is taken out of the
 * metadata, which a packet may still have where it arrives again. */
SEC("tc")
int tc_front(struct __sk_buff *skb)
{
	u32 *meta = (void *)(long)skb->data_meta, told, mark = 0;

	if ((void *)(meta + 1) <= (void *)(long)skb->data) {
		told = *meta - METADATA_FRONT;
		if (told < FRONT_MARKS) {
			mark = front_marks[told];
			*meta = 0;
		}
	}
	skb->mark = (skb->mark & ~front_mask) | mark;
	return TC_ACT_UNSPEC;
}

/* What every cost is measured against. */
SEC("xdp")
int xdp_empty(struct xdp_md *ctx)
{
	return XDP_DROP;
}

char LICENSE[] SEC("license") = "Dual BSD/GPL";
