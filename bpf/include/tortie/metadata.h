/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/* How an untracked Allow travels: four bytes before the packet (XDP -> tc), then one bit of the skb mark (tc -> the nft
 * table, which says notrack). And how an answer to a denial does that tc has to send. Nothing a sender writes can get into
 * either. */
#ifndef TORTIE_METADATA_H
#define TORTIE_METADATA_H

#include "packet.h"

#define METADATA_ALLOWED 0x746f7274u       /* "tort" */
#define METADATA_ANSWER 0x746f7261u
/* From XDP in front (front.bpf.c): bit 0, untracked policy allowed it; bit 1, the parity of the generation that judged. */
#define METADATA_FRONT 0x746f7240u
#define FRONT_MARKS 4

/* The mark bit; dataplane/ebpf writes it before loading. */
const volatile u32 mark_bit = 0;

/* False: the driver has no room for metadata. Metadata of an earlier program (or of an earlier repetition of a test
 * run) is used again. */
static __always_inline bool metadata_write(struct xdp_md *ctx, u32 what)
{
	u32 *meta = (void *)(long)ctx->data_meta;

	if ((void *)(meta + 1) > (void *)(long)ctx->data) {
		if (bpf_xdp_adjust_meta(ctx, -(int)sizeof(*meta)))
			return false;
		meta = (void *)(long)ctx->data_meta;
		if ((void *)(meta + 1) > (void *)(long)ctx->data)
			return false;
	}
	*meta = what;
	return true;
}

/* 0: there is none. */
static __always_inline u32 metadata_read(struct __sk_buff *skb)
{
	u32 *meta = (void *)(long)skb->data_meta;

	return (void *)(meta + 1) <= (void *)(long)skb->data ? *meta : 0;
}

#endif
