// SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
/* What the metadata of an Allow costs. A repeated test run finds the metadata of the run before, so that the program under
 * test need not make room again; here room is made and taken back, each by a call of the same helper. cost.py halves. */
#include <linux/bpf.h>
#include "tortie/metadata.h"

SEC("xdp")
int there_and_back(struct xdp_md *ctx)
{
	if (!metadata_write(ctx, METADATA_ALLOWED) || bpf_xdp_adjust_meta(ctx, sizeof(u32)))
		return XDP_ABORTED;
	return XDP_DROP;
}

char LICENSE[] SEC("license") = "Dual BSD/GPL";
