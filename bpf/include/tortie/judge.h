/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/* The packet core: frame -> decision word, counted. The XDP and the tc program are this with two doors. */
#ifndef TORTIE_JUDGE_H
#define TORTIE_JUDGE_H

#include "config.h"
#include "parse.h"
#include "failsafe.h"
#include "decide.h"
#include "tracked.h"

static __always_inline void fragment_key(struct fragment_key *key, const struct packet *p, u32 lane)
{
	*key = (struct fragment_key){ .id = p->fragment_id, .version = p->version, .lane = lane };
	key->source[0] = p->source[0];
	key->destination[0] = p->destination[0];
	if (p->version == 6) {
#pragma unroll
		for (int i = 1; i < 4; i++) {
			key->source[i] = p->source[i];
			key->destination[i] = p->destination[i];
		}
	}
}

/* Keeps protocol, ports and flags of a first fragment, or gives them to a later one: what is remembered is not the
 * verdict, so later fragments are judged, and counted, by the policy of their own moment. Global: verified once. */
__noinline int fragment_ports(enum fragment which)
{
	struct scratch *c = scratch_get();
	struct fragment_key key;
	struct fragment_ports ports = {}, *known;

	if (!c)
		return 0;
	fragment_key(&key, &c->packet, c->lane);
	if (which == FIRST) {
		ports.protocol = c->packet.protocol;
		ports.sport = c->packet.sport;
		ports.dport = c->packet.dport;
		ports.icmp_id = c->packet.icmp_id;
		ports.tcp_flags = c->packet.tcp_flags;
		ports.is_sctp_init = c->packet.is_sctp_init;
		bpf_map_update_elem(&fragments, &key, &ports, BPF_ANY);
		return 0;
	}
	known = bpf_map_lookup_elem(&fragments, &key);
	if (!known)
		return 0;
	c->packet.protocol = known->protocol;
	c->packet.sport = known->sport;
	c->packet.dport = known->dport;
	c->packet.icmp_id = known->icmp_id;
	c->packet.tcp_flags = known->tcp_flags;
	c->packet.is_sctp_init = known->is_sctp_init;
	c->packet.fragment = FIRST;
	c->offset = 0;               /* what an error is about was in the first one */
	return 0;
}

static __always_inline u32 judge(context_t *ctx, struct scratch *c, const struct generation g, enum outer outer)
{
	struct packet *p = &c->packet;
	int reason = parse(ctx, c, g.cfg, outer);

	forget();
	if (reason != PARSED)
		return WORD(reason, reason == REASON_NOT_IP || reason == REASON_VLAN ? VERDICT_CONTINUE : VERDICT_DENY);
	if (p->fragment != WHOLE) {
		if (g.cfg->normal.used && p->fragment == FIRST)
			parse_state(ctx, c);
		fragment_ports(p->fragment);
	}
	forget();
	if (p->protocol == ICMPV6 && p->version == 6 && p->fragment != LATER && is_essential(p->dport >> 8, p->hop_limit))
		return WORD(REASON_ESSENTIAL_ICMPV6, VERDICT_CONTINUE);
	if (g.cfg->untracked.used) {
		u32 word;

		if (!IS_EGRESS && is_martian(p))
			return WORD(REASON_MARTIAN, VERDICT_DENY);
		forget();
		c->failsafe = failsafe(g, p);
		word = c->failsafe ? WORD(REASON_FAILSAFE, VERDICT_CONTINUE) : decide(g, stage_of(g, STAGE_UNTRACKED), ctx, c);

		if (word & 3 || !g.cfg->normal.used || is_overtaken(c))
			return word;
		record_met(ctx, c, g, word);
	}
	forget();
	if (!g.cfg->normal.used)
		return WORD(REASON_NO_MATCH, VERDICT_CONTINUE);      /* neither stage: no generation is so */
	if (p->fragment == WHOLE)
		parse_state(ctx, c);
	forget();
	return tracked(ctx, c, g.cfg);
}

/* The verdict of the packet. Each packet has one final id, counted here. One that a change of policy overtook is judged again,
 * from its beginning, by the program itself: no second change can overtake it, as who changes a lane waits for the packets in it. */
static __always_inline u32 verdict_of(context_t *ctx, struct scratch *c, const struct generation g, enum outer outer)
{
	u32 word = judge(ctx, c, g, outer);

	if (is_overtaken(c)) {
		bpf_tail_call(ctx, &jumps, JUMP_AGAIN);
		return VERDICT_DENY;                         /* others emptied `jumps`, in the middle of a change */
	}
	record(ctx, c, g, word);
	return word & 3;
}

#endif
