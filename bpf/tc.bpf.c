// SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
/* tc ingress of one interface: behind XDP it only turns metadata into the mark; where an interface cannot take XDP it
 * decides with the same core, still in front of connection tracking. */
#include <linux/bpf.h>

typedef struct __sk_buff context_t;

#include "tortie/judge.h"
#include "tortie/metadata.h"

/* See xdp.bpf.c. */
struct {
	__uint(type, BPF_MAP_TYPE_PROG_ARRAY);
	__uint(max_entries, 1);
	__type(key, u32);
	__type(value, u32);
} slot SEC(".maps");

#define LINEAR 256       /* bytes of headers that must be readable: Ethernet, tags, IPv6 and its extension headers */

SEC("tc")
int tc_policy(struct __sk_buff *skb)
{
	u32 linear = skb->len < LINEAR ? skb->len : LINEAR, tags = 0;

	if ((void *)(long)skb->data + linear > (void *)(long)skb->data_end)
		bpf_skb_pull_data(skb, linear);      /* on failure the parser finds the headers short and drops */
	if (skb->vlan_present) {
		if (host_takes_vlan(skb->vlan_tci & 4095)) {
			count(REASON_VLAN);
			return TC_ACT_UNSPEC;
		}
		tags = 1;
	}
	switch (verdict_of(skb, tags)) {
	case VERDICT_DENY:
		return TC_ACT_SHOT;
	case VERDICT_ALLOW:
		skb->mark |= mark_bit;
		return TC_ACT_UNSPEC;
	default:
		return TC_ACT_UNSPEC;
	}
}

SEC("tc")
int tc_root(struct __sk_buff *skb)
{
	bpf_tail_call(skb, &slot, 0);
	return TC_ACT_UNSPEC;    /* see xdp_root */
}

SEC("tc")
int tc_mark(struct __sk_buff *skb)
{
	if (metadata_read(skb))
		skb->mark |= mark_bit;
	return TC_ACT_UNSPEC;
}

char LICENSE[] SEC("license") = "Dual BSD/GPL";
