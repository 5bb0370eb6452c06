/* SPDX-License-Identifier: Apache-2.0 */
/* The classifier's compiler: rules as conjunctions of sets ("terms") in, flat tables for the BPF programs out.
 *
 *   blocks, sets ──▶ address.c: prefixes ─▶ atom sets ─▶ classes ─▶ hash tables and tries
 *                    service.c: protocols, ports ─────▶ classes ─▶ arrays
 *                    decision.c: combinations of classes ─▶ cells | folded cells | bit vectors, results
 *
 * An *atom* is a set of addresses that rules name as one thing (the nets of a rule, an IP set). Two addresses in the same
 * atoms are in one *class* of a dimension; so are two whose rules are the same. A class is a row of bits, one for each
 * term. Nothing here does I/O or knows the kernel; memory comes from an arena that goes with the tables.
 * The layouts are those of bpf/include/tortie/maps.h. */
#ifndef TORTIE_TABLES_H
#define TORTIE_TABLES_H

#include <setjmp.h>
#include <stddef.h>
#include <stdint.h>
#include "../bpf/include/tortie/decision.h"

typedef uint8_t u8;
typedef uint16_t u16;
typedef uint32_t u32;
typedef uint64_t u64;

#define NONE 0xffffffffu
#define BACKEND_AUTO (-1)

enum side { SOURCE, DESTINATION };
enum list { SOURCE_IN, SOURCE_OUT, DESTINATION_IN, DESTINATION_OUT, LISTS };
enum failure { FAILED_MEMORY = -1, FAILED_TERMS = -2, FAILED_CLASSES = -3, FAILED_STEPS = -4, FAILED_SIZE = -5, FAILED_ROOM = -6 };

#define MAX_TERMS 32768
#define MAX_CELLS (4u << 20)
#define MAX_WORK (64ull << 20)     /* words of bit rows that choosing a faster back end may cost */
#define MAX_TABLE_BYTES (512ull << 20)     /* of one table; of the bit rows together */
#define MAX_CLASSES6 (1u << 23)            /* what fits into a word of the IPv6 table */

/* One conjunction. `version` 0: both. `protocols`: a bit for each of the 256. Spans and lists are in the block's pool:
 * spans as first, last (inclusive), disjoint and ascending; lists as the block's atom numbers. A count of NONE means no
 * constraint. dports of ICMP and ICMPv6 are type << 8 | code. */
struct term {
	u32 rule;                  /* of the block */
	u8 action, version, unused[2];
	u64 protocols[4];
	u32 dports, dports_count, sports, sports_count;
	u32 list[LISTS], list_count[LISTS];
};

struct net4 { u32 address, length, atom; };
struct net6 { u64 high, low; u32 length, atom; };

/* A policy's rules of one direction, compiled once and used in every generation that holds the policy. Atoms 0 to
 * net_atoms - 1 are its own nets, the following ones are IP sets. */
struct block {
	const struct term *terms;
	const u32 *pool;
	const struct net4 *nets4;
	const struct net6 *nets6;
	u32 terms_count, nets4_count, nets6_count, net_atoms, rules_count;
};

/* Interned rows of bits. */
struct rows { u64 *bits, *hashes; u32 *slots; u32 words, count, capacity, mask; };
/* Interned ascending lists of atoms. */
struct lists { u32 *pool, *start, *length, *slots; u32 count, capacity, used, room, mask; };

/* What the compiler found at a prefix; kept, so that a host's atoms are known when one of them changes. */
struct found4 { u32 address, length, atom_set, class; };
struct found6 { u64 high, low; u32 length, atom_set, class, unused; };

/* Hosts whose atoms changed after installation. */
struct change { u64 high, low; u32 version, atom_set; };
struct changes { struct change *slots; u32 count, mask; };

struct dimension {
	enum side side;
	struct rows rows;
	u64 *base[2], base_hash[2];   /* IPv4, IPv6: terms that do not ask for an address here */
	u32 *touch_start, *touch;  /* atom -> terms that name it */
	u32 *class_of[2];          /* atom set -> class */
	u32 class_room;
	u32 used, default4, default6;
	u32 *trie, trie_blocks;
	u64 *hosts4;
	u32 hosts4_bits;           /* log2(buckets); 0: no table */
	u64 *table6;
	u32 table6_bits, table6_seed, hosts6, lengths6_count;
	u8 lengths6[128];
	struct found4 *found4;     /* ascending (address, length) */
	struct found6 *found6;
	u32 found4_count, found6_count;
	struct changes changes;
	u64 *live_hosts4, *live_table6;   /* the maps themselves, once installed */
};

struct result { u32 reason, verdict, first, count; };   /* rules met: chain[first .. first + count) */

struct tables {
	struct arena *arena;
	jmp_buf failed;
	/* input */
	struct term *terms;        /* rule, lists and spans made global */
	u32 terms_count, terms_room, rules_count, tiers_count;
	u32 *pool, pool_used, pool_room;
	u32 *tier_end;             /* per term: first term of the next tier */
	struct net4 *nets4;
	struct net6 *nets6;
	u32 nets4_count, nets4_room, nets6_count, nets6_room, atoms_count;
	/* compiled */
	struct lists atom_sets;
	struct dimension side[2];
	struct rows services, sports, fold_a, fold_b;
	struct rows unknown;       /* terms that hang on a port which a later fragment does not show; row 0 is none */
	u16 *service_table, *sport_table;
	u32 service_words, sport_words;
	u32 uses_sports, sport_none, sport_fragment;
	enum backend backend;
	u32 words, summary_words, row_shift, steps, has_log;   /* row_shift: log2 of the words that a row of bits takes */
	u32 *fold_a_table, *fold_b_table;
	u32 *cells, spare_rows;
	u32 row_cells;             /* cells of one source class */
	u32 *live_cells;
	u64 *live_bits[2];
	struct result *results;
	u32 results_count, results_room, results_limit, *result_slots, results_mask;
	u32 *chain, chain_used, chain_room;
};

/* arena.c */
void *arena_alloc(struct tables *t, size_t bytes);
void *arena_grow(struct tables *t, void *old, size_t old_bytes, size_t new_bytes);
void arena_drop(struct tables *t, void *block);
void arena_free(struct tables *t);
void fail(struct tables *t, enum failure why) __attribute__((noreturn));

/* rows.c */
u64 hash_words(const u64 *words, u32 count);
u64 term_hash(u32 term);
u64 row_hash(const u64 *row, u32 words);
void rows_start(struct tables *t, struct rows *r, u32 words, u32 expected);
u32 rows_intern(struct tables *t, struct rows *r, const u64 *row, u64 hash);
void rows_undo(struct rows *r);
/* The last word of a row of `services` and of `fold_b` is the number of its row in `unknown`. */
static inline u64 *row_at(const struct rows *r, u32 i) { return r->bits + (size_t)i * r->words; }
u32 lists_intern(struct tables *t, struct lists *l, const u32 *items, u32 count);

/* address.c */
void address_compile(struct tables *t, enum side side);
u32 address_class(struct tables *t, enum side side, u32 version, u32 atom_set);
u32 address_atoms(const struct tables *t, enum side side, u32 version, u64 high, u64 low, int hosts_too);
u32 atoms_with(struct tables *t, u32 atom_set, u32 atom);
u32 atoms_without(struct tables *t, u32 atom_set, u32 atom);
int atoms_have(const struct tables *t, u32 atom_set, u32 atom);
void change_note(struct tables *t, enum side side, u32 version, u64 high, u64 low, u32 atom_set);
int hosts4_put(u64 *table, u32 bits, u32 address, u32 class);
int table6_put(u64 *table, u32 bits, u32 seed, u64 high, u64 low, u32 length, u32 class, int has_readers);

/* service.c */
void service_compile(struct tables *t);

/* decision.c */
void decision_compile(struct tables *t, int wanted, u32 spare_bytes);
int decision_extend(struct tables *t, enum side side, u32 class);
u64 bits_row_words(const struct tables *t);
void bits_row(const struct tables *t, const u64 *row, u64 *out);

#endif
