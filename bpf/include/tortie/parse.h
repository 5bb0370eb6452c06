/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/* Ethernet, up to two VLAN tags, IPv4 or IPv6 with extension headers, start of the payload -> struct packet.
 * The entry file defines context_t (struct xdp_md or struct __sk_buff) before it includes this. */
#ifndef TORTIE_PARSE_H
#define TORTIE_PARSE_H

#include "config.h"
#include "packet.h"
#include "reasons.h"

#define PARSED 255               /* not a reason: go on */
#define MAX_EXTENSIONS 6
#define MAX_OFFSET 0x3fff
#define MOST_OPTIONS 40          /* bytes of them, behind an IPv4 header */
#define UNSAID (1 << 16)         /* at least one byte more than a length field can say */

/* RFC 8200 section 4: hop-by-hop, routing, fragment, authentication (RFC 4302), destination options */
static __always_inline bool is_extension(u32 header)
{
	return header < 64 && ((1ull << 0 | 1ull << 43 | 1ull << 44 | 1ull << 51 | 1ull << 60) >> header & 1);
}

static __always_inline bool is_tag(u16 ethertype)
{
	return ethertype == bpf_htons(ETH_P_8021Q) || ethertype == bpf_htons(ETH_P_8021AD);
}

static __always_inline bool host_takes_vlan(const struct config *cfg, u32 vid)
{
	u32 byte = vid >> 3;

	/* clang knows that the mask changes nothing and drops it; the verifier of 5.10 does not know */
	asm volatile("" : "+r"(byte));
	return cfg->vlan_count && cfg->vlans[byte & 511] >> (vid & 7) & 1;
}

/* Walks the extension headers from scratch.offset; leaves the upper protocol in packet.protocol and its place in
 * scratch.offset. Global, so that it is verified once by itself (5.10 takes scalars and the context as arguments). */
__noinline enum reason skip_extensions(context_t *ctx)
{
	void *data = (void *)(long)ctx->data, *end = (void *)(long)ctx->data_end;
	struct scratch *c = scratch_get();

	if (!c)
		return REASON_MALFORMED;
	for (int i = 0; i < MAX_EXTENSIONS; i++) {
		u32 header = c->packet.protocol, offset = c->offset & MAX_OFFSET;
		u8 *h = data + offset;

		if (!is_extension(header))
			return PARSED;
		if ((void *)h + 8 > end)
			return REASON_MALFORMED;
		c->packet.protocol = h[0];
		if (header == 44) {      /* fragment header, RFC 8200 section 4.5: 8 bytes, whatever its length field says */
			u16 place = *(u16 *)(h + 2);

			c->packet.fragment_id = *(u32 *)(h + 4);
			c->offset = offset + 8;
			if (place & bpf_htons(0xfff8)) {
				c->packet.fragment = LATER;
				return PARSED;
			}
			if (place & bpf_htons(1))
				c->packet.fragment = FIRST;
		} else if (header == 43 && !h[2] && h[3]) {
			return REASON_SOURCE_ROUTE;      /* of type 0, with addresses to come: deprecated by RFC 5095 */
		} else {
			c->offset = offset + (header == 51 ? (h[1] + 2) * 4 : (h[1] + 1) * 8);
		}
		forget();
	}
	return is_extension(c->packet.protocol) ? REASON_IPV6_EXT : PARSED;
}

/* Walks the options of an IPv4 header from scratch.offset to scratch.to. What Linux takes for broken is so here. The loose and
 * the strict source route are copied into every fragment (RFC 791 section 3.1); RFC 7126 asks to drop both. Global. */
__noinline enum reason skip_options(context_t *ctx)
{
	void *data = (void *)(long)ctx->data, *end = (void *)(long)ctx->data_end;
	struct scratch *c = scratch_get();

	if (!c)
		return REASON_MALFORMED;
	for (int i = 0; i < MOST_OPTIONS; i++) {
		u32 offset = c->offset & MAX_OFFSET, to = c->to;
		u8 *h = data + offset;

		if (offset >= to || (void *)h + 1 > end || !h[0])
			break;
		if (h[0] == 131 || h[0] == 137)
			return REASON_SOURCE_ROUTE;
		if (h[0] == 1) {
			c->offset = offset + 1;
		} else {
			if ((void *)h + 2 > end || h[1] < 2 || offset + h[1] > to)
				return REASON_MALFORMED;
			c->offset = offset + h[1];
		}
		forget();
	}
	c->offset = c->to;
	return PARSED;
}

/* Bytes behind an IP header, from its length field; less than none if that contradicts itself. What follows them in the
 * frame is not the packet's: the kernel cuts it off, and a sender may have written there what is in another fragment.
 * A length of 0 is that of jumbograms (RFC 2675) and of large segments that this host made. */
static __always_inline int payload_of(u16 field, u32 header)
{
	u32 length = bpf_ntohs(field);

	return length ? length - header : UNSAID;
}

/* What only the connection table looks at, of a packet that shows its transport header at scratch.offset. Flags that are
 * not all there are none, which no connection has. Read after untracked policy, so that what that decides does not pay. */
static __always_inline void parse_state(context_t *ctx, struct scratch *c)
{
	void *data = (void *)(long)ctx->data, *end = (void *)(long)ctx->data_end;
	struct packet *p = &c->packet;
	u8 *h = data + (c->offset & MAX_OFFSET);

	p->tcp_flags = 0;
	if (p->protocol == TCP) {
		int length;

		if ((void *)h + 20 > end)
			return;
		length = (h[12] >> 4) * 4;
		/* a first fragment may go without the options */
		if (length < 20 || p->payload < (p->fragment == WHOLE ? length : 20))
			return;
		p->tcp_flags = h[13];
		p->sequence = bpf_ntohl(*(u32 *)(h + 4));
		p->acknowledgement = bpf_ntohl(*(u32 *)(h + 8));
		p->payload -= length;
	} else if (p->protocol == SCTP) {
		p->is_sctp_init = (void *)h + 13 <= end && p->payload > 12 && h[12] == 1;       /* RFC 9260 section 3.2 */
	} else if (p->protocol == ICMP || p->protocol == ICMPV6) {
		p->icmp_id = (void *)h + 6 <= end && p->payload >= 6 ? bpf_ntohs(*(u16 *)(h + 4)) : 0;
	}
}

/* RFC 4890 section 4.4; neighbour and router discovery only with the hop limit of a direct neighbour (RFC 4861) */
static __always_inline bool is_essential(u32 type, u32 hop_limit)
{
	if (type >= 133 && type <= 136)
		return hop_limit == 255;
	return (type >= 130 && type <= 132) || type == 143;
}

/* The VLAN tag that the driver has already taken out of the frame. */
enum outer { NO_TAG, PRIORITY_TAG, TAG, OTHER_DEVICE };

/* PARSED, or the reason that already decides: NOT_IP, VLAN (pass), MALFORMED, SOURCE_ROUTE, IPV6_EXT (drop). */
static __always_inline int parse(context_t *ctx, struct scratch *c, const struct config *cfg, enum outer outer)
{
	void *data = (void *)(long)ctx->data, *end = (void *)(long)ctx->data_end;
	struct packet *p = &c->packet;
	u16 ethertype;
	u8 *h = data + 14;

	if ((void *)h > end)
		return REASON_MALFORMED;
	ethertype = *(u16 *)(data + 12);
	if (is_tag(ethertype)) {
		u32 offset = 18, vid;

		if (data + 18 > end)
			return REASON_MALFORMED;
		vid = bpf_ntohs(*(u16 *)(data + 14)) & 4095;
		if (outer != TAG && host_takes_vlan(cfg, vid))
			return REASON_VLAN;
		ethertype = *(u16 *)(data + 16);
		if (is_tag(ethertype) && outer == NO_TAG) {
			if (data + 22 > end)
				return REASON_MALFORMED;
			/* behind a tag with VLAN id 0 Linux looks for the device of the next one */
			if (!vid && host_takes_vlan(cfg, bpf_ntohs(*(u16 *)(data + 18)) & 4095))
				return REASON_VLAN;
			ethertype = *(u16 *)(data + 20);
			offset = 22;
		}
		/* Linux takes off any number of tags with VLAN id 0, so a third tag would hide the packet from policy. */
		if (is_tag(ethertype))
			return REASON_MALFORMED;
		c->offset = offset;
		forget();
		h = data + (c->offset & 31);
	}
	p->fragment = WHOLE;
	p->fragment_id = 0;
	p->sport = 0;
	p->dport = 0;
	if (ethertype == bpf_htons(ETH_P_IP)) {
		u16 place;
		u32 length;

		if ((void *)h + 20 > end)
			return REASON_MALFORMED;
		length = (h[0] & 15) * 4;
		p->payload = payload_of(*(u16 *)(h + 2), length);
		if (length < 20 || h[0] >> 4 != 4 || (void *)h + length > end || p->payload < 0)
			return REASON_MALFORMED;
		p->version = 4;
		p->protocol = h[9];
		p->source[0] = bpf_ntohl(*(u32 *)(h + 12));
		p->destination[0] = bpf_ntohl(*(u32 *)(h + 16));
		place = *(u16 *)(h + 6);
		if (place & bpf_htons(0x3fff))
			p->fragment_id = *(u16 *)(h + 4) | p->protocol << 16;   /* RFC 791 section 3.2 */
		if (length > 20) {
			int reason;

			c->offset = (void *)h - data + 20;
			c->to = (void *)h - data + length;
			reason = skip_options(ctx);
			if (reason != PARSED)
				return reason;
			data = (void *)(long)ctx->data;
			end = (void *)(long)ctx->data_end;
			h = data + (c->offset & MAX_OFFSET);
		} else {
			h += 20;
		}
		if (place & bpf_htons(0x1fff)) {
			p->fragment = LATER;
			return PARSED;
		}
		if (place & bpf_htons(0x2000))
			p->fragment = FIRST;
	} else if (ethertype == bpf_htons(ETH_P_IPV6)) {
		if ((void *)h + 40 > end || h[0] >> 4 != 6)
			return REASON_MALFORMED;
		p->version = 6;
		p->protocol = h[6];
		p->hop_limit = h[7];
		p->payload = payload_of(*(u16 *)(h + 4), 0);
#pragma unroll
		for (int i = 0; i < 4; i++) {
			p->source[i] = bpf_ntohl(*(u32 *)(h + 8 + 4 * i));
			p->destination[i] = bpf_ntohl(*(u32 *)(h + 24 + 4 * i));
		}
		if (is_extension(h[6])) {
			int reason;

			u32 start = (void *)h - data + 40;

			c->offset = start;
			reason = skip_extensions(ctx);
			if (reason != PARSED)
				return reason;
			p->payload -= c->offset - start;
			if (p->payload < 0)
				return REASON_MALFORMED;
			if (p->fragment == LATER)
				return PARSED;
			data = (void *)(long)ctx->data;
			end = (void *)(long)ctx->data_end;
			h = data + (c->offset & MAX_OFFSET);
			if ((void *)h > end)
				return REASON_MALFORMED;
		} else {
			h += 40;
		}
	} else {
		return REASON_NOT_IP;
	}
	forget();
	if (p->protocol == TCP || p->protocol == UDP || p->protocol == SCTP) {
		if ((void *)h + 8 > end || p->payload < 8)
			return REASON_MALFORMED;
		p->sport = bpf_ntohs(*(u16 *)h);
		p->dport = bpf_ntohs(*(u16 *)(h + 2));
	} else if (p->protocol == ICMP || p->protocol == ICMPV6) {
		if ((void *)h + 4 > end || p->payload < 4)
			return REASON_MALFORMED;
		p->dport = h[0] << 8 | h[1];
	}
	c->offset = (void *)h - data;
	return PARSED;
}

#endif
