/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/* Where generations and counters are found: lane -> pages, lane -> counters. The agent writes, programs read (and count).
 * What is in the pages says maps.h. */
#ifndef TORTIE_LANES_H
#define TORTIE_LANES_H

#include "packet.h"

#define PAGE_SHIFT 12
#define PAGE_MASK 4095

struct page { u8 bytes[1 << PAGE_SHIFT]; };

/* All pages arrays that one `lanes` can hold have the same number of elements (the kernel then looks up inline): there
 * is one `lanes` and one copy of the programs for each size that is in use. User space gives both. */
struct pages {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_MMAPABLE);
	__uint(max_entries, 1);
	__uint(key_size, sizeof(u32));
	__uint(value_size, sizeof(struct page));     /* clang leaves out what a type inside a map's type is made of */
};

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY_OF_MAPS);
	__uint(max_entries, 1);
	__type(key, u32);
	__array(values, struct pages);
} lanes SEC(".maps");

/* What a lane's packets met. Not in the pages, which interfaces with the same policy share. A generation counts in every
 * second word, the next one of that lane in the words between: so the counts of both stay apart while packets are in
 * either. Lanes have as many as they need; that costs a call, for each packet once. */
struct counters {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_MMAPABLE | BPF_F_INNER_MAP);
	__uint(max_entries, 1);
	__type(key, u32);
	__type(value, u64);
};

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY_OF_MAPS);
	__uint(max_entries, 1);
	__type(key, u32);
	__array(values, struct counters);
} counts SEC(".maps");

/* In front of the counters: the id of the map that they are in. */
struct counters_head { u64 id, unused[15]; };

#endif
