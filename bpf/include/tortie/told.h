/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/* Answers to denials that are on their way through this host. They belong to no flow, and none shall be made for them, so
 * the programs that they still meet would deny them: where they leave again, and where they seem to arrive. */
#ifndef TORTIE_TOLD_H
#define TORTIE_TOLD_H

#include "flows.h"

#define TOLD_UNITS 15            /* of the coarse clock: 1 s */

/* One answer as it is read: a reset with its numbers; an error with the ports of the packet that it is about. IPv4 in word 0. */
struct told_key { u32 source[4], destination[4], ports, what, sequence, acknowledgement; };

/* Programs write and read; the value is the coarse clock. Evicted: that answer is denied, and its sender waits in vain. */
struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 4096);
	__type(key, struct told_key);
	__type(value, u32);
} told SEC(".maps");

_Static_assert(sizeof(struct told_key) <= sizeof(((struct scratch *)0)->room), "a key fits");

static __always_inline u32 told_reset(u32 flags)
{
	return TCP << 16 | flags;
}

static __always_inline u32 told_error(u32 type_and_code, u32 protocol)
{
	return 1 << 24 | protocol << 16 | type_and_code;
}

static __always_inline void told_ends(struct told_key *key, u32 version, const u32 *source, const u32 *destination)
{
	key->source[0] = source[0];
	key->destination[0] = destination[0];
	if (version == 6) {
#pragma unroll
		for (int i = 1; i < 4; i++) {
			key->source[i] = source[i];
			key->destination[i] = destination[i];
		}
	}
}

/* Whether the packet in scratch is such an answer; if an error, then about the packet in scratch.inner. Global: verified once. */
__noinline int is_told(u32 is_about_inner)
{
	struct scratch *c = scratch_get();
	struct told_key *key;
	struct packet *p;
	u32 *seen;

	if (!c)
		return 0;
	p = &c->packet;
	key = (struct told_key *)c->room;            /* the stack is deep enough */
	__builtin_memset(key, 0, sizeof(*key));
	if (is_about_inner) {
		if (p->source[0] != c->inner.destination[0] || p->destination[0] != c->inner.source[0])
			return 0;
		told_ends(key, p->version, c->inner.destination, c->inner.source);
		key->ports = c->inner.sport << 16 | c->inner.dport;
		key->what = told_error(p->dport, c->inner.protocol);
	} else {
		told_ends(key, p->version, p->source, p->destination);
		key->ports = p->sport << 16 | p->dport;
		key->what = told_reset(p->tcp_flags);
		key->sequence = p->sequence;
		key->acknowledgement = p->acknowledgement;
	}
	seen = bpf_map_lookup_elem(&told, key);
	return seen && (int)(now_of(c) - *seen) <= TOLD_UNITS;
}

#endif
