/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/* The tables of one generation. User space (dataplane/ebpf/generation.py) sizes and fills them through mmap before the
 * program can run; afterwards it only adds host members (tables.c, "in place"). The program reads.
 *
 * Array elements are rounded up to 8 bytes, so small values are packed into lines and indexed with a mask. */
#ifndef TORTIE_MAPS_H
#define TORTIE_MAPS_H

#include "config.h"
#include "packet.h"

struct line8 { u8 v[64]; };
struct line16 { u16 v[32]; };
struct line32 { u32 v[16]; };
struct line64 { u64 v[64]; };
struct block { u32 v[256]; };                       /* trie: class, or 1 << 31 | index of the next block */
struct bucket4 { u64 entry[8]; };                   /* class + 1 << 32 | address; 0 is empty; filled from the front */
struct bucket6 { u32 word[4]; u64 key[3][2]; };     /* word: 1 << 31 | length << 23 | class; 0 is empty */
struct failsafe_net { u32 list, version; u32 net[4], mask[4]; };

#define TABLE(NAME, VALUE) struct { \
	__uint(type, BPF_MAP_TYPE_ARRAY); \
	__uint(map_flags, BPF_F_MMAPABLE); \
	__uint(max_entries, 1); \
	__type(key, u32); \
	__type(value, VALUE); \
} NAME SEC(".maps")

TABLE(src4_hosts, struct bucket4);
TABLE(src4_nets, struct block);
TABLE(src6, struct bucket6);
TABLE(dst4_hosts, struct bucket4);
TABLE(dst4_nets, struct block);
TABLE(dst6, struct bucket6);
TABLE(services, struct line16);      /* (TCP, UDP, SCTP, ICMP, ICMPv6) << 16 | port, 256 protocols, 256 fragments of them */
TABLE(sports, struct line16);        /* source port; the protocol is in the service class */
TABLE(cells, struct line32);         /* decision words */
TABLE(fold_a, struct line32);        /* source class x destination class -> A */
TABLE(fold_b, struct line32);        /* service class x source port class -> B */
TABLE(bits_src, u64);                /* per class: summary words, then one bit a term */
TABLE(bits_dst, u64);
TABLE(bits_svc, u64);
TABLE(bits_sport, u64);
TABLE(terms, u64);                   /* rule << 32 | start of the next tier << 4 | needs ports << 3 | action */
/* The same for the normal class; a stage that is not asked has no tables. */
TABLE(n_src4_hosts, struct bucket4);
TABLE(n_src4_nets, struct block);
TABLE(n_src6, struct bucket6);
TABLE(n_dst4_hosts, struct bucket4);
TABLE(n_dst4_nets, struct block);
TABLE(n_dst6, struct bucket6);
TABLE(n_services, struct line16);
TABLE(n_sports, struct line16);
TABLE(n_cells, struct line32);
TABLE(n_fold_a, struct line32);
TABLE(n_fold_b, struct line32);
TABLE(n_bits_src, u64);
TABLE(n_bits_dst, u64);
TABLE(n_bits_svc, u64);
TABLE(n_bits_sport, u64);
TABLE(n_terms, u64);
TABLE(fs_ports, struct line8);       /* (inbound, outbound) x (TCP, UDP, SCTP) << 16 | port: 0 no, 1 anyone, n list */
TABLE(fs_nets, struct failsafe_net); /* the lists, cfg.failsafe_nets in all */

/* One stage's tables and constants. Only ever a value in registers: the compiler knows every member. */
struct stage {
	void *src4_hosts, *src4_nets, *src6, *dst4_hosts, *dst4_nets, *dst6, *services, *sports, *cells, *fold_a, *fold_b,
	     *bits_src, *bits_dst, *bits_svc, *bits_sport, *terms;
	const volatile struct classifier *cfg;
};

#define UNTRACKED_STAGE ((struct stage){ \
	&src4_hosts, &src4_nets, &src6, &dst4_hosts, &dst4_nets, &dst6, &services, &sports, &cells, &fold_a, &fold_b, \
	&bits_src, &bits_dst, &bits_svc, &bits_sport, &terms, &cfg.untracked })
#define NORMAL_STAGE ((struct stage){ \
	&n_src4_hosts, &n_src4_nets, &n_src6, &n_dst4_hosts, &n_dst4_nets, &n_dst6, &n_services, &n_sports, &n_cells, \
	&n_fold_a, &n_fold_b, &n_bits_src, &n_bits_dst, &n_bits_svc, &n_bits_sport, &n_terms, &cfg.normal })

/* Packets by reason and by result, 64 to an element: a per-CPU array allocates each element by itself. */
struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, u32);
	__type(value, struct line64);
} counters SEC(".maps");

/* Protocol, ports and flags of first fragments, for the later ones. Written for first fragments only, so its price is theirs. */
struct fragment_key { u32 source[4], destination[4], id, version; };
struct fragment_ports { u16 protocol, sport, dport, icmp_id; u32 tcp_flags, is_sctp_init; };

struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 4096);
	__type(key, struct fragment_key);
	__type(value, struct fragment_ports);
} fragments SEC(".maps");

/* struct log_event of packets that met a Log rule; the agent reads. Full: the event is lost and counted. */
struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, 1 << 16);
} events SEC(".maps");

/* NULL in these three means an index outside the table, which tables.c never makes; class or cell 0 is then the answer
 * of "no rule looks at this", and the verifier wants the test. */
static __always_inline u32 get32(void *map, u32 index)
{
	u32 key = index >> 4;
	struct line32 *line = bpf_map_lookup_elem(map, &key);

	return line ? line->v[index & 15] : 0;
}

static __always_inline u32 get16(void *map, u32 index)
{
	u32 key = index >> 5;
	struct line16 *line = bpf_map_lookup_elem(map, &key);

	return line ? line->v[index & 31] : 0;
}

static __always_inline u32 get8(void *map, u32 index)
{
	u32 key = index >> 6;
	struct line8 *line = bpf_map_lookup_elem(map, &key);

	return line ? line->v[index & 63] : 0;
}

static __always_inline void count(u32 id)
{
	u32 key = id >> 6;
	struct line64 *line = bpf_map_lookup_elem(&counters, &key);

	if (line)
		line->v[id & 63]++;
}

#endif
