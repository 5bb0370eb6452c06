/* SPDX-License-Identifier: Apache-2.0 */
/* The door to bpf(2): what libbpf 1.1 offers only through macros, callbacks or option structs, as plain calls. */
#include "bpf.h"

#include <errno.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/vfs.h>
#include <unistd.h>

#include <bpf/bpf.h>
#include <bpf/btf.h>
#include <bpf/libbpf.h>
#include <linux/magic.h>

#define ENOTSUPP_KERNEL 524 /* the kernel's internal ENOTSUPP, which bpf(2) leaks to user space */
#define BPF_LINK_TYPE_TCX_KERNEL 11 /* Linux 6.6; Debian 12's headers are of 6.1 */

/* --- log: libbpf's callback knows no object, so each thread has one growing text --- */

static __thread char *log_text;
static __thread size_t log_size, log_room;
static pthread_key_t log_key;
static pthread_once_t log_once = PTHREAD_ONCE_INIT;

static int log_append(enum libbpf_print_level level, const char *format, va_list arguments) {
  if (level != LIBBPF_WARN)
    return 0;
  va_list again;
  va_copy(again, arguments);
  int length = vsnprintf(NULL, 0, format, again);
  va_end(again);
  if (length < 0)
    return 0;
  size_t needed = log_size + (size_t)length + 1;
  if (needed > log_room) {
    size_t room = needed * 2;
    char *grown = realloc(log_text, room);
    if (!grown)
      return 0; /* the log is an explanation only: the call's errno still says that it failed */
    log_text = grown;
    log_room = room;
    pthread_setspecific(log_key, log_text);
  }
  vsnprintf(log_text + log_size, log_room - log_size, format, arguments);
  log_size += (size_t)length;
  return length;
}

static void log_install(void) {
  pthread_key_create(&log_key, free);
  libbpf_set_print(log_append);
}

void tortie_log_clear(void) {
  pthread_once(&log_once, log_install);
  free(log_text);
  log_text = NULL;
  log_size = log_room = 0;
  pthread_setspecific(log_key, NULL);
}

const char *tortie_log_text(void) { return log_text ? log_text : ""; }

/* --- BTF --- */

static const struct btf *object_btf(const struct bpf_object *object) { return bpf_object__btf(object); }

static const struct btf_type *plain_type(const struct btf *btf, __u32 id) {
  const struct btf_type *type = btf__type_by_id(btf, id);
  while (type && (btf_is_mod(type) || btf_is_typedef(type)))
    type = btf__type_by_id(btf, type->type);
  return type;
}

static bool is_enumeration(const struct btf_type *type) { return btf_is_any_enum(type); }
static bool is_composite(const struct btf_type *type) { return btf_is_composite(type); }

/* A type by its own name, or by the name of a typedef of it. C lets a struct and an enum share a name, hence `wanted`. */
static int find_type(const struct btf *btf, const char *name, bool (*wanted)(const struct btf_type *),
                     const struct btf_type **out) {
  __u32 last = btf__type_cnt(btf);
  for (__u32 id = 1; id < last; id++) {
    const struct btf_type *type = btf__type_by_id(btf, id);
    const char *found = btf__name_by_offset(btf, type->name_off);
    if (!found || strcmp(found, name))
      continue;
    const struct btf_type *plain = plain_type(btf, id);
    if (!plain || !wanted(plain))
      continue;
    *out = plain;
    return (int)id;
  }
  return -ENOENT;
}

struct fields {
  struct tortie_field *out;
  int count, capacity;
};

static int add_fields(const struct btf *btf, const struct btf_type *type, const char *prefix, __u32 base,
                      struct fields *fields) {
  const struct btf_member *member = btf_members(type);
  for (int index = 0; index < btf_vlen(type); index++, member++) {
    const char *name = btf__name_by_offset(btf, member->name_off);
    if (btf_member_bitfield_size(type, index))
      return -ENOTSUP; /* a bit-field has no byte offset */
    __u32 offset = base + btf_member_bit_offset(type, index) / 8;
    const struct btf_type *plain = plain_type(btf, member->type);
    if (!plain)
      return -EINVAL;
    char dotted[sizeof(fields->out->name)];
    bool anonymous = !name || !*name;
    int length = anonymous ? snprintf(dotted, sizeof(dotted), "%s", prefix)
                           : snprintf(dotted, sizeof(dotted), "%s%s%s", prefix, *prefix ? "." : "", name);
    if (length < 0 || (size_t)length >= sizeof(dotted))
      return -ENAMETOOLONG;
    if (!anonymous) {
      if (fields->count == fields->capacity)
        return -E2BIG;
      __s64 size = btf__resolve_size(btf, member->type);
      if (size < 0)
        return (int)size;
      struct tortie_field *field = &fields->out[fields->count++];
      memcpy(field->name, dotted, sizeof(dotted));
      field->offset = offset;
      field->size = (__u32)size;
    }
    if (btf_is_composite(plain)) {
      int error = add_fields(btf, plain, dotted, offset, fields);
      if (error)
        return error;
    }
  }
  return 0;
}

int tortie_btf_fields(const struct bpf_object *object, const char *name, struct tortie_field *out, int capacity) {
  const struct btf *btf = object_btf(object);
  const struct btf_type *type;
  struct fields fields = {out, 0, capacity};
  int id = btf ? find_type(btf, name, is_composite, &type) : -ENODATA;
  if (id < 0)
    return id;
  int error = add_fields(btf, type, "", 0, &fields);
  return error ? error : fields.count;
}

int tortie_btf_size(const struct bpf_object *object, const char *name) {
  const struct btf *btf = object_btf(object);
  const struct btf_type *type;
  int id = btf ? find_type(btf, name, is_composite, &type) : -ENODATA;
  return id < 0 ? id : (int)btf__resolve_size(btf, (__u32)id);
}

int tortie_btf_enum(const struct bpf_object *object, const char *name, struct tortie_enumerator *out, int capacity) {
  const struct btf *btf = object_btf(object);
  const struct btf_type *type;
  int id = btf ? find_type(btf, name, is_enumeration, &type) : -ENODATA;
  if (id < 0)
    return id;
  int count = btf_vlen(type);
  if (count > capacity)
    return -E2BIG;
  for (int index = 0; index < count; index++) {
    __u32 name_off;
    if (btf_is_enum64(type)) {
      const struct btf_enum64 *value = btf_enum64(type) + index;
      name_off = value->name_off;
      out[index].value = (int64_t)btf_enum64_value(value);
    } else {
      const struct btf_enum *value = btf_enum(type) + index;
      name_off = value->name_off;
      out[index].value = btf_kflag(type) ? value->val : (int64_t)(__u32)value->val;
    }
    const char *text = btf__name_by_offset(btf, name_off);
    if (strlen(text) >= sizeof(out->name))
      return -ENAMETOOLONG;
    strcpy(out[index].name, text);
  }
  return count;
}

int tortie_btf_variable(const struct bpf_object *object, const char *name, struct tortie_variable *out) {
  const struct btf *btf = object_btf(object);
  if (!btf)
    return -ENODATA;
  __u32 last = btf__type_cnt(btf);
  for (__u32 id = 1; id < last; id++) {
    const struct btf_type *section = btf__type_by_id(btf, id);
    if (!btf_is_datasec(section))
      continue;
    const struct btf_var_secinfo *entry = btf_var_secinfos(section);
    for (int index = 0; index < btf_vlen(section); index++, entry++) {
      const struct btf_type *variable = btf__type_by_id(btf, entry->type);
      if (!btf_is_var(variable) || strcmp(btf__name_by_offset(btf, variable->name_off), name))
        continue;
      snprintf(out->section, sizeof(out->section), "%s", btf__name_by_offset(btf, section->name_off));
      out->offset = entry->offset;
      out->size = entry->size;
      return 0;
    }
  }
  return -ENOENT;
}

/* --- what the kernel knows about a descriptor --- */

int tortie_map_info(int fd, struct tortie_map_info *out) {
  struct bpf_map_info map = {};
  __u32 size = sizeof(map);
  int error = bpf_obj_get_info_by_fd(fd, &map, &size);
  if (error)
    return error;
  *out = (struct tortie_map_info){map.type, map.id, map.key_size, map.value_size, map.max_entries, map.map_flags, ""};
  memcpy(out->name, map.name, sizeof(map.name));
  return 0;
}

int tortie_program_info(int fd, struct tortie_program_info *out, uint32_t *map_ids, uint32_t capacity) {
  struct bpf_prog_info program = {.nr_map_ids = capacity, .map_ids = (__u64)(unsigned long)map_ids};
  __u32 size = sizeof(program);
  int error = bpf_obj_get_info_by_fd(fd, &program, &size);
  if (error)
    return error;
  *out = (struct tortie_program_info){
      .type = program.type,
      .id = program.id,
      .instructions = program.xlated_prog_len / sizeof(struct bpf_insn),
      .verified_instructions = program.verified_insns,
      .map_count = program.nr_map_ids,
      .runs = program.run_cnt,
      .run_time_ns = program.run_time_ns,
  };
  memcpy(out->tag, program.tag, sizeof(out->tag));
  memcpy(out->name, program.name, sizeof(program.name));
  return 0;
}

int tortie_link_info(int fd, struct tortie_link_info *out) {
  struct bpf_link_info link = {};
  __u32 size = sizeof(link);
  int error = bpf_obj_get_info_by_fd(fd, &link, &size);
  if (error)
    return error;
  *out = (struct tortie_link_info){.type = link.type, .id = link.id, .program_id = link.prog_id};
  if (link.type == BPF_LINK_TYPE_XDP) {
    out->ifindex = link.xdp.ifindex;
    out->attach_type = BPF_XDP;
  } else if (link.type == BPF_LINK_TYPE_TCX_KERNEL) {
    __u32 tcx[2]; /* ifindex, attach type: where newer headers have link.tcx */
    memcpy(tcx, &link.xdp, sizeof(tcx));
    out->ifindex = tcx[0];
    out->attach_type = tcx[1];
  }
  return 0;
}

/* --- maps --- */

int tortie_map_create(int type, const char *name, uint32_t key_size, uint32_t value_size, uint32_t entries,
                      uint32_t flags, int inner_fd) {
  LIBBPF_OPTS(bpf_map_create_opts, opts, .map_flags = flags, .inner_map_fd = inner_fd < 0 ? 0 : (uint32_t)inner_fd);
  return bpf_map_create((enum bpf_map_type)type, name, key_size, value_size, entries, &opts);
}

/* Reads elements 0 .. count-1; stride is a whole value's size, all CPUs of it for a per-CPU array. */
int tortie_array_read(int fd, uint32_t count, uint32_t stride, void *out) {
  if (!count)
    return 0;
  uint32_t *keys = calloc(count, sizeof(*keys));
  if (!keys)
    return -ENOMEM;
  uint32_t position, found = count;
  int error = bpf_map_lookup_batch(fd, NULL, &position, keys, out, &found, NULL);
  free(keys);
  if (error == -ENOENT)
    error = found == count ? 0 : -ENOENT;
  /* Kernels before 5.13 know no batch for per-CPU arrays. */
  if (error != -ENOTSUPP_KERNEL && error != -EOPNOTSUPP && error != -EINVAL)
    return error;
  for (uint32_t key = 0; key < count; key++) {
    error = bpf_map_lookup_elem(fd, &key, (char *)out + (size_t)key * stride);
    if (error)
      return error;
  }
  return 0;
}

/* Sums each element of a per-CPU array of 64-bit counters over the CPUs. */
int tortie_counters_sum(int fd, uint32_t count, uint64_t *out) {
  int cpus = libbpf_num_possible_cpus();
  if (cpus < 0)
    return cpus;
  uint64_t *values = calloc((size_t)count * (size_t)cpus + 1, sizeof(*values));
  if (!values)
    return -ENOMEM;
  int error = tortie_array_read(fd, count, (uint32_t)cpus * sizeof(*values), values);
  for (uint32_t index = 0; !error && index < count; index++) {
    out[index] = 0;
    for (int cpu = 0; cpu < cpus; cpu++)
      out[index] += values[(size_t)index * (size_t)cpus + (size_t)cpu];
  }
  free(values);
  return error;
}

int tortie_map_update_batch(int fd, const void *keys, const void *values, uint32_t count) {
  return count ? bpf_map_update_batch(fd, keys, values, &count, NULL) : 0;
}

int tortie_map_read_batch(int fd, uint32_t *cursor, void *keys, void *values, uint32_t capacity) {
  uint32_t next = 0, count = capacity;
  int error = bpf_map_lookup_batch(fd, *cursor ? cursor : NULL, &next, keys, values, &count, NULL);
  if (error && error != -ENOENT)
    return error; /* ENOSPC: one bucket holds more than `capacity` elements */
  *cursor = error == -ENOENT ? UINT32_MAX : next;
  return (int)count;
}

int tortie_map_delete_keys(int fd, const void *keys, uint32_t key_size, uint32_t count) {
  int deleted = 0;
  for (uint32_t index = 0; index < count; index++) {
    int error = bpf_map_delete_elem(fd, (const char *)keys + (size_t)index * key_size);
    if (error && error != -ENOENT)
      return error;
    deleted += !error;
  }
  return deleted;
}

/* --- programs and links --- */

int tortie_run(int program_fd, struct tortie_run *run) {
  LIBBPF_OPTS(bpf_test_run_opts, opts, .data_in = run->data_in, .data_size_in = run->data_in_size,
              .data_out = run->data_out, .data_size_out = run->data_out_size, .ctx_in = run->ctx_in,
              .ctx_size_in = run->ctx_in_size, .ctx_out = run->ctx_out, .ctx_size_out = run->ctx_out_size,
              .repeat = run->repeat, .flags = run->flags, .batch_size = run->batch_size);
  int error = bpf_prog_test_run_opts(program_fd, &opts);
  run->data_out_size = opts.data_size_out;
  run->ctx_out_size = opts.ctx_size_out;
  run->retval = opts.retval;
  run->duration_ns = opts.duration;
  return error;
}

/* libbpf passes attach types and flags through as they are, so this serves tcx too, which libbpf 1.1 does not know. */
int tortie_link_create(int program_fd, int ifindex, int attach_type, uint32_t flags) {
  LIBBPF_OPTS(bpf_link_create_opts, opts, .flags = flags);
  return bpf_link_create(program_fd, ifindex, (enum bpf_attach_type)attach_type, &opts);
}

int tortie_xdp_query(int ifindex, uint32_t *program_id, uint32_t *mode) {
  LIBBPF_OPTS(bpf_xdp_query_opts, opts);
  int error = bpf_xdp_query(ifindex, 0, &opts);
  /* prog_id is empty where several modes are in use; the native program is the one that sees packets first. */
  *program_id = opts.prog_id ? opts.prog_id : opts.drv_prog_id ? opts.drv_prog_id : opts.skb_prog_id;
  *mode = opts.attach_mode;
  return error;
}

/* --- tc through clsact, where the kernel has no tcx (before 6.6) --- */

#define CLSACT (BPF_TC_INGRESS | BPF_TC_EGRESS)

int tortie_clsact_create(int ifindex) {
  LIBBPF_OPTS(bpf_tc_hook, hook, .ifindex = ifindex, .attach_point = CLSACT);
  int error = bpf_tc_hook_create(&hook);
  return error == -EEXIST ? 0 : error < 0 ? error : 1;
}

int tortie_clsact_destroy(int ifindex) {
  LIBBPF_OPTS(bpf_tc_hook, hook, .ifindex = ifindex, .attach_point = CLSACT);
  return bpf_tc_hook_destroy(&hook);
}

int tortie_tc_attach(struct tortie_tc *tc) {
  LIBBPF_OPTS(bpf_tc_hook, hook, .ifindex = tc->ifindex, .attach_point = (enum bpf_tc_attach_point)tc->attach_point);
  LIBBPF_OPTS(bpf_tc_opts, opts, .prog_fd = tc->program_fd, .flags = tc->flags, .handle = tc->handle,
              .priority = tc->priority);
  int error = bpf_tc_attach(&hook, &opts);
  tc->program_id = opts.prog_id;
  return error;
}

int tortie_tc_detach(const struct tortie_tc *tc) {
  LIBBPF_OPTS(bpf_tc_hook, hook, .ifindex = tc->ifindex, .attach_point = (enum bpf_tc_attach_point)tc->attach_point);
  LIBBPF_OPTS(bpf_tc_opts, opts, .handle = tc->handle, .priority = tc->priority);
  return bpf_tc_detach(&hook, &opts);
}

int tortie_tc_query(struct tortie_tc *tc) {
  LIBBPF_OPTS(bpf_tc_hook, hook, .ifindex = tc->ifindex, .attach_point = (enum bpf_tc_attach_point)tc->attach_point);
  LIBBPF_OPTS(bpf_tc_opts, opts, .handle = tc->handle, .priority = tc->priority);
  int error = bpf_tc_query(&hook, &opts);
  tc->program_id = opts.prog_id;
  return error;
}

/* --- bpffs --- */

int tortie_bpffs_is(const char *path) {
  struct statfs found;
  if (statfs(path, &found))
    return -errno;
  return found.f_type == BPF_FS_MAGIC;
}

int tortie_bpffs_mount(const char *path) {
  return mount("bpf", path, "bpf", MS_NOSUID | MS_NODEV | MS_NOEXEC, "mode=0700") ? -errno : 0;
}

/* --- probes --- */

static int load_empty(int type, uint32_t flags) {
  const struct bpf_insn instructions[] = {
      {.code = BPF_ALU64 | BPF_MOV | BPF_K, .dst_reg = BPF_REG_0, .imm = 0},
      {.code = BPF_JMP | BPF_EXIT},
  };
  LIBBPF_OPTS(bpf_prog_load_opts, opts, .prog_flags = flags);
  return bpf_prog_load((enum bpf_prog_type)type, "tortie_probe", "Dual BSD/GPL", instructions, 2, &opts);
}

int tortie_probe_program(int type, uint32_t flags) {
  int program = load_empty(type, flags);
  if (program < 0)
    return program;
  close(program);
  return 0;
}

int tortie_probe_attach(int type, int attach_type, int ifindex) {
  int program = load_empty(type, 0);
  if (program < 0)
    return program;
  int link = bpf_link_create(program, ifindex, (enum bpf_attach_type)attach_type, NULL);
  close(program);
  if (link < 0)
    return link;
  close(link);
  return 0;
}

int tortie_probe_map(int type) { return libbpf_probe_bpf_map_type((enum bpf_map_type)type, NULL); }

int tortie_probe_helper(int program_type, int helper) {
  return libbpf_probe_bpf_helper((enum bpf_prog_type)program_type, (enum bpf_func_id)helper, NULL);
}

/* --- ring buffer --- */

struct tortie_ring {
  struct ring_buffer *buffer;
  char *block;
  size_t size, room;
  int count, limit, error;
};

static int ring_sample(void *context, void *data, size_t size) {
  struct tortie_ring *ring = context;
  uint32_t length = (uint32_t)size;
  size_t needed = ring->size + sizeof(length) + size;
  if (needed > ring->room) {
    char *grown = realloc(ring->block, needed * 2);
    if (!grown) {
      ring->error = -ENOMEM;
      return -ENOMEM;
    }
    ring->block = grown;
    ring->room = needed * 2;
  }
  memcpy(ring->block + ring->size, &length, sizeof(length));
  memcpy(ring->block + ring->size + sizeof(length), data, size);
  ring->size = needed;
  /* A negative answer stops libbpf after it has consumed this sample. */
  return ++ring->count == ring->limit ? -ECANCELED : 0;
}

struct tortie_ring *tortie_ring_new(int map_fd) {
  struct tortie_ring *ring = calloc(1, sizeof(*ring));
  if (!ring)
    return NULL;
  ring->buffer = ring_buffer__new(map_fd, ring_sample, ring, NULL);
  if (ring->buffer)
    return ring;
  int saved = errno;
  free(ring);
  errno = saved;
  return NULL;
}

void tortie_ring_free(struct tortie_ring *ring) {
  ring_buffer__free(ring->buffer);
  free(ring->block);
  free(ring);
}

int tortie_ring_fd(const struct tortie_ring *ring) { return ring_buffer__epoll_fd(ring->buffer); }

int tortie_ring_consume(struct tortie_ring *ring, int limit) {
  ring->size = 0;
  ring->count = ring->error = 0;
  ring->limit = limit;
  int error = ring_buffer__consume(ring->buffer);
  if (ring->error)
    return ring->error;
  if (error < 0 && error != -ECANCELED)
    return error;
  return ring->count;
}

const void *tortie_ring_block(const struct tortie_ring *ring) { return ring->block; }

size_t tortie_ring_block_size(const struct tortie_ring *ring) { return ring->size; }
