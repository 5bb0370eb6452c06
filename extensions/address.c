/* SPDX-License-Identifier: Apache-2.0 */
/* Address dimensions: prefixes -> atom sets -> classes -> host buckets, IPv4 trie, IPv6 table. */
#include <stdlib.h>
#include <string.h>
#include "tables.h"
#include "../bpf/include/tortie/hash.h"

/* ---- atom set -> class ---- */

static int in_list(const u32 *items, u32 count, u32 item)
{
	u32 low = 0, high = count;

	while (low < high) {
		u32 middle = (low + high) / 2;

		if (items[middle] < item)
			low = middle + 1;
		else
			high = middle;
	}
	return low < count && items[low] == item;
}

static int term_holds(const struct tables *t, const struct term *m, enum side side, const u32 *atoms, u32 count)
{
	u32 in = side == SOURCE ? SOURCE_IN : DESTINATION_IN, out = in + 1;

	for (u32 i = 0; i < m->list_count[in]; i++)
		if (!in_list(atoms, count, t->pool[m->list[in] + i]))
			return 0;
	for (u32 i = 0; i < m->list_count[out]; i++)
		if (in_list(atoms, count, t->pool[m->list[out] + i]))
			return 0;
	return 1;
}

/* Row: the terms that hold for an address in exactly these atoms, as far as this side is concerned. */
u32 address_class(struct tables *t, enum side side, u32 version, u32 atom_set)
{
	struct dimension *d = &t->side[side];
	const struct lists *l = &t->atom_sets;
	u32 family = version == 6, count = l->length[atom_set], *known;
	const u32 *atoms = l->pool + l->start[atom_set];
	u64 row[MAX_TERMS / 64], hash = d->base_hash[family];

	if (atom_set >= d->class_room) {
		u32 room = l->capacity > atom_set ? l->capacity : atom_set + 1;

		for (u32 f = 0; f < 2; f++) {
			d->class_of[f] = arena_grow(t, d->class_of[f], d->class_room * sizeof(u32), room * sizeof(u32));
			memset(d->class_of[f] + d->class_room, 0xff, (room - d->class_room) * sizeof(u32));
		}
		d->class_room = room;
	}
	known = &d->class_of[family][atom_set];
	if (*known != NONE)
		return *known;
	memcpy(row, d->base[family], t->words * 8);
	for (u32 i = 0; i < count; i++) {
		u32 a = atoms[i];

		for (u32 j = d->touch_start[a]; j < d->touch_start[a + 1]; j++) {
			u32 n = d->touch[j];
			const struct term *m = &t->terms[n];

			u64 bit = 1ull << (n & 63);
			int holds = (!m->version || m->version == version) && term_holds(t, m, side, atoms, count);

			if (holds != !!(row[n >> 6] & bit)) {
				row[n >> 6] ^= bit;
				hash ^= term_hash(n);
			}
		}
	}
	*known = rows_intern(t, &d->rows, row, hash);
	return *known;
}

/* ---- sorted sweep: each prefix inherits the atoms of the prefixes around it ---- */

struct open { u64 high, low; u32 length, atom_set; };

static u32 merge(struct tables *t, u32 outer, const u32 *own, u32 count)
{
	struct lists *l = &t->atom_sets;
	u32 n = l->length[outer], i = 0, j = 0, k = 0, *all, answer;
	const u32 *around = l->pool + l->start[outer];

	if (!count)
		return outer;
	if (!n)
		return lists_intern(t, l, own, count);
	all = arena_alloc(t, (n + count) * sizeof(u32));
	while (i < n || j < count) {
		u32 next = j == count || (i < n && around[i] <= own[j]) ? around[i] : own[j];

		if (i < n && around[i] == next)
			i++;
		if (j < count && own[j] == next)
			j++;
		all[k++] = next;
	}
	answer = lists_intern(t, l, all, k);
	arena_drop(t, all);
	return answer;
}

static int compare_u32(const void *a, const void *b)
{
	u32 x = *(const u32 *)a, y = *(const u32 *)b;

	return x < y ? -1 : x > y;
}

/* Distinct ascending atoms of one prefix. */
static u32 distinct(u32 *atoms, u32 count)
{
	u32 k = 0;

	if (count > 1)
		qsort(atoms, count, sizeof(u32), compare_u32);
	for (u32 i = 0; i < count; i++)
		if (!k || atoms[k - 1] != atoms[i])
			atoms[k++] = atoms[i];
	return k;
}

/* ---- IPv4 ---- */

struct entry4 { u64 key; u32 atom, unused; };    /* key: address << 6 | length */

static void sort4(struct tables *t, struct entry4 *e, u32 count)
{
	struct entry4 *other = arena_alloc(t, (size_t)count * sizeof(*e));
	u32 (*ends)[1024] = arena_alloc(t, 4 * sizeof(*ends));

	for (u32 i = 0; i < count; i++)
		for (u32 pass = 0; pass < 4; pass++)
			ends[pass][e[i].key >> (10 * pass) & 1023]++;
	for (u32 pass = 0; pass < 4; pass++) {
		struct entry4 *from = pass & 1 ? other : e, *to = pass & 1 ? e : other;
		u32 sum = 0;

		for (u32 d = 0; d < 1024; d++) {
			u32 n = ends[pass][d];

			ends[pass][d] = sum;
			sum += n;
		}
		for (u32 i = 0; i < count; i++)
			to[ends[pass][from[i].key >> (10 * pass) & 1023]++] = from[i];
	}
	arena_drop(t, ends);
	arena_drop(t, other);
}

static u32 trie_block(struct tables *t, struct dimension *d, u32 value, u32 room)
{
	if (d->trie_blocks == room)
		fail(t, FAILED_SIZE);
	for (u32 i = 0; i < 256; i++)
		d->trie[d->trie_blocks * 256 + i] = value;
	return 1u << 31 | d->trie_blocks++;
}

/* The most blocks that the nets can need: the root, and for each net one of every level that it reaches into.
 * Memory that is never written costs nothing, while growing would write all of it again and again. */
static u32 trie_room(const struct found4 *nets, u32 count)
{
	u64 room = 1;

	for (u32 i = 0; i < count; i++)
		room += (nets[i].length > 8) + (nets[i].length > 16) + (nets[i].length > 24);
	return room < MAX_TABLE_BYTES / 1024 ? room : MAX_TABLE_BYTES / 1024;
}

static void paint(u32 *from, u32 count, u32 value)
{
	for (u32 i = 0; i < count; i++)
		from[i] = value;
}

static void trie_paint(struct tables *t, struct dimension *d, const struct found4 *net, u32 room)
{
	u32 block = 0, left = 24, at;      /* `left`: bits of the address below this level */

	for (;; left -= 8) {
		u32 entry;

		at = block * 256 + (net->address >> left & 255);
		if (net->length <= 32 - left)
			break;
		entry = d->trie[at];
		if (!(entry >> 31))
			d->trie[at] = entry = trie_block(t, d, entry, room);
		block = entry & 0x7fffffff;
	}
	paint(d->trie + at, 1u << (32 - left - net->length), net->class);
}

/* Four times 8 bits; nets come shortest first, so that a longer one paints over the shorter around it. */
static void trie_compile(struct tables *t, struct dimension *d, const struct found4 *nets, u32 count)
{
	u32 room = trie_room(nets, count);

	d->trie = arena_alloc(t, (size_t)room * 1024);
	trie_block(t, d, d->default4, room);
	for (u32 length = 0; length < 32; length++)
		for (u32 i = 0; i < count; i++)
			if (nets[i].length == length)
				trie_paint(t, d, &nets[i], room);
}

static void hosts4_compile(struct tables *t, struct dimension *d, u32 hosts)
{
	u32 bits = 1, i;

	while ((4ull << bits) < hosts)        /* half full at most */
		bits++;
	for (;; bits++) {
		if (64ull << bits > MAX_TABLE_BYTES)
			fail(t, FAILED_SIZE);
		d->hosts4 = arena_alloc(t, 64ull << bits);
		for (i = 0; i < d->found4_count; i++)
			if (d->found4[i].length == 32 && !hosts4_put(d->hosts4, bits, d->found4[i].address, d->found4[i].class))
				break;
		if (i == d->found4_count)
			break;
		arena_drop(t, d->hosts4);
	}
	d->hosts4_bits = bits;
}

static void store(u64 *place, u64 value)
{
	__atomic_store_n(place, value, __ATOMIC_RELEASE);
}

static int bucket4_put(u64 *bucket, u64 word)
{
	for (u32 i = 0; i < 8; i++)
		if (!bucket[i] || (u32)bucket[i] == (u32)word) {
			store(&bucket[i], word);
			return 1;
		}
	return 0;
}

/* Adds a host, or changes its class, under the eyes of readers. Two buckets are possible; from a full one a neighbour is
 * copied to its own second bucket before it is overwritten, so a reader finds it all the time. Nothing is ever taken
 * out, so a host is in its second bucket only while the first is full. False: no room. */
int hosts4_put(u64 *table, u32 bits, u32 address, u32 class)
{
	u64 word = (u64)(class + 1) << 32 | address;
	u32 place[2] = {hash4_first(address) >> (32 - bits), hash4_second(address) >> (32 - bits)};

	if (bucket4_put(table + place[0] * 8, word) || bucket4_put(table + place[1] * 8, word))
		return 1;
	for (u32 n = 0; n < 2; n++)
		for (u32 i = 0; i < 8; i++) {
			u64 *neighbour = &table[place[n] * 8 + i];
			u32 other = hash4_second(*neighbour) >> (32 - bits);

			if (hash4_first(*neighbour) >> (32 - bits) != place[n] || other == place[n])
				continue;
			if (bucket4_put(table + other * 8, *neighbour)) {
				store(neighbour, word);
				return 1;
			}
		}
	return 0;
}

static void compile4(struct tables *t, struct dimension *d, const u8 *touched)
{
	struct entry4 *e = arena_alloc(t, ((size_t)t->nets4_count + 1) * sizeof(*e));
	u32 count = 0, hosts = 0, depth = 0, *atoms;
	struct open stack[33];

	for (u32 i = 0; i < t->nets4_count; i++)
		if (touched[t->nets4[i].atom])
			e[count++] = (struct entry4){(u64)t->nets4[i].address << 6 | t->nets4[i].length, t->nets4[i].atom, 0};
	sort4(t, e, count);
	d->found4 = arena_alloc(t, ((size_t)count + 1) * sizeof(*d->found4));
	atoms = arena_alloc(t, ((size_t)count + 1) * sizeof(u32));
	for (u32 i = 0, next; i < count; i = next) {
		u32 address = e[i].key >> 6, length = e[i].key & 63, own = 0, set;

		for (next = i; next < count && e[next].key == e[i].key; next++)
			atoms[own++] = e[next].atom;
		while (depth && stack[depth - 1].length && (stack[depth - 1].high ^ address) >> (32 - stack[depth - 1].length))
			depth--;
		set = merge(t, depth ? stack[depth - 1].atom_set : 0, atoms, distinct(atoms, own));
		d->found4[d->found4_count++] = (struct found4){address, length, set, address_class(t, d->side, 4, set)};
		if (length == 32)
			hosts++;
		else
			stack[depth++] = (struct open){address, 0, length, set};
	}
	if (hosts < d->found4_count)
		trie_compile(t, d, d->found4, d->found4_count);
	if (hosts)
		hosts4_compile(t, d, hosts);
	arena_drop(t, atoms);
	arena_drop(t, e);
}

/* ---- IPv6 ---- */

static int compare6(const void *a, const void *b)
{
	const struct net6 *x = a, *y = b;

	if (x->high != y->high)
		return x->high < y->high ? -1 : 1;
	if (x->low != y->low)
		return x->low < y->low ? -1 : 1;
	return x->length < y->length ? -1 : x->length > y->length;
}

static void mask6(u64 *high, u64 *low, u32 length)
{
	*high &= length >= 64 ? ~0ull : ~(~0ull >> length);     /* length 0: no bit stays */
	*low &= length > 64 ? ~0ull << (128 - length) : 0;
}

static int inside6(const struct open *o, u64 high, u64 low)
{
	mask6(&high, &low, o->length);
	return high == o->high && low == o->low;
}

static int bucket6_put(u64 *bucket, u64 high, u64 low, u32 word)
{
	u32 *words = (u32 *)bucket;

	for (u32 i = 0; i < 3; i++) {
		u64 *key = bucket + 2 + 2 * i;

		if (words[i] && (key[0] != high || key[1] != low || words[i] >> 23 != word >> 23))
			continue;
		key[0] = high;           /* the word last: a reader takes an entry only with its length */
		key[1] = low;
		__atomic_store_n(&words[i], word, __ATOMIC_RELEASE);
		return 1;
	}
	return 0;
}

/* As hosts4_put; but a key is two words, so where there are readers it never changes and no neighbour moves. */
int table6_put(u64 *table, u32 bits, u32 seed, u64 high, u64 low, u32 length, u32 class, int has_readers)
{
	u64 hash = hash6(high, low, length, seed);
	u32 word = 1u << 31 | length << 23 | class, place[2] = {hash >> (64 - bits), hash6_second(hash) >> (64 - bits)};

	if (bucket6_put(table + place[0] * 8ull, high, low, word) || bucket6_put(table + place[1] * 8ull, high, low, word))
		return 1;
	for (u32 n = 0; n < 2 && !has_readers; n++)
		for (u32 i = 0; i < 3; i++) {
			u64 *b = table + place[n] * 8ull, h = b[2 + 2 * i], l = b[3 + 2 * i], other;
			u32 *words = (u32 *)b, w = words[i];

			hash = hash6(h, l, w >> 23 & 255, seed);
			other = hash6_second(hash) >> (64 - bits);
			if (hash >> (64 - bits) != place[n] || other == place[n] || !bucket6_put(table + other * 8, h, l, w))
				continue;
			words[i] = word;
			b[2 + 2 * i] = high;
			b[3 + 2 * i] = low;
			return 1;
		}
	return 0;
}

/* Entries find no place at times in a small table, and always where somebody chose addresses that collide: four seeds are
 * tried, then the table doubles. */
static void table6_compile(struct tables *t, struct dimension *d)
{
	const struct found6 *found = d->found6;
	u32 bits = 1, count = d->found6_count, i;

	if (d->rows.count > MAX_CLASSES6)
		fail(t, FAILED_SIZE);
	while ((3ull << bits) * 2 < count * 5ull)      /* 0.4 full at most */
		bits++;
	for (;; d->table6_seed++, bits += d->table6_seed % 4 == 0) {
		if (64ull << bits > MAX_TABLE_BYTES)
			fail(t, FAILED_SIZE);
		d->table6 = arena_alloc(t, 64ull << bits);
		for (i = 0; i < count; i++)
			if (found[i].length && !table6_put(d->table6, bits, d->table6_seed, found[i].high, found[i].low, found[i].length, found[i].class, 0))
				break;
		if (i == count)
			break;
		arena_drop(t, d->table6);
	}
	d->table6_bits = bits;
}

/* Entries on the way of the binary search to each net: they say "look longer". Atom NONE: they have no atoms of their
 * own and inherit, which is their best match. Returns the number of entries with the markers. */
static u32 markers6(struct dimension *d, struct net6 *e, u32 count)
{
	u32 all = count;

	for (u32 i = 0; i < count; i++) {
		u32 from = 0, to = d->lengths6_count;

		if (!e[i].length || e[i].length == 128)
			continue;
		while (from < to) {
			u32 middle = (from + to) >> 1, length = d->lengths6[middle];

			if (length == e[i].length)
				break;
			if (length < e[i].length) {
				struct net6 marker = {e[i].high, e[i].low, length, NONE};

				mask6(&marker.high, &marker.low, length);
				e[all++] = marker;
				from = middle + 1;
			} else {
				to = middle;
			}
		}
	}
	return all;
}

static void compile6(struct tables *t, struct dimension *d, const u8 *touched)
{
	struct net6 *e = arena_alloc(t, ((size_t)t->nets6_count + 1) * 8 * sizeof(*e));
	u32 count = 0, depth = 0, *atoms;
	u8 has_length[129] = {};
	struct open stack[129];

	for (u32 i = 0; i < t->nets6_count; i++)
		if (touched[t->nets6[i].atom]) {
			e[count++] = t->nets6[i];
			has_length[t->nets6[i].length] = 1;
		}
	for (u32 length = 1; length < 128; length++)
		if (has_length[length])
			d->lengths6[d->lengths6_count++] = length;
	d->hosts6 = has_length[128];
	count = markers6(d, e, count);
	qsort(e, count, sizeof(*e), compare6);
	d->found6 = arena_alloc(t, ((size_t)count + 1) * sizeof(*d->found6));
	atoms = arena_alloc(t, ((size_t)count + 1) * sizeof(u32));
	for (u32 i = 0, next; i < count; i = next) {
		u32 own = 0, set, class;

		for (next = i; next < count && !compare6(&e[next], &e[i]); next++)
			if (e[next].atom != NONE)
				atoms[own++] = e[next].atom;
		while (depth && !inside6(&stack[depth - 1], e[i].high, e[i].low))
			depth--;
		set = merge(t, depth ? stack[depth - 1].atom_set : 0, atoms, distinct(atoms, own));
		class = address_class(t, d->side, 6, set);
		d->found6[d->found6_count++] = (struct found6){e[i].high, e[i].low, e[i].length, set, class, 0};
		if (!e[i].length)
			d->default6 = class;
		if (e[i].length < 128)
			stack[depth++] = (struct open){e[i].high, e[i].low, e[i].length, set};
	}
	if (d->lengths6_count || d->hosts6)
		table6_compile(t, d);
	arena_drop(t, atoms);
	arena_drop(t, e);
}

/* ---- one dimension ---- */

/* Atom -> terms that name it on this side, once each. */
static void touch_compile(struct tables *t, struct dimension *d, u8 *touched)
{
	u32 lists[2] = {d->side == SOURCE ? SOURCE_IN : DESTINATION_IN, d->side == SOURCE ? SOURCE_OUT : DESTINATION_OUT};
	u32 total = 0, *next;

	d->touch_start = arena_alloc(t, (t->atoms_count + 2) * sizeof(u32));
	for (u32 n = 0; n < t->terms_count; n++)
		for (u32 k = 0; k < 2; k++)
			for (u32 i = 0; i < t->terms[n].list_count[lists[k]]; i++) {
				u32 atom = t->pool[t->terms[n].list[lists[k]] + i];

				d->touch_start[atom + 1]++;
				touched[atom] = 1;
				total++;
			}
	for (u32 a = 0; a <= t->atoms_count; a++)
		d->touch_start[a + 1] += d->touch_start[a];
	d->touch = arena_alloc(t, (total + 1) * sizeof(u32));
	next = arena_alloc(t, (t->atoms_count + 2) * sizeof(u32));
	memcpy(next, d->touch_start, (t->atoms_count + 1) * sizeof(u32));
	for (u32 n = 0; n < t->terms_count; n++)
		for (u32 k = 0; k < 2; k++)
			for (u32 i = 0; i < t->terms[n].list_count[lists[k]]; i++)
				d->touch[next[t->pool[t->terms[n].list[lists[k]] + i]]++] = n;
	arena_drop(t, next);
}

void address_compile(struct tables *t, enum side side)
{
	struct dimension *d = &t->side[side];
	u32 in = side == SOURCE ? SOURCE_IN : DESTINATION_IN;
	u8 *touched = arena_alloc(t, t->atoms_count + 1);

	d->side = side;
	rows_start(t, &d->rows, t->words, 0);
	for (u32 family = 0; family < 2; family++) {
		d->base[family] = arena_alloc(t, t->words * 8);
		for (u32 n = 0; n < t->terms_count; n++) {
			const struct term *m = &t->terms[n];
			/* the version is the source's business alone: once is enough */
			int fits = !m->version || m->version == (family ? 6 : 4);

			if (!m->list_count[in] && (fits || side == DESTINATION))
				d->base[family][n >> 6] |= 1ull << (n & 63);
		}
		d->base_hash[family] = row_hash(d->base[family], t->words);
	}
	touch_compile(t, d, touched);
	d->default4 = address_class(t, side, 4, 0);
	d->default6 = address_class(t, side, 6, 0);
	compile4(t, d, touched);
	compile6(t, d, touched);
	d->used = d->rows.count > 1;
	arena_drop(t, touched);
}

/* ---- what an installed address is in ---- */

static u32 find4(const struct dimension *d, u32 address, u32 length)
{
	u32 low = 0, high = d->found4_count;
	u64 wanted = (u64)address << 6 | length;

	while (low < high) {
		u32 middle = (low + high) / 2;

		if (((u64)d->found4[middle].address << 6 | d->found4[middle].length) < wanted)
			low = middle + 1;
		else
			high = middle;
	}
	if (low == d->found4_count || d->found4[low].address != address || d->found4[low].length != length)
		return NONE;
	return d->found4[low].atom_set;
}

static u32 find6(const struct dimension *d, u64 address_high, u64 address_low, u32 length)
{
	struct net6 wanted = {address_high, address_low, length, 0};
	u32 low = 0, high = d->found6_count;

	while (low < high) {
		u32 middle = (low + high) / 2;
		struct net6 one = {d->found6[middle].high, d->found6[middle].low, d->found6[middle].length, 0};
		int order = compare6(&one, &wanted);

		if (!order)
			return d->found6[middle].atom_set;
		if (order < 0)
			low = middle + 1;
		else
			high = middle;
	}
	return NONE;
}

static struct change *change_slot(const struct changes *c, u32 version, u64 high, u64 low)
{
	u32 i = hash6(high, low, version, 0) >> 32 & c->mask;

	while (c->slots[i].version && (c->slots[i].version != version || c->slots[i].high != high || c->slots[i].low != low))
		i = (i + 1) & c->mask;
	return &c->slots[i];
}

void change_note(struct tables *t, enum side side, u32 version, u64 high, u64 low, u32 atom_set)
{
	struct changes *c = &t->side[side].changes;

	if (!c->slots || c->count * 2 > c->mask) {
		struct changes old = *c;

		c->mask = c->slots ? c->mask * 2 + 1 : 255;
		c->slots = arena_alloc(t, ((size_t)c->mask + 1) * sizeof(*c->slots));
		for (u32 i = 0; old.slots && i <= old.mask; i++)
			if (old.slots[i].version)
				*change_slot(c, old.slots[i].version, old.slots[i].high, old.slots[i].low) = old.slots[i];
		arena_drop(t, old.slots);
	}
	if (!change_slot(c, version, high, low)->version)
		c->count++;
	*change_slot(c, version, high, low) = (struct change){high, low, version, atom_set};
}

/* Atom set of an address; without `hosts_too` that of the nets around it. */
u32 address_atoms(const struct tables *t, enum side side, u32 version, u64 high, u64 low, int hosts_too)
{
	const struct dimension *d = &t->side[side];
	u32 set;

	if (hosts_too && d->changes.slots) {
		const struct change *c = change_slot(&d->changes, version, high, low);

		if (c->version)
			return c->atom_set;
	}
	for (int length = (version == 4 ? 31 : 127) + !!hosts_too; length >= 0; length--) {
		if (version == 4) {
			set = find4(d, length ? low >> (32 - length) << (32 - length) : 0, length);
		} else {
			u64 masked_high = high, masked_low = low;

			mask6(&masked_high, &masked_low, length);
			set = find6(d, masked_high, masked_low, length);
		}
		if (set != NONE)
			return set;
	}
	return 0;
}

int atoms_have(const struct tables *t, u32 atom_set, u32 atom)
{
	return in_list(t->atom_sets.pool + t->atom_sets.start[atom_set], t->atom_sets.length[atom_set], atom);
}

u32 atoms_with(struct tables *t, u32 atom_set, u32 atom)
{
	return merge(t, atom_set, &atom, 1);
}

u32 atoms_without(struct tables *t, u32 atom_set, u32 atom)
{
	const struct lists *l = &t->atom_sets;
	u32 *rest = arena_alloc(t, (l->length[atom_set] + 1) * sizeof(u32)), count = 0, answer;

	for (u32 i = 0; i < l->length[atom_set]; i++)
		if (l->pool[l->start[atom_set] + i] != atom)
			rest[count++] = l->pool[l->start[atom_set] + i];
	answer = lists_intern(t, &t->atom_sets, rest, count);
	arena_drop(t, rest);
	return answer;
}
