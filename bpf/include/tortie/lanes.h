/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/* Where generations are found: lane -> pages. The agent writes, programs read. What is in the pages says maps.h. */
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

#endif
