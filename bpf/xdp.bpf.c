// SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
/* XDP ingress of one interface.
 *
 *   driver ─▶ xdp_root ─slot─▶ xdp_policy (one generation) ─▶ drop        (root.bpf.c has the other programs)
 *                                  │ allow: metadata ─▶ tc_mark ─▶ mark ─▶ notrack
 *                                  └ continue: passes, and is the kernel's
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
	case VERDICT_DENY:
		return XDP_DROP;
	case VERDICT_ALLOW:
		if (!metadata_write(ctx))
			count(g, REASON_NO_METADATA);
		return XDP_PASS;
	default:
		return XDP_PASS;
	}
}

char LICENSE[] SEC("license") = "Dual BSD/GPL";
