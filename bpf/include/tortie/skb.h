/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/* What the tc programs do before they look into a packet. */
#ifndef TORTIE_SKB_H
#define TORTIE_SKB_H

#include "parse.h"

#define LINEAR 256       /* bytes of headers that must be readable: Ethernet, tags, IPv6 and its extension headers */

/* Makes the headers readable; the VLAN tag that is beside the frame, or OTHER_DEVICE where a VLAN device of the host
 * has the packet. */
static __always_inline enum outer outer_of(struct __sk_buff *skb)
{
	u32 linear = skb->len < LINEAR ? skb->len : LINEAR, vid;

	if ((void *)(long)skb->data + linear > (void *)(long)skb->data_end)
		bpf_skb_pull_data(skb, linear);      /* on failure the parser finds the headers short and drops */
	if (!skb->vlan_present)
		return NO_TAG;
	vid = skb->vlan_tci & 4095;
	if (host_takes_vlan(vid))
		return OTHER_DEVICE;
	return vid ? TAG : PRIORITY_TAG;
}

#endif
