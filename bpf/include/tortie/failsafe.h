/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/* Failsafe ports: one byte for each (list, protocol, port), in blocks, so that they cost the same however many there are. */
#ifndef TORTIE_FAILSAFE_H
#define TORTIE_FAILSAFE_H

#include "maps.h"

#define MAX_FAILSAFE_NETS 256

/* What a failsafe port does for a packet. */
enum failsafe {
	FAILSAFE_NONE,
	FAILSAFE_REPLY,          /* it may be the reply leg of one: untracked policy is not asked, the connection table is */
	FAILSAFE_OPEN,           /* it goes to one */
};

/* Walks the nets of one list; only ports that name a net get here. Global, so verified once. */
__noinline int failsafe_list(u32 list)
{
	struct scratch *c = scratch_get();
	struct generation g;
	u32 *remote;

	if (!c || !generation_get(c, &g))
		return 0;
	remote = IS_EGRESS ? c->packet.destination : c->packet.source;
	for (u32 i = 0; i < MAX_FAILSAFE_NETS && i < g.cfg->failsafe_nets; i++) {
		struct failsafe_net *n = ELEMENT(g.pages, g.cfg->fs_nets + i * sizeof(*n), sizeof(*n));
		u32 differ;

		if (!n)
			return 0;
		if (n->list != list || n->version != c->packet.version)
			continue;
		differ = (remote[0] & n->mask[0]) ^ n->net[0];
		if (n->version == 6)
			differ |= ((remote[1] & n->mask[1]) ^ n->net[1]) | ((remote[2] & n->mask[2]) ^ n->net[2]) |
				  ((remote[3] & n->mask[3]) ^ n->net[3]);
		if (!differ)
			return 1;
	}
	return 0;
}

static __always_inline bool failsafe_port(const struct generation g, u32 row, u32 port)
{
	u32 at = port_block(g.cfg->fs_blocks, 6, row, port), entry;

	if (at < 256)                /* the block of most ports: no failsafe port is in it */
		return false;
	entry = get8(g.pages, g.cfg->fs_ports + FAILSAFE_BLOCKS * 2, at);
	return entry && (entry == 1 || failsafe_list(entry));
}

/* Arriving: the destination port is in the inbound list, or the source port in the outbound one (the reply leg).
 * Leaving: the destination port is in the outbound list; untracked policy, and with it the reply leg, is nft's. */
static __always_inline enum failsafe failsafe(const struct generation g, struct packet *p)
{
	u32 row = p->protocol == TCP ? 0 : p->protocol == UDP ? 1 : p->protocol == SCTP ? 2 : 3;

	if (row == 3 || p->fragment == LATER)
		return FAILSAFE_NONE;
	if (failsafe_port(g, IS_EGRESS ? 3 + row : row, p->dport))
		return FAILSAFE_OPEN;
	return !IS_EGRESS && failsafe_port(g, 3 + row, p->sport) ? FAILSAFE_REPLY : FAILSAFE_NONE;
}

#endif
