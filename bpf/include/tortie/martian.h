/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/* The host's own addresses, and those that no packet from outside can have. model/martian.py says the same in Python; the
 * differential test holds the two together. */
#ifndef TORTIE_MARTIAN_H
#define TORTIE_MARTIAN_H

#include "packet.h"

/* The host's own addresses and IPv4 broadcast addresses, in host order, IPv4 in word 0: enum local_kind. Agent writes. What is not here is
 * looked up in the kernel's routes: an address that the agent has not heard of yet is protected all the same. */
struct local_key { u32 version, address[4]; };
enum local_kind { LOCAL_UNICAST = 1, LOCAL_BROADCAST };

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__uint(max_entries, 1);
	__type(key, struct local_key);
	__type(value, enum local_kind);
} local SEC(".maps");

static __always_inline enum local_kind *local_of(u32 version, const u32 *address)
{
	struct local_key key = { .version = version, .address = { address[0] } };

	if (version == 6) {
		key.address[1] = address[1];
		key.address[2] = address[2];
		key.address[3] = address[3];
	}
	return bpf_map_lookup_elem(&local, &key);
}

static __always_inline bool is_local(u32 version, const u32 *address)
{
	return local_of(version, address);
}

/* Of an IPv4 network of this host. */
static __always_inline bool is_broadcast(const u32 *address)
{
	enum local_kind *kind = local_of(4, address);

	return kind && *kind == LOCAL_BROADCAST;
}

/* Of IPv6; the host's own address is looked up. Global: verified once. */
__noinline int is_martian6(void)
{
	struct scratch *c = scratch_get();
	u32 *s, *d;

	if (!c)
		return 1;
	s = c->packet.source;
	d = c->packet.destination;
	if (s[0] >> 24 == 255 || (!(d[0] | d[1] | d[2]) && d[3] == 1))
		return 1;
	if (!(s[0] | s[1])) {
		if (s[2] == 0xffff || (!s[2] && s[3] == 1))
			return 1;            /* ::ffff:0:0/96 is IPv4 in programs, and on no wire */
		if (!(s[2] | s[3]))
			return d[0] >> 24 != 255;
	}
	return is_local(6, s) != 0;
}

/* Whether nobody sends packets from there, or to there. Asked before policy lets in what belongs to no connection. */
static __always_inline bool is_martian(const struct packet *p)
{
	u32 s = p->source[0], d = p->destination[0];

	if (p->version == 6)
		return is_martian6();
	if (s >> 24 == 127 || d >> 24 == 127 || s >> 28 == 14 || s == ~0u)
		return true;
	return !s && d >> 28 != 14 && d != ~0u;
}

#endif
