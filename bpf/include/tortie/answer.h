/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/* A denied packet becomes the frame that tells its sender: a TCP reset, or an ICMP error "port unreachable", from whom the
 * packet was for. A program of its own, to which the policy program jumps: it has the stack to itself, and who is not
 * answered does not pay for it.
 *
 *   denied ─▶ may it be answered at all? ─▶ of errors: not too many? ─▶ write the answer over the packet ─▶ send it
 *
 * Which packets, and with what: RFC 9293 section 3.10.7.1 (resets), RFC 1122 section 3.2.2, RFC 1812 section 4.3.2 and
 * RFC 4443 section 2.4 (errors). An error quotes the packet, so it is larger by two headers: hence the limits. A reset
 * never is larger than what it answers.
 *
 * Who includes this gives, for its kind of frame: whole_bytes and frame_bytes (what of it can be
 * quoted), sums_later, trim, grow, put. */
#ifndef TORTIE_ANSWER_H
#define TORTIE_ANSWER_H

#include "told.h"
#include "tracked.h"

#define HOP_LIMIT 64
#define MOST4 576                /* bytes of an ICMP error: RFC 1812 section 4.3.2.3 */
#define MOST6 1280               /* RFC 4443 section 2.4 (c) */
#define ERROR4 28                /* bytes of the headers in front of what it quotes */
#define ERROR6 48
#define L2_BYTES 22              /* Ethernet with two tags */

/* ICMP errors a second, and how many at once: of the host, and to one remote end, as Linux limits its own
 * (icmp_msgs_per_sec, icmp_ratelimit). Not those to processes of this host: they concern nobody else. */
#define HOST_INTERVAL_NS 1000000ull
#define HOST_BURST 50
#define REMOTE_INTERVAL_NS 1000000000ull
#define REMOTE_BURST 6

/* When the next error is due if they come evenly. Programs write and read; two CPUs may both take the last one of a burst. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, u32);
	__type(value, u64);
} host_limit SEC(".maps");

/* An IPv4 address, or the first 64 bits of an IPv6 one: who has one of these has all. */
struct remote_key { u32 version, address[2]; };

struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 4096);
	__type(key, struct remote_key);
	__type(value, u64);
} remote_limits SEC(".maps");

static __always_inline bool is_over(u64 due, u64 now, u64 interval, u32 burst)
{
	return (long long)(due - now) > (long long)(interval * (burst - 1));
}

static __always_inline void spend(u64 *due, u64 now, u64 interval)
{
	if (*due < now)
		*due = now + interval;
	else
		__sync_fetch_and_add(due, interval);
}

/* Whether an error about the packet in scratch would be one too many; else it is counted. Global: verified once. */
__noinline int is_over_limit(void)
{
	struct scratch *c = scratch_get();
	struct remote_key key = {};
	u64 now = bpf_ktime_get_ns(), *host, *remote, first;
	u32 zero = 0;

	host = bpf_map_lookup_elem(&host_limit, &zero);
	if (!c || !host || is_over(*host, now, HOST_INTERVAL_NS, HOST_BURST))
		return 1;
	key.version = c->packet.version;
	key.address[0] = c->packet.source[0];
	if (c->packet.version == 6)
		key.address[1] = c->packet.source[1];
	remote = bpf_map_lookup_elem(&remote_limits, &key);
	if (!remote) {               /* nobody was told of anything there lately */
		first = now + REMOTE_INTERVAL_NS;
		bpf_map_update_elem(&remote_limits, &key, &first, BPF_ANY);
	} else if (is_over(*remote, now, REMOTE_INTERVAL_NS, REMOTE_BURST)) {
		return 1;
	} else {
		spend(remote, now, REMOTE_INTERVAL_NS);
	}
	spend(host, now, HOST_INTERVAL_NS);
	return 0;
}

/* An address that stands for one host, and not this one's loopback. */
static __always_inline bool is_one_host(u32 version, const u32 *address)
{
	if (version == 4)
		return address[0] >> 24 && address[0] >> 24 != 127 && address[0] >> 28 < 14;
	return address[0] >> 24 != 0xff && (address[0] | address[1] | address[2] | address[3] >> 1);
}

/* RFC 1071, of words as they are in memory. */
static __always_inline u64 folded(u64 sum)
{
	sum = (sum & 0xffffffff) + (sum >> 32);
	sum = (sum & 0xffff) + (sum >> 16);
	sum = (sum & 0xffff) + (sum >> 16);
	return (sum & 0xffff) + (sum >> 16);
}

static __always_inline u32 checksum(u64 sum)
{
	return ~folded(sum) & 0xffff;
}

/* Whether its sender may be told of the packet in scratch; leaves in scratch where its IP header begins, and how long the
 * datagram is. Global: verified once. */
__noinline int may_be_answered(context_t *ctx)
{
	void *data = (void *)(long)ctx->data, *end = (void *)(long)ctx->data_end;
	struct scratch *c = scratch_get();
	struct packet *p;
	u32 field;
	u8 *h;

	if (!c || data + L2_BYTES > end)
		return 0;
	p = &c->packet;
	/* of a datagram that came in pieces the first one is answered, which has its ports; and nobody of a whole group is */
	if (p->fragment == LATER || !c->offset || *(u8 *)data & 1)
		return 0;
	if (!is_one_host(p->version, p->source) || !is_one_host(p->version, p->destination))
		return 0;
	if (p->version == 4 && is_broadcast(p->destination))
		return 0;
	if (!IS_EGRESS && is_local(p->version, p->source))      /* a lie: it comes from outside */
		return 0;
	c->network = 14;
	if (is_tag(*(u16 *)(data + 12)))
		c->network = is_tag(*(u16 *)(data + 16)) ? 22 : 18;
	forget();
	h = data + (c->network & 31);
	if (p->version == 4) {
		u32 words;
		u64 sum = 0;

		if ((void *)h + 20 > end)
			return 0;
		words = h[0] & 15;
		field = bpf_ntohs(*(u16 *)(h + 2));
		c->datagram = field;
		for (u32 i = 0; i < 15; i++) {
			u32 *word = (void *)h + i * 4;

			if (i >= words)
				break;
			if ((void *)(word + 1) > end)
				return 0;
			sum += *word;
		}
		if (folded(sum) != 0xffff)      /* nobody knows whose it is: RFC 1122 section 3.2.1.2 */
			return 0;
	} else {
		if ((void *)h + 40 > end)
			return 0;
		field = bpf_ntohs(*(u16 *)(h + 4));
		c->datagram = field + 40;
	}
	/* a jumbogram, or a large segment on its way to be cut: nobody says how long it is; or not all of it is there */
	if (!field || c->network + c->datagram > whole_bytes(ctx))
		return 0;
	if (is_icmp(p->protocol))    /* only about what asks or answers: never about errors, nor what routers say */
		return (p->protocol == ICMP) == (p->version == 4) &&
		       (is_request(p->protocol, p->dport >> 8) || is_reply(p->protocol, p->dport >> 8));
	if (p->protocol != TCP)
		return 1;
	forget();
	h = data + (c->offset & MAX_OFFSET);
	/* flags that parse_state did not take are of a header cut short; a reset is never answered with one */
	return (void *)h + 20 <= end && h[13] == (p->tcp_flags & 0xff) && !(p->tcp_flags & TCP_RST) && p->payload >= 0;
}

/* The answer's IP header, back to whom the packet is from; the sum of the pseudo header (RFC 9293 section 3.1, RFC 8200
 * section 8.1). `version` is known to the compiler. `bytes`: what follows. */
static __always_inline u64 write_ip(u32 *w, const struct packet *p, u32 version, u32 protocol, u32 bytes)
{
	u64 sum = 0;

	if (version == 4) {
		w[0] = bpf_htonl(0x45000000 | (20 + bytes));
		w[1] = bpf_htonl(0x00004000);                 /* nobody shall cut it (RFC 6864 section 4.1) */
		w[2] = bpf_htonl(HOP_LIMIT << 24 | protocol << 16);
		w[3] = bpf_htonl(p->destination[0]);
		w[4] = bpf_htonl(p->source[0]);
		sum = (u64)w[3] + w[4];
		w[2] |= checksum(sum + w[0] + w[1] + w[2]) << 16;
	} else {
		w[0] = bpf_htonl(0x60000000);
		w[1] = bpf_htonl(bytes << 16 | protocol << 8 | HOP_LIMIT);
#pragma unroll
		for (int i = 0; i < 4; i++) {
			w[2 + i] = bpf_htonl(p->destination[i]);
			w[6 + i] = bpf_htonl(p->source[i]);
			sum += (u64)w[2 + i] + w[6 + i];
		}
	}
	return sum + bpf_htonl(protocol) + bpf_htonl(bytes);
}

/* The programs that the answer still meets let it pass. */
static __always_inline void tell(struct scratch *c, u32 ports, u32 what, u32 sequence, u32 acknowledgement)
{
	struct told_key key = { .ports = ports, .what = what, .sequence = sequence, .acknowledgement = acknowledgement };
	u32 now = now_of(c);

	told_ends(&key, c->packet.version, c->packet.destination, c->packet.source);
	bpf_map_update_elem(&told, &key, &now, BPF_ANY);
}

/* What is in front of the IP header, back to where it came from. False: cannot be, the packet was parsed. */
static __always_inline bool turned(context_t *ctx, u16 *l2)
{
	u16 *from = (void *)(long)ctx->data;

	if ((void *)from + L2_BYTES > (void *)(long)ctx->data_end)
		return false;
#pragma unroll
	for (int i = 0; i < 3; i++) {
		l2[i] = from[3 + i];
		l2[3 + i] = from[i];
	}
#pragma unroll
	for (int i = 6; i < L2_BYTES / 2; i++)
		l2[i] = from[i];
	return true;
}

/* RFC 9293 section 3.10.7.1. */
static __always_inline bool write_reset(context_t *ctx, struct scratch *c, u32 version, bool is_noted)
{
	const u32 size = version == 4 ? 20 : 40;
	u32 sequence = 0, acknowledgement = 0, flags = TCP_RST, words[15], *t = words + size / 4;
	struct packet *p = &c->packet;
	bool later = sums_later(ctx);
	u16 l2[L2_BYTES / 2];
	u64 pseudo;

	if (p->tcp_flags & TCP_ACK) {
		sequence = p->acknowledgement;
	} else {
		flags |= TCP_ACK;
		acknowledgement = p->sequence + p->payload + !!(p->tcp_flags & TCP_SYN) + !!(p->tcp_flags & TCP_FIN);
	}
	pseudo = write_ip(words, p, version, TCP, 20);
	t[0] = bpf_htonl(p->dport << 16 | p->sport);
	t[1] = bpf_htonl(sequence);
	t[2] = bpf_htonl(acknowledgement);
	t[3] = bpf_htonl(5 << 28 | flags << 16);
	/* where the frame's sender adds the sum, it wants that of the pseudo header, and knows where the header of before was */
	t[4] = later ? folded(pseudo) : checksum(pseudo + t[0] + t[1] + t[2] + t[3]);
	if (later && c->offset != (c->network & 31) + size)
		return false;
	if (is_noted)
		tell(c, p->dport << 16 | p->sport, told_reset(flags), sequence, acknowledgement);
	return turned(ctx, l2) && trim(ctx, c, (c->network & 31) + size + 20) && put(ctx, 0, l2, 12) &&
	       put(ctx, c->network & 31, words, size + 20);
}

/* The sum of everything from there on. */
static __always_inline u64 sum_from(context_t *ctx, u32 at, u32 bytes)
{
	void *from = (void *)(long)ctx->data + at, *end = (void *)(long)ctx->data_end;
	u64 sum = 0;
	u8 *rest;

	for (u32 i = 0; i < MOST6 / 4; i++) {
		u32 *word = from + i * 4;

		if ((void *)(word + 1) > end)
			break;
		sum += *word;
	}
	rest = from + (bytes & 0x7fc);
	for (u32 i = 0; i < 3; i++) {
		if (i >= (bytes & 3) || (void *)(rest + i + 1) > end)
			break;
		sum += (u32)rest[i] << 8 * (i & 1);
	}
	return sum;
}

/* "Port unreachable", RFC 792 and RFC 4443 section 3.1, with as much of the packet as may be. */
static __always_inline bool write_error(context_t *ctx, struct scratch *c, u32 version, bool is_noted)
{
	const u32 size = version == 4 ? ERROR4 : ERROR6, most = (version == 4 ? MOST4 : MOST6) - size, at = size / 4 - 2;
	u32 there = frame_bytes(ctx) - (c->network & 31), quoted = c->datagram, words[12];
	struct packet *p = &c->packet;
	u16 l2[L2_BYTES / 2];
	u64 sum;

	quoted = quoted < there ? quoted : there;
	quoted = quoted < most ? quoted : most;
	if (is_noted)
		tell(c, p->sport << 16 | p->dport, told_error(version == 4 ? 3 << 8 | 3 : 1 << 8 | 4, p->protocol), 0, 0);
	c->datagram = quoted;
	if (!turned(ctx, l2) || !trim(ctx, c, (c->network & 31) + quoted) || !grow(ctx, size))
		return false;
	forget();
	quoted = c->datagram;
	sum = write_ip(words, p, version, version == 4 ? ICMP : ICMPV6, 8 + quoted);
	words[at] = version == 4 ? bpf_htonl(3 << 24 | 3 << 16) : bpf_htonl(1 << 24 | 4 << 16);
	words[at + 1] = 0;
	sum = (version == 4 ? 0 : sum) + words[at] + sum_from(ctx, (c->network & 31) + size, quoted);
	words[at] |= checksum(sum) << 16;
	/* the IP header covers what is too much of the tags */
	return put(ctx, 0, l2, L2_BYTES) && put(ctx, c->network & 31, words, size);
}

/* Whether the frame is the answer now. `is_noted`: it meets programs of ours on its way. */
static __always_inline bool answer(context_t *ctx, struct scratch *c, const struct generation g, bool is_noted)
{
	bool is_reset = c->packet.protocol == TCP, is_four = c->packet.version == 4, is_written;

	if (!may_be_answered(ctx)) {
		count(c, g, REASON_UNANSWERED);
		return false;
	}
	if (!is_reset && (!IS_EGRESS || IS_FORWARDED(ctx)) && is_over_limit()) {
		count(c, g, REASON_ANSWER_LIMIT);
		return false;
	}
	if (is_reset)
		is_written = is_four ? write_reset(ctx, c, 4, is_noted) : write_reset(ctx, c, 6, is_noted);
	else
		is_written = is_four ? write_error(ctx, c, 4, is_noted) : write_error(ctx, c, 6, is_noted);
	count(c, g, is_written ? REASON_ANSWERED : REASON_UNANSWERED);
	return is_written;
}

#endif
