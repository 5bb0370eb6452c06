/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/* Small programs and maps on which the tests of kernel/bpf look at every call. */
#include <stdbool.h>
#include <linux/bpf.h>
#include <linux/pkt_cls.h>
#include <bpf/bpf_helpers.h>

enum colour { RED = 0, GREEN = 7, BLUE = 4000000000 };

struct point {
  __u16 x, y;
};

struct shape {
  __u8 kind;
  struct point corner;
  union {
    __u32 radius;
    struct {
      __u16 width, height;
    };
  };
  __u64 words[3];
};

struct flags_with_bits {
  __u32 one : 1, rest : 31;
};

const volatile __u32 answer = 1;
const volatile struct shape model = {};
const volatile __u8 pad[3] = {1, 1, 1};
const volatile enum colour paint = BLUE;
const volatile struct flags_with_bits bits = {};
__u32 not_constant;

struct {
  __uint(type, BPF_MAP_TYPE_ARRAY);
  __uint(max_entries, 4);
  __uint(map_flags, BPF_F_MMAPABLE);
  __type(key, __u32);
  __type(value, __u64);
} table SEC(".maps");

struct {
  __uint(type, BPF_MAP_TYPE_HASH);
  __uint(max_entries, 3);
  __type(key, __u32);
  __type(value, __u32);
} names SEC(".maps");

struct {
  __uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
  __uint(max_entries, 5);
  __type(key, __u32);
  __type(value, __u64);
} counts SEC(".maps");

struct {
  __uint(type, BPF_MAP_TYPE_PERCPU_HASH);
  __uint(max_entries, 5);
  __type(key, __u32);
  __type(value, __u32);
} percpu_names SEC(".maps");

struct {
  __uint(type, BPF_MAP_TYPE_PROG_ARRAY);
  __uint(max_entries, 2);
  __type(key, __u32);
  __type(value, __u32);
} stages SEC(".maps");

struct {
  __uint(type, BPF_MAP_TYPE_RINGBUF);
  __uint(max_entries, 65536);
} events SEC(".maps");

/* Answers the constant. */
SEC("xdp")
int constant(struct xdp_md *ctx) { return answer + (model.kind + paint + bits.one + pad[0]) * 0 + not_constant; }

/* Drops what table[0] counts down. */
SEC("xdp")
int switchable(struct xdp_md *ctx) {
  __u32 key = 0;
  __u64 *value = bpf_map_lookup_elem(&table, &key);
  return value && *value ? XDP_DROP : XDP_PASS;
}

SEC("xdp")
int count(struct xdp_md *ctx) {
  __u32 key = 2;
  __u64 *value = bpf_map_lookup_elem(&counts, &key);
  if (value)
    *value += 1;
  return XDP_PASS;
}

SEC("xdp")
int drop(struct xdp_md *ctx) { return XDP_DROP; }

SEC("xdp")
int chain(struct xdp_md *ctx) {
  bpf_tail_call(ctx, &stages, 1);
  return XDP_ABORTED;
}

/* Puts four bytes of metadata in front. */
SEC("xdp")
int annotate(struct xdp_md *ctx) {
  if (bpf_xdp_adjust_meta(ctx, -4))
    return XDP_ABORTED;
  __u32 *meta = (void *)(long)ctx->data_meta;
  if ((void *)(meta + 1) > (void *)(long)ctx->data)
    return XDP_ABORTED;
  *meta = 0x70727274;
  return XDP_PASS;
}

SEC("xdp")
int tell(struct xdp_md *ctx) {
  __u32 *event = bpf_ringbuf_reserve(&events, 8, 0);
  if (!event)
    return XDP_DROP;
  event[0] = 0xabcd;
  event[1] = ctx->data_end - ctx->data;
  bpf_ringbuf_submit(event, 0);
  return XDP_PASS;
}

/* Answers the mark, and sets another. */
SEC("tc")
int mark(struct __sk_buff *skb) {
  int before = skb->mark;
  skb->mark = 99;
  return before;
}

SEC("tc")
int shoot(struct __sk_buff *skb) { return TC_ACT_SHOT; }

/* Reads behind a look-up that it did not check. */
SEC("?xdp")
int unchecked(struct xdp_md *ctx) {
  __u32 key = 0;
  __u32 *value = bpf_map_lookup_elem(&names, &key);
  return *value;
}

char LICENSE[] SEC("license") = "Dual BSD/GPL";
