/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/* Field of a packet -> class. Two values that no rule can tell apart have one class. extensions/tables.c builds what is
 * read here, with the same hash.h. */
#ifndef TORTIE_CLASSIFY_H
#define TORTIE_CLASSIFY_H

#include "maps.h"
#include "hash.h"

static __always_inline u32 bucket4_find(void *pages, u32 place, u32 index, u32 address, bool *full)
{
	struct bucket4 *b = ELEMENT(pages, place + index * sizeof(*b), sizeof(*b));
	u32 found = 0;

	*full = false;
	if (!b)
		return 0;
#pragma unroll
	for (int i = 0; i < 8; i++)
		if ((u32)b->entry[i] == address && b->entry[i] >> 32)
			return b->entry[i] >> 32;
	*full = b->entry[7];
	return found;
}

static __always_inline struct block *trie_block(void *pages, u32 place, u32 index)
{
	return ELEMENT(pages, place + index * sizeof(struct block), sizeof(struct block));
}

static __always_inline u32 class4(void *pages, u32 hosts, u32 nets, const struct dimension *d, u32 address)
{
	struct block *b;
	u32 entry;

	if (d->hosts4) {
		bool full;

		entry = bucket4_find(pages, hosts, hash4_first(address) >> (d->hosts4_shift & 31), address, &full);
		if (!entry && full)   /* only a full bucket has sent neighbours to their second one */
			entry = bucket4_find(pages, hosts, hash4_second(address) >> (d->hosts4_shift & 31), address, &full);
		if (entry)
			return entry - 1;
	}
	if (!d->nets4)
		return d->default4;
	entry = d->root[address >> 24];
	if (!(entry >> 31))
		return entry;
	b = trie_block(pages, nets, entry & 0x7fffffff);
	if (!b)
		return d->default4;
	entry = b->v[address >> 16 & 255];
	if (!(entry >> 31))
		return entry;
	b = trie_block(pages, nets, entry & 0x7fffffff);
	if (!b)
		return d->default4;
	entry = b->v[address >> 8 & 255];
	if (!(entry >> 31))
		return entry;
	b = trie_block(pages, nets, entry & 0x7fffffff);
	return b ? b->v[address & 255] : d->default4;
}

static __always_inline u32 bucket6_find(void *pages, u32 place, u32 index, u64 high, u64 low, u32 length, bool *full)
{
	struct bucket6 *b = ELEMENT(pages, place + index * sizeof(*b), sizeof(*b));

	*full = false;
	if (!b)
		return 0;
#pragma unroll
	for (int i = 0; i < 3; i++)
		if (b->key[i][0] == high && b->key[i][1] == low && b->word[i] >> 23 == (256 | length))
			return b->word[i];
	*full = b->word[2];
	return 0;
}

static __always_inline u32 find6(void *pages, u32 place, const struct dimension *d, u64 high, u64 low, u32 length)
{
	u64 hash = hash6(high, low, length, d->table6_seed);
	u32 shift = d->table6_shift;
	bool full;
	u32 word = bucket6_find(pages, place, hash >> (shift & 63), high, low, length, &full);

	if (!word && full)
		word = bucket6_find(pages, place, hash6_second(hash) >> (shift & 63), high, low, length, &full);
	return word;
}

/* Single addresses first, then a binary search over the prefix lengths in use: an entry of a middle length says "look
 * longer" and carries the best match so far (a marker), none says "look shorter". */
__noinline u32 class6(u32 number, u32 is_destination)
{
	struct scratch *c = scratch_get();
	const struct classifier *stage;
	const struct dimension *d;
	struct generation g;
	u32 *address, place;
	void *pages;

	if (!c || number >= STAGES || !generation_get(c, &g))
		return 0;
	pages = g.pages;
	stage = stage_given(g, number).cfg;
	d = is_destination ? &stage->destination : &stage->source;
	place = is_destination ? stage->at.dst6 : stage->at.src6;
	address = is_destination ? c->packet.destination : c->packet.source;
	u64 high, low;
	u32 best, word;

	high = (u64)address[0] << 32 | address[1];
	low = (u64)address[2] << 32 | address[3];
	best = d->default6;

	if (!d->table6)
		return best;
	if (d->hosts6) {
		word = find6(pages, place, d, high, low, 128);
		if (word)
			return word & 0x7fffff;
	}
	c->from = 0;
	c->to = d->lengths6_count;
	for (int i = 0; i < 8; i++) {        /* 2^7 lengths at most */
		u32 middle, length;
		u64 high_mask, low_mask;

		forget();
		if (c->from >= c->to)
			break;
		middle = (c->from + c->to) >> 1;
		length = d->lengths6[middle & 127];
		high_mask = length >= 64 ? ~0ull : ~(~0ull >> (length & 63));
		low_mask = length > 64 ? ~0ull << ((128 - length) & 63) : 0;
		word = find6(pages, place, d, high & high_mask, low & low_mask, length);
		if (word) {
			best = word & 0x7fffff;
			c->from = middle + 1;
		} else {
			c->to = middle;
		}
	}
	return best;
}

static __always_inline u32 service_class(const struct stage s, struct packet *p)
{
	u32 protocol = p->protocol & 255, row, index;

	row = protocol == TCP ? 0 : protocol == UDP ? 1 : protocol == SCTP ? 2 : protocol == ICMP ? 3 : protocol == ICMPV6 ? 4 : 5;
	if (p->fragment == LATER)
		index = SERVICES_FRAGMENTS + protocol;
	else if (row == 5)
		index = SERVICES_PROTOCOLS + protocol;
	else
		index = SERVICES_BLOCKS + port_block(s.cfg->service_blocks, 5, row, p->dport);
	return get16(s.pages, s.cfg->at.services, index);
}

static __always_inline u32 sport_class(const struct stage s, struct packet *p)
{
	if (p->fragment == LATER)
		return s.cfg->sport_fragment;
	if (p->protocol != TCP && p->protocol != UDP && p->protocol != SCTP)
		return s.cfg->sport_none;
	return get16(s.pages, s.cfg->at.sports, SPORTS_BLOCKS + port_block(s.cfg->sport_blocks, 1, 0, p->sport));
}

#endif
