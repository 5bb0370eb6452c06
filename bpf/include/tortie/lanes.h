/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/* Where generations and counters are found: lane -> pages, lane -> words to count in. The agent writes, programs read (and count).
 * What is in the pages says maps.h. */
#ifndef TORTIE_LANES_H
#define TORTIE_LANES_H

#include "packet.h"

#define PAGE_SHIFT 15
#define PAGE_MASK ((1 << PAGE_SHIFT) - 1)

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

/* What packets met is not counted in the pages, which interfaces with the same policy share, but in words of all lanes
 * together, which are in chunks. A generation is even or odd, the next one of that lane the other, and each has its own run
 * of words: so the counts of both stay apart while packets are in either. */
struct lane_counts { u32 begin[2], words[2]; };

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_MMAPABLE);
	__uint(max_entries, 1);
	__type(key, u32);
	__type(value, struct lane_counts);
} lane_counts SEC(".maps");

#define CHUNK_SHIFT 13
#define CHUNK_WORDS (1 << CHUNK_SHIFT)
#define CHUNK_HEAD 16            /* words in front: the first one is the id of the map that the chunk is */

struct chunk {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_MMAPABLE);
	__uint(max_entries, CHUNK_HEAD + CHUNK_WORDS);
	__type(key, u32);
	__type(value, u64);
};

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY_OF_MAPS);
	__uint(max_entries, 1);
	__type(key, u32);
	__array(values, struct chunk);
} counts SEC(".maps");

#endif
