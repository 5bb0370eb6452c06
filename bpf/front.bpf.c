// SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
/* XDP in front of a driver in netfilter's hooks: untracked ingress of one interface, and nothing else.
 *
 *   driver ─▶ xdp_root ─slot─▶ front_policy ─▶ drop: a rule denies it
 *                                  │ allow, no match: metadata ─▶ tc_front ─▶ mark ─▶ the raw hook asks no untracked rule
 *                                  └ everything else: as it came; the raw hook asks its rules, and counts
 *
 * Whatever this does not decide is decided there, by the same rules: so what cannot be read, or told, goes on without a
 * word, and nothing is counted of it here. */
#include <linux/bpf.h>

typedef struct xdp_md context_t;

#define IS_EGRESS false

#include "tortie/config.h"
#include "tortie/parse.h"
#include "tortie/failsafe.h"
#include "tortie/decide.h"
#include "tortie/metadata.h"

SEC("xdp")
int front_policy(struct xdp_md *ctx)
{
	struct scratch *c = scratch_get();
	bool can_tell = metadata_write(ctx, 0);      /* also so that nothing is there from an interface it passed before */
	struct generation g;
	u32 word;

	if (!c || !generation_begin(c, &g))
		return XDP_PASS;
	if (parse(ctx, c, g.cfg, NO_TAG) != PARSED)
		return XDP_PASS;
	forget();
	if (c->packet.fragment == LATER)
		return XDP_PASS;                     /* what it gets may hang on ports that it does not show */
	if (c->packet.protocol == ICMPV6 && c->packet.version == 6 && is_essential(c->packet.dport >> 8, c->packet.hop_limit))
		return XDP_PASS;
	if (c->packet.fragment == FIRST)
		can_tell = false;                    /* the raw hook sees them joined; if this one is denied nothing is left to join */
	if (!can_tell && g.cfg->untracked.backend == BACKEND_BITS)
		return XDP_PASS;                     /* it counts each rule as it meets it */
	forget();
	word = failsafe(g, &c->packet) ? WORD(REASON_FAILSAFE, VERDICT_CONTINUE)
				       : decide(g, stage_of(g, STAGE_UNTRACKED), ctx, c);
	if (is_overtaken(c)) {
		bpf_tail_call(ctx, &jumps, JUMP_AGAIN);
		return XDP_PASS;                     /* others emptied `jumps`, in the middle of a change */
	}
	if ((word & 3) == VERDICT_DENY) {
		if (word >> 3 < REASON_BASE)
			return XDP_PASS;             /* no rule: tables that contradict themselves */
		record(ctx, c, g, word);
		return XDP_DROP;
	}
	if (can_tell && metadata_write(ctx, METADATA_FRONT | (g.cfg->parity & 1) << 1 | ((word & 3) == VERDICT_ALLOW)))
		record(ctx, c, g, word);
	return XDP_PASS;
}

char LICENSE[] SEC("license") = "Dual BSD/GPL";
