/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/* Classes -> decision word: id << 3 | log << 2 | verdict. The id is what gets counted: a reason, or REASON_BASE plus a
 * result (cells: one distinct list of rules met) or a rule (bit vectors).
 *
 * A term is a conjunction that a rule was compiled to; terms are in the order of the rules, tiers one after another. */
#ifndef TORTIE_DECIDE_H
#define TORTIE_DECIDE_H

#include "classify.h"

#define WORD(id, verdict) ((u32)(id) << 3 | (verdict))
#define WORD_LOG 4
#define MAX_STEPS 512
#define ALLOW_OR_DENY(action) ((action) <= ACTION_DENY)

static __always_inline void emit(context_t *ctx, struct packet *p, u32 result)
{
	struct log_event *e = bpf_ringbuf_reserve(&events, sizeof(*e), 0);

	if (!e) {
		count(REASON_LOG_LOST);
		return;
	}
	e->packet = *p;
	e->result = result;
	e->ifindex = ctx->ingress_ifindex;
	bpf_ringbuf_submit(e, 0);
}

/* Lowest set bit. clang 14 has no instruction for it; a loop costs the verifier a million states. */
static const u8 debruijn[64] = {
	0, 1, 2, 53, 3, 7, 54, 27, 4, 38, 41, 8, 34, 55, 48, 28, 62, 5, 39, 46, 44, 42, 22, 9, 24, 35, 59, 56, 49, 18, 29, 11,
	63, 52, 6, 26, 37, 40, 33, 47, 61, 45, 43, 21, 23, 58, 17, 10, 51, 25, 36, 32, 60, 20, 57, 16, 50, 31, 19, 15, 30, 14, 13, 12,
};

static __always_inline u32 lowest(u64 word)
{
	return debruijn[((word & -word) * 0x022fdd63cc95386dull) >> 58];
}

static __always_inline u64 bits(void *map, u32 row, u32 word)
{
	u32 key = row * (cfg.words + cfg.summary_words) + word;
	u64 *v = bpf_map_lookup_elem(map, &key);

	return v ? *v : 0;
}

struct classes { u32 source, destination, service, sport; };

/* Terms that hold in every dimension, one word of them (summary words come first). */
static __always_inline u64 terms_of(struct classes *k, u32 word)
{
	return (cfg.source.used ? bits(&bits_src, k->source, word) : ~0ull) &
	       (cfg.destination.used ? bits(&bits_dst, k->destination, word) : ~0ull) &
	       bits(&bits_svc, k->service, word) &
	       (cfg.sports ? bits(&bits_sport, k->sport, word) : ~0ull);
}

/* The walk of the evaluator over the terms that hold. A later fragment without known ports may meet terms that need
 * them: each adds its verdict to those possible, and two possible verdicts end in a drop. */
static __always_inline u32 walk(context_t *ctx, struct scratch *c, struct classes *k)
{
	struct packet *p = &c->packet;
	u64 summary, word;

	c->summary = 0;
	c->start = 0;
	c->possible = 0;
	c->pass_until = 0;
	summary = terms_of(k, 0);
	for (int step = 0; step < MAX_STEPS && step < cfg.steps; step++) {
		u32 index, action, next;
		u64 *term;

		forget();
		if (!summary) {
			if (++c->summary >= cfg.summary_words) {
				if (c->possible)
					return WORD(REASON_FRAGMENT, VERDICT_DENY);
				return WORD(REASON_NO_MATCH, VERDICT_CONTINUE);
			}
			summary = terms_of(k, c->summary);
			continue;
		}
		index = c->summary << 6 | lowest(summary);
		word = terms_of(k, cfg.summary_words + index);
		if (index == c->start >> 6)
			word &= ~0ull << (c->start & 63);
		if (!word) {
			summary &= summary - 1;
			continue;
		}
		index = index << 6 | lowest(word);
		term = bpf_map_lookup_elem(&terms, &index);
		if (!term)
			return WORD(REASON_TABLE, VERDICT_DENY);
		action = *term & 7;
		next = *term >> 4 & 0xfffffff;
		if (p->fragment == LATER && *term & 8) {
			if (ALLOW_OR_DENY(action))
				c->possible |= 1 << action;
			else if (action == ACTION_PASS)
				c->pass_until = next;
			c->start = index + 1;
		} else if (ALLOW_OR_DENY(action)) {
			c->possible |= 1 << action;
			if (index >= c->pass_until && !(c->possible & (c->possible - 1)))
				return WORD(REASON_BASE + (*term >> 32), action);
			c->start = c->pass_until;
		} else {
			count(REASON_BASE + (*term >> 32));
			if (action == ACTION_LOG)
				emit(ctx, p, REASON_BASE + (*term >> 32));
			c->start = action == ACTION_PASS ? next : index + 1;
		}
		if (c->possible & (c->possible - 1))
			return WORD(REASON_FRAGMENT, VERDICT_DENY);
		forget();
		if (c->start >> 12 != c->summary) {
			c->summary = c->start >> 12;
			if (c->summary >= cfg.summary_words) {
				c->summary = cfg.summary_words;
				summary = 0;
				continue;
			}
			summary = terms_of(k, c->summary);
		}
		summary &= ~0ull << (c->start >> 6 & 63);
	}
	return p->fragment == LATER ? WORD(REASON_FRAGMENT, VERDICT_DENY) : WORD(REASON_TABLE, VERDICT_DENY);
}

static __always_inline u32 decide(context_t *ctx, struct scratch *c)
{
	struct packet *p = &c->packet;
	struct classes k = {};
	u32 cell;

	if (cfg.source.used)
		k.source = p->version == 4 ? class4(&src4_hosts, &src4_nets, &cfg.source, p->source[0])
					   : class6(&src6, &cfg.source, p->source);
	if (cfg.destination.used)
		k.destination = p->version == 4 ? class4(&dst4_hosts, &dst4_nets, &cfg.destination, p->destination[0])
						: class6(&dst6, &cfg.destination, p->destination);
	if (cfg.services)
		k.service = service_class(p);
	if (cfg.sports)
		k.sport = sport_class(p);
	if (cfg.backend == BACKEND_BITS)
		return walk(ctx, c, &k);
	if (cfg.backend == BACKEND_FOLDED)
		cell = get32(&fold_a, k.source * cfg.destination_stride + k.destination) * cfg.fold_stride +
		       get32(&fold_b, k.service * cfg.sport_stride + k.sport);
	else
		cell = ((k.source * cfg.destination_stride + k.destination) * cfg.service_stride + k.service) *
		       cfg.sport_stride + k.sport;
	return get32(&cells, cell);
}

#endif
