/* SPDX-License-Identifier: Apache-2.0 */
/* The (protocol, destination port or ICMP type and code) dimension, and the source port dimension. */
#include <stdlib.h>
#include <string.h>
#include "tables.h"

static const u8 PORTED[5] = {6, 17, 132, 1, 58};      /* rows of the services table, as in classify.h */

struct edge { u32 port, term; };                      /* where a term starts or stops to hold */

static int compare_edge(const void *a, const void *b)
{
	const struct edge *x = a, *y = b;

	return x->port < y->port ? -1 : x->port > y->port;
}

static int has_protocol(const struct term *m, u32 protocol)
{
	return m->protocols[protocol >> 6] >> (protocol & 63) & 1;
}

static int needs_ports(const struct term *m)
{
	return m->dports_count != NONE || m->sports_count != NONE;
}

/* Class of each of the 65,536 values: `row` holds the terms without spans and has the toggles applied as it goes. */
static void sweep(struct tables *t, struct rows *rows, u64 *row, struct edge *edges, u32 count, u16 *out)
{
	u64 hash = row_hash(row, t->words);
	u32 at = 0;

	qsort(edges, count, sizeof(*edges), compare_edge);
	for (u32 i = 0; i <= count;) {
		u32 until = i < count ? edges[i].port : 65536, class;

		if (until > at) {
			class = rows_intern(t, rows, row, hash);
			if (class > 0xffff)
				fail(t, FAILED_CLASSES);
			for (; at < until; at++)
				out[at] = class;
		}
		if (i == count)
			break;
		for (; i < count && edges[i].port == until; i++) {
			row[edges[i].term >> 6] ^= 1ull << (edges[i].term & 63);
			hash ^= term_hash(edges[i].term);
		}
	}
}

static u32 add_edges(const struct tables *t, u32 term, u32 spans, u32 count, struct edge *edges)
{
	for (u32 i = 0; i < count; i++) {
		edges[2 * i] = (struct edge){t->pool[spans + 2 * i], term};
		edges[2 * i + 1] = (struct edge){t->pool[spans + 2 * i + 1] + 1, term};
	}
	return 2 * count;
}

/* Protocols that no term tells apart share a representative. */
static void representatives(const struct tables *t, u8 *of)
{
	u64 seen[64][4];
	u32 known = 0;

	memset(of, 0, 256);
	for (u32 n = 0; n < t->terms_count; n++) {
		const u64 *mask = t->terms[n].protocols;
		u32 first[256][2], i;

		for (i = 0; i < known && memcmp(seen[i], mask, 32); i++)
			;
		if (i < known)
			continue;
		if (known < 64)
			memcpy(seen[known++], mask, 32);
		memset(first, 0xff, sizeof(first));
		for (u32 p = 0; p < 256; p++) {
			u32 in = mask[p >> 6] >> (p & 63) & 1;

			if (first[of[p]][in] == NONE)
				first[of[p]][in] = p;
			of[p] = first[of[p]][in];
		}
	}
}

/* Terms that hold for a protocol whatever its ports (or, of a later fragment, whether they do is unknown). */
static void whole_protocol(const struct tables *t, u32 protocol, int on_ports, u64 *row)
{
	for (u32 n = 0; n < t->terms_count; n++)
		if (has_protocol(&t->terms[n], protocol) && needs_ports(&t->terms[n]) == on_ports)
			row[n >> 6] |= 1ull << (n & 63);
}

static void services(struct tables *t, struct edge *edges, u32 edges_count)
{
	u64 *row = arena_alloc(t, (t->words + 1) * 8), *unknown = arena_alloc(t, t->words * 8);
	u32 class_of[256], fragment_of[256];
	u8 of[256];

	rows_start(t, &t->unknown, t->words, 0);
	rows_intern(t, &t->unknown, unknown, 0);
	rows_start(t, &t->services, t->words + 1, edges_count < 65536 ? edges_count : 65536);
	t->service_table = arena_alloc(t, (5 * 65536 + 512) * sizeof(u16));
	for (u32 r = 0; r < 5; r++) {
		u32 count = 0;

		memset(row, 0, (t->words + 1) * 8);
		for (u32 n = 0; n < t->terms_count; n++) {
			const struct term *m = &t->terms[n];

			if (!has_protocol(m, PORTED[r]))
				continue;
			if (m->dports_count == NONE)
				row[n >> 6] |= 1ull << (n & 63);
			else
				count += add_edges(t, n, m->dports, m->dports_count, edges + count);
		}
		sweep(t, &t->services, row, edges, count, t->service_table + r * 65536);
	}
	representatives(t, of);
	for (u32 p = 0; p < 256; p++) {
		if (of[p] == p) {
			memset(row, 0, (t->words + 1) * 8);
			memset(unknown, 0, t->words * 8);
			whole_protocol(t, p, 0, row);
			class_of[p] = rows_intern(t, &t->services, row, row_hash(row, t->words));
			whole_protocol(t, p, 1, unknown);
			whole_protocol(t, p, 1, row);
			row[t->words] = rows_intern(t, &t->unknown, unknown, row_hash(unknown, t->words));
			fragment_of[p] = rows_intern(t, &t->services, row, row_hash(row, t->words) + row[t->words]);
		} else {
			class_of[p] = class_of[of[p]];
			fragment_of[p] = fragment_of[of[p]];
		}
		if (class_of[p] > 0xffff || fragment_of[p] > 0xffff)
			fail(t, FAILED_CLASSES);
		t->service_table[5 * 65536 + p] = class_of[p];
		t->service_table[5 * 65536 + 256 + p] = fragment_of[p];
	}
	arena_drop(t, unknown);
	arena_drop(t, row);
}

static void source_ports(struct tables *t, struct edge *edges)
{
	u64 *row = arena_alloc(t, t->words * 8), *all = arena_alloc(t, t->words * 8);
	u32 count = 0;

	rows_start(t, &t->sports, t->words, 0);
	for (u32 n = 0; n < t->terms_count; n++) {
		const struct term *m = &t->terms[n];

		all[n >> 6] |= 1ull << (n & 63);
		if (m->sports_count == NONE) {
			row[n >> 6] |= 1ull << (n & 63);
		} else {
			t->uses_sports = 1;
			count += add_edges(t, n, m->sports, m->sports_count, edges + count);
		}
	}
	t->sport_none = rows_intern(t, &t->sports, row, row_hash(row, t->words));
	if (t->uses_sports) {
		t->sport_table = arena_alloc(t, 65536 * sizeof(u16));
		sweep(t, &t->sports, row, edges, count, t->sport_table);
		/* a later fragment: the service row already says which terms hang on a port */
		t->sport_fragment = rows_intern(t, &t->sports, all, row_hash(all, t->words));
	}
	arena_drop(t, all);
	arena_drop(t, row);
}

/* Number of a block among those before it, `count` of them, interned; slots has 2,048 places. */
static u32 block_number(u16 *blocks, u32 *count, u16 *slots, const u16 *block)
{
	u64 words[64];
	u32 i;

	memcpy(words, block, sizeof(words));
	for (i = hash_words(words, 64) >> 32 & 2047; slots[i]; i = (i + 1) & 2047)
		if (!memcmp(blocks + (slots[i] - 1) * 256, block, 512))
			return slots[i] - 1;
	memcpy(blocks + *count * 256, block, 512);
	slots[i] = ++*count;
	return slots[i] - 1;
}

/* The table that programs read (maps.h): the numbers of the blocks of all rows, the values that follow the ports as they
 * are, and each block once. */
static u16 *in_blocks(struct tables *t, u16 *ports, u32 rows, u32 others, u32 *words)
{
	u32 begin = rows * 256 + others, count = 0;
	u16 *made = arena_alloc(t, (begin + rows * 65536) * sizeof(u16)), *slots = arena_alloc(t, 2048 * sizeof(u16));

	for (u32 i = 0; i < rows * 256; i++)
		made[i] = block_number(made + begin, &count, slots, ports + i * 256);
	memcpy(made + rows * 256, ports + rows * 65536, others * sizeof(u16));
	arena_drop(t, slots);
	arena_drop(t, ports);
	*words = begin + count * 256;
	return made;
}

void service_compile(struct tables *t)
{
	struct edge *edges;
	u64 spans = 1;

	for (u32 n = 0; n < t->terms_count; n++) {
		spans += t->terms[n].dports_count == NONE ? 0 : t->terms[n].dports_count;
		spans += t->terms[n].sports_count == NONE ? 0 : t->terms[n].sports_count;
	}
	edges = arena_alloc(t, spans * 2 * sizeof(*edges));
	services(t, edges, spans * 2);
	source_ports(t, edges);
	arena_drop(t, edges);
	t->service_table = in_blocks(t, t->service_table, 5, 512, &t->service_words);
	if (t->uses_sports)
		t->sport_table = in_blocks(t, t->sport_table, 1, 0, &t->sport_words);
}
