/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/* The tracked stages of one packet: is it of a known flow, is it for this host, and may it open one.
 *
 *   flow known ─▶ pass (one or two look-ups: all that an established packet costs)
 *   else `unknown`: related ─▶ pre-DNAT policy ─┬─▶ this host's: failsafe port ─▶ invalid ─▶ normal policy ─┬─▶ allowed:
 *                                               └─▶ forwarded: invalid ─▶ forward policy ────────────────────┘   store the flow
 */
#ifndef TORTIE_TRACKED_H
#define TORTIE_TRACKED_H

#include "decide.h"
#include "failsafe.h"
#include "flows.h"
#include "martian.h"
#include "told.h"

#define AF_INET 2
#define AF_INET6 10
#define MAX_OPTIONS 3            /* of a redirect, in front of the packet it is about */

/* SYN, SYN+ACK, ACK, FIN+ACK, RST, RST+ACK; URG may join SYN, ACK and FIN+ACK (semantics.md). PSH, ECE and CWR are not
 * looked at. */
static __always_inline bool flags_possible(u32 flags)
{
	u64 possible = 1ull << TCP_SYN | 1ull << (TCP_SYN | TCP_ACK) | 1ull << TCP_ACK | 1ull << (TCP_FIN | TCP_ACK) |
		       1ull << TCP_RST | 1ull << (TCP_RST | TCP_ACK) | 1ull << (TCP_SYN | TCP_URG) |
		       1ull << (TCP_ACK | TCP_URG) | 1ull << (TCP_FIN | TCP_ACK | TCP_URG);

	return possible >> (flags & (63 & ~TCP_PSH)) & 1;
}

static __always_inline bool can_open(const struct packet *p)
{
	u32 flags = p->tcp_flags & (TCP_FIN | TCP_SYN | TCP_RST | TCP_ACK);

	if (p->fragment == LATER && (has_ports(p->protocol) || is_icmp(p->protocol)))
		return true;         /* policy decides by what is known; nothing is stored */
	if (p->protocol == TCP)
		return flags == TCP_SYN || flags == TCP_ACK;
	if (is_icmp(p->protocol))
		return is_request(p->protocol, p->dport >> 8);
	return p->protocol != SCTP || p->is_sctp_init;
}

/* It belongs to no flow, and cannot open one. */
static __always_inline bool is_invalid(const struct packet *p)
{
	return !can_open(p) || (p->protocol == TCP && p->fragment != LATER && !flags_possible(p->tcp_flags));
}

static __always_inline bool is_near(u32 first)
{
	return first >> 24 == 255 || first >> 22 == 0x3fa;
}

/* Whether nobody forwards packets to that address: it is this host's, or a group's. Global: verified once. */
__noinline int for_host(context_t *ctx)
{
	struct scratch *c = scratch_get();
	struct bpf_fib_lookup route = {};
	struct packet *p;
	long found;

	if (!c)
		return 1;
	p = &c->packet;
	/* 0.0.0.0 has a route where there is a default one, and Linux takes it for this host's if the source is the same */
	if (p->version == 4 && (p->destination[0] >> 28 == 14 || p->destination[0] >> 24 == 127 ||
				p->destination[0] >> 24 == 0 || p->destination[0] == ~0u))
		return 1;
	/* groups; and link-local addresses, which no router passes on (RFC 4291 sections 2.5.6 and 2.7) */
	if (p->version == 6 && (is_near(p->source[0]) || is_near(p->destination[0])))
		return 1;
	if (is_local(p->version, p->destination))
		return 1;
	route.ifindex = ARRIVED_AT(ctx);
	route.l4_protocol = p->protocol;
	if (p->version == 4) {
		route.family = AF_INET;
		route.ipv4_src = bpf_htonl(p->source[0]);
		route.ipv4_dst = bpf_htonl(p->destination[0]);
	} else {
		route.family = AF_INET6;
#pragma unroll
		for (int i = 0; i < 4; i++) {
			route.ipv6_src[i] = bpf_htonl(p->source[i]);
			route.ipv6_dst[i] = bpf_htonl(p->destination[i]);
		}
	}
	found = bpf_fib_lookup((void *)ctx, &route, sizeof(route), 0);
	/* Everything but "here is the way, with or without the neighbour" means that nobody forwards it. */
	return !(found == BPF_FIB_LKUP_RET_SUCCESS || found == BPF_FIB_LKUP_RET_NO_NEIGH ||
		 found == BPF_FIB_LKUP_RET_FRAG_NEEDED || found == BPF_FIB_LKUP_RET_UNSUPP_LWT);
}

/* Whether that many bytes behind scratch.offset are the packet's own: what follows it in the frame is not. */
static __always_inline bool has_inside(const struct scratch *c, u32 start, u32 length)
{
	return (int)(c->offset - start + length) <= c->packet.payload;
}

/* Reads the packet that an ICMP error is about into scratch.inner. 0: it cannot be told which one. */
__noinline int read_inner(context_t *ctx)
{
	void *data = (void *)(long)ctx->data, *end = (void *)(long)ctx->data_end;
	struct scratch *c = scratch_get();
	struct packet *p;
	u32 start;
	u8 *h;

	if (!c || !c->offset)        /* a later fragment: its first bytes are not the error's */
		return 0;
	start = c->offset;
	p = &c->inner;
	if (c->packet.protocol == ICMPV6 && c->packet.dport >> 8 == 137) {
		c->offset += 40;     /* RFC 4861 section 4.5: target, destination, then options */
		for (int i = 0; ; i++) {
			forget();
			h = data + (c->offset & MAX_OFFSET);
			if ((void *)h + 8 > end || !has_inside(c, start, 8))
				return 0;
			if (h[0] == 4)
				break;
			if (i == MAX_OPTIONS)
				return 0;
			c->offset += h[1] * 8;
		}
	}
	c->offset += 8;
	forget();
	h = data + (c->offset & MAX_OFFSET);
	p->fragment = WHOLE;
	p->sport = 0;
	p->dport = 0;
	p->icmp_id = 0;
	p->version = c->packet.version;
	if (c->packet.protocol == ICMP) {
		u32 length;

		if ((void *)h + 20 > end || h[0] >> 4 != 4 || (h[0] & 15) < 5 || !has_inside(c, start, 20))
			return 0;
		length = (h[0] & 15) * 4;
		p->protocol = h[9];
		p->source[0] = bpf_ntohl(*(u32 *)(h + 12));
		p->destination[0] = bpf_ntohl(*(u32 *)(h + 16));
		if (*(u16 *)(h + 6) & bpf_htons(0x1fff))
			p->fragment = LATER;
		c->offset += length;
	} else {
		if ((void *)h + 40 > end || h[0] >> 4 != 6 || !has_inside(c, start, 40))
			return 0;
		p->protocol = h[6];
#pragma unroll
		for (int i = 0; i < 4; i++) {
			p->source[i] = bpf_ntohl(*(u32 *)(h + 8 + 4 * i));
			p->destination[i] = bpf_ntohl(*(u32 *)(h + 24 + 4 * i));
		}
		c->offset += 40;
		if (p->protocol == 44) {     /* of the extension headers only that of a fragment is looked into */
			if ((void *)h + 48 > end || !has_inside(c, start, 8))
				return 0;
			p->protocol = h[40];
			if (*(u16 *)(h + 42) & bpf_htons(0xfff8))
				p->fragment = LATER;
			c->offset += 8;
		}
	}
	if (p->fragment == LATER || !(has_ports(p->protocol) || is_icmp(p->protocol)))
		return 1;
	forget();
	h = data + (c->offset & MAX_OFFSET);
	if ((void *)h + 8 > end || !has_inside(c, start, 8))
		return 0;
	if (has_ports(p->protocol)) {
		p->sport = bpf_ntohs(*(u16 *)h);
		p->dport = bpf_ntohs(*(u16 *)(h + 2));
	} else {
		p->dport = h[0] << 8 | h[1];
		p->icmp_id = bpf_ntohs(*(u16 *)(h + 4));
	}
	return 1;
}

/* Pre-DNAT policy on an arriving packet of no known flow -> decision word. Global: verified once, and no packet pays for it
 * where there is no such policy. */
__noinline int pre_dnat(context_t *ctx)
{
	struct scratch *c = scratch_get();
	struct generation g;

	if (!c || !generation_get(c, &g))
		return WORD(REASON_TABLE, VERDICT_DENY);
	if (!g.cfg->untracked.used)                     /* else it was looked up before untracked policy */
		c->failsafe = failsafe(g, &c->packet);
	forget();
	if (c->failsafe == FAILSAFE_OPEN)
		return WORD(REASON_NO_MATCH, VERDICT_CONTINUE);
	if (is_invalid(&c->packet) && g.cfg->drops_invalid)
		return WORD(REASON_INVALID, VERDICT_DENY);
	return decide(g, stage_of(g, STAGE_PRE_DNAT), ctx, c);
}

/* A denial of the forward or normal class is answered where that is wanted (semantics.md). */
static __always_inline u32 rejected(const struct config *cfg, u32 word)
{
	return cfg->rejects && (word & 3) == VERDICT_DENY ? word | VERDICT_REJECT : word;
}

/* Forward policy on a packet that nobody here has judged -> decision word; what it does not deny is allowed. Global:
 * verified once. */
__noinline int forward(context_t *ctx)
{
	struct scratch *c = scratch_get();
	struct generation g;
	u32 word;

	if (!c || !generation_get(c, &g))
		return WORD(REASON_TABLE, VERDICT_DENY);
	if (is_invalid(&c->packet) && g.cfg->drops_invalid)
		return rejected(g.cfg, WORD(REASON_INVALID, VERDICT_DENY));
	forget();
	if (g.cfg->forward.used) {
		word = decide(g, stage_of(g, STAGE_FORWARD), ctx, c);
		if (word & 3)
			return rejected(g.cfg, word);
		record_met(ctx, c, g, word);
	}
	return WORD(REASON_FORWARDED, VERDICT_ALLOW);
}

/* Whether the packet that an error is about was for this host. Global, so that its key is not on the stack of policy. */
__noinline int is_inner_local(void)
{
	struct scratch *c = scratch_get();

	return c && is_local(c->packet.version, c->inner.destination);
}

/* What becomes of a packet of no known flow -> decision word; an Allow opens one. */
static __always_inline u32 decide_unknown(context_t *ctx, struct scratch *c, const struct generation g)
{
	if (!IS_EGRESS && g.cfg->pre_dnat.used) {
		u32 word = pre_dnat(ctx);

		forget();
		if (word & 3)
			return word;
		record_met(ctx, c, g, word);
		forget();
	}
	if (IS_EGRESS ? IS_FORWARDED(ctx) : !for_host(ctx))
		return forward(ctx);
	/* An error of this host about a packet that it forwarded: path MTU discovery through this host needs it. */
	if (IS_EGRESS && c->has_inner && !is_inner_local())
		return WORD(REASON_FORWARDED, VERDICT_CONTINUE);
	if (g.cfg->passes_own)
		return WORD(REASON_NO_MATCH, VERDICT_ALLOW);
	if (!g.cfg->untracked.used && !g.cfg->pre_dnat.used)        /* else they have looked it up */
		c->failsafe = failsafe(g, &c->packet);
	forget();
	if (c->failsafe == FAILSAFE_OPEN)
		return WORD(REASON_FAILSAFE, VERDICT_ALLOW);
	if (is_invalid(&c->packet) && g.cfg->drops_invalid)
		return rejected(g.cfg, WORD(REASON_INVALID, VERDICT_DENY));
	return rejected(g.cfg, decide(g, stage_of(g, STAGE_NORMAL), ctx, c));
}

/* A packet of no known flow -> decision word. */
__noinline int unknown(context_t *ctx)
{
	struct scratch *c = scratch_get();
	struct generation g;
	u32 word;

	if (!c || !generation_get(c, &g))
		return WORD(REASON_TABLE, VERDICT_DENY);
	c->has_inner = 0;
	if (is_error(&c->packet)) {
		c->has_inner = read_inner(ctx);
		forget();
		if (c->has_inner && make_key(c, &c->inner)) {
			forget();
			if (flow_live(c, g.cfg, c->packet.version, c->inner.protocol))
				return WORD(REASON_RELATED, VERDICT_CONTINUE);
		}
		forget();
	}
	if (!IS_EGRESS && is_martian(&c->packet))
		return WORD(REASON_MARTIAN, VERDICT_DENY);
	if (g.cfg->rejects && (c->has_inner || (c->packet.protocol == TCP && c->packet.tcp_flags & TCP_RST)) && is_told(c->has_inner))
		return WORD(REASON_ANSWER, VERDICT_CONTINUE);
	forget();
	word = decide_unknown(ctx, c, g);
	forget();
	if ((word & 3) != VERDICT_ALLOW || is_overtaken(c))
		return word;
	if (!is_invalid(&c->packet) && make_key(c, &c->packet))
		flow_open(INTERFACE(ctx));
	return (word & ~3) | VERDICT_CONTINUE;
}

static __always_inline u32 tracked(context_t *ctx, struct scratch *c, const struct config *cfg)
{
	struct packet *p = &c->packet;
	struct flow *f;

	if (p->protocol == TCP && p->fragment == WHOLE &&
	    (p->tcp_flags & (TCP_FIN | TCP_SYN | TCP_RST | TCP_ACK)) == TCP_ACK && flow_quick(c, cfg))
		return WORD(REASON_ESTABLISHED, VERDICT_CONTINUE);
	if (!(p->protocol == TCP && p->fragment != LATER && !flags_possible(p->tcp_flags)) && make_key(c, p)) {
		forget();
		f = flow_live(c, cfg, p->version, p->protocol);
		/* a SYN may begin another connection on the ports of a closed one */
		if (f && !(f->state >= FLOW_CLOSED && (p->tcp_flags & (TCP_SYN | TCP_ACK)) == TCP_SYN)) {
			if (!IS_EGRESS && is_unjudged(f, c->end))
				return unknown(ctx);
			if (IS_EGRESS && IS_FORWARDED(ctx) && is_unjudged(f, c->end)) {
				u32 word = forward(ctx);

				if (is_overtaken(c))
					return word;
				if ((word & 3) >= VERDICT_DENY) {
					flow_forget(c->is_opening);
					return word;
				}
				f->flags |= FLOW_LEFT;
				flow_touch(c, f);
				return (word & ~3) | VERDICT_CONTINUE;
			}
			flow_touch(c, f);
			return WORD(REASON_ESTABLISHED, VERDICT_CONTINUE);
		}
	}
	forget();
	return unknown(ctx);
}

#endif
