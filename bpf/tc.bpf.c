// SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
/* tc ingress of one interface: behind XDP it only turns metadata into the mark; where an interface cannot take XDP it
 * decides with the same core, still in front of connection tracking. */
#include <linux/bpf.h>

typedef struct __sk_buff context_t;

#include "tortie/judge.h"
#include "tortie/metadata.h"

#define LINEAR 256       /* bytes of headers that must be readable: Ethernet, tags, IPv6 and its extension headers */

SEC("tc")
int tc_policy(struct __sk_buff *skb)
{
	u32 linear = skb->len < LINEAR ? skb->len : LINEAR;
	enum outer outer = NO_TAG;

	if ((void *)(long)skb->data + linear > (void *)(long)skb->data_end)
		bpf_skb_pull_data(skb, linear);      /* on failure the parser finds the headers short and drops */
	if (skb->vlan_present) {
		u32 vid = skb->vlan_tci & 4095;

		if (host_takes_vlan(vid)) {
			count(REASON_VLAN);
			return TC_ACT_UNSPEC;
		}
		outer = vid ? TAG : PRIORITY_TAG;
	}
	switch (verdict_of(skb, outer)) {
	case VERDICT_DENY:
		return TC_ACT_SHOT;
	case VERDICT_ALLOW:
		skb->mark |= mark_bit;
		return TC_ACT_UNSPEC;
	default:
		return TC_ACT_UNSPEC;
	}
}

char LICENSE[] SEC("license") = "Dual BSD/GPL";
