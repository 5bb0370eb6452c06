// SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
/* The sender of the drop benchmark: puts a frame on the wire, from inside the kernel, as cheaply as can be.
 *
 *   BPF_PROG_TEST_RUN, live frames ─▶ send ─redirect─▶ out_interface ═ wire ═▶ the host under test
 *
 * Runs in the peer's namespace on a UDP frame that drops.py made. With `spread` every frame gets one of that many
 * sources, at random; drops.py makes the same ones (`sources`). Their header checksum is then wrong: programs at XDP do
 * not look at it, and mending it would cost more than what is measured.
 */
#include <linux/bpf.h>
#include <linux/if_ether.h>
#include <linux/ip.h>
#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>

/* drops.py writes these before the program is loaded. */
const volatile __u32 out_interface, spread, factor, mask, base;

SEC("xdp")
int send(struct xdp_md *ctx)
{
	void *data = (void *)(long)ctx->data, *end = (void *)(long)ctx->data_end;
	struct iphdr *ip = data + sizeof(struct ethhdr);

	if ((void *)(ip + 1) > end)
		return XDP_ABORTED;
	if (spread)
		ip->saddr = bpf_htonl(base | (bpf_get_prandom_u32() % spread * factor & mask));
	return bpf_redirect(out_interface, 0);
}

char LICENSE[] SEC("license") = "Dual BSD/GPL";
