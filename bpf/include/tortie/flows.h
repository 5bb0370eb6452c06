/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/* The connection table: which flow a packet belongs to, and how a flow ages. model/conntrack.py says the same in Python;
 * the differential test holds the two together.
 *
 *     allowed packet without a flow ─▶ opening (LRU: pressure evicts here) ─ both ends confirmed ─▶ flows (never evicted)
 *                                         ▲                                                           │
 *                                         └────────────── closed, the last word is ours ──────────────┤
 *                                                 gone ◀── closed, and the peer acknowledged it ──────┘
 *
 * So a flood of new flows pushes out other new and closed ones, and an established one only ever ages. The maps belong
 * to the host, not to a generation: every interface and direction uses the same ones, pinned by the agent, which also
 * takes out what has expired. A dead agent means that expired flows stay in `flows` and count as absent. */
#ifndef TORTIE_FLOWS_H
#define TORTIE_FLOWS_H

#include "maps.h"

#define CLOCK_SHIFT 26           /* the coarse clock's unit: 2^26 ns, 67 ms */

/* Bytes that one end may be ahead of what the other has acknowledged, so that a stranger who forges packets does not
 * move the window in which a reset is believed. */
#define MOST_IN_FLIGHT (1u << 24)

/* Bytes that the answer to an acknowledgement may be ahead of it, for it to confirm a flow. */
#define MOST_UNCONFIRMED (1u << 16)

enum flow_state { FLOW_OPENING, FLOW_ESTABLISHED, FLOW_CLOSED, FLOW_RESET };

enum flow_flag {
	FLOW_OPENER = 1,         /* the end that opened it is the higher one in the key */
	FLOW_OUTBOUND = 2,       /* it was opened by a packet that left */
	FLOW_ANSWERED = 4,
	FLOW_FIN = 8,            /* << end: that end has sent a FIN */
	FLOW_NEXT = 32,          /* << end: next[end] is known */
	FLOW_ACKED = 128,        /* << end: acked[end] is known */
	FLOW_LEFT = 512,         /* it was opened by a packet that arrived, and policy let that leave */
};

/* Programs write; the agent reads, deletes, and adds what existed before it came. */
struct flow {
	u32 seen;                /* coarse clock of the last packet; of a closed flow, of its end */
	u32 ifindex;             /* where it was opened */
	enum flow_state state;
	enum flow_flag flags;
	u32 next[2];             /* by end: the sequence number after the highest one it has sent */
	u32 acked[2];            /* by end: the last acknowledgement it has sent */
};

#define FLOWS(NAME, TYPE, FLAGS, KEY) struct { \
	__uint(type, TYPE); \
	__uint(map_flags, FLAGS); \
	__uint(max_entries, 1); \
	__type(key, struct KEY); \
	__type(value, struct flow); \
} NAME SEC(".maps")

FLOWS(flows4, BPF_MAP_TYPE_HASH, BPF_F_NO_PREALLOC, flow_key4);
FLOWS(flows6, BPF_MAP_TYPE_HASH, BPF_F_NO_PREALLOC, flow_key6);
FLOWS(opening4, BPF_MAP_TYPE_LRU_HASH, 0, flow_key4);
FLOWS(opening6, BPF_MAP_TYPE_LRU_HASH, 0, flow_key6);

/* jiffies is one load; the real clock is read once for each of them. */
static __always_inline u32 now_of(struct scratch *c)
{
	u64 jiffies = bpf_jiffies64();

	if (jiffies != c->jiffies) {
		c->jiffies = jiffies;
		c->now = bpf_ktime_get_ns() >> CLOCK_SHIFT;
	}
	return c->now;
}

/* RFC 792, RFC 4443: what asks, what answers, and what carries the start of another packet. */
static __always_inline bool is_request(u32 protocol, u32 type)
{
	return protocol == ICMP ? type == 8 || type == 13 || type == 15 || type == 17 : type == 128 || type == 139;
}

static __always_inline bool is_reply(u32 protocol, u32 type)
{
	return protocol == ICMP ? type == 0 || type == 14 || type == 16 || type == 18 : type == 129 || type == 140;
}

static __always_inline bool is_error(const struct packet *p)
{
	u32 type = p->dport >> 8;

	if (p->fragment == LATER)
		return false;
	if (p->protocol == ICMP)     /* of the other family it is nothing that Linux reads */
		return p->version == 4 && (type == 3 || type == 4 || type == 5 || type == 11 || type == 12);
	return p->protocol == ICMPV6 && p->version == 6 && (type < 128 || type == 137);
}

static __always_inline bool has_ports(u32 protocol)
{
	return protocol == TCP || protocol == UDP || protocol == SCTP;
}

static __always_inline bool is_icmp(u32 protocol)
{
	return protocol == ICMP || protocol == ICMPV6;
}

/* What a reply answers: the type of an echo, or the one below its own. */
static __always_inline u32 asked_by(u32 protocol, u32 type)
{
	return !is_reply(protocol, type) ? type : protocol == ICMP && !type ? 8 : type - 1;
}

/* Whether the sender is the higher end. */
static __always_inline bool is_higher(const struct packet *p, u32 sport, u32 dport)
{
	u64 source, destination;

	if (p->version == 4)         /* one comparison for address and port */
		return ((u64)p->source[0] << 16 | sport) > ((u64)p->destination[0] << 16 | dport);
	source = (u64)p->source[0] << 32 | p->source[1];
	destination = (u64)p->destination[0] << 32 | p->destination[1];
	if (source != destination)
		return source > destination;
	source = (u64)p->source[2] << 32 | p->source[3];
	destination = (u64)p->destination[2] << 32 | p->destination[3];
	return source != destination ? source > destination : sport > dport;
}

/* Two words at once: the kernel compares keys by 8 bytes, and waits for what was stored by 4. */
static __always_inline void write_key(struct scratch *c, const struct packet *p, bool swap, u32 a_port, u32 b_port)
{
	const u32 *a = swap ? p->destination : p->source, *b = swap ? p->source : p->destination;
	u64 rest = a_port | b_port << 16 | (u64)p->protocol << 32;

	c->end = swap;
	if (p->version == 4) {
		c->key_words[0] = a[0] | (u64)b[0] << 32;
		c->key_words[1] = rest;
	} else {
		c->key_words[0] = a[0] | (u64)a[1] << 32;
		c->key_words[1] = a[2] | (u64)a[3] << 32;
		c->key_words[2] = b[0] | (u64)b[1] << 32;
		c->key_words[3] = b[2] | (u64)b[3] << 32;
		c->key_words[4] = rest;
	}
}

/* Writes the packet's key and end into scratch. False: it cannot be in a flow, or does not show its ports. The lower
 * end of a key comes first, so that both directions find the same flow. Of ICMP it is the end that asks, and the ports are
 * the identifier and what is asked: who may send echo requests may not ask for the time with the same identifier. */
static __always_inline bool make_key(struct scratch *c, const struct packet *p)
{
	u32 a_port = 0, b_port = 0;
	bool swap;

	if (is_icmp(p->protocol)) {
		swap = is_reply(p->protocol, p->dport >> 8);
		if (p->fragment == LATER || (!swap && !is_request(p->protocol, p->dport >> 8)))
			return false;
		a_port = p->icmp_id;
		b_port = asked_by(p->protocol, p->dport >> 8);
	} else {
		if (has_ports(p->protocol)) {
			if (p->fragment == LATER)
				return false;
			a_port = p->sport;
			b_port = p->dport;
		}
		swap = is_higher(p, a_port, b_port);
		if (swap) {
			u32 port = a_port;

			a_port = b_port;
			b_port = port;
		}
	}
	write_key(c, p, swap, a_port, b_port);
	return true;
}

static __always_inline u32 timeout_of(const struct config *cfg, u32 protocol, u32 state)
{
	if (protocol == TCP)
		return cfg->timeouts.tcp[state & 3];
	return protocol == UDP ? cfg->timeouts.udp : is_icmp(protocol) ? cfg->timeouts.icmp : cfg->timeouts.generic;
}

/* The entries of the key in scratch. */
static __always_inline struct flow *established_of(struct scratch *c, u32 version)
{
	struct flow *f;

	if (version == 4) {
		f = bpf_map_lookup_elem(&flows4, &c->key4);
		keep_apart(f, "flows4");
	} else {
		f = bpf_map_lookup_elem(&flows6, &c->key6);
		keep_apart(f, "flows6");
	}
	return f;
}

static __always_inline struct flow *opening_of(struct scratch *c, u32 version)
{
	struct flow *f;

	if (version == 4) {
		f = bpf_map_lookup_elem(&opening4, &c->key4);
		keep_apart(f, "opening4");
	} else {
		f = bpf_map_lookup_elem(&opening6, &c->key6);
		keep_apart(f, "opening6");
	}
	return f;
}

/* The flow of the key in scratch, unless it has expired. */
static __always_inline struct flow *flow_live(struct scratch *c, const struct config *cfg, u32 version, u32 protocol)
{
	struct flow *f;

	c->is_opening = 0;
	f = established_of(c, version);
	if (!f) {
		c->is_opening = 1;
		f = opening_of(c, version);
	}
	/* another CPU's clock may be a unit ahead */
	if (!f || (int)(now_of(c) - f->seen) > (int)timeout_of(cfg, protocol, f->state))
		return NULL;
	return f;
}

static __always_inline void unstored(struct scratch *c)
{
	struct generation g;

	if (generation_newest(c, &g))
		count(c, g, REASON_UNSTORED);
}

/* Stores a flow that the packet in scratch opens, under the key in scratch. Global: verified once. */
__noinline int flow_open(u32 ifindex)
{
	struct scratch *c = scratch_get();
	struct flow f = {};
	long failed;

	if (!c)
		return 0;
	f.seen = now_of(c);
	f.ifindex = ifindex;
	f.flags = (c->end ? FLOW_OPENER : 0) | (IS_EGRESS ? FLOW_OUTBOUND : 0);
	if (c->packet.protocol == TCP && c->packet.fragment == WHOLE) {
		u32 next = c->packet.sequence + c->packet.payload + !!(c->packet.tcp_flags & TCP_SYN);
		u32 acked = c->packet.tcp_flags & TCP_ACK ? c->packet.acknowledgement : 0;

		/* both of them, because the verifier lets nobody index the stack */
		f.next[0] = c->end ? 0 : next;
		f.next[1] = c->end ? next : 0;
		f.acked[0] = c->end ? 0 : acked;
		f.acked[1] = c->end ? acked : 0;
		f.flags |= FLOW_NEXT << (c->end & 1);
		if (c->packet.tcp_flags & TCP_ACK)
			f.flags |= FLOW_ACKED << (c->end & 1);
	}
	if (c->packet.version == 4) {
		bpf_map_delete_elem(&flows4, &c->key4);      /* one that has expired or closed */
		failed = bpf_map_update_elem(&opening4, &c->key4, &f, BPF_ANY);
		keep_apart(failed, "opening4");
	} else {
		bpf_map_delete_elem(&flows6, &c->key6);
		failed = bpf_map_update_elem(&opening6, &c->key6, &f, BPF_ANY);
	}
	if (failed)
		unstored(c);
	return 0;
}

/* Moves a flow between the maps as its new state asks: established and assured ones to `flows`, closed ones back to
 * `opening`, unless this host has sent the last FIN: then the flow is gone with the next packet. Where `flows` is full it
 * stays where it is, and pressure may evict it. Global: verified once. */
__noinline int flow_move(u32 state)
{
	struct scratch *c = scratch_get();
	struct flow *f, copy;
	long failed;

	if (!c)
		return 0;
	f = c->is_opening ? opening_of(c, c->packet.version) : established_of(c, c->packet.version);
	if (!f)
		return 0;            /* evicted meanwhile */
	f->state = state;
	if (c->is_opening != (state == FLOW_ESTABLISHED) || (IS_EGRESS && state == FLOW_CLOSED))
		return 0;
	copy = *f;
	if (c->packet.version == 4) {
		if (c->is_opening) {
			failed = bpf_map_update_elem(&flows4, &c->key4, &copy, BPF_ANY);
			keep_apart(failed, "flows4");
			if (!failed)
				bpf_map_delete_elem(&opening4, &c->key4);
		} else {
			failed = bpf_map_update_elem(&opening4, &c->key4, &copy, BPF_ANY);
			bpf_map_delete_elem(&flows4, &c->key4);
		}
	} else {
		if (c->is_opening) {
			failed = bpf_map_update_elem(&flows6, &c->key6, &copy, BPF_ANY);
			if (!failed)
				bpf_map_delete_elem(&opening6, &c->key6);
		} else {
			failed = bpf_map_update_elem(&opening6, &c->key6, &copy, BPF_ANY);
			bpf_map_delete_elem(&flows6, &c->key6);
		}
	}
	if (failed)
		unstored(c);
	return 0;
}

static __always_inline bool after_or_at(u32 a, u32 b)
{
	return (int)(a - b) >= 0;
}

/* Whether a reset can be genuine: between what the other end has acknowledged and what this one has sent (RFC 5961
 * section 3); or the refusal of the SYN that opened the flow. */
static __always_inline bool reset_fits(const struct flow *f, const struct packet *p, u32 end)
{
	u32 other = end ^ 1;

	if (p->fragment != WHOLE)    /* sequence numbers are not remembered for later fragments */
		return false;
	if (f->flags & FLOW_NEXT << end && f->flags & FLOW_ACKED << other)
		return p->sequence - f->acked[other & 1] <= MOST_IN_FLIGHT && after_or_at(f->next[end & 1], p->sequence);
	return !(f->flags & FLOW_ANSWERED) && end != (f->flags & FLOW_OPENER) && p->tcp_flags & TCP_ACK &&
	       f->flags & FLOW_NEXT << other && p->acknowledgement == f->next[other & 1];
}

/* Not further ahead of what the other end has acknowledged than a stranger's guess would be. */
static __always_inline bool is_in_flight(const struct flow *f, u32 after, u32 end)
{
	u32 other = end ^ 1;

	return !(f->flags & FLOW_ACKED << other) || after - f->acked[other & 1] <= MOST_IN_FLIGHT;
}

/* Of a whole TCP packet. */
static __always_inline void note_sequence(struct flow *f, const struct packet *p, u32 end)
{
	u32 after = p->sequence + p->payload + !!(p->tcp_flags & TCP_SYN) + !!(p->tcp_flags & TCP_FIN), flags = f->flags;

	if (p->tcp_flags & TCP_FIN && is_in_flight(f, after, end))
		flags |= FLOW_FIN << end;
	if (!(flags & FLOW_NEXT << end) || (after != f->next[end & 1] && after_or_at(after, f->next[end & 1]))) {
		if (is_in_flight(f, after, end)) {
			f->next[end & 1] = after;
			flags |= FLOW_NEXT << end;
		}
	}
	if (p->tcp_flags & TCP_ACK) {
		if (f->acked[end & 1] != p->acknowledgement)
			f->acked[end & 1] = p->acknowledgement;
		flags |= FLOW_ACKED << end;
	}
	if (flags != f->flags)
		f->flags = flags;
}

/* Whether the opener has seen an answer. Whoever forges its address and opens flows cannot know what to acknowledge: else
 * two blind packets for each would fill the map from which nothing is evicted. Other protocols have nothing to ask for. */
static __always_inline bool confirms(const struct flow *f, const struct packet *p, u32 end)
{
	u32 other = end ^ 1;

	if (p->protocol != TCP)
		return true;
	return p->fragment == WHOLE && !(p->tcp_flags & TCP_SYN) && f->flags & FLOW_NEXT << other &&
	       f->next[other & 1] - p->acknowledgement <= MOST_UNCONFIRMED;
}

/* Whether the peer acknowledges the FIN that closed the flow, and has nothing more to say: nothing can follow. */
static __always_inline bool is_last_word(const struct flow *f, const struct packet *p, u32 end)
{
	u32 other = end ^ 1, known = FLOW_NEXT * 3 | FLOW_ACKED << other;

	return !IS_EGRESS && p->protocol == TCP && p->fragment == WHOLE &&
	       (p->tcp_flags & (TCP_FIN | TCP_SYN | TCP_RST | TCP_ACK)) == TCP_ACK && (f->flags & known) == known &&
	       p->acknowledgement == f->next[other & 1] && f->acked[other & 1] == f->next[end & 1];
}

/* Whether policy here has not judged whoever sends this, though the flow is known: its first packet was judged where it
 * arrived, and nothing says that it left. Leaving, that is about the opener; arriving, about who answers what nobody let
 * out. An answer that leaves again ends the question: the first packet took a way where no program is. */
static __always_inline bool is_unjudged(const struct flow *f, u32 end)
{
	return !(f->flags & (FLOW_OUTBOUND | FLOW_ANSWERED | FLOW_LEFT)) && (end == (f->flags & FLOW_OPENER)) == IS_EGRESS;
}

/* Forgets the flow of the key in scratch. Global: verified once. */
__noinline int flow_forget(u32 is_opening)
{
	struct scratch *c = scratch_get();

	if (!c)
		return 0;
	if (c->packet.version == 4) {
		if (is_opening)
			bpf_map_delete_elem(&opening4, &c->key4);
		else
			bpf_map_delete_elem(&flows4, &c->key4);
	} else {
		if (is_opening)
			bpf_map_delete_elem(&opening6, &c->key6);
		else
			bpf_map_delete_elem(&flows6, &c->key6);
	}
	return 0;
}

/* The next packet of a flow. Two CPUs may do this at once for the two directions: what one of them loses, the next
 * packet brings again. */
static __always_inline void flow_touch(struct scratch *c, struct flow *f)
{
	struct packet *p = &c->packet;
	u32 end = c->end & 1, state = f->state;

	if (p->protocol == TCP && p->tcp_flags & TCP_RST) {
		if (state < FLOW_CLOSED && reset_fits(f, p, end)) {
			f->seen = now_of(c);
			flow_move(FLOW_RESET);
		}
		return;
	}
	if (state >= FLOW_CLOSED) {
		if (state == FLOW_CLOSED && is_last_word(f, p, end))
			flow_forget(c->is_opening);
		return;
	}
	if (f->seen != c->now)
		f->seen = c->now;
	if (p->protocol == TCP && p->fragment == WHOLE)
		note_sequence(f, p, end);
	if (end != (f->flags & FLOW_OPENER)) {
		if (!(f->flags & FLOW_ANSWERED))
			f->flags |= FLOW_ANSWERED;
	} else if (state == FLOW_OPENING && f->flags & FLOW_ANSWERED && confirms(f, p, end)) {
		state = FLOW_ESTABLISHED;
	}
	if (p->protocol == TCP && p->tcp_flags & TCP_FIN && (f->flags & (FLOW_FIN * 3)) == FLOW_FIN * 3)
		state = FLOW_CLOSED;
	if (state != f->state)
		flow_move(state);
}

/* Nearly every packet there is: TCP that neither begins nor ends, of an established flow. What `tracked` would do with it,
 * without its choices; IPv4's key never leaves the registers and the stack. */
static __always_inline bool flow_quick(struct scratch *c, const struct config *cfg)
{
	struct packet *p = &c->packet;
	struct flow *f;
	u32 now, end;

	if (p->version == 4) {
		u64 source = (u64)p->source[0] << 16 | p->sport, destination = (u64)p->destination[0] << 16 | p->dport;
		u64 low, high;

		end = source > destination;
		low = end ? destination : source;
		high = end ? source : destination;
		struct flow_key4 key = { .a = low >> 16, .b = high >> 16, .a_port = low, .b_port = high, .protocol = TCP };

		f = bpf_map_lookup_elem(&flows4, &key);
		keep_apart(f, "quick4");
	} else {
		end = is_higher(p, p->sport, p->dport);
		write_key(c, p, end, end ? p->dport : p->sport, end ? p->sport : p->dport);
		f = bpf_map_lookup_elem(&flows6, &c->key6);
		keep_apart(f, "quick6");
	}
	now = now_of(c);
	if (!f || f->state != FLOW_ESTABLISHED || (int)(now - f->seen) > (int)cfg->timeouts.tcp[FLOW_ESTABLISHED])
		return false;
	if (f->seen != now)
		f->seen = now;
	note_sequence(f, p, end);
	return true;
}

#endif
