/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/* answer.h for the frames of the tc programs. */
#ifndef TORTIE_ANSWER_SKB_H
#define TORTIE_ANSWER_SKB_H

#include "tracked.h"

static __always_inline u32 whole_bytes(struct __sk_buff *skb)
{
	return skb->len;
}

static __always_inline u32 frame_bytes(struct __sk_buff *skb)
{
	return skb->len;
}

/* A large segment has no checksum yet, or none that holds: who sends it, or the part of it that is left, writes it. */
static __always_inline bool sums_later(struct __sk_buff *skb)
{
	return skb->gso_size;
}

/* Cuts to so many bytes; of TCP behind IP options or extension headers to a few more, because the kernel does not cut where
 * it knows a header and its checksum. */
static __always_inline bool trim(struct __sk_buff *skb, const struct scratch *c, u32 bytes)
{
	if (c->packet.protocol == TCP && bytes < c->offset + 20)
		bytes = c->offset + 20;
	return bytes >= skb->len || !bpf_skb_change_tail(skb, bytes, 0);
}

static __always_inline bool grow(struct __sk_buff *skb, u32 bytes)
{
	return !bpf_skb_change_head(skb, bytes, 0) && !bpf_skb_pull_data(skb, skb->len);
}

static __always_inline bool put(struct __sk_buff *skb, u32 at, const void *from, u32 bytes)
{
	return !bpf_skb_store_bytes(skb, at, from, bytes, BPF_F_RECOMPUTE_CSUM | BPF_F_INVALIDATE_HASH);
}

#include "answer.h"

/* Answers a denied packet with its own buffer, which is sent, or arrives (BPF_F_INGRESS), on its interface. */
static __always_inline int answer_skb(struct __sk_buff *skb, u64 flags)
{
	struct scratch *c = scratch_get();
	struct generation g;

	if (!c || !generation_newest(c, &g) || !answer(skb, c, g, true))
		return TC_ACT_SHOT;
	skb->mark = 0;               /* what was said of the packet is not true of the answer */
	return bpf_redirect(skb->ifindex, flags);
}

#endif
