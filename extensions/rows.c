/* SPDX-License-Identifier: Apache-2.0 */
/* Interning: equal rows of bits, and equal lists of atoms, get one number. Exact: a hash finds, a compare decides. */
#include <string.h>
#include "tables.h"

u64 hash_words(const u64 *words, u32 count)
{
	u64 h = 0x9e3779b97f4a7c15ull;

	for (u32 i = 0; i < count; i++) {
		h = (h ^ words[i]) * 0xff51afd7ed558ccdull;
		h ^= h >> 32;
	}
	return h;
}

static u64 hash_items(const u32 *items, u32 count)
{
	u64 h = count;

	for (u32 i = 0; i < count; i++) {
		h = (h ^ items[i]) * 0xff51afd7ed558ccdull;
		h ^= h >> 32;
	}
	return h;
}

/* Hash of a row as the sum (xor) of its terms, so that a row that differs in one term is hashed in one step. */
u64 term_hash(u32 term)
{
	u64 h = (term + 1) * 0x9e3779b97f4a7c15ull;

	h = (h ^ h >> 32) * 0xd6e8feb86659fd93ull;
	return h ^ h >> 32;
}

u64 row_hash(const u64 *row, u32 words)
{
	u64 h = 0;

	for (u32 w = 0; w < words; w++)
		for (u64 x = row[w]; x; x &= x - 1)
			h ^= term_hash(w << 6 | __builtin_ctzll(x));
	return h;
}

/* expected: rows that there will probably be; saves copies, does not limit. */
void rows_start(struct tables *t, struct rows *r, u32 words, u32 expected)
{
	r->words = words;
	r->count = 0;
	r->capacity = expected + 16;
	for (r->mask = 63; r->mask < r->capacity * 2; r->mask = r->mask * 2 + 1)
		;
	r->bits = arena_alloc(t, (size_t)r->capacity * words * 8);
	r->hashes = arena_alloc(t, (size_t)r->capacity * 8);
	r->slots = arena_alloc(t, ((size_t)r->mask + 1) * sizeof(u32));
}

/* The slot of an equal row, or the free one where it belongs. A slot holds the row's number + 1. */
static u32 rows_slot(const struct rows *r, const u64 *row, u64 hash)
{
	u32 i = hash & r->mask;

	for (; r->slots[i]; i = (i + 1) & r->mask)
		if (r->hashes[r->slots[i] - 1] == hash && !memcmp(row_at(r, r->slots[i] - 1), row, (size_t)r->words * 8))
			break;
	return i;
}

u32 rows_intern(struct tables *t, struct rows *r, const u64 *row, u64 hash)
{
	u32 slot = rows_slot(r, row, hash);

	if (r->slots[slot])
		return r->slots[slot] - 1;
	if (r->count == r->capacity) {
		size_t bytes = (size_t)r->capacity * r->words * 8;

		r->bits = arena_grow(t, r->bits, bytes, bytes * 2);
		r->hashes = arena_grow(t, r->hashes, (size_t)r->capacity * 8, (size_t)r->capacity * 16);
		r->capacity *= 2;
	}
	if (r->count * 2 > r->mask) {
		arena_drop(t, r->slots);
		r->mask = r->mask * 4 + 3;
		r->slots = arena_alloc(t, ((size_t)r->mask + 1) * sizeof(u32));
		for (u32 i = 0; i < r->count; i++)
			r->slots[rows_slot(r, row_at(r, i), r->hashes[i])] = i + 1;
		slot = rows_slot(r, row, hash);
	}
	memcpy(row_at(r, r->count), row, (size_t)r->words * 8);
	r->hashes[r->count] = hash;
	r->slots[slot] = ++r->count;
	return r->count - 1;
}

/* Takes the newest row back: nothing was interned behind it, so no probe sequence runs over its slot. */
void rows_undo(struct rows *r)
{
	r->slots[rows_slot(r, row_at(r, r->count - 1), r->hashes[r->count - 1])] = 0;
	r->count--;
}

static u32 lists_slot(const struct lists *l, const u32 *items, u32 count)
{
	u32 i = hash_items(items, count) & l->mask;

	while (l->slots[i]) {
		u32 n = l->slots[i] - 1;

		if (l->length[n] == count && (!count || !memcmp(l->pool + l->start[n], items, count * sizeof(u32))))
			break;
		i = (i + 1) & l->mask;
	}
	return i;
}

u32 lists_intern(struct tables *t, struct lists *l, const u32 *items, u32 count)
{
	u32 slot;

	if (!l->slots) {
		l->mask = 63;
		l->slots = arena_alloc(t, (l->mask + 1) * sizeof(u32));
	}
	slot = lists_slot(l, items, count);
	if (l->slots[slot])
		return l->slots[slot] - 1;
	if (l->count == l->capacity) {
		u32 capacity = l->capacity ? l->capacity * 2 : 64;

		l->start = arena_grow(t, l->start, l->capacity * sizeof(u32), capacity * sizeof(u32));
		l->length = arena_grow(t, l->length, l->capacity * sizeof(u32), capacity * sizeof(u32));
		l->capacity = capacity;
	}
	if (l->used + count > l->room) {
		u32 room = (l->used + count) * 2 + 256;

		l->pool = arena_grow(t, l->pool, l->used * sizeof(u32), (size_t)room * sizeof(u32));
		l->room = room;
	}
	if (l->count * 2 > l->mask) {
		arena_drop(t, l->slots);
		l->mask = l->mask * 4 + 3;
		l->slots = arena_alloc(t, ((size_t)l->mask + 1) * sizeof(u32));
		for (u32 i = 0; i < l->count; i++)
			l->slots[lists_slot(l, l->pool + l->start[i], l->length[i])] = i + 1;
		slot = lists_slot(l, items, count);
	}
	if (count)                   /* there may be no pool yet */
		memcpy(l->pool + l->used, items, count * sizeof(u32));
	l->start[l->count] = l->used;
	l->length[l->count] = count;
	l->used += count;
	l->slots[slot] = ++l->count;
	return l->count - 1;
}
