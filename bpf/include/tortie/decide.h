/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/* Classes -> decision word (decision.h).
 *
 * A term is a conjunction that a rule was compiled to; terms are in the order of the rules, tiers one after another. */
#ifndef TORTIE_DECIDE_H
#define TORTIE_DECIDE_H

#include "classify.h"

#define INLINE_STEPS 3
#define CHUNK 16             /* steps of one call */
#define MORE -1
#define ALLOW_OR_DENY(action) ((action) <= ACTION_DENY)

/* Who calls it has written where the packet arrived. */
static __always_inline void emit(struct scratch *c, const struct generation g, u32 result)
{
	struct log_event *e = bpf_ringbuf_reserve(&events, sizeof(*e), 0);

	if (!e) {
		count(c, g, REASON_LOG_LOST);
		return;
	}
	c->event.result = result;
	c->event.generation = g.cfg->generation;
	c->event.lane = c->lane;
	*e = c->event;
	bpf_ringbuf_submit(e, 0);
}

/* Counts what a decision word stands for. */
static __always_inline void record(context_t *ctx, struct scratch *c, const struct generation g, u32 word)
{
	count(c, g, word >> 3);
	if (word & WORD_LOG) {
		c->event.ifindex = ctx->ingress_ifindex;
		emit(c, g, word >> 3);
	}
}

/* A stage has nothing to say, and the next one is asked: the rules that were met on the way are counted now. */
static __always_inline void record_met(context_t *ctx, struct scratch *c, const struct generation g, u32 word)
{
	if (word >> 3 >= REASON_BASE && !is_overtaken(c))
		record(ctx, c, g, word);
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

/* The pages of the rows of a packet's classes. A row is in one page, so that one look-up finds all of it: summary words
 * first, then a bit for each term. Where it begins there is in the scratch: the deepest calls have no stack left. */
struct rows { void *source, *destination, *service, *sport; };

static __always_inline void *row_of(const struct stage s, u32 place, u32 class, u32 *at)
{
	u32 key;

	*at = place + (class << s.cfg->row_shift) * 8;
	key = *at >> PAGE_SHIFT;
	return bpf_map_lookup_elem(s.pages, &key);
}

/* A dimension that no rule looks at has the row of the services, which is always there. False: a class outside the tables,
 * which holds no term. */
static __always_inline bool rows_of(const struct stage s, struct scratch *c, struct rows *r)
{
	r->service = row_of(s, s.cfg->at.bits_svc, c->service, &c->service_at);
	if (!r->service)
		return false;
	r->source = r->destination = r->sport = r->service;
	c->source_at = c->destination_at = c->sport_at = c->service_at;
	if (s.cfg->source.used)
		r->source = row_of(s, s.cfg->at.bits_src, c->source, &c->source_at);
	if (s.cfg->destination.used)
		r->destination = row_of(s, s.cfg->at.bits_dst, c->destination, &c->destination_at);
	if (s.cfg->sports)
		r->sport = row_of(s, s.cfg->at.bits_sport, c->sport, &c->sport_at);
	return r->source && r->destination && r->sport;
}

static __always_inline u64 row_word(void *page, u32 at, u32 word)
{
	return *(u64 *)(page + ((at + word * 8) & (PAGE_MASK & ~7)));
}

/* Terms that hold in every dimension, one word of them (summary words come first). */
static __always_inline u64 terms_of(const struct rows *r, const struct scratch *c, u32 word)
{
	return row_word(r->source, c->source_at, word) & row_word(r->destination, c->destination_at, word) &
	       row_word(r->service, c->service_at, word) & row_word(r->sport, c->sport_at, word);
}

/* One step of the evaluator's walk over the terms that hold: the decision word, or MORE. A later fragment without known
 * ports may meet terms that need them: each adds its verdict to those possible, and two possible verdicts end in a
 * drop. */
static __always_inline int step(const struct generation g, const struct stage s, const struct rows *r, struct scratch *c)
{
	u32 index, action, next, rule;
	u64 word, *term, entry;

	forget();
	if (!c->summary) {
		if (++c->place >= s.cfg->summary_words)
			return c->possible ? WORD(REASON_FRAGMENT, VERDICT_DENY) : WORD(REASON_NO_MATCH, VERDICT_CONTINUE);
		c->summary = terms_of(r, c, c->place);
		return MORE;
	}
	index = c->place << 6 | lowest(c->summary);
	word = terms_of(r, c, s.cfg->summary_words + index);
	if (index == c->start >> 6)
		word &= ~0ull << (c->start & 63);
	if (!word) {
		c->summary &= c->summary - 1;
		return MORE;
	}
	index = index << 6 | lowest(word);
	term = ELEMENT(s.pages, s.cfg->at.terms + index * 8, 8);
	if (!term)
		return WORD(REASON_TABLE, VERDICT_DENY);
	entry = *term;
	action = entry & 7;
	next = entry >> 4 & 0xfffffff;
	rule = REASON_BASE + s.cfg->base + (entry >> 32);
	if (c->packet.fragment == LATER && entry & 8) {
		if (ALLOW_OR_DENY(action))
			c->possible |= 1 << action;
		else if (action == ACTION_PASS)
			c->pass_until = next;
		c->start = index + 1;
	} else if (ALLOW_OR_DENY(action)) {
		c->possible |= 1 << action;
		if (index >= c->pass_until && !(c->possible & (c->possible - 1)))
			return WORD(rule, action);
		c->start = c->pass_until;
	} else {
		count(c, g, rule);
		if (s.cfg->has_log && action == ACTION_LOG)
			emit(c, g, rule);
		c->start = action == ACTION_PASS ? next : index + 1;
	}
	if (c->possible & (c->possible - 1))
		return WORD(REASON_FRAGMENT, VERDICT_DENY);
	forget();
	if (c->start >> 12 != c->place) {
		c->place = c->start >> 12;
		c->summary = c->place < s.cfg->summary_words ? terms_of(r, c, c->place) : 0;
		forget();
	}
	c->summary &= ~0ull << (c->start >> 6 & 63);
	return MORE;
}

/* Global, so that the verifier goes through these steps once and not as often as the largest policy needs them. */
__noinline int steps(u32 number)
{
	struct scratch *c = scratch_get();
	struct generation g;
	struct stage s;
	struct rows r;

	if (!c || number >= STAGES || !generation_get(c, &g))
		return WORD(REASON_TABLE, VERDICT_DENY);
	s = stage_given(g, number);
	if (!rows_of(s, c, &r))
		return WORD(REASON_TABLE, VERDICT_DENY);
	for (int i = 0; i < CHUNK; i++) {
		int word = step(g, s, &r, c);

		if (word != MORE)
			return word;
	}
	return MORE;
}

/* The first steps of the walk; MORE: see walk_on. Global: verified once. */
__noinline int walk(context_t *ctx, u32 number)
{
	struct scratch *c = scratch_get();
	struct generation g;
	struct stage s;
	struct rows r;

	if (!c || number >= STAGES || !generation_get(c, &g))
		return WORD(REASON_TABLE, VERDICT_DENY);
	s = stage_given(g, number);
	if (!rows_of(s, c, &r))
		return WORD(REASON_TABLE, VERDICT_DENY);
	c->event.ifindex = ctx->ingress_ifindex;
	c->steps = s.cfg->steps;
	c->place = 0;
	c->start = 0;
	c->possible = 0;
	c->pass_until = 0;
	c->summary = terms_of(&r, c, 0);
#pragma unroll
	for (int i = 0; i < INLINE_STEPS; i++) {
		int word = step(g, s, &r, c);

		if (word != MORE)
			return word;
	}
	return MORE;
}

/* The other steps. Not called by walk, whose frame they would come on top of: the deepest calls have 512 bytes together. Only
 * a later fragment can need more steps than allowed (tables.c sees to it): dropped. */
__noinline int walk_on(u32 number)
{
	struct scratch *c = scratch_get();

	if (!c)
		return WORD(REASON_TABLE, VERDICT_DENY);
	for (u32 done = INLINE_STEPS; done < MAX_STEPS && done < c->steps; done += CHUNK) {
		int word = steps(number);

		if (word != MORE)
			return word;
	}
	return c->packet.fragment == LATER ? WORD(REASON_FRAGMENT, VERDICT_DENY) : WORD(REASON_TABLE, VERDICT_DENY);
}

/* The decision word of one stage for the packet; ids of results carry the stage's base. */
static __always_inline u32 decide(const struct generation g, const struct stage s, context_t *ctx, struct scratch *c)
{
	struct packet *p = &c->packet;
	u32 source = 0, destination = 0, service = 0, sport = 0, cell, word;

	if (s.cfg->source.used)
		source = p->version == 4 ? class4(s.pages, s.cfg->at.src4_hosts, s.cfg->at.src4_nets, &s.cfg->source, p->source[0])
					 : class6(s.number, false);
	if (s.cfg->destination.used)
		destination = p->version == 4 ? class4(s.pages, s.cfg->at.dst4_hosts, s.cfg->at.dst4_nets, &s.cfg->destination,
							      p->destination[0])
					      : class6(s.number, true);
	if (s.cfg->services)
		service = service_class(s, p);
	if (s.cfg->sports)
		sport = sport_class(s, p);
	if (s.cfg->backend == BACKEND_BITS) {
		c->source = source;
		c->destination = destination;
		c->service = service;
		c->sport = sport;
		forget();
		word = walk(ctx, s.number);
		return word == MORE ? walk_on(s.number) : word;
	}
	if (s.cfg->backend == BACKEND_FOLDED)
		cell = get32(s.pages, s.cfg->at.fold_a, source * s.cfg->destination_stride + destination) * s.cfg->fold_stride +
		       get32(s.pages, s.cfg->at.fold_b, service * s.cfg->sport_stride + sport);
	else
		cell = ((source * s.cfg->destination_stride + destination) * s.cfg->service_stride + service) *
		       s.cfg->sport_stride + sport;
	word = get32(s.pages, s.cfg->at.cells, cell);
	return s.cfg->base && word >> 3 >= REASON_BASE ? word + (s.cfg->base << 3) : word;
}

#endif
