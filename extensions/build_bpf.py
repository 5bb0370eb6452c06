"""Writes the C source of the extension module over libbpf (run by meson).

The libbpf calls are declared here and checked by the compiler against libbpf's headers; our own come from bpf.h.
"""

import sys
from pathlib import Path

from cffi import FFI

LIBBPF = """
struct bpf_object;
struct bpf_program;
struct bpf_map;

struct bpf_object *bpf_object__open(const char *path);
int bpf_object__load(struct bpf_object *object);
void bpf_object__close(struct bpf_object *object);
struct bpf_program *bpf_object__next_program(const struct bpf_object *object, struct bpf_program *previous);
struct bpf_map *bpf_object__next_map(const struct bpf_object *object, const struct bpf_map *previous);
struct bpf_program *bpf_object__find_program_by_name(const struct bpf_object *object, const char *name);
struct bpf_map *bpf_object__find_map_by_name(const struct bpf_object *object, const char *name);

const char *bpf_program__name(const struct bpf_program *program);
int bpf_program__set_autoload(struct bpf_program *program, bool autoload);
int bpf_program__set_flags(struct bpf_program *program, uint32_t flags);
uint32_t bpf_program__flags(const struct bpf_program *program);
int bpf_program__fd(const struct bpf_program *program);

const char *bpf_map__name(const struct bpf_map *map);
int bpf_map__set_max_entries(struct bpf_map *map, uint32_t entries);
int bpf_map__set_autocreate(struct bpf_map *map, bool autocreate);
int bpf_map__reuse_fd(struct bpf_map *map, int fd);
const void *bpf_map__initial_value(struct bpf_map *map, size_t *size);
uint32_t bpf_map__key_size(const struct bpf_map *map);
uint32_t bpf_map__value_size(const struct bpf_map *map);
int bpf_map__fd(const struct bpf_map *map);

int bpf_map_update_elem(int fd, const void *key, const void *value, uint64_t flags);
int bpf_map_lookup_elem(int fd, const void *key, void *value);
int bpf_map_delete_elem(int fd, const void *key);
int bpf_map_get_next_key(int fd, const void *key, void *next);
int bpf_map_freeze(int fd);
int bpf_map_get_fd_by_id(uint32_t id);
int bpf_prog_get_fd_by_id(uint32_t id);
int bpf_link_get_fd_by_id(uint32_t id);
int bpf_map_get_next_id(uint32_t start, uint32_t *next);
int bpf_prog_get_next_id(uint32_t start, uint32_t *next);
int bpf_link_get_next_id(uint32_t start, uint32_t *next);
int bpf_link_update(int link, int program, const void *opts);
int bpf_link_detach(int link);
int bpf_obj_pin(int fd, const char *path);
int bpf_obj_get(const char *path);
int libbpf_num_possible_cpus(void);
"""

header = Path(__file__).with_name("bpf.h").read_text()
OWN = "\n".join(line for line in header.splitlines() if not line.startswith("#"))

ffi = FFI()
ffi.cdef(LIBBPF + OWN)
ffi.set_source("_bpf", "#include <bpf/bpf.h>\n#include <bpf/libbpf.h>\n#include <bpf/btf.h>\n" + '#include "bpf.h"\n')
ffi.emit_c_code(sys.argv[1])
