// SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
/* XDP ingress of one interface.
 *
 *   driver ─▶ xdp_root ─slot─▶ xdp_policy (one generation) ─▶ drop        (root.bpf.c has the other programs)
 *                                  │ allow: metadata ─▶ tc_mark ─▶ mark ─▶ notrack
 *                                  ├ continue: passes, and is the kernel's
 *                                  └ reject ─jumps─▶ xdp_answer ─▶ the driver sends it back, or tc_mark
 */
#include <linux/bpf.h>

typedef struct xdp_md context_t;

#define IS_EGRESS false
#define IS_FORWARDED(ctx) false
#define ARRIVED_AT(ctx) (ctx)->ingress_ifindex
#define INTERFACE(ctx) (ctx)->ingress_ifindex

#include "tortie/judge.h"
#include "tortie/metadata.h"

SEC("xdp")
int xdp_policy(struct xdp_md *ctx)
{
	struct scratch *c = scratch_get();
	struct generation g;

	if (!c || !generation_begin(c, &g))
		return XDP_PASS;                             /* as where the slot is empty: see root.bpf.c */
	switch (verdict_of(ctx, c, g, NO_TAG)) {
	case VERDICT_REJECT:
		bpf_tail_call(ctx, &jumps, JUMP_ANSWER);
		return XDP_DROP;                             /* others emptied `jumps` */
	case VERDICT_DENY:
		return XDP_DROP;
	case VERDICT_ALLOW:
		if (!metadata_write(ctx, METADATA_ALLOWED))
			count(c, g, REASON_NO_METADATA);
		return XDP_PASS;
	default:
		return XDP_PASS;
	}
}

/* The kernel takes packets of several buffers to this program; dataplane/ebpf writes it before loading. */
const volatile u32 has_frags = 0;

#define LEAST_FRAME 60           /* Ethernet's, without the checksum: not every driver fills up what XDP sends */

static __always_inline u32 linear_bytes(struct xdp_md *ctx)
{
	return ctx->data_end - ctx->data;
}

static __always_inline u32 whole_bytes(struct xdp_md *ctx)
{
	return has_frags ? bpf_xdp_get_buff_len(ctx) : linear_bytes(ctx);
}

/* What of the frame can be quoted. */
static __always_inline u32 frame_bytes(struct xdp_md *ctx)
{
	return linear_bytes(ctx);
}

static __always_inline bool sums_later(struct xdp_md *ctx)
{
	return false;
}

static __always_inline bool trim(struct xdp_md *ctx, const struct scratch *c, u32 bytes)
{
	u32 whole = whole_bytes(ctx);
	u64 *padding;

	if (c->packet.protocol == TCP && bytes < LEAST_FRAME && whole >= LEAST_FRAME) {
		bytes = LEAST_FRAME;
		padding = (void *)(long)ctx->data + LEAST_FRAME - sizeof(*padding);
		if ((void *)(padding + 1) > (void *)(long)ctx->data_end)
			return false;
		*padding = 0;
	}
	return bytes >= whole || !bpf_xdp_adjust_tail(ctx, (int)(bytes - whole));
}

static __always_inline bool grow(struct xdp_md *ctx, u32 bytes)
{
	return !bpf_xdp_adjust_head(ctx, -(int)bytes);
}

static __always_inline bool put(struct xdp_md *ctx, u32 at, const void *from, u32 bytes)
{
	void *to = (void *)(long)ctx->data + at;

	if (to + bytes > (void *)(long)ctx->data_end)
		return false;
	__builtin_memcpy(to, from, bytes);
	return true;
}

#include "tortie/answer.h"

/* The driver sends the frame back where it came from. A veth does that only while its other end has an XDP program, which
 * nobody here knows: there the frame, which is nobody's on this host any more, goes up to tc_mark, which sends it. */
SEC("xdp")
int xdp_answer(struct xdp_md *ctx)
{
	struct scratch *c = scratch_get();
	struct generation g;

	if (!c || !generation_newest(c, &g))
		return XDP_DROP;
	if (!answer(ctx, c, g, g.cfg->rejects == REJECTS_THROUGH_TC))
		return XDP_DROP;
	if (g.cfg->rejects == REJECTS_THROUGH_TC && metadata_write(ctx, METADATA_ANSWER))
		return XDP_PASS;
	return XDP_TX;
}

char LICENSE[] SEC("license") = "Dual BSD/GPL";
