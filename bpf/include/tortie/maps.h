/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/* The memory of generations, and what all of them share.
 *
 *     lane (a number for each interface and direction; its root has it) -> lanes -> pages of the newest generation
 *                                                        -> lane_counts -> where it counts: words in `counts`
 *
 * A generation is one array of pages: struct config, then its tables. Lanes whose policy is the same share it. User space
 * (dataplane/ebpf/generation.py) fills it through mmap before it puts it into `lanes`; afterwards it only adds host
 * members (tables.c, "in place"). The programs read, and count. So a change of policy loads no program: the one there is
 * finds other pages. A packet looks into `lanes` once and goes on with what it found; functions that are verified by
 * themselves look again, and tell where they find newer ones: one packet never meets parts of two generations. */
#ifndef TORTIE_MAPS_H
#define TORTIE_MAPS_H

#include "config.h"
#include "lanes.h"
#include "packet.h"

struct block { u32 v[256]; };                       /* trie: class, or 1 << 31 | index of the next block */
struct bucket4 { u64 entry[8]; };                   /* class + 1 << 32 | address; 0 is empty; filled from the front */
struct bucket6 { u32 word[4]; u64 key[3][2]; };     /* word: 1 << 31 | length << 23 | class; 0 is empty */
struct failsafe_net { u32 list, version; u32 net[4], mask[4], unused[6]; };

/* Only here so that the object's BTF, which user space reads, has these whole: clang leaves out what is behind pointers. */
const volatile struct {
	struct config config;
	struct block block;
	struct bucket4 bucket4;
	struct bucket6 bucket6;
	struct failsafe_net failsafe_net;
} records = {};

/* Where a packet goes on: to this program from its beginning, when a change of policy overtook it, or to the one that
 * answers denials. The agent fills it, and pins it, because a prog array forgets its programs with its last reference. */
enum jump { JUMP_AGAIN, JUMP_ANSWER, JUMPS };

struct {
	__uint(type, BPF_MAP_TYPE_PROG_ARRAY);
	__uint(max_entries, JUMPS);
	__type(key, u32);
	__type(value, u32);
} jumps SEC(".maps");

/* The generation that judges a packet. */
struct generation {
	void *pages;
	const struct config *cfg;
};

/* One stage of it. Only ever a value in registers: the compiler knows every member. */
struct stage {
	void *pages;
	const struct classifier *cfg;
	enum stage_number number;
};

/* Computed, not chosen: where the number is an argument, the verifier goes one way for all stages. It has to know that
 * the number is one of theirs. */
static __always_inline struct stage stage_of(const struct generation g, enum stage_number number)
{
	return (struct stage){ g.pages, (const void *)g.cfg + STAGE_AT(number), number };
}

/* The same where the number is an argument, and known to be less than STAGES. The verifier of 5.10 forgets what it knew of a
 * number that was on the stack meanwhile, so the mask has to stand where the place is computed. */
static __always_inline struct stage stage_given(const struct generation g, u32 number)
{
	asm volatile("" : "+r"(number));
	return stage_of(g, number & (STAGES - 1));
}

_Static_assert(!(STAGES & (STAGES - 1)), "stage_given masks");

/* Protocol, ports and flags of first fragments, for the later ones. Written for first fragments only, so its price is theirs. */
struct fragment_key { u32 source[4], destination[4], id, version, lane; };
struct fragment_ports { u16 protocol, sport, dport, icmp_id; u32 tcp_flags, is_sctp_init; };

struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 16384);
	__type(key, struct fragment_key);
	__type(value, struct fragment_ports);
} fragments SEC(".maps");

/* struct log_event of packets that met a Log rule, on every interface; the agent reads. Full: the event is lost and counted. */
struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, 1 << 16);
} events SEC(".maps");

/* The element that begins there; SIZE is a power of two, and elements lie at multiples of their size. NULL means a place
 * outside the memory, which tables.c never makes; what callers take instead is the answer of "no rule looks at this". The
 * verifier wants the test. */
#define ELEMENT(PAGES, OFFSET, SIZE) ({ \
	u32 offset_ = (OFFSET), key_ = offset_ >> PAGE_SHIFT; \
	struct page *page_ = bpf_map_lookup_elem(PAGES, &key_); \
	page_ ? (void *)&page_->bytes[offset_ & (PAGE_MASK & ~((SIZE) - 1))] : NULL; \
})

static __always_inline u32 get32(void *pages, u32 place, u32 index)
{
	u32 *v = ELEMENT(pages, place + index * 4, 4);

	return v ? *v : 0;
}

static __always_inline u32 get16(void *pages, u32 place, u32 index)
{
	u16 *v = ELEMENT(pages, place + index * 2, 2);

	return v ? *v : 0;
}

static __always_inline u32 get8(void *pages, u32 place, u32 index)
{
	u8 *v = ELEMENT(pages, place + index, 1);

	return v ? *v : 0;
}

/* Where a port's element is among the blocks of 256 ports, each of which is kept once, as most ports are like their
 * neighbours. `blocks`: a number for each row and high byte. */
static __always_inline u32 port_block(const u16 *blocks, u32 rows, u32 row, u32 port)
{
	u32 index = row << 8 | (port >> 8 & 255);

	asm volatile("" : "+r"(index));
	return index < rows << 8 ? blocks[index] << 8 | (port & 255) : 0;
}

/* False: this lane has no generation, which is so only where others took it out of `lanes`. */
static __always_inline bool generation_newest(const struct scratch *c, struct generation *g)
{
	u32 lane = c->lane, first = 0;

	g->pages = bpf_map_lookup_elem(&lanes, &lane);
	if (!g->pages)
		return false;
	g->cfg = bpf_map_lookup_elem(g->pages, &first);
	return g->cfg;
}

/* Where a packet begins. */
static __always_inline bool generation_begin(struct scratch *c, struct generation *g)
{
	if (!generation_newest(c, g))
		return false;
	c->generation = g->cfg->generation;
	return true;
}

/* The same one, in a function that is verified by itself. False: a newer one came meanwhile. Its classes, lists and counters
 * have other numbers, so nothing of what was found so far holds: the packet is judged again (verdict_of). */
static __always_inline bool generation_get(struct scratch *c, struct generation *g)
{
	if (generation_newest(c, g) && g->cfg->generation == c->generation)
		return true;
	c->generation = 0;           /* no map has that id */
	return false;
}

static __always_inline bool is_overtaken(const struct scratch *c)
{
	return !c->generation;
}

/* The lane has words before it has a generation; where others took them away, nothing is counted. The keys are not on the
 * stack, of which the deepest calls have none left. */
static __always_inline void count(struct scratch *c, const struct generation g, u32 id)
{
	struct lane_counts *where = bpf_map_lookup_elem(&lane_counts, &c->lane);
	void *chunk;
	u64 *counter;
	u32 at;

	if (!where)
		return;
	at = where->begin[g.cfg->parity & 1] + bpf_get_smp_processor_id() * g.cfg->counters_stride + id;
	c->chunk = at >> CHUNK_SHIFT;
	c->counter = (at & (CHUNK_WORDS - 1)) + CHUNK_HEAD;
	chunk = bpf_map_lookup_elem(&counts, &c->chunk);
	counter = chunk ? bpf_map_lookup_elem(chunk, &c->counter) : NULL;
	if (counter)
		++*counter;
}

#endif
