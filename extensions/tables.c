/* SPDX-License-Identifier: Apache-2.0 */
/* The interface that dataplane/ebpf/compile.py calls: add blocks and sets, compile, fill maps, add hosts in place. */
#include <stdlib.h>
#include <string.h>
#include "api.h"

struct tables *tables_new(void)
{
	struct tables *t = calloc(1, sizeof(*t));

	return t;
}

void tables_free(struct tables *t)
{
	if (!t)
		return;
	arena_free(t);
	free(t);
}

/* Doubles until `more` fit. */
static void *room_for(struct tables *t, void *old, u32 used, u32 *room, u32 more, size_t size)
{
	u32 wanted = *room ? *room : 64;

	if (used + more <= *room)
		return old;
	while (wanted < used + more)
		wanted *= 2;
	old = arena_grow(t, old, used * size, wanted * size);
	*room = wanted;
	return old;
}

static void add_nets(struct tables *t, const struct net4 *nets4, u32 count4, const struct net6 *nets6, u32 count6, u32 atom)
{
	t->nets4 = room_for(t, t->nets4, t->nets4_count, &t->nets4_room, count4, sizeof(*nets4));
	for (u32 i = 0; i < count4; i++) {
		t->nets4[t->nets4_count] = nets4[i];
		t->nets4[t->nets4_count++].atom += atom;
	}
	t->nets6 = room_for(t, t->nets6, t->nets6_count, &t->nets6_room, count6, sizeof(*nets6));
	for (u32 i = 0; i < count6; i++) {
		t->nets6[t->nets6_count] = nets6[i];
		t->nets6[t->nets6_count++].atom += atom;
	}
}

int tables_add_set(struct tables *t, const struct net4 *nets4, u32 count4, const struct net6 *nets6, u32 count6)
{
	int why = setjmp(t->failed);

	if (why)
		return why;
	add_nets(t, nets4, count4, nets6, count6, t->atoms_count);
	return t->atoms_count++;
}

static u32 copy_pool(struct tables *t, const u32 *from, u32 count)
{
	t->pool = room_for(t, t->pool, t->pool_used, &t->pool_room, count, sizeof(u32));
	if (count)                   /* there may be no pool at all */
		memcpy(t->pool + t->pool_used, from, count * sizeof(u32));
	t->pool_used += count;
	return t->pool_used - count;
}

int tables_add_block(struct tables *t, const struct block *b, const u32 *set_atoms, u32 starts_tier)
{
	int why = setjmp(t->failed);
	u32 base = t->atoms_count, room;

	if (why)
		return why;
	if (t->terms_count + b->terms_count > MAX_TERMS)
		return FAILED_TERMS;
	t->atoms_count += b->net_atoms;
	add_nets(t, b->nets4, b->nets4_count, b->nets6, b->nets6_count, base);
	room = t->terms_room;
	t->tier_end = room_for(t, t->tier_end, t->terms_count, &room, b->terms_count, sizeof(u32));
	t->terms = room_for(t, t->terms, t->terms_count, &t->terms_room, b->terms_count, sizeof(*t->terms));
	if (starts_tier)
		t->tiers_count++;
	for (u32 i = 0; i < b->terms_count; i++) {
		struct term *m = &t->terms[t->terms_count];

		*m = b->terms[i];
		m->rule += t->rules_count;
		t->tier_end[t->terms_count++] = t->tiers_count;       /* the tier's number for now */
		if (m->dports_count != NONE)
			m->dports = copy_pool(t, b->pool + m->dports, 2 * m->dports_count);
		if (m->sports_count != NONE)
			m->sports = copy_pool(t, b->pool + m->sports, 2 * m->sports_count);
		for (u32 l = 0; l < LISTS; l++) {
			m->list[l] = copy_pool(t, b->pool + m->list[l], m->list_count[l]);
			for (u32 k = 0; k < m->list_count[l]; k++) {
				u32 *atom = &t->pool[m->list[l] + k];

				*atom = *atom < b->net_atoms ? base + *atom : set_atoms[*atom - b->net_atoms];
			}
		}
	}
	t->rules_count += b->rules_count;
	return 0;
}

/* Tier numbers -> first term behind the tier. */
static void close_tiers(struct tables *t)
{
	u32 end = t->terms_count, tier = 0;

	for (u32 n = t->terms_count; n--;) {
		if (t->tier_end[n] != tier && n + 1 < t->terms_count)
			end = n + 1;
		tier = t->tier_end[n];
		t->tier_end[n] = end;
	}
}

int tables_compile(struct tables *t, int backend, u32 spare_bytes)
{
	int why = setjmp(t->failed);

	if (why)
		return why;
	close_tiers(t);
	t->words = (t->terms_count + 63) / 64;
	if (!t->words)
		t->words = 1;
	t->summary_words = (t->words + 63) / 64;
	if (!t->terms) {
		t->terms = arena_alloc(t, sizeof(*t->terms));
		t->tier_end = arena_alloc(t, sizeof(u32));
		t->pool = arena_alloc(t, sizeof(u32));
	}
	lists_intern(t, &t->atom_sets, t->pool, 0);           /* atom set 0 is the empty one */
	address_compile(t, SOURCE);
	address_compile(t, DESTINATION);
	service_compile(t);
	decision_compile(t, backend, spare_bytes);
	arena_drop(t, t->nets4);
	arena_drop(t, t->nets6);
	t->nets4 = NULL;
	t->nets6 = NULL;
	return 0;
}

void tables_layout(const struct tables *t, struct tables_layout *l)
{
	memset(l, 0, sizeof(*l));
	l->backend = t->backend;
	l->services = t->services.count > 1;
	l->sports = t->uses_sports;
	l->destination_stride = t->side[DESTINATION].rows.count;
	l->service_stride = t->services.count;
	l->sport_stride = t->sports.count;
	l->fold_stride = t->backend == BACKEND_FOLDED ? t->fold_b.count : 0;
	l->sport_none = t->sport_none;
	l->sport_fragment = t->sport_fragment;
	l->words = t->words;
	l->summary_words = t->summary_words;
	l->row_shift = t->row_shift;
	l->steps = t->steps;
	l->has_log = t->has_log;
	l->terms = t->terms_count;
	l->results = t->backend == BACKEND_BITS ? t->rules_count : t->results_count;
	for (u32 s = 0; s < 2; s++) {
		const struct dimension *d = &t->side[s];
		struct address_layout *a = &l->side[s];

		a->classes = d->rows.count;
		a->used = d->used;
		a->hosts4 = d->hosts4_bits > 0;
		a->hosts4_shift = 32 - d->hosts4_bits;
		a->nets4 = d->trie_blocks > 0;
		a->table6 = d->table6_bits > 0;
		a->table6_shift = 64 - d->table6_bits;
		a->table6_seed = d->table6_seed;
		a->hosts6 = d->hosts6;
		a->lengths6_count = d->lengths6_count;
		a->default4 = d->default4;
		a->default6 = d->default6;
		memcpy(a->lengths6, d->lengths6, sizeof(a->lengths6));
	}
}

static u64 decision_bytes(const struct tables *t)
{
	if (t->backend == BACKEND_FOLDED)
		return 4ull * t->fold_a.count * t->fold_b.count;
	return 4ull * t->row_cells * (t->side[SOURCE].rows.count + t->spare_rows);
}

/* Bytes of a table; 0: this generation has none. */
u64 tables_bytes(const struct tables *t, int table)
{
	const struct dimension *d = &t->side[table >= DST4_HOSTS && table <= DST6];
	u64 row = t->backend == BACKEND_BITS ? bits_row_words(t) * 8 : 0;

	switch (table) {
	case SRC4_HOSTS: case DST4_HOSTS:
		return d->used && d->hosts4_bits ? 64ull << d->hosts4_bits : 0;
	case SRC4_NETS: case DST4_NETS:
		return d->used ? 1024ull * d->trie_blocks : 0;
	case SRC6: case DST6:
		return d->used && d->table6_bits ? 64ull << d->table6_bits : 0;
	case SERVICES:
		return t->services.count > 1 ? t->service_words * sizeof(u16) : 0;
	case SPORTS:
		return t->uses_sports ? t->sport_words * sizeof(u16) : 0;
	case CELLS:
		return t->backend == BACKEND_BITS ? 0 : decision_bytes(t);
	case FOLD_A:
		return t->backend == BACKEND_FOLDED ? 4ull * t->side[SOURCE].rows.count * t->side[DESTINATION].rows.count : 0;
	case FOLD_B:
		return t->backend == BACKEND_FOLDED ? 4ull * t->services.count * t->sports.count : 0;
	case BITS_SRC:
		return t->side[SOURCE].used ? row * t->side[SOURCE].rows.count : 0;
	case BITS_DST:
		return t->side[DESTINATION].used ? row * t->side[DESTINATION].rows.count : 0;
	case BITS_SVC:
		return row * t->services.count;
	case BITS_SPORT:
		return t->uses_sports ? row * t->sports.count : 0;
	case TERMS:
		return row ? 8ull * (t->terms_count ? t->terms_count : 1) : 0;
	}
	return 0;
}

static void fill_bits(const struct tables *t, const struct rows *r, u64 *out)
{
	for (u32 i = 0; i < r->count; i++)
		bits_row(t, row_at(r, i), out + i * bits_row_words(t));
}

static int needs_ports(const struct term *m)
{
	return m->dports_count != NONE || m->sports_count != NONE;
}

/* Copies a table into the map's memory, which must hold tables_bytes of it, and remembers it where hosts can be added. */
void tables_fill(struct tables *t, int table, void *memory)
{
	struct dimension *d = &t->side[table >= DST4_HOSTS && table <= DST6];
	u64 bytes = tables_bytes(t, table), *terms = memory;

	switch (table) {
	case SRC4_HOSTS: case DST4_HOSTS:
		memcpy(memory, d->hosts4, bytes);
		d->live_hosts4 = memory;
		break;
	case SRC4_NETS: case DST4_NETS:
		memcpy(memory, d->trie, bytes);
		break;
	case SRC6: case DST6:
		memcpy(memory, d->table6, bytes);
		d->live_table6 = memory;
		break;
	case SERVICES:
		memcpy(memory, t->service_table, bytes);
		break;
	case SPORTS:
		memcpy(memory, t->sport_table, bytes);
		break;
	case CELLS:
		memcpy(memory, t->cells, bytes - 4ull * t->row_cells * (t->backend == BACKEND_CELLS ? t->spare_rows : 0));
		t->live_cells = memory;
		break;
	case FOLD_A:
		memcpy(memory, t->fold_a_table, bytes);
		break;
	case FOLD_B:
		memcpy(memory, t->fold_b_table, bytes);
		break;
	case BITS_SRC:
		fill_bits(t, &t->side[SOURCE].rows, memory);
		break;
	case BITS_DST:
		fill_bits(t, &t->side[DESTINATION].rows, memory);
		break;
	case BITS_SVC:
		fill_bits(t, &t->services, memory);
		break;
	case BITS_SPORT:
		fill_bits(t, &t->sports, memory);
		break;
	case TERMS:
		for (u32 n = 0; n < t->terms_count; n++)
			terms[n] = (u64)t->terms[n].rule << 32 | (u64)t->tier_end[n] << 4 | needs_ports(&t->terms[n]) << 3 | t->terms[n].action;
		break;
	}
}

static void drop(struct tables *t, void *field)
{
	void **pointer = field;

	arena_drop(t, *pointer);
	*pointer = NULL;
}

static void drop_rows(struct tables *t, struct rows *r)
{
	drop(t, &r->bits);
	drop(t, &r->hashes);
	drop(t, &r->slots);
}

/* Drops the private copies of what was filled; without `changes`, also everything that only tables_change_host needs.
 * results_limit: counters that the installed generation has room for. */
void tables_settle(struct tables *t, u32 results_limit, u32 changes)
{
	drop(t, &t->cells);
	drop(t, &t->fold_a_table);
	drop(t, &t->fold_b_table);
	drop(t, &t->service_table);
	drop(t, &t->sport_table);
	drop_rows(t, &t->fold_a);
	drop_rows(t, &t->fold_b);
	for (u32 s = 0; s < 2; s++) {
		struct dimension *d = &t->side[s];

		drop(t, &d->trie);
		drop(t, &d->hosts4);
		drop(t, &d->table6);
		if (changes)
			continue;
		drop_rows(t, &d->rows);
		drop(t, &d->found4);
		drop(t, &d->found6);
		drop(t, &d->touch);
		drop(t, &d->touch_start);
	}
	t->results_limit = results_limit;
	if (changes)
		return;
	drop_rows(t, &t->services);
	drop_rows(t, &t->sports);
	drop_rows(t, &t->unknown);
	drop(t, &t->terms);
	drop(t, &t->tier_end);
	drop(t, &t->pool);
}

u32 tables_result(const struct tables *t, u32 i, struct tables_outcome *out)
{
	const struct result *r;

	if (t->backend == BACKEND_BITS || i >= t->results_count)
		return 0;
	r = &t->results[i];
	*out = (struct tables_outcome){r->reason, r->verdict, r->count, t->chain + r->first};
	return 1;
}

/* A single address became a member of the atom, or is none any more: changes the installed tables under the eyes of
 * readers. 0: done; FAILED_ROOM: it needs a new generation, nothing was changed that a reader could see. */
int tables_change_host(struct tables *t, int side, u32 version, u64 high, u64 low, u32 atom, u32 is_member)
{
	struct dimension *d = &t->side[side];
	u32 set, class, known = d->rows.count;
	int why = setjmp(t->failed);

	if (why) {
		/* without memory half way through: what is known of the installed tables cannot be trusted any more */
		d->live_hosts4 = d->live_table6 = NULL;
		return why;
	}
	if (!t->terms)
		return FAILED_ROOM;          /* settled without changes */
	if (d->touch_start[atom] == d->touch_start[atom + 1])
		return 0;                    /* no rule names it on this side */
	set = address_atoms(t, side, version, high, low, 1);
	if (is_member)
		set = atoms_with(t, set, atom);
	else if (!atoms_have(t, address_atoms(t, side, version, high, low, 0), atom))
		set = atoms_without(t, set, atom);
	if (!d->used || (version == 4 ? !d->live_hosts4 : !d->live_table6 || !d->hosts6))
		return FAILED_ROOM;
	class = address_class(t, side, version, set);
	if (class >= MAX_CLASSES6)
		return FAILED_ROOM;
	if (class == known && !decision_extend(t, side, class)) {
		rows_undo(&d->rows);
		d->class_of[version == 6][set] = NONE;
		return FAILED_ROOM;
	}
	if (version == 4 ? !hosts4_put(d->live_hosts4, d->hosts4_bits, low, class)
			 : !table6_put(d->live_table6, d->table6_bits, d->table6_seed, high, low, 128, class, 1))
		return FAILED_ROOM;
	change_note(t, side, version, high, low, set);
	return 0;
}

/* A sum of a table's memory that no change of a single word leaves as it was. Not against somebody who computes: who
 * may write the map may do anything. */
u64 tables_sum(const void *memory, u64 bytes)
{
	const u64 *word = memory;
	u64 sum[4] = {0}, count = bytes / 8;

	for (u64 i = 0; i + 4 <= count; i += 4)
		for (u64 k = 0; k < 4; k++)
			sum[k] += word[i + k] * (2 * i + 1);
	for (u64 i = count & ~3ull; i < count; i++)
		sum[i & 3] += word[i] * (2 * i + 1);
	return sum[0] + 3 * sum[1] + 5 * sum[2] + 7 * sum[3];
}
