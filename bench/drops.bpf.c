// SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
/* The sender of the drop benchmark: puts a frame on the wire, from inside the kernel, as cheaply as can be.
 *
 *   BPF_PROG_TEST_RUN, live frames ─▶ send ─redirect─▶ out_interface ═ wire ═▶ the host under test
 *
 * Runs in the peer's namespace on a UDP frame that flood.py made. With `spread` every frame gets one of that many
 * sources, at random; flood.py makes the same ones (`sources`). Their header checksum is then wrong, unless it is to be
 * `mended` because they shall reach the stack: programs at XDP do not look at it.
 */
#include <linux/bpf.h>
#include <linux/if_ether.h>
#include <linux/ip.h>
#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>

/* flood.py writes these before the program is loaded. */
const volatile __u32 out_interface, spread, factor, mask, base, mended;

/* RFC 1624: what changes a word changes the sum by as much. */
static __always_inline __u16 mend(__u16 sum, __u32 from, __u32 to)
{
	__u32 all = (__u16)~sum + (__u16)~from + (__u16)~(from >> 16) + (__u16)to + (to >> 16);

	all = (all & 0xffff) + (all >> 16);
	return ~(all + (all >> 16));
}

SEC("xdp")
int send(struct xdp_md *ctx)
{
	void *data = (void *)(long)ctx->data, *end = (void *)(long)ctx->data_end;
	struct iphdr *ip = data + sizeof(struct ethhdr);

	if ((void *)(ip + 1) > end)
		return XDP_ABORTED;
	if (spread) {
		__u32 source = bpf_htonl(base | (bpf_get_prandom_u32() % spread * factor & mask));

		if (mended)
			ip->check = mend(ip->check, ip->saddr, source);
		ip->saddr = source;
	}
	return bpf_redirect(out_interface, 0);
}

char LICENSE[] SEC("license") = "Dual BSD/GPL";
