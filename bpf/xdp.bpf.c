// SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
/* XDP ingress of one interface.
 *
 *   driver ─▶ xdp_root ─slot─▶ xdp_policy (one generation) ─▶ drop
 *                                  │ allow: metadata ─▶ tc_mark ─▶ mark ─▶ notrack
 *                                  └ continue: as if we were not here
 */
#include <linux/bpf.h>

typedef struct xdp_md context_t;

#include "tortie/judge.h"
#include "tortie/metadata.h"

/* One slot for each interface: the policy program of the newest generation. Pinned beside the link, because a prog
 * array forgets its programs with its last reference. Agent writes, root reads. */
struct {
	__uint(type, BPF_MAP_TYPE_PROG_ARRAY);
	__uint(max_entries, 1);
	__type(key, u32);
	__type(value, u32);
} slot SEC(".maps");

SEC("xdp")
int xdp_policy(struct xdp_md *ctx)
{
	switch (verdict_of(ctx, 0)) {
	case VERDICT_DENY:
		return XDP_DROP;
	case VERDICT_ALLOW:
		if (!metadata_write(ctx))
			count(REASON_NO_METADATA);
		return XDP_PASS;
	default:
		return XDP_PASS;
	}
}

SEC("xdp")
int xdp_root(struct xdp_md *ctx)
{
	bpf_tail_call(ctx, &slot, 0);
	return XDP_PASS;     /* the slot is filled before the root is attached: only a kernel without memory gets here */
}

/* What every cost is measured against. */
SEC("xdp")
int xdp_empty(struct xdp_md *ctx)
{
	return XDP_DROP;
}

char LICENSE[] SEC("license") = "Dual BSD/GPL";
