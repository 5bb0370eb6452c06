// SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
/* The flood's sender: gives a frame a source of its own and puts it on the wire, inside the kernel.
 *
 *   BPF_PROG_TEST_RUN, live frames ─▶ spoof ─redirect─▶ out_interface ═ wire ═▶ the host under test
 *
 * Runs in the client's namespace, on frames that flood.py made. The frames' pages are used again, so a frame comes back
 * as it left: only differences of what changes are put into the checksums (RFC 1624).
 */
#include <linux/bpf.h>
#include <linux/if_ether.h>
#include <linux/in.h>
#include <linux/ip.h>
#include <linux/ipv6.h>
#include <linux/tcp.h>
#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>

/* Index of the client's interface, in the client's namespace; flood.py writes it before the program is loaded. */
const volatile __u32 out_interface;

static __always_inline __u16 adjusted(__u16 checksum, __u16 before, __u16 after)
{
	__u32 sum = (__u16)~checksum + (__u16)~before + (__u32)after;

	sum = (sum & 0xffff) + (sum >> 16);
	sum = (sum & 0xffff) + (sum >> 16);
	return ~sum;
}

SEC("xdp")
int spoof(struct xdp_md *ctx)
{
	void *data = (void *)(long)ctx->data, *end = (void *)(long)ctx->data_end;
	struct ethhdr *ethernet = data;
	struct tcphdr *tcp;
	__u16 *last, before, after;

	if ((void *)(ethernet + 1) > end)
		return XDP_ABORTED;
	if (ethernet->h_proto == bpf_htons(ETH_P_IP)) {
		struct iphdr *ip = (void *)(ethernet + 1);

		tcp = (void *)(ip + 1);
		if ((void *)(tcp + 1) > end)
			return XDP_ABORTED;
		/* the last byte of the source: any address of its /24 */
		last = (__u16 *)&ip->saddr + 1;
		before = *last;
		after = bpf_htons((bpf_ntohs(before) & 0xff00) | (bpf_get_prandom_u32() & 0xff));
		ip->check = adjusted(ip->check, before, after);
	} else {
		struct ipv6hdr *ip = (void *)(ethernet + 1);

		tcp = (void *)(ip + 1);
		if ((void *)(tcp + 1) > end)
			return XDP_ABORTED;
		/* the last 16 bits of the source: any address of its /112 */
		last = &ip->saddr.in6_u.u6_addr16[7];
		before = *last;
		after = bpf_get_prandom_u32();
	}
	*last = after;
	tcp->check = adjusted(tcp->check, before, after);
	return bpf_redirect(out_interface, 0);
}

char LICENSE[] SEC("license") = "Dual BSD/GPL";
