/* SPDX-License-Identifier: Apache-2.0 */
/* What the extension offers beyond libbpf's own calls. build_bpf.py reads this file too, so it holds plain declarations only. */
#pragma once
#include <stddef.h>
#include <stdint.h>

struct bpf_object;
struct ring_buffer;

/* A field of a struct, or a variable of a section, as the object's BTF places it. */
struct tortie_field {
  char name[128];
  uint32_t offset;
  uint32_t size;
};

struct tortie_enumerator {
  char name[128];
  int64_t value;
};

struct tortie_variable {
  char section[64];
  uint32_t offset;
  uint32_t size;
};

struct tortie_map_info {
  uint32_t type, id, key_size, value_size, max_entries, flags;
  char name[17];
};

struct tortie_program_info {
  uint32_t type, id, instructions, verified_instructions, map_count;
  uint64_t runs, run_time_ns;
  uint8_t tag[8];
  char name[17];
};

struct tortie_link_info {
  uint32_t type, id, program_id, ifindex, attach_type;
};

struct tortie_run {
  const void *data_in;
  void *data_out;
  const void *ctx_in;
  void *ctx_out;
  uint32_t data_in_size, data_out_size, ctx_in_size, ctx_out_size;
  uint32_t retval, duration_ns, flags, batch_size;
  int repeat;
};

struct tortie_tc {
  int ifindex, attach_point, program_fd;
  uint32_t handle, priority, flags, program_id;
};

/* All return 0 or a count, or a negative errno. */

/* What libbpf and the verifier said on this thread since the last clearing; valid until this thread's next call. */
void tortie_log_clear(void);
const char *tortie_log_text(void);

int tortie_btf_fields(const struct bpf_object *object, const char *type, struct tortie_field *out, int capacity);
int tortie_btf_size(const struct bpf_object *object, const char *type);
int tortie_btf_enum(const struct bpf_object *object, const char *type, struct tortie_enumerator *out, int capacity);
int tortie_btf_variable(const struct bpf_object *object, const char *name, struct tortie_variable *out);

int tortie_map_info(int fd, struct tortie_map_info *out);
int tortie_program_info(int fd, struct tortie_program_info *out, uint32_t *map_ids, uint32_t capacity);
int tortie_link_info(int fd, struct tortie_link_info *out);

int tortie_map_create(int type, const char *name, uint32_t key_size, uint32_t value_size, uint32_t entries,
                      uint32_t flags, int inner_fd);
int tortie_array_read(int fd, uint32_t count, uint32_t stride, void *out);
int tortie_counters_sum(int fd, uint32_t count, uint64_t *out);
int tortie_map_update_batch(int fd, const void *keys, const void *values, uint32_t count);

/* Elements of a hash map from `cursor` on, which is 0 at first: how many; `cursor` is UINT32_MAX after the last ones. */
int tortie_map_read_batch(int fd, uint32_t *cursor, void *keys, void *values, uint32_t capacity);
/* How many of the keys were deleted: those that were there. */
int tortie_map_delete_keys(int fd, const void *keys, uint32_t key_size, uint32_t count);

int tortie_run(int program_fd, struct tortie_run *run);
int tortie_link_create(int program_fd, int ifindex, int attach_type, uint32_t flags);
int tortie_xdp_query(int ifindex, uint32_t *program_id, uint32_t *mode);

/* 1 if it is new, 0 if there was a clsact or ingress qdisc. */
int tortie_clsact_create(int ifindex);
int tortie_clsact_destroy(int ifindex);
int tortie_tc_attach(struct tortie_tc *tc);
int tortie_tc_detach(const struct tortie_tc *tc);
int tortie_tc_query(struct tortie_tc *tc);

int tortie_bpffs_mount(const char *path);
int tortie_bpffs_is(const char *path);

/* Does the kernel take it? 0 or a negative errno for a program and an attachment, 1 or not for a map and a helper. */
int tortie_probe_program(int type, uint32_t flags);
int tortie_probe_attach(int type, int attach_type, int ifindex);
int tortie_probe_map(int type);
int tortie_probe_helper(int program_type, int helper);

/* A ring buffer's reader. consume() drains up to limit samples into one block: 32-bit length, then bytes, each. */
struct tortie_ring;
struct tortie_ring *tortie_ring_new(int map_fd);
void tortie_ring_free(struct tortie_ring *ring);
int tortie_ring_fd(const struct tortie_ring *ring);
int tortie_ring_consume(struct tortie_ring *ring, int limit);
const void *tortie_ring_block(const struct tortie_ring *ring);
size_t tortie_ring_block_size(const struct tortie_ring *ring);
