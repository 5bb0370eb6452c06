// SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
/* Which generations and chunks of counters are there: the agent runs this on memory of its own; it is attached nowhere.
 *
 * Because: before Linux 6.8 a look-up in an array of maps by system call waits for a grace period of RCU, some 10 ms, and
 * there are thousands of lanes. A program looks without waiting. (bpf_map_copy_value in kernel/bpf/syscall.c.) */
#include <linux/bpf.h>

#include "tortie/config.h"
#include "tortie/lanes.h"

/* In: the first number. Out: the ids of the pages in each lane from there on, and of the chunks of these numbers, as they
 * say it themselves; 0: none. */
const volatile struct lanes_read { u32 first, pages[64], chunks[64]; } lanes_asked = {};

SEC("xdp")
int lanes_read(struct xdp_md *ctx)
{
	struct lanes_read *asked = (void *)(long)ctx->data;

	if ((void *)(asked + 1) > (void *)(long)ctx->data_end)
		return XDP_ABORTED;
	for (u32 i = 0; i < sizeof(asked->pages) / sizeof(u32); i++) {
		u32 number = asked->first + i, zero = 0;
		void *pages = bpf_map_lookup_elem(&lanes, &number), *chunk = bpf_map_lookup_elem(&counts, &number);
		const struct config *cfg = pages ? bpf_map_lookup_elem(pages, &zero) : NULL;
		const u64 *id = chunk ? bpf_map_lookup_elem(chunk, &zero) : NULL;

		asked->pages[i] = cfg ? cfg->generation : 0;
		asked->chunks[i] = id ? *id : 0;
	}
	return XDP_PASS;
}

char LICENSE[] SEC("license") = "Dual BSD/GPL";
