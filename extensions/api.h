/* SPDX-License-Identifier: Apache-2.0 */
/* What build_tables.py declares to Python. */
#ifndef TORTIE_TABLES_API_H
#define TORTIE_TABLES_API_H

#include "tables.h"

/* In the order of compile.py's TABLES; the names there are those of the maps. */
enum table { SRC4_HOSTS, SRC4_NETS, SRC6, DST4_HOSTS, DST4_NETS, DST6, SERVICES, SPORTS, CELLS, FOLD_A, FOLD_B,
	     BITS_SRC, BITS_DST, BITS_SVC, BITS_SPORT, TERMS };

struct address_layout {
	u32 classes, used, hosts4, hosts4_shift, nets4, table6, table6_shift, table6_seed, hosts6, lengths6_count, default4, default6;
	u8 lengths6[128];
};

struct tables_layout {
	u32 backend, services, sports, destination_stride, service_stride, sport_stride, fold_stride, sport_none, sport_fragment;
	u32 words, summary_words, row_shift, steps, has_log, terms, results;
	struct address_layout side[2];
};

struct tables_outcome { u32 reason, verdict, count; const u32 *rules; };

struct tables *tables_new(void);
void tables_free(struct tables *t);
int tables_add_set(struct tables *t, const struct net4 *nets4, u32 count4, const struct net6 *nets6, u32 count6);
int tables_add_block(struct tables *t, const struct block *b, const u32 *set_atoms, u32 starts_tier);
int tables_compile(struct tables *t, int backend, u32 spare_bytes);
void tables_layout(const struct tables *t, struct tables_layout *l);
u64 tables_bytes(const struct tables *t, int table);
void tables_fill(struct tables *t, int table, void *memory);
void tables_settle(struct tables *t, u32 results_limit, u32 changes);
u32 tables_result(const struct tables *t, u32 i, struct tables_outcome *out);
int tables_change_host(struct tables *t, int side, u32 version, u64 high, u64 low, u32 atom, u32 is_member);
u64 tables_sum(const void *memory, u64 bytes);

#endif
