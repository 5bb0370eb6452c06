/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/* What the tc programs do before they look into a packet. */
#ifndef TORTIE_SKB_H
#define TORTIE_SKB_H

#include "parse.h"

#define LINEAR 256       /* bytes of headers that must be readable: Ethernet, tags, IPv6 and its extension headers */

/* A TCP packet behind an IP header without options or extensions, its own header readable to where options begin. */
static __always_inline bool shows_tcp(struct __sk_buff *skb)
{
	u8 *h = (void *)(long)skb->data, *end = (void *)(long)skb->data_end;

	if (h + 14 + 20 + 20 > end)
		return false;
	if (*(u16 *)(h + 12) == bpf_htons(ETH_P_IP))
		return h[14] == 0x45 && h[23] == TCP;
	return *(u16 *)(h + 12) == bpf_htons(ETH_P_IPV6) && h[20] == TCP && h + 14 + 40 + 20 <= end;
}

/* Makes the headers readable; the VLAN tag that is beside the frame, or OTHER_DEVICE where a VLAN device of the host
 * has the packet. TCP keeps what it sends beside the headers, and shares it with the copy that it may have to send again:
 * to pull some of it in front would copy the headers of every such packet. */
static __always_inline enum outer outer_of(struct __sk_buff *skb, const struct config *cfg)
{
	u32 linear = skb->len < LINEAR ? skb->len : LINEAR, vid;

	if ((void *)(long)skb->data + linear > (void *)(long)skb->data_end && !shows_tcp(skb))
		bpf_skb_pull_data(skb, linear);      /* on failure the parser finds the headers short and drops */
	if (!skb->vlan_present)
		return NO_TAG;
	vid = skb->vlan_tci & 4095;
	if (host_takes_vlan(cfg, vid))
		return OTHER_DEVICE;
	return vid ? TAG : PRIORITY_TAG;
}

#endif
