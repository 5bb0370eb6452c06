/* SPDX-License-Identifier: Apache-2.0 */
/* Combinations of classes -> decision words, in the cheapest back end that fits.
 *
 * cells    one word for each (source, destination, service, source port) class: one look-up
 * folded   (source, destination) -> A, (service, source port) -> B, one word for each (A, B): three look-ups
 * bits     one row of bits for each class of each dimension; the program walks their intersection: always fits
 *
 * The walk below and the one in bpf/include/tortie/decide.h are the evaluator's; the differential test holds all three
 * against each other. */
#include <string.h>
#include "tables.h"

/* ---- results: each distinct outcome is one counter ---- */

static int same_result(const struct tables *t, const struct result *r, u32 reason, u32 verdict, const u32 *chain, u32 count)
{
	return r->reason == reason && r->verdict == verdict && r->count == count &&
	       !memcmp(t->chain + r->first, chain, count * sizeof(u32));
}

static u32 result_slot(const struct tables *t, u32 reason, u32 verdict, const u32 *chain, u32 count)
{
	u64 h = reason * 31 + verdict;
	u32 i;

	for (i = 0; i < count; i++) {
		h = (h ^ chain[i]) * 0xff51afd7ed558ccdull;
		h ^= h >> 32;
	}
	for (i = h & t->results_mask; t->result_slots[i]; i = (i + 1) & t->results_mask)
		if (same_result(t, &t->results[t->result_slots[i] - 1], reason, verdict, chain, count))
			break;
	return i;
}

/* Number of the result, interned. NONE: the counters have no room for another one. */
static u32 result_of(struct tables *t, u32 reason, u32 verdict, const u32 *chain, u32 count)
{
	u32 slot = result_slot(t, reason, verdict, chain, count);

	if (t->result_slots[slot])
		return t->result_slots[slot] - 1;
	if (t->results_limit && t->results_count == t->results_limit)
		return NONE;
	if (t->results_count == t->results_room) {
		t->results = arena_grow(t, t->results, t->results_room * sizeof(*t->results),
					(size_t)t->results_room * 2 * sizeof(*t->results));
		t->results_room *= 2;
	}
	if (t->chain_used + count > t->chain_room) {
		u32 room = (t->chain_used + count) * 2;

		t->chain = arena_grow(t, t->chain, t->chain_used * sizeof(u32), (size_t)room * sizeof(u32));
		t->chain_room = room;
	}
	memcpy(t->chain + t->chain_used, chain, count * sizeof(u32));
	t->results[t->results_count] = (struct result){reason, verdict, t->chain_used, count};
	t->chain_used += count;
	t->result_slots[slot] = ++t->results_count;
	if (t->results_count * 2 > t->results_mask) {
		arena_drop(t, t->result_slots);
		t->results_mask = t->results_mask * 4 + 3;
		t->result_slots = arena_alloc(t, ((size_t)t->results_mask + 1) * sizeof(u32));
		for (u32 i = 0; i < t->results_count; i++) {
			const struct result *r = &t->results[i];

			t->result_slots[result_slot(t, r->reason, r->verdict, t->chain + r->first, r->count)] = i + 1;
		}
	}
	return t->results_count - 1;
}

/* ---- the walk ---- */

/* Rows whose intersection are the terms that hold; `unknown` (or NULL): terms that hang on a port nobody knows. */
struct combination { const u64 *row[3], *unknown; u32 rows; };

static const u64 *unknown_of(const struct tables *t, const u64 *row)
{
	return row[t->words] ? row_at(&t->unknown, row[t->words]) : NULL;
}

static u64 intersect(const struct combination *c, u32 word)
{
	u64 x = c->row[0][word];

	for (u32 i = 1; i < c->rows; i++)
		x &= c->row[i][word];
	return x;
}

static u32 first_from(const struct tables *t, const struct combination *c, u32 from)
{
	u32 w = from >> 6;
	u64 x;

	if (w >= t->words)
		return NONE;
	x = intersect(c, w) & ~0ull << (from & 63);
	while (!x) {
		if (++w == t->words)
			return NONE;
		x = intersect(c, w);
	}
	return w << 6 | __builtin_ctzll(x);
}

/* Decision word of one combination. NONE: no counter left. */
static u32 decide(struct tables *t, const struct combination *c, u32 *chain)
{
	u32 reason = REASON_NO_MATCH, verdict = VERDICT_CONTINUE, possible = 0, pass_until = 0, count = 0, log = 0, result;

	for (u32 n = first_from(t, c, 0); n != NONE;) {
		const struct term *m = &t->terms[n];
		u32 next = n + 1;

		if (c->unknown && c->unknown[n >> 6] >> (n & 63) & 1) {
			if (m->action <= ACTION_DENY)
				possible |= 1u << m->action;
			else if (m->action == ACTION_PASS)
				pass_until = t->tier_end[n];
		} else if (m->action <= ACTION_DENY) {
			possible |= 1u << m->action;
			if (n >= pass_until && !(possible & (possible - 1))) {
				reason = REASON_BASE;
				verdict = m->action;
				chain[count++] = m->rule;
				break;
			}
			next = pass_until;
		} else {
			if (!count || chain[count - 1] != m->rule)
				chain[count++] = m->rule;
			log |= m->action == ACTION_LOG;
			if (m->action == ACTION_PASS)
				next = t->tier_end[n];
		}
		if (possible & (possible - 1))
			break;
		n = first_from(t, c, next);
	}
	if (possible && verdict == VERDICT_CONTINUE) {
		reason = REASON_FRAGMENT;
		verdict = VERDICT_DENY;
	}
	if (!count)                          /* nothing met: the plain reason is the counter */
		return WORD(reason, verdict);
	result = result_of(t, reason, verdict, chain, count);
	return result == NONE ? NONE : WORD(REASON_BASE + result, verdict) | (log ? WORD_LOG : 0);
}

/* ---- cells ---- */

/* Words of one source class, for every class of the other dimensions. False: no counter left. */
static int cells_row(struct tables *t, const u64 *source, u32 *out, u32 *chain)
{
	u64 *both = arena_alloc(t, t->words * 8);
	int fits = 1;

	for (u32 d = 0; fits && d < t->side[DESTINATION].rows.count; d++) {
		const u64 *destination = row_at(&t->side[DESTINATION].rows, d);

		for (u32 w = 0; w < t->words; w++)
			both[w] = source[w] & destination[w];
		for (u32 p = 0; fits && p < t->services.count; p++) {
			const u64 *service = row_at(&t->services, p);

			for (u32 q = 0; q < t->sports.count; q++) {
				struct combination c = {{both, service, row_at(&t->sports, q)}, unknown_of(t, service), 3};

				*out = decide(t, &c, chain);
				if (*out++ == NONE) {
					fits = 0;
					break;
				}
			}
		}
	}
	arena_drop(t, both);
	return fits;
}

/* Room for 16 more classes, or as many as an eighth of those bytes holds; never for more than they hold. */
static u32 spare_rows(u64 row_bytes, u32 spare_bytes)
{
	u64 most = spare_bytes / row_bytes, some = spare_bytes / 8 / row_bytes;

	return some > 16 ? some : most < 16 ? most : 16;
}

static void cells(struct tables *t, u32 spare_bytes, u32 *chain)
{
	u32 rows = t->side[SOURCE].rows.count;

	t->row_cells = t->side[DESTINATION].rows.count * t->services.count * t->sports.count;
	t->spare_rows = t->side[SOURCE].used ? spare_rows(t->row_cells * 4ull, spare_bytes) : 0;
	t->cells = arena_alloc(t, (size_t)rows * t->row_cells * sizeof(u32));
	for (u32 s = 0; s < rows; s++)
		cells_row(t, row_at(&t->side[SOURCE].rows, s), t->cells + (size_t)s * t->row_cells, chain);
}

/* ---- folded cells ---- */

static int folded(struct tables *t, u32 *chain)
{
	u64 s = t->side[SOURCE].rows.count, d = t->side[DESTINATION].rows.count, p = t->services.count, q = t->sports.count;
	u64 *row;
	u32 a_count, b_count;

	if (s * d > MAX_CELLS || p * q > MAX_CELLS || s * d * t->words > MAX_WORK || p * q * t->words > MAX_WORK)
		return 0;
	row = arena_alloc(t, (t->words + 1) * 8);
	rows_start(t, &t->fold_a, t->words, 0);
	rows_start(t, &t->fold_b, t->words + 1, 0);
	t->fold_a_table = arena_alloc(t, s * d * sizeof(u32));
	t->fold_b_table = arena_alloc(t, p * q * sizeof(u32));
	for (u64 i = 0; i < s * d; i++) {
		const u64 *x = row_at(&t->side[SOURCE].rows, i / d), *y = row_at(&t->side[DESTINATION].rows, i % d);

		for (u32 w = 0; w < t->words; w++)
			row[w] = x[w] & y[w];
		t->fold_a_table[i] = rows_intern(t, &t->fold_a, row, hash_words(row, t->words));
	}
	for (u64 i = 0; i < p * q; i++) {
		const u64 *x = row_at(&t->services, i / q), *y = row_at(&t->sports, i % q);

		for (u32 w = 0; w < t->words; w++)
			row[w] = x[w] & y[w];
		row[t->words] = x[t->words];
		t->fold_b_table[i] = rows_intern(t, &t->fold_b, row, hash_words(row, t->words + 1));
	}
	a_count = t->fold_a.count;
	b_count = t->fold_b.count;
	if ((u64)a_count * b_count > MAX_CELLS || (u64)a_count * b_count * t->words > MAX_WORK * 2)
		return 0;
	t->cells = arena_alloc(t, (size_t)a_count * b_count * sizeof(u32));
	for (u32 a = 0; a < a_count; a++)
		for (u32 b = 0; b < b_count; b++) {
			const u64 *y = row_at(&t->fold_b, b);
			struct combination c = {{row_at(&t->fold_a, a), y}, unknown_of(t, y), 2};

			t->cells[(size_t)a * b_count + b] = decide(t, &c, chain);
		}
	return 1;
}

/* ---- bit vectors ---- */

/* A power of two, so that no row lies across two pages: programs find the page of a row once, and then every word of it. */
u64 bits_row_words(const struct tables *t)
{
	return 1ull << t->row_shift;
}

/* Summary words (bit w: word w is not zero), then the row itself. */
void bits_row(const struct tables *t, const u64 *row, u64 *out)
{
	memset(out, 0, t->summary_words * 8);
	for (u32 w = 0; w < t->words; w++) {
		if (row[w])
			out[w >> 6] |= 1ull << (w & 63);
		out[t->summary_words + w] = row[w];
	}
}

/* A side whose every address is in one class still takes part if some term never holds there (an empty set). */
static u32 matters(const struct tables *t, const struct dimension *d)
{
	for (u32 n = 0; n < t->terms_count; n++)
		if (!(row_at(&d->rows, 0)[n >> 6] >> (n & 63) & 1))
			return 1;
	return d->used;
}

static u32 log_terms(const struct tables *t)
{
	u32 logs = 0;

	for (u32 n = 0; n < t->terms_count; n++)
		logs += t->terms[n].action == ACTION_LOG;
	return logs;
}

static void bits(struct tables *t)
{
	u64 rows = (u64)t->side[SOURCE].rows.count + t->side[DESTINATION].rows.count + t->services.count + t->sports.count, steps;
	u32 logs = log_terms(t);

	steps = t->words + t->summary_words + 2ull * (t->tiers_count + logs) + 2;
	if (steps > MAX_STEPS)
		fail(t, FAILED_STEPS);
	while (bits_row_words(t) < t->summary_words + t->words)
		t->row_shift++;
	if (rows * bits_row_words(t) * 8 > MAX_TABLE_BYTES)
		fail(t, FAILED_SIZE);
	t->steps = steps + 64 > MAX_STEPS ? MAX_STEPS : steps + 64;    /* later fragments may meet terms that they skip */
	t->side[SOURCE].used = matters(t, &t->side[SOURCE]);
	t->side[DESTINATION].used = matters(t, &t->side[DESTINATION]);
}

/* ---- choice ---- */

void decision_compile(struct tables *t, int wanted, u32 spare_bytes)
{
	u64 s = t->side[SOURCE].rows.count, d = t->side[DESTINATION].rows.count, p = t->services.count, q = t->sports.count;
	u64 all = s * d <= MAX_CELLS && p * q <= MAX_CELLS ? s * d * p * q : ~0ull;
	u32 *chain = arena_alloc(t, (t->terms_count + 1) * sizeof(u32));

	t->results_room = 64;
	t->results = arena_alloc(t, t->results_room * sizeof(*t->results));
	t->results_mask = 255;
	t->result_slots = arena_alloc(t, (t->results_mask + 1) * sizeof(u32));
	t->backend = BACKEND_BITS;
	t->has_log = log_terms(t) > 0;       /* also where no packet can meet them yet: a member may change that */
	if ((wanted == BACKEND_AUTO || wanted == BACKEND_CELLS) && all <= MAX_CELLS && all * t->words <= MAX_WORK * 2) {
		t->backend = BACKEND_CELLS;
		cells(t, spare_bytes, chain);
	} else if ((wanted == BACKEND_AUTO || wanted == BACKEND_FOLDED) && folded(t, chain)) {
		t->backend = BACKEND_FOLDED;
	} else {
		t->results_count = 0;
		bits(t);
	}
	arena_drop(t, chain);
}

/* Makes room for one more class in the installed tables, under the eyes of readers: nobody has the class yet. */
int decision_extend(struct tables *t, enum side side, u32 class)
{
	u32 *chain, *place;
	int fits;

	if (t->backend != BACKEND_CELLS || side != SOURCE || !t->spare_rows || !t->live_cells)
		return 0;
	chain = arena_alloc(t, (t->terms_count + 1) * sizeof(u32));
	place = arena_alloc(t, t->row_cells * sizeof(u32));
	fits = cells_row(t, row_at(&t->side[SOURCE].rows, class), place, chain);
	if (fits) {
		memcpy(t->live_cells + (size_t)class * t->row_cells, place, t->row_cells * sizeof(u32));
		__atomic_thread_fence(__ATOMIC_RELEASE);
		t->spare_rows--;
	}
	arena_drop(t, place);
	arena_drop(t, chain);
	return fits;
}
